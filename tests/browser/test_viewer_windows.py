"""Windows and VOI LUTs of files in Chromium, pixel by pixel as the server draws them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import TABLES
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]
# The phantoms are 16 x 16 tiles of 5 x 5 pixels.
_TILES, _TILE = 16, 5


def _drawn(viewer: ViewerPage) -> NDArray[np.int64]:
    """Grey in the middle of each tile of the fitted picture."""
    # What was chosen last is drawn with the next animation frame.
    viewer.page.evaluate(
        "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
    )
    canvas = viewer.picture()[..., 0]
    height, width = canvas.shape
    side = min(height, width)
    at = (np.arange(_TILES) + 0.5) * side / _TILES
    rows = (at + (height - side) / 2).astype(int)
    columns = (at + (width - side) / 2).astype(int)
    found: NDArray[np.int64] = canvas[rows][:, columns]
    return found


def _by_the_server(viewer: ViewerPage, series: int, **query: Any) -> NDArray[np.int64]:
    address = viewer.page.evaluate(
        """(number) => {
          const {series} = JSON.parse(document.getElementById("study-manifest").textContent);
          const found = series.find(({SeriesNumber}) => SeriesNumber === number);
          return location.origin + found.images[0].frame_url.replace("{n}", "1.png");
        }""",
        series,
    )
    answer = viewer.page.request.get(address, params=query)
    assert answer.ok
    picture = np.asarray(Image.open(io.BytesIO(answer.body())).convert("L")).astype(np.int64)
    found: NDArray[np.int64] = picture[_TILE // 2 :: _TILE, _TILE // 2 :: _TILE]
    return found


def _expect_same(viewer: ViewerPage, expected: NDArray[np.int64]) -> None:
    assert expected.max() - expected.min() > 200
    np.testing.assert_array_equal(_drawn(viewer), expected)


@pytest.mark.parametrize("renderer", ["canvas", "cornerstone"])
def test_a_picture_is_drawn_by_its_voi_lut(
    reading_site: ReadingSite, new_page: NewPage, renderer: str
) -> None:
    viewer = ViewerPage(new_page()).open(f"{reading_site.viewer(TABLES)}?renderer={renderer}")
    page = viewer.page
    viewer.open_series("Table alone")
    viewer.button("Reset")
    viewer.expect_fact("voi-lut", "0")
    expect(page.locator(".texts").get_by_text("VOI LUT: WAVE")).to_be_visible()
    _expect_same(viewer, _by_the_server(viewer, 1))
    viewer.press("i")
    expect(page.locator(".chip[data-mark=inverted]").first).to_be_visible()
    _expect_same(viewer, _by_the_server(viewer, 1, invert="true"))
    # A drag leaves the table for a window that begins with the table's inputs.
    viewer.button("Reset")
    viewer.expect_fact("voi-lut", "0")
    viewer.button("Window/Level")
    viewer.drag((0.5, 0.5), (0.5, 0.6))
    viewer.expect_fact("voi-lut", "")
    assert viewer.number("window-width") == 3072
    assert viewer.number("window-center") > 512 + 3071 / 2


def test_windows_and_tables_of_the_file_are_offered_by_their_names(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(TABLES))
    viewer.open_series("Windows and tables")
    viewer.button("Reset")
    viewer.expect_fact("window-width", "4096")
    viewer.expect_fact("voi-lut", "")

    def choose(name: str) -> None:
        viewer.button("Window presets")
        viewer.page.locator("#presets-menu").get_by_text(name, exact=True).click()

    choose("NARROW")
    viewer.expect_fact("window-width", "500")
    _expect_same(viewer, _by_the_server(viewer, 2, wc=1000, ww=500))
    choose("SAW")
    viewer.expect_fact("voi-lut", "1")
    stored = (np.arange(_TILES**2) * 16 + 5).reshape(_TILES, _TILES)
    _expect_same(viewer, np.floor(stored * 3 % 4096 * 255 / 4095 + 0.5).astype(np.int64))
    choose("WAVE")
    viewer.expect_fact("voi-lut", "0")
    _expect_same(viewer, _by_the_server(viewer, 1))
    expect(viewer.page.locator(".texts").get_by_text("VOI LUT: WAVE")).to_be_visible()
