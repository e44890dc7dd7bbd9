"""A program measures a study in the running product, and a reader judges what it found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import SPACE
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]

# The worker has everything that was imported to look at.
_DONE_MS = 200_000


def test_a_reader_judges_what_a_program_found(
    reading_site: ReadingSite, new_page: Callable[..., Page]
) -> None:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(SPACE))
    with viewer.page.context.expect_page() as opened:
        viewer.choose("More tools", "Machine findings")
    page = opened.value
    expect(page.get_by_text("No program has looked at this study")).to_be_visible()
    page.get_by_role("button", name="Start").press("Enter")
    expect(page.locator("[data-live=live]")).to_be_visible()
    entry = page.locator("[data-entry]")
    expect(entry).to_contain_text("Bone volume", timeout=_DONE_MS)
    expect(entry).to_contain_text("not for diagnosis")
    expect(entry).to_contain_text("Segmentation")
    page.get_by_role("button", name="Accept Bone volume").focus()
    page.keyboard.press("Enter")
    expect(entry).to_contain_text("Accepted by reader")
    page.get_by_role("button", name="Reject Segmentation").click()
    expect(entry).to_contain_text("Segmentation, rejected by reader")
    page.set_viewport_size({"width": 360, "height": 780})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
