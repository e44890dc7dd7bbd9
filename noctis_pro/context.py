"""What every template knows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts import preferences
from worklist.views import frame


def site(request: HttpRequest) -> dict[str, Any]:
    """Return the names that each page shows, and what its frame holds once it draws one."""
    return {
        "product": "NoctisPro",
        "our_ae_title": settings.DICOM_SCP_AE_TITLE,
        "our_dicom_port": settings.DICOM_SCP_PORT,
        "page_path": request.path,
        "theme": preferences.theme_of(request),
        "frame": SimpleLazyObject(lambda: frame.frame_of(request)),
    }
