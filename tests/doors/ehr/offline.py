"""Somebody who sends offline images: their addresses, files and announcements."""

from __future__ import annotations

import hashlib
import io
import uuid
from typing import Any

import httpx
import numpy as np
import pydicom
from PIL import Image

from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller

BASE = "/api/v1/radiology"
METADATA = f"{BASE}/offline-images/upload-metadata/"
BINARY = f"{BASE}/offline-images/upload-binary/"
ACKNOWLEDGE = f"{BASE}/offline-images/acknowledge/"


class Sender:
    """Somebody with an order and files for it."""

    def __init__(self, caller: Caller, order_id: str) -> None:
        self.caller = caller
        self.order_id = order_id

    def body(self, content: bytes, mime_type: str = "application/dicom", **other: Any) -> Any:
        uids = {"study_uid": "1.2.3.4", "series_uid": "1.2.3.4.1", "image_uid": "1.2.3.4.1.1"}
        if mime_type == "application/dicom":
            ds = pydicom.dcmread(io.BytesIO(content))
            uids = {
                "study_uid": ds.StudyInstanceUID,
                "series_uid": ds.SeriesInstanceUID,
                "image_uid": ds.SOPInstanceUID,
            }
        metadata = {**uids, **other.pop("image_metadata", {})}
        return {
            "image_uuid": str(uuid.uuid4()),
            "radiology_order_id": self.order_id,
            "filename": "chest_xray.dcm",
            "file_size": len(content),
            "mime_type": mime_type,
            "checksum": hashlib.sha256(content).hexdigest(),
            "image_metadata": metadata,
            **other,
        }

    def announce(self, body: Any) -> httpx.Response:
        return self.caller.post(METADATA, json=body)

    def send(self, body: Any, content: bytes) -> httpx.Response:
        return self.caller.post(
            BINARY,
            data={"image_uuid": body["image_uuid"]},
            files={"file": (body["filename"], content, body["mime_type"])},
        )

    def ask(self, body: Any) -> httpx.Response:
        return self.caller.post(ACKNOWLEDGE, json={"image_uuid": body["image_uuid"]})

    def through(self, content: bytes, mime_type: str = "application/dicom", **other: Any) -> Any:
        """All three steps; returns the last answer."""
        body = self.body(content, mime_type, **other)
        for answer in (self.announce(body), self.send(body, content), self.ask(body)):
            assert answer.status_code == 200, answer.text
        return answer.json()


def dicom(**keywords: Any) -> bytes:
    return to_bytes(make_instance(np.zeros((8, 8), np.uint16), PatientID="TEST001", **keywords))


def picture(kind: str = "PNG", size: int = 12) -> bytes:
    out = io.BytesIO()
    pixels = (np.indices((size, size, 3)).sum(axis=0) * 5).astype(np.uint8)
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def path_of(url: str) -> str:
    return url.removeprefix("http://testserver")
