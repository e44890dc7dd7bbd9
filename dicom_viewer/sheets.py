"""Pictures of a study on paper: the view on the screen, or a sheet of many."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from django.utils import timezone
from numpy.typing import NDArray
from PIL import Image

from archive import access, audit, patients, retrieve
from archive.access import Actor
from archive.errors import InvalidInputError, NotFoundError
from archive.rendering import LARGEST_WIDTH, Form, Rendering
from dicom_viewer import services
from dicom_viewer.results import drawn_of
from imaging.edges import edge_letters
from imaging.errors import InvalidViewError
from imaging.measured import outline, words
from imaging.render import pixel_height
from imaging.sheet import ORIENTATIONS, Layout, SheetForm, Stroke, Tile, draw_sheet
from worklist.models import DicomImage, Study

if TYPE_CHECKING:
    from dicom_viewer.bodies import PictureBody, SheetBody
    from dicom_viewer.services import AnyDrawing

_LARGEST_WIDTH = 2048
_OUTLINE_STEPS = 72


def print_sheet(actor: Actor, study_id: UUID, body: SheetBody) -> bytes:
    """Draw pictures of a study onto paper, with whose they are.

    Raises
    ------
    NotFoundError, ForbiddenError
    InvalidInputError
        When they do not fit, or their true size is not known; the message says what to do.
    UndecodableError
        When a picture cannot be shown.
    """
    study = access.study_for(actor.scope, study_id)
    audit.record(actor, "study.export", study, how="print", pictures=len(body.pictures))
    images = access.images_for(actor.scope, {one.image_id for one in body.pictures})
    mine = _studies_of_the_patient(actor, study, images.values())
    drawings = {one.pk: services.drawings_of(one) for one in mine} if body.with_drawings else {}
    tiles = []
    for picture in body.pictures:
        image = images.get(picture.image_id)
        if image is None or image.series.study not in mine:
            raise NotFoundError("The patient has no such image.")
        caption = _caption(image, picture, is_prior=image.series.study_id != study.pk)
        if picture.drawn is not None:
            pixels = _from_screen(picture.drawn)
            tiles.append(Tile(pixels=pixels, caption=caption, edges=picture.edges))
        else:
            its = drawings.get(image.series.study_id, [])
            tiles.append(_tile(image, picture, caption, its))
    layout = Layout(
        rows=body.rows,
        columns=body.columns,
        paper=body.paper,
        is_landscape=body.is_landscape,
        is_true_size=body.is_true_size,
    )
    form: SheetForm = body.form
    try:
        return draw_sheet(tiles, _heading(study), _foot(actor, form), layout, form)
    except InvalidViewError as error:
        raise InvalidInputError(str(error)) from error


def _studies_of_the_patient(
    actor: Actor, study: Study, images: Iterable[DicomImage]
) -> list[Study]:
    """Return the study, and those of the same patient whose pictures stand beside its own."""
    others = {image.series.study_id: image.series.study for image in images}
    others.pop(study.pk, None)
    if not others:
        return [study]
    ids = patients.group_ids(study.patient_id)
    priors = [other for other in others.values() if other.patient_id in ids]
    for prior in priors:
        audit.record(actor, "study.export", prior, how="print beside another study")
    return [study, *priors]


def _tile(
    image: DicomImage, picture: PictureBody, caption: str, drawings: Iterable[AnyDrawing]
) -> Tile:
    columns, rows = image.columns or 1, image.rows or 1
    left, top, right, bottom = _seen(picture, columns, rows)
    # As many pixels of what is seen as paper shows, not of all that there is.
    width = round(columns * min(1.0, _LARGEST_WIDTH / (right - left)))
    rendering = Rendering(
        Form.PNG,
        window_center=picture.window_center,
        window_width=picture.window_width,
        window_function=picture.window_function if picture.window_width is not None else None,
        voi_lut=picture.voi_lut,
        invert=picture.invert,
        width=width if width < columns and width <= LARGEST_WIDTH else None,
    )
    made = retrieve.frame(image, picture.frame_number, rendering)
    pixels = np.asarray(Image.open(io.BytesIO(made.content)).convert("RGB"))
    shrunk = pixels.shape[1] / columns
    box = [
        math.floor(left * shrunk),
        math.floor(top * shrunk),
        math.ceil(right * shrunk),
        math.ceil(bottom * shrunk),
    ]
    spacing = _spacing(image, picture.frame_number)
    orientation = tuple(picture.orientation)
    if orientation not in ORIENTATIONS:
        raise InvalidInputError("'orientation' is a quarter turn or mirroring: [1, 0, 0, 1].")
    axes = _of_frame(image, picture.frame_number, "ImageOrientationPatient")
    return Tile(
        pixels=pixels[box[1] : box[3], box[0] : box[2]],
        caption=caption,
        spacing_mm=None if spacing is None else (spacing[0] / shrunk, spacing[1] / shrunk),
        pixel_height=pixel_height(image.display),
        orientation=orientation,
        strokes=tuple(
            _stroke(drawing, image, shrunk, (box[0], box[1]))
            for drawing in drawings
            if drawing.image_id == image.pk and drawing.frame_number == picture.frame_number
        ),
        marks=tuple(_marks(image, picture)),
        edges=edge_letters(axes, image.value("PatientOrientation"), orientation),
    )


def _seen(picture: PictureBody, columns: int, rows: int) -> tuple[float, float, float, float]:
    """Return what is seen of a picture: left, top, right and lower edge in its pixels."""
    if picture.region is None:
        return 0, 0, columns, rows
    left, top, width, height = picture.region
    right, bottom = min(left + width, columns), min(top + height, rows)
    left, top = max(left, 0.0), max(top, 0.0)
    if right - left < 1 or bottom - top < 1:
        raise InvalidInputError(
            f"'region' lies outside the picture of {columns} x {rows} pixels. "
            "Move the picture into the viewport, or leave 'region' out."
        )
    return left, top, right, bottom


def _from_screen(drawn: str) -> NDArray[np.uint8]:
    """Read a picture that the browser drew."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(drawn, validate=True)), formats=["PNG"]) as png:
            if max(png.size) > LARGEST_WIDTH:
                raise InvalidInputError(f"'drawn' is at most {LARGEST_WIDTH} pixels wide and high.")
            return np.asarray(png.convert("RGB"))
    except (ValueError, OSError, SyntaxError) as error:
        raise InvalidInputError("'drawn' is a PNG in base64.") from error


