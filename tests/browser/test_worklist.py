"""The worklist as a person uses it, on the whole product: signing in, filters, keys, arrivals."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests import databases, product
from tests.dicom import make_instance, to_bytes

pytestmark = [pytest.mark.browser, pytest.mark.peers, pytest.mark.timeout(300)]

_PASSWORD = "a-long-passphrase-for-tests"
_MANY = 150
# One process for all of it: starting Django costs more than what it does here.
_PREPARE = f"""
from django.core.management import call_command
from django.db import transaction
from tests.apps.worklist.rows import make_study
from worklist.models import Facility
call_command("add_facility", "North Clinic", code="NORTH", aet=["CT_NORTH"])
call_command("add_facility", "South Clinic", code="SOUTH", aet=["CT_SOUTH"])
call_command("add_destination", "OTHERPACS", "127.0.0.1", 1)
call_command("add_user", "rita", role="radiologist", facility=["NORTH"], password_stdin=True)
with transaction.atomic():
    north = Facility.objects.get(code="NORTH")
    for number in range({_MANY}):
        make_study(north, number, patient_name=f"Bulk^Number{{number:03d}}")
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[product.Site]:
    """The product with two facilities, and a radiologist of one of them that has many studies."""
    folder = tmp_path_factory.mktemp("worklist")
    environ = product.environment(folder / "var", NOCTIS_ADMIN_USER="boss")
    databases.place(folder / "var")
    with product.started(environ, folder / "terminal") as here:
        here.wait_for("NoctisPro is ready", timeout_s=120)
        prepared = here.manage("shell", "-c", _PREPARE, input=_PASSWORD)
        assert prepared.returncode == 0, prepared.stdout + prepared.stderr
        yield here


@pytest.fixture(scope="module")
def cookies(chromium: Browser, running: product.Site, tmp_path_factory: object) -> Path:
    """Cookies of a session that the real sign-in page opened."""
    context = chromium.new_context()
    page = context.new_page()
    site = f"http://127.0.0.1:{running.web_port}"
    page.goto(f"{site}/")
    page.fill("#id_username", "rita")
    page.fill("#id_password", _PASSWORD)
    page.keyboard.press("Enter")
    # The whole address: that of the sign-in page ends with the page to go on to.
    page.wait_for_url(f"{site}/worklist/studies/")
    kept: Path = tmp_path_factory.mktemp("cookies") / "state.json"  # type: ignore[attr-defined]
    context.storage_state(path=kept)
    context.close()
    return kept


