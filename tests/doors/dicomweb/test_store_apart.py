"""STOW-RS of metadata and bulk data: what instances they become, and when they become none."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import EncapsulatedPDFStorage, SecondaryCaptureImageStorage, generate_uid
from pytest_django import Settings

from accounts.models import Role, User
from archive import stores
from imaging import dicomxml
from imaging.encoding import encode_frame
from tests import factories, stow
from tests.codestreams import noise
from tests.dicom import make_instance
from tests.sidecar import Caller, Sidecar, assert_problem
from tests.stow import FAILED, STORED
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)

OCTETS = "application/octet-stream"
PIXELS = "7FE00010"
SYNTAX = "1.2.840.10008.1.2.4."
# What an application without an understanding of the pixels leaves out (PS3.18 10.5.2).
MACRO = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration",
)  # fmt: skip


@pytest.fixture
def caller(sidecar: Sidecar, facility: Facility) -> Caller:
    return sidecar.by_token(factories.user("tina", Role.TECHNOLOGIST, [facility]))


def model_of(ds: Dataset, *left_out: str, **bulk: str) -> dict[str, Any]:
    """A data set as the web sends it; `bulk` are addresses by keyword."""
    copy = Dataset()
    copy.update({e.tag: e for e in ds if e.keyword not in left_out and e.keyword not in bulk})
    model = copy.to_json_dict()
    for keyword, uri in bulk.items():
        tag = pydicom.datadict.tag_for_keyword(keyword)
        model[f"{tag:08X}"] = {"vr": "OB", "BulkDataURI": uri}
    return dict(sorted(model.items()))


def stored(uid: str = "") -> Dataset:
    """The one stored instance, or the one with this UID, as pydicom reads its file."""
    images = DicomImage.objects.all()
    image = images.get(sop_instance_uid=uid) if uid else images.get()
    with stores.instances().open(image.storage_key) as handle:
        return pydicom.dcmread(io.BytesIO(handle.read()))


def left_over(store: Path) -> list[str]:
    spool = store / "spool"
    return [path.name for path in spool.iterdir()] if spool.is_dir() else []


@pytest.mark.parametrize("kind", [stow.JSON, stow.XML], ids=["json", "xml"])
def test_uncompressed_pixels_and_metadata_make_the_instance(
    caller: Caller, store: Path, kind: str
) -> None:
    ds = make_instance(noise(16, 16), PatientName="Müller^Jörg", PatientComments="ž")
    model = model_of(ds, PixelData="http://example.org/pixels")
    metadata: object = [model] if kind == stow.JSON else dicomxml.of_model(model)
    part = (OCTETS, ds.PixelData, "http://example.org/pixels")
    answer = stow.send_apart(caller, metadata, part, kind=kind)
    assert answer.status_code == 200, answer.text
    assert stow.uids(answer, STORED) == [ds.SOPInstanceUID]
    found = stored()
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert found["PixelData"].VR == "OW"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds["PixelData"].VR = "OW"
    assert found.to_json_dict() == ds.to_json_dict()
    assert left_over(store) == []


def test_the_viewer_shows_what_came_apart(
    caller: Caller, sidecar: Sidecar, radiologist: User
) -> None:
    pixels = noise(16, 16)
    ds = make_instance(pixels)
    model = model_of(ds, PixelData="a")
    assert stow.send_apart(caller, [model], (OCTETS, ds.PixelData, "a")).status_code == 200
    frame = sidecar.by_token(radiologist).get(
        f"/api/v1/dicom/image/{DicomImage.objects.get().pk}/frames/1.raw"
    )
    assert frame.content == pixels.tobytes()


CODECS: dict[str, tuple[str, str, Callable[[np.ndarray], bytes], str]] = {
    "jpeg baseline": (
        "image/jpeg", f"{SYNTAX}50", lambda a: imagecodecs.jpeg8_encode(a, 95), "uint8",
    ),
    "jpeg lossless": (
        "image/jpeg", f"{SYNTAX}70", lambda a: encode_frame(a, f"{SYNTAX}70", bits_stored=16),
        "uint16",
    ),
    # Another predictor than the first.
    "jpeg lossless 14": (
        "image/jpeg", f"{SYNTAX}57", lambda a: imagecodecs.ljpeg_encode(a, bitspersample=16),
        "uint16",
    ),
    "jpeg-ls": ("image/jls", f"{SYNTAX}80", imagecodecs.jpegls_encode, "uint16"),
    "jpeg-ls near": (
        "image/jls", f"{SYNTAX}81", lambda a: imagecodecs.jpegls_encode(a, level=2), "uint8",
    ),
    "jpeg 2000": (
        "image/jp2", f"{SYNTAX}90",
        lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True, level=0),
        "uint16",
    ),
    "jpeg 2000 lossy": (
        "image/jp2", f"{SYNTAX}91",
        lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", level=40), "uint8",
    ),
    "htj2k": ("image/jphc", f"{SYNTAX}201", imagecodecs.htj2k_encode, "uint16"),
}  # fmt: skip


def test_compressed_frames_say_themselves_what_they_are(
    caller: Caller, sidecar: Sidecar, radiologist: User
) -> None:
    reader = sidecar.by_token(radiologist)
    for name, (media_type, syntax, encode, dtype) in CODECS.items():
        pixels = noise(16, 24).astype(dtype)
        stream = bytes(encode(pixels))
        ds = make_instance(pixels)
        ds.SOPClassUID = SecondaryCaptureImageStorage
        model = model_of(ds, *MACRO, PixelData="pixels")
        answer = stow.send_apart(caller, [model], (media_type, stream, "pixels"))
        assert answer.status_code == 200, (name, answer.text)
        found = stored(ds.SOPInstanceUID)
        assert found.file_meta.TransferSyntaxUID == syntax, name
        assert (found.Rows, found.Columns, found.SamplesPerPixel) == (16, 24, 1)
        assert found.PhotometricInterpretation == "MONOCHROME2"
        assert found.BitsAllocated == np.dtype(dtype).itemsize * 8
        is_lossy = syntax[len(SYNTAX) :] in {"50", "81", "91"}
        assert found.get("LossyImageCompression") == ("01" if is_lossy else None), name
        (frame,) = generate_frames(found.PixelData, number_of_frames=1)
        assert frame[: len(stream)] == stream
        raw = reader.get(f"/api/v1/dicom/image/{ds.SOPInstanceUID}/frames/1.raw")
        assert raw.status_code == 200, (name, raw.text)
        if not is_lossy:
            assert raw.content == pixels.tobytes(), name


def test_colour_jpegs_are_called_what_they_are(caller: Caller) -> None:
    colours = np.stack([noise(16, 16).astype(np.uint8)] * 3, axis=-1)
    ds = make_instance(colours)
    for subsampling, photometric in (("444", "YBR_FULL"), ("422", "YBR_FULL_422")):
        ds.SOPInstanceUID = generate_uid()
        stream = imagecodecs.jpeg8_encode(colours, 95, subsampling=subsampling)
        model = model_of(ds, *MACRO, PixelData="pixels")
        answer = stow.send_apart(caller, [model], ("image/jpeg", bytes(stream), "pixels"))
        assert answer.status_code == 200, answer.text
        image = DicomImage.objects.get(sop_instance_uid=ds.SOPInstanceUID)
        assert image.photometric_interpretation == photometric
        assert image.samples_per_pixel == 3


@pytest.mark.parametrize("addresses", [["p", "p", "p"], ["p", "p/frames/2", "p/frames/3"]],
                         ids=["one address", "an address a frame"])  # fmt: skip
def test_each_frame_is_a_part(caller: Caller, addresses: list[str]) -> None:
    frames = [noise(8, 8) + n for n in range(3)]
    streams = [bytes(imagecodecs.jpegls_encode(frame)) for frame in frames]
    ds = make_instance(frames[0], NumberOfFrames=3)
    bulk = [("image/jls", s, a) for s, a in zip(streams, addresses, strict=True)]
    answer = stow.send_apart(caller, [model_of(ds, PixelData="p")], *bulk)
    assert answer.status_code == 200, answer.text
    found = stored()
    kept = list(generate_frames(found.PixelData, number_of_frames=3))
    assert [frame[: len(s)] for frame, s in zip(kept, streams, strict=True)] == streams


def test_documents_and_bulk_data_in_sequences_find_their_places(caller: Caller) -> None:
    ds = make_instance(noise(8, 8))
    del ds.PixelData
    ds.SOPClassUID = EncapsulatedPDFStorage
    ds.EncapsulatedDocument = b"%PDF-1.7 odd length"
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    code = Dataset()
    code.add_new(0x00420011, "OB", b"\1\2")
    ds.ConceptNameCodeSequence = Sequence([code])
    model = model_of(ds, EncapsulatedDocument="doc")
    model["0040A043"] = {"vr": "SQ", "Value": [{"00420011": {"vr": "OB", "BulkDataURI": "in"}}]}
    answer = stow.send_apart(
        caller,
        [model],
        ("application/pdf", ds.EncapsulatedDocument, "doc"),
        (OCTETS, b"\1\2", "in"),
    )
    assert answer.status_code == 200, answer.text
    found = stored()
    assert found.EncapsulatedDocument == b"%PDF-1.7 odd length\0"
    assert found.ConceptNameCodeSequence[0][0x00420011].value == b"\1\2"


def test_several_instances_come_in_one_array(caller: Caller) -> None:
    several = [make_instance(noise(8, 8)) for _ in range(3)]
    several[1].PatientName = "Ünlü"
    models = [model_of(ds, PixelData=str(ds.SOPInstanceUID)) for ds in several]
    # The second one's pixel data is missing; the others are stored.
    bulk = [(OCTETS, ds.PixelData, str(ds.SOPInstanceUID)) for ds in (several[0], several[2])]
    answer = stow.send_apart(caller, models, *bulk)
    assert answer.status_code == 202, answer.text
    assert stow.uids(answer, STORED) == [several[0].SOPInstanceUID, several[2].SOPInstanceUID]
    assert stow.uids(answer, FAILED) == [several[1].SOPInstanceUID]
    assert stow.reasons(answer) == [0xC000]
    assert DicomImage.objects.count() == 2


def png(pixels: np.ndarray) -> bytes:
    return bytes(imagecodecs.png_encode(pixels.astype(np.uint8)))


REFUSED: tuple[tuple[str, bytes, dict[str, Any], int], ...] = (
    ("image/png", png(noise(8, 8)), {}, 0xC122),
    ("image/jpeg", b"no picture", {}, 0xC000),
    ("image/jls", bytes(imagecodecs.jpegls_encode(noise(8, 8))), {"Rows": 9}, 0xC000),
    ("image/jls", bytes(imagecodecs.jpegls_encode(noise(8, 8))), {"NumberOfFrames": 2}, 0xC000),
    (f"{OCTETS}; transfer-syntax=1.2.840.10008.1.2.2", bytes(128), {}, 0xC122),
    (f"{OCTETS}; transfer-syntax={SYNTAX}50", bytes(128), {}, 0xC122),
    (OCTETS, bytes(128), {"SOPInstanceUID": ""}, 0xA900),
    (OCTETS, bytes(128), {"StudyInstanceUID": "1.02"}, 0xA900),
)


def test_what_makes_no_instance_is_refused_with_its_reason(caller: Caller, store: Path) -> None:
    for media_type, content, changes, reason in REFUSED:
        model = model_of(make_instance(noise(8, 8)), PixelData="p")
        for keyword, value in changes.items():
            tag = pydicom.datadict.tag_for_keyword(keyword)
            vr = pydicom.datadict.dictionary_VR(tag)
            model[f"{tag:08X}"] = {"vr": vr, "Value": [value] if value else []}
        answer = stow.send_apart(caller, [model], (media_type, content, "p"))
        assert answer.status_code == 409, answer.text
        found = [one for tag in (FAILED, stow.OTHER) for one in stow.reasons(answer, tag)]
        assert found == [reason], (media_type, changes)
    assert not DicomImage.objects.exists()
    assert left_over(store) == []


def post(caller: Caller, body: bytes, kind: str = stow.JSON) -> httpx.Response:
    headers = {"Content-Type": stow.related(kind)}
    return caller.post("/dicom-web/studies", content=body, headers=headers)


NO_REQUESTS = (
    (stow.parts((stow.JSON, b"{]")), "JSON"),
    (stow.parts((stow.JSON, b"[]")), "no instance"),
    (stow.parts((OCTETS, b"x", "a")), "metadata"),
    (stow.parts((stow.JSON, b"[]"), (OCTETS, b"x")), "Content-Location"),
    (stow.parts((stow.JSON, b"[]"))[:-6], "cut off"),
)


def test_requests_that_are_none(caller: Caller, store: Path) -> None:
    for body, words in NO_REQUESTS:
        assert_problem(post(caller, body), 400, words)
    assert left_over(store) == []


def test_a_bad_document_among_good_ones_is_told(caller: Caller) -> None:
    ds = make_instance(noise(8, 8))
    good = dicomxml.of_model(model_of(ds, PixelData="p"))
    body = stow.parts((stow.XML, b"<a/>"), (stow.XML, good), (OCTETS, ds.PixelData, "p"))
    answer = post(caller, body, stow.XML)
    assert answer.status_code == 202
    assert stow.uids(answer, STORED) == [ds.SOPInstanceUID]
    assert stow.reasons(answer, stow.OTHER) == [0xC000]
    # In an array, too.
    models = [5, model_of(make_instance(noise(8, 8)), PixelData="p")]
    answer = stow.send_apart(caller, models, (OCTETS, ds.PixelData, "p"))
    assert answer.status_code == 202
    assert stow.reasons(answer, stow.OTHER) == [0xC000]


def test_too_much_waits_for_nothing(caller: Caller, store: Path, settings: Settings) -> None:
    settings.MAX_ARCHIVE_BYTES = 2000
    ds = make_instance(noise(8, 8))
    answer = stow.send_apart(caller, [model_of(ds, PixelData="p")], (OCTETS, bytes(4096), "p"))
    assert_problem(answer, 413, "2000")
    assert left_over(store) == []


def test_addresses_elsewhere_are_not_fetched(caller: Caller) -> None:
    ds = make_instance(noise(8, 8))
    answer = stow.send_apart(caller, [model_of(ds, PixelData="http://127.0.0.1:1/secret")])
    assert answer.status_code == 409
    assert stow.reasons(answer) == [0xC000]
    assert not DicomImage.objects.exists()
