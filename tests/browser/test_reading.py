"""Reading as people do it: by keys alone, into a report, with keys of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import READING
from tests.browser.viewer_page import ViewerPage

pytestmark = pytest.mark.browser

NewPage = Callable[..., Page]

_CALL = """async ([key, method, body]) => {
  const {links} = JSON.parse(document.getElementById("study-manifest").textContent);
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const response = await fetch(links[key], {method, body: body && JSON.stringify(body),
    headers: {"X-CSRFToken": token, "Content-Type": "application/json"}});
  return [response.status, await response.json()];
}"""


def call(page: Page, key: str, method: str = "GET", body: object = None) -> Any:
    """The answer of one of the addresses that the manifest names."""
    status, answer = page.evaluate(_CALL, [key, method, body])
    assert status == 200, answer
    return answer


def draft(text: str, version: int) -> dict[str, Any]:
    return {"revision_id": str(uuid4()), "base_version": version, "text": text}


def expect_spoken(page: Page, words: str) -> None:
    expect(page.locator("#spoken")).to_contain_text(words)


@pytest.fixture
def viewer(new_page: NewPage, reading_site: ReadingSite) -> ViewerPage:
    """A study on which nothing is drawn and of which nothing is written."""
    page = new_page()
    opened = ViewerPage(page).open(reading_site.viewer(READING))
    known = call(page, "report")
    if known["text"]:
        call(page, "report", "PUT", draft("", known["version"]))
    call(page, "shortcuts", "DELETE")
    opened.erase()
    return opened


def inner(viewer: ViewerPage, expression: str) -> Any:
    """A fact of the page's workspace `w`."""
    return viewer.page.evaluate(
        f"() => {{const w = document.querySelector('noctis-viewer').workspace;"
        f" return {expression};}}"
    )


def report_text(page: Page) -> Locator:
    return page.locator("textarea.report-text")


def expect_kept(page: Page) -> None:
    expect(page.locator(".report-state")).to_have_text("Saved")


