"""What every template knows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.translation import get_language

from accounts import preferences
from worklist.views import frame


def site(request: HttpRequest) -> dict[str, Any]:
    """Return the names that each page shows, and what its frame holds once it draws one."""
    language = get_language() or settings.LANGUAGE_CODE
    return {
        "product": "NoctisPro",
        "our_ae_title": settings.DICOM_SCP_AE_TITLE,
        "our_dicom_port": settings.DICOM_SCP_PORT,
        "page_path": request.path,
        "theme": preferences.theme_of(request),
        "language": language,
        # English stands in the scripts themselves.
        "script_messages": "" if language == "en" else f"src/messages/{language}.ts",
        "languages": settings.LANGUAGES,
        "frame": SimpleLazyObject(lambda: frame.frame_of(request)),
    }
