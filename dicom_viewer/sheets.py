"""Pictures of a study on paper: the view on the screen, or a sheet of many."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
from django.utils import timezone
from PIL import Image

from archive import access, audit, retrieve
from archive.access import Actor
from archive.errors import InvalidInputError, NotFoundError
from archive.rendering import Form, Rendering
from dicom_viewer import services
from dicom_viewer.results import drawn_of
from imaging.errors import InvalidViewError
from imaging.measured import outline, words
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
    drawings = services.drawings_of(study) if body.with_drawings else []
    tiles = []
    for picture in body.pictures:
        image = images.get(picture.image_id)
        if image is None or image.series.study_id != study.pk:
            raise NotFoundError("The study has no such image.")
        tiles.append(_tile(image, picture, drawings))
    layout = Layout(
        rows=body.rows,
        columns=body.columns,
        paper=body.paper,
        is_landscape=body.is_landscape,
        is_true_size=body.is_true_size,
    )
    form: SheetForm = body.form
    try:
        return draw_sheet(tiles, _heading(study), _foot(actor), layout, form)
    except InvalidViewError as error:
        raise InvalidInputError(str(error)) from error


def _tile(image: DicomImage, picture: PictureBody, drawings: Iterable[AnyDrawing]) -> Tile:
    rendering = Rendering(
        Form.PNG,
        window_center=picture.window_center,
        window_width=picture.window_width,
        invert=picture.invert,
        width=_LARGEST_WIDTH if (image.columns or 0) > _LARGEST_WIDTH else None,
    )
    made = retrieve.frame(image, picture.frame_number, rendering)
    pixels = np.asarray(Image.open(io.BytesIO(made.content)).convert("RGB"))
    shrunk = pixels.shape[1] / (image.columns or pixels.shape[1])
    spacing = _spacing(image, picture.frame_number)
    orientation = tuple(picture.orientation)
    if orientation not in ORIENTATIONS:
        raise InvalidInputError("'orientation' is a quarter turn or mirroring: [1, 0, 0, 1].")
    return Tile(
        pixels=pixels,
        caption=_caption(image, picture),
        spacing_mm=None if spacing is None else (spacing[0] / shrunk, spacing[1] / shrunk),
        orientation=orientation,
        strokes=tuple(
            _stroke(drawing, image, shrunk)
            for drawing in drawings
            if drawing.image_id == image.pk and drawing.frame_number == picture.frame_number
        ),
    )


def _spacing(image: DicomImage, frame_number: int) -> tuple[float, float] | None:
    """Return the spacing of the patient's pixels in mm: of the frame, else of the object."""
    frames = image.value("frames")
    found = frames[frame_number - 1].get("PixelSpacing") if frames else None
    found = found or image.value("PixelSpacing") or image.value("ImagerPixelSpacing")
    if not found or len(found) != 2 or min(found) <= 0:
        return None
    return float(found[0]), float(found[1])


def _caption(image: DicomImage, picture: PictureBody) -> str:
    series = image.series
    parts = [
        f"{series.modality} series {series.series_number}"
        if series.series_number is not None
        else series.modality,
        series.series_description,
        f"image {image.instance_number}" if image.instance_number is not None else "",
        f"frame {picture.frame_number}" if image.number_of_frames > 1 else "",
    ]
    if picture.window_width is not None:
        parts.append(f"W {picture.window_width:g} L {picture.window_center:g}")
    return " · ".join(filter(None, parts))


def _stroke(drawing: AnyDrawing, image: DicomImage, shrunk: float) -> Stroke:
    drawn = drawn_of(drawing, {image.sop_instance_uid: image})
    kind, points = outline(drawn)
    if kind == "ELLIPSE":
        points = tuple(_around(points))
    text = " ".join(filter(None, (drawn.label, *map(words, drawn.values[:1]))))
    return Stroke(tuple((c * shrunk, r * shrunk) for c, r in points), text=text)


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


def _foot(actor: Actor) -> str:
    return f"Printed {timezone.localtime():%Y-%m-%d %H:%M} by {actor.name} · NoctisPro PACS"
