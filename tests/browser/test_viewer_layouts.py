"""Several viewports in Chromium: layouts, what follows what, and lines of one picture in another.

The pictures are phantoms (tests/browser/phantoms.py) whose geometry is known, so that places are
compared with it and never with our own output.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import SPACE
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]


@pytest.fixture
def viewer(reading_site: ReadingSite, new_page: NewPage) -> ViewerPage:
    """Thin and thick axial series side by side, nothing linked."""
    viewer = ViewerPage(new_page()).open(reading_site.viewer(SPACE))
    layout(viewer, 1, 2)
    hang(viewer, "Thin axial", 0)
    hang(viewer, "Thick axial", 1)
    link(viewer, "Scroll each alone")
    activate(viewer, 0)
    viewer.press("Space", "Home")
    return viewer


def layout(viewer: ViewerPage, rows: int, columns: int) -> None:
    viewer.button("Layout")
    viewer.page.get_by_role("button", name=f"{rows} x {columns}", exact=True).click()
    expect(viewer.page.locator("noctis-viewport:visible")).to_have_count(rows * columns)


def viewport(viewer: ViewerPage, number: int) -> Locator:
    return viewer.page.locator("noctis-viewport").nth(number)


def hang(viewer: ViewerPage, words: str, number: int) -> None:
    viewer.page.locator("button.series", has_text=words).drag_to(
        viewport(viewer, number).locator(".pointer")
    )
    expect(viewport(viewer, number).locator(".bottom-left")).to_contain_text(words)


def activate(viewer: ViewerPage, number: int) -> None:
    viewport(viewer, number).locator(".pointer").click()
    expect(viewport(viewer, number).locator(".stage")).to_have_attribute("data-active", "true")


def link(viewer: ViewerPage, name: str) -> None:
    viewer.button("Link viewports")
    menu = viewer.page.locator("#link-menu")
    item = menu.get_by_text(name, exact=True)
    item.click()
    viewer.press("Escape")
    expect(menu).to_be_hidden()


def expect_image(viewer: ViewerPage, number: int, image: str) -> None:
    expect(viewport(viewer, number).locator(".bottom-left")).to_contain_text(f"Image {image}")


def test_layouts_reach_from_one_to_sixteen_and_come_back(viewer: ViewerPage) -> None:
    layout(viewer, 4, 4)
    boxes = [viewport(viewer, number).bounding_box() for number in range(16)]
    assert len({(round(box["x"]), round(box["y"])) for box in boxes if box}) == 16
    # Every series that was not shown yet has got a viewport of its own.
    expect(viewport(viewer, 2).locator(".bottom-left")).to_contain_text("Coronal")
    # Others may have stored their results in this study meanwhile.
    expect(viewport(viewer, 15)).to_contain_text("No series here yet")
    viewer.press("ArrowRight", "ArrowRight")
    expect(viewport(viewer, 2).locator(".stage")).to_have_attribute("data-active", "true")
    viewer.press("ArrowLeft")
    expect(viewport(viewer, 1).locator(".stage")).to_have_attribute("data-active", "true")
    with viewer.page.expect_response("**/session/"):
        layout(viewer, 3, 2)
    viewer.page.reload()
    expect(viewer.page.locator("noctis-viewport:visible")).to_have_count(6)
    layout(viewer, 1, 2)


def test_scrolls_together_by_position_and_by_offset(viewer: ViewerPage) -> None:
    # Thin slices lie at -40, -36 ... 40, thick ones at -40, -32 ... 40 mm.
    viewer.press("ArrowDown", "ArrowDown")
    expect_image(viewer, 0, "3/21")
    expect_image(viewer, 1, "1/11")
    link(viewer, "Scroll together by position")
    viewer.press("ArrowDown", "ArrowDown")
    expect_image(viewer, 0, "5/21")
    expect_image(viewer, 1, "3/11")
    activate(viewer, 1)
    viewer.press("ArrowDown")
    expect_image(viewer, 1, "4/11")
    expect_image(viewer, 0, "7/21")
    viewer.press("y")
    viewer.press("ArrowDown")
    expect_image(viewer, 1, "5/11")
    expect_image(viewer, 0, "8/21")
    viewer.press("y", "ArrowDown")
    expect_image(viewer, 1, "6/11")
    expect_image(viewer, 0, "8/21")


def test_windows_and_zooms_together_when_asked(viewer: ViewerPage) -> None:
    second = viewport(viewer, 1).locator(".bottom-right")
    expect(second).to_contain_text("W 800 L 40")
    viewer.press("3")
    expect(viewport(viewer, 0).locator(".bottom-right")).to_contain_text("W 150 L 90")
    expect(second).to_contain_text("W 800 L 40")
    link(viewer, "Window/Level together")
    link(viewer, "Zoom and pan together")
    viewer.press("2")
    expect(second).to_contain_text("W 1500 L -600")
    before = second.locator("div", has_text="Zoom").inner_text()
    viewer.press("+")
    expect(second).not_to_contain_text(before)
    zoom = viewport(viewer, 0).locator(".bottom-right div", has_text="Zoom").inner_text()
    expect(second).to_contain_text(zoom)
    link(viewer, "Window/Level together")
    link(viewer, "Zoom and pan together")
    viewer.press("Space")
    expect(second).to_contain_text("W 1500 L -600")


def _millimetres(number: Locator, along: str) -> float:
    """Where a line or cross stands in a viewport, as millimetres from the picture's edge."""
    return float(number.get_attribute(along) or "nan")


def test_reference_line_and_crosshair_stand_at_the_known_place(viewer: ViewerPage) -> None:
    hang(viewer, "Coronal", 1)
    activate(viewer, 0)
    viewer.press("Home", *["ArrowDown"] * 5)
    expect_image(viewer, 0, "6/21")
    line = viewport(viewer, 1).locator("g.reference path.line")
    expect(line).to_have_count(1)
    # The sixth axial slice lies at z = -20; the coronal picture's 40 rows of 2 mm begin at z = 40.
    row = (40 - -20) / 2
    box = viewport(viewer, 1).locator(".stage").bounding_box()
    assert box is not None
    scale = min(box["width"] / 64, box["height"] / 40)
    expected = box["height"] / 2 + (row - 19.5) * scale
    ys = [float(part.split(",")[1]) for part in (line.get_attribute("d") or "")[1:].split("L")]
    assert ys == pytest.approx([expected, expected], abs=0.5)
    viewer.press("x")
    viewport(viewer, 1).locator(".pointer").click(
        position={"x": box["width"] / 2, "y": box["height"] / 2 + (10 - 19.5) * scale}
    )
    # Row 10 of the coronal picture is z = 20: the sixteenth axial slice.
    expect_image(viewer, 0, "16/21")
    cross = viewport(viewer, 0).locator("g.crosshair")
    expect(cross).to_have_count(1)
    first = viewport(viewer, 0).locator(".stage").bounding_box()
    assert first is not None
    # The middle of 64 columns is x = -1; the first coronal slice is y = -40, row 4 of 48.
    axial = min(first["width"] / 64, first["height"] / 48)
    assert _millimetres(cross, "data-x") == pytest.approx(first["width"] / 2, abs=1)
    assert _millimetres(cross, "data-y") == pytest.approx(
        first["height"] / 2 + (4 - 23.5) * axial, abs=1
    )
    link(viewer, "Reference lines")
    expect(viewport(viewer, 0).locator("g.reference")).to_have_count(0)
    link(viewer, "Reference lines")
    expect(viewport(viewer, 0).locator("g.reference")).to_have_count(1)
