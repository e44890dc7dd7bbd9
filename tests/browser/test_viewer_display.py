"""Ways of looking at a picture in Chromium: the window of a box, and true size on the screen."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import SPACE, field_hu
from tests.browser.test_viewer_layouts import viewport
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]


@pytest.fixture
def viewer(reading_site: ReadingSite, new_page: NewPage) -> ViewerPage:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(SPACE))
    viewer.button("Layout")
    viewer.page.get_by_role("button", name="One viewport").click()
    viewer.open_series("Thin axial")
    viewer.press("Space", "Home")
    return viewer


def test_the_window_of_a_box(viewer: ViewerPage) -> None:
    viewer.press(":")
    viewer.drag((0.4, 0.4), (0.6, 0.6))
    # A phantom of 64 x 48 pixels of 2 mm fills the viewport in one direction.
    box = viewer.page.locator(".pointer").first.bounding_box()
    assert box is not None
    scale = min(box["width"] / 64, box["height"] / 48)
    reach = np.array([box["width"], box["height"]]) * 0.1 / scale
    middle = np.array([31.5, 23.5])
    low, high = np.ceil(middle - reach), np.floor(middle + reach)
    ends = [
        float(field_hu(np.array([-64 + 2 * x, -48 + 2 * y, -40.0])))
        for x, y in ((low[0], low[1]), (high[0], high[1]))
    ]
    width, center = viewer.number("window-width"), viewer.number("window-center")
    assert (center - width / 2, center + width / 2) == pytest.approx(ends, abs=10.5)
    assert width > 100
    viewer.press("Space")
    viewer.expect_fact("window-width", "800")


def test_true_size(viewer: ViewerPage) -> None:
    viewer.press("%")
    dialog = viewer.page.get_by_role("dialog", name="True size")
    dialog.get_by_label("Height of the bar").fill("4")
    bar = dialog.locator(".card-side").bounding_box()
    assert bar is not None
    assert bar["height"] == pytest.approx(53.98 * 4, abs=1)
    dialog.get_by_role("button", name="Show in true size").click()
    # Two millimetres a pixel at four CSS pixels a millimetre.
    expect(viewport(viewer, 0).locator(".bottom-right")).to_contain_text(re.compile("Zoom 800"))
    ruler = viewport(viewer, 0).locator(".scale-bar")
    length = int((ruler.inner_text()).split()[0]) * 10
    height = int(ruler.locator("svg").get_attribute("height") or 0)
    assert height == pytest.approx(length * 4, abs=1)
    viewer.press("%")
    assert dialog.get_by_label("Height of the bar").input_value() == "4"
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
