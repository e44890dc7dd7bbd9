"""Hanging protocols in Chromium: mammograms, stages, priors, kept layouts, two windows.

The pictures are shapes of known size (tests/browser/breasts.py): what stands on the screen is
measured in its pixels.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.breasts import BREASTS, CHEST, EARLIER_CHEST
from tests.browser.conftest import ReadingSite
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

# cr_dx_mg/GH133.dcm: a right MLO alone.
REAL_MAMMOGRAM = "1.2.840.113564.99.1.132112381479.62.2015929114621460.1007647.2"
_FRAME = 3

NewPage = Callable[..., Page]


def viewport(viewer: ViewerPage, number: int) -> Locator:
    return viewer.page.locator("noctis-viewport").nth(number)


def expect_stage(viewer: ViewerPage, layout: str) -> None:
    expect(viewer.page.locator("main.viewports")).to_have_attribute("data-layout", layout)


def expect_text(viewer: ViewerPage, number: int, corner: str, text: str) -> None:
    expect(viewport(viewer, number).locator(f".{corner}")).to_contain_text(text)


def link(viewer: ViewerPage, name: str) -> None:
    viewer.button("Link viewports")
    menu = viewer.page.locator("#link-menu")
    menu.get_by_text(name, exact=True).click()
    viewer.press("Escape")
    expect(menu).to_be_hidden()


@dataclass(frozen=True)
class Seen:
    """What a viewport shows of a breast, in CSS pixels from the viewport's left and upper edge."""

    width: int
    wall: str
    reach: float
    height: float
    mark_row: float
    gap: int


def seen(viewer: ViewerPage, number: int) -> Seen:
    """Measure the bright shape of a viewport, without its texts."""
    content = viewport(viewer, number).locator(".stage").screenshot()
    grey: NDArray[np.uint8] = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    # The mark of the active viewport is a line along its edge.
    grey = grey[_FRAME:-_FRAME, _FRAME:-_FRAME]
    breast = (grey > 150) & (grey < 220)
    columns = np.flatnonzero(breast.any(axis=0))
    # The soft edge of the mark is as grey as the breast, and lies apart from it.
    rows = np.flatnonzero(breast.any(axis=1))
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    rows = max(parts, key=len)
    marks = np.argwhere(grey >= 235)
    left, right = int(columns[0]), grey.shape[1] - 1 - int(columns[-1])
    return Seen(
        width=grey.shape[1],
        wall="left" if left < right else "right",
        reach=float(len(columns) + _FRAME),
        height=float(rows[-1] - rows[0] + 1),
        mark_row=float(np.median(marks[:, 0]) / grey.shape[0]),
        gap=min(left, right),
    )


@pytest.fixture
def mammogram(reading_site: ReadingSite, new_page: NewPage) -> ViewerPage:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(BREASTS))
    for _ in range(8):
        if viewer.page.locator("main.viewports").get_attribute("data-layout") == "2x2":
            break
        viewer.press("Shift+PageDown")
    expect_stage(viewer, "2x2")
    viewer.press("t")
    return viewer


def test_four_mammograms_stand_back_to_back_at_one_scale(mammogram: ViewerPage) -> None:
    for number, text in enumerate(("R CC", "L CC", "R MLO", "L MLO")):
        mammogram.press("t")
        expect_text(mammogram, number, "top-right", text)
        mammogram.press("t")
        expect(viewport(mammogram, number).locator(".stage .corner")).to_have_count(0)
    found = [seen(mammogram, number) for number in range(4)]
    assert [one.wall for one in found] == ["right", "left", "right", "left"]
    # The chest wall touches the viewport's inner edge.
    assert all(one.gap <= 2 for one in found), found
    reaches = [one.reach for one in found]
    assert max(reaches) - min(reaches) <= 3, found
    heights = [one.height for one in found]
    assert max(heights) - min(heights) <= 4, found
    # Half as far as high: nothing is stretched.
    assert heights[0] / reaches[0] == pytest.approx(2, abs=0.06)
    # Lateral, or the head, is above: also where the file is stored upside down.
    assert all(one.mark_row < 0.45 for one in found), found


def test_the_layout_follows_the_window_and_a_maximised_picture(mammogram: ViewerPage) -> None:
    before = [seen(mammogram, number) for number in range(4)]
    mammogram.page.set_viewport_size({"width": 1100, "height": 800})
    expect(viewport(mammogram, 0).locator(".stage")).not_to_have_css(
        "width", f"{before[0].width + 6}px"
    )
    after = [seen(mammogram, number) for number in range(4)]
    assert all(one.gap <= 2 for one in after), after
    assert max(one.reach for one in after) - min(one.reach for one in after) <= 3
    # What a person has moved stays as they have moved it, until Space puts it back.
    mammogram.press("+")
    mammogram.press("Space")
    assert seen(mammogram, 0).gap <= 2


