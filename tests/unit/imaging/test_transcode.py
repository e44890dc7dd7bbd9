"""Objects in other transfer syntaxes: pixels against the independent reference."""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import tracemalloc
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from imaging.encoding import LOSSLESS
from imaging.errors import UnsupportedError
from imaging.header import read_index
from imaging.part10 import part10_header
from imaging.pixels import PixelFacts, decode_frame, stored_frame
from imaging.transcode import TARGETS, UNCOMPRESSED, transcode
from tests.dicom import make_instance, to_bytes

EXPLICIT, IMPLICIT, DEFLATED, BIG = UNCOMPRESSED
JPEG_LS, RLE, HTJ2K, JPEG, J2K = LOSSLESS

# What may differ: it describes how pixels are encoded (PS3.5 8.2), or is padding.
_ENCODING = {
    0x7FE00010, 0x7FE00008, 0x7FE00009, 0x7FE00001, 0x7FE00002, 0x00280004, 0x00280006, 0x00282110,
    0xFFFCFFFC,
}  # fmt: skip


def converted(source: Path | bytes, target: str, **keywords: Any) -> bytes:
    """The Part 10 file of `source` in another transfer syntax."""
    content = source.read_bytes() if isinstance(source, Path) else source
    index = read_index(content, require_identity=False)
    facts = PixelFacts.of(index, index.frames)
    pieces = transcode(
        io.BytesIO(content), target, lambda number: stored_frame(content, facts, number), **keywords
    )
    header = part10_header(
        sop_class_uid=index.sop_class_uid or "1.2",
        sop_instance_uid=index.sop_instance_uid or "1.2",
        transfer_syntax_uid=target,
    )
    return header + b"".join(pieces)


def frames(content: bytes) -> list[np.ndarray[Any, Any]]:
    index = read_index(content, require_identity=False)
    facts = PixelFacts.of(index, index.frames)
    return [decode_frame(content, facts, number) for number in range(index.number_of_frames)]


def references(data: Path) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (data / "reference_frames.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found[row["path"]].append(row)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
def test_every_lossless_frame_that_is_not_stored_so_is_exact(data: Path, target: str) -> None:
    """By the digests that DCMTK, GDCM and OpenJPEG made, over the bytes that were written."""
    wrong, count = [], 0
    for name, rows in references(data).items():
        source = read_index(data / name, require_identity=False)
        if source.transfer_syntax_uid in (EXPLICIT, IMPLICIT) or rows[0]["lossy"] == "yes":
            continue
        try:
            whole = converted(data / name, target)
        except UnsupportedError as error:
            wrong.append(f"{name}: {error}")
            continue
        index = read_index(whole, require_identity=False)
        assert index.transfer_syntax_uid == target
        assert index.frames is not None
        assert index.frames.kind == "native"
        for row in rows:
            if row["form"] != "stored":
                continue
            ((offset, length),) = index.frames.fragments(int(row["frame"]))
            digest = hashlib.sha256(whole[offset : offset + length]).hexdigest()
            pixels = decode_frame(whole, PixelFacts.of(index, index.frames), int(row["frame"]))
            values = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
            is_as_referred = index.bits_allocated != 1 and index.planar_configuration != 1
            if is_as_referred and digest not in (row["sha256"], row["sha256_values"]):
                wrong.append(f"{name} frame {row['frame']}: bytes")
            if values != row["sha256_values"]:
                wrong.append(f"{name} frame {row['frame']}: values")
            count += 1
    # The one has compressed data besides its picture, in a sequence that nothing may drop.
    assert [line.partition(" ")[0] for line in wrong] == ["cr_dx_mg/GH133.dcm:"]
    assert count > 150


def plain(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content), force=True)


def differences(one: Dataset, other: Dataset, where: str = "", *, is_big: bool) -> list[str]:
    """Compare the raw values of two data sets, sequences item by item."""
    found = []
    tags = {int(tag) for tag in one.keys() | other.keys()} - _ENCODING
    for tag in sorted(tags):
        if tag & 0xFFFF == 0 or (tag == 0x00880200 and tag not in other):
            continue  # group lengths are retired; an icon may have been compressed
        if (tag in one) != (tag in other):
            found.append(f"{where}{tag:08X} in one alone")
            continue
        if other.get_item(tag).VR == "UN":
            continue  # its byte order is nobody's to change
        a, b = one[tag], other[tag]
        if is_big and b.VR == "OW":
            b.value = np.frombuffer(b.value, ">u2").astype("<u2").tobytes()
        if a.VR == "SQ" and b.VR == "SQ":
            if len(a.value) != len(b.value):
                found.append(f"{where}{tag:08X} has other items")
                continue
            for number, (item, copy) in enumerate(zip(a.value, b.value, strict=True)):
                found += differences(item, copy, f"{where}{tag:08X}[{number}].", is_big=is_big)
        elif a.VR == b.VR and a.value != b.value and a.value == a.value:
            found.append(f"{where}{tag:08X} {a.VR}: {a.value!r:.60} became {b.value!r:.60}")
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", UNCOMPRESSED, ids=["explicit", "implicit", "deflated", "big"])
def test_every_other_element_stays_as_it_is(data: Path, target: str) -> None:
    """Over one object of each kind, by pydicom, which shares no code with the writer."""
    wrong = []
    for folder in ("charset", "sr", "waveform", "rt", "pr_pdf_stl", "seg", "lut_overlay", "us"):
        paths = sorted(path for path in (data / folder).rglob("*") if path.is_file())
        for path in paths[:12]:
            before = read_index(path, require_identity=False)
            if before.transfer_syntax_uid in (BIG, DEFLATED) and folder == "seg":
                continue
            try:
                after = plain(converted(path, target))
            except UnsupportedError as error:
                wrong.append(f"{path.name}: {error}")
                continue
            wrong += [
                f"{path.name} {line}"
                for line in differences(plain(path.read_bytes()), after, is_big=target == BIG)
            ]
    assert wrong == []


