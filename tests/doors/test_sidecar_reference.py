"""Every real file with pixels, from its arrival to the bytes that a viewer gets.

Grey frames must equal what independent decoders made of them (`reference_frames.csv`: DCMTK, GDCM,
OpenJPEG). Colour leaves as 8-bit RGB while the reference is stored samples: lossless 8-bit RGB is
compared by digest, everything else with pydicom's own conversion (which has Pillow or GDCM decode).
What must be true of the frames without a reference is in tests/unit/imaging.
"""

from __future__ import annotations

import csv
import hashlib
import io
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import UID, JPEGBaseline8Bit, RLELossless

from accounts.models import User
from archive.errors import InvalidInputError
from archive.ingest import Outcome
from tests import factories
from tests.sidecar import Caller, assert_problem, records, running
from worklist.models import DicomImage

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # pydicom complains about the files that are odd on purpose.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

GREY = {"MONOCHROME1", "MONOCHROME2"}
TOLERANCES = {"pixel 2, mean 0.1": (2, 0.1), "pixel 8, mean 0.5": (8, 0.5)}


# Refused as they are, because they lack a lawful identity; shown once they have one.
WITHOUT_IDENTITY = {
    "ct/single/gdcm-CT-MONO2-8-abdo.dcm",
    "transfer_syntax/htj2k_jls/HTJ2KLossless_08_RGB.dcm",
    "transfer_syntax/htj2k_jls/JLSL_RGB_ILV0.dcm",
    "transfer_syntax/htj2k_jls/JLSL_RGB_ILV1.dcm",
    "transfer_syntax/htj2k_jls/JLSL_RGB_ILV2.dcm",
    "transfer_syntax/htj2k_jls/JLSL_16_15_1_1F.dcm",
    "color/testpattern/TestPattern_JPEG-Lossless_RGB.dcm",
    "color/sc_rgb/SC_rgb_jls_lossy_line.dcm",
    "color/sc_rgb/SC_rgb_jls_lossy_sample.dcm",
    "us/YBR_422.dcm",
    "cr_dx_mg/CR-ModalitySequenceLUT.dcm",
    "rt/rtdose.dcm",
    "rt/rtdose_1frame.dcm",
    "seg/highdicom/sm_image_dots.dcm",
    "wsi/multiframe.dcm",
    "wsi/sm_image_grayscale.dcm",
    "malformed/badVR.dcm",
    "malformed/bad_sequence.dcm",
    "malformed/dwv-test-sequence.dcm",
}


def with_identity(content: bytes) -> bytes:
    """The same object under a new, lawful identity; its pixel data stays as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(content), force=True)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(ds, keyword, pydicom.uid.generate_uid())
        ds.SOPClassUID = ds.get("SOPClassUID") or pydicom.uid.SecondaryCaptureImageStorage
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        out = io.BytesIO()
        ds.save_as(out)
    return out.getvalue()


@pytest.fixture
def caller(store: Path, admin_user: User) -> Iterator[Caller]:
    with running() as sidecar:
        yield sidecar.by_token(admin_user)


class Arrivals:
    """Files of the shared data as they were taken in.

    Many show one image in different encodings under one UID: each gets a facility where the UID is
    still free.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self.places = [factories.facility("P0", "Place 0")]

    def take(self, name: str) -> DicomImage:
        content = (self.data / name).read_bytes()
        if name in WITHOUT_IDENTITY:
            with pytest.raises(InvalidInputError):
                factories.store_bytes(content, self.places[0])
            content = with_identity(content)
        for number in range(100):
            if number == len(self.places):
                self.places.append(factories.facility(f"P{number}", f"Place {number}"))
            result = factories.store_bytes(content, self.places[number])
            if result.outcome is not Outcome.CONFLICT:
                return DicomImage.objects.get(pk=result.image_id)
        raise AssertionError(f"no free place for {name}")


