"""The study 1.2.1 that tests of retrieval keep, its addresses, and how they ask for it."""

from __future__ import annotations

import io
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from tests.codestreams import noise
from tests.dicom import make_instance
from tests.sidecar import Caller

BASE = "/dicom-web"
STUDY = f"{BASE}/studies/1.2.1"
SERIES = f"{STUDY}/series/1.2.1.1"
INSTANCE = f"{SERIES}/instances/1.2.1.1.1"
DICOM = 'multipart/related; type="application/dicom"'
AS_STORED = f"{DICOM}; transfer-syntax=*"
OCTETS = 'multipart/related; type="application/octet-stream"'
IDENTITY = {
    "StudyInstanceUID": "1.2.1",
    "SeriesInstanceUID": "1.2.1.1",
    "SOPInstanceUID": "1.2.1.1.1",
}
JLS, J2K, HTJ2K = (f"1.2.840.10008.1.2.4.{number}" for number in (80, 90, 201))


def instance(number: int, series: int = 1, **keywords: Any) -> Dataset:
    pixels = keywords.pop("pixels", noise(16, 12))
    return make_instance(
        pixels,
        StudyInstanceUID="1.2.1",
        SeriesInstanceUID=f"1.2.1.{series}",
        SOPInstanceUID=f"1.2.1.{series}.{number}",
        SeriesNumber=series,
        InstanceNumber=number,
        **keywords,
    )


def get(caller: Caller, path: str, accept: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return caller.get(path, headers={"Accept": accept, **named})


def data_set(content: bytes) -> bytes:
    """What stands behind the file's own header."""
    file = io.BytesIO(content)
    pydicom.filereader.read_preamble(file, force=False)
    pydicom.filereader._read_file_meta_info(file)
    return content[file.tell() :]
