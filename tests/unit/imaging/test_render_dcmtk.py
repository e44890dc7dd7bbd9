"""Rendered pictures of real files beside those that DCMTK's dcmj2pnm draws of them.

Tolerances are in grey levels. One: DCMTK cuts off the fractions that we round. None for colour and
for windows that hit whole levels. Formulas of PS3.3 are tested in test_voi.py.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imaging.header import read_index
from imaging.overlay import read_overlays
from imaging.palette import read_palette
from imaging.pixels import PixelFacts, exact_frame
from imaging.render import Presentation, to_eight_bit
from imaging.voi import Window, read_lookup_tables

pytestmark = pytest.mark.peers

FIRST_WINDOW, FIRST_TABLE, NONE = ("+Wi", "1"), ("+Wl", "1"), ()
CHOSEN = ("+Ww", "500", "900")
FILES: dict[str, tuple[tuple[str, ...], int]] = {
    "ct/single/CT-JPEGLosslessSV1.dcm": (FIRST_WINDOW, 1),
    "mr/dcm4che_16/MR04.dcm": (FIRST_WINDOW, 1),
    "mr/enhanced/emri_small_RLE.dcm": (CHOSEN, 1),
    "transfer_syntax/wg04_mr1/MR1_JPLY": (FIRST_WINDOW, 1),
    "transfer_syntax/wg04_nm1/NM1_RLE": (CHOSEN, 1),
    "cr_dx_mg/gdcm-CR-MONO1-10-chest.dcm": (FIRST_WINDOW, 1),
    "cr_dx_mg/dx_image.dcm": (FIRST_WINDOW, 0),
    "rt/breast/ct.0.dcm": (FIRST_WINDOW, 1),
    "lut_overlay/mlut_18.dcm": (CHOSEN, 1),
    "lut_overlay/vlut_04.dcm": (FIRST_TABLE, 0),
    "lut_overlay/OT-PAL-8-face.dcm": (NONE, 0),
    "color/testpattern/TestPattern_Palette_16.dcm": (NONE, 0),
    "color/testpattern/TestPattern_JPEG-Baseline_YBR422.dcm": (NONE, 0),
    "color/sc_rgb/SC_rgb_expb_16bit.dcm": (NONE, 0),
    "us/US-YBR_FULL_422-EVRLE.dcm": (NONE, 1),
    "us/cine/US-PAL-8-10x-echo": (NONE, 0),
}


def ours(path: Path, *, window: Window | None = None) -> np.ndarray:
    index = read_index(path)
    facts = PixelFacts.of(index, index.frames)
    palette = read_palette(path) if facts.is_palette else None
    presentation = Presentation.of(
        index.display, index.photometric_interpretation, tables=read_lookup_tables(path)
    )
    return to_eight_bit(exact_frame(path, facts, 0, palette=palette), presentation, window=window)


def by_dcmtk(path: Path, folder: Path, *options: str) -> np.ndarray:
    out = folder / "out.pnm"
    subprocess.run(["dcmj2pnm", "+op", *options, path, out], check=True, capture_output=True)
    return np.asarray(Image.open(out))


@pytest.mark.parametrize("name", FILES)
def test_pictures_are_those_of_dcmtk(data: Path, tmp_path: Path, name: str) -> None:
    options, tolerance = FILES[name]
    window = Window(500, 900) if options is CHOSEN else None
    picture = ours(data / name, window=window)
    theirs = by_dcmtk(data / name, tmp_path, "-O", *options)
    assert picture.shape == theirs.shape
    assert np.abs(picture.astype(int) - theirs).max() <= tolerance


def test_overlays_are_where_dcmtk_draws_them(data: Path, tmp_path: Path) -> None:
    """Two planes of this file stand beside the pixels, two in unused bits of their cells."""
    path = data / "lut_overlay/ovly_p01.dcm"
    index = read_index(path)
    facts = PixelFacts.of(index, index.frames)
    whole = replace(facts, bits_stored=16, high_bit=15, is_signed=False)
    plain = by_dcmtk(path, tmp_path, "-O", *CHOSEN)
    drawn = by_dcmtk(path, tmp_path, "+Omr", *CHOSEN)
    shape = (plain.shape[0], plain.shape[1])
    planes = read_overlays(path)
    assert [plane.bits is None for plane in planes] == [True, True, False, False]
    masks = [plane.mask(1, shape, lambda: exact_frame(path, whole, 0)) for plane in planes]
    mask = np.logical_or.reduce([mask for mask in masks if mask is not None])
    np.testing.assert_array_equal(drawn, np.where(mask, 255, plain))


@pytest.mark.parametrize("function", ["LINEAR", "SIGMOID"])
def test_functions_of_a_window(data: Path, tmp_path: Path, function: str) -> None:
    path = data / "rt/breast/ct.0.dcm"
    window = Window.of(40, 400, function)
    option = {"LINEAR": "+Wfl", "SIGMOID": "+Wfs"}[function]
    theirs = by_dcmtk(path, tmp_path, "-O", "+Ww", "40", "400", option)
    assert np.abs(ours(path, window=window).astype(int) - theirs).max() <= 1
