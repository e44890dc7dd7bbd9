"""Windows, rescale and lookup tables: the standard's formulas written out, and pydicom's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from imaging.errors import ImagingError
from imaging.header import read_index
from imaging.pixels import PixelFacts, decode_frame
from imaging.voi import (
    LookupTable,
    Window,
    apply_window,
    default_window,
    file_windows,
    frame_display,
    read_lookup_tables,
    rescale,
    windowed,
)
from tests.dicom import make_instance, to_bytes

RNG = np.random.default_rng(3)


def linear(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.2.1, as it is printed there, ymin 0 and ymax 255."""
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 255.0
    return ((x - (c - 0.5)) / (w - 1) + 0.5) * 255


def linear_exact(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.2."""
    if x <= c - w / 2:
        return 0.0
    if x > c + w / 2:
        return 255.0
    return ((x - c) / w + 0.5) * 255


def sigmoid(x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.3.1."""
    return 255 / (1 + math.exp(min(-4 * (x - c) / w, 700)))


FUNCTIONS = {"LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("center", "width"), [(40, 400), (40.5, 1), (0, 2), (2047.5, 4096), (-600, 1500), (0.3, 3.7)]
)
def test_the_standards_formulas(function: str, center: float, width: float) -> None:
    window = Window.of(center, width, function)
    assert window is not None
    values = np.concatenate((np.arange(-3000, 5000), np.linspace(center - 3, center + 3, 61)))
    expected = [FUNCTIONS[function](float(x), center, width) for x in values]
    np.testing.assert_allclose(apply_window(values, window), expected, atol=1e-9)


def test_the_standards_own_figures() -> None:
    """PS3.3 C.11.2.1.2.1: c=2048, w=4096 is the identity of 12 bits; c=0, w=1 a threshold at 0."""
    full = apply_window(np.array([0, 1, 4094, 4095]), Window(2048, 4096), top=4095)
    np.testing.assert_allclose(full, [0, 1, 4094, 4095])
    assert apply_window(np.array([-1, 0, 1]), Window(0, 1)).tolist() == [0, 255, 255]
    w2 = apply_window(np.array([-1, 0]), Window(0, 2))
    assert w2.tolist() == [0, 255]


@pytest.mark.parametrize(
    ("center", "width", "function", "is_usable"),
    [
        (40, 0, None, False),
        (40, 0.5, "LINEAR", False),
        (40, 0.5, "LINEAR_EXACT", True),
        (40, -5, "SIGMOID", False),
        (40, math.nan, None, False),
        (math.inf, 5, None, False),
        (None, 5, None, False),
        (40, None, None, False),
        (40, 1, "UNKNOWN", True),
    ],
)
def test_windows_that_make_none(
    center: float | None, width: float | None, function: str | None, is_usable: bool
) -> None:
    assert (Window.of(center, width, function) is not None) == is_usable


@pytest.mark.parametrize("slope", [0.0, math.nan, math.inf])
def test_rescale_that_makes_no_sense(slope: float) -> None:
    with pytest.raises(ImagingError, match="no sense"):
        rescale(np.zeros(3), slope, 0)


def expected_grey(values: np.ndarray[Any, Any], window: Window) -> np.ndarray[Any, Any]:
    return np.floor(apply_window(values, window) + 0.5).astype(np.uint8)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint8", 0, 255),
        ("int8", -128, 127),
        ("uint16", 0, 65535),
        ("uint16", 700, 4095),
        ("int16", -32768, 32767),
        ("int16", -1024, 3071),
        ("int16", 5, 90),
        ("uint32", 0, 2**32 - 1),
        ("int32", -70000, 70000),
        ("float32", -5, 5),
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_type_of_frame(dtype: str, low: int, high: int, function: str) -> None:
    """The table that integers go through gives the greys of the formula, value by value."""
    if dtype.startswith("float"):
        frame = RNG.uniform(low, high, (31, 33)).astype(dtype)
    else:
        frame = RNG.integers(low, high, (31, 33), dtype=dtype, endpoint=True)
        frame[0, :2] = low, high
    window = Window.of((low + high) / 2 * 1.5 - 7, (high - low) / 3, function)
    assert window is not None
    grey = windowed(frame, window, slope=1.5, intercept=-7)
    assert grey.dtype == np.uint8
    assert grey.shape == frame.shape
    np.testing.assert_array_equal(grey, expected_grey(frame.astype(float) * 1.5 - 7, window))
    inverted = windowed(frame, window, slope=1.5, intercept=-7, is_inverted=True)
    share = 255 - apply_window(frame.astype(float) * 1.5 - 7, window)
    np.testing.assert_array_equal(inverted, np.floor(share + 0.5).astype(np.uint8))


def test_not_a_number_is_black() -> None:
    frame = np.array([[np.nan, np.inf, -np.inf, 0.5]], np.float32)
    assert windowed(frame, Window(0.5, 1, "LINEAR_EXACT")).tolist() == [[0, 255, 0, 128]]
    grey = windowed(frame, Window(0.5, 1, "LINEAR_EXACT"), is_inverted=True)
    assert grey[0, 0] == 0


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "name",
    [
        "ct/head_phantom_1mm/I270",
        "study_mr_multiseries/1002/t2_tse_tra_5mm__00010.dcm",
        "transfer_syntax/ctimage/CTImage.dcm_LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1.dcm",
        "mr/single/mr.dcm",
        "cr_dx_mg/dx_image.dcm",
    ],
)
def test_the_files_own_window_as_pydicom_applies_it(data: Path, name: str) -> None:
    index = read_index(data / name, require_identity=False)
    stored = decode_frame(data / name, PixelFacts.of(index, index.frames), 0)
    windows = file_windows(index.display)
    assert windows
    theirs_ds = pydicom.dcmread(data / name)
    theirs = apply_voi_lut(apply_modality_lut(stored, theirs_ds), theirs_ds)
    # pydicom's output range is that of the bits stored, after rescale.
    theirs = (theirs - theirs.min()) / (theirs.max() - theirs.min()) * 255
    ours = windowed(
        stored,
        windows[0],
        slope=index.display["RescaleSlope"] or 1,
        intercept=index.display["RescaleIntercept"] or 0,
    ).astype(float)
    ours = (ours - ours.min()) / (ours.max() - ours.min()) * 255
    assert np.abs(ours - theirs).max() < 1.01


