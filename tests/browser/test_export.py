"""What leaves the viewer, and what others measured, as people see it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from pydicom import dcmread

from tests.browser.viewer_page import ViewerPage

pytestmark = pytest.mark.browser

SQUARES = "1.2.826.0.1.3680043.9.7278.1.8311611710012173.20240516075655.1"


def test_rulers_of_another_maker_are_drawn_and_listed(
    reading_site, new_page: Callable[..., Page]
) -> None:
    page = new_page()
    viewer = ViewerPage(page).open(reading_site.viewer(SQUARES))
    drawn = page.locator("g.found")
    expect(drawn).to_have_count(3)
    expect(drawn.first.locator("text")).to_have_text("4.025 mm")
    viewer.button("Measurements")
    origins = page.get_by_role("region", name="From other systems")
    expect(origins).to_contain_text("2025-04-09 17:57")
    origins.get_by_role("button", name="4.025 mm").nth(1).click()
    expect(page.locator("g.found.selected")).to_have_count(1)


def test_measurements_are_stored_in_the_study(
    reading_site, new_page: Callable[..., Page], data: Path
) -> None:
    head = dcmread(next((data / "ct/head_phantom_1mm").iterdir()), stop_before_pixels=True)
    page = new_page()
    viewer = ViewerPage(page).open(reading_site.viewer(head.StudyInstanceUID))
    viewer.erase()
    viewer.press("m")
    viewer.drag((0.4, 0.4), (0.6, 0.5))
    viewer.expect_saved()
    stored_series = page.locator("button.series", has_text="Measurements")
    before = stored_series.count()
    viewer.button("Export")
    part = page.get_by_role("region", name="Store in the study")
    part.get_by_role("button", name="Store", exact=True).click()
    expect(part.get_by_role("status")).to_contain_text("2 objects are stored")
    stored = part.get_by_role("list", name="Stored before").get_by_role("listitem")
    expect(stored).to_have_count(before + 2)
    part.get_by_role("button", name="Store", exact=True).click()
    expect(part.get_by_role("alert")).to_contain_text("stored in the study already")
    page.reload()
    viewer.wait()
    expect(stored_series).to_have_count(before + 2)


def test_the_view_is_printed(reading_site, new_page: Callable[..., Page], data: Path) -> None:
    head = dcmread(next((data / "ct/head_phantom_1mm").iterdir()), stop_before_pixels=True)
    page = new_page()
    viewer = ViewerPage(page).open(reading_site.viewer(head.StudyInstanceUID))
    # Window, zoom and turning of an earlier reading are there again.
    viewer.press("Space")
    viewer.button("Export")
    part = page.get_by_role("region", name="Print")
    with page.expect_download() as started:
        part.get_by_role("button", name="Make").click()
    assert Path(started.value.path()).read_bytes().startswith(b"%PDF-")
    expect(part.get_by_role("status")).to_contain_text("downloads")
    part.get_by_label("File").select_option("png")
    part.get_by_label("Pictures").select_option("series")
    part.get_by_role("button", name="Make").click()
    expect(part.get_by_role("alert")).to_contain_text("choose PDF")
    part.get_by_label("Pictures").select_option("view")
    assert middle_of_sheet(page, part) < 128
    viewer.press("Escape", "i")
    viewer.button("Export")
    assert middle_of_sheet(page, part) > 128
    # A plane that is computed here has no file that the server could draw.
    viewer.press("Escape", "i", "q")
    expect(page.locator(".chip[data-mark=reformatted]")).to_have_count(3)
    viewer.button("Export")
    expect(part.get_by_label("In true size")).to_be_disabled()
    assert middle_of_sheet(page, part) < 250


def middle_of_sheet(page: Page, part: Locator) -> float:
    """How bright the middle of the sheet is that the dialog makes."""
    with page.expect_download() as started:
        part.get_by_role("button", name="Make").click()
    with Image.open(started.value.path()) as sheet:
        grey = np.asarray(sheet.convert("L"))
    rows, columns = grey.shape
    return float(grey[rows * 2 // 5 : rows * 3 // 5, columns * 2 // 5 : columns * 3 // 5].mean())


def test_a_disc_is_looked_at_without_a_network(
    reading_site, new_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = new_page()
    viewer = ViewerPage(page).open(reading_site.viewer(SQUARES))
    viewer.button("Export")
    part = page.get_by_role("region", name="Download the study")
    with page.expect_download() as started:
        part.get_by_role("button", name="Download").click()
    with zipfile.ZipFile(started.value.path()) as archive:
        archive.extractall(tmp_path)
    page.context.set_offline(True)
    page.goto((tmp_path / "INDEX.HTM").as_uri())
    expect(page.locator("#count")).to_have_text("1 / 1")
    width = page.locator("#picture").evaluate(
        "picture => picture.decode().then(() => picture.naturalWidth)"
    )
    assert width > 0
    page.get_by_label("Brightness").fill("200")
    assert "brightness(200%)" in page.locator("#picture").evaluate(
        "picture => picture.style.filter"
    )


def test_an_anonymised_study_is_downloaded(reading_site, new_page: Callable[..., Page]) -> None:
    page = new_page(width=360, height=740)
    ViewerPage(page).open(reading_site.viewer(SQUARES))
    page.get_by_role("button", name="Export", exact=True).click()
    part = page.get_by_role("region", name="Download the study")
    part.get_by_label("Anonymised").check()
    part.get_by_label("New name").fill("TRIAL-1")
    with page.expect_download() as started:
        part.get_by_role("button", name="Download").click()
    assert started.value.suggested_filename == "TRIAL-1.zip"
    with zipfile.ZipFile(started.value.path()) as archive:
        assert "README.TXT" in archive.namelist()
