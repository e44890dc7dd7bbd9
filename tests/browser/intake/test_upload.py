"""The upload page in Chromium: what people pick and drop comes in, whatever the network does.

Not covered here: what the server takes and refuses (tests/doors/test_upload_http.py).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from pydicom.uid import generate_uid

from tests.browser.intake.conftest import IntakeSite, sign_in, slow_down
from tests.dicom import make_instance, to_bytes

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
UPLOAD = "/worklist/upload/"
Visit = Callable[..., Page]


def write_study(folder: Path, count: int, *, side: int = 16, name: str = "Test^Anna") -> Path:
    """Files of one study, `side` squared pixels of noise each."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series = generate_uid(), generate_uid()
    noise = np.random.default_rng(1)
    for number in range(1, count + 1):
        pixels = noise.integers(0, 4096, (side, side), dtype=np.uint16)
        ds = make_instance(
            pixels,
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            InstanceNumber=number,
            PatientName=name,
            PatientID=study[-12:],
        )
        (folder / f"IM{number:04}").write_bytes(to_bytes(ds))
    return folder


def pick_folder(page: Page, folder: Path) -> None:
    page.set_input_files('[data-input="folder"]', folder)


def pick_files(page: Page, *files: Path) -> None:
    page.set_input_files('[data-input="files"]', list(files))


def outcome(page: Page) -> Any:
    return expect(page.locator("[data-outcome]"))


def test_a_folder_comes_in_and_leads_to_its_study(visit: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "disc" / "CT", 30, name="Folder^Frida").parent
    (folder / "cover.png").write_bytes(PNG)
    (folder / ".DS_Store").write_bytes(b"x")
    page = visit(UPLOAD)

    pick_folder(page, folder)

    outcome(page).to_have_text("30 stored, 1 refused: not DICOM (PNG)")
    rows = page.locator(".file-row")
    expect(rows.filter(has_text="disc/cover.png")).to_contain_text("Refused")
    expect(rows.filter(has_text="disc/CT/IM0001")).to_contain_text("Stored")
    page.get_by_role("button", name="Not taken 1").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("not DICOM (PNG)")
    study = page.locator(".upload-study")
    expect(study).to_contain_text("Folder, Frida")
    expect(study).to_contain_text("30 images")
    study.get_by_role("link", name="Folder, Frida", exact=True).click()
    page.wait_for_url("**/worklist/studies/*/")
    expect(page.get_by_role("heading", name="Folder, Frida")).to_be_visible()


def test_an_archive_and_the_same_again(visit: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", 5)
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in folder.iterdir():
            out.write(path, path.name)
        out.writestr("letter.pdf", b"%PDF-1.4")
    page = visit(UPLOAD)

    pick_files(page, archive)
    outcome(page).to_have_text("5 stored, 1 refused: not DICOM (PDF)")
    first = page.locator(".file-row").first
    expect(first).to_contain_text("study.zip")
    expect(first).to_contain_text("5 stored, 1 refused")

    page.get_by_role("button", name="Clear the list").click()
    expect(page.locator("[data-queue]")).to_be_hidden()
    pick_folder(page, folder)
    outcome(page).to_have_text("5 already here")


def test_a_folder_is_dropped_anywhere_on_the_page(visit: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "dropped" / "deep" / "deeper", 130).parents[1]
    (folder / "Thumbs.db").write_bytes(b"x")
    page = visit(UPLOAD)
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}

    for kind in ("dragEnter", "dragOver"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 860, "data": data})
    expect(page.locator("[data-veil]")).to_be_visible()
    session.send("Input.dispatchDragEvent", {"type": "drop", "x": 700, "y": 860, "data": data})

    # A folder's reader gives a hundred entries at a time: all must be asked for.
    outcome(page).to_have_text("130 stored")
    expect(page.locator("[data-veil]")).to_be_hidden()
    expect(page.locator(".file-row").first).to_contain_text("dropped/deep/deeper/IM0001")


def test_a_cut_of_the_network_loses_nothing(visit: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "cut", 40, side=512)
    page = visit(UPLOAD)
    slow_down(page, 4_000_000)
    pick_folder(page, folder)
    expect(page.locator("[data-figures]")).to_contain_text("left")

    page.context.set_offline(True)

    trouble = page.locator("[data-trouble]")
    expect(trouble).to_be_visible()
    expect(trouble).to_contain_text("goes on by itself")
    page.context.set_offline(False)
    outcome(page).to_have_text("40 stored", timeout=60_000)
    expect(trouble).to_be_hidden()


