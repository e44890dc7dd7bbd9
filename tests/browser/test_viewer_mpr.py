"""Reformatted planes in Chromium: right values, right places, kept measurements, refusals in words.

The phantoms (tests/browser/phantoms.py) hold the field 2x + 3y + 5z HU, which linear sampling
reproduces exactly in every direction; expected values are that formula, never our own output.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import SPACE, TILTED, field_hu
from tests.browser.test_viewer_layouts import viewport
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]
_AXIAL, _CORONAL, _SAGITTAL = 0, 1, 2


def open_mpr(viewer: ViewerPage, words: str, slices: int) -> None:
    viewer.press("Home")
    viewer.open_series(words)
    viewer.button("MPR")
    bar = viewer.page.get_by_role("group", name="MPR")
    expect(bar).to_contain_text(f"{slices} slices")
    for number in (_AXIAL, _CORONAL, _SAGITTAL):
        expect(viewport(viewer, number).locator(".chip[data-mark=reformatted]")).to_be_visible()


@pytest.fixture
def mpr(reading_site: ReadingSite, new_page: NewPage) -> ViewerPage:
    """The thin axial series in three planes, nothing drawn."""
    viewer = ViewerPage(new_page()).open(reading_site.viewer(SPACE))
    viewer.erase()
    viewer.button("Layout")
    viewer.page.get_by_role("button", name="One viewport").click()
    open_mpr(viewer, "Thin axial", 21)
    return viewer


def probe(viewer: ViewerPage, number: int, right: float, down: float) -> dict[str, object]:
    """Put a probe into a viewport, at shares of its size; what the server then keeps of it."""
    viewer.button("Probe")
    box = viewport(viewer, number).locator(".stage").bounding_box()
    assert box is not None
    before = {kept["id"] for kept in viewer.saved()}
    with viewer.page.expect_response(re.compile("/measurements/")):
        viewer.page.mouse.click(box["x"] + box["width"] * right, box["y"] + box["height"] * down)
    viewer.expect_saved()
    (kept,) = (kept for kept in viewer.saved() if kept["id"] not in before)
    return kept


def expect_field(kept: dict[str, object], tolerance: float) -> None:
    """The probe's value is that of the field at its own place."""
    ((x, y, z),) = kept["points_mm"]  # type: ignore[misc]
    assert kept["value"] == pytest.approx(2 * x + 3 * y + 5 * z, abs=tolerance)


def test_planes_hold_the_fields_values_at_their_places(mpr: ViewerPage) -> None:
    # A probe reads the nearest pixel: up to half a pixel (1 mm) off in both directions.
    for number, tolerance in ((_AXIAL, 5.1), (_CORONAL, 7.1), (_SAGITTAL, 8.1)):
        kept = probe(mpr, number, 0.45, 0.6)
        expect_field(kept, tolerance)
    # The middle of the volume is x = -1, y = -1, z = 0: the planes cross there.
    axial, coronal, sagittal = mpr.saved()
    assert axial["points_mm"][0][2] == pytest.approx(0, abs=1e-6)
    assert coronal["points_mm"][0][1] == pytest.approx(-1, abs=1.01)
    assert sagittal["points_mm"][0][0] == pytest.approx(-1, abs=1.01)
    assert coronal["plane"] == [1, 0, 0, 0, 0, -1]
    mpr.button("Close MPR")
    expect(mpr.page.locator("noctis-viewport:visible")).to_have_count(1)
    # Drawn in planes: none of them lies on a slice of the series.
    expect(mpr.page.locator("svg.overlay g.mark")).to_have_count(0)
    mpr.page.get_by_role("button", name="Show measurement 2").click()
    expect(viewport(mpr, _CORONAL).locator("svg.overlay g.mark")).to_have_count(1)


def test_lengths_are_the_patients_millimetres_in_every_plane(mpr: ViewerPage) -> None:
    mpr.button("Length")
    box = viewport(mpr, _CORONAL).locator(".stage").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    mouse = mpr.page.mouse
    mouse.move(box["x"] + box["width"] / 2, middle - box["height"] * 0.2)
    mouse.down()
    mouse.move(box["x"] + box["width"] / 2, middle + box["height"] * 0.2, steps=4)
    mouse.up()
    mpr.expect_saved()
    (kept,) = mpr.saved()
    (x0, _y0, z0), (x1, _y1, z1) = kept["points_mm"]
    # 64 columns of 2 mm or 41 rows of 2 mm fill the viewport, whichever is the tighter.
    scale = min(box["width"] / 64, box["height"] / 41) / 2
    assert z0 - z1 == pytest.approx(0.4 * box["height"] / scale, rel=0.01)
    assert kept["value"] == pytest.approx(math.dist((x0, z0), (x1, z1)), rel=1e-6)
    assert kept["unit"] == "mm"
    assert kept["unit_source"] == "PixelSpacing of the slices and their positions"
    mpr.page.reload()
    mpr.wait()
    expect(mpr.page.locator("table.measurements tbody tr")).to_contain_text("reformatted near")


