"""Palettes: plain and segmented, 8 and 16 bits."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut

from imaging.errors import DecodeError
from imaging.header import read_index
from imaging.palette import Palette, expand_segments, read_palette
from imaging.pixels import PixelFacts, decode_frame
from tests.dicom import make_instance, to_bytes


def with_palette(
    descriptor: list[int],
    tables: list[bytes],
    *,
    is_segmented: bool = False,
    vr: str = "US",
    **keywords: Any,
) -> bytes:
    ds = make_instance(
        np.zeros((2, 2), np.uint8), PhotometricInterpretation="PALETTE COLOR", **keywords
    )
    for element, table in enumerate(tables, 1):
        ds.add_new(0x00281100 + element, vr, descriptor)
        ds.add_new(0x00281200 + element + (0x20 if is_segmented else 0), "OW", table)
    return to_bytes(ds)


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


def colours(raw: bytes) -> list[list[int]]:
    palette = read_palette(raw)
    assert palette is not None
    return palette.colours.tolist()


def test_sixteen_bits_keep_their_high_byte() -> None:
    raw = with_palette([2, 5, 16], [words(0xFF00, 0x1234), words(0, 0xFFFF), words(1, 0x8000)])
    assert colours(raw) == [[0xFF, 0, 0], [0x12, 0xFF, 0x80]]
    palette = read_palette(raw)
    assert palette is not None
    assert palette.first == 5


def test_eight_bits_in_bytes_and_in_words() -> None:
    tables = [b"\x01\x02", b"\x03\x04", b"\x05\x06"]
    assert colours(with_palette([2, 0, 8], tables)) == [[1, 3, 5], [2, 4, 6]]
    in_words = [words(1, 2), words(3, 4), words(5, 6)]
    assert colours(with_palette([2, 0, 8], in_words)) == [[1, 3, 5], [2, 4, 6]]


def test_sixteen_announced_and_eight_stored() -> None:
    """Else the whole picture would be black."""
    raw = with_palette([2, 0, 16], [words(255, 1), words(0, 2), words(9, 3)])
    assert colours(raw) == [[255, 0, 9], [1, 2, 3]]


@pytest.mark.parametrize(("vr", "first"), [("SS", -3), ("US", 65533)])
def test_a_first_value_below_zero(vr: str, first: int) -> None:
    tables = [b"\x01\x02", b"\x03\x04", b"\x05\x06"]
    raw = with_palette([2, first, 8], tables, vr=vr, PixelRepresentation=1)
    palette = read_palette(raw)
    assert palette is not None
    assert palette.first == -3
    shown = palette.apply(np.array([-9, -3, -2, 7], np.int8))
    assert shown[:, 0].tolist() == [1, 1, 2, 2]


def test_zero_entries_mean_65536() -> None:
    table = np.arange(65536, dtype="<u2").tobytes()
    raw = with_palette([0, 0, 16], [table] * 3)
    palette = read_palette(raw)
    assert palette is not None
    assert len(palette.colours) == 65536
    assert palette.colours[0xABCD].tolist() == [0xAB] * 3


def test_segments_of_the_standards_own_example() -> None:
    """PS3.3 C.7.9.2: discrete, linear, and a copy of both."""
    data = np.array([0, 2, 10, 20, 1, 4, 100, 2, 2, 0, 0], np.uint16)
    assert expand_segments(data).tolist() == [10, 20, 40, 60, 80, 100] * 2


def test_segmented_palette_of_an_object() -> None:
    table = words(0, 1, 0, 1, 3, 0xFF00)
    raw = with_palette([4, 0, 16], [table] * 3, is_segmented=True)
    assert [c[0] for c in colours(raw)] == [0, 0x55, 0xAA, 0xFF]


@pytest.mark.parametrize(
    "data",
    [
        [0, 5, 1],
        [1, 3, 100],
        [2, 1, 0, 0],
        [3, 1],
        [2, 9, 1, 0],
        [0, 1, 5, 2, 1, 6, 0],
        [0, 1, 5] + [1, 65535, 9] * 3,
        [0, 1, 5] + [2, 60000, 0, 0] * 9,
        [0, 0] * 20000 + [2, 20000, 0, 0] * 5000,
    ],
    ids=range(9),
)
def test_segments_that_lie(data: list[int]) -> None:
    with pytest.raises(DecodeError):
        expand_segments(np.array(data, np.uint16))


@pytest.mark.parametrize(
    ("descriptor", "tables"),
    [([2, 0], [b"\x01\x02"] * 3), ([2, 0, 8], [b""] * 3), ([2, 0, 8], [b"\x01\x02"])],
)
def test_palettes_that_are_incomplete(descriptor: list[int], tables: list[bytes]) -> None:
    with pytest.raises(DecodeError, match="colour table"):
        read_palette(with_palette(descriptor, tables))


def test_no_palette() -> None:
    assert read_palette(to_bytes(make_instance())) is None


def test_a_palette_survives_a_cache() -> None:
    raw = with_palette([2, 5, 8], [b"\x01\x02", b"\x03\x04", b"\x05\x06"])
    palette = read_palette(raw)
    assert palette is not None
    again = Palette.from_bytes(palette.to_bytes())
    assert again.first == palette.first
    np.testing.assert_array_equal(again.colours, palette.colours)
    for bad in (b"", palette.to_bytes()[:-1], bytes(8)):
        with pytest.raises(DecodeError):
            Palette.from_bytes(bad)


@pytest.mark.parametrize(
    "name",
    [
        "us/OBXXXX1A.dcm",
        "us/no-pixel-spacing.dcm",
        "us/cine/US-PAL-8-10x-echo",
        "lut_overlay/examples_palette.dcm",
        "color/testpattern/TestPattern_Palette.dcm",
        "seg/highdicom/seg_image_sm_control_labelmap_palette_color.dcm",
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_palettes_as_pydicom_applies_them(data: Path, name: str) -> None:
    path = data / name
    index = read_index(path, require_identity=False)
    stored = decode_frame(path, PixelFacts.of(index, index.frames), 0)
    palette = read_palette(path)
    assert palette is not None
    theirs = apply_color_lut(stored, pydicom.dcmread(path))
    shift = 8 if theirs.dtype == np.uint16 and theirs.max() > 255 else 0
    np.testing.assert_array_equal(palette.apply(stored), theirs >> shift)


def test_published_palettes(data: Path) -> None:
    """The standard's own Hot Iron: black to white over red and yellow (PS3.6 Annex B)."""
    palette = read_palette(data / "palettes/hotiron.dcm")
    assert palette is not None
    assert len(palette.colours) == 256
    assert palette.colours[0].tolist() == [0, 0, 0]
    assert palette.colours[255].tolist() == [255, 255, 255]
    assert palette.colours[100].tolist() == [200, 0, 0]
    spring = read_palette(data / "palettes/spring.dcm")
    assert spring is not None, "spring is segmented"
    assert spring.colours[0].tolist() == [255, 0, 255]
    assert spring.colours[255].tolist() == [255, 255, 0]
