"""Videos in the viewer: which frame is shown, by the number that the frame itself shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DAMAGED_VIDEO, VIDEOS, ReadingSite
from tests.videos import FRAMES

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]

# The number that stands in the picture as eight blocks, as tests.videos draws it.
_NUMBER = """() => {
  const media = document.querySelector("noctis-video video");
  const canvas = new OffscreenCanvas(128, 64);
  const pen = canvas.getContext("2d");
  pen.drawImage(media, 0, 0, 128, 64);
  let number = 0;
  for (let bit = 0; bit < 8; bit++) {
    number += pen.getImageData(16 * bit + 8, 16, 1, 1).data[0] > 128 ? 1 << bit : 0;
  }
  return number;
}"""


def opened(page: Page, site: ReadingSite) -> Page:
    page.goto(site.viewer(VIDEOS))
    expect(page.locator("section.video")).to_have_attribute("data-state", "ready", timeout=60_000)
    page.wait_for_function("() => document.querySelector('noctis-video video').readyState >= 2")
    return page


def expect_frame(page: Page, number: int) -> None:
    """The bar says so, and the picture shows it."""
    expect(page.locator("section.video")).to_have_attribute("data-frame-number", str(number))
    expect(page.locator(".video-count output")).to_have_text(f"Frame {number} / {FRAMES}")
    page.wait_for_function(f"() => ({_NUMBER})() === {number}")


def test_steps_by_keys_wheel_buttons_and_slider(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    page = opened(new_page(), reading_site)
    expect_frame(page, 1)
    for key, number in (
        ("ArrowDown", 2), ("ArrowDown", 3), ("Shift+ArrowDown", 13), ("ArrowUp", 12),
        ("End", FRAMES), ("ArrowDown", FRAMES), ("Home", 1), ("ArrowUp", 1),
    ):  # fmt: skip
        page.keyboard.press(key)
        expect_frame(page, number)
    page.get_by_role("button", name="Next frame").click()
    expect_frame(page, 2)
    page.get_by_role("button", name="Previous frame").click()
    expect_frame(page, 1)
    page.get_by_role("slider", name="Frame").fill("27")
    expect_frame(page, 27)
    page.locator("section.video video").hover()
    page.mouse.wheel(0, 120)
    expect_frame(page, 28)


def test_plays_pauses_and_changes_speed(reading_site: ReadingSite, new_page: NewPage) -> None:
    page = opened(new_page(), reading_site)
    page.get_by_label("Speed").select_option("0.25")
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.wait_for_function(
        "() => Number(document.querySelector('section.video').dataset.frameNumber) > 4"
    )
    assert page.evaluate("document.querySelector('noctis-video video').playbackRate") == 0.25
    page.keyboard.press("c")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.wait_for_function("() => document.querySelector('noctis-video video').paused")
    # The last frame may reach the screen after the pause: the bar follows the picture.
    page.wait_for_function(
        f"() => ({_NUMBER})() === "
        "Number(document.querySelector('section.video').dataset.frameNumber)"
    )
    expect_frame(page, page.evaluate(_NUMBER))
    # From the end it begins anew.
    page.get_by_label("Speed").select_option("4")
    page.keyboard.press("End")
    expect_frame(page, FRAMES)
    page.keyboard.press("c")
    expect_frame(page, FRAMES)
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_videos_of_a_series_are_chosen(reading_site: ReadingSite, new_page: NewPage) -> None:
    page = opened(new_page(), reading_site)
    before = page.evaluate("document.querySelector('noctis-video video').currentSrc")
    page.get_by_label("Which video of the series").select_option(index=1)
    page.wait_for_function(
        """(src) => {
          const media = document.querySelector("noctis-video video");
          return media && media.currentSrc !== src && media.readyState >= 2;
        }""",
        arg=before,
    )
    expect(page.locator("section.video")).to_have_attribute("data-state", "ready")
    page.keyboard.press("End")
    expect_frame(page, FRAMES)


def test_a_damaged_video_says_why(reading_site: ReadingSite, new_page: NewPage) -> None:
    page = new_page()
    page.goto(reading_site.viewer(DAMAGED_VIDEO))
    alert = page.get_by_role("alert").filter(has_text="The video cannot be shown")
    expect(alert).to_contain_text("damaged", timeout=60_000)
    expect(alert.get_by_role("link", name="DICOM file")).to_be_visible()
    with page.expect_download() as taken:
        alert.get_by_role("link", name="Video", exact=True).click()
    assert taken.value.path().stat().st_size >= 5000