# --- lookup tables ---------------------------------------------------------------------------


def lut(descriptor: list[int], values: list[int], explanation: str = "", vr: str = "US") -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, vr, descriptor)
    if explanation:
        item.LUTExplanation = explanation
    item.add_new(0x00283006, "OW", np.array(values, "<u2").tobytes())
    return item


def test_lookup_tables_of_an_object() -> None:
    ds = make_instance()
    ds.ModalityLUTSequence = Sequence([lut([4, 10, 16], [0, 100, 200, 65535])])
    ds.VOILUTSequence = Sequence([lut([2, 0, 8], [0, 255], "Bone"), lut([0, 0, 8], [1])])
    tables = read_lookup_tables(to_bytes(ds))
    assert tables.modality is not None
    inputs = np.array([0, 10, 11, 12, 13, 99])
    assert tables.modality.apply(inputs).tolist() == [0, 0, 100, 200, 65535, 65535]
    assert tables.voi[0].explanation == "Bone"
    assert tables.voi[0].bits == 8
    none = read_lookup_tables(to_bytes(make_instance()))
    assert none.modality is None
    assert none.voi == ()


def test_a_table_that_begins_below_zero() -> None:
    ds = make_instance(np.zeros((4, 4), np.int16))
    ds.VOILUTSequence = Sequence([lut([3, -1, 8], [5, 6, 7], vr="SS")])
    (table,) = read_lookup_tables(to_bytes(ds)).voi
    assert table.apply(np.array([-9, -1, 0, 1, 2], np.int16)).tolist() == [5, 5, 6, 7, 7]


def test_the_output_of_a_modality_lut_has_no_sign() -> None:
    ds = make_instance(np.zeros((4, 4), np.int16))
    ds.ModalityLUTSequence = Sequence([lut([2, 0, 16], [40000, 40001])])
    ds.VOILUTSequence = Sequence([lut([2, 40000, 8], [5, 6])])
    assert read_lookup_tables(to_bytes(ds)).voi[0].first == 40000
    del ds.ModalityLUTSequence
    assert read_lookup_tables(to_bytes(ds)).voi[0].first == 40000 - 65536


def test_damaged_tables_count_as_absent() -> None:
    ds = make_instance()
    broken = lut([4, 10], [1])
    empty = Dataset()
    ds.ModalityLUTSequence = Sequence([broken])
    ds.VOILUTSequence = Sequence([empty])
    tables = read_lookup_tables(to_bytes(ds))
    assert tables.modality is None
    assert tables.voi == ()


