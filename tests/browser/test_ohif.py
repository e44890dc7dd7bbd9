"""OHIF, as its makers publish it, on our DICOMweb: study list, stack and MPR of real slices.

`make ohif` installs it; `make test` does so before. What is drawn is looked at by its grey values
alone: OHIF's own correctness is its makers' business.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, Response, expect

from tests.browser.conftest import ReadingSite

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]

_PHANTOM_SLICES = 88
_LOAD_MS = 90_000


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Iterator[Page]:
    """A page none of whose requests may fail."""
    page = new_page()
    refused: list[str] = []

    def note(answer: Response) -> None:
        if answer.status >= 400:
            refused.append(f"{answer.status} {answer.url}")

    page.on("response", note)
    yield page
    assert refused == []


@pytest.fixture
def phantom(data: Path) -> pydicom.Dataset:
    return pydicom.dcmread(data / "ct/head_phantom_1mm/I270", stop_before_pixels=True)


def _grey(viewport: Locator) -> NDArray[np.uint8]:
    """What a viewport shows, without its edges, where texts are."""
    picture = Image.open(io.BytesIO(viewport.screenshot())).convert("L")
    width, height = picture.size
    return np.asarray(
        picture.crop((width // 5, height // 5, width - width // 5, height - height // 5))
    )


def _wait_for_picture(viewport: Locator) -> None:
    """Wait until a viewport shows more than an empty field: air, and something in it."""
    deadline = time.monotonic() + _LOAD_MS / 1000
    while True:
        grey = _grey(viewport)
        shares = float(np.mean(grey < 20)), float(np.mean(grey > 100))
        if min(shares) > 0.01:
            return
        assert time.monotonic() < deadline, shares
        viewport.page.wait_for_timeout(250)


def test_the_study_list_is_that_of_the_reader(
    page: Page, reading_site: ReadingSite, phantom: pydicom.Dataset
) -> None:
    page.goto(f"{reading_site.address}/ohif/")
    expect(page.get_by_text(f"1-{len(reading_site.studies)} of")).to_be_visible(timeout=_LOAD_MS)
    rows = page.get_by_role("row").filter(has_text=str(phantom.StudyDescription))
    expect(rows.first).to_contain_text("CT")


def test_a_stack_is_drawn_and_scrolled(
    page: Page, reading_site: ReadingSite, phantom: pydicom.Dataset
) -> None:
    frames: list[str] = []
    page.on(
        "response",
        lambda answer: (
            "/frames/" in answer.url and frames.append(answer.headers.get("content-type", ""))
        ),
    )
    page.goto(
        f"{reading_site.address}/worklist/studies/{reading_site.studies[phantom.StudyInstanceUID]}/"
    )
    page.get_by_role("link", name="Open in OHIF").click()
    page.get_by_text("Skip all").click(timeout=_LOAD_MS)
    viewport = page.locator(".cornerstone-canvas").first
    _wait_for_picture(viewport)
    expect(page.get_by_text(f"(1/{_PHANTOM_SLICES})")).to_be_visible()
    before = _grey(viewport)
    viewport.hover()
    for _ in range(30):
        page.mouse.wheel(0, 100)
    expect(page.get_by_text(f"(1/{_PHANTOM_SLICES})")).not_to_be_visible()
    _wait_for_picture(viewport)
    assert np.mean(before != _grey(viewport)) > 0.01
    assert frames
    assert all("image/jphc" in kind for kind in frames), set(frames)


def test_mpr_shows_three_planes(
    page: Page, reading_site: ReadingSite, phantom: pydicom.Dataset
) -> None:
    page.goto(
        f"{reading_site.address}/ohif/viewer?hangingprotocolId=mpr"
        f"&StudyInstanceUIDs={phantom.StudyInstanceUID}"
    )
    page.get_by_text("Skip all").click(timeout=_LOAD_MS)
    planes = page.locator(".cornerstone-canvas")
    expect(planes).to_have_count(3, timeout=_LOAD_MS)
    for plane in planes.all():
        _wait_for_picture(plane)
