"""OHIF beside our own viewer, in the same origin: `make ohif` installs it, `/ohif/` shows it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlencode

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from archive.errors import NotFoundError


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
@login_required
@require_GET
@never_cache
@csp_update({"style-src": [SELF, UNSAFE_INLINE]})  # type: ignore[untyped-decorator]
def page(request: HttpRequest, path: str = "") -> HttpResponse:
    """Show OHIF, whichever of its addresses is asked for."""
    build = installed()
    if build is None:
        raise NotFoundError("OHIF is not installed here. Run 'make ohif', then restart the site.")
    return render(request, "dicom_viewer/ohif.html", {"build": build})
