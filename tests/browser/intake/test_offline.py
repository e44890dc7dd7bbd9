"""The page of offline uploads in Chromium: network cut, browser and server ended, nothing lost.

Not covered here: what the three steps take and refuse (tests/doors/ehr/test_offline_images.py).
"""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from PIL import Image
from playwright.sync_api import BrowserContext, Page, Playwright, Request, expect
from pydicom.uid import generate_uid

from tests.browser.conftest import CHROMIUM
from tests.browser.intake.conftest import PASSWORD, IntakeSite, sign_in, slow_down
from tests.dicom import make_instance, to_bytes

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

OFFLINE = "/offline/"
PIECE = 8 * 2**20


def write_study(folder: Path, count: int, *, side: int = 16) -> str:
    """Files of a new study; returns its Study Instance UID."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series = generate_uid(), generate_uid()
    noise = np.random.default_rng(2)
    for number in range(1, count + 1):
        ds = make_instance(
            noise.integers(0, 4096, (side, side), dtype=np.uint16),
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            InstanceNumber=number,
            PatientName="Offline^Olga",
            PatientID=study[-12:],
        )
        (folder / f"IM{number:04}").write_bytes(to_bytes(ds))
    return str(study)


@pytest.fixture
def faults() -> Iterator[list[str]]:
    """What pages complain about; nothing, at the end."""
    found: list[str] = []
    yield found
    assert found == [], json.dumps(found, indent=1)


Browsing = Callable[..., Any]


@pytest.fixture
def browsing(
    playwright: Playwright, intake_site: IntakeSite, tmp_path: Path, faults: list[str]
) -> Browsing:
    """A browser of its own that can be ended and started again with all that it keeps."""

    @contextmanager
    def run(*, is_offline: bool = False) -> Iterator[tuple[BrowserContext, Page]]:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-quic", "--no-first-run"],
            viewport={"width": 1280, "height": 800},
        )
        try:
            context.set_offline(is_offline)
            page = context.new_page()
            page.set_default_timeout(20_000)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on(
                "console",
                lambda said: (
                    faults.append(said.text) if "Content Security Policy" in said.text else None
                ),
            )
            yield context, page
        finally:
            context.close()

    return run


def open_page(page: Page, site: IntakeSite) -> Page:
    page.goto(site.address + OFFLINE)
    page.wait_for_selector("[data-offline][data-ready]")
    return page


def visit_signed_in(page: Page, site: IntakeSite, name: str = "tess") -> Page:
    sign_in(page, site.address, name)
    open_page(page, site)
    expect(page.locator("[data-person]")).to_have_text(name)
    # From now on the browser opens the page without anybody.
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    return page


def count(page: Page, tab: str) -> Any:
    return expect(page.locator(f"[data-count={tab}]"))


def downloaded(page: Page, what: str) -> str:
    page.click("[data-show=safe]")
    with page.expect_download() as waiting:
        page.click(f"[data-do={what}]")
    return waiting.value.path().read_text()


def checked(page: Page, site: IntakeSite, text: str) -> list[dict[str, Any]]:
    """Check receipts as docs/api/offline.md tells everybody to."""
    told = page.request.get(f"{site.address}/api/v1/radiology/receipt-keys/").json()["keys"]
    keys = {each["key_id"]: base64.b64decode(each["public_key"]) for each in told}
    found = json.loads(text)
    receipts = found if isinstance(found, list) else [found]
    for receipt in receipts:
        said = {name: receipt[name] for name in receipt if name not in ("key_id", "signature")}
        words = json.dumps(said, sort_keys=True, separators=(",", ":"))
        Ed25519PublicKey.from_public_bytes(keys[receipt["key_id"]]).verify(
            base64.b64decode(receipt["signature"]), f"noctis-pro offline-receipt\n{words}".encode()
        )
    return receipts


def stored(page: Page, site: IntakeSite, study: str) -> int:
    """How many images of a study the archive shows this person; 0 without the study."""
    answer = page.request.get(f"{site.address}/api/v1/radiology/studies/{study}/images/")
    if answer.status == 404:
        return 0
    return sum(len(series["images"]) for series in answer.json()["series"])


def test_files_wait_for_the_network_even_while_the_browser_ends(
    browsing: Browsing, intake_site: IntakeSite, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "card", 3)
    (tmp_path / "card" / "notes.txt").write_text("not a picture")
    with browsing() as (context, page):
        visit_signed_in(page, intake_site)
        context.set_offline(True)
        page.reload()
        page.wait_for_selector("[data-offline][data-ready]")
        page.set_input_files("[data-input=folder]", tmp_path / "card")
        count(page, "refused").to_have_text("1")
        count(page, "open").to_have_text("3")
        expect(page.locator(".offline-row[data-stage=prepared]")).to_have_count(3)
        expect(page.locator("[data-trouble]")).to_contain_text("No network")
        page.click("[data-show=refused]")
        expect(page.locator(".offline-reason")).to_contain_text("not DICOM, JPEG or PNG")
    # The card is gone, and so is the browser.
    for path in (tmp_path / "card").iterdir():
        path.write_bytes(b"")
    with browsing(is_offline=True) as (context, page):
        open_page(page, intake_site)
        count(page, "open").to_have_text("3")
        assert stored(page, intake_site, study) == 0
        context.set_offline(False)
        count(page, "safe").to_have_text("3")
        count(page, "open").to_have_text("0")
        receipts = checked(page, intake_site, downloaded(page, "receipts"))
        assert {receipt["study_uid"] for receipt in receipts} == {study}
        lines = downloaded(page, "wipe-list").splitlines()
        assert sorted(line.split("  ")[1] for line in lines) == [
            "card/IM0001", "card/IM0002", "card/IM0003",
        ]  # fmt: skip
        assert {line.split("  ")[0] for line in lines} == {each["checksum"] for each in receipts}
        assert stored(page, intake_site, study) == 3
        kept = page.evaluate(
            """async () => {
              const addresses = [];
              for (const name of await caches.keys()) {
                for (const request of await (await caches.open(name)).keys()) {
                  addresses.push(new URL(request.url).pathname);
                }
              }
              return addresses;
            }"""
        )
        assert OFFLINE in kept
        strange = [each for each in kept if not each.startswith(("/offline/", "/static/"))]
        assert strange == []
        copies = page.evaluate(
            """() => new Promise((resolve) => {
              indexedDB.open("noctis-offline").onsuccess = ({ target }) => {
                const files = target.result.transaction("files").objectStore("files").getAllKeys();
                files.onsuccess = () => resolve(files.result.length);
              };
            })"""
        )
        assert copies == 1, "the refused file alone is still kept"


def test_a_killed_server_costs_nothing(
    browsing: Browsing, intake_site: IntakeSite, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "card", 4, side=400)
    with browsing() as (_, page):
        visit_signed_in(page, intake_site)
        slow_down(page, 300_000)
        page.set_input_files("[data-input=folder]", tmp_path / "card")
        # Some bytes are on their way now.
        expect(page.locator("progress.file-bar").first).to_be_visible()
        # What is taken off the list on its way does not come back to it.
        on_its_way = page.locator(".offline-row", has=page.locator("progress.file-bar")).first
        on_its_way.get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.locator(".offline-row")).to_have_count(3)
        web = intake_site.here.children()["web"]
        os.kill(web, signal.SIGKILL)
        expect(page.locator("[data-trouble]")).to_contain_text("does not answer")
        slow_down(page, -1)
        count(page, "safe").to_have_text("3", timeout=60_000)
        open_page(page, intake_site)
        count(page, "safe").to_have_text("3")
        count(page, "open").to_have_text("0")
        count(page, "refused").to_have_text("0")
        # The same files again: three are seen to be the same, the fourth comes now.
        page.set_input_files("[data-input=folder]", tmp_path / "card")
        count(page, "refused").to_have_text("3")
        count(page, "safe").to_have_text("4")
        assert stored(page, intake_site, study) == 4
        receipts = checked(page, intake_site, downloaded(page, "receipts"))
        assert len({receipt["image_uid"] for receipt in receipts}) == 4


def pieces_of(page: Page) -> list[tuple[str, int]]:
    """What pages ask of uploads in pieces from now on: the method, and where a piece begins."""
    found: list[tuple[str, int]] = []

    def note(request: Request) -> None:
        if "/api/v1/dicom/uploads" in request.url:
            found.append((request.method, int(request.headers.get("upload-offset", -1))))

    page.on("request", note)
    return found


def is_second_piece(request: Request) -> bool:
    return request.method == "PATCH" and int(request.headers["upload-offset"]) >= PIECE


def test_a_large_file_goes_on_where_it_was(
    browsing: Browsing, intake_site: IntakeSite, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "card", 1, side=2500)
    with browsing() as (_, page):
        visit_signed_in(page, intake_site)
        asked = pieces_of(page)
        slow_down(page, 2_000_000)
        with page.expect_request(is_second_piece, timeout=60_000):
            page.set_input_files("[data-input=files]", tmp_path / "card" / "IM0001")
        with page.expect_request(is_second_piece, timeout=60_000):
            os.kill(intake_site.here.children()["web"], signal.SIGKILL)
    with browsing(is_offline=True) as (context, page):
        asked_later = pieces_of(page)
        open_page(page, intake_site)
        count(page, "open").to_have_text("1")
        context.set_offline(False)
        count(page, "safe").to_have_text("1", timeout=60_000)
        checked(page, intake_site, downloaded(page, "receipts"))
        assert stored(page, intake_site, study) == 1
    assert [method for method, _ in asked + asked_later].count("POST") == 1
    assert [at for method, at in asked if method == "PATCH"].count(0) == 1
    assert all(at >= PIECE for method, at in asked_later if method == "PATCH")


def new_order(page: Page, site: IntakeSite) -> str:
    """Make an order; returns its accession number."""
    token = page.request.get(f"{site.address}/offline/session/").json()["csrf_token"]
    options: Any = {"headers": {"X-CSRFToken": token, "Origin": site.address}}
    patient = page.request.post(
        f"{site.address}/api/v1/patients",
        data={"first_name": "Olga", "last_name": "Offline", "mrn": generate_uid()[-12:]},
        **options,
    )
    assert patient.status == 201, patient.text()
    order = page.request.post(
        f"{site.address}/api/v1/orders",
        data={"patient_id": patient.json()["id"], "description": "Wound", "order_category": "XC"},
        **options,
    )
    assert order.status == 201, order.text()
    return str(order.json()["accession_number"])


def test_who_is_signed_out_loses_nothing_and_refusals_are_mended(
    browsing: Browsing, intake_site: IntakeSite, tmp_path: Path
) -> None:
    picture = tmp_path / "wound.png"
    Image.effect_noise((64, 64), 50).save(picture)
    with browsing() as (context, page):
        visit_signed_in(page, intake_site)
        accession = new_order(page, intake_site)
        context.clear_cookies()
        page.fill("[data-order]", "NO-SUCH-ORDER")
        page.set_input_files("[data-input=files]", picture)
        trouble = page.locator("[data-trouble]")
        expect(trouble).to_contain_text("signed out")
        count(page, "open").to_have_text("1")
        trouble.get_by_role("link", name="Sign in").click()
        page.fill("input[name=username]", "tess")
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_selector("[data-offline][data-ready]")
        count(page, "refused").to_have_text("1")
        page.click("[data-show=refused]")
        expect(page.locator(".offline-reason")).to_contain_text("no such order")
        page.fill("[data-order]", accession)
        page.get_by_role("button", name="Try again: wound.png").click()
        count(page, "safe").to_have_text("1")
        (receipt,) = checked(page, intake_site, downloaded(page, "receipts"))
        assert stored(page, intake_site, receipt["study_uid"]) == 1
        study = write_study(tmp_path / "card", 1)
        page.get_by_label("De-identify DICOM before it is stored").check()
        expect(page.locator("[data-order]")).to_be_disabled()
        page.set_input_files("[data-input=files]", tmp_path / "card" / "IM0001")
        count(page, "safe").to_have_text("2")
        receipts = checked(page, intake_site, downloaded(page, "receipts"))
        (hidden,) = [each for each in receipts if each.get("deidentified")]
        assert stored(page, intake_site, study) == 0
        assert stored(page, intake_site, hidden["study_uid"]) == 1
