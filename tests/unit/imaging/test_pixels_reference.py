"""Every frame of the shared data against what independent decoders made of it.

The figures come from DCMTK, GDCM and OpenJPEG (`reference_frames.csv`). Files without a reference
are named one by one below, with what must hold for each.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imaging.errors import DecodeError, NotDicomError, TruncatedError
from imaging.header import InstanceIndex, read_index
from imaging.pixels import PixelFacts, decode_frame, exact_frame, problem, read_palette

TOLERANCES = {"pixel 2, mean 0.1": (2, 0.1), "pixel 8, mean 0.5": (8, 0.5)}


def facts_of(path: Path) -> tuple[InstanceIndex, PixelFacts]:
    index = read_index(path, require_identity=False)
    return index, PixelFacts.of(index, index.frames)


def digest(values: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def pack_422(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Undo the expansion: Y1 Y2 CB CR of each pair."""
    packed = np.empty((pixels.shape[0], pixels.shape[1] // 2, 4), pixels.dtype)
    packed[..., 0] = pixels[:, 0::2, 0]
    packed[..., 1] = pixels[:, 1::2, 0]
    packed[..., 2:] = pixels[:, 1::2, 1:]
    return packed


def complaint(row: dict[str, str], pixels: np.ndarray[Any, Any]) -> str | None:
    """What is wrong with a decoded frame, if anything."""
    if row["lossy"] == "yes":
        pixel, mean = TOLERANCES[row["tolerance"]]
        if (
            abs(float(pixels.min()) - float(row["min"])) > pixel
            or abs(float(pixels.max()) - float(row["max"])) > pixel
            or abs(float(pixels.mean()) - float(row["mean"])) > mean
        ):
            return f"{pixels.min()}..{pixels.max()} mean {pixels.mean():.4f}"
        return None
    if row["form"] == "422-packed":
        pixels = pack_422(pixels)
    return None if digest(pixels) == row["sha256_values"] else "another digest"


def test_every_reference_frame(data: Path) -> None:
    with (data / "reference_frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_path: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_path[row["path"]].append(row)
    wrong = []
    for name, frames in by_path.items():
        index, facts = facts_of(data / name)
        assert index.number_of_frames == int(frames[0]["frames"]), name
        assert problem(facts) is None, name
        for row in frames:
            pixels = decode_frame(data / name, facts, int(row["frame"]))
            found = complaint(row, pixels)
            if found:
                wrong.append(f"{name} frame {row['frame']}: {found}, reference {row['sha256']}")
    assert wrong == []
    assert len(rows) == 2260, "the reference changed: look at what came or went"


def test_every_file_with_pixels_is_in_the_reference_or_a_gap(data: Path) -> None:
    """A file nobody has judged would be a hole in the test above."""
    known: set[str] = set()
    for table in ("reference_frames.csv", "reference_gaps.csv"):
        with (data / table).open(newline="") as file:
            known |= {row["path"] for row in csv.DictReader(file)}
    with (data / "manifest.csv").open(newline="") as file:
        names = [row["path"] for row in csv.DictReader(file)]
    unjudged = []
    for name in names:
        try:
            index, _ = facts_of(data / name)
        except NotDicomError:
            continue
        if index.has_pixels and name not in known:
            unjudged.append(name)
    assert unjudged == []


# --- the gaps, by name -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        # 32-bit big endian: the intended values are those of the little endian file.
        ("rt/rtdose_expb.dcm", "rt/rtdose.dcm"),
        ("rt/rtdose_expb_1frame.dcm", "rt/rtdose_1frame.dcm"),
        # Deflated and run-length 1-bit frames: the same segmentation stored uncompressed.
        ("seg/liver/liver_deflate.dcm", "seg/liver/liver.dcm"),
        ("seg/liver/liver_rle.dcm", "seg/liver/liver.dcm"),
        ("seg/liver/liver_nonbyte_aligned_deflate.dcm", "seg/liver/liver_nonbyte_aligned.dcm"),
        ("seg/liver/liver_nonbyte_aligned_rle.dcm", "seg/liver/liver_nonbyte_aligned.dcm"),
    ],
)
def test_gap_has_a_twin(data: Path, name: str, twin: str) -> None:
    index, facts = facts_of(data / name)
    _, twin_facts = facts_of(data / twin)
    assert index.number_of_frames == twin_facts.frames.frame_count
    for frame in range(index.number_of_frames):
        ours = decode_frame(data / name, facts, frame)
        theirs = decode_frame(data / twin, twin_facts, frame)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_gap_wsi_edge_tiles_are_padded_with_white(data: Path) -> None:
    """`wsi/multiframe.dcm`: 23 tiles at the edges are smaller JPEGs (14 columns, 10 rows)."""
    path = data / "wsi/multiframe.dcm"
    index, facts = facts_of(path)
    assert index.number_of_frames == 140
    padded = 0
    for frame in range(140):
        stored = decode_frame(path, facts, frame)
        shown = exact_frame(path, facts, frame)
        assert stored.shape == shown.shape == (240, 240, 3)
        is_edge = frame % 14 == 13 or frame >= 126
        blank = bool((shown[-1] == 255).all() or (shown[:, -1] == 255).all())
        assert blank == is_edge, f"tile {frame}"
        padded += blank
        assert shown[0, 0].min() > 60, f"tile {frame} has its picture at the top left"
    assert padded == 23


def test_gap_jpeg_xl_is_decoded(data: Path) -> None:
    """No independent decoder reads it: what is asserted is what the picture visibly holds."""
    path = data / "transfer_syntax/jpegxl_unsupported/will-jxl.dcm"
    index, facts = facts_of(path)
    frame = exact_frame(path, facts, 0)
    assert frame.shape == (708, 1016, 3)
    grey = np.abs(frame[..., 0].astype(int) - frame[..., 2]).max(axis=None)
    assert grey > 100, "the colour Doppler is red and blue"
    assert (frame[400:, :80] < 60).mean() > 0.9, "the corner beside the fan is black"
    assert index.number_of_frames == 27
    assert exact_frame(path, facts, 26).shape == (708, 1016, 3)


def test_gap_byte_swapped_twin_of_a_ct(data: Path) -> None:
    """`GH177...`: an undefined-length sequence in a big endian data set; pydicom refuses it."""
    name = "malformed/GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm"
    index, facts = facts_of(data / name)
    _, twin_facts = facts_of(data / "transfer_syntax/wg04_ct1/CT1_UNC.explicit_big_endian.dcm")
    twin = decode_frame(
        data / "transfer_syntax/wg04_ct1/CT1_UNC.explicit_big_endian.dcm", twin_facts, 0
    )
    assert (index.rows, index.columns) == (512, 512)
    ours = decode_frame(data / name, facts, 0)
    # Outside the scan field one file has the padding of the scanner, the other has 0.
    inside = (ours != -2000) & (twin != -2000)
    np.testing.assert_array_equal(ours[inside], twin[inside])


def test_gap_twelve_bits_packed(data: Path) -> None:
    """`GH340.dcm`: ACR-NEMA with 12 bits allocated. The head is in the middle of the slice."""
    path = data / "malformed/GH340.dcm"
    _, facts = facts_of(path)
    frame = decode_frame(path, facts, 0)
    assert frame.shape == (256, 256)
    assert frame.max() < 4096
    assert frame[100:156, 100:156].mean() > 10 * frame[:20, :20].mean()
    # A wrong packing puts noise between neighbours; a head is smooth.
    assert np.abs(np.diff(frame.astype(int), axis=1)).mean() < frame.std() / 4


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("malformed/MR_truncated.dcm", TruncatedError),
        ("malformed/meta_missing_tsyntax.dcm", NotDicomError),
    ],
)
def test_gap_is_refused(data: Path, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        facts_of(data / name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("malformed/nested_priv_SQ.dcm", "how large its picture is"),
        ("malformed/dwv-test_no-number-rows.dcm", "how large its picture is"),
        ("malformed/2026-05-26-oob-monochrome-46341.dcm", "46341 x 46341"),
        ("malformed/GH1146.dcm", "pixel data is missing"),
    ],
)
def test_gap_says_why_it_is_not_shown(data: Path, name: str, words: str) -> None:
    _, facts = facts_of(data / name)
    assert words in (problem(facts) or "")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        # The size in the code stream itself is destroyed: GDCM and OpenJPEG refuse it too.
        ("malformed/JPEG2000-embedded-sequence-delimiter.dcm", "its header says 256 x 1024"),
    ],
)
def test_gap_fails_in_words(data: Path, name: str, words: str) -> None:
    _, facts = facts_of(data / name)
    with pytest.raises(DecodeError, match=words):
        decode_frame(data / name, facts, 0)