@pytest.fixture
def worklist(
    chromium: Browser, running: product.Site, cookies: Path
) -> Iterator[Callable[..., Page]]:
    """Open the worklist; at the end no page may have met an error or broken the policy."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def opened(query: str = "", width: int = 1440, height: int = 900) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, storage_state=cookies
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: (
                faults.append(message.text) if "Content Security Policy" in message.text else None
            ),
        )
        page.goto(f"http://127.0.0.1:{running.web_port}/worklist/studies/{query}")
        expect(page.locator(".toolbar [data-live=live]")).to_be_visible()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def send(
    here: product.Site, tmp_path: Path, *, caller: str = "CT_NORTH", **keywords: object
) -> None:
    """Send an instance by C-STORE as a scanner does; it is answered then."""
    path = tmp_path / "sent.dcm"
    path.write_bytes(to_bytes(make_instance(**keywords)))
    command = ["storescu", "-aet", caller, "-aec", "NOCTIS_SCP", "127.0.0.1", str(here.dicom_port)]
    subprocess.run([*command, str(path)], check=True, capture_output=True, timeout=30)


def rows(page: Page) -> list[str]:
    return page.locator(".row .row-open").all_inner_texts()


def test_wrong_passwords_are_said_and_the_next_page_is_kept(
    chromium: Browser, running: product.Site
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    profile = f"http://127.0.0.1:{running.web_port}/accounts/profile/"
    page.goto(profile)
    page.fill("#id_username", "rita")
    page.fill("#id_password", "wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    page.fill("#id_password", _PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(profile)
    context.close()


def test_filters_are_typed_shown_and_taken_away(worklist: Callable[..., Page]) -> None:
    page = worklist()
    page.keyboard.press("/")
    page.keyboard.type("name:number00?")
    page.keyboard.press("Enter")
    expect(page.locator(".row")).to_have_count(10)
    assert "name=number00" in page.url
    expect(page.locator(".filter-chip")).to_contain_text("number00?")
    page.locator('.filter-row [name="id"]').fill("P3")
    expect(page.locator(".row")).to_have_count(1)
    page.locator(".filter-chip", has_text="Patient ID").or_(
        page.locator(".filter-chip", has_text="ID")
    ).last.locator("[data-drop]").click()
    expect(page.locator(".row")).to_have_count(10)
    page.locator('.filter-row [name="name"]').fill("nobody")
    expect(page.get_by_text("No study matches")).to_be_visible()
    page.get_by_role("link", name="Clear all filters").click()
    expect(page.locator(".filter-chip")).to_have_count(0)


def test_sorting_and_going_back(worklist: Callable[..., Page]) -> None:
    page = worklist("?name=bulk")
    page.get_by_role("columnheader", name="Patient", exact=True).get_by_role("link").click()
    expect(page.locator(".row").first).to_contain_text("Number000")
    page.get_by_role("columnheader", name="Patient", exact=True).get_by_role("link").click()
    expect(page.locator(".row").first).to_contain_text(f"Number{_MANY - 1:03d}")
    page.go_back()
    expect(page.locator(".row").first).to_contain_text("Number000")


def test_the_end_of_the_list_is_reached_and_far_rows_are_put_away(
    worklist: Callable[..., Page],
) -> None:
    page = worklist("?name=bulk&sort=name&dir=asc")
    expect(page.locator(".row").first).to_contain_text("Number000")
    scroll = page.locator("[data-scroll]")
    for _ in range(30):
        if page.locator(".grid-end").count():
            break
        scroll.evaluate("box => { box.scrollTop = box.scrollHeight }")
        page.wait_for_timeout(200)
    expect(page.locator(".grid-end")).to_contain_text(f"{_MANY} studies")
    scroll.evaluate("box => { box.scrollTop = box.scrollHeight }")
    expect(page.locator(".row").last).to_contain_text(f"Number{_MANY - 1:03d}")
    expect(page.locator(".row", has_text="Number000")).to_have_count(0)
    page.keyboard.press("Home")
    expect(page.locator(".row.is-current")).to_contain_text("Number000")


def test_everything_by_keys(worklist: Callable[..., Page]) -> None:
    page = worklist("?name=number00?&sort=name&dir=asc")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    expect(page.locator(".row.is-current")).to_contain_text("Number002")
    page.keyboard.press("Space")
    expect(page.locator(".drawer .preview")).to_contain_text("Bulk, Number002")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".drawer .preview")).to_contain_text("Bulk, Number003")
    page.keyboard.press("Escape")
    expect(page.locator(".drawer")).to_be_hidden()
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    expect(page.locator("[data-bulk-count]")).to_have_text("2 selected")
    page.keyboard.press("r")
    expect(page.locator(".row[data-status=read]")).to_have_count(2)
    expect(page.locator("[data-bulk]")).to_be_hidden()
    page.keyboard.press("u")
    expect(page.locator(".row[data-status=read]")).to_have_count(1)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url("**/viewer/*/")


def test_the_palette_goes_to_pages_and_finds_studies(worklist: Callable[..., Page]) -> None:
    page = worklist()
    page.keyboard.press("Control+k")
    page.keyboard.type("number007")
    expect(page.get_by_role("dialog").get_by_role("option").first).to_contain_text(
        "Bulk, Number007"
    )
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("theme light")
    expect(page.get_by_role("dialog").get_by_role("option").first).to_contain_text("Theme light")
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.keyboard.press("Control+k")
    page.keyboard.type("go to profile")
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts/profile/")


def test_a_study_appears_without_reloading(
    worklist: Callable[..., Page], running: product.Site, tmp_path: Path
) -> None:
    page = worklist()
    before = rows(page)
    send(running, tmp_path, PatientName="Arrival^Live", PatientID="LIVE")
    expect(page.locator("[data-arrivals] .row")).to_contain_text("Arrival, Live")
    expect(page.locator("[data-arrivals] .row-new")).to_be_visible()
    first, *others = rows(page)
    assert first == "Arrival, Live"
    assert "Arrival, Live" not in others
    # More of the list may have been loaded meanwhile.
    assert others[: len(before)] == before


def test_more_images_of_a_study_count_up_in_its_row(
    worklist: Callable[..., Page], running: product.Site, tmp_path: Path
) -> None:
    page = worklist()
    first = make_instance(PatientName="Counting^Up")
    uid = str(first.StudyInstanceUID)
    send(running, tmp_path, PatientName="Counting^Up", StudyInstanceUID=uid)
    row = page.locator(".row", has_text="Counting, Up")
    expect(row.locator(".c-images")).to_have_text(re.compile(r"^1\s*in 1$"))
    send(running, tmp_path, PatientName="Counting^Up", StudyInstanceUID=uid)
    expect(row.locator(".c-images")).to_have_text(re.compile(r"^2\s*in 2$"))
    expect(row).to_have_count(1)


def test_whoever_reads_further_down_is_not_moved(
    worklist: Callable[..., Page], running: product.Site, tmp_path: Path
) -> None:
    page = worklist()
    scroll = page.locator("[data-scroll]")
    scroll.evaluate("box => { box.scrollTop = 800 }")
    send(running, tmp_path, PatientName="Waiting^Above")
    pill = page.locator(".pill")
    expect(pill).to_have_text("1 new")
    assert scroll.evaluate("box => box.scrollTop") == 800
    assert "Waiting, Above" not in rows(page)
    pill.click()
    expect(page.locator("[data-arrivals] .row").first).to_contain_text("Waiting, Above")


def test_what_does_not_match_or_is_not_ones_own_does_not_appear(
    worklist: Callable[..., Page], running: product.Site, tmp_path: Path
) -> None:
    page = worklist("?mod=MR")
    send(running, tmp_path, PatientName="Wrong^Modality")
    send(running, tmp_path, caller="CT_SOUTH", PatientName="Foreign^Facility", Modality="MR")
    send(running, tmp_path, PatientName="Right^Modality", Modality="MR")
    expect(page.locator("[data-arrivals] .row")).to_contain_text("Right, Modality")
    assert rows(page) == ["Right, Modality"]


def test_selected_studies_are_sent_by_keys_and_the_queue_follows(
    worklist: Callable[..., Page], running: product.Site, tmp_path: Path
) -> None:
    for name in ("Sent^First", "Sent^Second"):
        send(running, tmp_path, PatientName=name)
    page = worklist("?name=sent&sort=name&dir=asc")
    expect(page.locator(".row")).to_have_count(2)
    for key in ("ArrowDown", "x", "ArrowDown", "x", "s"):
        page.keyboard.press(key)
    dialog = page.get_by_role("dialog", name="Send 2 studies to another system")
    expect(dialog.get_by_label("Destination")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.locator(".row.is-current")).to_be_focused()
    page.keyboard.press("s")
    expect(dialog.get_by_label("Destination")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_have_text("2 studies are on their way to OTHERPACS.")
    expect(page.locator("[data-bulk]")).to_be_hidden()

    page.goto(f"http://127.0.0.1:{running.web_port}/worklist/forwarding/")
    page.evaluate("window.isSamePage = true")
    entries = page.locator("[data-entry]")
    expect(entries).to_have_count(2)
    # Nobody listens there: the worker says so, and the open page shows it.
    expect(entries.get_by_text("Tries again")).to_have_count(2)
    expect(page.locator("main [data-live]")).to_have_text("Live")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    said = entries.first.locator(".forwarding-error").bounding_box()
    assert said is not None
    assert said["x"] + said["width"] <= 344
    page.set_viewport_size({"width": 1440, "height": 900})
    first, second = entries.nth(0), entries.nth(1)
    first.get_by_role("button", name="Cancel").focus()
    page.keyboard.press("Enter")
    expect(first).to_contain_text("Cancelled")
    again = first.get_by_role("button", name="Send to OTHERPACS now")
    expect(again).to_be_focused()
    expect(page.locator(".toast")).to_have_text("No more of it is sent to OTHERPACS.")
    # What somebody else does changes their row alone, and takes no focus away.
    other = page.context.new_page()
    other.goto(f"{page.url}?state=waiting")
    other.get_by_role("button", name="Cancel").click()
    expect(other.get_by_text("Nothing here")).to_be_visible()
    expect(second).to_contain_text("Cancelled")
    expect(again).to_be_focused()
    page.keyboard.press("Enter")
    expect(first).to_contain_text("Tries again")
    expect(page.locator("nav .tab[aria-current]")).to_have_text(re.compile(r"All\s*2"))
    assert page.evaluate("window.isSamePage")


def test_the_page_says_when_the_line_is_lost_and_catches_up(
    worklist: Callable[..., Page], running: product.Site, tmp_path: Path
) -> None:
    page = worklist()
    expect(page.locator(".toolbar .live")).to_have_text("Live")
    first = running.children()["web"]
    subprocess.run(["kill", "-9", str(first)], check=True)
    expect(page.locator(".toolbar .live")).to_have_text("Reconnecting", timeout=10_000)
    send(running, tmp_path, PatientName="While^Away")
    expect(page.locator(".toolbar .live")).to_have_text("Live", timeout=60_000)
    expect(page.locator(".row", has_text="While, Away")).to_have_count(1, timeout=20_000)


@pytest.mark.parametrize("path", ["worklist/studies/", "accounts/profile/", "notifications/list/"])
def test_a_phone_shows_everything_without_scrolling_sideways(
    worklist: Callable[..., Page], running: product.Site, path: str
) -> None:
    page = worklist(width=360, height=740)
    page.goto(f"http://127.0.0.1:{running.web_port}/{path}")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360


def test_a_long_name_is_whole_on_a_phone(worklist: Callable[..., Page]) -> None:
    page = worklist(width=360, height=740)
    name = page.locator(".row .row-open").first
    name.evaluate("a => { a.textContent = 'SCHWARZENBACH-MUELLER, Annegret Maria'; }")
    cut = name.evaluate("a => a.scrollWidth > a.clientWidth || a.scrollHeight > a.clientHeight")
    assert not cut


def test_cards_on_a_phone_open_the_preview(worklist: Callable[..., Page]) -> None:
    page = worklist("?name=number00?&sort=name&dir=asc", width=360, height=740)
    card = page.locator(".row").first
    box = card.bounding_box()
    assert box is not None
    assert box["height"] > 60
    assert box["width"] <= 360
    card.click(position={"x": 200, "y": 60})
    expect(page.locator(".drawer .preview")).to_contain_text("Bulk, Number000")
    page.get_by_role("button", name="Close the preview").click()
    page.get_by_role("button", name="Filters").click()
    page.locator('.filter-row [name="name"]').fill("number001")
    expect(page.locator(".row")).to_have_count(1)