def raw_frames(
    caller: Caller, image: DicomImage, numbers: list[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """The exact frames as arrays, in batches of 32."""
    for start in range(0, len(numbers), 32):
        part = numbers[start : start + 32]
        asked = {"f": [f"{image.pk}:{number}" for number in part], "format": "raw"}
        answer = records(caller.get("/api/v1/dicom/frames", params=asked).content)
        for number, (head, body) in zip(part, answer, strict=True):
            assert head["status"] == 200, f"frame {number}: {head}"
            shape = (head["rows"], head["columns"]) + ((3,) if head["samples"] == 3 else ())
            yield number, np.frombuffer(body, np.dtype(head["dtype"])).reshape(shape)


def reference(data: Path) -> dict[str, list[dict[str, str]]]:
    by_name: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (data / "reference_frames.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            by_name[row["path"]].append(row)
    return by_name


def grey_complaint(row: dict[str, str], frame: np.ndarray) -> str:
    if row["lossy"] == "no":
        found = hashlib.sha256(frame.tobytes()).hexdigest()
        return "" if found == row["sha256_values"] else "another digest"
    most, mean = TOLERANCES[row["tolerance"]]
    if (
        abs(frame.min() - float(row["min"])) > most
        or abs(frame.max() - float(row["max"])) > most
        or abs(frame.mean() - float(row["mean"])) > mean
    ):
        return f"{frame.min()}..{frame.max()} mean {frame.mean()}"
    return ""


def eight_bit(values: np.ndarray, bits: int) -> np.ndarray:
    return (values.astype(np.uint64) >> (bits - 8)).astype(np.uint8) if bits > 8 else values


def independent_rgb(ds: pydicom.Dataset, index: int) -> np.ndarray:
    """What pydicom makes of a colour frame."""
    values = pixel_array(ds, index=index, decoding_plugin=plugin_of(ds))
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        bits = ds.RedPaletteColorLookupTableDescriptor[2]
        return eight_bit(apply_color_lut(values, ds), bits)
    return eight_bit(values, ds.BitsStored)


def plugin_of(ds: pydicom.Dataset) -> str:
    syntax = ds.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return ""
    if syntax == RLELossless:
        return "pydicom"
    return "pillow" if syntax == JPEGBaseline8Bit else "gdcm"


def colour_complaint(ds: pydicom.Dataset, row: dict[str, str], frame: np.ndarray) -> str:
    if frame.shape[2:] != (3,) or frame.dtype != np.uint8:
        return f"no RGB: {frame.shape} {frame.dtype}"
    is_plain = row["photometric"] == "RGB" and row["lossy"] == "no" and ds.BitsAllocated == 8
    if is_plain:
        found = hashlib.sha256(frame.tobytes()).hexdigest()
        return "" if found == row["sha256"] else "another digest"
    expected = independent_rgb(ds, int(row["frame"])).astype(int)
    difference = np.abs(frame.astype(int) - expected)
    # Rounding after the conversion.
    if difference.max() > 1 or difference.mean() > 0.5:
        return f"differs by {difference.max()}, mean {difference.mean():.3f}"
    return ""


def looked_up_complaint(ds: pydicom.Dataset, row: dict[str, str], frame: np.ndarray) -> str:
    """Frames with a Modality LUT leave as what pydicom makes of the reference values by it."""
    stored = pixel_array(ds, index=int(row["frame"]), decoding_plugin=plugin_of(ds))
    if complaint := grey_complaint(row, stored):
        return f"the stored values: {complaint}"
    return "" if np.array_equal(frame, apply_modality_lut(stored, ds)) else "not through its LUT"


def test_every_reference_frame_reaches_the_viewer(caller: Caller, data: Path) -> None:
    arrivals = Arrivals(data)
    wrong: list[str] = []
    judged = looked_up = 0
    for name, rows in reference(data).items():
        image = arrivals.take(name)
        ds = None
        by_number = {int(row["frame"]) + 1: row for row in rows}
        for number, frame in raw_frames(caller, image, list(by_number)):
            row = by_number[number]
            judged += 1
            if ds is None:
                ds = pydicom.dcmread(data / name, force=True)
                ds.file_meta.TransferSyntaxUID = UID(image.transfer_syntax_uid)
            if "ModalityLUTSequence" in ds:
                complaint = looked_up_complaint(ds, row, frame)
                looked_up += 1
            elif row["photometric"] in GREY:
                complaint = grey_complaint(row, frame)
            else:
                complaint = colour_complaint(ds, row, frame)
            if complaint:
                wrong.append(f"{name} frame {number}: {complaint}")
    assert wrong == []
    assert judged == 2260
    assert looked_up


def test_every_form_shows_every_kind_of_file(caller: Caller, data: Path) -> None:
    """One frame of each file: HTJ2K and RG16 decode to raw, the 8-bit forms are pictures."""
    arrivals = Arrivals(data)
    wrong: list[str] = []
    for name, rows in reference(data).items():
        image = arrivals.take(name)
        number = int(rows[len(rows) // 2]["frame"]) + 1
        ((_, exact),) = raw_frames(caller, image, [number])
        path = f"/api/v1/dicom/image/{image.pk}/frames/{number}"
        for form in ("png", "jpg"):
            answer = caller.get(f"{path}.{form}")
            if answer.status_code != 200:
                wrong.append(f"{name} {form}: {answer.text}")
                continue
            picture = np.asarray(Image.open(io.BytesIO(answer.content)))
            if picture.shape != exact.shape:
                wrong.append(f"{name} {form}: {picture.shape}")
            if form == "png" and exact.ndim == 3 and not np.array_equal(picture, exact):
                wrong.append(f"{name}: PNG differs from raw")
        if exact.dtype.itemsize > 2:
            assert_problem(caller.get(f"{path}.jphc"), 422, "raw")
            continue
        coded = imagecodecs.htj2k_decode(caller.get(f"{path}.jphc").content)
        if not np.array_equal(coded, exact) or coded.dtype != exact.dtype:
            wrong.append(f"{name}: HTJ2K differs from raw")
        if exact.ndim == 2:
            answer = caller.get(f"{path}.png?mode=rg16")
            packed = np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)
            values = packed[..., 0] * 256 + packed[..., 1] - int(answer.headers["x-frame-offset"])
            if not np.array_equal(values, exact):
                wrong.append(f"{name}: RG16 differs from raw")
    assert wrong == []
