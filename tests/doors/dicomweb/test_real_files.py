"""Every real file by WADO-RS: objects byte for byte, frames against independent decoders.

`reference_frames.csv` holds what DCMTK, GDCM and OpenJPEG made of the frames.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from accounts.models import Role
from archive.errors import InvalidInputError
from archive.ingest import Outcome
from imaging.part10 import read_container
from tests import factories, multipart
from tests.sidecar import Caller, Sidecar, running
from worklist.models import DicomImage

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OCTETS = 'multipart/related; type="application/octet-stream"'


class Places:
    """Many files show one image under one UID: each goes where the UID is still free."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._places = []

    def take(self, content: bytes) -> tuple[DicomImage, Caller] | None:
        """A file's row and somebody who may see it; None for what is refused."""
        for number in range(100):
            if number == len(self._places):
                place = factories.facility(f"P{number}", f"Place {number}")
                user = factories.user(f"reader{number}", Role.RADIOLOGIST, [place])
                self._places.append((place, self._sidecar.by_token(user)))
            place, caller = self._places[number]
            try:
                result = factories.store_bytes(content, place)
            except InvalidInputError:
                return None
            if result.outcome is not Outcome.CONFLICT:
                rows = DicomImage.objects.select_related("series__study")
                return rows.get(pk=result.image_id), caller
        raise AssertionError("no free place")


@pytest.fixture
def places(store: Path) -> Iterator[Places]:
    with running() as sidecar:
        yield Places(sidecar)


def address(image: DicomImage) -> str:
    series = image.series
    return (
        f"/dicom-web/studies/{series.study.study_instance_uid}"
        f"/series/{series.series_instance_uid}/instances/{image.sop_instance_uid}"
    )


def data_set(content: bytes) -> bytes:
    return content[read_container(io.BytesIO(content), None).data_set_offset :]


def files(data: Path) -> list[str]:
    with (data / "manifest.csv").open(newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def test_every_object_comes_back_byte_for_byte(places: Places, data: Path) -> None:
    wrong, taken = [], 0
    for name in files(data):
        content = (data / name).read_bytes()
        found = places.take(content)
        if found is None:
            continue
        image, caller = found
        taken += 1
        answer = caller.get(address(image), headers={"Accept": AS_STORED})
        (part,) = multipart.parts(answer)
        if data_set(part.content) != data_set(content):
            wrong.append(name)
        if part.transfer_syntax != image.transfer_syntax_uid:
            wrong.append(f"{name}: {part.transfer_syntax}")
        # Metadata of each, whatever is odd about it.
        (model,) = caller.get(f"{address(image)}/metadata").json()
        if model["00080018"]["Value"] != [image.sop_instance_uid]:
            wrong.append(f"{name}: metadata")
    assert not wrong, "\n".join(wrong)
    assert taken > 400


def reference(data: Path) -> dict[str, dict[int, dict[str, str]]]:
    by_name: dict[str, dict[int, dict[str, str]]] = defaultdict(dict)
    with (data / "reference_frames.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            by_name[row["path"]][int(row["frame"]) + 1] = row
    return by_name


def test_every_lossless_frame_equals_its_reference(places: Places, data: Path) -> None:
    wrong, judged = [], 0
    for name, rows in reference(data).items():
        lossless = {number: row for number, row in rows.items() if row["lossy"] == "no"}
        # Some frames of long films: every one of them is compared by the viewer's own tests.
        numbers = sorted(lossless)[:: max(1, len(lossless) // 8)]
        found = places.take((data / name).read_bytes()) if numbers else None
        if found is None:
            continue
        image, caller = found
        path = f"{address(image)}/frames/{','.join(map(str, numbers))}"
        answer = caller.get(path, headers={"Accept": OCTETS})
        if answer.status_code != 200:
            wrong.append(f"{name}: {answer.text}")
            continue
        for number, part in zip(numbers, multipart.parts(answer), strict=True):
            judged += 1
            if complaint := complaint_of(image, lossless[number], part.content):
                wrong.append(f"{name} frame {number}: {complaint}")
    assert not wrong, "\n".join(wrong)
    assert judged > 500


def complaint_of(image: DicomImage, row: dict[str, str], content: bytes) -> str:
    """Say how a frame differs from its reference; see README.md beside the data."""
    if image.bits_allocated == 1:
        count = (image.rows or 0) * (image.columns or 0)
        bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
        content = bits[:count].tobytes()
    elif image.samples_per_pixel == 3 and is_planar(image):
        size = (image.bits_allocated or 8) // 8
        planes = np.frombuffer(content, f"<u{size}").reshape(3, -1)
        content = np.ascontiguousarray(planes.T).tobytes()
    digest = hashlib.sha256(content).hexdigest()
    return "" if digest in (row["sha256"], row["sha256_values"]) else "another digest"


def is_planar(image: DicomImage) -> bool:
    syntax = pydicom.uid.UID(image.transfer_syntax_uid)
    return image.planar_configuration == 1 and not syntax.is_compressed