def test_scrolling_and_the_crosshair_move_the_planes_together(mpr: ViewerPage) -> None:
    axial = viewport(mpr, _AXIAL).locator(".bottom-left")
    expect(axial).to_contain_text("Image 11/21")
    line = viewport(mpr, _CORONAL).locator('g.reference[data-kind="axial"] path.line')
    before = line.get_attribute("d")
    mpr.press("ArrowDown")
    expect(axial).to_contain_text("Image 12/21")
    expect(line).not_to_have_attribute("d", before or "")
    stage = viewport(mpr, _CORONAL).locator(".pointer")
    box = stage.bounding_box()
    assert box is not None
    # 16 mm above the middle (z = 0) of the coronal plane.
    scale = min(box["width"] / 64, box["height"] / 41) / 2
    stage.click(position={"x": box["width"] / 2, "y": box["height"] / 2 - 16 * scale})
    expect(axial).to_contain_text("Image 15/21")


def test_an_oblique_plane_and_slabs_hold_the_fields_values(mpr: ViewerPage) -> None:
    viewport(mpr, _AXIAL).locator(".pointer").click()
    mpr.press(*["]"] * 6)
    expect(viewport(mpr, _CORONAL).locator(".bottom-left")).to_contain_text("Oblique")
    expect_field(probe(mpr, _CORONAL, 0.45, 0.45), 8)
    mpr.page.get_by_label("Slab", exact=True).select_option("mip")
    mpr.page.get_by_label("Slab thickness in mm").fill("12")
    mpr.press("Tab")
    chip = viewport(mpr, _AXIAL).locator(".chip[data-mark=reformatted]")
    expect(chip).to_contain_text("MIP 12")
    kept = probe(mpr, _AXIAL, 0.4, 0.4)
    ((x, y, z),) = kept["points_mm"]
    # The highest of the slab's 12 mm lies 6 mm higher: 30 HU.
    assert kept["value"] == pytest.approx(2 * x + 3 * y + 5 * z + 30, abs=6)
    assert kept["unit_source"] == "MIP 12 mm"
    assert any("modality rescale; MIP 12 mm" in row for row in mpr.rows())
    mpr.page.get_by_role("button", name="Straighten").click()
    expect(viewport(mpr, _CORONAL).locator(".bottom-left")).to_contain_text("Coronal")


