"""Planes and 3D from the server as a person asks for them: from the viewer, on wide and narrow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import SPACE, TILTED
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]
# The worker has the thumbnails of everything that was imported to make.
_DONE_MS = 120_000


def test_planes_are_asked_for_from_the_viewer(reading_site: ReadingSite, new_page: NewPage) -> None:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(SPACE))
    viewer.press("Home")
    viewer.open_series("Thick axial")
    with viewer.page.context.expect_page() as opened:
        viewer.choose("More tools", "Render on the server")
    page = opened.value
    expect(page.get_by_label("Series")).to_contain_text("Thick axial")
    assert "Thick axial" in page.get_by_label("Series").evaluate("s => s.selectedOptions[0].text")
    expect(page.locator("[data-live=live]")).to_be_visible()
    page.get_by_label("What").select_option("3D")
    expect(page.get_by_label("Views round the body")).to_be_visible()
    expect(page.get_by_label("of (mm)")).to_be_hidden()
    page.get_by_label("Views round the body").fill("3")
    page.get_by_label("Look").select_option("MIP")
    page.get_by_label("Pixels a side").select_option("256")
    page.get_by_role("button", name="Render").press("Enter")
    entry = page.locator("[data-entry]", has_text="3D, MIP, 3 views")
    expect(entry).to_contain_text("Done", timeout=_DONE_MS)
    pictures = entry.get_by_role("img")
    expect(pictures).to_have_count(3)
    for at in range(3):
        expect(pictures.nth(at)).to_have_js_property("naturalWidth", 256)
    expect(entry.get_by_role("link", name="All 3 pictures")).to_be_visible()


def test_a_telephone_gets_planes_and_what_to_know_of_them(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    page = new_page(360, 780)
    page.goto(f"{reading_site.viewer(TILTED)}reconstructions/")
    expect(page.locator("[data-live=live]")).to_be_visible()
    expect(page.get_by_text("Nothing has been rendered yet")).to_be_visible()
    page.get_by_label("Series").select_option(label="CT 1 Leaning gantry (21)")
    page.get_by_label("What").select_option("Sagittal planes")
    page.get_by_label("Thickness").select_option("MIP")
    page.get_by_label("every (mm)").fill("8")
    page.get_by_role("button", name="Render").click()
    entry = page.locator("[data-entry]", has_text="Sagittal planes, MIP of 10 mm")
    expect(entry).to_contain_text("Done", timeout=_DONE_MS)
    expect(entry).to_contain_text("The gantry was tilted by 15°")
    expect(entry.get_by_role("img").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
