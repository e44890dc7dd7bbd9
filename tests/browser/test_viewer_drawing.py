"""What is drawn on pictures: its values are those of the files, and it is kept, changed and shared.

Values are compared with the file as pydicom and numpy read it, never with our own output."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import ReadingSite
from tests.browser.files import file_of, head_slices, values_of
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]


def _region_values(
    values: NDArray[np.float64], points: list[list[float]], kind: str
) -> NDArray[np.float64]:
    """Values of the pixels whose centres lie in the region of two corners."""
    (x0, y0), (x1, y1) = points
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    if kind == "rectangle":
        inside = (
            (columns >= min(x0, x1)) & (columns <= max(x0, x1))
            & (rows >= min(y0, y1)) & (rows <= max(y0, y1))
        )  # fmt: skip
    else:
        u = (columns - (x0 + x1) / 2) / (abs(x1 - x0) / 2)
        v = (rows - (y0 + y1) / 2) / (abs(y1 - y0) / 2)
        inside = u**2 + v**2 <= 1
    chosen: NDArray[np.float64] = values[inside]
    return chosen


@pytest.mark.parametrize(
    ("button", "kind"), [("Ellipse ROI", "ellipse"), ("Rectangle ROI", "rectangle")]
)
def test_regions_tell_the_files_own_values(
    clean: ViewerPage, data: Path, button: str, kind: str
) -> None:
    slices = head_slices(data)
    clean.go_to(40)
    clean.button(button)
    clean.drag((0.3, 0.25), (0.7, 0.8))
    clean.expect_saved()
    (kept,) = clean.saved()
    assert kept["SOPInstanceUID"] == slices[40].SOPInstanceUID
    inside = _region_values(values_of(slices[40]), kept["points"], kind)
    statistics = kept["statistics"]
    assert statistics["count"] == inside.size > 1000
    assert statistics["mean"] == pytest.approx(inside.mean())
    assert statistics["sd"] == pytest.approx(inside.std())
    assert (statistics["min"], statistics["max"]) == (inside.min(), inside.max())
    assert statistics["unit"] == "HU"
    (x0, y0), (x1, y1) = kept["points"]
    row_mm, column_mm = map(float, slices[40].PixelSpacing)
    box = abs(x1 - x0) * column_mm * abs(y1 - y0) * row_mm
    assert kept["value"] == pytest.approx(box * (math.pi / 4 if kind == "ellipse" else 1))
    (row,) = clean.rows()
    assert button in row
    assert f"mean {inside.mean():.1f} HU" in row
    assert "PixelSpacing" in row


def test_measures_the_phantoms_rod(clean: ViewerPage, data: Path) -> None:
    """A line across the picture from edge to edge is the field of view, whatever the zoom."""
    (first, *_) = head_slices(data)
    clean.press("+", "+")
    clean.page.keyboard.press("=")
    clean.button("Length")
    clean.drag((0.01, 0.5), (0.99, 0.5))
    clean.expect_saved()
    (kept,) = clean.saved()
    width_mm = first.Columns * float(first.PixelSpacing[1])
    assert kept["value"] == pytest.approx(width_mm, rel=1e-6)
    (x0, y0, _z0), (x1, y1, _z1) = kept["points_mm"]
    assert math.dist((x0, y0), (x1, y1)) == pytest.approx(width_mm, rel=1e-6)
    assert kept["unit_source"] == "PixelSpacing"


def test_everything_drawn_is_kept_changed_and_undone(clean: ViewerPage) -> None:
    with clean.page.expect_response("**/session/") as kept_place:
        clean.go_to(20)
        clean.button("Length")
        clean.drag((0.3, 0.3), (0.5, 0.3))
    assert kept_place.value.ok
    clean.button("Angle")
    clean.drag((0.3, 0.5), (0.3, 0.6))
    clean.page.mouse.click(*clean.place(0.4, 0.6))
    clean.button("Probe")
    clean.page.mouse.click(*clean.place(0.6, 0.7))
    clean.button("Arrow")
    clean.drag((0.6, 0.2), (0.7, 0.15))
    clean.page.get_by_role("textbox", name="Text of the arrow").fill("look here")
    clean.press("Enter")
    clean.expect_saved()
    kept = {row["kind"]: row for row in clean.saved()}
    assert sorted(kept) == ["angle", "arrow", "length", "probe"]
    assert kept["angle"]["value"] == pytest.approx(90, abs=0.5)
    assert kept["arrow"]["label"] == "look here"

    clean.page.reload()
    clean.wait()
    before = clean.rows()
    assert len(before) == 4
    clean.expect_fact("image-index", "20")

    clean.page.get_by_role("button", name="Rename measurement 1").click()
    clean.page.get_by_role("textbox", name="Name of the measurement").fill("rod")
    clean.press("Enter")
    clean.page.get_by_role("button", name="Delete measurement 2").click()
    expect(clean.page.locator("table.measurements tbody tr")).to_have_count(3)
    clean.expect_saved()
    assert "rod" in {row["label"] for row in clean.saved()}
    clean.press("Control+z")
    expect(clean.page.locator("table.measurements tbody tr")).to_have_count(4)
    clean.press("Control+z")
    clean.expect_saved()
    labels = {row["kind"]: row["label"] for row in clean.saved()}
    assert labels == {"length": "", "angle": "", "probe": "", "arrow": "look here"}
    clean.press("Control+y")
    clean.expect_saved()
    assert "rod" in {row["label"] for row in clean.saved()}

    clean.press("Home")
    clean.page.get_by_role("button", name="Show measurement 1").click()
    clean.expect_fact("image-index", "20")


def test_what_is_not_saved_shows_until_it_is(clean: ViewerPage) -> None:
    clean.page.route("**/measurements/", lambda route: route.abort())
    clean.button("Length")
    clean.drag((0.3, 0.4), (0.5, 0.4))
    expect(clean.page.locator("button.save-sign")).to_have_text("Not saved")
    notice = clean.page.locator("[data-notice=unsaved]")
    expect(notice).to_contain_text("The network does not answer")
    assert "Not saved" in clean.rows()[0]
    clean.page.unroute_all()
    clean.page.get_by_role("button", name="Try now").click()
    clean.expect_saved()
    assert len(clean.saved()) == 1


def test_whoever_is_later_sees_what_stands(clean: ViewerPage) -> None:
    clean.button("Length")
    clean.drag((0.3, 0.4), (0.5, 0.4))
    clean.expect_saved()
    (row,) = clean.saved()
    token = clean.page.locator('meta[name="csrf-token"]').get_attribute("content")
    answers: list[int] = []

    def be_later(route: Route) -> None:
        # Another change arrives while ours is on its way.
        other = clean.page.context.request.put(
            route.request.url,
            headers={"X-CSRFToken": str(token)},
            data={**row, "label": "from elsewhere"},
        )
        answers.append(other.status)
        route.continue_()

    clean.page.route(f"**/viewer/api/measurements/{row['id']}/", be_later, times=1)
    clean.page.get_by_role("button", name="Rename measurement 1").click()
    clean.page.get_by_role("textbox", name="Name of the measurement").fill("mine")
    clean.press("Enter")
    notice = clean.page.locator("[data-notice=measurement]")
    expect(notice).to_contain_text("your change was not kept")
    assert answers == [200]
    expect(clean.page.locator("table.measurements .label")).to_have_text("from elsewhere")


def test_ultrasound_measures_only_inside_its_region(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = file_of(data, "us/YBR_FULL-RLE.dcm")
    region = next(
        one for one in found.SequenceOfUltrasoundRegions if one.PhysicalUnitsXDirection == 3
    )
    viewer = ViewerPage(new_page()).open(reading_site.viewer(found.StudyInstanceUID))
    viewer.erase()
    viewer.button("Length")
    viewer.drag((0.4, 0.4), (0.5, 0.6))
    viewer.drag((0.45, 0.3), (0.45, 0.98))
    viewer.expect_saved()
    inside, across = viewer.saved()
    (x0, y0), (x1, y1) = inside["points"]
    in_cm = math.hypot((x1 - x0) * region.PhysicalDeltaX, (y1 - y0) * region.PhysicalDeltaY)
    assert inside["value"] == pytest.approx(10 * in_cm)
    assert (inside["unit"], inside["unit_source"]) == ("mm", "ultrasound region 2")
    assert (across["unit"], across["unit_source"]) == ("px", "none")
    assert across["value"] == pytest.approx(math.dist(*across["points"]))
    assert "uncalibrated" in viewer.rows()[1]


def test_mammogram_is_measured_at_the_patient(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = file_of(data, "cr_dx_mg/GH133.dcm")
    viewer = ViewerPage(new_page()).open(reading_site.viewer(found.StudyInstanceUID))
    viewer.erase()
    viewer.button("Length")
    viewer.drag((0.45, 0.2), (0.45, 0.7))
    viewer.expect_saved()
    (kept,) = viewer.saved()
    (x0, y0), (x1, y1) = kept["points"]
    magnification = float(found.EstimatedRadiographicMagnificationFactor)
    size = float(found.ImagerPixelSpacing[0]) / magnification
    assert kept["value"] == pytest.approx(math.hypot(x1 - x0, y1 - y0) * size)
    assert kept["unit_source"].startswith("ImagerPixelSpacing / magnification")


def test_what_others_draw_appears_without_a_reload(
    phantom: tuple[ViewerPage, list[pydicom.Dataset]], new_page: NewPage
) -> None:
    here, _ = phantom
    here.erase()
    there = ViewerPage(new_page()).open(here.page.url)
    there.open_series("STD BRAIN")
    rows = "table.measurements tbody tr"
    here.press("m")
    here.drag((0.4, 0.5), (0.6, 0.5))
    expect(here.page.locator(rows)).to_have_count(1)
    expect(there.page.locator("svg.overlay rect.label")).to_have_count(1)
    # What others draw opens nothing on this screen.
    expect(there.page.locator("noctis-measurements")).to_have_count(0)
    there.page.get_by_role("button", name="Measurements", exact=True).click()
    expect(there.page.locator(rows)).to_have_count(1)
    there.page.get_by_role("button", name="Delete measurement 1").click()
    expect(here.page.locator(rows)).to_have_count(0)


def _texts_apart(viewer: ViewerPage, count: int) -> None:
    boxes = viewer.page.evaluate(
        """() => [...document.querySelectorAll("svg.overlay rect.label")].map((label) => {
          const {x, y, right, bottom} = label.getBoundingClientRect();
          const text = label.nextElementSibling.getBoundingClientRect();
          const stage = label.closest(".stage").getBoundingClientRect();
          return {x, y, right, bottom, isHeld: text.x >= x && text.right <= right,
            isInside: x >= stage.x && y >= stage.y && right <= stage.right
              && bottom <= stage.bottom};
        })"""
    )
    corners = viewer.page.evaluate(
        """() => [...document.querySelectorAll(".corner")].map((corner) => {
          const {x, y, right, bottom} = corner.getBoundingClientRect();
          return {x, y, right, bottom};
        })"""
    )
    assert len(boxes) == count
    assert all(box["isInside"] and box["isHeld"] for box in boxes), boxes
    pairs = [*itertools.combinations(boxes, 2), *itertools.product(boxes, corners)]
    for one, other in pairs:
        assert (
            one["right"] <= other["x"]
            or other["right"] <= one["x"]
            or one["bottom"] <= other["y"]
            or other["bottom"] <= one["y"]
        ), (one, other)


def test_texts_of_measurements_stand_apart_and_inside(clean: ViewerPage) -> None:
    viewer = clean
    for start, end in (
        ((0.4, 0.4), (0.5, 0.5)),
        ((0.41, 0.42), (0.51, 0.5)),
        ((0.42, 0.41), (0.5, 0.52)),
        ((0.9, 0.4), (0.97, 0.45)),
        ((0.9, 0.9), (0.97, 0.97)),
    ):
        viewer.press("b")
        viewer.drag(start, end)
    viewer.expect_saved()
    _texts_apart(viewer, 5)
    viewer.page.set_viewport_size({"width": 360, "height": 740})
    _texts_apart(viewer, 5)
    viewer.erase()