def test_progress_cancel_and_retry(visit: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "slow", 40, side=512)
    page = visit(UPLOAD)
    slow_down(page, 2_000_000)
    pick_folder(page, folder)
    figures = page.locator("[data-figures]")
    expect(figures).to_contain_text("of 40 files")
    expect(figures).to_contain_text("MB/s")
    bar = page.locator("[data-total]")
    expect(bar).to_be_visible()
    assert 0 < float(bar.evaluate("bar => bar.value / bar.max")) < 1

    page.locator("[data-list]").evaluate("list => list.scrollTo(0, list.scrollHeight)")
    page.get_by_role("button", name="Cancel slow/IM0040").click()
    row = page.locator(".file-row").filter(has_text="slow/IM0040")
    expect(row).to_contain_text("Cancelled")
    page.get_by_role("button", name="Cancel the rest").click()
    expect(page.locator("[data-upload]")).to_have_attribute("data-state", "done")
    expect(page.locator("[data-outcome]")).to_contain_text("cancelled")

    page.get_by_role("button", name="Retry slow/IM0040").click()
    expect(row).to_contain_text("Stored")


def test_signed_out_in_between(visit: Visit, intake_site: IntakeSite, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "late", 3)
    page = visit(UPLOAD)
    page.route("**/ws/events/", lambda route: route.abort())
    page.context.clear_cookies(name="noctis_session")
    pick_folder(page, folder)
    trouble = page.locator("[data-trouble]")
    expect(trouble).to_contain_text("nothing is lost")
    expect(trouble.get_by_role("link", name="Sign in")).to_be_visible()

    other = page.context.new_page()
    sign_in(other, intake_site.address, "tess")
    page.get_by_role("button", name="Try now").click()

    outcome(page).to_have_text("3 stored")
    expect(trouble).to_be_hidden()


def test_whose_it_becomes_is_chosen(visit: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "south", 2, name="South^Sue")
    page = visit(UPLOAD, "mia")
    page.get_by_label("For", exact=True).select_option("South Clinic")
    pick_folder(page, folder)
    outcome(page).to_have_text("2 stored")
    page.locator(".upload-study").get_by_role("link", name="South, Sue", exact=True).click()
    expect(page.locator("main")).to_contain_text("South Clinic")


def test_thousands_of_files_stay_smooth(visit: Visit, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(4000):
        (folder / f"{number:05}.txt").write_bytes(b"text, not an image")
    page = visit(UPLOAD)
    slow_down(page, 50_000)
    page.evaluate(
        """() => {
          window.longest = 0;
          let last = performance.now();
          const tick = () => {
            const now = performance.now();
            window.longest = Math.max(window.longest, now - last);
            last = now;
            window.frames = requestAnimationFrame(tick);
          };
          tick();
        }"""
    )
    pick_folder(page, folder)
    expect(page.locator('[data-count="all"]')).to_have_text("4\u2009000")
    page.evaluate("window.longest = 0")
    for position in (5_000, 60_000, 128_000, 0):
        page.locator("[data-list]").evaluate(f"list => list.scrollTo(0, {position})")
        page.wait_for_timeout(150)
    assert page.locator(".file-row").count() < 60
    assert page.evaluate("window.longest") < 250
    page.get_by_role("button", name="Cancel the rest").click()
    expect(page.locator("[data-upload]")).to_have_attribute("data-state", "done")


def test_by_keyboard_alone(visit: Visit, tmp_path: Path) -> None:
    [file] = write_study(tmp_path / "key", 1).iterdir()
    page = visit(UPLOAD)
    button = page.get_by_role("button", name="Choose files")
    for _ in range(40):
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(file)
    outcome(page).to_have_text("1 stored")


def test_a_small_screen_has_everything_in_reach(visit: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / ("n" * 64), 4, name="N" * 64)
    (folder / ("x" * 60 + ".png")).write_bytes(PNG)
    page = visit(UPLOAD, width=360, height=740)
    for name in ("Choose files", "Choose a folder"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["height"] >= 44
    pick_folder(page, folder)
    outcome(page).to_have_text("4 stored, 1 refused: not DICOM (PNG)")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360
    main = page.locator("main")
    assert main.evaluate("main => main.scrollWidth <= main.clientWidth")
