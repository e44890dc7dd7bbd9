"""What every template knows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, Any]:
    """Return the names that the frame of each page shows."""
    return {
        "product": "NoctisPro",
        "our_ae_title": settings.DICOM_SCP_AE_TITLE,
        "our_dicom_port": settings.DICOM_SCP_PORT,
        "page_path": request.path,
    }
