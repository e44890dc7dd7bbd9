"""Overlay planes, read by our scanner and compared with pydicom's reader and with known bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from imaging.overlay import OverlayPlane, read_overlays
from tests.dicom import make_instance, to_bytes

BITMAP = np.random.default_rng(5).integers(0, 2, (9, 13)).astype(np.uint8)


def packed(*bitmaps: np.ndarray) -> bytes:
    flat = np.concatenate([bitmap.reshape(-1) for bitmap in bitmaps])
    data = np.packbits(flat, bitorder="little").tobytes()
    return data + bytes(len(data) % 2)


def with_overlay(
    group: int = 0x6000, bitmap: np.ndarray = BITMAP, **elements: tuple[int, str, Any]
) -> pydicom.Dataset:
    ds = make_instance(np.zeros((20, 30), np.uint16))
    values: dict[str, tuple[int, str, Any]] = {
        "rows": (0x10, "US", bitmap.shape[0]),
        "columns": (0x11, "US", bitmap.shape[1]),
        "kind": (0x40, "CS", "G"),
        "origin": (0x50, "SS", [1, 1]),
        "allocated": (0x100, "US", 1),
        "position": (0x102, "US", 0),
        "data": (0x3000, "OW", packed(bitmap)),
    } | elements
    for element, vr, value in values.values():
        if value is not None:
            ds.add_new((group, element), vr, value)
    return ds


def only(ds: pydicom.Dataset) -> OverlayPlane:
    (plane,) = read_overlays(to_bytes(ds))
    return plane


def test_a_plane_lies_where_its_origin_says() -> None:
    plane = only(with_overlay(origin=(0x50, "SS", [3, 5])))
    mask = plane.mask(1, (20, 30))
    assert mask is not None
    expected = np.zeros((20, 30), bool)
    expected[2:11, 4:17] = BITMAP
    np.testing.assert_array_equal(mask, expected)


def test_a_plane_that_begins_outside_is_cut() -> None:
    mask = only(with_overlay(origin=(0x50, "SS", [-3, 25]))).mask(1, (20, 30))
    assert mask is not None
    expected = np.zeros((20, 30), bool)
    expected[0:5, 24:30] = BITMAP[4:, :6]
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_byte_orders_and_implicit_types(syntax: str) -> None:
    ds = with_overlay(group=0x6004)
    if syntax == ExplicitVRBigEndian:
        # Written by pydicom as it stands: words of a big endian file are swapped by their writer.
        words = np.frombuffer(ds[0x60043000].value, "<u2").astype(">u2").tobytes()
        ds[0x60043000].value = words
    ds.file_meta.TransferSyntaxUID = syntax
    plane = only(ds)
    assert plane.group == 0x6004
    bitmap = plane.bitmap(1, None)
    assert bitmap is not None
    np.testing.assert_array_equal(bitmap, BITMAP)


def test_frames_of_a_plane_begin_inside_a_byte() -> None:
    bitmaps = [BITMAP, 1 - BITMAP, np.roll(BITMAP, 1)]
    plane = only(
        with_overlay(
            frames=(0x15, "IS", 3),
            first=(0x51, "US", 2),
            data=(0x3000, "OW", packed(*bitmaps)),
        )
    )
    assert plane.bitmap(1, None) is None
    assert plane.bitmap(5, None) is None
    for number, expected in enumerate(bitmaps, 2):
        bitmap = plane.bitmap(number, None)
        assert bitmap is not None
        np.testing.assert_array_equal(bitmap, expected)


def test_a_plane_in_unused_bits_of_the_cells() -> None:
    ds = with_overlay(
        allocated=(0x100, "US", 16), position=(0x102, "US", 14), data=(0x3000, "OW", None)
    )
    plane = only(ds)
    cells = np.arange(9 * 13, dtype=np.uint16).reshape(9, 13) | (BITMAP.astype(np.uint16) << 14)
    bitmap = plane.bitmap(1, lambda: cells)
    assert bitmap is not None
    np.testing.assert_array_equal(bitmap, BITMAP)
    assert plane.bitmap(1, None) is None
    assert plane.bitmap(1, lambda: np.zeros((9, 13, 3), np.uint8)) is None


@pytest.mark.parametrize(
    "elements",
    [
        {"rows": (0x10, "US", None)},
        {"columns": (0x11, "US", 0)},
        {"data": (0x3000, "OW", b"\1\2")},
        {"data": (0x3000, "OW", None)},
    ],
    ids=["no rows", "no columns", "too few bits", "no bits anywhere"],
)
def test_a_plane_that_makes_no_sense_is_absent(elements: dict[str, Any]) -> None:
    assert read_overlays(to_bytes(with_overlay(**elements))) == ()


def test_a_real_plane_as_pydicom_reads_it(data: Path) -> None:
    path = data / "lut_overlay/ovly_p01.dcm"
    ds = pydicom.dcmread(path)
    planes = read_overlays(path)
    assert planes
    for plane in planes:
        bitmap = plane.bitmap(1, None)
        if plane.bits is not None:
            assert bitmap is not None
            np.testing.assert_array_equal(bitmap, ds.overlay_array(plane.group) != 0)


def test_an_object_without_planes(data: Path) -> None:
    assert read_overlays(data / "ct/head_phantom_1mm/I270") == ()
