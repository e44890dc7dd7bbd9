"""WADO-URI: objects, pictures and pages by query parameters, and what is said of wrong ones."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage, EncapsulatedPDFStorage

from archive.models import AuditEvent
from tests import factories
from tests.codestreams import compressed_instance, jpeg_2000, noise
from tests.dicom import make_instance, to_bytes
from tests.orderly import item
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import Facility

pytestmark = pytest.mark.django_db(transaction=True)

# Left half dark, right half bright; 40 columns, 20 rows.
HALVES = np.repeat(np.array([[0] * 20 + [1000] * 20], np.uint16), 20, axis=0)


def keep(facility: Facility, ds: Dataset | bytes) -> Dataset:
    content = ds if isinstance(ds, bytes) else to_bytes(ds)
    factories.store_bytes(content, facility)
    return pydicom.dcmread(io.BytesIO(content))


def naming(ds: Dataset) -> dict[str, str]:
    return {
        "requestType": "WADO",
        "studyUID": ds.StudyInstanceUID,
        "seriesUID": ds.SeriesInstanceUID,
        "objectUID": ds.SOPInstanceUID,
    }


def get(caller: Caller, ds: Dataset, accept: str = "*/*", **parameters: str) -> httpx.Response:
    return caller.get("/wado", params=naming(ds) | parameters, headers={"Accept": accept})


def picture(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))


def test_an_image_is_a_jpeg_unless_something_else_is_wanted(
    caller: Caller, facility: Facility
) -> None:
    ds = keep(facility, make_instance(HALVES))
    plain = get(caller, ds)
    assert plain.headers["content-type"] == "image/jpeg"
    assert picture(plain).shape == (20, 40)
    for kind in ("image/png", "image/gif", "image/webp"):
        answer = get(caller, ds, contentType=kind)
        assert answer.headers["content-type"] == kind
        assert picture(answer).shape == (20, 40)
    assert get(caller, ds, accept="image/png").headers["content-type"] == "image/png"
    both = get(caller, ds, contentType="image/x-unknown, image/png;q=0.5, image/jpeg;q=0.2")
    assert both.headers["content-type"] == "image/png"
    assert_problem(get(caller, ds, contentType="text/html"), 406, "image/jpeg")
    again = caller.get("/wado", params=naming(ds), headers={"If-None-Match": plain.headers["etag"]})
    assert again.status_code == 304
    assert AuditEvent.objects.filter(verb="study.view").count() == 1


def test_the_object_itself_comes_as_stored_or_in_another_encoding(
    caller: Caller, facility: Facility
) -> None:
    pixels = noise(16, 16)
    ds = keep(facility, compressed_instance([jpeg_2000(pixels)], 16, 16))
    answer = get(caller, ds, contentType="application/dicom")
    assert answer.headers["content-type"].startswith("application/dicom")
    found = pydicom.dcmread(io.BytesIO(answer.content))
    # Unasked it is uncompressed (PS3.18 8.7.3.5.2).
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert found.PixelData == pixels.tobytes()
    stored = get(
        caller, ds, contentType="application/dicom", transferSyntax="1.2.840.10008.1.2.4.90"
    )
    kept = pydicom.dcmread(io.BytesIO(stored.content))
    assert kept.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"
    assert kept.PixelData == ds.PixelData
    wrong = get(caller, ds, contentType="application/dicom", transferSyntax="1.2.3")
    assert_problem(wrong, 406)


def test_window_region_and_size_do_what_they_say(caller: Caller, facility: Facility) -> None:
    ds = keep(facility, make_instance(HALVES))
    png = {"contentType": "image/png"}
    whole = picture(get(caller, ds, **png, windowCenter="500", windowWidth="1000"))
    assert whole[:, :20].max() == 0
    assert whole[:, 20:].min() == 255
    bright = picture(get(caller, ds, **png, windowCenter="-5000", windowWidth="100"))
    assert bright.min() == 255
    assert picture(get(caller, ds, **png, columns="80")).shape == (40, 80)
    assert picture(get(caller, ds, **png, rows="10")).shape == (10, 20)
    # Both are the most that there is room for.
    assert picture(get(caller, ds, **png, rows="40", columns="40")).shape == (20, 40)
    window = {"windowCenter": "500", "windowWidth": "1000"}
    right = picture(get(caller, ds, **png, **window, region="0.5,0,1,1"))
    assert right.shape == (20, 20)
    assert right.min() == 255
    middle = picture(get(caller, ds, **png, **window, region="0.25,0.5,0.75,1", columns="40"))
    assert middle.shape == (20, 40)
    assert (middle[:, :18].max(), middle[:, 22:].min()) == (0, 255)
    rough = get(caller, ds, imageQuality="1")
    fine = get(caller, ds, imageQuality="100")
    assert len(rough.content) < len(fine.content)


def test_words_are_drawn_where_they_are_asked_for(caller: Caller, facility: Facility) -> None:
    ds = keep(facility, make_instance(np.zeros((256, 256), np.uint16), PatientName="Test^Anna"))
    png = {"contentType": "image/png", "windowCenter": "500", "windowWidth": "1000"}
    assert picture(get(caller, ds, **png)).max() == 0
    assert picture(get(caller, ds, **png, annotation="patient")).max() > 200


def test_frames_are_named_by_their_numbers(caller: Caller, facility: Facility) -> None:
    frames = [jpeg_2000(np.full((16, 16), value, np.uint16)) for value in (0, 60000)]
    ds = keep(facility, compressed_instance(frames, 16, 16))
    unasked = get(caller, ds)
    assert unasked.headers["content-type"].startswith("application/dicom")
    look = {"contentType": "image/png", "windowCenter": "30000", "windowWidth": "1000"}
    assert picture(get(caller, ds, **look)).max() == 0
    assert picture(get(caller, ds, **look, frameNumber="2")).min() == 255
    assert_problem(get(caller, ds, **look, frameNumber="3"), 404, "frame 3")
    assert_problem(get(caller, ds, **look, frameNumber="0"), 400, "frameNumber")


def test_presentation_states_are_applied(caller: Caller, facility: Facility) -> None:
    ds = keep(facility, make_instance(HALVES))
    state = make_instance(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1",
        Modality="PR",
        StudyInstanceUID=ds.StudyInstanceUID,
        PresentationLUTShape="INVERSE",
    )
    del state.PixelData
    state.file_meta.MediaStorageSOPClassUID = state.SOPClassUID
    referenced = item(
        ReferencedSOPClassUID=ds.SOPClassUID, ReferencedSOPInstanceUID=ds.SOPInstanceUID
    )
    state.ReferencedSeriesSequence = [
        item(SeriesInstanceUID=ds.SeriesInstanceUID, ReferencedImageSequence=[referenced])
    ]
    state.SoftcopyVOILUTSequence = [item(WindowCenter="500", WindowWidth="1000")]
    keep(facility, state)
    png = {"contentType": "image/png"}
    named = {
        "presentationUID": state.SOPInstanceUID,
        "presentationSeriesUID": state.SeriesInstanceUID,
    }
    shown = picture(get(caller, ds, **png, **named))
    assert shown[:, :20].min() == 255
    assert shown[:, 20:].max() == 0
    assert_problem(get(caller, ds, **png, **named | {"presentationUID": "1.2.3"}), 404)
    # The picture itself is no presentation state.
    itself = {"presentationUID": ds.SOPInstanceUID, "presentationSeriesUID": ds.SeriesInstanceUID}
    assert_problem(get(caller, ds, **png, **itself), 422, "no presentation state")


def report() -> Dataset:
    ds = make_instance(np.zeros((1, 1), np.uint8))
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated"):
        delattr(ds, keyword)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = [
        item(CodeValue="1", CodingSchemeDesignator="99T", CodeMeaning="Befund <b>")
    ]
    finding = item(
        RelationshipType="CONTAINS",
        ValueType="TEXT",
        TextValue='Kein Erguß. <script>alert("x")</script>',
    )
    finding.ConceptNameCodeSequence = [
        item(CodeValue="2", CodingSchemeDesignator="99T", CodeMeaning="Finding")
    ]
    ds.ContentSequence = [finding]
    return ds


def test_reports_are_pages_without_anything_that_runs(caller: Caller, facility: Facility) -> None:
    ds = keep(facility, report())
    page = get(caller, ds, accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "Kein Erguß." in page.text
    assert "<h1>Befund &lt;b&gt;</h1>" in page.text
    assert "<script" not in page.text
    plain = get(caller, ds, contentType="text/plain")
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Finding: Kein Erguß." in plain.text
    whole = get(caller, ds, contentType="application/dicom")
    assert pydicom.dcmread(io.BytesIO(whole.content)).SOPInstanceUID == ds.SOPInstanceUID
    assert AuditEvent.objects.filter(verb="image.read").count() == 2


def test_documents_come_as_what_they_hold(caller: Caller, facility: Facility) -> None:
    ds = report()
    del ds.ContentSequence
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    ds.EncapsulatedDocument = b"%PDF-1.7 and so on.."
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds = keep(facility, ds)
    answer = get(caller, ds, contentType="application/pdf")
    assert (answer.headers["content-type"], answer.content) == (
        "application/pdf",
        b"%PDF-1.7 and so on..",
    )
    assert get(caller, ds).headers["content-type"].startswith("application/dicom")


WRONG: tuple[tuple[dict[str, str], str], ...] = (
    ({"requestType": "WADOX"}, "requestType"),
    ({"studyUID": ""}, "studyUID"),
    ({"seriesUID": "1.02"}, "seriesUID"),
    ({"objectUID": "x"}, "objectUID"),
    ({"anonymize": "yes"}, "anonymize"),
    ({"charset": "latin-1"}, "charset"),
    ({"transferSyntax": "big"}, "transferSyntax"),
    ({"contentType": "jpeg"}, "contentType"),
    ({"rows": "many"}, "rows"),
    ({"columns": "100000"}, "columns"),
    ({"region": "0,0,2,1"}, "region"),
    ({"region": "1,1"}, "region"),
    ({"windowCenter": "5"}, "windowWidth"),
    ({"windowCenter": "a", "windowWidth": "b"}, "number"),
    ({"imageQuality": "0"}, "quality"),
    ({"annotation": "name"}, "annotation"),
    ({"presentationUID": "1.2"}, "presentationSeriesUID"),
    ({"presentationUID": "1.2", "region": "0,0,1,1"}, "region"),
)


def test_what_cannot_be_served_is_named(caller: Caller, facility: Facility) -> None:
    ds = keep(facility, make_instance(HALVES))
    for wrong, words in WRONG:
        assert_problem(get(caller, ds, **wrong), 400, words)


def test_only_the_own_facilitys_objects_are_there(
    sidecar: Sidecar, caller: Caller, facility: Facility, other_facility: Facility
) -> None:
    mine, theirs = (keep(owner, make_instance(HALVES)) for owner in (facility, other_facility))
    assert_problem(get(sidecar.nobody, mine), 401)
    assert_problem(get(caller, theirs), 403)
    crossed: Any = naming(mine) | {"seriesUID": theirs.SeriesInstanceUID}
    assert_problem(caller.get("/wado", params=crossed), 404)
    assert_problem(caller.get("/wado", params=naming(mine) | {"objectUID": "1.2.3"}), 404)
    head = caller.request("HEAD", "/wado", params=naming(mine))
    assert (head.status_code, head.content) == (200, b"")