def test_as_many_bytes_as_samples_are_no_jpeg(data: Path) -> None:
    """The writer called them one; the item holds each sample uncompressed."""
    raw, (_, facts) = (
        (data / "malformed/genFile.dcm").read_bytes(),
        facts_of(data / "malformed/genFile.dcm"),
    )
    frame = decode_frame(data / "malformed/genFile.dcm", facts, 0)
    assert frame.tobytes() in raw


# --- exact frames ----------------------------------------------------------------------------


def exact(path: Path, frame: int = 0) -> np.ndarray[Any, Any]:
    _, facts = facts_of(path)
    palette = read_palette(path) if facts.is_palette else None
    return exact_frame(path, facts, frame, palette=palette)


@pytest.mark.parametrize(
    ("name", "most", "mean"),
    [
        ("TestPattern_Palette.dcm", 255, 6.0),
        ("TestPattern_Palette_16.dcm", 255, 6.0),
        ("TestPattern_JPEG-Baseline_YBR422.dcm", 255, 3.0),
        ("TestPattern_JPEG-Baseline_YBRFull.dcm", 60, 1.0),
        ("TestPattern_JPEG-LS-Lossless.dcm", 0, 0.0),
        ("TestPattern_JPEG-LS-NearLossless.dcm", 3, 1.5),
        ("TestPattern_JPEG-Lossless_RGB.dcm", 0, 0.0),
    ],
)
def test_one_test_pattern_in_many_colour_models(
    data: Path, name: str, most: int, mean: float
) -> None:
    folder = data / "color/testpattern"
    difference = np.abs(
        exact(folder / name).astype(int) - exact(folder / "TestPattern_RGB.dcm").astype(int)
    )
    assert difference.max() <= most
    assert difference.mean() <= mean


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s2.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_jpeg_lossy_gdcm.dcm",
        "SC_ybr_full_uncompressed.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_16bit.dcm",
        "SC_rgb_32bit.dcm",
        "SC_rgb_expb.dcm",
        "SC_rgb_expb_16bit.dcm",
        "SC_rgb_expb_32bit.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_jls_lossy_line.dcm",
    ],
)
def test_one_bar_chart_in_many_encodings(data: Path, name: str) -> None:
    """Ten bars: red, pink, green ... at known rows (away from their borders)."""
    frame = exact(data / "color/sc_rgb" / name)
    expected = {
        5: (255, 0, 0),
        15: (255, 128, 128),
        25: (0, 255, 0),
        35: (128, 255, 128),
        45: (0, 0, 255),
        55: (128, 128, 255),
        65: (0, 0, 0),
        75: (64, 64, 64),
        85: (192, 192, 192),
        95: (255, 255, 255),
    }
    for row, colour in expected.items():
        np.testing.assert_allclose(frame[row, 50].astype(int), colour, atol=5)


