"""Pictures on paper: whose they are, how large they are, and what does not fit."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from archive import access
from archive.access import Actor
from archive.errors import InvalidInputError, NotFoundError
from archive.models import AuditEvent
from dicom_viewer import services, sheets
from dicom_viewer.bodies import DrawingBody, SheetBody
from imaging.sheet import DPI, ORIENTATIONS, oriented
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def square(**keywords: Any) -> Dataset:
    """A white square of 20 x 40 pixels on black, right of and above the middle."""
    pixels = np.zeros((100, 120), np.uint8)
    pixels[10:30, 70:110] = 255
    return make_instance(pixels, **keywords)


def stored(facility: Facility, **keywords: Any) -> DicomImage:
    result = factories.store_bytes(to_bytes(square(**keywords)), facility)
    return access.image_for(access.EVERYTHING, result.image_id)


def printed(actor: Actor, image: DicomImage, **more: Any) -> Image.Image:
    content = sheets.print_sheet(actor, image.series.study_id, body_of(image, **more))
    return Image.open(io.BytesIO(content))


def body_of(image: DicomImage, count: int = 1, **more: Any) -> SheetBody:
    picture = {"image_id": str(image.pk), "window_center": 128, "window_width": 256}
    picture |= more.pop("picture", {})
    return SheetBody.model_validate({"pictures": [picture] * count, "form": "png"} | more)


def white_box(page: Image.Image, bright: int = 127) -> tuple[int, int, int, int]:
    """Where the square lies: white inside of the picture's black."""
    # Without the foot, where a black rule is.
    grey = np.asarray(page.convert("L"))[: int(page.height * 0.9)]
    dark = grey < 5
    rows, columns = np.flatnonzero(dark.mean(1) > 0.12), np.flatnonzero(dark.mean(0) > 0.12)
    top, left = rows[0], columns[0]
    inside = grey[top : rows[-1] + 1, left : columns[-1] + 1] > bright
    ys, xs = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return (xs[0] + left, ys[0] + top, xs[-1] + left + 1, ys[-1] + top + 1)


@pytest.mark.parametrize(
    "spacing", [(0.5, 0.5), (1.0, 0.5)], ids=["square pixels", "pixels twice as high as wide"]
)
def test_true_size_is_true(reader: Actor, facility: Facility, spacing: tuple[float, float]) -> None:
    page = printed(reader, stored(facility, PixelSpacing=list(spacing)), is_true_size=True)
    assert page.size == (round(210 / 25.4 * DPI), round(297 / 25.4 * DPI))
    assert page.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
    left, top, right, bottom = white_box(page)
    assert (right - left) / DPI * 25.4 == pytest.approx(40 * spacing[1], abs=0.5)
    assert (bottom - top) / DPI * 25.4 == pytest.approx(20 * spacing[0], abs=0.5)


def test_true_size_is_not_guessed(reader: Actor, facility: Facility) -> None:
    with pytest.raises(InvalidInputError, match="not known"):
        printed(reader, stored(facility), is_true_size=True)
    with pytest.raises(InvalidInputError, match="does not fit"):
        printed(reader, stored(facility, PixelSpacing=[9, 9]), is_true_size=True)


def test_a_picture_lies_as_on_the_screen(reader: Actor, facility: Facility) -> None:
    image = stored(facility)
    upright = white_box(printed(reader, image))
    turned = white_box(printed(reader, image, picture={"orientation": [0, -1, 1, 0]}))
    assert upright[2] - upright[0] > upright[3] - upright[1]
    assert turned[2] - turned[0] < turned[3] - turned[1]
    # A quarter turn to the right brings what was at the right to the lower edge.
    page = printed(reader, image, picture={"orientation": [0, -1, 1, 0]})
    assert turned[0] > page.width / 2
    assert turned[1] > page.height / 2


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS), ids=str)
def test_every_orientation_maps_directions(orientation: tuple[int, int, int, int]) -> None:
    a, b, c, d = orientation
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    shown = oriented(pixels, orientation)
    centre_in, centre_out = ((3 - 1) / 2, (4 - 1) / 2), tuple((n - 1) / 2 for n in shown.shape)
    for row in range(3):
        for column in range(4):
            x, y = column - centre_in[1], row - centre_in[0]
            right, down = a * x + b * y + centre_out[1], c * x + d * y + centre_out[0]
            assert shown[int(down), int(right)] == pixels[row, column]


