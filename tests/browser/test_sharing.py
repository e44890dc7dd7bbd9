"""A study shared by a link: made by a reader, opened by somebody without an account."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import SPACE
from tests.browser.test_accessibility import violations
from tests.browser.viewer_page import ViewerPage

pytestmark = pytest.mark.browser

PIN = "402711"
_LOAD_MS = 90_000


@pytest.fixture
def stranger(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browsers of people who were never here."""
    contexts: list[BrowserContext] = []

    def make(width: int = 1440, height: int = 900) -> BrowserContext:
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}))
        return contexts[-1]

    yield make
    for context in contexts:
        context.close()


def shared(page: Page, site: ReadingSite, audience: str, **chosen: str) -> str:
    """Share a study as a reader does; returns the link."""
    page.goto(f"{site.address}/worklist/studies/{site.studies[SPACE]}/")
    page.get_by_role("link", name="Share", exact=True).click()
    page.get_by_label("For whom").fill(audience)
    for label, option in chosen.items():
        page.get_by_label(label.replace("_", " "), exact=True).select_option(label=option)
    page.get_by_label("PIN", exact=True).fill(PIN)
    page.get_by_role("button", name="Make the link").click()
    expect(page.get_by_role("img", name="QR code of the link")).to_be_visible()
    expect(page.locator("#link-pin")).to_have_text(PIN)
    return page.locator("#link-address").inner_text().strip()


def test_a_link_is_made_opened_by_a_stranger_and_withdrawn(
    new_page: Callable[..., Page],
    stranger: Callable[..., BrowserContext],
    reading_site: ReadingSite,
) -> None:
    reader = new_page()
    address = shared(reader, reading_site, "Dr. Weber", Can_be_opened="3 times")
    text = address.partition("#")[2]
    assert text.startswith("nsl_")
    assert violations(reader) == []

    page = stranger(360, 740).new_page()
    sent: list[str] = []

    def note(request: Request) -> None:
        sent.extend([request.url, request.headers.get("referer", "")])

    page.on("request", note)
    page.goto(address)
    expect(page.get_by_label("PIN")).to_be_focused()
    assert text not in page.url
    page.get_by_label("PIN").fill("000000")
    page.get_by_role("button", name="Open the study").click()
    expect(page.get_by_role("alert")).to_contain_text("4 tries are left")
    assert violations(page) == []
    page.get_by_label("PIN").fill(PIN)
    page.keyboard.press("Enter")
    viewer = ViewerPage(page).wait()
    assert page.url == reading_site.viewer(SPACE)
    # The link itself was in no address, and in no Referer.
    assert not [one for one in sent if text[:20] in one]
    assert not [one for one in sent[1::2] if reading_site.studies[SPACE] in one]
    # One can read, and go nowhere else.
    viewer.press("PageDown")
    viewer.wait()
    for name in ("Export", "Report"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(page.get_by_role("link", name="Worklist")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    reader.goto(f"{reading_site.address}/shared/links/")
    row = reader.get_by_role("row").filter(has_text="Dr. Weber").first
    expect(row).to_contain_text("1 of 3")
    row.get_by_role("link", name="Look at it").click()
    uses = reader.get_by_role("table")
    expect(uses).to_contain_text("Opened")
    expect(uses).to_contain_text("Wrong PIN")
    reader.get_by_role("button", name="Withdraw the link").click()
    expect(reader.get_by_text("Withdrawn", exact=True)).to_be_visible()

    # Whoever looks is told as soon as they come back to the page, and so is who opens it anew.
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    ended = page.get_by_role("dialog", name="This link has ended")
    expect(ended).to_contain_text("withdrawn")
    page.keyboard.press("Escape")
    expect(ended).to_be_visible()
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text("withdrawn")
    page.goto(reading_site.viewer(SPACE))
    expect(page.get_by_role("heading", name="This link has ended")).to_be_visible()


@pytest.fixture
def portal() -> Iterator[Callable[[str], str]]:
    """Serves a page of another origin that frames an address; returns where."""
    framed: list[str] = []

    class Portal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            frame = f'<iframe name="study" width="1200" height="800" src="{framed[-1]}">'
            body = f"<title>Portal</title>{frame}"
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Portal) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()

        def serve(address: str) -> str:
            framed.append(address)
            return f"http://127.0.0.1:{server.server_port}/portal"

        yield serve
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ohif_opens_in_a_portals_frame_with_the_shared_study_alone_and_ends_with_the_link(
    new_page: Callable[..., Page],
    stranger: Callable[..., BrowserContext],
    portal: Callable[[str], str],
    reading_site: ReadingSite,
) -> None:
    reader = new_page()
    address = shared(reader, reading_site, "The portal", Opens_in="OHIF")
    page = stranger().new_page()
    page.goto(portal(address))
    frame = page.frame("study")
    assert frame is not None
    frame.get_by_label("PIN").fill(PIN)
    frame.get_by_role("button", name="Open the study").click()
    frame.wait_for_url(re.compile(r"/ohif/viewer\?StudyInstanceUIDs="))
    viewport = frame.locator('[data-cy="viewport-pane"]').first
    expect(viewport.locator("canvas").first).to_be_visible(timeout=_LOAD_MS)
    studies = f"{reading_site.address}/dicom-web/studies"
    found = frame.evaluate("address => fetch(address).then((answer) => answer.json())", studies)
    assert [one["0020000D"]["Value"] for one in found] == [[SPACE]]
    reader.goto(f"{reading_site.address}/shared/links/")
    reader.get_by_role("row").filter(has_text="The portal").first.get_by_role(
        "link", name="Look at it"
    ).click()
    reader.get_by_role("button", name="Withdraw the link").click()
    expect(reader.get_by_text("Withdrawn", exact=True)).to_be_visible()
    frame.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(frame.get_by_role("dialog", name="This link has ended")).to_contain_text("withdrawn")
