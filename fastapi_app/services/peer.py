"""Does this service work, and does the configured Orthanc beside it."""

from __future__ import annotations

import json
import logging
import urllib.request
from http.client import HTTPException
from typing import Any

from django.conf import settings
from django.core.cache import cache

from accounts.models import User

logger = logging.getLogger(__name__)

_TIMEOUT_S = 2
_KEPT_S = 30
_MOST_BYTES = 64 * 1024


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
    url = f"{settings.ORTHANC_URL.rstrip('/')}/system"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - http(s) by Config
            version = json.loads(answer.read(_MOST_BYTES)).get("Version")
    except (OSError, HTTPException, ValueError, AttributeError) as error:
        logger.warning("The Orthanc at ORTHANC_URL does not answer: %s", error)
        return ""
    return str(version or "")