def test_drawings_go_along(reader: Actor, facility: Facility) -> None:
    image = stored(facility)
    before = printed(reader, image)
    services.create_drawing(
        reader,
        image.series.study_id,
        DrawingBody.model_validate(
            {"kind": "ellipse", "SeriesInstanceUID": image.series.series_instance_uid,
             "SOPInstanceUID": image.sop_instance_uid, "points": [[10, 50], [60, 90]],
             "value": 7, "unit": "px2"}
        ),
    )  # fmt: skip
    after = printed(reader, image)
    yellow = np.all(np.abs(np.asarray(after).astype(int) - (255, 215, 94)) < 30, axis=-1)
    assert yellow.sum() > 200
    without = printed(reader, image, with_drawings=False)
    assert np.array_equal(np.asarray(before)[: before.height - 200],
                          np.asarray(without)[: before.height - 200])  # fmt: skip


def test_a_pdf_has_the_pages_it_takes(reader: Actor, facility: Facility, tmp_path: Path) -> None:
    image = stored(facility)
    body = body_of(image, count=5, rows=2, columns=2, form="pdf", paper="A3", is_landscape=True)
    content = sheets.print_sheet(reader, image.series.study_id, body)
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") == 2
    with pytest.raises(InvalidInputError, match="choose PDF"):
        sheets.print_sheet(
            reader, image.series.study_id, body_of(image, count=5, rows=2, columns=2)
        )
    assert AuditEvent.objects.filter(verb="study.export", detail__how="print").count() == 2


Box = tuple[int, int, int, int]


def box_of(actor: Actor, image: DicomImage, **picture: Any) -> Box:
    """Left, top, right and bottom of a picture on its sheet: where it is printed in black."""
    black = {"window_center": 1e6, "window_width": 1, "invert": False}
    grey = np.asarray(printed(actor, image, picture=picture | black).convert("L"))
    dark = grey < 5
    rows, columns = np.flatnonzero(dark.mean(1) > 0.5), np.flatnonzero(dark.mean(0) > 0.1)
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def inside(page: Image.Image, box: Box, right: float, down: float) -> tuple[int, ...]:
    """The colour at a place of the picture, as shares of its width and height."""
    place = (box[0] + right * (box[2] - box[0]), box[1] + down * (box[3] - box[1]))
    value = page.convert("RGB").getpixel((int(place[0]), int(place[1])))
    assert isinstance(value, tuple)
    return value


def ramp(facility: Facility, **keywords: Any) -> DicomImage:
    """Columns of 0 to 240, rows all alike."""
    pixels = np.repeat(np.arange(0, 241, 2, np.uint8)[None], 100, axis=0)
    result = factories.store_bytes(to_bytes(make_instance(pixels, **keywords)), facility)
    return access.image_for(access.EVERYTHING, result.image_id)


@pytest.mark.parametrize(
    ("picture", "grey"),
    [
        # A value of 180 at three quarters of the width (PS3.3 C.11.2.1.2 and C.11.2.1.3).
        ({"window_center": 180, "window_width": 100, "window_function": "LINEAR_EXACT"}, 127.5),
        ({"window_center": 205, "window_width": 100, "window_function": "LINEAR_EXACT"}, 63.75),
        ({"window_center": 205, "window_width": 100, "window_function": "SIGMOID"}, 68.6),
        ({"window_center": 205, "window_width": 100, "invert": True}, 191),
    ],
    ids=["middle", "lower quarter", "sigmoid", "inverted"],
)
def test_a_picture_is_as_bright_as_on_the_screen(
    reader: Actor, facility: Facility, picture: dict[str, Any], grey: float
) -> None:
    image = ramp(facility)
    page = printed(reader, image, picture=picture)
    assert inside(page, box_of(reader, image), 0.75, 0.3)[0] == pytest.approx(grey, abs=4)


def test_the_part_that_is_seen_is_printed(reader: Actor, facility: Facility) -> None:
    image = stored(facility)
    # Twice the square's size, with the square in its upper half.
    region = [70, 10, 40, 40]
    page, box = (
        printed(reader, image, picture={"region": region}),
        box_of(reader, image, region=region),
    )
    assert box[2] - box[0] == pytest.approx(box[3] - box[1], abs=2)
    assert inside(page, box, 0.1, 0.4) == inside(page, box, 0.9, 0.1) == (255, 255, 255)
    assert inside(page, box, 0.1, 0.6) == inside(page, box, 0.9, 0.9) == (0, 0, 0)
    # What reaches beyond the picture takes no paper.
    left, top, right, bottom = box_of(reader, image, region=[-500, 10, 1120, 20])
    assert (right - left) / (bottom - top) == pytest.approx(120 / 20, rel=0.02)
    with pytest.raises(InvalidInputError, match="outside"):
        printed(reader, image, picture={"region": [500, 500, 10, 10]})


