"""PET and CT in Chromium: uptake values, colours, one series laid over another.

The CT is real, the PET (tests/browser/phantoms.py) a linear field of activity whose dose, times and
weight make 70,000 g / 185 MBq of it. Expected numbers and colours are that formula and the palette
that the standard publishes, never our own output.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page, expect
from pydicom.pixels import apply_color_lut

from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import FUSED, SUV_PER_BQML, activity_bqml
from tests.browser.test_viewer_layouts import viewport
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]
_CT, _PET, _ELSEWHERE = "CT of the head", "PET of the head", "PET elsewhere"


@pytest.fixture
def viewer(reading_site: ReadingSite, new_page: NewPage) -> ViewerPage:
    """The PET/CT study, nothing drawn, nothing laid over, without texts on the pictures."""
    viewer = ViewerPage(new_page()).open(reading_site.viewer(FUSED))
    viewer.erase()
    viewer.button("Layout")
    viewer.page.get_by_role("button", name="One viewport").click()
    return viewer


def bar(viewer: ViewerPage) -> Locator:
    return viewer.page.get_by_role("group", name="Colours and fusion")


def open_pet(viewer: ViewerPage) -> None:
    viewer.open_series(_PET)
    expect(viewport(viewer, 0).locator(".bottom-right")).to_contain_text("SUVbw")


def fuse(viewer: ViewerPage) -> None:
    """The PET over a CT slice in the middle of both."""
    viewer.open_series(_CT)
    viewer.go_to(5)
    expect(viewport(viewer, 0).locator(".bottom-left")).to_contain_text("CT")
    viewer.press("&")
    expect(bar(viewer)).to_contain_text("27 slices")
    expect(viewport(viewer, 0).locator(".chip[data-mark=fused]")).to_contain_text("PT series 2")


def set_opacity(viewer: ViewerPage, percent: int) -> None:
    slider = bar(viewer).get_by_label("Opacity of what is laid over")
    slider.fill(str(percent))
    expect(bar(viewer).locator(".percent")).to_have_text(f"{percent} %")


def settled(viewer: ViewerPage) -> NDArray[np.int64]:
    """The picture once two looks at it agree."""
    before = viewer.picture()
    for _ in range(20):
        viewer.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => done()))")
        viewer.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => done()))")
        now = viewer.picture()
        if before.shape == now.shape and (before == now).all():
            return now
        before = now
    raise AssertionError("The picture does not come to rest.")


def expect_picture(
    viewer: ViewerPage, part: tuple[slice, slice], wanted: NDArray[np.int64]
) -> None:
    """Wait until a part of the picture is as it was."""
    for _ in range(40):
        now = viewer.picture()[part]
        if now.shape == wanted.shape and (now == wanted).all():
            return
        viewer.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => done()))")
    raise AssertionError("The picture does not come back.")


def kept_of(viewer: ViewerPage, draw: Callable[[], None]) -> dict[str, object]:
    before = {kept["id"] for kept in viewer.saved()}
    with viewer.page.expect_response(re.compile("/measurements/")):
        draw()
    viewer.expect_saved()
    (kept,) = (kept for kept in viewer.saved() if kept["id"] not in before)
    return kept


def values_of_pet(kept: dict[str, object]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places (mm) of the kept points' own pixels."""
    points = np.array(kept["points"], dtype=float)
    places = np.array(kept["points_mm"], dtype=float)
    # Back from the point to the middle of its pixel, 4 mm a side.
    nearest = places.copy()
    nearest[:, :2] += (np.rint(points) - points) * 4
    return points, nearest


def test_uptake_values_of_a_place(viewer: ViewerPage) -> None:
    open_pet(viewer)
    viewer.button("Probe")
    kept = kept_of(viewer, lambda: viewer.page.mouse.click(*viewer.place(0.45, 0.4)))
    _, places = values_of_pet(kept)
    # The stored values are whole Bq/ml.
    expected = np.rint(activity_bqml(places)) * SUV_PER_BQML
    assert kept["value"] == pytest.approx(float(expected[0]), rel=1e-9)
    assert kept["unit"] == "SUVbw"
    assert kept["unit_source"] == "SUV by dose"
    assert "SUV by dose, times and body" in viewer.rows()[0]


