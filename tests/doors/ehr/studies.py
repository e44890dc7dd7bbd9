"""Addresses of the EHR interface, and studies to ask it for."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np

from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility

API = "/api/v1/dicom"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


def store_one(facility: Facility, **keywords: Any) -> DicomImage:
    keywords.setdefault("PixelData", bytes(8))
    ds = make_instance(np.zeros((2, 2), np.uint16), **keywords)
    return DicomImage.objects.get(pk=factories.store_bytes(to_bytes(ds), facility).image_id)


def orthanc_id(patient_id: str, study_uid: str) -> str:
    """As Orthanc's DicomInstanceHasher makes it."""
    digest = hashlib.sha1(f"{patient_id}|{study_uid}".encode(), usedforsecurity=False).hexdigest()
    return "-".join(re.findall("." * 8, digest))


def uids(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [row["StudyInstanceUID"] for row in response.json()]