def test_the_chosen_table_is_printed(reader: Actor, facility: Facility) -> None:
    def table(values: list[int]) -> Dataset:
        item = Dataset()
        item.LUTDescriptor = [256, 0, 8]
        item.LUTData = bytes(values)
        return item

    dark, bright = [10] * 255 + [255], [200] * 255 + [255]
    instance = square(VOILUTSequence=[table(dark), table(bright)])
    result = factories.store_bytes(to_bytes(instance), facility)
    image = access.image_for(access.EVERYTHING, result.image_id)
    own = {"window_center": None, "window_width": None}
    box = box_of(reader, image)
    for number, grey in ((0, 10), (1, 200)):
        page = printed(reader, image, picture=own | {"voi_lut": number})
        assert inside(page, box, 0.3, 0.6)[0] == pytest.approx(grey, abs=2)
    with pytest.raises(InvalidInputError, match="2 VOI LUTs"):
        printed(reader, image, picture=own | {"voi_lut": 2})


def test_loss_is_marked(reader: Actor, facility: Facility) -> None:
    def yellow(image: DicomImage) -> int:
        left, top, _, _ = box_of(reader, image)
        page = np.asarray(printed(reader, image).convert("RGB"))
        corner = page[top : top + 60, left : left + 120].astype(int)
        return int((np.abs(corner - (255, 215, 94)).max(-1) < 30).sum())

    assert yellow(stored(facility)) == 0
    lossy = stored(facility, LossyImageCompression="01", LossyImageCompressionRatio=12)
    assert yellow(lossy) > 50


def test_the_patients_sides_are_marked(reader: Actor, facility: Facility) -> None:
    def bright(image: DicomImage, **picture: Any) -> int:
        left, top, _, bottom = box_of(reader, stored(facility))
        middle = (top + bottom) // 2
        page = np.asarray(printed(reader, image, picture=picture).convert("L"))
        return int((page[middle - 20 : middle + 20, left : left + 30] > 200).sum())

    assert bright(stored(facility)) == 0
    image = stored(facility, ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    # An R has more ink than an L.
    assert bright(image) > bright(image, orientation=[-1, 0, 0, 1]) > 10


def test_what_only_the_browser_draws_comes_from_the_screen(
    reader: Actor, facility: Facility
) -> None:
    out = io.BytesIO()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(out, "PNG")
    drawn = base64.b64encode(out.getvalue()).decode()
    page = printed(
        reader, stored(facility), picture={"drawn": drawn, "edges": ["R", "H", "L", "F"]}
    )
    middle = page.convert("RGB").getpixel((page.width // 2, page.height // 2))
    assert middle == pytest.approx((200, 30, 30), abs=2)
    with pytest.raises(InvalidInputError, match="not known"):
        printed(reader, stored(facility), picture={"drawn": drawn}, is_true_size=True)


@pytest.mark.parametrize(
    "drawn",
    ["!", "", base64.b64encode(b"no picture").decode()],
    ids=["no base64", "nothing", "no picture"],
)
def test_what_is_no_picture_from_the_screen(reader: Actor, facility: Facility, drawn: str) -> None:
    with pytest.raises(InvalidInputError, match="a PNG in base64"):
        printed(reader, stored(facility), picture={"drawn": drawn})


def test_only_pictures_of_the_patient_are_printed(reader: Actor, facility: Facility) -> None:
    image, prior = stored(facility), stored(facility)
    stranger = stored(facility, PatientID="SOMEBODY-ELSE")
    page = sheets.print_sheet(reader, image.series.study_id, body_of(prior))
    assert page.startswith(b"\x89PNG")
    exported = AuditEvent.objects.filter(verb="study.export").values_list("target_id", flat=True)
    assert {str(image.series.study_id), str(prior.series.study_id)} == set(exported)
    with pytest.raises(NotFoundError):
        sheets.print_sheet(reader, image.series.study_id, body_of(stranger))
    with pytest.raises(InvalidInputError, match="quarter turn"):
        printed(reader, image, picture={"orientation": [1, 1, 0, 1]})
