"""OHIF beside our own viewer, in the same origin: `make ohif` installs it, `/ohif/` shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlencode

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.guests import open_to_links
from archive.errors import ForbiddenError, NotFoundError
from archive.link_visits import Visitor
from archive.models import LinkPurpose
from dicom_viewer import guest_manifest


@dataclass(frozen=True, slots=True)
class Ohif:
    """What `scripts/install_ohif.py` has put into `static/ohif`."""

    version: str
    script: str
    style: str


@lru_cache(maxsize=1)
def installed() -> Ohif | None:
    """Return the installed build; None where there is none."""
    try:
        text = (settings.BASE_DIR / "static" / "ohif" / "installed.json").read_text("utf-8")
    except FileNotFoundError:
        return None
    return Ohif(**json.loads(text))


def link_to(study_instance_uid: str) -> str:
    """Return the address of a study in OHIF; empty where OHIF is not installed."""
    if installed() is None:
        return ""
    words = urlencode({"StudyInstanceUIDs": study_instance_uid})
    return f"{reverse('ohif', args=['viewer'])}?{words}"


# React components of OHIF bring their styles with them as they are shown. Scripts stay as strict
# as everywhere; what may be loaded, and where data may go, too.
@open_to_links(LinkPurpose.OHIF, is_page=True)
@require_GET
@never_cache
@csp_update({"style-src": [SELF, UNSAFE_INLINE]})  # type: ignore[untyped-decorator]
def page(request: HttpRequest, path: str = "") -> HttpResponse:
    """Show OHIF, whichever of its addresses is asked for."""
    build = installed()
    if build is None:
        raise NotFoundError("OHIF is not installed here. Run 'make ohif', then restart the site.")
    visitor: Visitor | None = getattr(request, "visitor", None)
    if visitor is not None and path != "viewer":
        raise ForbiddenError("The link that you came by opens one study. Open it again.")
    context = {"build": build, "visit": guest_manifest.guest(visitor) if visitor else None}
    return render(request, "dicom_viewer/ohif.html", context)
