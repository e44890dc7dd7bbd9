"""A segmentation from elsewhere in Chromium: edited as a copy, stored anew, and shown again."""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from tests import stow
from tests.browser.conftest import ReadingSite
from tests.browser.phantoms import COPIED, copied
from tests.browser.viewer_page import ViewerPage
from tests.dicom import to_bytes
from tests.segmentations import described, segmented

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]
_PANE = "Segments and structures"
_VOXEL_ML = 2 * 2 * 4 / 1000
# Whether the middle of the first viewport has a colour, and a place near its corner has none.
_LOOK = """(wanted) => {
  const canvas = document.querySelector("noctis-viewport canvas.surface");
  const {width, height} = canvas;
  const side = Math.min(width, height);
  const colour = (right, down) => [...canvas.getContext("2d")
    .getImageData(width / 2 + right * side, height / 2 + down * side, 1, 1).data].slice(0, 3);
  const isNear = (found, other) => found.every((one, at) => Math.abs(one - other[at]) <= 40);
  return isNear(colour(0, 0), wanted) && Math.max(...colour(-0.46, -0.46)) === 0;
}"""


def block() -> NDArray[np.uint8]:
    """What another maker's segment covers: a block of 10 x 20 pixels on nine slices."""
    mask = np.zeros((21, 48, 64), np.uint8)
    mask[6:15, 8:18, 10:30] = 1
    return mask


def segmentation(
    name: str, mask: NDArray[Any], label: str = "Block", kind: str = "BINARY", **more: Any
) -> Dataset:
    """Another maker's segmentation of the phantom."""
    part = described(1, label, segmented_property_type=codes.SCT.Bone)
    return segmented(copied(), mask, kind, part, series_description=name, **more)


def structures(name: str) -> Dataset:
    """Another maker's structure: a square of 20 mm about the phantom's middle on five slices."""
    slices = copied()
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    made.SeriesInstanceUID, made.StudyInstanceUID = generate_uid(), COPIED
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.Modality, made.SeriesDescription, made.StructureSetLabel = "RTSTRUCT", name, "Set"
    made.PatientName, made.PatientID = slices[0].PatientName, slices[0].PatientID
    made.FrameOfReferenceUID = slices[0].FrameOfReferenceUID
    roi, shape = Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = 1, name, "MANUAL"
    roi.ReferencedFrameOfReferenceUID = slices[0].FrameOfReferenceUID
    shape.ReferencedROINumber, shape.ROIDisplayColor = 1, [0, 255, 0]
    shape.ContourSequence = []
    for z in range(-8, 9, 4):
        outline = Dataset()
        outline.ContourGeometricType, outline.NumberOfContourPoints = "CLOSED_PLANAR", 4
        outline.ContourData = [
            value for x, y in ((-10, -10), (10, -10), (10, 10), (-10, 10)) for value in (x, y, z)
        ]
        shape.ContourSequence.append(outline)
    made.StructureSetROISequence, made.ROIContourSequence = [roi], [shape]
    return made


def asked(site: ReadingSite, path: str, **more: object) -> bytes:
    headers = {"Authorization": site.credentials, **more.pop("headers", {})}  # type: ignore[dict-item]
    request = urllib.request.Request(site.address + path, headers=headers, **more)  # type: ignore[arg-type]  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own site
        content: bytes = answer.read()
    return content


def sent(site: ReadingSite, made: Dataset) -> Dataset:
    headers = {"Content-Type": stow.related(), "Accept": stow.JSON}
    body = stow.parts((stow.DICOM, to_bytes(made)))
    asked(site, "/dicom-web/studies", data=body, headers=headers)
    return made


def pixels_of(content: bytes) -> NDArray[np.uint8]:
    theirs = highdicom.seg.Segmentation.from_dataset(dcmread(io.BytesIO(content)))
    found: NDArray[np.uint8] = theirs.get_pixels_by_source_instance(
        [f"{COPIED}.1.{number}" for number in range(1, 22)],
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )[..., 0]
    return found


def opened(site: ReadingSite, page: Page) -> ViewerPage:
    """The phantom with its pane, nothing drawn: tests share the site."""
    viewer = ViewerPage(page).open(site.viewer(COPIED))
    viewer.discard_segments()
    viewer.button(_PANE)
    return viewer


