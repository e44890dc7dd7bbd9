"""Rendered pictures and thumbnails by DICOMweb, and who may read it from other sites."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage
from pytest_django import Settings

from tests import factories, multipart
from tests.codestreams import compressed_instance
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import Facility

pytestmark = pytest.mark.django_db(transaction=True)

STUDY = "/dicom-web/studies/1.2.1"
SERIES = f"{STUDY}/series/1.2.1.1"
FILM = f"{SERIES}/instances/1.2.1.1.1"
SINGLE = f"{SERIES}/instances/1.2.1.1.2"


def instance(number: int, pixels: np.ndarray, **keywords: Any) -> Dataset:
    return make_instance(
        pixels, StudyInstanceUID="1.2.1", SeriesInstanceUID="1.2.1.1",
        SOPInstanceUID=f"1.2.1.1.{number}", InstanceNumber=number, WindowCenter=128,
        WindowWidth=256, **keywords,
    )  # fmt: skip


@pytest.fixture
def held(store: Path, facility: Facility) -> list[np.ndarray]:
    """A film of three frames, each of one grey, and a ramp; a report."""
    grey = np.stack([np.full((40, 60), 50 * (number + 1), np.uint8) for number in range(3)])
    film = instance(1, grey[0], NumberOfFrames=3)
    film.PixelData = grey.tobytes()
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    report = instance(3, ramp, Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(report, keyword)
    for dataset in (film, instance(2, ramp), report):
        factories.store_bytes(to_bytes(dataset), facility)
    return [*grey, ramp]


def get(caller: Caller, path: str, accept: str = "*/*") -> Any:
    return caller.get(path, headers={"Accept": accept})


def picture(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def greys(content: bytes) -> int:
    return int(np.asarray(picture(content).convert("L")).astype(float).mean().round())


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "JPEG"),
        ("image/*", "JPEG"),
        ("image/jpeg", "JPEG"),
        ("image/png", "PNG"),
        ("image/webp", "WEBP"),
        ("image/gif", "GIF"),
        ("text/html, image/avif, image/webp, */*;q=0.8", "WEBP"),
    ],
)
def test_a_picture_comes_in_the_form_that_is_liked_best(
    caller: Caller, held: list[np.ndarray], accept: str, kind: str
) -> None:
    answer = get(caller, f"{SINGLE}/rendered", accept)
    assert answer.status_code == 200, answer.text
    found = picture(answer.content)
    assert found.format == kind
    assert found.size == (200, 100)
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    again = caller.get(
        f"{SINGLE}/rendered", headers={"Accept": accept, "If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304


def test_frames_are_rendered_by_their_numbers(caller: Caller, held: list[np.ndarray]) -> None:
    for number in (1, 2, 3):
        answer = get(caller, f"{FILM}/frames/{number}/rendered", "image/png")
        assert greys(answer.content) == 50 * number
    parts = multipart.parts(
        get(caller, f"{FILM}/frames/3,1/rendered", 'multipart/related; type="image/png"')
    )
    assert [greys(part.content) for part in parts] == [150, 50]
    assert parts[0].headers["content-location"].endswith(f"{FILM}/frames/3/rendered")
    # Without parts there is no place for two.
    assert_problem(get(caller, f"{FILM}/frames/3,1/rendered", "image/png"), 406, "multipart")
    for numbers, status in (("4", 404), ("0", 404), ("x", 400), ("1,", 400)):
        assert_problem(get(caller, f"{FILM}/frames/{numbers}/rendered", "image/png"), status)


def test_every_level_is_rendered(caller: Caller, held: list[np.ndarray]) -> None:
    accept = 'multipart/related; type="image/png"'
    assert len(multipart.parts(get(caller, f"{FILM}/rendered", accept))) == 3
    assert greys(get(caller, f"{FILM}/rendered", "image/png").content) == 50
    for path in (SERIES, STUDY):
        parts = multipart.parts(get(caller, f"{path}/rendered", accept))
        assert [picture(part.content).size for part in parts] == [(60, 40)] * 3 + [(200, 100)]
        assert picture(get(caller, f"{path}/rendered", "image/png").content).format == "PNG"
    report = f"{SERIES}/instances/1.2.1.1.3/rendered"
    assert get(caller, report, "image/png").status_code in (404, 422)


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("viewport=50,50", (50, 25)),
        ("viewport=100,200", (100, 50)),
        ("viewport=20,20,0,0,50,50", (20, 20)),
    ],
)
def test_a_viewport_scales_and_cuts(
    caller: Caller, held: list[np.ndarray], query: str, size: tuple[int, int]
) -> None:
    answer = get(caller, f"{SINGLE}/rendered?{query}", "image/png")
    assert picture(answer.content).size == size


def test_windows_and_qualities_are_as_asked(caller: Caller, held: list[np.ndarray]) -> None:
    plain = get(caller, f"{SINGLE}/rendered", "image/png").content
    narrow = get(caller, f"{SINGLE}/rendered?window=100,2,linear", "image/png").content
    values = np.asarray(picture(narrow).convert("L"))
    assert narrow != plain
    assert set(values[:, :98].flat) == {0}
    assert set(values[:, 103:].flat) == {255}
    best = get(caller, f"{SINGLE}/rendered?quality=100", "image/jpeg").content
    poor = get(caller, f"{SINGLE}/rendered?quality=1", "image/jpeg").content
    assert len(poor) < len(best)
    told = get(caller, f"{SINGLE}/rendered?annotation=patient,technique", "image/png").content
    assert told != plain


@pytest.mark.parametrize(
    "query",
    ["window=1", "window=a,b,linear", "window=1,2,curved", "viewport=x", "viewport=0,0",
     "viewport=10,10,900,900,5,5", "quality=0", "quality=x", "annotation=secret",
     "iccprofile=nonsense"],
)  # fmt: skip
def test_a_bad_parameter_is_said(caller: Caller, held: list[np.ndarray], query: str) -> None:
    name = query.partition("=")[0]
    answer = get(caller, f"{SINGLE}/rendered?{query}", "image/jpeg")
    assert_problem(answer, 400, "" if name == "viewport" else name)


def test_thumbnails_of_every_level(caller: Caller, held: list[np.ndarray]) -> None:
    for path in (STUDY, SERIES, FILM, SINGLE):
        for accept, kind in (("*/*", "PNG"), ("image/jpeg", "JPEG"), ("image/webp", "WEBP")):
            answer = get(caller, f"{path}/thumbnail", accept)
            assert answer.status_code == 200, answer.text
            found = picture(answer.content)
            assert found.format == kind
            assert max(found.size) <= 256
    assert greys(get(caller, f"{FILM}/thumbnail", "image/png").content) == 100
    assert greys(get(caller, f"{FILM}/frames/3/thumbnail", "image/png").content) == 150
    small = get(caller, f"{SINGLE}/thumbnail?viewport=32,32", "image/png")
    assert picture(small.content).size == (32, 16)
    # What has no picture says what it is.
    report = get(caller, f"{SERIES}/instances/1.2.1.1.3/thumbnail")
    assert picture(report.content).format == "PNG"
    assert_problem(get(caller, f"{FILM}/frames/1,2/thumbnail", "image/png"), 400)
    tag = get(caller, f"{STUDY}/thumbnail").headers["etag"]
    again = caller.get(f"{STUDY}/thumbnail", headers={"If-None-Match": tag})
    assert again.status_code == 304


def test_what_cannot_be_shown_says_why_in_its_place(
    caller: Caller, held: list[np.ndarray], facility: Facility
) -> None:
    broken = compressed_instance(
        [b"\xff\x4f\xff\x51 no code stream"], 16, 16, StudyInstanceUID="1.2.1",
        SeriesInstanceUID="1.2.1.1", SOPInstanceUID="1.2.1.1.9", InstanceNumber=9,
    )  # fmt: skip
    factories.store_bytes(broken, facility)
    assert_problem(get(caller, f"{SERIES}/instances/1.2.1.1.9/rendered", "image/png"), 422)
    parts = multipart.parts(
        get(caller, f"{SERIES}/rendered", 'multipart/related; type="image/png"')
    )
    assert len(parts) == 5
    assert picture(parts[4].content).format == "PNG"


def test_a_document_is_rendered_as_itself(
    caller: Caller, held: list[np.ndarray], facility: Facility
) -> None:
    dataset = instance(7, held[3], SOPClassUID=EncapsulatedPDFStorage, Modality="DOC")
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(dataset, keyword)
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = b"%PDF-1.4 x"
    factories.store_bytes(to_bytes(dataset), facility)
    answer = get(caller, f"{SERIES}/instances/1.2.1.1.7/rendered")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content == b"%PDF-1.4 x"
    refused = get(caller, f"{SERIES}/instances/1.2.1.1.7/rendered", "image/png")
    assert_problem(refused, 406, "application/pdf")


# Other sites ---------------------------------------------------------------------------------

VIEWER = "https://viewer.example.org"


def test_other_sites_read_nothing_unless_named(
    sidecar: Sidecar, caller: Caller, held: list[np.ndarray], settings: Settings
) -> None:
    asking = {
        "Origin": VIEWER,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization, accept",
    }
    named = {"Origin": VIEWER}
    allowed = "access-control-allow-origin"
    assert allowed not in caller.get(f"{STUDY}/metadata", headers=named).headers
    assert allowed not in sidecar.nobody.request("OPTIONS", STUDY, headers=asking).headers
    settings.DICOMWEB_CORS_ORIGINS = [VIEWER]
    answer = caller.get(f"{STUDY}/metadata", headers=named)
    assert answer.headers[allowed] == VIEWER
    assert "access-control-allow-credentials" not in answer.headers
    asked = sidecar.nobody.request("OPTIONS", STUDY, headers=asking)
    assert asked.status_code == 200
    assert asked.headers[allowed] == VIEWER
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    for origin in ("https://evil.example", "null", f"{VIEWER}.evil.example"):
        answer = caller.get(f"{STUDY}/metadata", headers={"Origin": origin})
        assert allowed not in answer.headers
    # Nothing but DICOMweb.
    assert allowed not in caller.get("/api/v1/dicom/stats", headers=named).headers
    # Without a token there is nothing to read there either.
    refused = sidecar.nobody.get(f"{STUDY}/metadata", headers=named)
    assert refused.status_code == 401
