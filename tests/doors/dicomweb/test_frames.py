"""WADO-RS in process: frames, pixel data and other large values, in every form that there is.

Objects and metadata are in test_retrieve.py, what a browser shows in test_pictures.py.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    TwelveLeadECGWaveformStorage,
)

from tests import factories, multipart
from tests.codestreams import compressed_instance, jpeg_2000, noise
from tests.dicom import to_bytes
from tests.doors.dicomweb.study import (
    DICOM,
    HTJ2K,
    IDENTITY,
    INSTANCE,
    J2K,
    JLS,
    OCTETS,
    SERIES,
    STUDY,
    get,
    instance,
)
from tests.sidecar import Caller, assert_problem
from worklist.models import Facility

pytestmark = pytest.mark.django_db(transaction=True)


# Frames --------------------------------------------------------------------------------------


@pytest.fixture
def film(store: Path, facility: Facility) -> np.ndarray:
    """Five frames, stored without compression."""
    frames = np.stack([noise(10, 8) + number for number in range(5)])
    dataset = instance(1, pixels=frames[0], NumberOfFrames=5)
    dataset.PixelData = frames.tobytes()
    factories.store_bytes(to_bytes(dataset), facility)
    return frames


@pytest.fixture
def coded(store: Path, facility: Facility) -> tuple[list[bytes], np.ndarray]:
    """Three frames as JPEG 2000 without loss, with their code streams."""
    frames = np.stack([noise(10, 8) + number for number in range(3)])
    streams = [jpeg_2000(frame) for frame in frames]
    content = compressed_instance(streams, 10, 8, NumberOfFrames=3, **IDENTITY)
    factories.store_bytes(content, facility)
    return streams, frames


@pytest.mark.parametrize("accept", [OCTETS, "*/*", f"{OCTETS}; transfer-syntax=*"])
def test_frames_leave_as_plain_samples(caller: Caller, film: np.ndarray, accept: str) -> None:
    answer = get(caller, f"{INSTANCE}/frames/2,5,1", accept)
    parts = multipart.parts(answer)
    assert [part.content for part in parts] == [film[at].tobytes() for at in (1, 4, 0)]
    assert {part.headers["content-type"] for part in parts} == {
        f"application/octet-stream; transfer-syntax={ExplicitVRLittleEndian}"
    }
    assert parts[0].headers["content-location"] == f"http://testserver{INSTANCE}/frames/2"


def test_one_frame_comes_without_parts(caller: Caller, film: np.ndarray) -> None:
    answer = get(caller, f"{INSTANCE}/frames/3", "application/octet-stream")
    assert answer.content == film[2].tobytes()
    assert int(answer.headers["content-length"]) == film[2].nbytes
    answer = get(caller, f"{INSTANCE}/frames/3", "image/jls")
    assert answer.headers["content-type"] == f"image/jls; transfer-syntax={JLS}"
    assert np.array_equal(imagecodecs.jpegls_decode(answer.content), film[2])
    assert_problem(get(caller, f"{INSTANCE}/frames/1,2", "application/octet-stream"), 406, OCTETS)


@pytest.mark.parametrize(
    ("kind", "syntax", "decode"),
    [
        ("image/jls", JLS, imagecodecs.jpegls_decode),
        ("image/jphc", HTJ2K, imagecodecs.htj2k_decode),
        ("image/jp2", J2K, imagecodecs.jpeg2k_decode),
        ("image/jpeg", "1.2.840.10008.1.2.4.70", imagecodecs.jpeg8_decode),
    ],
)
@pytest.mark.parametrize("asked", ["", "*", "same"])
def test_plain_frames_are_compressed_as_asked(
    caller: Caller, film: np.ndarray, kind: str, syntax: str, decode: Any, asked: str
) -> None:
    accept = f'multipart/related; type="{kind}"'
    if asked:
        accept += f"; transfer-syntax={syntax if asked == 'same' else asked}"
    (part,) = multipart.parts(get(caller, f"{INSTANCE}/frames/4", accept))
    assert part.headers["content-type"] == f"{kind}; transfer-syntax={syntax}"
    assert np.array_equal(decode(part.content), film[3])


@pytest.mark.parametrize(
    "accept",
    [
        f"{OCTETS}; transfer-syntax=*",
        'multipart/related; type="image/jp2"',
        f'multipart/related; type="image/jp2"; transfer-syntax={J2K}',
        f"multipart/related; type=application/octet-stream; transfer-syntax={J2K}",
        "multipart/related; type=image/jp2, multipart/related; type=image/jphc;q=0.9",
    ],
    ids=range(5),
)
def test_compressed_frames_leave_as_they_are_stored(
    caller: Caller, coded: tuple[list[bytes], np.ndarray], accept: str
) -> None:
    parts = multipart.parts(get(caller, f"{INSTANCE}/frames/3,1", accept))
    for part, at in zip(parts, (2, 0), strict=True):
        assert part.content.rstrip(b"\0") == coded[0][at].rstrip(b"\0")
        assert part.headers["content-type"] == f"image/jp2; transfer-syntax={J2K}"


def test_compressed_frames_are_decoded_and_compressed_otherwise(
    caller: Caller, coded: tuple[list[bytes], np.ndarray]
) -> None:
    parts = multipart.parts(get(caller, f"{INSTANCE}/frames/1,2,3", OCTETS))
    assert [part.content for part in parts] == [frame.tobytes() for frame in coded[1]]
    (part,) = multipart.parts(
        get(caller, f"{INSTANCE}/frames/2", 'multipart/related; type="image/jls"')
    )
    assert np.array_equal(imagecodecs.jpegls_decode(part.content), coded[1][1])


def test_pictures_that_lost_something_are_not_compressed_again(
    caller: Caller, facility: Facility, store: Path
) -> None:
    frame = noise(16, 16).astype(np.uint8)
    stream = imagecodecs.jpeg8_encode(frame, level=80)
    lossy = "1.2.840.10008.1.2.4.50"
    content = compressed_instance(
        [stream], 16, 16, lossy, BitsAllocated=8, BitsStored=8, HighBit=7,
        LossyImageCompression="01", **IDENTITY,
    )  # fmt: skip
    factories.store_bytes(content, facility)
    answer = get(caller, f"{INSTANCE}/frames/1", 'multipart/related; type="image/jls"')
    assert_problem(answer, 406, "image/jpeg")
    (part,) = multipart.parts(
        get(caller, f"{INSTANCE}/frames/1", 'multipart/related; type="image/jpeg"')
    )
    assert part.content.rstrip(b"\0") == stream.rstrip(b"\0")
    # Nobody who names no encoding gets the object blown up.
    (part,) = multipart.parts(get(caller, INSTANCE, DICOM))
    assert part.transfer_syntax == "1.2.840.10008.1.2.4.50"


def test_single_bits_begin_anew_in_each_frame(
    caller: Caller, facility: Facility, store: Path
) -> None:
    bits = (np.arange(3 * 5 * 5) % 3 == 0).astype(np.uint8).reshape(3, 5, 5)
    dataset = instance(
        1, pixels=bits[0], NumberOfFrames=3, BitsAllocated=1, BitsStored=1, HighBit=0
    )
    dataset.PixelData = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    factories.store_bytes(to_bytes(dataset), facility)
    parts = multipart.parts(get(caller, f"{INSTANCE}/frames/1,2,3", OCTETS))
    for part, frame in zip(parts, bits, strict=True):
        values = np.unpackbits(np.frombuffer(part.content, np.uint8), bitorder="little")
        assert np.array_equal(values[:25].reshape(5, 5), frame)


@pytest.mark.parametrize(
    ("numbers", "status"),
    [("0", 404), ("6", 404), ("1,6", 404), ("x", 400), ("1,", 400), ("-1", 400), ("1.5", 400),
     ("1,2,%20", 400), ("9" * 10, 400), (",".join(["1"] * 1001), 400)],
    ids=range(10),
)  # fmt: skip
def test_frames_that_there_are_not(
    caller: Caller, film: np.ndarray, numbers: str, status: int
) -> None:
    assert_problem(get(caller, f"{INSTANCE}/frames/{numbers}", OCTETS), status)


def test_what_has_no_pixels_has_no_frames(
    caller: Caller, held: dict[str, bytes], facility: Facility
) -> None:
    report = instance(9, 3, Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(report, keyword)
    factories.store_bytes(to_bytes(report), facility)
    answer = get(caller, f"{STUDY}/series/1.2.1.3/instances/1.2.1.3.9/frames/1", OCTETS)
    assert answer.status_code in (404, 422)
    assert_problem(answer, answer.status_code)
    assert_problem(get(caller, f"{STUDY}/series/1.2.1.3/pixeldata", OCTETS), 404, "no pictures")
    assert len(multipart.parts(get(caller, f"{STUDY}/pixeldata", OCTETS))) == 4


def test_the_pixel_data_of_each_level(
    caller: Caller, held: dict[str, bytes], film: np.ndarray
) -> None:
    # The film was refused as a conflict: 1.2.1.1.1 is the first instance of `held`.
    parts = multipart.parts(get(caller, f"{SERIES}/pixeldata", OCTETS))
    places = [part.headers["content-location"] for part in parts]
    assert places == [
        f"http://testserver{SERIES}/instances/1.2.1.1.{n}/frames/1" for n in (1, 2, 3)
    ]
    (one,) = multipart.parts(get(caller, f"{INSTANCE}/pixeldata", OCTETS))
    expected = pydicom.dcmread(io.BytesIO(held["1.2.1.1.1"])).PixelData
    assert one.content == parts[0].content == expected


# Large values --------------------------------------------------------------------------------


def waveform() -> Dataset:
    dataset = instance(1, 4, SOPClassUID=TwelveLeadECGWaveformStorage, Modality="ECG")
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(dataset, keyword)
    group = Dataset()
    group.WaveformBitsAllocated = 16
    group.WaveformData = np.arange(3000, dtype="<i2").tobytes()
    group["WaveformData"].VR = "OW"
    dataset.WaveformSequence = Sequence([Dataset(), group])
    return dataset


def test_addresses_in_metadata_lead_to_the_values(
    caller: Caller, facility: Facility, store: Path
) -> None:
    factories.store_bytes(to_bytes(waveform()), facility)
    path = f"{STUDY}/series/1.2.1.4/instances/1.2.1.4.1"
    (model,) = caller.get(f"{path}/metadata").json()
    uri = model["54000100"]["Value"][1]["54001010"]["BulkDataURI"]
    assert uri == f"http://testserver{path}/bulkdata/54000100/2/54001010"
    address = uri.removeprefix("http://testserver")
    expected = np.arange(3000, dtype="<i2").tobytes()
    plain = caller.get(address)
    assert plain.headers["content-type"] == "application/octet-stream"
    assert plain.headers["content-disposition"] == "attachment"
    assert plain.content == expected
    (part,) = multipart.parts(get(caller, address, OCTETS))
    assert part.content == expected
    part_of = get(caller, address, "*/*", Range="bytes=10-19")
    assert part_of.status_code == 206
    assert part_of.content == expected[10:20]


def test_a_document_has_its_own_media_type(caller: Caller, facility: Facility, store: Path) -> None:
    content = b"%PDF-1.4 " + bytes(100_000)
    dataset = instance(1, 5, SOPClassUID=EncapsulatedPDFStorage, Modality="DOC")
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(dataset, keyword)
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = content + b"\0"
    factories.store_bytes(to_bytes(dataset), facility)
    path = f"{STUDY}/series/1.2.1.5/instances/1.2.1.5.1/bulkdata/00420011"
    answer = get(caller, path, "application/pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(content)
    assert caller.get(path).headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "path",
    ["00100010/1/00100010", "00091001", "nonsense", "54000100/9/54001010", "..%2f..%2fetc%2fpasswd",
     "00420011", "/"],
    ids=range(7),
)  # fmt: skip
def test_other_addresses_name_no_value(caller: Caller, held: dict[str, bytes], path: str) -> None:
    assert_problem(caller.get(f"{INSTANCE}/bulkdata/{path}"), 404)
