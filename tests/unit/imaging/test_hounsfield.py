"""The check of Hounsfield units, on made slices of air and tissue and on real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imaging.header import read_index
from imaging.hounsfield import HounsfieldReport, validate_hounsfield
from imaging.pixels import PixelFacts, exact_frame

RNG = np.random.default_rng(5)


def slice_of(air: float = -1000, tissue: float = 40, corner: float | None = -1000) -> Any:
    """A disc of tissue with a bone in air, in HU, with noise; the corners hold one value."""
    y, x = np.mgrid[-128:128, -128:128]
    radius = np.hypot(x, y)
    values = np.full((256, 256), air) + RNG.normal(0, 12, (256, 256))
    values[radius < 70] = tissue + RNG.normal(0, 12, (radius < 70).sum())
    values[radius < 15] = 900
    if corner is not None:
        values[radius > 127] = corner
    return values


def checked(
    values: Any, *, slope: float | None = 1, intercept: float | None = -1024, **more: Any
) -> HounsfieldReport:
    stored = np.rint((values - (-1024)) / 1).astype(np.int16)
    display = {"RescaleSlope": slope, "RescaleIntercept": intercept, "RescaleType": "HU"}
    return validate_hounsfield([stored], display | more, modality="CT")


def test_a_sound_slice() -> None:
    report = checked(slice_of())
    assert report.is_applicable
    assert report.is_valid
    assert report.issues == ()
    assert report.air_hu == pytest.approx(-1000, abs=10)
    assert report.tissue_hu == pytest.approx(40, abs=10)
    assert json.loads(json.dumps(report.to_json()))["issues"] == []


@pytest.mark.parametrize("corner", [-1024, -2000, -3024])
def test_the_fill_of_the_corners_is_no_fault(corner: float) -> None:
    assert checked(slice_of(corner=corner)).issues == ()


@pytest.mark.parametrize(
    ("values", "more", "words"),
    [
        (slice_of(), {"intercept": 0}, "neither air nor fat"),
        (slice_of(), {"intercept": -2048}, "thinner than air"),
        (slice_of(air=-920, tissue=40, corner=None), {}, "Air measures -9"),
        (slice_of(air=-850, tissue=200, corner=None), {}, "main tissue measures 2"),
        (slice_of(), {"slope": None}, "no rescale slope"),
        (slice_of(), {"intercept": None}, "no rescale slope"),
        (slice_of(), {"slope": 100}, "rescale slope is 100"),
        (slice_of(), {"intercept": 5000}, "rescale intercept is 5000"),
        (slice_of(air=-1000, tissue=-1000)[:100, :100], {}, "nothing but air"),
    ],
    ids=["no intercept", "twice", "air", "shifted", "none", "half", "slope", "intercept", "empty"],
)
def test_faults(values: Any, more: dict[str, Any], words: str) -> None:
    report = checked(values, **more)
    assert report.is_applicable
    assert not report.is_valid
    assert any(words in issue for issue in report.issues), report.issues
    assert all(issue.endswith(".") for issue in report.issues)


def test_padding_is_left_out() -> None:
    values = slice_of()
    values[:128] = -3000
    report = checked(values, PixelPaddingValue=-3000 + 1024)
    assert report.issues == ()
    assert report.least_hu is not None
    assert report.least_hu > -1200
    nothing = checked(np.full((80, 80), -3000.0), PixelPaddingValue=-3000 + 1024)
    assert "nothing but padding" in nothing.issues[0]


def test_a_few_pixels_are_not_judged() -> None:
    report = checked(slice_of()[:16, :16])
    assert report.is_valid
    assert report.air_hu is None


@pytest.mark.parametrize(
    ("modality", "image_type", "rescale_type"),
    [
        ("MR", (), "HU"),
        (None, (), None),
        ("CT", ("ORIGINAL", "PRIMARY", "LOCALIZER"), "HU"),
        ("CT", (), "Z_EFF"),
    ],
)
def test_what_has_no_hounsfield_units(
    modality: str | None, image_type: tuple[str, ...], rescale_type: str | None
) -> None:
    report = validate_hounsfield(
        [np.zeros((90, 90), np.int16)],
        {"RescaleType": rescale_type},
        modality=modality,
        image_type=image_type,
    )
    assert not report.is_applicable
    assert report.is_valid


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [
        ("ct/head_phantom_1mm/I270", True),
        ("study_ct_sr/1001/Kopf_nativ__5.0__H42s__00009.dcm", True),
        ("rt/breast/ct.0.dcm", True),
        ("seg/liver/01.dcm", True),
        ("transfer_syntax/wg04_ct1/CT1_RLE", True),  # lung, but no air: the corners are filled
        ("malformed/CT_small.dcm", True),  # the inside of a lung
        # Recompressed by a tool that kept the intercept and moved the values.
        ("ct/enhanced/CT0012.fragmented_no_bot_jpeg_baseline.51.dcm", False),
        # Eight bits without rescale are no HU.
        ("ct/single/gdcm-CT-MONO2-8-abdo.dcm", False),
    ],
)
def test_real_slices(data: Path, name: str, is_valid: bool) -> None:
    index = read_index(data / name, require_identity=False)
    frame = exact_frame(data / name, PixelFacts.of(index, index.frames), 0)
    report = validate_hounsfield(
        [frame],
        index.display,
        modality=index.modality,
        image_type=index.image_type,
        is_lossy=index.lossy,
    )
    assert report.is_applicable
    assert report.is_valid is is_valid, report.issues