def test_a_study_is_opened_measured_reported_and_stored_by_keys_alone(
    viewer: ViewerPage, reading_site: ReadingSite
) -> None:
    page = viewer.page
    page.goto(f"{reading_site.address}/worklist/studies/")
    expect(page.locator(".row").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("name:reading")
    viewer.press("Enter")
    expect(page.locator(".row")).to_have_count(1)
    viewer.press("ArrowDown", "Enter")
    page.wait_for_url(reading_site.viewer(READING))
    viewer.wait()
    viewer.press("Home", "ArrowDown", "ArrowDown")
    viewer.expect_fact("image-index", "2")
    viewer.press("m", "Shift+Space")
    expect_spoken(page, "Pointing by keys. Column 3")
    zoom = inner(viewer, "w.active.zoomFactor")
    viewer.press("Enter", "Shift+ArrowRight", "Shift+ArrowRight", "Control+ArrowLeft", "Enter")
    expect(page.locator("table.measurements tbody tr")).to_have_count(1)
    expect_spoken(page, "Length ")
    # 99 pixels of the screen; those of the phantom are 2 mm wide.
    measured = inner(viewer, "w.list.all()[0].facts.value")
    assert measured == pytest.approx(99 / zoom * 2, abs=0.01)
    viewer.press("Escape", "F8")
    expect(report_text(page)).to_have_value(
        re.compile(r"^Length .*mm, image 3 of series 1 \[M1\]$")
    )
    viewer.press("F2")
    expect(report_text(page)).to_be_focused()
    page.keyboard.type(" is the distance.")
    viewer.press("F9")
    expect_kept(page)
    kept = call(page, "report")
    assert kept["text"].endswith("[M1] is the distance. image 3 of series 1 [K1]")
    assert [entry["mark"] for entry in kept["references"]] == ["M1", "K1"]
    # Esc leads back to the pictures, Tab from there to everything else.
    viewer.press("Escape", "ArrowDown")
    viewer.expect_fact("image-index", "3")
    viewer.expect_saved()
    tab_to(page, "Export")
    viewer.press("Enter")
    tab_to(page, "Store")
    viewer.press("Enter")
    expect(page.locator(".export-done")).to_contain_text("stored in the study")


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the button of this name has the focus."""
    button = page.get_by_role("button", name=name, exact=True)
    for _ in range(80):
        if button.evaluate("button => document.activeElement === button"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not reach {name}")


def test_a_mark_says_when_its_measurement_changed(viewer: ViewerPage) -> None:
    page = viewer.page
    viewer.press("m")
    viewer.drag((0.3, 0.5), (0.6, 0.5))
    viewer.expect_saved()
    viewer.press("F8")
    expect_kept(page)
    before = report_text(page).input_value()
    # The end of the line is pulled further.
    viewer.drag((0.6, 0.5), (0.7, 0.5))
    changed = page.locator(".report-marks li[data-mark=M1]")
    expect(changed).to_have_attribute("data-state", "changed")
    assert report_text(page).input_value() == before
    page.get_by_role("button", name="Update M1").click()
    expect(changed).to_have_attribute("data-state", "same")
    value = inner(viewer, "w.list.all()[0].facts.value")
    after = report_text(page).input_value()
    assert after != before
    assert f"{value:.1f}" in after
    viewer.button("Delete measurement 1")
    expect(changed).to_have_attribute("data-state", "gone")


def test_two_who_write_lose_nothing(viewer: ViewerPage, new_page: NewPage) -> None:
    page = viewer.page
    viewer.press("F2")
    expect(report_text(page)).to_be_focused()
    version = call(page, "report")["version"]
    call(page, "report", "PUT", draft("Theirs.", version))
    page.keyboard.type("Mine.")
    sentence = page.locator(".report-conflict")
    expect(sentence).to_contain_text("changed the report meanwhile. Both texts are kept")
    assert report_text(page).input_value() == "Mine."
    page.get_by_role("button", name="Put mine below theirs").click()
    expect_kept(page)
    assert call(page, "report")["text"] == "Theirs.\n\nMine."
    page.reload()
    viewer.wait()
    viewer.button("Report")
    expect(report_text(page)).to_have_value("Theirs.\n\nMine.")
    page.get_by_text("Earlier texts").click()
    expect(page.locator(".report-revisions li").filter(has_text="Put aside")).not_to_have_count(0)


def test_the_ledger_claims_what_stood_there_exactly_and_nothing_else(viewer: ViewerPage) -> None:
    page = viewer.page
    before = call(page, "shown")["shown"]
    frames = inner(viewer, "w.active.stack.frames.map(({image}) => image.id)")
    viewer.press("End")
    viewer.expect_fact("image-index", str(len(frames) - 1))
    page.wait_for_function(
        "() => {const w = document.querySelector('noctis-viewer').workspace;"
        " w.shown.settle(performance.now());"
        " return w.shown.shownMs(w.active.shownFrame.key) > 50;}"
    )
    # What is drawn while the tab is hidden was shown to nobody.
    page.evaluate(
        """() => {
          Object.defineProperty(document, "visibilityState", {get: () => "hidden"});
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    viewer.press("Home")
    viewer.press("ArrowDown")
    viewer.expect_fact("image-index", "1")
    page.reload()
    viewer.wait()
    after = call(page, "shown")["shown"]
    last, second = frames[-1], frames[1]
    assert after[last]["1"] > before.get(last, {}).get("1", 0)
    assert after.get(second) == before.get(second)


def test_how_much_was_not_shown_is_said_and_led_to(viewer: ViewerPage) -> None:
    page = viewer.page
    # What stands there counts, and so does what was shown in other windows.
    known = [f"{image}:{n}" for image, ns in call(page, "shown")["shown"].items() for n in ns]
    page.wait_for_function(
        "known => {const w = document.querySelector('noctis-viewer').workspace;"
        " w.shown.settle(performance.now());"
        " return [w.active.shownFrame.key, ...known].every(key => w.shown.has(key));}",
        arg=known,
    )
    count = inner(viewer, "w.active.stack.frames.length")
    missing = inner(viewer, "w.active.stack.frames.filter(({key}) => !w.shown.has(key)).length")
    if missing == 0:
        pytest.fail("Every image was shown before: the test has nothing to lead to.")
    viewer.press(">")
    notice = page.locator("[data-notice=unseen]")
    expect(notice).to_contain_text(f"{missing} of {count} images of series 1 not shown in full yet")
    notice.get_by_role("button", name="Go to the next").click()
    page.wait_for_function(
        "() => {const w = document.querySelector('noctis-viewer').workspace;"
        " w.shown.settle(performance.now()); return w.shown.has(w.active.wantedFrame.key);}"
    )
    viewer.press(">")
    expect(notice).to_contain_text(f"{missing - 1} of {count} images")


def test_keys_are_changed_clashes_named_and_kept(viewer: ViewerPage, tmp_path: Path) -> None:
    page = viewer.page
    viewer.press("Control+,")
    dialog = page.get_by_role("dialog", name="Change the keys")
    dialog.get_by_role("button", name="Length: change the key").click()
    viewer.press("e")
    expect(dialog.locator(".key-message")).to_contain_text("E is the key of Ellipse ROI.")
    dialog.get_by_role("button", name="Leave it").click()
    expect(dialog.locator("[data-command=tool-length] kbd")).to_have_text("M")
    dialog.get_by_role("button", name="Length: change the key").click()
    viewer.press("Tab")
    expect(dialog.locator(".key-message")).to_contain_text("stays that")
    viewer.press("F6")
    expect(dialog.locator("[data-command=tool-length] kbd")).to_have_text("F6")
    expect(dialog.locator(".key-message")).to_have_text("Kept.")
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Export").click()
    exported = tmp_path / "keys.json"
    download.value.save_as(exported)
    assert json.loads(exported.read_text())["shortcuts"] == {"tool-length": ["F6"]}
    viewer.press("Escape")
    page.reload()
    viewer.wait()
    viewer.press("m")
    tool = page.get_by_role("button", name="Length", exact=True)
    expect(tool).to_have_attribute("aria-pressed", "false")
    viewer.press("F6")
    expect(tool).to_have_attribute("aria-pressed", "true")
    expect(tool).to_have_attribute("title", "Length (F6)")
    viewer.press("?")
    row = page.locator("#help dt", has_text="Length").locator("+ dd")
    expect(row).to_have_text("F6")
    # The sheet alone is printed, on one page.
    assert len(re.findall(rb"/Type /Page\b", page.pdf(format="A4"))) == 1
    page.locator("#help").get_by_role("button", name="Change the keys").click()
    dialog.get_by_role("button", name="All as they were").click()
    expect(dialog.locator("[data-command=tool-length] kbd")).to_have_text("M")
    dialog.locator("input[type=file]").set_input_files(exported)
    expect(dialog.locator("[data-command=tool-length] kbd")).to_have_text("F6")


def test_on_a_phone_the_report_is_behind_a_button(
    new_page: NewPage, reading_site: ReadingSite, viewer: ViewerPage
) -> None:
    page = new_page(width=360, height=740)
    ViewerPage(page).open(reading_site.viewer(READING))
    expect(report_text(page)).to_have_count(0)
    page.get_by_role("button", name="Report", exact=True).click()
    expect(report_text(page)).to_be_visible()
    box = page.locator(".report-side").bounding_box()
    assert box is not None
    assert box["width"] == 360
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_role("button", name="Close the report").click()
    expect(report_text(page)).to_have_count(0)