def test_uptake_values_of_a_region(viewer: ViewerPage) -> None:
    open_pet(viewer)
    viewer.go_to(13)
    viewer.button("Rectangle ROI")
    kept = kept_of(viewer, lambda: viewer.drag((0.45, 0.4), (0.55, 0.55)))
    points, _ = values_of_pet(kept)
    places = np.array(kept["points_mm"], dtype=float)
    first = places[0] - np.append(points[0] * 4, 0)
    low, high = np.ceil(points.min(axis=0)), np.floor(points.max(axis=0))
    columns, rows = np.meshgrid(
        np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1), indexing="ij"
    )
    grid = np.stack([columns * 4, rows * 4, np.zeros_like(columns)], axis=-1) + first
    values = np.rint(activity_bqml(grid)) * SUV_PER_BQML
    found = kept["statistics"]
    assert isinstance(found, dict)
    assert found["count"] == values.size > 50
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-9)
    assert found["max"] == pytest.approx(values.max(), rel=1e-9)
    # Of a field that grows evenly a sphere's mean is the value in its middle.
    assert found["peak"] == pytest.approx(values.max(), rel=1e-4)
    assert found["unit"] == "SUVbw"
    assert "peak" in viewer.rows()[0]


def test_windows_are_told_and_taken_in_uptake_values(viewer: ViewerPage) -> None:
    open_pet(viewer)
    viewer.press("3")
    viewer.expect_fact("window-width", "10")
    viewer.expect_fact("window-center", "5")
    expect(viewport(viewer, 0).locator(".bottom-right")).to_contain_text("W 10 L 5 SUVbw")
    viewer.press("$")
    bar(viewer).get_by_label("Unit of the values").select_option("")
    width = 10 / SUV_PER_BQML
    assert viewer.number("window-width") == pytest.approx(width)
    viewer.button("Window presets")
    viewer.page.get_by_role("button", name="Enter numbers").click()
    dialog = viewer.page.get_by_role("dialog", name="Window")
    dialog.get_by_label("Width").fill("1000")
    dialog.get_by_role("button", name="Apply").click()
    viewer.expect_fact("window-width", "1000")
    bar(viewer).get_by_label("Unit of the values").select_option("BW")
    assert viewer.number("window-width") == pytest.approx(1000 * SUV_PER_BQML)


def test_a_series_without_a_dose_says_why_it_has_no_uptake_values(viewer: ViewerPage) -> None:
    viewer.open_series(_ELSEWHERE)
    mark = viewport(viewer, 0).locator(".chip[data-mark=no-suv]")
    expect(mark).to_have_attribute("title", re.compile("injected dose"))
    viewer.press("$")
    expect(bar(viewer)).to_contain_text("No uptake values: The files do not say the injected dose.")


