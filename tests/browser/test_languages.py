"""The site in other languages than English, as browsers show it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.pofile import read_po
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import SPACE
from tests.browser.test_accessibility import _PAGES
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]

_PROJECT = Path(__file__).parents[2]
_LOCALE = _PROJECT / "locale" / "de"
_WORD = re.compile(r"[^\W\d_]{3,}")
# Keys of keyboards, and what a name of a product or a standard is.
_NAMES = {"Ctrl", "Shift", "Alt", "Esc", "Tab", "PgUp", "PgDn", "OHIF", "DICOM", "DICOMDIR"}
# Texts and spoken names of what is there, outside of what is in a language of its own.
_SAID = """() => {
  const said = [];
  const own = "script, style, kbd, svg, option, textarea, [lang]:not(html)";
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    if (!walk.currentNode.parentElement.closest(own)) said.push(walk.currentNode.data);
  }
  for (const name of ["title", "aria-label", "placeholder", "alt"]) {
    for (const element of document.body.querySelectorAll(`[${name}]`)) {
      if (!element.closest(own)) said.push(element.getAttribute(name));
    }
  }
  return said;
}"""


def _values(catalogue: dict[str, Any]) -> Iterator[str]:
    for found in catalogue.values():
        yield from [found] if isinstance(found, str) else found.values()


def _german_of_pages() -> set[str]:
    """Words that the server writes into the page."""
    with (_LOCALE / "LC_MESSAGES" / "django.po").open("rb") as file:
        found = [message.string for message in read_po(file)]
    texts = [one for each in found for one in ([each] if isinstance(each, str) else each)]
    return {word for text in texts for word in _WORD.findall(text)}


def _bracketed() -> str:
    """The script of a language that puts brackets around itself; its code is German's."""
    catalogue = json.loads((_PROJECT / "frontend/src/messages/de.json").read_text())
    texts = {
        key: f"⟦{key}⟧" if isinstance(found, str) else dict.fromkeys(found, f"⟦{key}⟧")
        for key, found in catalogue.items()
    }
    spoken = {key: f"⟦{key}⟧" for key in json.loads((_LOCALE / "sentences.json").read_text())}
    return (
        f"globalThis.noctisMessages = {json.dumps(texts)};"
        f"globalThis.noctisSentences = {json.dumps(spoken)};"
    )


def test_the_viewer_says_no_english_word_past_its_catalogue(
    new_page: NewPage, reading_site: ReadingSite
) -> None:
    page = new_page(locale="de-DE")

    def answer(route: Route) -> None:
        route.fulfill(body=_bracketed(), content_type="text/javascript")

    page.route(re.compile(r"/messages-de[^/]*\.js"), answer)
    viewer = ViewerPage(page).open(reading_site.viewer(SPACE))
    manifest = page.locator("#study-manifest").text_content() or ""
    known = _NAMES | _german_of_pages() | set(_WORD.findall(manifest))
    found: dict[str, str] = {}

    def look() -> None:
        for text in page.evaluate(_SAID):
            rest = text
            while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", "", rest)) != rest:
                rest = shorter
            for word in _WORD.findall(rest):
                if word not in known:
                    found.setdefault(word, text.strip())

    expect(page.locator("noctis-viewer")).to_contain_text("⟦")
    look()
    for key, shown in (
        ("F2", "textarea.report-text"),
        ("F4", "noctis-segments"),
        ("Shift+F4", "noctis-machine"),
        ("?", "dialog[open]"),
        ("Control+,", "noctis-shortcuts dialog[open]"),
    ):
        viewer.press(key)
        expect(page.locator(shown).first).to_be_visible()
        look()
        viewer.press("Escape")
        expect(page.locator("dialog[open]")).to_have_count(0)
    assert found == {}, json.dumps(found, indent=1, ensure_ascii=False)


def test_a_study_is_found_and_read_in_german(new_page: NewPage, reading_site: ReadingSite) -> None:
    page = new_page(locale="de-DE")
    page.goto(f"{reading_site.address}/worklist/studies/")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("heading", name="Arbeitsliste", exact=True)).to_be_visible()
    viewer = ViewerPage(page).open(reading_site.viewer(SPACE))
    expect(page.locator("html")).to_have_attribute("lang", "de")
    for name in ("Länge", "Bericht", "Export"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()

    # Keys are what they are in every language, called as they are on its keyboards.
    own = viewer.fact("window-width")
    viewer.press("1")
    expect(page.locator("noctis-viewer")).not_to_have_attribute("data-window-width", own)
    viewer.press("Space")
    viewer.expect_fact("window-width", own)
    viewer.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Leertaste")


def test_german_fits_a_phone(new_page: NewPage, reading_site: ReadingSite) -> None:
    page = new_page(width=360, height=740, locale="de-DE")
    wide = []
    for path in (*_PAGES, f"/viewer/{reading_site.studies[SPACE]}/"):
        page.goto(reading_site.address + path)
        expect(page.locator("html")).to_have_attribute("lang", "de")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 360:
            wide.append((path, width))
    assert wide == []
