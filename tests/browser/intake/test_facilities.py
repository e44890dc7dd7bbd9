"""Connecting equipment in Chromium: the live test in both directions, callers admitted at once.

The equipment is a peer of our own on a real socket; nothing of the receiver is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests import product
from tests.browser.intake.conftest import IntakeSite

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visit = Callable[..., Page]


@pytest.fixture
def north(visit: Visit) -> Page:
    page = visit("/worklist/facilities/", "boss")
    page.get_by_role("main").get_by_role("link", name="North Clinic").click()
    page.wait_for_selector("[data-facility][data-ready]")
    return page


def test_the_page_turns_green_when_the_echo_arrives(north: Page, intake_site: IntakeSite) -> None:
    north.get_by_role("button", name="Listen for your echo").click()
    test = north.locator("[data-listen]")
    expect(test).to_have_attribute("data-state", "listening")
    north.wait_for_timeout(500)

    assert intake_site.echo("CT_NORTH")

    expect(test).to_have_attribute("data-state", "heard", timeout=3_000)
    expect(test).to_contain_text("Echo from CT_NORTH at 127.0.0.1")
    expect(test).to_contain_text("The connection works.")
    row = north.locator("[data-part=equipment] tr").filter(has_text="CT_NORTH")
    expect(row).to_contain_text("just now")
    north.get_by_role("button", name="Stop listening").click()
    expect(north.get_by_role("button", name="Listen for your echo")).to_be_visible()


def unknown(kind: str) -> str:
    """An AE title that has never called, in a second try of a test as well."""
    return f"{kind}_{uuid4().hex[:8].upper()}"


def test_a_refused_caller_is_shown_and_admitted_on_the_spot(
    north: Page, intake_site: IntakeSite
) -> None:
    north.get_by_role("button", name="Listen for your echo").click()
    north.wait_for_timeout(500)
    title = unknown("CT")
    assert not intake_site.echo(title)
    calls = north.locator("[data-part=calls]")
    expect(calls).to_contain_text(title, timeout=5_000)
    expect(calls).to_contain_text("belongs to no facility yet")

    calls.get_by_role("button", name=f"Admit {title} to North Clinic").click()

    expect(north.locator(".note-success")).to_contain_text(f"{title} may send to North Clinic")
    north.wait_for_timeout(2_100)  # the receiver looks again after two seconds
    assert intake_site.echo(title)


def test_the_list_of_callers_is_live_and_admits_by_one_button(
    visit: Visit, intake_site: IntakeSite
) -> None:
    page = visit("/worklist/knocks/", "boss")
    expect(page.locator("[data-state=ok]").first).to_be_visible()
    title = unknown("MR")
    assert not intake_site.echo(title)
    caller = page.locator(".knock").filter(has_text=title)
    expect(caller).to_be_visible(timeout=5_000)
    expect(caller).to_contain_text("Verification SOP Class")
    caller.get_by_label("Admit to").select_option("South Clinic")
    caller.get_by_role("button", name="Admit").click()
    expect(page.locator(".note-success")).to_contain_text(f"{title} may send to South Clinic")
    expect(caller).to_have_count(0)


def test_a_caller_is_dismissed(visit: Visit, intake_site: IntakeSite) -> None:
    title = unknown("NOBODY")
    assert not intake_site.echo(title)
    page = visit("/worklist/knocks/", "boss")
    caller = page.locator(".knock").filter(has_text=title)
    expect(caller).to_be_visible(timeout=5_000)
    caller.get_by_role("button", name=f"Dismiss {title}").click()
    expect(caller).to_have_count(0)
    page.get_by_role("link", name="Dismissed").click()
    expect(caller).to_be_visible()


def register(page: Page, title: str, port: int) -> None:
    page.get_by_label("Its AE title").fill(title)
    page.get_by_label("Host").fill("127.0.0.1")
    page.get_by_label("Port", exact=True).fill(str(port))
    page.get_by_role("button", name="Register").click()


def test_an_echo_is_sent_and_its_answer_read(north: Page, intake_site: IntakeSite) -> None:
    # The receiver itself stands for the equipment: it knows our calling AE title as North's.
    register(north, "NOCTIS_SCP", intake_site.here.dicom_port)
    row = north.locator(".destination").filter(has_text="NOCTIS_SCP")
    row.get_by_role("button", name="Send an echo now").click()
    expect(row).to_have_attribute("data-state", "heard")
    expect(row).to_contain_text(re.compile(r"NOCTIS_SCP answered in \d+ ms"))


def test_an_echo_to_nobody_says_what_to_check(north: Page) -> None:
    port = product.free_port()
    register(north, "WS_GONE", port)
    row = north.locator(".destination").filter(has_text="WS_GONE")
    row.get_by_role("button", name="Send an echo now").click()
    expect(row).to_have_attribute("data-state", "failed")
    expect(row).to_contain_text(f"Nothing listens at 127.0.0.1 port {port}")


def test_a_wrong_ae_title_is_told_at_the_form(north: Page) -> None:
    north.get_by_label("AE title", exact=True).fill("A\\B")
    north.get_by_role("button", name="Add").first.click()
    expect(north.get_by_role("alert")).to_contain_text("backslash")
    expect(north.get_by_label("AE title", exact=True)).to_have_value("A\\B")


def test_the_settings_sheet_copies_and_prints(north: Page, intake_site: IntakeSite) -> None:
    north.context.grant_permissions(["clipboard-read", "clipboard-write"])
    north.get_by_role("link", name="Settings sheet").click()
    north.get_by_role("button", name="Copy the port").click()
    expect(north.locator("[data-toasts]")).to_contain_text("Copied")
    copied = north.evaluate("navigator.clipboard.readText()")
    assert copied == str(intake_site.here.dicom_port)
    north.emulate_media(media="print")
    expect(north.locator("header.bar")).to_be_hidden()
    expect(north.get_by_role("button", name="Copy the port")).to_be_hidden()
    expect(north.locator(".settings-sheet")).to_contain_text("NOCTIS_SCP")


def test_a_member_reads_and_changes_nothing(visit: Visit) -> None:
    page = visit("/worklist/facilities/")
    expect(page.get_by_role("main")).to_contain_text("North Clinic")
    expect(page.get_by_role("main")).not_to_contain_text("South Clinic")
    page.get_by_role("main").get_by_role("link", name="North Clinic").click()
    expect(page.get_by_role("button", name="Listen for your echo")).to_be_visible()
    expect(page.get_by_role("button", name="Add")).to_have_count(0)


@pytest.mark.parametrize("path", ["/worklist/facilities/", "/worklist/knocks/"])
def test_small_screens_scroll_one_way(visit: Visit, path: str) -> None:
    page = visit(path, "boss", width=360, height=740)
    main = page.locator("main")
    assert main.evaluate("main => main.scrollWidth <= main.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
