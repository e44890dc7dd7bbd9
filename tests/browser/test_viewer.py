"""The viewer in Chromium on real pictures: what is drawn, measured, kept and said.

Covers the way from the stored file to the screen and back to the database. Pixel values and
sizes are compared with the file as pydicom and numpy read it, never with our own output. Not
covered: drawing by a graphics processor, which the machines of the tests do not have.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
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
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]


def _file(data: Path, name: str) -> pydicom.Dataset:
    return pydicom.dcmread(data / name)


def _phantom(data: Path) -> list[pydicom.Dataset]:
    """The slices of the head phantom in reading order, checked against the reference digests."""
    with (data / "reference_frames.csv").open() as table:
        digests = {row["path"]: row["sha256"] for row in csv.DictReader(table)}
    slices = []
    for path in (data / "ct/head_phantom_1mm").iterdir():
        found = pydicom.dcmread(path)
        digest = hashlib.sha256(found.PixelData[:524288]).hexdigest()
        assert digest == digests[f"ct/head_phantom_1mm/{path.name}"]
        slices.append(found)
    return sorted(slices, key=lambda one: float(one.ImagePositionPatient[2]))


def _values(found: pydicom.Dataset) -> NDArray[np.float64]:
    """Modality values of an uncompressed picture of one frame."""
    stored = np.frombuffer(found.PixelData, "<u2")[: found.Rows * found.Columns]
    stored = stored.reshape(found.Rows, found.Columns)
    return stored * float(found.RescaleSlope) + float(found.RescaleIntercept)


@pytest.fixture
def phantom(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> tuple[ViewerPage, list[pydicom.Dataset]]:
    slices = _phantom(data)
    viewer = ViewerPage(new_page()).open(reading_site.viewer(slices[0].StudyInstanceUID))
    viewer.open_series("STD BRAIN")
    return viewer, slices


@pytest.fixture
def clean(phantom: tuple[ViewerPage, list[pydicom.Dataset]]) -> ViewerPage:
    """The phantom without what other tests have drawn on it."""
    viewer, _ = phantom
    viewer.erase()
    return viewer


_ASKED_FOR = """() => performance.getEntriesByType("resource").map(({name}) => name).join()"""


def test_first_picture_comes_as_preview_then_exact(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    study = _file(data, "xa_rf/jpeg_baseline_8bit.dcm").StudyInstanceUID
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
    slices = _phantom(data)
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
        expected = _windowed(_values(slices[30]), center, width)
        _expect_same(shown, _enlarged(expected, shown.shape))
    viewer.press("i")
    expect(viewer.page.locator(".chip[data-mark=inverted]").first).to_be_visible()
    inverted = _shown(viewer, 1)[..., 0]
    _expect_same(inverted, 255 - _enlarged(expected, inverted.shape))


def test_draws_monochrome1_as_negative(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = _file(data, "cr_dx_mg/gdcm-CR-MONO1-10-chest.dcm")
    assert found.PhotometricInterpretation == "MONOCHROME1"
    viewer = ViewerPage(new_page()).open(reading_site.viewer(found.StudyInstanceUID))
    stored = np.frombuffer(found.PixelData, "<u2").reshape(found.Rows, found.Columns)
    expected = 255 - _windowed(stored, float(found.WindowCenter), float(found.WindowWidth))
    shown = _shown(viewer, found.Columns / found.Rows)[..., 0]
    _expect_same(shown, _enlarged(expected, shown.shape))


def test_draws_colour(data: Path, reading_site: ReadingSite, new_page: NewPage) -> None:
    found = _file(data, "us/gdcm-US-RGB-8-esopecho.dcm")
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


def _region_values(
    values: NDArray[np.float64], points: list[list[float]], kind: str
) -> NDArray[np.float64]:
    """Values of the pixels whose centres lie in the region of two corners."""
    (x0, y0), (x1, y1) = points
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    if kind == "rectangle":
        inside = (
            (columns >= min(x0, x1)) & (columns <= max(x0, x1))
            & (rows >= min(y0, y1)) & (rows <= max(y0, y1))
        )  # fmt: skip
    else:
        u = (columns - (x0 + x1) / 2) / (abs(x1 - x0) / 2)
        v = (rows - (y0 + y1) / 2) / (abs(y1 - y0) / 2)
        inside = u**2 + v**2 <= 1
    chosen: NDArray[np.float64] = values[inside]
    return chosen


@pytest.mark.parametrize(
    ("button", "kind"), [("Ellipse ROI", "ellipse"), ("Rectangle ROI", "rectangle")]
)
def test_regions_tell_the_files_own_values(
    clean: ViewerPage, data: Path, button: str, kind: str
) -> None:
    slices = _phantom(data)
    clean.go_to(40)
    clean.button(button)
    clean.drag((0.3, 0.25), (0.7, 0.8))
    clean.expect_saved()
    (kept,) = clean.saved()
    assert kept["SOPInstanceUID"] == slices[40].SOPInstanceUID
    inside = _region_values(_values(slices[40]), kept["points"], kind)
    statistics = kept["statistics"]
    assert statistics["count"] == inside.size > 1000
    assert statistics["mean"] == pytest.approx(inside.mean())
    assert statistics["sd"] == pytest.approx(inside.std())
    assert (statistics["min"], statistics["max"]) == (inside.min(), inside.max())
    assert statistics["unit"] == "HU"
    (x0, y0), (x1, y1) = kept["points"]
    row_mm, column_mm = map(float, slices[40].PixelSpacing)
    box = abs(x1 - x0) * column_mm * abs(y1 - y0) * row_mm
    assert kept["value"] == pytest.approx(box * (math.pi / 4 if kind == "ellipse" else 1))
    (row,) = clean.rows()
    assert button in row
    assert f"mean {inside.mean():.1f} HU" in row
    assert "PixelSpacing" in row


def test_measures_the_phantoms_rod(clean: ViewerPage, data: Path) -> None:
    """A line across the picture from edge to edge is the field of view, whatever the zoom."""
    (first, *_) = _phantom(data)
    clean.press("+", "+")
    clean.page.keyboard.press("=")
    clean.button("Length")
    clean.drag((0.01, 0.5), (0.99, 0.5))
    clean.expect_saved()
    (kept,) = clean.saved()
    width_mm = first.Columns * float(first.PixelSpacing[1])
    assert kept["value"] == pytest.approx(width_mm, rel=1e-6)
    (x0, y0, _z0), (x1, y1, _z1) = kept["points_mm"]
    assert math.dist((x0, y0), (x1, y1)) == pytest.approx(width_mm, rel=1e-6)
    assert kept["unit_source"] == "PixelSpacing"


def test_everything_drawn_is_kept_changed_and_undone(clean: ViewerPage) -> None:
    with clean.page.expect_response("**/session/") as kept_place:
        clean.go_to(20)
        clean.button("Length")
        clean.drag((0.3, 0.3), (0.5, 0.3))
    assert kept_place.value.ok
    clean.button("Angle")
    clean.drag((0.3, 0.5), (0.3, 0.6))
    clean.page.mouse.click(*clean.place(0.4, 0.6))
    clean.button("Probe")
    clean.page.mouse.click(*clean.place(0.6, 0.7))
    clean.button("Arrow")
    clean.drag((0.6, 0.2), (0.7, 0.15))
    clean.page.get_by_role("textbox", name="Text of the arrow").fill("look here")
    clean.press("Enter")
    clean.expect_saved()
    kept = {row["kind"]: row for row in clean.saved()}
    assert sorted(kept) == ["angle", "arrow", "length", "probe"]
    assert kept["angle"]["value"] == pytest.approx(90, abs=0.5)
    assert kept["arrow"]["label"] == "look here"

    clean.page.reload()
    clean.wait()
    before = clean.rows()
    assert len(before) == 4
    clean.expect_fact("image-index", "20")

    clean.page.get_by_role("button", name="Rename measurement 1").click()
    clean.page.get_by_role("textbox", name="Name of the measurement").fill("rod")
    clean.press("Enter")
    clean.page.get_by_role("button", name="Delete measurement 2").click()
    expect(clean.page.locator("table.measurements tbody tr")).to_have_count(3)
    clean.expect_saved()
    assert "rod" in {row["label"] for row in clean.saved()}
    clean.press("Control+z")
    expect(clean.page.locator("table.measurements tbody tr")).to_have_count(4)
    clean.press("Control+z")
    clean.expect_saved()
    labels = {row["kind"]: row["label"] for row in clean.saved()}
    assert labels == {"length": "", "angle": "", "probe": "", "arrow": "look here"}
    clean.press("Control+y")
    clean.expect_saved()
    assert "rod" in {row["label"] for row in clean.saved()}

    clean.press("Home")
    clean.page.get_by_role("button", name="Show measurement 1").click()
    clean.expect_fact("image-index", "20")


def test_what_is_not_saved_shows_until_it_is(clean: ViewerPage) -> None:
    clean.page.route("**/measurements/", lambda route: route.abort())
    clean.button("Length")
    clean.drag((0.3, 0.4), (0.5, 0.4))
    expect(clean.page.locator("button.save-sign")).to_have_text("Not saved")
    notice = clean.page.locator("[data-notice=unsaved]")
    expect(notice).to_contain_text("The network does not answer")
    assert "Not saved" in clean.rows()[0]
    clean.page.unroute_all()
    clean.page.get_by_role("button", name="Try now").click()
    clean.expect_saved()
    assert len(clean.saved()) == 1


def test_whoever_is_later_sees_what_stands(clean: ViewerPage) -> None:
    clean.button("Length")
    clean.drag((0.3, 0.4), (0.5, 0.4))
    clean.expect_saved()
    (row,) = clean.saved()
    token = clean.page.locator('meta[name="csrf-token"]').get_attribute("content")
    answers: list[int] = []

    def be_later(route: Route) -> None:
        # Another change arrives while ours is on its way.
        other = clean.page.context.request.put(
            route.request.url,
            headers={"X-CSRFToken": str(token)},
            data={**row, "label": "from elsewhere"},
        )
        answers.append(other.status)
        route.continue_()

    clean.page.route(f"**/viewer/api/measurements/{row['id']}/", be_later, times=1)
    clean.page.get_by_role("button", name="Rename measurement 1").click()
    clean.page.get_by_role("textbox", name="Name of the measurement").fill("mine")
    clean.press("Enter")
    notice = clean.page.locator("[data-notice=measurement]")
    expect(notice).to_contain_text("your change was not kept")
    assert answers == [200]
    expect(clean.page.locator("table.measurements .label")).to_have_text("from elsewhere")


def test_ultrasound_measures_only_inside_its_region(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = _file(data, "us/YBR_FULL-RLE.dcm")
    region = next(
        one for one in found.SequenceOfUltrasoundRegions if one.PhysicalUnitsXDirection == 3
    )
    viewer = ViewerPage(new_page()).open(reading_site.viewer(found.StudyInstanceUID))
    viewer.erase()
    viewer.button("Length")
    viewer.drag((0.4, 0.4), (0.5, 0.6))
    viewer.drag((0.45, 0.3), (0.45, 0.98))
    viewer.expect_saved()
    inside, across = viewer.saved()
    (x0, y0), (x1, y1) = inside["points"]
    in_cm = math.hypot((x1 - x0) * region.PhysicalDeltaX, (y1 - y0) * region.PhysicalDeltaY)
    assert inside["value"] == pytest.approx(10 * in_cm)
    assert (inside["unit"], inside["unit_source"]) == ("mm", "ultrasound region 2")
    assert (across["unit"], across["unit_source"]) == ("px", "none")
    assert across["value"] == pytest.approx(math.dist(*across["points"]))
    assert "uncalibrated" in viewer.rows()[1]


def test_mammogram_is_measured_at_the_patient(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = _file(data, "cr_dx_mg/GH133.dcm")
    viewer = ViewerPage(new_page()).open(reading_site.viewer(found.StudyInstanceUID))
    viewer.erase()
    viewer.button("Length")
    viewer.drag((0.45, 0.2), (0.45, 0.7))
    viewer.expect_saved()
    (kept,) = viewer.saved()
    (x0, y0), (x1, y1) = kept["points"]
    magnification = float(found.EstimatedRadiographicMagnificationFactor)
    size = float(found.ImagerPixelSpacing[0]) / magnification
    assert kept["value"] == pytest.approx(math.hypot(x1 - x0, y1 - y0) * size)
    assert kept["unit_source"].startswith("ImagerPixelSpacing / magnification")


def test_cine_plays_pauses_and_takes_the_files_speed(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = _file(data, "us/cine/US-PAL-8-10x-echo")
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
    study = _file(data, "waveform/waveform_ecg.dcm").StudyInstanceUID
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
    found = _file(data, "pr_pdf_stl/sample-pdf.dcm")
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
    study = _file(data, "sr/dwv/dwv_sr-ruler.dcm").StudyInstanceUID
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


def test_what_others_draw_appears_without_a_reload(
    phantom: tuple[ViewerPage, list[pydicom.Dataset]], new_page: NewPage
) -> None:
    here, _ = phantom
    here.erase()
    there = ViewerPage(new_page()).open(here.page.url)
    there.open_series("STD BRAIN")
    rows = "table.measurements tbody tr"
    here.press("m")
    here.drag((0.4, 0.5), (0.6, 0.5))
    expect(here.page.locator(rows)).to_have_count(1)
    expect(there.page.locator("svg.overlay rect.label")).to_have_count(1)
    # What others draw opens nothing on this screen.
    expect(there.page.locator("noctis-measurements")).to_have_count(0)
    there.page.get_by_role("button", name="Measurements", exact=True).click()
    expect(there.page.locator(rows)).to_have_count(1)
    there.page.get_by_role("button", name="Delete measurement 1").click()
    expect(here.page.locator(rows)).to_have_count(0)


def test_layouts_show_series_side_by_side(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    found = _file(data, "study_ct_sr/1001/Kopf_nativ__5.0__H42s__00009.dcm")
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
    study = _file(data, "cr_dx_mg/gdcm-CR-MONO1-10-chest.dcm").StudyInstanceUID
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
    study = _file(data, "xa_rf/jpeg_baseline_8bit.dcm").StudyInstanceUID
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
    study = _phantom(data)[0].StudyInstanceUID
    page = new_page(360, 740, has_touch=True, is_mobile=True)
    viewer = ViewerPage(page).open(reading_site.viewer(study))
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_role("button", name="Series", exact=True).tap()
    page.locator("button.series", has_text="STD BRAIN").tap()
    viewer.wait()
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    before = viewer.number("image-index")
    touch("touchStart", (180, 300))
    for y in range(300, 200, -10):
        touch("touchMove", (180, y))
    touch("touchEnd")
    element = page.locator("noctis-viewer")
    expect(element).not_to_have_attribute("data-image-index", str(int(before)))
    scrolled = viewer.fact("image-index")
    zoom = page.locator(".corner.bottom-right").first.inner_text()
    touch("touchStart", (160, 300))
    touch("touchStart", (160, 300), (200, 340))
    for spread in range(0, 60, 10):
        touch("touchMove", (160 - spread, 300 - spread), (200 + spread, 340 + spread))
    touch("touchEnd")
    expect(page.locator(".corner.bottom-right").first).not_to_have_text(zoom)
    viewer.expect_fact("image-index", scrolled)
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
    ds = _file(data, "lut_overlay/mlut_18.dcm")
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
    ds = _file(data, "lut_overlay/ovly_p01.dcm")
    viewer = ViewerPage(new_page()).open(reading_site.viewer(ds.StudyInstanceUID))
    notice = viewer.page.locator(".notice", has_text="overlay graphics that are not drawn")
    expect(notice).to_be_visible()
    notice.get_by_role("button", name="Dismiss").click()
    expect(notice).to_have_count(0)


def _texts_apart(viewer: ViewerPage, count: int) -> None:
    boxes = viewer.page.evaluate(
        """() => [...document.querySelectorAll("svg.overlay rect.label")].map((label) => {
          const {x, y, right, bottom} = label.getBoundingClientRect();
          const text = label.nextElementSibling.getBoundingClientRect();
          const stage = label.closest(".stage").getBoundingClientRect();
          return {x, y, right, bottom, isHeld: text.x >= x && text.right <= right,
            isInside: x >= stage.x && y >= stage.y && right <= stage.right
              && bottom <= stage.bottom};
        })"""
    )
    corners = viewer.page.evaluate(
        """() => [...document.querySelectorAll(".corner")].map((corner) => {
          const {x, y, right, bottom} = corner.getBoundingClientRect();
          return {x, y, right, bottom};
        })"""
    )
    assert len(boxes) == count
    assert all(box["isInside"] and box["isHeld"] for box in boxes), boxes
    pairs = [*itertools.combinations(boxes, 2), *itertools.product(boxes, corners)]
    for one, other in pairs:
        assert (
            one["right"] <= other["x"]
            or other["right"] <= one["x"]
            or one["bottom"] <= other["y"]
            or other["bottom"] <= one["y"]
        ), (one, other)


def test_texts_of_measurements_stand_apart_and_inside(clean: ViewerPage) -> None:
    viewer = clean
    for start, end in (
        ((0.4, 0.4), (0.5, 0.5)),
        ((0.41, 0.42), (0.51, 0.5)),
        ((0.42, 0.41), (0.5, 0.52)),
        ((0.9, 0.4), (0.97, 0.45)),
        ((0.9, 0.9), (0.97, 0.97)),
    ):
        viewer.press("b")
        viewer.drag(start, end)
    viewer.expect_saved()
    _texts_apart(viewer, 5)
    viewer.page.set_viewport_size({"width": 360, "height": 740})
    _texts_apart(viewer, 5)
    viewer.erase()


def test_window_zoom_turn_and_theme_are_there_again(
    data: Path, reading_site: ReadingSite, new_page: NewPage
) -> None:
    ds = _file(data, "pt_nm/GH184.dcm")
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
