"""Does this service work, and does the configured Orthanc beside it."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.cache import cache

from accounts.models import User
from archive import orthanc
from archive.errors import ArchiveError

logger = logging.getLogger(__name__)

_TIMEOUT_S = 2
_KEPT_S = 30


def health() -> dict[str, Any]:
    """Return the state; a database that does not answer raises."""
    User.objects.exists()
    return {"status": "healthy", "orthanc_version": orthanc_version()}


def orthanc_version() -> str | None:
    """Return the version of the configured Orthanc; None without one, or while it is silent."""
    if not settings.ORTHANC_URL:
        return None
    known: str | None = cache.get("sidecar.orthanc-version")
    if known is None:
        known = _ask_orthanc()
        cache.set("sidecar.orthanc-version", known, _KEPT_S)
    return known or None


def _ask_orthanc() -> str:
    """Return the version, or nothing. The address is the site's own setting, never a user's."""
    try:
        found = orthanc.ask("GET", "/system", timeout_s=_TIMEOUT_S)
    except ArchiveError as error:
        logger.warning("No version of the Orthanc beside us: %s", error)
        return ""
    return str(found.get("Version") or "") if isinstance(found, dict) else ""