def test_oblique_planes_are_measured_and_found_again(mpr: ViewerPage) -> None:
    viewport(mpr, _AXIAL).locator(".pointer").click()
    mpr.press(*["]"] * 6)
    coronal = viewport(mpr, _CORONAL)
    expect(coronal.locator(".bottom-left")).to_contain_text("Oblique")

    def draw(name: str, *shares: tuple[float, float]) -> None:
        mpr.button(name)
        # The table of measurements takes room when the first one is drawn.
        box = coronal.locator(".stage").bounding_box()
        assert box is not None
        start, end = (
            (box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in shares
        )
        mpr.page.mouse.move(*start)
        mpr.page.mouse.down()
        mpr.page.mouse.move(*end, steps=4)
        mpr.page.mouse.up()

    rows = mpr.page.locator("table.measurements tbody tr")
    draw("Length", (0.25, 0.35), (0.4, 0.7))
    expect(rows).to_have_count(1)
    draw("Ellipse ROI", (0.55, 0.35), (0.7, 0.6))
    # Values come when the turned plane is computed.
    expect(rows.nth(1)).to_contain_text("mean")
    mpr.expect_saved()
    region, length = sorted(mpr.saved(), key=lambda one: str(one["kind"]))
    # Six steps of five degrees about the head-foot axis; an oblique plane's x and y go together.
    across, down = np.array(length["plane"][:3]), np.array(length["plane"][3:])
    assert across == pytest.approx([math.cos(math.pi / 6), math.sin(math.pi / 6), 0], abs=1e-6)
    assert down == pytest.approx([0, 0, -1], abs=1e-6)
    a, b = np.array(length["points_mm"])
    assert abs(a[1] - b[1]) > 5
    assert length["value"] == pytest.approx(np.linalg.norm(b - a), abs=1e-6)
    assert length["unit"] == "mm"
    a, b = np.array(region["points_mm"])
    area = abs((b - a) @ across) * abs((b - a) @ down) * math.pi / 4
    assert region["value"] == pytest.approx(area, rel=1e-6)
    # Of a linear field the mean is the value in the middle; the pixels within are a little off it.
    middle = float(field_hu((a + b) / 2))
    assert region["statistics"]["mean"] == pytest.approx(middle, abs=4)
    assert region["statistics"]["unit"] == "HU"
    mpr.page.reload()
    mpr.wait()
    expect(mpr.page.locator("svg.overlay g.mark")).to_have_count(0)
    mpr.page.get_by_role("button", name="Show measurement 1").click()
    marks = viewport(mpr, _CORONAL).locator("svg.overlay g.mark")
    expect(marks).to_have_count(2)
    expect(marks.filter(has_text=f"{length['value']:.1f}")).to_have_count(1)


def test_what_is_drawn_in_the_plane_of_a_slice_is_drawn_on_the_slice(mpr: ViewerPage) -> None:
    kept = probe(mpr, _AXIAL, 0.45, 0.6)
    # The middle of the volume is the eleventh slice, z = 0.
    assert (kept["plane"], kept["SOPInstanceUID"]) == (None, f"{SPACE}.1.11")
    mpr.button("Close MPR")
    mpr.press("Home")
    expect(mpr.page.locator("svg.overlay g.mark")).to_have_count(0)
    mpr.page.get_by_role("button", name="Show measurement 1").click()
    mpr.expect_fact("image-index", "10")
    expect(mpr.page.locator("svg.overlay g.mark")).to_contain_text(f"{kept['value']:.0f}")


def test_a_calibration_line_is_refused_in_planes(mpr: ViewerPage) -> None:
    mpr.button("More tools")
    line = mpr.page.locator("#more-menu").get_by_role("button", name="Calibration line")
    expect(line).to_be_disabled()
    line.click(force=True)
    expect(mpr.page.locator("[data-notice=tool]")).to_contain_text("millimetres already")


def test_says_what_a_tilted_gantry_and_uneven_slices_mean(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(TILTED))
    viewer.erase()
    open_mpr(viewer, "Leaning gantry", 21)
    bar = viewer.page.get_by_role("group", name="MPR")
    expect(bar).to_contain_text("The gantry was tilted by 15°")
    # The words take a line, the planes the rest of the window.
    # The first lies where all three cross: a press there in another plane would take hold of it.
    expect_field(probe(viewer, _CORONAL, 0.5, 0.5), 7.1)
    expect_field(probe(viewer, _AXIAL, 0.42, 0.45), 5.1)
    expect_field(probe(viewer, _SAGITTAL, 0.6, 0.42), 8.1)
    viewer.button("Close MPR")
    open_mpr(viewer, "Uneven slices", 10)
    expect(bar).to_contain_text("unevenly spaced (4 to 12 mm)")
    expect_field(probe(viewer, _CORONAL, 0.5, 0.45), 7.1)
    # Between slices that are 12 mm apart, and with those above and below it.
    box = viewport(viewer, _SAGITTAL).locator(".stage").bounding_box()
    assert box is not None
    viewer.button("Length")
    before = {kept["id"] for kept in viewer.saved()}
    viewer.page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.2)
    viewer.page.mouse.down()
    viewer.page.mouse.move(box["x"] + box["width"] * 0.65, box["y"] + box["height"] * 0.8, steps=4)
    viewer.page.mouse.up()
    expect(viewer.page.locator("table.measurements tbody tr")).to_have_count(len(before) + 1)
    viewer.expect_saved()
    (length,) = (kept for kept in viewer.saved() if kept["id"] not in before)
    (_x0, y0, z0), (_x1, y1, z1) = length["points_mm"]
    # 48 rows of 2 mm are 96 mm; the slices span 60 mm: 31 pixels of 2 mm.
    scale = min(box["width"] / 48, box["height"] / 31) / 2
    assert z0 - z1 == pytest.approx(0.6 * box["height"] / scale, rel=0.01)
    assert length["value"] == pytest.approx(math.hypot(y1 - y0, z1 - z0), rel=1e-6)


def test_refuses_in_words_what_makes_no_volume(
    reading_site: ReadingSite, new_page: NewPage, data: object
) -> None:
    study = next(uid for uid in reading_site.studies if uid.endswith(".2689481"))
    viewer = ViewerPage(new_page()).open(reading_site.viewer(study))
    viewer.open_series("Topogramm")
    viewer.button("MPR")
    expect(viewer.page.locator("[data-notice=mpr]")).to_contain_text("needs at least 3 slices")
    expect(viewer.page.get_by_role("group", name="MPR")).to_have_count(0)


def test_mpr_fits_a_narrow_window(reading_site: ReadingSite, new_page: NewPage) -> None:
    page = new_page(360, 740, has_touch=True, is_mobile=True)
    ViewerPage(page).open(reading_site.viewer(SPACE))
    button = page.get_by_role("button", name="MPR", exact=True)
    button.scroll_into_view_if_needed()
    button.tap()
    expect(page.locator("noctis-viewport:visible")).to_have_count(3)
    expect(page.locator(".chip[data-mark=reformatted]").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    # The page's policy forbids the evaluation that wait_for_function does.
    page.evaluate(
        """() => new Promise((lit) => {
          new PerformanceObserver((list) => {
            if (list.getEntriesByName("viewer:mpr-lit").length === 1) lit();
          }).observe({type: "mark", buffered: true});
        })"""
    )