def test_stages_and_the_prior_by_keys(mammogram: ViewerPage) -> None:
    mammogram.press("t", "Shift+PageDown")
    expect_stage(mammogram, "2x4")
    # R of the prior, R, L, L of the prior.
    expect_text(mammogram, 0, "top-right", "Prior · 2 years before")
    expect_text(mammogram, 0, "top-right", "2023-12-20")
    expect_text(mammogram, 0, "top-left", "63")
    expect_text(mammogram, 1, "top-left", "65")
    expect(viewport(mammogram, 1).locator(".prior-mark")).to_have_count(0)
    expect_text(mammogram, 3, "top-right", "Prior")
    for number, text in enumerate(("R CC", "R CC", "L CC", "L CC", "R MLO", "R MLO", "L MLO")):
        expect_text(mammogram, number, "top-right", text)
    mammogram.press("t")
    expect(viewport(mammogram, 0).locator(".corner")).to_have_count(0)
    found = [seen(mammogram, number) for number in range(8)]
    assert [one.wall for one in found] == ["right", "right", "left", "left"] * 2
    assert max(one.reach for one in found) - min(one.reach for one in found) <= 3, found
    mammogram.press("t", "Shift+PageDown")
    expect_stage(mammogram, "1x2")
    mammogram.press("Shift+PageUp", "Shift+PageUp")
    expect_stage(mammogram, "2x2")
    mammogram.press("?")
    expect(mammogram.page.locator("#help")).to_contain_text("Next stage of the layout")


def test_nothing_is_measured_into_another_study(mammogram: ViewerPage) -> None:
    mammogram.press("t", "Shift+PageDown")
    expect_text(mammogram, 0, "top-right", "Prior")
    viewport(mammogram, 0).locator(".pointer").click()
    mammogram.press("m")
    box = viewport(mammogram, 0).locator(".pointer").bounding_box()
    assert box
    mammogram.page.mouse.click(box["x"] + 50, box["y"] + 50)
    expect(mammogram.page.locator("[data-notice=prior-drawing]")).to_contain_text("own window")
    assert mammogram.saved() == []
    mammogram.press("w", "Shift+PageUp")