def test_a_segmentation_from_elsewhere_is_edited_as_a_copy(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    first, second = f"Block {uuid4().hex[:8]}", f"Edited {uuid4().hex[:8]}"
    before = sent(reading_site, segmentation(first, block()))
    file = f"/dicom-web/studies/{COPIED}/series/{before.SeriesInstanceUID}/instances/"
    as_it_came = asked(reading_site, f"{file}{before.SOPInstanceUID}/metadata")
    page = new_page()
    viewer = opened(reading_site, page)
    pane = page.get_by_role("complementary", name=_PANE)
    volume = pane.locator("output.volume")
    expect(pane.locator("article", has_text=first)).to_be_visible()
    # What other runs have stored in this study is put away.
    others = pane.locator("article").filter(has_not_text=first).get_by_role("checkbox")
    for number in range(others.count()):
        others.nth(number).uncheck()
    viewer.button(f"Edit a copy of {first}")
    whole = f"{np.count_nonzero(block()) * _VOXEL_ML:.1f} ml"
    expect(volume).to_have_text(whole)
    expect(pane.get_by_label("Name of segment 1")).to_have_value("Block")
    expect(pane.get_by_label("What Block is")).to_have_value("source")
    # The copy lies over a slice that it is on, the original is put away, the brush is in the hand.
    expect(pane.locator("article", has_text=first).get_by_label("Show Block")).not_to_be_checked()
    expect(page.get_by_role("button", name="Brush", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(page.locator("canvas.over-pictures").first).to_have_attribute("data-layers", "1")
    place = int(viewer.number("image-index"))
    assert block()[place].any()
    viewer.drag((0.7, 0.7), (0.7, 0.7))
    expect(volume).not_to_have_text(whole)
    more = volume.inner_text()
    # Stroke by stroke, and at last the copy itself, is undone and done again.
    viewer.press("Control+z")
    expect(volume).to_have_text(whole)
    viewer.press("Control+z")
    expect(volume).to_have_count(0)
    viewer.press("Control+y")
    expect(volume).to_have_text(whole)
    viewer.press("Control+y")
    expect(volume).to_have_text(more)
    # Another copy does not mix with this one.
    viewer.button(f"Edit a copy of {first}")
    expect(page.locator("[data-notice=segments]")).to_contain_text("Show the segments first")
    expect(pane.locator(".save-state")).to_have_text("Saved")
    pane.get_by_label("Name of the series").fill(second)
    with page.expect_response("**/segments/store/") as stored:
        viewer.button("Store as DICOM SEG")
    after = dcmread(
        io.BytesIO(
            asked(reading_site, f"/api/v1/dicom/image/{stored.value.json()['image_id']}/file")
        )
    )
    # Shown again, as a new series that names the one before.
    listed = pane.locator("article", has_text=second)
    expect(listed.locator(".volume")).to_have_text(more)
    expect(listed.get_by_label("Show Block")).to_be_checked()
    expect(volume).to_have_count(0)
    expect(page.locator("canvas.over-pictures").first).to_have_attribute("data-layers", "1")
    assert after.SeriesInstanceUID != before.SeriesInstanceUID
    assert after.SourceImageSequence[-1].ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert after.SegmentSequence[0].TrackingUID == before.SegmentSequence[0].get(
        "TrackingUID", after.SegmentSequence[0].TrackingUID
    )
    found = pixels_of(to_bytes(after))
    drawn = found != block()
    assert found[block() == 1].all()
    # A disc of radius 8 about the press, on the slice that was shown alone.
    assert set(np.nonzero(drawn)[0]) == {place}
    assert np.count_nonzero(drawn) == pytest.approx(np.pi * 8**2, rel=0.05)
    assert asked(reading_site, f"{file}{before.SOPInstanceUID}/metadata") == as_it_came


def test_why_a_segmentation_cannot_be_edited_is_said(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    name = f"Shares {uuid4().hex[:8]}"
    sent(
        reading_site,
        segmentation(
            name, block() * np.float32(0.5), kind="FRACTIONAL",
            fractional_type="PROBABILITY",
        ),
    )  # fmt: skip
    page = new_page()
    viewer = opened(reading_site, page)
    viewer.button(f"Edit a copy of {name}")
    expect(page.locator("[data-notice=segments]")).to_contain_text(
        "This segmentation is fractional"
    )
    expect(page.locator("output.volume")).to_have_count(0)


def test_segments_and_structures_stand_in_planes_and_in_the_volume(
    reading_site: ReadingSite, new_page: NewPage
) -> None:
    label, outlined = f"Solid {uuid4().hex[:8]}", f"Outline {uuid4().hex[:8]}"
    mask = block()
    # It crosses the middle of the volume, where the planes of MPR do.
    mask[8:13, 20:30, 25:40] = 1
    sent(reading_site, segmentation(label, mask, label))
    sent(reading_site, structures(outlined))
    page = new_page()
    viewer = opened(reading_site, page)
    pane = page.get_by_role("complementary", name=_PANE)
    expect(pane.get_by_label(f"Show {label}")).to_be_checked()
    expect(pane.get_by_label(f"Show {outlined}")).to_be_checked()
    viewer.button("MPR")
    for number in range(3):
        named = page.locator("noctis-viewport").nth(number).locator(".segments-legend")
        expect(named).to_contain_text(label)
        expect(named).to_contain_text(outlined)
    viewer.button("3D")
    bar = page.get_by_role("group", name="3D", exact=True)
    bar.get_by_label("3D preset").select_option("segments")
    bar.locator("summary", has_text="Segments").click()
    # What other tests have stored in this study stands at the same place: it is put away.
    listed = bar.locator(".solids li")
    for number in range(listed.count()):
        listed.nth(number).get_by_role("checkbox").set_checked(
            label in listed.nth(number).inner_text()
        )
    bar.get_by_label("Opacity of segments").fill("1")
    bar.locator("summary", has_text="Segments 1/").click()
    colour = bar.locator(".solids li", has_text=label).locator("rect").get_attribute("fill") or ""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    viewer.press("t")
    # A block of 40 x 36 mm in its colour in the middle of the picture, and nothing in its corner.
    page.wait_for_function(_LOOK, arg=wanted)
    bar.locator("summary", has_text="Segments 1/").click()
    bar.get_by_role("checkbox", name=label).uncheck()
    page.wait_for_function(_LOOK, arg=[0, 0, 0])
    # The list in the pane is the same one.
    expect(pane.get_by_label(f"Show {label}")).not_to_be_checked()
    viewer.press("t")
