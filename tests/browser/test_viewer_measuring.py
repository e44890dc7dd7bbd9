"""The measuring tools beyond length, angle and boxes, and the 3D view, in Chromium.

Drawn on phantoms (tests/browser/phantoms.py) of 2 mm pixels and a known field of values: expected
sizes and values are computed from those.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import UNCALIBRATED, ReadingSite
from tests.browser.phantoms import SPACE
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]
Point = tuple[float, float]
_COLUMNS, _ROWS, _PIXEL_MM = 64, 48, 2.0


@pytest.fixture
def viewer(reading_site: ReadingSite, new_page: NewPage) -> ViewerPage:
    """The thin axial phantom in one viewport, at its first slice (z = -40), nothing drawn."""
    viewer = ViewerPage(new_page()).open(reading_site.viewer(SPACE))
    viewer.erase()
    viewer.button("Layout")
    viewer.page.get_by_role("button", name="One viewport").click()
    viewer.open_series("Thin axial")
    viewer.press("Home", "Space")
    viewer.page.get_by_role("button", name="Measurements", exact=True).click()
    return viewer


def field(column: float, row: float, z: float = -40) -> float:
    """HU of the phantom at a place of the picture."""
    return 2 * (-64 + _PIXEL_MM * column) + 3 * (-48 + _PIXEL_MM * row) + 5 * z


def at(viewer: ViewerPage, point: Point, size: Point = (_COLUMNS, _ROWS)) -> Point:
    """Where a place of the picture (column, row) stands on the page."""
    box = viewer.page.locator(".pointer").first.bounding_box()
    assert box is not None
    scale = min(box["width"] / size[0], box["height"] / size[1])
    return (
        box["x"] + box["width"] / 2 + (point[0] - (size[0] - 1) / 2) * scale,
        box["y"] + box["height"] / 2 + (point[1] - (size[1] - 1) / 2) * scale,
    )


def choose(viewer: ViewerPage, name: str) -> None:
    viewer.choose("More tools", name)


def stroke(viewer: ViewerPage, *points: Point, **how: Any) -> None:
    mouse = viewer.page.mouse
    mouse.move(*at(viewer, points[0], **how))
    mouse.down()
    for point in points[1:]:
        mouse.move(*at(viewer, point, **how), steps=6)
    mouse.up()


def kept(viewer: ViewerPage, count: int = 1) -> list[dict[str, Any]]:
    expect(viewer.page.locator("table.measurements tbody tr")).to_have_count(count)
    viewer.expect_saved()
    return viewer.saved()


def test_both_axes_of_a_lesion(viewer: ViewerPage) -> None:
    choose(viewer, "Bidirectional")
    stroke(viewer, (10, 20), (30, 20))
    (found,) = kept(viewer)
    assert found["value"] == pytest.approx(40, abs=0.3)
    assert found["second_value"] == pytest.approx(20, abs=0.3)
    # The short axis is then drawn longer by its end.
    stroke(viewer, (20, 25), (20, 29))
    expect(viewer.page.locator("table.measurements .value")).to_contain_text("Short 28.0")


def test_a_cobb_angle_of_two_lines(viewer: ViewerPage) -> None:
    choose(viewer, "Cobb angle")
    stroke(viewer, (10, 10), (30, 10))
    stroke(viewer, (10, 30), (30, 40))
    (found,) = kept(viewer)
    assert found["value"] == pytest.approx(math.degrees(math.atan(0.5)), abs=0.3)
    assert found["unit"] == "deg"


def test_height_and_circle(viewer: ViewerPage) -> None:
    choose(viewer, "Height")
    stroke(viewer, (10, 10), (30, 25))
    choose(viewer, "Circle ROI")
    stroke(viewer, (40, 30), (48, 30))
    height, circle = kept(viewer, 2)
    assert height["value"] == pytest.approx(30, abs=0.3)
    assert circle["value"] == pytest.approx(math.pi * 16**2, rel=0.02)
    # The field is linear: over a circle its mean is the value in the middle.
    assert circle["statistics"]["mean"] == pytest.approx(field(40, 30), abs=3)


def test_regions_of_any_outline(viewer: ViewerPage) -> None:
    corners: Sequence[Point] = ((10, 10), (30, 10), (30, 25), (10, 25))
    choose(viewer, "Freehand ROI")
    stroke(viewer, *corners, (10, 11))
    choose(viewer, "Spline ROI")
    for point in corners:
        viewer.page.mouse.click(*at(viewer, (point[0] + 26, point[1] + 12)))
    viewer.press("Enter")
    choose(viewer, "Livewire ROI")
    for point in corners:
        viewer.page.mouse.click(*at(viewer, (point[0], point[1] + 20)))
    viewer.page.mouse.click(*at(viewer, (10, 30)))
    freehand, spline, livewire = kept(viewer, 3)
    assert freehand["value"] == pytest.approx(40 * 30, rel=0.03)
    assert freehand["statistics"]["mean"] == pytest.approx(field(20, 17.5), abs=4)
    assert len(spline["points"]) == 4
    assert 40 * 30 < spline["value"] < 1.5 * 40 * 30
    assert livewire["kind"] == "livewire"
    assert livewire["statistics"]["count"] > 0
    # A click on the outline takes hold of it, and clicks that drew it were no double clicks.
    expect(viewer.page.locator("noctis-viewport:visible")).to_have_count(1)


def test_a_density_profile_shows_its_curve(viewer: ViewerPage) -> None:
    choose(viewer, "Density profile")
    stroke(viewer, (12, 10), (12, 30))
    (found,) = kept(viewer)
    assert found["value"] == pytest.approx(40, abs=0.3)
    statistics = found["statistics"]
    assert statistics["max"] - statistics["min"] == pytest.approx(3 * 40, abs=2)
    chart = viewer.page.locator("g.profile-chart")
    expect(chart).to_have_attribute("data-count", "21")
    expect(chart).to_contain_text("HU")


def test_a_text_on_the_picture(viewer: ViewerPage) -> None:
    choose(viewer, "Text")
    viewer.page.mouse.click(*at(viewer, (20, 20)))
    viewer.page.get_by_label("Text", exact=True).last.fill("Look here")
    viewer.press("Enter")
    (found,) = kept(viewer)
    assert found["label"] == "Look here"
    expect(viewer.page.locator("svg.overlay text").first).to_contain_text("Look here")
    viewer.page.mouse.click(*at(viewer, (40, 40)))
    viewer.press("Escape")
    assert len(kept(viewer)) == 1


def test_a_calibration_line_gives_lengths_millimetres(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(UNCALIBRATED))
    viewer.erase()
    viewer.page.get_by_role("button", name="Measurements", exact=True).click()
    size = (64.0, 64.0)
    viewer.button("Length")
    stroke(viewer, (10, 50), (30, 50), size=size)
    (length,) = kept(viewer)
    assert length["unit"] == "px"
    choose(viewer, "Calibration line")
    stroke(viewer, (10, 20), (50, 20), size=size)
    viewer.page.get_by_label("True length in mm").fill("100")
    viewer.press("Enter")
    row = viewer.page.locator("table.measurements tbody tr").first
    expect(row.locator(".value")).to_contain_text(re.compile(r"(49|50)\.\d.mm"))
    expect(row.locator(".source")).to_have_text("calibration line")
    expect(viewer.page.locator(".chip[data-mark=uncalibrated]")).to_have_count(0)
    length, line = kept(viewer, 2)
    assert length["value"] == pytest.approx(50, abs=0.6)
    assert line["value"] == 100
    viewer.page.get_by_role("button", name="Delete measurement 2").click()
    expect(row.locator(".value")).to_contain_text("px")
    viewer.erase()


def test_the_magnifying_glass_shows_while_it_is_held(viewer: ViewerPage) -> None:
    choose(viewer, "Magnify")
    mouse = viewer.page.mouse
    mouse.move(*at(viewer, (20, 30)))
    mouse.down()
    lens = viewer.page.locator("canvas.lens")
    expect(lens).to_be_visible()
    # Three times as large: the middle of the glass is the pixel under the pointer.
    middle = lens.evaluate("c => c.getContext('2d').getImageData(90, 90, 1, 1).data[0]")
    expected = (field(20, 30) - 40) / 800 + 0.5
    assert middle == pytest.approx(min(max(expected, 0), 1) * 255, abs=8)
    mouse.up()
    expect(lens).to_have_count(0)


def test_the_3d_view_draws_turns_crops_and_gives_the_series_back(viewer: ViewerPage) -> None:
    viewer.press("End")
    viewer.button("3D")
    viewer.wait()
    chip = viewer.page.locator(".chip[data-mark=rendered]").first
    expect(chip).to_have_text("3D view")
    bar = viewer.page.get_by_role("group", name="3D")
    expect(bar).to_contain_text("21 slices")
    viewer.page.get_by_label("3D preset").select_option("mip")
    viewer.wait()
    front = viewer.picture().mean()
    assert front > 5
    bar.get_by_role("button", name="Head").click()
    viewer.wait()
    head = viewer.picture()
    assert abs(head.mean() - front) > 0.5
    viewer.press("]", "]", "]")
    viewer.wait()
    assert np.abs(viewer.picture() - head).mean() > 1
    bar.get_by_text("Crop", exact=True).click()
    viewer.page.get_by_label("Crop left side").fill("60")
    viewer.wait()
    assert viewer.picture().mean() < head.mean() * 0.8
    length = viewer.page.get_by_role("button", name="Length", exact=True)
    expect(length).to_be_disabled()
    length.click(force=True)
    expect(viewer.page.locator("[data-notice=tool]")).to_contain_text("no depth to measure in")
    viewer.drag((0.4, 0.4), (0.6, 0.6))
    assert viewer.saved() == []
    viewer.button("Close 3D")
    expect(viewer.page.locator(".bottom-left").first).to_contain_text("Image 21/21")
