"""Where millimetres come from, in Chromium: lines of a known length in pictures of a known scale.

The pictures are those of tests/browser/scales.py; expected values follow from what their files say
and from where the pointer went, within the half pixel that a pointer may be off.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser import scales
from tests.browser.conftest import ReadingSite
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]
Point = tuple[float, float]


@pytest.fixture
def viewer(reading_site: ReadingSite, new_page: NewPage) -> ViewerPage:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(scales.SCALES))
    viewer.erase()
    viewer.button("Layout")
    viewer.page.get_by_role("button", name="One viewport").click()
    viewer.page.get_by_role("button", name="Measurements", exact=True).click()
    return viewer


def draw(viewer: ViewerPage, start: Point, end: Point, *, pixel_height: float = 1) -> None:
    """Drag between two places of the picture, which fills the viewport; (column, row)."""
    box = viewer.page.locator(".pointer").first.bounding_box()
    assert box is not None
    scale = min(box["width"], box["height"] / pixel_height) / scales.SIZE
    middle = (scales.SIZE - 1) / 2
    places = [
        (
            box["x"] + box["width"] / 2 + (column - middle) * scale,
            box["y"] + box["height"] / 2 + (row - middle) * scale * pixel_height,
        )
        for column, row in (start, end)
    ]
    mouse = viewer.page.mouse
    mouse.move(*places[0])
    mouse.down()
    mouse.move(*places[1], steps=5)
    mouse.up()


def kept(viewer: ViewerPage, count: int) -> list[dict[str, Any]]:
    expect(viewer.page.locator("table.measurements tbody tr")).to_have_count(count)
    viewer.expect_saved()
    # The server has them as they arrive; here they stand from the top of the pictures down.
    return sorted(viewer.saved(), key=lambda one: (one["SOPInstanceUID"], one["points"][0][1]))


def test_each_region_of_an_ultrasound_picture_has_its_own_units(viewer: ViewerPage) -> None:
    viewer.open_series("Duplex")
    viewer.press("Home", "Space")
    viewer.button("Length")
    draw(viewer, (10, 5), (50, 35))
    draw(viewer, (60, 30), (60, 60))
    draw(viewer, (10, 50), (50, 70))
    tissue, across, curve = kept(viewer, 3)
    # 40 columns and 30 rows of 0.5 mm.
    assert tissue["value"] == pytest.approx(25, abs=0.3)
    assert (tissue["unit"], tissue["unit_source"]) == ("mm", "ultrasound region 1")
    assert (across["unit"], across["unit_source"]) == ("px", "none")
    assert across["value"] == pytest.approx(30, abs=0.6)
    # Seconds across, centimetres per second upwards: such a line has no length.
    assert (curve["unit"], curve["unit_source"]) == ("px", "none")
    marks = viewer.page.locator("svg.overlay g.mark")
    expect(marks.filter(has_text="uncalibrated")).to_have_count(2)
    rows = viewer.rows()
    assert "different ultrasound regions" in rows[1]
    assert "does not measure lengths" in rows[2]
    # The next picture has a scale of its own.
    viewer.press("ArrowDown")
    viewer.expect_fact("image-index", "1")
    expect(marks).to_have_count(0)
    draw(viewer, (10, 5), (50, 35))
    *_, second = kept(viewer, 4)
    assert second["SOPInstanceUID"] == f"{scales.SCALES}.1.2"
    assert second["value"] == pytest.approx(50 * scales.TISSUE_CM[1] * 10, abs=0.15)


def test_pixels_that_are_wider_than_high(viewer: ViewerPage) -> None:
    viewer.open_series("Flat pixels")
    viewer.press("Space")
    how = {"pixel_height": scales.ROW_MM / scales.COLUMN_MM}
    viewer.button("Length")
    # 20 mm to the right and 20 mm down: 45 degrees.
    draw(viewer, (10, 10), (30, 50), **how)
    viewer.button("Ellipse ROI")
    draw(viewer, (40, 20), (64, 60), **how)
    length, ellipse = kept(viewer, 2)
    assert length["value"] == pytest.approx(math.hypot(20, 20), abs=0.4)
    assert (length["unit"], length["unit_source"]) == ("mm", "PixelSpacing")
    # Axes of 24 columns and 40 rows: 24 mm and 20 mm.
    assert ellipse["value"] == pytest.approx(math.pi * 12 * 10, rel=0.03)
    assert ellipse["unit"] == "mm2"


def zoom(viewer: ViewerPage) -> Locator:
    return viewer.page.locator(".corner.bottom-right").first


def choose_state(viewer: ViewerPage, name: str) -> None:
    viewer.button("Window presets")
    viewer.page.get_by_role("button", name="Presentation states…").click()
    dialog = viewer.page.get_by_role("dialog", name="Presentation states")
    expect(dialog.get_by_role("listitem")).to_have_count(2)
    dialog.get_by_role("button", name=name).click()
    expect(dialog).to_have_count(0)


def test_presentation_states_set_window_place_and_size(viewer: ViewerPage) -> None:
    viewer.open_series("Magnified hand")
    viewer.press("Space")
    # Nobody has measured this screen: the area, 40 x 20 pixels, fills the viewport.
    choose_state(viewer, "True to scale")
    notice = viewer.page.locator("[data-notice=presentation]")
    expect(notice).to_contain_text("nobody has measured this screen yet")
    viewer.expect_fact("window-center", "500")
    viewer.expect_fact("window-width", "1000")
    box = viewer.page.locator(".pointer").first.bounding_box()
    assert box is not None
    # The words take room from the viewport; what is in it is fitted again.
    fitted = min(box["width"] / 40, box["height"] / 20)
    expect(zoom(viewer)).to_contain_text(f"Zoom {fitted * 100:.0f}")
    notice.get_by_role("button", name="Measure the screen").click()
    dialog = viewer.page.get_by_role("dialog", name="True size")
    dialog.get_by_label("Height of the bar").fill("4")
    dialog.get_by_role("button", name="Show in true size").click()
    # Half a millimetre a pixel, four CSS pixels a millimetre.
    expect(zoom(viewer)).to_contain_text("Zoom 200")
    expect(notice).to_have_count(0)
    choose_state(viewer, "Enlarged")
    expect(zoom(viewer)).to_contain_text("Zoom 400")
    viewer.expect_fact("window-center", "1000")
    # The middle of the area, column 29.5 and row 39.5, stands in that of the viewport.
    viewer.button("Length")
    box = viewer.page.locator(".pointer").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    viewer.page.mouse.move(x, y)
    viewer.page.mouse.down()
    viewer.page.mouse.move(x + 40, y, steps=4)
    viewer.page.mouse.up()
    (line,) = kept(viewer, 1)
    assert line["points"] == [
        pytest.approx([29.5, 39.5], abs=0.3),
        pytest.approx([39.5, 39.5], abs=0.3),
    ]
    viewer.button("Window presets")
    viewer.page.get_by_role("button", name="Presentation states…").click()
    dialog = viewer.page.get_by_role("dialog", name="Presentation states")
    expect(dialog).to_contain_text("The viewer leaves out its shutter.")
    address = dialog.get_by_role("link", name="Picture with all of it").get_attribute("href")
    answer = viewer.page.request.get(viewer.page.url.split("/viewer/")[0] + str(address))
    drawn = Image.open(io.BytesIO(answer.body()))
    # 40 x 20 pixels, four times as large; what lies left of column 20 is shut off.
    assert drawn.size == (160, 80)
    left, middle = (np.asarray(drawn.convert("L"))[40, column] for column in (10, 80))
    assert (left, middle > 0) == (0, True)


def test_a_magnified_radiograph_is_measured_at_the_patient(viewer: ViewerPage) -> None:
    viewer.open_series("Magnified hand")
    viewer.press("Space")
    viewer.button("Length")
    draw(viewer, (10, 40), (60, 40))
    (found,) = kept(viewer, 1)
    at_the_patient = scales.IMAGER_MM / scales.MAGNIFICATION
    assert found["value"] == pytest.approx(50 * at_the_patient, abs=at_the_patient)
    assert found["unit_source"] == "ImagerPixelSpacing / magnification 1.25"
    assert "magnification 1.25" in viewer.rows()[0]
