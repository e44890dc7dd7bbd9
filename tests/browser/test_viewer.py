"""The viewer in Chromium on real pictures: what is shown and said.

Covers the way from the stored file to the screen and back to the database. Pixel values and
sizes are compared with the file as pydicom and numpy read it, never with our own output. What
people draw is in test_viewer_drawing.py. Not covered: drawing by a graphics processor, which the
machines of the tests do not have.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, Route, expect
from pydicom.pixels import apply_modality_lut

from tests.browser.conftest import UNCALIBRATED, ReadingSite
from tests.browser.files import file_of, head_slices, values_of
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]

_ASKED_FOR = """() => performance.getEntriesByType("resource").map(({name}) => name).join()"""


def test_first_picture_comes_as_preview_then_exact(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    study = file_of(data, "xa_rf/jpeg_baseline_8bit.dcm").StudyInstanceUID
    page = new_page()
    # The frames wait until the preview was seen: without this the two are milliseconds apart.
    held: list[Route] | None = []

    def hold(route: Route) -> None:
        if held is None:
            route.continue_()
        else:
            held.append(route)

    page.route("**/api/v1/dicom/**/frames/*", hold)
    page.route("**/api/v1/dicom/frames?*", hold)
    page.goto(reading_site.viewer(study))
    viewer = ViewerPage(page).wait("preview")
    expect(page.locator(".chip[data-mark=preview]").first).to_have_text("Preview")
    # Nothing else is asked for before the first picture is here: not even the decoder.
    assert [route.request.url.rsplit("/", 1)[1].split("?")[0] for route in held] == ["1.raw"]
    assert "wasm" not in page.evaluate(_ASKED_FOR)
    waiting, held = held, None
    for route in waiting:
        route.continue_()
    viewer.wait("ready")
    expect(page.locator(".chip[data-mark=preview]")).to_have_count(0)
    expect(page.locator("button.series progress")).to_have_attribute("data-complete", "true")
    marks = viewer.marks()
    assert marks["viewer:first-preview"] < marks["viewer:first-lossless"]
    assert "viewer:series-complete" in marks


def test_the_first_picture_is_there_before_any_script(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    slices = head_slices(data)
    page = new_page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/assets/viewer-*.js", hold)
    picture = page.locator("#first-picture")
    page.goto(reading_site.viewer(slices[0].StudyInstanceUID), wait_until="commit")
    still = page.locator("[data-still]")
    expect(picture).to_be_attached()
    if still.get_attribute("hidden") is None:  # nobody has gone elsewhere in this study yet
        expect(picture).to_be_visible()
        expect(still).to_contain_text(str(slices[0].PatientID))
        expect(still.locator(".chip")).to_have_text("Preview")
    ViewerPage(page).wait("loading")
    for route in held:
        route.continue_()
    ViewerPage(page).wait()
    expect(still).to_have_count(0)


def test_scrolls_by_wheel_keys_drag_and_bar(
    phantom: tuple[ViewerPage, list[pydicom.Dataset]],
) -> None:
    viewer, slices = phantom
    last = str(len(slices) - 1)
    viewer.press("Home")
    viewer.page.mouse.move(*viewer.place(0.5, 0.5))
    viewer.page.mouse.wheel(0, 100)
    viewer.expect_fact("image-index", "1")
    viewer.page.keyboard.down("Shift")
    viewer.page.mouse.wheel(0, 100)
    viewer.page.keyboard.up("Shift")
    viewer.expect_fact("image-index", "11")
    viewer.press("ArrowUp")
    viewer.expect_fact("image-index", "10")
    viewer.press("End")
    viewer.expect_fact("image-index", last)
    viewer.press("ArrowDown")
    viewer.expect_fact("image-index", last)
    viewer.press("Home")
    viewer.button("Scroll")
    viewer.drag((0.5, 0.2), (0.5, 0.8))
    assert viewer.number("image-index") > 20
    viewer.page.get_by_role("slider", name="Image").first.click(position={"x": 5, "y": 2})
    viewer.expect_fact("image-index", "0")
    assert f"Image 1/{len(slices)}" in viewer.page.locator(".corner.bottom-left").first.inner_text()


def test_windows_by_keys_menu_numbers_and_drag(
    phantom: tuple[ViewerPage, list[pydicom.Dataset]],
) -> None:
    viewer, slices = phantom
    viewer.press("2")
    viewer.expect_fact("window-center", "-600")
    viewer.expect_fact("window-width", "1500")
    viewer.button("Window/Level")
    viewer.drag((0.5, 0.5), (0.6, 0.5))
    assert viewer.number("window-width") > 1500
    viewer.button("Window presets")
    viewer.page.locator("#presets-menu").get_by_text("Bone", exact=True).click()
    viewer.expect_fact("window-width", "2500")
    viewer.button("Window presets")
    viewer.page.get_by_text("Enter numbers").click()
    viewer.page.fill("input[name=width]", "333")
    viewer.page.fill("input[name=center]", "-11")
    viewer.button("Apply")
    viewer.expect_fact("window-width", "333")
    viewer.expect_fact("window-center", "-11")
    viewer.button("Reset")
    viewer.expect_fact("window-width", str(int(slices[0].WindowWidth[0])))


def _blocks(picture: NDArray[Any], rows: int, columns: int) -> NDArray[np.float64]:
    """Mean grey of blocks: what stays the same however a picture is interpolated."""
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    cut = picture[: height * rows, : width * columns].astype(float)
    means: NDArray[np.float64] = cut.reshape(rows, height, columns, width, -1).mean((1, 3))
    return means


def _shown(viewer: ViewerPage, aspect: float) -> NDArray[np.int64]:
    """The part of the canvas that a fitted picture covers; `aspect` is width by height."""
    canvas = viewer.picture()
    height, width = canvas.shape[:2]
    shown_width = min(width, round(height * aspect))
    shown_height = min(height, round(width / aspect))
    left, top = (width - shown_width) // 2, (height - shown_height) // 2
    return canvas[top : top + shown_height, left : left + shown_width]


def _expect_same(
    shown: NDArray[Any], expected: NDArray[Any], *, mean: float = 1.0, most: float = 8.0
) -> None:
    """Compare in 32 x 32 blocks: edges differ by where a pixel of the screen is sampled."""
    difference = np.abs(_blocks(shown, 32, 32) - _blocks(expected, 32, 32))
    assert difference.mean() <= mean
    assert np.quantile(difference, 0.99) <= most


def _enlarged(grey: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Repeat pixels to about the shape of the screen's picture."""
    rows = np.arange(shape[0]) * grey.shape[0] // shape[0]
    columns = np.arange(shape[1]) * grey.shape[1] // shape[1]
    return grey[rows][:, columns]


