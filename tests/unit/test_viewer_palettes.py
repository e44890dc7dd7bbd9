"""The palettes that the viewer colours pictures with are those that DICOM publishes."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut

SOURCE = Path(__file__).parents[2] / "frontend/src/viewer/core/palettes.ts"
NAMES = {
    "hotIron": "hotiron",
    "pet": "pet",
    "hotMetalBlue": "hotmetalblue",
    "pet20Step": "pet20step",
    "spring": "spring",
    "summer": "summer",
    "fall": "fall",
    "winter": "winter",
}


def shipped() -> dict[str, np.ndarray]:
    found = re.findall(r'^  (\w+):\s+"([A-Za-z0-9+/=]+)",$', SOURCE.read_text(), re.MULTILINE)
    return {
        name: np.frombuffer(base64.b64decode(text), np.uint8).reshape(256, 3)
        for name, text in found
    }


def test_all_are_there() -> None:
    assert set(shipped()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_as_pydicom_reads_the_published_objects(name: str, data: Path) -> None:
    palette = pydicom.dcmread(data / f"palettes/{NAMES[name]}.dcm")
    colours = apply_color_lut(np.arange(256, dtype=np.uint8), palette)
    if colours.dtype == np.uint16:
        colours = colours >> 8
    np.testing.assert_array_equal(shipped()[name], colours)