def test_channel_names_in_a_jp2_wrapper(data: Path) -> None:
    """The picture says "red", "green", "blue" in these colours."""
    frame = exact(data / "color/sc_rgb/GDCMJ2K_TextGBR.dcm").astype(int)
    for rows, channel in ((slice(30, 110), 0), (slice(130, 240), 1), (slice(240, 330), 2)):
        band = frame[rows]
        others = [other for other in range(3) if other != channel]
        is_pure = (band[..., channel] > 200) & (band[..., others].max(axis=-1) < 60)
        assert is_pure.sum() > 300, ("red", "green", "blue")[channel]


def test_lossless_exact_frames_of_grey_files_are_the_stored_values(data: Path) -> None:
    names: Iterable[str] = (
        "lut_overlay/ovly_p01.dcm",
        "malformed/J2K_pixelrep_mismatch.dcm",
        "seg/paramap/parametric_map_float.dcm",
        "seg/paramap/parametric_map_double_float.dcm",
    )
    for name in names:
        _, facts = facts_of(data / name)
        np.testing.assert_array_equal(
            exact(data / name), decode_frame(data / name, facts, 0), err_msg=name
        )
    assert exact(data / "seg/paramap/parametric_map_float.dcm").dtype == np.float32
    assert exact(data / "seg/paramap/parametric_map_double_float.dcm").dtype == np.float64