def _marks(image: DicomImage, picture: PictureBody) -> Iterator[str]:
    """Yield what the picture is not, in the words of the viewer."""
    if image.is_lossy:
        yield "Lossy"
    if picture.invert:
        yield "Inverted"


def _of_frame(image: DicomImage, frame_number: int, key: str) -> Any:  # noqa: ANN401 - of JSON
    """Return a value of the frame, else of the object."""
    frames = image.value("frames")
    return (frames[frame_number - 1].get(key) if frames else None) or image.value(key)


def _spacing(image: DicomImage, frame_number: int) -> tuple[float, float] | None:
    """Return the spacing of the patient's pixels in mm: of the frame, else of the object."""
    found = _of_frame(image, frame_number, "PixelSpacing") or image.value("ImagerPixelSpacing")
    if not found or len(found) != 2 or min(found) <= 0:
        return None
    return float(found[0]), float(found[1])


def _caption(image: DicomImage, picture: PictureBody, *, is_prior: bool) -> str:
    series, study = image.series, image.series.study
    parts = [
        f"study of {study.study_date or 'no date'}" if is_prior else "",
        f"{series.modality} series {series.series_number}"
        if series.series_number is not None
        else series.modality,
        picture.caption or series.series_description,
    ]
    if picture.drawn is not None:
        return " · ".join(filter(None, [*parts, "as drawn on the screen"]))
    parts += [
        f"image {image.instance_number}" if image.instance_number is not None else "",
        f"frame {picture.frame_number}" if image.number_of_frames > 1 else "",
    ]
    if picture.window_width is not None:
        parts.append(f"W {picture.window_width:g} L {picture.window_center:g}")
    if image.is_lossy:
        # First: what is too long loses its end.
        parts.insert(0, "LOSSY COMPRESSED")
    return " · ".join(filter(None, parts))


def _stroke(
    drawing: AnyDrawing, image: DicomImage, shrunk: float, corner: tuple[int, int]
) -> Stroke:
    drawn = drawn_of(drawing, {image.sop_instance_uid: image})
    kind, points = outline(drawn)
    if kind == "ELLIPSE":
        points = tuple(_around(points))
    text = " ".join(filter(None, (drawn.label, *map(words, drawn.values[:1]))))
    placed = tuple((c * shrunk - corner[0], r * shrunk - corner[1]) for c, r in points)
    return Stroke(placed, text=text)


def _around(points: tuple[tuple[float, float], ...]) -> Iterable[tuple[float, float]]:
    one, other, above, below = points
    center = ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2)
    first = ((other[0] - one[0]) / 2, (other[1] - one[1]) / 2)
    second = ((below[0] - above[0]) / 2, (below[1] - above[1]) / 2)
    for step in range(_OUTLINE_STEPS + 1):
        turn = step / _OUTLINE_STEPS * 2 * math.pi
        yield (
            center[0] + math.cos(turn) * first[0] + math.sin(turn) * second[0],
            center[1] + math.cos(turn) * first[1] + math.sin(turn) * second[1],
        )


def _heading(study: Study) -> list[str]:
    name = study.patient_name.replace("^", " ").strip() or "No name"
    person = (
        name,
        f"ID {study.patient_identifier}" if study.patient_identifier else "no ID",
        f"born {study.patient_birth_date}" if study.patient_birth_date else "",
        study.patient_sex,
    )
    about = (
        str(study.study_date or "no date"),
        study.study_description,
        f"accession {study.accession_number}" if study.accession_number else "",
        study.facility.name,
    )
    return [" · ".join(filter(None, person)), " · ".join(filter(None, about))]


def _foot(actor: Actor, form: SheetForm) -> str:
    # Pictures within a PDF are JPEG as well.
    how = "" if form == "png" else " · this sheet is compressed with loss (JPEG)"
    return f"Printed {timezone.localtime():%Y-%m-%d %H:%M} by {actor.name} · NoctisPro PACS{how}"
