"""What a reader sees while pictures are on their way, cannot come, or the network is cut.

The scan (tests/browser/phantoms.py) has a level of its own in each slice and one slice that no
decoder can read. Requests are held back, cut off and let go where the browser sends them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import BROKEN, BROKEN_SLICE, BROKEN_SLICES
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]
_BATCHES = "**/api/v1/dicom/frames?*"
_FRAMES = "**/api/v1/dicom/image/**"
_QUICK_STEPS = 6


class Gate:
    """Holds back the requests to an address until it is opened."""

    def __init__(self, page: Page, address: str) -> None:
        self._held: list[Route] = []
        self._is_open = False
        page.route(address, self._meet)

    def _meet(self, route: Route) -> None:
        if self._is_open:
            route.continue_()
        else:
            self._held.append(route)

    def open(self) -> None:
        self._is_open = True
        for route in self._held:
            route.continue_()

    def cut(self) -> None:
        """Let what was held back fail, and what comes pass."""
        self._is_open = True
        for route in self._held:
            route.abort("connectionfailed")


def opened(page: Page, reading_site: ReadingSite) -> ViewerPage:
    """The scan at its first slice."""
    viewer = ViewerPage(page).open(reading_site.viewer(BROKEN))
    viewer.press("Home")
    viewer.expect_fact("image-index", "0")
    return viewer.wait()


def level(viewer: ViewerPage) -> float:
    """The grey in the middle of the first viewport."""
    picture = viewer.picture()
    rows, columns = picture.shape[:2]
    middle = picture[rows // 2 - 8 : rows // 2 + 8, columns // 2 - 8 : columns // 2 + 8]
    return float(np.mean(middle))


def strip(viewer: ViewerPage) -> list[str]:
    """What the scroll bar says of each screen line, from the top: here, failed, or nothing."""
    said: list[str] = viewer.page.evaluate(
        """() => {
          const bar = document.querySelector("noctis-scrollbar");
          const canvas = bar.querySelector("canvas");
          const style = getComputedStyle(bar);
          const probe = document.createElement("canvas").getContext("2d");
          const colour = (name) => {
            probe.fillStyle = style.getPropertyValue(name);
            probe.fillRect(0, 0, 1, 1);
            return String(probe.getImageData(0, 0, 1, 1).data);
          };
          const names = {[colour("--loaded")]: "here", [colour("--failed")]: "failed"};
          const {data} = canvas.getContext("2d").getImageData(0, 0, 1, canvas.height);
          return Array.from({length: canvas.height},
            (_, y) => names[String(data.slice(4 * y, 4 * y + 4))] ?? "");
        }"""
    )
    return said


def wait_for_strip(viewer: ViewerPage, wanted: Callable[[list[str]], bool]) -> list[str]:
    for _ in range(200):
        said = strip(viewer)
        if wanted(said):
            return said
        viewer.page.wait_for_timeout(50)
    raise AssertionError([(name, len(list(lines))) for name, lines in itertools.groupby(said)])


def test_scrolling_ahead_of_the_network_never_blanks_the_picture(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    page = new_page()
    batches = Gate(page, _BATCHES)
    viewer = opened(page, reading_site)
    first = level(viewer)
    assert first > 30
    frames = Gate(page, _FRAMES)
    viewer.press("ArrowDown", "ArrowDown")
    viewer.expect_fact("image-index", "0")
    expect(page.locator(".bottom-left")).to_contain_text(f"Image 1/{BROKEN_SLICES}")
    # The page says that another picture is wanted; the last one stays until it is here.
    viewer.wait("loading")
    assert level(viewer) == first
    assert strip(viewer).count("here") < len(strip(viewer)) / 2
    batches.open()
    frames.open()
    viewer.expect_fact("image-index", "2")
    expect(page.locator(".bottom-left")).to_contain_text(f"Image 3/{BROKEN_SLICES}")
    assert level(viewer) > first


def test_of_many_quick_steps_the_last_is_what_the_network_is_asked_for(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    page = new_page()
    batches = Gate(page, _BATCHES)
    viewer = opened(page, reading_site)
    frames = Gate(page, _FRAMES)
    asked: set[str] = set()
    page.on("request", lambda one: asked.add(one.url) if "/frames/" in one.url else None)
    for _ in range(_QUICK_STEPS):
        viewer.press("ArrowDown")
    viewer.wait("loading")
    viewer.expect_fact("image-index", "0")
    frames.open()
    viewer.expect_fact("image-index", str(_QUICK_STEPS))
    viewer.wait("ready")
    # Most of them are on their way in batches that do not come: the one that is wanted is asked
    # for by itself, and none of those that were stepped over after the first two.
    assert len(asked) <= 3
    batches.open()


def test_a_slice_that_no_decoder_can_read_leaves_the_others_readable(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    viewer = opened(new_page(), reading_site)
    page = viewer.page
    said = wait_for_strip(viewer, lambda lines: "" not in lines)
    failed = [at for at, line in enumerate(said) if line == "failed"]
    assert failed
    for at in (failed[0], failed[-1]):
        assert at / len(said) == pytest.approx((BROKEN_SLICE + 0.5) / BROKEN_SLICES, abs=0.1)
    levels = []
    for index in range(BROKEN_SLICES):
        if index == BROKEN_SLICE:
            viewer.wait("error")
            panel = page.locator(".panel:visible")
            expect(panel).to_contain_text(f"Image {index + 1} cannot be shown")
        else:
            viewer.wait("ready")
            viewer.expect_fact("image-index", str(index))
            levels.append(level(viewer))
        viewer.press("ArrowDown")
    assert levels == sorted(set(levels))
    viewer.press("Home")
    viewer.wait("ready")
    viewer.button("MPR")
    bar = page.get_by_role("group", name="MPR")
    expect(bar).to_contain_text(f"{BROKEN_SLICES - 1} slices")
    expect(bar).to_contain_text("unevenly spaced (4 to 8 mm). Between them values are estimated")
    expect(page.locator(".chip[data-mark=reformatted]")).to_have_count(3)


def test_pictures_go_on_coming_after_the_network_was_cut(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    page = new_page()
    batches = Gate(page, _BATCHES)
    viewer = opened(page, reading_site)
    notice = page.locator("[data-notice=network]")
    page.context.set_offline(True)
    batches.cut()
    expect(notice).to_contain_text("The network does not answer. Trying again in")
    first = level(viewer)
    viewer.press("ArrowDown")
    assert level(viewer) == first
    page.context.set_offline(False)
    expect(notice).to_be_hidden()
    wait_for_strip(viewer, lambda lines: "" not in lines)
    viewer.expect_fact("image-index", "1")
    assert level(viewer) > first


def test_the_viewer_itself_is_small_and_comes_compressed(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    page = new_page()
    viewer = ViewerPage(page).open(reading_site.viewer(BROKEN))
    first = viewer.marks()["viewer:first-lossless"]
    program: list[dict[str, float]] = page.evaluate(
        """(first) => performance.getEntriesByType("resource")
          .filter(({name, startTime}) => /\\.(js|css)$/.test(name) && startTime < first)
          .map(({encodedBodySize, decodedBodySize}) => ({encodedBodySize, decodedBodySize}))""",
        first,
    )
    assert len(program) >= 2
    large = [part for part in program if part["decodedBodySize"] > 2000]
    assert large
    for part in large:
        assert part["encodedBodySize"] < 0.5 * part["decodedBodySize"]
    assert sum(part["encodedBodySize"] for part in program) <= 150_000
