"""Segments in Chromium: drawn, kept, stored as DICOM, and seen again as highdicom reads them.

The phantom (tests/browser/phantoms.py) holds the field 2x + 3y + 5z HU, so that which pixels lie in
a range of values is known from the formula.
"""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Callable
from uuid import uuid4

import highdicom
import numpy as np
import pytest
from playwright.sync_api import Page, expect
from pydicom import dcmread

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import SEGMENTED, field_hu
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]
_SLICES, _ROWS, _COLUMNS = 21, 48, 64
_VOXEL_ML = 2 * 2 * 4 / 1000
_PANE = "Segments and structures"


def in_range(low: float, high: float) -> np.ndarray:
    """Which voxels of the phantom hold values of a range."""
    z, y, x = np.mgrid[0:_SLICES, 0:_ROWS, 0:_COLUMNS]
    places = np.stack((-64 + 2 * x, -48 + 2 * y, -40 + 4 * z), axis=-1)
    values = field_hu(places)
    return np.asarray((values >= low) & (values <= high))


def volume(viewer: ViewerPage) -> float:
    text = viewer.page.locator("output.volume").inner_text()
    assert text.endswith(" ml")
    return float(text.removesuffix(" ml"))


def opened(reading_site: ReadingSite, page: Page) -> ViewerPage:
    """Open the phantom with its pane, nothing drawn: tests share the site."""
    viewer = ViewerPage(page).open(reading_site.viewer(SEGMENTED))
    viewer.discard_segments()
    viewer.button(_PANE)
    return viewer


def test_segments_are_drawn_kept_and_stored(reading_site: ReadingSite, new_page: NewPage) -> None:
    page = new_page()
    viewer = opened(reading_site, page)
    pane = page.get_by_role("complementary", name=_PANE)
    label = f"Warm part {uuid4().hex[:8]}"

    # A slice in a known range of HU, then the same in all slices at once.
    viewer.go_to(10)
    viewer.button("Rectangle scissors")
    pane.get_by_label("Only values from").check()
    pane.get_by_label("Lowest value").fill("100")
    pane.get_by_label("Highest value").fill("200")
    pane.get_by_label("Highest value").blur()
    wanted = in_range(100, 200)
    place = int(viewer.number("image-index"))
    viewer.drag((0.001, 0.01), (0.999, 0.99))
    expect(pane.locator("output.volume")).to_have_text(
        f"{np.count_nonzero(wanted[place]) * _VOXEL_ML:.2f} ml"
    )
    page.wait_for_function(
        """() => performance.getEntriesByName("viewer:series-complete", "mark").length > 0"""
    )
    pane.get_by_label("All slices").check()
    viewer.drag((0.001, 0.01), (0.999, 0.99))
    whole = f"{np.count_nonzero(wanted) * _VOXEL_ML:.0f} ml"
    expect(pane.locator("output.volume")).to_have_text(whole)

    # Undone and done again by the keys.
    viewer.press("Control+z")
    expect(pane.locator("output.volume")).not_to_have_text(whole)
    viewer.press("Control+y")
    expect(pane.locator("output.volume")).to_have_text(whole)
    name = pane.get_by_label("Name of segment 1")
    name.fill(label)
    name.blur()
    expect(pane.locator(".save-state")).to_have_text("Saved")

    # Nothing is lost with the page.
    page.reload()
    viewer.wait()
    viewer.press("F4")
    expect(pane.locator("output.volume")).to_have_text(whole)
    expect(pane.get_by_label("Name of segment 1")).to_have_value(label)

    with page.expect_response("**/segments/store/") as stored:
        viewer.button("Store as DICOM SEG")
    image_id = stored.value.json()["image_id"]
    listed = pane.get_by_role("region", name="In the study")
    expect(listed.locator("article", has_text=label).locator(".volume")).to_have_text(whole)
    expect(pane.locator("output.volume")).to_have_count(0)

    # highdicom reads what was drawn, voxel for voxel.
    request = urllib.request.Request(  # noqa: S310 - our own site
        f"{reading_site.address}/api/v1/dicom/image/{image_id}/file",
        headers={"Authorization": reading_site.credentials},
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        file = dcmread(io.BytesIO(answer.read()))
    theirs = highdicom.seg.Segmentation.from_dataset(file)
    uids = [f"{SEGMENTED}.1.{number}" for number in range(1, _SLICES + 1)]
    pixels = theirs.get_pixels_by_source_instance(
        uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    assert np.array_equal(pixels[..., 0], wanted)
    description = theirs.get_segment_description(1)
    assert (description.segment_label, description.algorithm_type.value) == (
        label,
        "SEMIAUTOMATIC",
    )

    # It is drawn over the slices that it lies on, by name, and on planes through them. What an
    # earlier run has stored is put away.
    others = listed.locator("article").filter(has_not_text=label).get_by_role("checkbox")
    for number in range(others.count()):
        others.nth(number).uncheck()
    viewer.button(f"Go to {label}")
    canvas = page.locator("canvas.over-pictures").first
    expect(canvas).to_have_attribute("data-layers", "1")
    expect(page.get_by_role("list", name="Segments on this picture")).to_contain_text(label)
    pane.get_by_label(f"Show {label}").uncheck()
    expect(canvas).to_have_attribute("data-layers", "0")
    pane.get_by_label(f"Show {label}").check()
    viewer.button("MPR")
    for number in range(3):
        cut = page.locator("noctis-viewport").nth(number).locator("canvas.over-pictures")
        expect(cut).to_have_attribute("data-layers", "1")


def test_brush_and_eraser_follow_the_hand(reading_site: ReadingSite, new_page: NewPage) -> None:
    page = new_page()
    viewer = opened(reading_site, page)
    pane = page.get_by_role("complementary", name=_PANE)
    viewer.button("Brush")
    # While a brush is in the hand no other tool is.
    expect(page.get_by_role("button", name="Window/Level", exact=True)).to_have_attribute(
        "aria-pressed", "false"
    )
    viewer.drag((0.5, 0.5), (0.5, 0.5))
    # A disc of radius 8: the pixels whose centres lie within 8 pixels of the press.
    about = np.pi * 8**2 * _VOXEL_ML
    expect(pane.locator("output.volume")).not_to_have_text("0.000 ml")
    assert volume(viewer) == pytest.approx(about, rel=0.05)
    viewer.button("Eraser")
    viewer.drag((0.4, 0.5), (0.6, 0.5))
    expect(pane.locator("output.volume")).to_have_text("0.000 ml")
    viewer.press("Escape")
    expect(page.get_by_role("button", name="Eraser", exact=True)).to_have_attribute(
        "aria-pressed", "false"
    )
    expect(pane.locator(".save-state")).to_have_text("Saved")
    page.on("dialog", lambda dialog: dialog.accept())
    viewer.button("Discard")
    expect(pane.locator("output.volume")).to_have_count(0)