def test_colours_of_a_picture(viewer: ViewerPage, data: Path) -> None:
    open_pet(viewer)
    viewer.press("3", "t")
    viewer.press("$")
    bar(viewer).get_by_label("Colours of the picture").select_option("hotIron")
    picture = settled(viewer)
    palette = apply_color_lut(
        np.arange(256, dtype=np.uint8), pydicom.dcmread(data / "palettes/hotiron.dcm")
    )
    palette = (palette >> 8 if palette.dtype == np.uint16 else palette).astype(int)
    # Beyond the upper end of the window nothing is; every colour that is there is of the map.
    height, width = picture.shape[:2]
    shown = picture[height // 4 : -height // 4, width // 3 : -width // 3].reshape(-1, 3)
    # Neighbours are mixed where the picture is drawn larger, so colours lie between two of it.
    away = np.abs(shown[::97, None, :] - palette[None]).sum(axis=2).min(axis=1)
    assert away.max() <= 6
    assert (np.ptp(shown, axis=1) > 40).mean() > 0.9
    viewer.press("t")
    colours = viewport(viewer, 0).get_by_role("img", name=re.compile("Colours: Hot iron"))
    expect(colours).to_have_attribute("aria-label", re.compile(r"from 0\.0 to 10\.0 SUVbw"))
    viewer.page.reload()
    viewer.wait()
    expect(viewport(viewer, 0).locator(".color-bar")).to_be_visible()
    viewer.press("Space")
    expect(viewport(viewer, 0).locator(".color-bar")).to_have_count(0)


def test_pet_is_laid_over_ct_by_its_place(viewer: ViewerPage, data: Path) -> None:
    fuse(viewer)
    viewer.press("t")
    set_opacity(viewer, 0)
    alone = settled(viewer)
    assert (np.ptp(alone, axis=2) <= 1).all()
    set_opacity(viewer, 100)
    over = settled(viewer)
    palette = apply_color_lut(
        np.arange(256, dtype=np.uint8), pydicom.dcmread(data / "palettes/hotiron.dcm")
    )
    palette = (palette >> 8 if palette.dtype == np.uint16 else palette).astype(int)
    slices = sorted(
        (
            pydicom.dcmread(path, stop_before_pixels=True)
            for path in (data / "ct/head_phantom_1mm").iterdir()
        ),
        key=lambda found: float(found.ImagePositionPatient[2]),
    )[::8]
    # Head first or feet first is the scanner's choice: the sixth of eleven is the middle in both.
    header = slices[5]
    x0, y0, z = (float(value) for value in header.ImagePositionPatient)
    pixel = float(header.PixelSpacing[0])
    height, width = over.shape[:2]
    side = min(height, width)
    for right, down in ((0.3, 0.4), (0.5, 0.5), (0.62, 0.35), (0.7, 0.66)):
        # The picture fills the viewport's shorter side, its middle in the middle.
        column, row = right * 512 - 0.5, down * 512 - 0.5
        at_x = round((width - side) / 2 + right * side)
        at_y = round((height - side) / 2 + down * side)
        place = np.array([x0 + column * pixel, y0 + row * pixel, z])
        level = activity_bqml(place) * SUV_PER_BQML / 10 * 255
        expected = palette[round(level)]
        assert np.abs(over[at_y, at_x] - expected).max() <= 8, (right, down)
    set_opacity(viewer, 50)
    half = settled(viewer)
    middle = np.s_[height // 2 - 60 : height // 2 + 60, width // 2 - 60 : width // 2 + 60]
    assert np.abs(half[middle] - (alone[middle] + over[middle]) / 2).max() <= 3
    # Without it again, and by keys.
    viewer.page.get_by_role("button", name="In this viewport").click()
    expect_picture(viewer, middle, alone[middle])
    viewer.page.get_by_role("button", name="In this viewport").click()
    viewer.press("(", "(")
    expect(bar(viewer)).to_contain_text("30 %")
    viewer.press("&")
    expect(bar(viewer).get_by_label("Opacity of what is laid over")).to_have_count(0)
    assert (np.ptp(settled(viewer), axis=2) <= 1).all()


def test_another_frame_of_reference_is_refused_in_words(viewer: ViewerPage) -> None:
    viewer.open_series(_CT)
    viewer.press("$")
    chooser = bar(viewer).get_by_label("Series laid over the picture")
    chooser.select_option(index=2)
    notice = viewer.page.locator("[data-notice=fusion]")
    expect(notice).to_contain_text("different Frames of Reference")
    expect(viewport(viewer, 0).locator(".chip[data-mark=fused]")).to_have_count(0)
    assert chooser.input_value() == ""
    notice.get_by_role("button", name="Lay over anyway").click()
    mark = viewport(viewer, 0).locator(".chip[data-mark=unregistered]")
    expect(mark).to_have_text("Not registered")
    expect(bar(viewer)).to_contain_text("Not registered")
    # The bar names what lies there now, not what was refused or chosen before.
    expect(chooser.locator("option:checked")).to_contain_text(_ELSEWHERE)


def test_fused_planes(viewer: ViewerPage) -> None:
    fuse(viewer)
    viewer.button("MPR")
    expect(viewer.page.get_by_role("group", name="MPR")).to_contain_text("11 slices")
    for number in range(3):
        mark = viewport(viewer, number).locator(".chip[data-mark=fused]")
        expect(mark).to_contain_text("PT series 2")
    set_opacity(viewer, 100)
    for number in range(3):
        share = viewer.page.wait_for_function(
            """(number) => {
              const canvas = document.querySelectorAll("noctis-viewport")[number]
                .querySelector("canvas.surface");
              const {width, height} = canvas;
              const {data} = canvas.getContext("2d")
                .getImageData(width * 0.4, height * 0.4, width * 0.2, height * 0.2);
              let coloured = 0;
              for (let i = 0; i < data.length; i += 4) {
                coloured += Math.abs(data[i] - data[i + 1]) > 30 ? 1 : 0;
              }
              return coloured / (data.length / 4) > 0.9;
            }""",
            arg=number,
        )
        assert share.json_value()
    # A probe in a fused plane tells what the plane is of.
    viewer.button("Close MPR")
    expect(viewport(viewer, 0).locator(".chip[data-mark=fused]")).to_be_visible()


def test_narrow_windows_have_all_of_it(reading_site: ReadingSite, new_page: NewPage) -> None:
    viewer = ViewerPage(new_page(360, 740)).open(reading_site.viewer(FUSED))
    viewer.press("&")
    expect(bar(viewer)).to_be_visible()
    box = bar(viewer).bounding_box()
    assert box is not None
    assert box["width"] <= 360
    wide = viewer.page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 360
    for name in ("Colours of the picture", "Series laid over the picture"):
        control = bar(viewer).get_by_label(name)
        inside = control.bounding_box()
        assert inside is not None
        assert inside["x"] + inside["width"] <= 360


def test_pet_ct_fused_and_projection_stand_side_by_side_by_themselves(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(FUSED))
    viewer.erase()
    page = viewer.page
    stage = page.locator("main.viewports")
    # Whoever left another layout comes back to that one.
    for _ in range(3):
        if stage.get_attribute("data-layout") == "2x2":
            break
        viewer.press("Shift+PageDown")
    expect(stage).to_have_attribute("data-layout", "2x2")
    for number, words in enumerate(("PET of the head", "CT", "CT", "Coronal of PET of the head")):
        expect(viewport(viewer, number).locator(".bottom-left")).to_contain_text(words)
    fused = page.locator(".chip[data-mark=fused]")
    expect(fused).to_have_count(1)
    expect(viewport(viewer, 2).locator(".chip[data-mark=fused]")).to_contain_text("PT series 2")
    expect(viewport(viewer, 3)).to_contain_text("SUVbw")
    viewport(viewer, 3).locator(".pointer").click()
    viewer.button("Probe")
    box = viewport(viewer, 3).locator(".pointer").bounding_box()
    assert box is not None
    with page.expect_response(re.compile("/measurements/")):
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    viewer.expect_saved()
    (kept,) = (kept for kept in viewer.saved() if kept.get("plane"))
    # The value is that of the pixel under the point, 4 mm a side. From front to back the highest
    # is the rearmost: activity grows along y.
    x, _, z = kept["points_mm"][0]
    corner = np.array([0.0, 113.0, 760.0]) - 4 * np.array([31.5, -31.5, 13.0])
    column, row = np.rint((x - corner[0]) / 4), np.rint((z - corner[2]) / 4)
    place = corner + 4 * np.array([column, 0, row])
    expected = activity_bqml(place) * SUV_PER_BQML
    assert kept["value"] == pytest.approx(expected, rel=1e-4)
    # MPR borrows the voxels' place, and gives it back.
    viewport(viewer, 1).locator(".pointer").click()
    viewer.button("Window/Level")
    viewer.button("MPR")
    expect(viewport(viewer, 0).locator(".bottom-left")).to_contain_text("Axial")
    # Every plane through the CT shows what is laid over it, and not the one viewport alone.
    expect(fused).to_have_count(4)
    viewer.button("MPR")
    expect(viewport(viewer, 3).locator(".bottom-left")).to_contain_text("Coronal of PET")
    expect(fused).to_have_count(1)
    viewport(viewer, 3).locator(".pointer").click()
    viewer.wait()
    # Another layout takes it away.
    viewer.button("Layout")
    page.get_by_role("button", name="One viewport").click()
    expect(fused).to_have_count(0)
    viewer.erase()


def test_a_layout_with_fused_pictures_and_a_projection_is_kept_and_comes_back(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    viewer = ViewerPage(new_page()).open(reading_site.viewer(FUSED))
    page = viewer.page
    stage = page.locator("main.viewports")
    for _ in range(3):
        if stage.get_attribute("data-layout") == "2x2":
            break
        viewer.press("Shift+PageDown")
    fused = page.locator(".chip[data-mark=fused]")
    expect(fused).to_have_count(1)
    expect(viewport(viewer, 3).locator(".bottom-left")).to_contain_text("Coronal of PET")
    name = f"PET/CT {uuid4().hex[:8]}"
    viewer.button("Layout")
    page.get_by_text("Use this layout for studies like this…").click()
    dialog = page.locator("dialog.keep-layout")
    expect(dialog.locator("ol.places li")).to_contain_text(["PT", "CT", "fused", "as MIP"])
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_role("button", name="Keep", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("Kept.")
    # As it is exported, it is imported again.
    shown = page.evaluate(
        """async (name) => {
          const address = "/viewer/api/hanging/";
          const headers = {"X-CSRFToken": document.querySelector('meta[name="csrf-token"]').content,
            "Content-Type": "application/json"};
          const kept = async () => (await (await fetch(address)).json()).protocols
            .filter((one) => one.name === name);
          const [first] = await kept();
          const body = JSON.stringify({protocols: [first]});
          await fetch(`${address}import/`, {method: "POST", headers, body});
          await fetch(`${address}${first.id}/`, {method: "DELETE", headers});
          const [second] = await kept();
          return second.stages[0].places.map(({Modality, show}) => [Modality, show]);
        }""",
        name,
    )
    assert shown == [["PT", ""], ["CT", ""], ["CT", "fused"], ["PT", "mip"]]
    try:
        dialog.get_by_role("button", name="Close", exact=True).last.click()
        viewer.button("Layout")
        page.get_by_role("button", name="One viewport").click()
        expect(fused).to_have_count(0)
        page.reload()
        viewer.wait()
        viewer.press("Shift+PageDown")
        expect(stage).to_have_attribute("data-layout", "2x2")
        expect(fused).to_have_count(1)
        expect(viewport(viewer, 2).locator(".chip[data-mark=fused]")).to_be_visible()
        expect(viewport(viewer, 3).locator(".bottom-left")).to_contain_text("Coronal of PET")
        hung = page.evaluate(
            """() => JSON.parse(document.getElementById("study-manifest").textContent)
              .hanging.protocol.name"""
        )
        assert hung == name
    finally:
        page.evaluate(
            """async (name) => {
              const headers = {"X-CSRFToken":
                document.querySelector('meta[name="csrf-token"]').content};
              const {protocols} = await (await fetch("/viewer/api/hanging/")).json();
              for (const {id} of protocols.filter((one) => one.name === name)) {
                await fetch(`/viewer/api/hanging/${id}/`, {method: "DELETE", headers});
              }
            }""",
            name,
        )
