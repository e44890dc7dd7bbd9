"""The page of tasks as a person uses it: what programs plan appears, and is done by keyboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ReadingSite
from tests.workitems import scheduled

pytestmark = [pytest.mark.browser, pytest.mark.peers, pytest.mark.timeout(300)]


def plan(site: ReadingSite, wish: str) -> str:
    """Do what a program does that wants something done; the label is of this task alone."""
    label = f"{wish} {uuid4().hex[:8]}"
    answer = httpx.post(
        f"{site.address}/dicom-web/workitems",
        content=json.dumps(scheduled(ProcedureStepLabel=label).to_json_dict()),
        headers={"Content-Type": "application/dicom+json", "Authorization": site.credentials},
    )
    assert answer.status_code == 201, answer.text
    return label


def test_a_task_comes_is_claimed_worked_on_and_completed(
    new_page: Callable[..., Page], reading_site: ReadingSite
) -> None:
    page = new_page()
    page.goto(f"{reading_site.address}/tasks/")
    expect(page.locator("[data-live=live]")).to_be_visible()
    row = page.get_by_role("row", name=plan(reading_site, "Count the ribs"))
    row.get_by_role("button", name="Claim").focus()
    page.keyboard.press("Enter")
    expect(row).to_contain_text("In progress")
    row.get_by_role("spinbutton").fill("40")
    page.keyboard.press("Enter")
    expect(row.get_by_role("progressbar")).to_have_attribute("value", "40")
    row.get_by_role("button", name="Complete").click()
    expect(row).to_have_count(0)
    page.get_by_role("link", name="Completed").click()
    expect(row).to_contain_text("Completed")


def test_a_task_is_cancelled_with_a_reason_in_a_narrow_window(
    new_page: Callable[..., Page], reading_site: ReadingSite
) -> None:
    label = plan(reading_site, "Measure the spleen")
    page = new_page(360, 780)
    page.goto(f"{reading_site.address}/tasks/")
    row = page.locator("[data-entry]", has_text=label)
    opener = row.locator("summary")
    opener.focus()
    page.keyboard.press("Enter")
    reason = row.get_by_label("Why")
    expect(reason).to_be_focused()
    page.keyboard.press("Escape")
    expect(reason).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    expect(reason).to_be_focused()
    page.keyboard.type("Seen on the prior study")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.keyboard.press("Enter")
    expect(row).to_have_count(0)
    page.goto(f"{reading_site.address}/tasks/?state=CANCELED")
    expect(row).to_contain_text("Seen on the prior study")
