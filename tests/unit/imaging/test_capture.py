"""JPEG and PNG as DICOM objects: what viewers decode, and that the file comes back exactly."""

from __future__ import annotations

import io
from datetime import datetime

import numpy as np
import pydicom
import pytest
from PIL import Image

from imaging import capture, uid
from imaging.capture import CaptureFacts
from imaging.errors import DecodeError, InvalidUIDError, LimitError

FACTS = CaptureFacts(
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.1",
    sop_instance_uid="1.2.3.1.1",
    at=datetime(2026, 1, 10, 11, 12, 13),  # noqa: DTZ001 - as facts have it, the site's clock
    patient={"PatientName": "Müller^Eva", "PatientID": "P7", "PatientBirthDate": "19700102"},
    modality="CR",
    series_number=1,
    instance_number=2,
)
GREY = (np.indices((24, 33)).sum(axis=0) * 4).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(COLOUR, "JPEG", exif=exif)


PICTURES = {
    "grey JPEG": encoded(GREY, "JPEG"),
    "colour JPEG": encoded(COLOUR, "JPEG", quality=95, subsampling=0),
    "progressive JPEG": encoded(COLOUR, "JPEG", progressive=True),
    "JPEG with bytes behind its end": encoded(GREY, "JPEG") + b"trailer",
    "turned JPEG": rotated(),
    "grey PNG": encoded(GREY, "PNG"),
    "colour PNG": encoded(COLOUR, "PNG"),
    "deep PNG": encoded(GREY.astype(np.uint16) * 257, "PNG"),
    "clear PNG": encoded(np.dstack([COLOUR, np.full(GREY.shape, 255, np.uint8)]), "PNG"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_comes_back_byte_for_byte(name: str) -> None:
    picture = PICTURES[name]
    made = capture.write(picture, FACTS)
    ds = pydicom.dcmread(io.BytesIO(made))
    syntax = str(ds.file_meta.TransferSyntaxUID)
    assert capture.original(io.BytesIO(made), len(made), syntax, len(picture)) == picture
    assert capture.write(picture, FACTS) == made


@pytest.mark.parametrize("name", PICTURES)
def test_a_viewer_sees_what_the_picture_shows(name: str) -> None:
    ds = pydicom.dcmread(io.BytesIO(capture.write(PICTURES[name], FACTS)))
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert str(ds.PatientName) == "Müller^Eva"
    assert (ds.PatientID, ds.Modality, ds.InstanceNumber) == ("P7", "CR", 2)
    assert (ds.get("LossyImageCompression") == "01") is ("JPEG" in name)
    picture: Image.Image = Image.open(io.BytesIO(PICTURES[name]))
    if name == "turned JPEG":
        picture = picture.transpose(Image.Transpose.ROTATE_270)
    if name == "clear PNG":
        picture = picture.convert("RGB")
    seen = np.asarray(picture)
    shown = ds.pixel_array
    assert shown.shape == seen.shape
    # Two decoders of one JPEG may differ by a little in colour.
    assert np.abs(shown.astype(int) - seen.astype(int)).max() <= (0 if "PNG" in name else 3)


def test_a_baseline_jpeg_is_the_frame_and_others_travel_behind_the_pixels() -> None:
    baseline = pydicom.dcmread(io.BytesIO(capture.write(PICTURES["colour JPEG"], FACTS)))
    assert baseline.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
    assert baseline.PhotometricInterpretation == "YBR_FULL_422"
    assert not [element for element in baseline if element.tag.is_private]
    other = pydicom.dcmread(io.BytesIO(capture.write(PICTURES["progressive JPEG"], FACTS)))
    assert other.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert other.private_block(0x7FE1, "NOCTIS_PRO CAPTURE")[0x01].value == "image/jpeg"
    assert min(e.tag for e in other if e.tag.is_private) > other["PixelData"].tag


@pytest.mark.parametrize("name", ["grey JPEG", "colour PNG"])
def test_a_picture_that_is_cut_off_is_refused(name: str) -> None:
    with pytest.raises(DecodeError, match="cut off"):
        capture.write(PICTURES[name][:-20], FACTS)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(DecodeError, match="neither"):
        capture.write(b"GIF89a and more", FACTS)
    broken = PICTURES["colour PNG"]
    with pytest.raises(DecodeError, match="cannot be decoded"):
        capture.write(broken[:40] + b"\0" * 40 + broken[80:], FACTS)


def test_a_picture_that_claims_to_be_huge_is_not_decoded() -> None:
    head = bytearray(PICTURES["grey PNG"])
    head[16:24] = (60_000).to_bytes(4) * 2
    with pytest.raises((LimitError, DecodeError)):
        capture.write(bytes(head), FACTS)


def test_a_file_that_was_no_picture_has_none() -> None:
    assert capture.original(io.BytesIO(b"x" * 400), 400, "1.2.840.10008.1.2.1", 100) is None
    assert capture.original(io.BytesIO(b"x"), 1, "1.2.840.10008.1.2.1", 100) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1.2.840.10008", "1.2.840.10008"),
        # PS3.5 B.2's own example.
        ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "2.25.329800735698586629295641978511506172918"),
        ("F81D4FAE7DEC11D0A76500A0C91E6BF6", "2.25.329800735698586629295641978511506172918"),
        ("12345678901234567890123456789012", "12345678901234567890123456789012"),
    ],
    ids=["a UID", "a UUID", "a UUID without hyphens", "digits"],
)
def test_uids_are_uids_or_uuids(text: str, wanted: str) -> None:
    assert uid.from_text(text, "'study_uid'") == wanted


@pytest.mark.parametrize("text", ["", "1.02", "x", "{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}"])
def test_anything_else_is_no_uid(text: str) -> None:
    with pytest.raises(InvalidUIDError):
        uid.from_text(text, "'study_uid'")
