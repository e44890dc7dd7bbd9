"""A program measures a study in the running product, and a reader judges what it found."""

from __future__ import annotations

import re
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
        viewer.choose("More tools", "Analyses")
    page = opened.value
    page.get_by_role("button", name="Start").press("Enter")
    # Another try of this test may have left its own, even at work: it is then waited for.
    said = page.get_by_role("status").filter(has_text=re.compile("on its way|at work"))
    expect(said).to_be_visible()
    expect(page.locator("[data-live=live]")).to_be_visible()
    newest = page.locator("[data-entry]").first.get_attribute("data-entry")
    entry = page.locator(f"[data-entry='{newest}']")
    expect(entry.get_by_role("button", name="Accept Bone volume")).to_be_visible(timeout=_DONE_MS)
    expect(entry).to_contain_text("not for diagnosis")
    form = entry.locator("form", has=page.get_by_role("button", name="Accept Bone volume"))
    identity = (form.get_attribute("action") or "").rstrip("/").split("/")[-2]
    page.set_viewport_size({"width": 360, "height": 780})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.close()

    viewer.page.set_viewport_size({"width": 360, "height": 780})
    expect(
        viewer.page.get_by_role("button", name="Machine findings", exact=True)
    ).to_be_in_viewport(ratio=1)
    viewer.page.set_viewport_size({"width": 1440, "height": 900})
    viewer.button("Machine findings")
    bone = viewer.page.locator(f".machine-finding[data-finding='{identity}']")
    run = viewer.page.locator(".machine-run", has=bone)
    standing = bone.locator(".machine-standing")
    expect(standing).to_contain_text("Found by a machine: Bone and lung volumes (example)")
    expect(standing).to_contain_text("not reviewed")
    bone.get_by_role("button", name="Bone volume").first.click()
    mark = viewer.page.locator(f'.found.machine[data-found="{identity}"]')
    expect(mark).to_contain_text("(machine, not reviewed)")
    bone.get_by_role("button", name="Accept").click()
    expect(standing).to_contain_text("accepted by reader")
    expect(mark).to_contain_text("(machine, accepted)")
    bone.get_by_role("button", name="Into the report").click()
    text = viewer.page.get_by_role("textbox", name="Text of the report")
    expect(text).to_have_value(re.compile("accepted by reader"))

    run.get_by_role("button", name="Reject: Segmentation").click()
    expect(run.locator("summary")).to_have_text("1 rejected")
    viewer.button("Segments and structures")
    name = "Machine: Bone and lung volumes (example)"
    made = viewer.page.locator(".segments-object", has_text=name)
    latest = made.filter(has_text="rejected by reader").first
    expect(latest.get_by_role("checkbox", name="Show Bone").first).not_to_be_checked()
