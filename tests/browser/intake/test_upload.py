"""The upload page in Chromium: what people pick and drop comes in, whatever the network does.

Not covered here: what the server takes and refuses (tests/doors/test_upload_http.py).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from pydicom.uid import generate_uid

from tests.browser.intake.conftest import IntakeSite, sign_in, slow_down
from tests.browser.intake.line import Line
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


@pytest.fixture
def open_upload(visit: Visit) -> Visit:
    """Open the upload page as somebody, with its script at work."""

    def open_page(*args: Any, **options: Any) -> Page:
        page: Page = visit(UPLOAD, *args, **options)
        page.wait_for_selector("[data-upload][data-ready]")
        return page

    return open_page


def pick_folder(page: Page, folder: Path) -> None:
    page.set_input_files('[data-input="folder"]', folder)


def pick_files(page: Page, *files: Path) -> None:
    page.set_input_files('[data-input="files"]', list(files))


def ends_with(page: Page, line: str) -> None:
    """Wait for the line that says what became of the files."""
    expect(page.locator("[data-outcome]")).to_have_text(line, timeout=60_000)


def test_a_folder_comes_in_and_leads_to_its_study(open_upload: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "disc" / "CT", 30, name="Folder^Frida").parent
    (folder / "cover.png").write_bytes(PNG)
    (folder / ".DS_Store").write_bytes(b"x")
    page = open_upload()

    pick_folder(page, folder)

    ends_with(page, "30 stored, 1 refused: not DICOM (PNG)")
    rows = page.locator(".file-row")
    expect(rows.filter(has_text="disc/cover.png")).to_contain_text("Refused")
    expect(rows.filter(has_text="disc/CT/IM0001")).to_contain_text("Stored")
    page.get_by_role("button", name="Refused 1").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("not DICOM (PNG)")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the list").click()
    assert download.value.suggested_filename.endswith(".txt")
    listed = download.value.path().read_text("utf-8")
    assert listed.splitlines()[2:] == ["Refused\tdisc/cover.png\tnot DICOM (PNG)"]
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the list").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").endswith(listed.splitlines()[2] + "\n")
    page.get_by_role("button", name="Already here 0").click()
    expect(rows).to_have_count(0)
    study = page.locator(".upload-study")
    expect(study).to_contain_text("Folder, Frida")
    expect(study).to_contain_text("30 images")
    study.get_by_role("link", name="Folder, Frida", exact=True).click()
    page.wait_for_url("**/worklist/studies/*/")
    expect(page.get_by_role("heading", name="Folder, Frida")).to_be_visible()


def test_an_archive_and_the_same_again(open_upload: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", 5)
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in folder.iterdir():
            out.write(path, path.name)
        out.writestr("letter.pdf", b"%PDF-1.4")
    page = open_upload()

    pick_files(page, archive)
    ends_with(page, "5 stored, 1 refused: not DICOM (PDF)")
    first = page.locator(".file-row").first
    expect(first).to_contain_text("study.zip")
    expect(first).to_contain_text("5 stored, 1 refused")
    page.get_by_role("button", name="Stored 5").click()
    expect(page.locator(".file-row")).to_have_count(5)

    page.get_by_role("button", name="Clear the list").click()
    expect(page.locator("[data-queue]")).to_be_hidden()
    pick_folder(page, folder)
    ends_with(page, "5 already here")


def test_a_folder_is_dropped_anywhere_on_the_page(open_upload: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "dropped" / "deep" / "deeper", 130).parents[1]
    (folder / "Thumbs.db").write_bytes(b"x")
    page = open_upload()
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}

    for kind in ("dragEnter", "dragOver"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 860, "data": data})
    expect(page.locator("[data-veil]")).to_be_visible()
    session.send("Input.dispatchDragEvent", {"type": "drop", "x": 700, "y": 860, "data": data})

    # A folder's reader gives a hundred entries at a time: all must be asked for.
    ends_with(page, "130 stored")
    expect(page.locator("[data-veil]")).to_be_hidden()
    expect(page.locator(".file-row").first).to_contain_text("dropped/deep/deeper/IM0001")


def test_a_cut_of_the_network_loses_nothing(
    open_upload: Visit, intake_site: IntakeSite, tmp_path: Path
) -> None:
    folder = write_study(tmp_path / "cut", 40, side=512, name="Cut^Carl")
    with Line(intake_site.here.web_port, bytes_a_second=4_000_000) as line:
        page = open_upload(port=line.port)
        pick_folder(page, folder)
        expect(page.locator("[data-outcome]")).to_contain_text("stored", timeout=60_000)

        line.cut()

        trouble = page.locator("[data-trouble]")
        expect(trouble).to_contain_text("goes on by itself", timeout=20_000)
        assert page.locator("[data-upload]").get_attribute("data-state") == "running"
        line.mend()
        expect(page.locator("[data-upload]")).to_have_attribute(
            "data-state", "done", timeout=60_000
        )
        expect(trouble).to_be_hidden()
        # What the server had stored when the answer was lost is found again, never twice.
        said = page.locator("[data-outcome]").inner_text()
        assert sum(map(int, re.findall(r"(\d+) (?:stored|already here)", said))) == 40
        assert "refused" not in said
        assert "failed" not in said
        expect(page.locator(".upload-study")).to_contain_text("40 images")


@pytest.mark.timeout(300)
def test_a_large_file_goes_on_where_the_network_was_cut(
    open_upload: Visit, intake_site: IntakeSite, tmp_path: Path
) -> None:
    (large,) = write_study(tmp_path / "large", 1, side=5000, name="Large^Lea").iterdir()
    assert large.stat().st_size > 32 * 2**20
    arrived: list[int] = []
    with Line(intake_site.here.web_port, bytes_a_second=16_000_000) as line:
        page = open_upload(port=line.port)
        page.on(
            "request",
            lambda request: (
                arrived.append(int(request.headers.get("upload-offset", -1)))
                if request.method == "PATCH"
                else None
            ),
        )
        pick_files(page, large)
        expect(page.locator("[data-figures]")).to_contain_text("MB/s", timeout=20_000)
        page.wait_for_function(
            "() => document.querySelector('[data-total]').value > 18 * 1024 * 1024"
        )
        before = len(arrived)

        line.cut()

        expect(page.locator("[data-trouble]")).to_contain_text("goes on by itself", timeout=30_000)
        line.mend()
        ends_with(page, "1 stored")
        # Nothing that was safe is sent again.
        assert arrived[0] == 0
        assert arrived[before] >= 16 * 2**20
        expect(page.locator(".upload-study")).to_contain_text("Large, Lea")


def test_a_large_file_that_is_no_image_is_refused_with_the_reason(
    open_upload: Visit, tmp_path: Path
) -> None:
    large = tmp_path / "film.png"
    large.write_bytes(PNG + bytes(33 * 2**20))
    page = open_upload()
    pick_files(page, large)
    expect(page.locator("[data-outcome]")).to_contain_text("1 refused", timeout=60_000)
    expect(page.locator(".file-row").filter(has_text="film.png")).to_contain_text("DICOM")


def test_progress_cancel_and_retry(open_upload: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "slow", 40, side=512)
    page = open_upload()
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


def test_signed_out_in_between(open_upload: Visit, intake_site: IntakeSite, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "late", 3)
    page = open_upload()
    page.route("**/ws/events/", lambda route: route.abort())
    page.context.clear_cookies(name="noctis_session")
    pick_folder(page, folder)
    trouble = page.locator("[data-trouble]")
    expect(trouble).to_contain_text("nothing is lost")
    expect(trouble.get_by_role("link", name="Sign in")).to_be_visible()

    other = page.context.new_page()
    sign_in(other, intake_site.address, "tess")
    page.get_by_role("button", name="Try now").click()

    ends_with(page, "3 stored")
    expect(trouble).to_be_hidden()


def test_whose_it_becomes_is_chosen(open_upload: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "south", 2, name="South^Sue")
    page = open_upload("mia")
    page.get_by_label("For", exact=True).select_option("South Clinic")
    pick_folder(page, folder)
    ends_with(page, "2 stored")
    page.locator(".upload-study").get_by_role("link", name="South, Sue", exact=True).click()
    expect(page.locator("main")).to_contain_text("South Clinic")


def test_thousands_of_files_stay_smooth(open_upload: Visit, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(4000):
        (folder / f"{number:05}.txt").write_bytes(b"text, not an image")
    page = open_upload()
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
    # Generous for a busy machine; four thousand real rows would take several times as long.
    assert page.evaluate("window.longest") < 1_000
    page.get_by_role("button", name="Cancel the rest").click()
    expect(page.locator("[data-upload]")).to_have_attribute("data-state", "done")


def test_by_keyboard_alone(open_upload: Visit, tmp_path: Path) -> None:
    [file] = write_study(tmp_path / "key", 1).iterdir()
    page = open_upload()
    button = page.get_by_role("button", name="Choose files")
    for _ in range(40):
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(file)
    ends_with(page, "1 stored")


def test_a_small_screen_has_everything_in_reach(open_upload: Visit, tmp_path: Path) -> None:
    folder = write_study(tmp_path / ("n" * 64), 4, name="N" * 64)
    (folder / ("x" * 60 + ".png")).write_bytes(PNG)
    page = open_upload(width=360, height=740)
    for name in ("Choose files", "Choose a folder"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["height"] >= 44
    pick_folder(page, folder)
    ends_with(page, "4 stored, 1 refused: not DICOM (PNG)")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360
    main = page.locator("main")
    assert main.evaluate("main => main.scrollWidth <= main.clientWidth")