@pytest.mark.parametrize("name", ["lut_overlay/mlut_18.dcm", "cr_dx_mg/CR-ModalitySequenceLUT.dcm"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_modality_luts_as_pydicom_applies_them(data: Path, name: str) -> None:
    index = read_index(data / name, require_identity=False)
    stored = decode_frame(data / name, PixelFacts.of(index, index.frames), 0)
    table = read_lookup_tables(data / name).modality
    assert table is not None
    theirs = apply_modality_lut(stored, pydicom.dcmread(data / name))
    np.testing.assert_array_equal(table.apply(stored), theirs)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_real_voi_lut_as_pydicom_applies_it(data: Path) -> None:
    path = data / "lut_overlay/vlut_04.dcm"
    index = read_index(path, require_identity=False)
    stored = decode_frame(path, PixelFacts.of(index, index.frames), 0)
    table = read_lookup_tables(path).voi[0]
    ds = pydicom.dcmread(path)
    theirs = apply_voi_lut(stored, ds)
    np.testing.assert_array_equal(table.apply(stored), theirs)
    grey = windowed(stored, Window(0, 1), voi_lut=table)
    expected = np.floor(theirs * (255 / (2**table.bits - 1)) + 0.5)
    np.testing.assert_array_equal(grey, expected)


def test_modality_lut_then_window() -> None:
    table = LookupTable(0, np.array([0, 1000, 2000, 3000], np.uint16), 12)
    frame = np.array([[0, 1, 2, 3]], np.uint16)
    grey = windowed(frame, Window(1500, 3000, "LINEAR_EXACT"), modality_lut=table, slope=99)
    assert grey.tolist() == [[0, 85, 170, 255]]


# --- windows without and from a file -----------------------------------------------------------


@pytest.mark.parametrize("ends", [(-2000, -1990), (-1990, -2000)], ids=["up", "down"])
def test_default_window_leaves_out_a_range_of_padding(ends: tuple[int, int]) -> None:
    """PS3.3 C.7.5.1.1.2: either end may be the greater one."""
    frame = np.concatenate((np.arange(-2000, -1989), np.arange(100, 600))).astype(np.int16)
    window = default_window(frame.reshape(7, 73), padding=ends[0], padding_limit=ends[1])
    assert 100 <= window.center - window.width / 2 <= 110
    one = default_window(frame.reshape(7, 73), padding=ends[0])
    assert one.center - one.width / 2 < -1900


def test_default_window_leaves_out_padding_and_outliers() -> None:
    frame = RNG.integers(1000, 1100, (200, 200)).astype(np.int16)
    frame[:50] = -2000
    frame[50, 0] = 32000
    window = default_window(frame, slope=2, intercept=-100, padding=-2000)
    assert window.function == "LINEAR_EXACT"
    low, high = window.center - window.width / 2, window.center + window.width / 2
    assert 1900 <= low <= 1904
    assert 2094 <= high <= 2100
    with_padding = default_window(frame, slope=2, intercept=-100)
    assert with_padding.center - with_padding.width / 2 < -4000


@pytest.mark.parametrize(
    ("frame", "grey"),
    [
        (np.array([[0, 128, 255]], np.uint8), [[0, 128, 255]]),
        (np.array([[0, 1, 1]], np.uint8), [[0, 255, 255]]),
        (np.array([[0, 0, 0]], np.uint8), [[0, 0, 0]]),
        (np.array([[7, 7, 7]], np.uint16), [[128, 128, 128]]),
        (np.array([[np.nan, np.nan]], np.float32), [[0, 0]]),
    ],
)
def test_default_window_of_plain_frames(frame: np.ndarray[Any, Any], grey: list[list[int]]) -> None:
    assert windowed(frame, default_window(frame)).tolist() == grey


def test_windows_of_a_file_and_of_its_frames() -> None:
    display = {
        "WindowCenter": [40.0, 50.0, 60.0],
        "WindowWidth": [400.0, 0.0],
        "VOILUTFunction": "SIGMOID",
        "frames": [
            {"WindowCenter": [1.0], "WindowWidth": [2.0], "RescaleSlope": None},
            {"WindowCenter": None, "WindowWidth": None, "RescaleSlope": 3.0},
        ],
    }
    assert file_windows(display, 0) == [Window(1, 2, "SIGMOID")]
    assert file_windows(display, 1) == [Window(40, 400, "SIGMOID")]
    assert frame_display(display, 1)["RescaleSlope"] == 3
    assert frame_display(display, 9)["WindowCenter"] == [40.0, 50.0, 60.0]
    assert file_windows({}) == []