def _windowed(values: NDArray[Any], center: float, width: float) -> NDArray[np.float64]:
    """PS3.3 C.11.2.1.2.1, written anew."""
    level: NDArray[np.float64] = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    return np.clip(level, 0, 255)


def test_draws_the_exact_grey_levels(phantom: tuple[ViewerPage, list[pydicom.Dataset]]) -> None:
    viewer, slices = phantom
    viewer.go_to(30)
    for key, center, width in (("1", 40, 400), ("4", 480, 2500)):
        viewer.press(key)
        viewer.expect_fact("window-width", str(width))
        shown = _shown(viewer, 1)[..., 0]
        expected = _windowed(values_of(slices[30]), center, width)
        _expect_same(shown, _enlarged(expected, shown.shape))
    viewer.press("i")
    expect(viewer.page.locator(".chip[data-mark=inverted]").first).to_be_visible()
    inverted = _shown(viewer, 1)[..., 0]
    _expect_same(inverted, 255 - _enlarged(expected, inverted.shape))


def test_draws_monochrome1_as_negative(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = file_of(data, "cr_dx_mg/gdcm-CR-MONO1-10-chest.dcm")
    assert found.PhotometricInterpretation == "MONOCHROME1"
    viewer = ViewerPage(new_page()).open(reading_site.viewer(found.StudyInstanceUID))
    stored = np.frombuffer(found.PixelData, "<u2").reshape(found.Rows, found.Columns)
    expected = 255 - _windowed(stored, float(found.WindowCenter), float(found.WindowWidth))
    shown = _shown(viewer, found.Columns / found.Rows)[..., 0]
    _expect_same(shown, _enlarged(expected, shown.shape))


def test_draws_colour(data: Path, reading_site: ReadingSite, new_page: NewPage) -> None:
    found = file_of(data, "us/gdcm-US-RGB-8-esopecho.dcm")
    viewer = ViewerPage(new_page()).open(reading_site.viewer(found.StudyInstanceUID))
    expected = np.frombuffer(found.PixelData, np.uint8).reshape(found.Rows, found.Columns, 3)
    # Pixel Aspect Ratio (0028,0034) is 4 high by 3 wide, written in a way that pydicom warns of.
    shown = _shown(viewer, found.Columns / (found.Rows * 4 / 3))
    _expect_same(shown, _enlarged(expected, shown.shape), mean=1.5, most=20)


def test_turns_and_flips_with_letters(phantom: tuple[ViewerPage, list[pydicom.Dataset]]) -> None:
    viewer, _ = phantom
    letters = viewer.page.locator(".letters").first

    def edges() -> list[str]:
        return [letters.locator(f".{edge}").inner_text() for edge in ("left", "top")]

    assert edges() == ["R", "A"]
    upright = _shown(viewer, 1)
    viewer.choose("Rotate and flip", "Rotate right")
    expect(letters.locator(".top")).to_have_text("R")
    assert edges() == ["P", "R"]
    _expect_same(_shown(viewer, 1), np.rot90(upright, -1), mean=0.5, most=4)
    viewer.choose("Rotate and flip", "Flip horizontal")
    expect(letters.locator(".left")).to_have_text("A")
    _expect_same(_shown(viewer, 1), np.rot90(upright, -1)[:, ::-1], mean=0.5, most=4)
    viewer.press("Space")
    expect(letters.locator(".left")).to_have_text("R")
    assert edges() == ["R", "A"]


def test_cine_plays_pauses_and_takes_the_files_speed(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = file_of(data, "us/cine/US-PAL-8-10x-echo")
    viewer = ViewerPage(new_page()).open(reading_site.viewer(found.StudyInstanceUID))
    viewer.button("Cine")
    speed = viewer.page.get_by_role("spinbutton", name="Frames per second")
    fps = found.get("RecommendedDisplayFrameRate") or round(1000 / float(found.FrameTime), 1)
    assert float(speed.input_value()) == pytest.approx(float(fps))
    viewer.page.wait_for_timeout(100)
    seen = set()
    for _ in range(40):
        seen.add(viewer.fact("image-index"))
        viewer.page.wait_for_timeout(40)
    assert len(seen) > 3
    viewer.page.get_by_role("button", name="Pause").click()
    stopped = viewer.fact("image-index")
    viewer.page.wait_for_timeout(300)
    assert viewer.fact("image-index") == stopped


def test_an_ecg_is_drawn_and_offers_its_file(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    study = file_of(data, "waveform/waveform_ecg.dcm").StudyInstanceUID
    viewer = ViewerPage(new_page()).open(reading_site.viewer(study))
    shown = viewer.page.locator(".document:visible")
    expect(shown).to_contain_text("Electrocardiogram")
    sheet = viewer.page.frame_locator("iframe.document-frame")
    expect(sheet.get_by_role("heading", name="12-lead ECG Waveform")).to_be_visible()
    first = sheet.get_by_role("img", name="Lead I (Einthoven)").first
    # Ten seconds at 25 mm each, as CSS counts a millimetre.
    assert first.bounding_box()["width"] == pytest.approx(250 * 96 / 25.4, abs=2)
    with viewer.page.expect_download() as download:
        shown.get_by_role("link", name="DICOM file").click()
    assert download.value.path().read_bytes()[128:132] == b"DICM"


def test_a_pdf_is_shown_and_given_out(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = file_of(data, "pr_pdf_stl/sample-pdf.dcm")
    viewer = ViewerPage(new_page()).open(reading_site.viewer(found.StudyInstanceUID))
    shown = viewer.page.locator(".document:visible")
    expect(shown).to_contain_text("PDF document")
    # A headless browser may have no PDF view: then a sentence stands there, never an empty frame.
    place = shown.locator("iframe.document-frame, .document-none")
    expect(place).to_be_visible()
    with viewer.page.expect_download() as download:
        shown.get_by_role("link", name="PDF", exact=True).click()
    assert found.EncapsulatedDocument.startswith(download.value.path().read_bytes())


def test_a_report_opens_its_image_beside_it(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    study = file_of(data, "sr/dwv/dwv_sr-ruler.dcm").StudyInstanceUID
    viewer = ViewerPage(new_page()).open(reading_site.viewer(study))
    viewer.page.locator("button.series", has_text="SR").click()
    first, second = (viewer.page.locator("noctis-viewport").nth(number) for number in (0, 1))
    written = first.frame_locator("iframe.document-frame")
    expect(written.get_by_role("heading", name="Imaging Measurement Report")).to_be_visible()
    written.get_by_role("link", name="MR Image").first.click()
    expect(second.locator(".bottom-left")).to_contain_text("Test data #0")
    expect(first.locator("iframe.document-frame")).to_be_visible()
    # The frame runs no script: a theme chosen outside is put on from outside.
    root = written.locator(":root")
    before = root.get_attribute("data-theme")
    viewer.choose("Appearance", "Light or dark")
    expect(root).not_to_have_attribute("data-theme", before or "")


def test_layouts_show_series_side_by_side(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = file_of(data, "study_ct_sr/1001/Kopf_nativ__5.0__H42s__00009.dcm")
    viewer = ViewerPage(new_page()).open(reading_site.viewer(found.StudyInstanceUID))
    viewer.button("Layout")
    viewer.button("Two viewports")
    second = viewer.page.locator("noctis-viewport").nth(1)
    report = viewer.page.locator("button.series", has_text="SR")
    report.drag_to(second.locator(".pointer"))
    expect(second.locator(".document")).to_contain_text("Structured report")
    written = second.frame_locator("iframe.document-frame")
    expect(written.get_by_role("heading", name="Diagnostic Report")).to_be_visible()
    viewer.page.locator("button.series", has_text="Kopf").drag_to(
        viewer.page.locator("noctis-viewport").first.locator(".pointer")
    )
    first = viewer.page.locator("noctis-viewport").first
    expect(first.locator(".bottom-left")).to_contain_text("Kopf nativ")
    first.locator(".pointer").dblclick()
    expect(second).to_be_hidden()
    first.locator(".pointer").dblclick()
    expect(second).to_be_visible()


def test_every_tool_has_its_plain_name_and_help_tells_its_key(
    phantom: tuple[ViewerPage, list[pydicom.Dataset]],
) -> None:
    viewer, _ = phantom
    names = (
        "Length", "Angle", "Ellipse ROI", "Rectangle ROI", "Window/Level", "Probe", "Arrow",
        "Zoom", "Pan", "Scroll", "Rotate right", "Rotate left", "Flip horizontal",
        "Flip vertical", "Invert", "Reset", "Full screen", "Cine", "Crosshairs", "MPR", "3D",
        "Magnify", "Bidirectional", "Cobb angle", "Height", "Circle ROI", "Freehand ROI",
        "Spline ROI", "Livewire ROI", "Density profile", "Text", "Calibration line",
    )  # fmt: skip
    viewer.press("?")
    sheet = viewer.page.get_by_role("dialog", name="Keys and mouse")
    for name in names:
        assert viewer.page.locator(f'button[aria-label="{name}"]').count() == 1
        expect(sheet.get_by_text(name, exact=True).first).to_be_visible()
    viewer.press("Escape")
    expect(sheet).to_be_hidden()
    spoken = viewer.page.locator("[role=status]")
    before = int(viewer.fact("image-index"))
    viewer.press("ArrowDown")
    expect(spoken).to_contain_text(f"Image {before + 2} of 88")


def test_a_frame_that_cannot_be_decoded_says_why_and_can_be_tried_again(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    study = file_of(data, "cr_dx_mg/gdcm-CR-MONO1-10-chest.dcm").StudyInstanceUID
    page = new_page()
    refusal = {"status": 422, "json": {"detail": "The compressed data ends early."}}
    page.route("**/frames/1.*", lambda route: route.fulfill(**refusal))
    page.goto(reading_site.viewer(study))
    viewer = ViewerPage(page).wait("error")
    panel = page.locator(".panel:visible")
    expect(panel).to_contain_text("Image 1 cannot be shown")
    expect(panel).to_contain_text("The compressed data ends early.")
    expect(panel.get_by_role("link", name="Download")).to_be_visible()
    page.unroute_all()
    panel.get_by_role("button", name="Try again").click()
    viewer.wait("ready")
    expect(panel).to_have_count(0)


def test_says_what_the_archive_found_wrong_with_a_series(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    page = new_page()
    viewer = ViewerPage(page).open(reading_site.viewer(UNCALIBRATED))
    notice = page.locator(".notice[data-kind=warning]")
    # The check is a job that runs after the import.
    for _ in range(30):
        if notice.count():
            break
        viewer.open(reading_site.viewer(UNCALIBRATED))
    expect(notice).to_contain_text("Series 1:")
    expect(notice).to_contain_text("HU")
    notice.get_by_role("button", name="Dismiss").click()
    expect(notice).to_be_hidden()


def test_lost_network_and_ended_session_say_so_and_go_on(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    study = file_of(data, "xa_rf/jpeg_baseline_8bit.dcm").StudyInstanceUID
    page = new_page()
    page.route("**/api/v1/dicom/frames?*", lambda route: route.abort())
    viewer = ViewerPage(page).open(reading_site.viewer(study))
    notice = page.locator("[data-notice=network]")
    expect(notice).to_contain_text("Trying again")
    page.unroute_all()
    page.get_by_role("button", name="Try now").click()
    expect(notice).to_be_hidden()
    page.context.clear_cookies()
    page.reload()
    assert "/accounts/login/" in page.url
    page.go_back()
    del viewer


def test_works_at_360_pixels_by_touch(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    first = head_slices(data)[0]
    page = new_page(360, 740, has_touch=True, is_mobile=True)
    viewer = ViewerPage(page).open(reading_site.viewer(first.StudyInstanceUID))
    viewer.erase()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_role("button", name="Series", exact=True).tap()
    page.locator("button.series", has_text="STD BRAIN").tap()
    viewer.wait()
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    box = page.locator(".pointer").first.bounding_box()
    assert box is not None
    fitted = min(box["width"] / first.Columns, box["height"] / first.Rows)
    # One finger scrolls: 88 slices are as long as four fifths of the viewport.
    before = int(viewer.number("image-index"))
    towards = 1 if before < 20 else -1
    touch("touchStart", (180, 300))
    for moved in range(10, 100, 10):
        touch("touchMove", (180, 300 + towards * moved))
    touch("touchEnd")
    steps = round(90 / (box["height"] * 0.8 / 88))
    scrolled = str(before + towards * steps)
    viewer.expect_fact("image-index", scrolled)
    touch("touchStart", (160, 300))
    touch("touchStart", (160, 300), (200, 340))
    for spread in range(0, 60, 10):
        touch("touchMove", (160 - spread, 300 - spread), (200 + spread, 340 + spread))
    # Both fingers together carry the picture along.
    for moved in (10, 20, 30):
        touch("touchMove", (110 + moved, 250 - moved), (250 + moved, 390 - moved))
    touch("touchEnd")
    # From 40 to 140 pixels apart in both directions.
    scale = fitted * 3.5
    zoom = page.locator(".corner.bottom-right").first
    expect(zoom).to_contain_text(f"Zoom {scale * 100:.0f}")
    viewer.expect_fact("image-index", scrolled)
    # What lay between the fingers was carried 30 pixels to the right and up: a line begins there.
    button = page.get_by_role("button", name="Length", exact=True)
    button.scroll_into_view_if_needed()
    # Browsers swallow a tap that follows a pinch within the time of a double tap.
    for _ in range(5):
        button.tap()
        with contextlib.suppress(AssertionError):
            expect(button).to_have_attribute("aria-pressed", "true", timeout=2_000)
            break
    touch("touchStart", (210, 290))
    for x in range(210, 270, 10):
        touch("touchMove", (x, 290))
    touch("touchMove", (270, 290))
    touch("touchEnd")
    expect(page.locator("svg.overlay g.mark")).to_have_count(1)
    page.wait_for_function(
        "() => document.querySelector('.save-sign')?.textContent?.includes('Saved')"
    )
    (drawn,) = viewer.saved()
    (x0, y0), (x1, y1) = drawn["points"]
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert x0 == pytest.approx((180 - middle[0]) / fitted + (first.Columns - 1) / 2, abs=1)
    assert y0 == pytest.approx((320 - middle[1]) / fitted + (first.Rows - 1) / 2, abs=1)
    assert (x1 - x0, y1 - y0) == pytest.approx((60 / scale, 0), abs=0.5)
    assert drawn["value"] == pytest.approx(60 / scale * float(first.PixelSpacing[1]), rel=0.02)
    # Help stays in sight however far the tools are scrolled.
    expect(page.get_by_role("button", name="Help", exact=True)).to_be_in_viewport(ratio=1)
    for name in ("Length", "Window/Level", "Help"):
        button = page.get_by_role("button", name=name, exact=True)
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_modality_lut_gives_the_values_that_are_shown_and_measured(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    ds = file_of(data, "lut_overlay/mlut_18.dcm")
    expected = apply_modality_lut(ds.pixel_array, ds)
    viewer = ViewerPage(new_page()).open(reading_site.viewer(ds.StudyInstanceUID))
    viewer.erase()
    viewer.press("b")
    viewer.drag((0.45, 0.45), (0.55, 0.55))
    viewer.expect_saved()
    (region,) = viewer.saved()
    (left, top), (right, bottom) = region["points"]
    inside = expected[
        math.ceil(top) : math.floor(bottom) + 1, math.ceil(left) : math.floor(right) + 1
    ]
    assert region["statistics"]["mean"] == pytest.approx(inside.mean())
    assert region["statistics"]["max"] == inside.max()
    assert viewer.picture().max() > 200


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_says_what_a_picture_does_not_show(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    ds = file_of(data, "lut_overlay/ovly_p01.dcm")
    viewer = ViewerPage(new_page()).open(reading_site.viewer(ds.StudyInstanceUID))
    notice = viewer.page.locator(".notice", has_text="overlay graphics that are not drawn")
    expect(notice).to_be_visible()
    notice.get_by_role("button", name="Dismiss").click()
    expect(notice).to_have_count(0)


def test_window_zoom_turn_and_theme_are_there_again(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    ds = file_of(data, "pt_nm/GH184.dcm")
    viewer = ViewerPage(new_page()).open(reading_site.viewer(ds.StudyInstanceUID))
    viewer.erase()
    # Values are told in uptake values as soon as the server has said what makes them.
    expect(viewer.page.locator(".bottom-right")).to_contain_text("SUVbw")
    viewer.press("w")
    viewer.drag((0.5, 0.5), (0.6, 0.55))
    viewer.choose("Rotate and flip", "Rotate right")
    viewer.press("i")
    viewer.press("b")
    viewer.drag((0.45, 0.45), (0.55, 0.55))
    viewer.expect_saved()
    assert viewer.saved()[0]["statistics"]["unit"] == "SUVbw"
    window = viewer.number("window-center"), viewer.number("window-width")
    letters = viewer.page.locator(".letters").inner_text()
    with viewer.page.expect_response(lambda answer: answer.url.endswith("/session/")):
        viewer.press("+")
    zoom = viewer.page.locator(".bottom-right").inner_text()
    with viewer.page.expect_response(lambda answer: answer.url.endswith("/api/theme/")):
        viewer.choose("Appearance", "Light or dark")
    viewer.page.reload()
    viewer.wait()
    expect(viewer.page.locator(".bottom-right")).to_have_text(zoom, use_inner_text=True)
    assert (viewer.number("window-center"), viewer.number("window-width")) == window
    assert viewer.page.locator(".letters").inner_text() == letters
    expect(viewer.page.locator("[data-mark=inverted]")).to_be_visible()
    expect(viewer.page.locator("html")).to_have_attribute("data-theme", "light")
    viewer.page.goto(f"{reading_site.address}/worklist/")
    expect(viewer.page.locator("html")).to_have_attribute("data-theme", "light")