@pytest.mark.parametrize("target", LOSSLESS, ids=["jpeg-ls", "rle", "htj2k", "jpeg", "j2k"])
@pytest.mark.parametrize(
    "name",
    [
        "ct/head_phantom_1mm/I270",
        "transfer_syntax/wg04_mr1/MR1_UNC",
        "color/sc_rgb/SC_rgb.dcm",
        "color/sc_rgb/SC_rgb_small_odd.dcm",
        "color/sc_rgb/SC_rgb_16bit.dcm",
        "ct/single/CT_small.dcm",
        "malformed/CT_small.dcm",
    ],
)
def test_compressed_and_back(data: Path, name: str, target: str) -> None:
    path = data / name
    if not path.exists():
        path = next(iter(sorted((data / name).parent.iterdir())))
    whole = converted(path, target)
    assert read_index(whole, require_identity=False).transfer_syntax_uid == target
    for before, after in zip(frames(path.read_bytes()), frames(whole), strict=True):
        np.testing.assert_array_equal(before, after)
    again = converted(whole, EXPLICIT)
    for before, after in zip(frames(path.read_bytes()), frames(again), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.peers
@pytest.mark.parametrize(
    ("target", "decoder"),
    [(JPEG_LS, "dcmdjpls"), (RLE, "dcmdrle"), (JPEG, "dcmdjpeg")],
    ids=["jpeg-ls", "rle", "jpeg"],
)
@pytest.mark.parametrize("name", ["ct/head_phantom_1mm/I270", "color/sc_rgb/SC_rgb.dcm"])
def test_dcmtk_reads_what_was_compressed(
    data: Path, tmp_path: Path, target: str, decoder: str, name: str
) -> None:
    path = data / name
    if not path.exists():
        pytest.fail(f"{name} is missing")
    (tmp_path / "in.dcm").write_bytes(converted(path, target))
    subprocess.run([decoder, "in.dcm", "out.dcm"], cwd=tmp_path, check=True, timeout=30)
    (before,) = frames(path.read_bytes())
    (after,) = frames((tmp_path / "out.dcm").read_bytes())
    np.testing.assert_array_equal(before, after)


def test_lossy_pictures_are_decompressed_but_never_compressed_again(data: Path) -> None:
    path = data / "transfer_syntax" / "wg04_us1" / "US1_J2KI"
    if not path.exists():
        path = next(
            data / name
            for name, rows in references(data).items()
            if rows[0]["lossy"] == "yes" and rows[0]["photometric"].startswith("YBR")
        )
    whole = converted(path, EXPLICIT)
    index = read_index(whole, require_identity=False)
    assert index.lossy
    assert plain(whole).LossyImageCompression == "01"
    assert index.photometric_interpretation in ("RGB", "YBR_FULL")
    for target in LOSSLESS:
        with pytest.raises(UnsupportedError, match="compressed with loss"):
            converted(path, target)


def test_what_cannot_be_done_is_said(data: Path) -> None:
    with pytest.raises(UnsupportedError, match="Nothing here writes"):
        converted(to_bytes(make_instance()), "1.2.840.10008.1.2.4.50")
    report = next((data / "sr").rglob("*.dcm"))
    with pytest.raises(UnsupportedError, match="holds no picture"):
        converted(report, J2K)
    assert set(TARGETS) == {*LOSSLESS, *UNCOMPRESSED}


def test_signed_values_with_few_bits_survive_every_encoding() -> None:
    pixels = np.linspace(-2048, 2047, 64 * 64).astype(np.int16).reshape(64, 64)
    content = to_bytes(make_instance(pixels, BitsStored=12, HighBit=11))
    for target in LOSSLESS:
        (after,) = frames(converted(converted(content, target), IMPLICIT))
        np.testing.assert_array_equal(after, pixels)


def test_without_bulk_data(data: Path) -> None:
    ecg = next(path for path in sorted((data / "waveform").rglob("*")) if path.is_file())
    image = data / "transfer_syntax" / "wg04_ct1" / "CT1_J2KR"
    for path in (ecg, image):
        lean = plain(converted(path, EXPLICIT, is_without_bulk=True))
        whole = plain(path.read_bytes())
        assert "PixelData" not in lean
        assert lean.SOPInstanceUID == whole.SOPInstanceUID
        assert lean.get("Rows") == whole.get("Rows")
    items = plain(converted(ecg, IMPLICIT, is_without_bulk=True)).WaveformSequence
    assert len(items) == len(plain(ecg.read_bytes()).WaveformSequence)
    assert all("WaveformData" not in item and "ChannelDefinitionSequence" in item for item in items)


def test_memory_holds_a_frame_not_the_object() -> None:
    ds = make_instance(np.zeros((512, 512), np.uint16), NumberOfFrames=64)
    ds.PixelData = bytes(512 * 512 * 2 * 64)  # 32 MiB
    content = to_bytes(ds)
    index = read_index(content)
    facts = PixelFacts.of(index, index.frames)
    tracemalloc.start()
    try:
        for target in (RLE, BIG):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            pieces = transcode(
                io.BytesIO(content), target, lambda number: stored_frame(content, facts, number)
            )
            sum(len(piece) for piece in pieces)
            assert tracemalloc.get_traced_memory()[1] - before < 20 * 2**20
    finally:
        tracemalloc.stop()