def test_the_first_answer_holds_the_first_hung_picture(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    page = new_page()
    page.goto(reading_site.viewer(BREASTS))
    first = page.evaluate(
        """async () => {
          const {hanging, first_image} =
            JSON.parse(document.getElementById("study-manifest").textContent);
          const place = hanging.stages[0].viewports[0];
          const page = await (await fetch(location.href)).text();
          const picture = new DOMParser().parseFromString(page, "text/html")
            .getElementById("first-picture");
          return [place.image === first_image.image_id, picture.src.slice(0, 10)];
        }"""
    )
    assert first == [True, "data:image"]
    viewer = ViewerPage(page).wait()
    assert viewer.marks()["viewer:first-preview"] <= viewer.marks()["viewer:first-lossless"]


def test_a_prior_is_linked_by_position_and_keeps_the_offset_given(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(CHEST))
    viewer.press("0")
    expect_stage(viewer, "1x2")
    expect_text(viewer, 1, "top-right", "Prior · 2 years before")
    # Tables stood a metre apart: the middles correspond.
    expect_text(viewer, 0, "bottom-left", "Image 11/21")
    expect_text(viewer, 1, "bottom-left", "Image 11/21")
    viewer.press("ArrowDown", "ArrowDown")
    expect_text(viewer, 1, "bottom-left", "Image 13/21")
    # Unlinked, moved, linked again: that far apart they stay.
    link(viewer, "Scroll each alone")
    viewer.press("ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown")
    expect_text(viewer, 1, "bottom-left", "Image 16/21")
    expect_text(viewer, 0, "bottom-left", "Image 13/21")
    link(viewer, "Scroll together by position")
    viewer.press("ArrowLeft", "ArrowUp", "ArrowUp")
    expect_text(viewer, 0, "bottom-left", "Image 11/21")
    expect_text(viewer, 1, "bottom-left", "Image 14/21")
    viewer.press("ArrowRight", "ArrowUp")
    expect_text(viewer, 0, "bottom-left", "Image 10/21")


def test_what_was_measured_in_a_prior_is_seen_beside_the_study(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    prior = ViewerPage(new_page()).open(reading_site.viewer(EARLIER_CHEST))
    prior.erase()
    prior.go_to(10)
    prior.press("m")
    prior.drag((0.4, 0.5), (0.6, 0.5))
    prior.expect_saved()
    (drawn,) = prior.saved()
    viewer = ViewerPage(new_page()).open(reading_site.viewer(CHEST))
    viewer.press("0")
    # Both stand where the present study was left, and go on together.
    place = viewport(viewer, 1).locator(".bottom-left")
    expect(place).to_contain_text(re.compile(r"Image \d+/21"))
    for _ in range(40):
        number = int(re.search(r"Image (\d+)/21", place.inner_text())[1])
        if number == 11:
            break
        viewer.press("ArrowDown" if number < 11 else "ArrowUp")
        expect(place).not_to_contain_text(f"Image {number}/21")
    expect_text(viewer, 1, "bottom-left", "Image 11/21")
    mark = viewport(viewer, 1).locator(f"g.mark.earlier[data-measurement='{drawn['id']}']")
    expect(mark).to_contain_text("Study of 2024-01-01")
    expect(mark).to_contain_text(re.compile(rf"{drawn['value']:.1f}\s*mm"))
    expect(viewport(viewer, 0).locator("g.mark")).to_have_count(0)
    # It is that study's: it is not in this one's table, and a click takes hold of nothing.
    mark.locator(".line path").click(force=True)
    expect(viewport(viewer, 1).locator("g.mark.selected")).to_have_count(0)
    assert viewer.rows() == []
    viewer.press("t")
    expect(mark).to_have_count(0)
    viewer.press("t")
    prior.erase()


@pytest.fixture
def own_layouts(reading_site: ReadingSite, new_page: NewPage) -> Iterator[ViewerPage]:
    """The viewer on the chest; layouts that a test keeps are gone after it."""
    viewer = ViewerPage(new_page()).open(reading_site.viewer(CHEST))
    yield viewer
    viewer.page.evaluate(
        """async () => {
          const token = document.querySelector('meta[name="csrf-token"]').content;
          const {protocols} = await (await fetch("/viewer/api/hanging/")).json();
          for (const {id} of protocols) {
            await fetch(`/viewer/api/hanging/${id}/`,
              {method: "DELETE", headers: {"X-CSRFToken": token}});
          }
        }"""
    )


def test_a_layout_is_kept_for_studies_like_this(
    own_layouts: ViewerPage, reading_site: ReadingSite, new_page: NewPage
) -> None:
    viewer = own_layouts
    viewer.button("Layout")
    viewer.page.get_by_role("button", name="1 x 2", exact=True).click()
    viewer.page.locator("button.series", has_text="Lung").drag_to(viewport(viewer, 1))
    expect_text(viewer, 1, "bottom-left", "Lung 5 mm")
    viewer.button("Layout")
    viewer.page.get_by_text("Use this layout for studies like this…").click()
    dialog = viewer.page.locator("dialog.keep-layout")
    expect(dialog.get_by_label("Modality")).to_have_value("CT")
    expect(dialog.get_by_label("Body part")).to_have_value("CHEST")
    dialog.get_by_label("Name").fill("Lung twice")
    dialog.get_by_role("button", name="Keep", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("Kept. CT of chest: 1 × 2 with")
    page = new_page()
    page.goto(f"{reading_site.address}/viewer/layouts/")
    expect(page.get_by_role("heading", name="Lung twice")).to_be_visible()
    # Opened anew in another session of the browser, the study hangs so.
    kept = page.evaluate(
        """async (address) => {
          const text = await (await fetch(address)).text();
          const [, manifest] = text.match(/id="study-manifest"[^>]*>([^<]*)</);
          const {hanging} = JSON.parse(manifest);
          return [hanging.protocol.name, hanging.stages[0].viewports.map(({series}) => series)];
        }""",
        reading_site.viewer(CHEST),
    )
    assert kept[0] == "Lung twice"
    assert len(kept[1]) == 2


def test_a_picture_of_another_patient_record_is_marked_in_red(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(CHEST))
    viewer.press("0")
    expect_text(viewer, 1, "top-right", "Prior")
    expect(viewer.page.locator(".stranger")).to_have_count(0)
    expect(viewer.page.locator("[data-notice=strangers]")).to_have_count(0)
    viewer.button("Compare with 2020-01-01")
    expect(viewport(viewer, 1).locator(".stranger")).to_have_text(
        "Another patient record: other Patient ID"
    )
    colour = viewport(viewer, 1).locator(".stage").evaluate("s => getComputedStyle(s).outlineColor")
    assert colour == "rgb(255, 90, 77)"
    expect(viewport(viewer, 0).locator(".stranger")).to_have_count(0)
    notice = viewer.page.locator("[data-notice=strangers]")
    expect(notice).to_contain_text("Two patient records are shown in this window")
    expect(notice).to_contain_text("CHEST9")
    expect(notice.get_by_role("button", name="Dismiss")).to_have_count(0)
    # Not even without texts.
    viewer.press("t")
    expect(viewport(viewer, 1).locator(".stranger")).to_be_visible()
    viewer.press("t")
    viewer.button("Layout")
    viewer.page.get_by_role("button", name="1 x 1", exact=True).click()
    expect(notice).to_have_count(0)


def test_a_second_window_keeps_in_step_where_viewports_are_linked(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(CHEST))
    viewer.button("Layout")
    viewer.page.get_by_role("button", name="1 x 1", exact=True).click()
    viewer.press("Home")
    link(viewer, "Scroll together by position")
    with viewer.page.expect_popup() as opened:
        viewer.press("!")
    second = ViewerPage(opened.value).wait()
    expect(second.page).to_have_title("Second window · Brust, Karl · 2026-06-01")
    viewer.press("Home", "ArrowDown", "ArrowDown")
    expect_text(second, 0, "bottom-left", "Image 3/21")
    second.press("ArrowDown")
    expect_text(viewer, 0, "bottom-left", "Image 4/21")
    # Its layout is its own.
    second.button("Layout")
    second.page.get_by_role("button", name="1 x 2", exact=True).click()
    expect_stage(second, "1x2")
    expect_stage(viewer, "1x1")
    # Unlinked here is unlinked there.
    link(second, "Scroll each alone")
    second.press("End")
    expect_text(second, 0, "bottom-left", "Image 21/21")
    expect_text(viewer, 0, "bottom-left", "Image 4/21")
    viewer.press("ArrowUp")
    expect_text(viewer, 0, "bottom-left", "Image 3/21")
    expect_text(second, 0, "bottom-left", "Image 21/21")


def test_a_real_mammogram_alone_hangs_plainly_or_as_asked(
    own_layouts: ViewerPage, reading_site: ReadingSite, new_page: NewPage
) -> None:
    """Of the four views there is one: nothing is left empty, unless somebody wants it so."""
    viewer = ViewerPage(new_page()).open(reading_site.viewer(REAL_MAMMOGRAM))
    expect_stage(viewer, "1x1")
    expect_text(viewer, 0, "top-right", "R MLO")
    made = own_layouts.page.evaluate(
        """async () => {
          const token = document.querySelector('meta[name="csrf-token"]').content;
          const places = [{Laterality: "R", ViewPosition: "MLO"}, {Laterality: "L"}];
          const stages = [{rows: 1, columns: 2, fit: "chest wall", places}];
          const body = JSON.stringify({name: "MLO", Modality: "MG", stages});
          const headers = {"X-CSRFToken": token, "Content-Type": "application/json"};
          return (await fetch("/viewer/api/hanging/", {method: "POST", headers, body})).status;
        }"""
    )
    assert made == 201
    viewer.page.reload()
    viewer.wait()
    for _ in range(2):
        if viewer.page.locator("main.viewports").get_attribute("data-layout") == "1x2":
            break
        viewer.press("Shift+PageDown")
    expect_stage(viewer, "1x2")
    expect_text(viewer, 1, "panel", "No series here yet")
    viewer.press("t")
    expect(viewport(viewer, 0).locator(".corner")).to_have_count(0)
    content = viewport(viewer, 0).locator(".stage").screenshot()
    grey = np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(float)
    # The tissue begins at the chest wall, which is at the right edge; the air is at the left.
    share = grey.shape[1] // 20
    assert grey[:, -share - _FRAME : -_FRAME].mean() > 4 * grey[:, _FRAME : share + _FRAME].mean()


def test_layouts_are_copied_changed_exchanged_and_deleted(
    own_layouts: ViewerPage, reading_site: ReadingSite
) -> None:
    page = own_layouts.page.context.new_page()
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{reading_site.address}/viewer/layouts/")
    expect(page.get_by_text("You have none yet")).to_be_visible()
    page.get_by_role("button", name="Copy Mammography").click()
    editor = page.locator("dialog.layout-dialog")
    editor.get_by_label("Name").first.fill("Mammography, mine")
    expect(editor.get_by_role("group", name="Stage 2")).to_be_visible()
    for _ in range(3):
        editor.get_by_role("button", name="Remove this stage").last.click()
    editor.get_by_label("Columns").select_option("1")
    expect(editor.locator(".layout-places li")).to_have_count(2)
    editor.get_by_role("button", name="Keep").click()
    own = page.get_by_role("region", name="Yours")
    expect(own).to_contain_text("MG: Four views, 2 × 1 with right CC, left CC.")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export").click()
    file = download.value.path()
    page.get_by_role("button", name="Delete Mammography, mine").click()
    expect(page.get_by_text("You have none yet")).to_be_visible()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import").click()
    chooser.value.set_files(file)
    expect(own).to_contain_text("MG: Four views, 2 × 1 with right CC, left CC.")
    page.get_by_role("button", name="Edit Mammography, mine").click()
    editor.get_by_label("Name").first.fill("")
    editor.get_by_role("button", name="Keep").click()
    # What the server would refuse is not sent; Esc gives up.
    expect(editor).to_be_visible()
    page.keyboard.press("Escape")
    expect(editor).to_have_count(0)
    page.close()
