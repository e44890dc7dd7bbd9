"""How presentation states of a study want its images to be looked at, for the viewer.

What the viewer can set is told in its own terms; what it cannot is named, and the server draws it
(`state=` of the routes of pictures).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from archive import access, audit, drawing
from archive.access import Actor
from archive.errors import ArchiveError
from dicom_viewer.contents import read_file
from imaging.softcopy import SUPPORTED, DisplayedArea, FrameState, SoftcopyState, read_softcopy
from imaging.voi import Window
from worklist.models import DicomImage, Study

logger = logging.getLogger(__name__)

_MOST_STATES = 100
_MOST_FRAMES = 2000
# Shares by which pixels may differ in shape before somebody is told.
_SAME_SHAPE = 0.01


def presentations_on(actor: Actor, study_id: UUID) -> dict[str, Any]:
    """Return the presentation states of a study that the actor may see.

    Returns
    -------
    ``states``, each with its name, who made it, and for each image that it is for what it asks; one
    that cannot be read has a ``problem`` in words.

    Raises
    ------
    NotFoundError, ForbiddenError

    References
    ----------
    DICOM PS3.3 sections A.33 and C.10.4 to C.11.6; PS3.4 section N.2.
    """
    study = access.study_for(actor.scope, study_id)
    audit.record(actor, "measurement.list", study, how="presentations")
    rows = [
        image
        for series in study.series.filter(modality="PR").order_by("series_number")
        for image in series.images.select_related("series").order_by("instance_number")
        if image.sop_class_uid in SUPPORTED
    ]
    images = _images(study) if rows else {}
    return {
        "states": [_document(row, images) for row in rows[:_MOST_STATES]],
        "is_cut": len(rows) > _MOST_STATES,
    }


def _images(study: Study) -> dict[str, DicomImage]:
    return {
        image.sop_instance_uid: image
        for series in study.series.exclude(modality="PR")
        for image in series.images.all()
        if image.has_pixels
    }


def _document(row: DicomImage, images: dict[str, DicomImage]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "image_id": str(row.pk),
        "SOPInstanceUID": row.sop_instance_uid,
        "SeriesNumber": row.series.series_number,
        "SeriesDescription": row.series.series_description,
        "InstanceNumber": row.instance_number,
        "problem": None,
        "images": [],
    }
    try:
        state = read_file(row, read_softcopy)
        looks = list(_looks(state, images))
    except ArchiveError as error:
        logger.info("The presentation state %s is not told: %s", row.sop_instance_uid, error)
        return {**document, "problem": str(error)}
    return {**document, "images": looks}


def _looks(state: SoftcopyState, images: dict[str, DicomImage]) -> Iterator[dict[str, Any]]:
    """Yield what a state asks of each image; of each frame where they may differ."""
    left = _MOST_FRAMES
    for reference in state.references:
        image = images.get(reference.sop_instance_uid)
        if image is None:
            continue
        each = [reference.frame_numbers]
        if state.is_by_frame:
            numbers = reference.frame_numbers or range(1, image.number_of_frames + 1)
            each = [(number,) for number in numbers]
        for frames in each[:left]:
            said = state.for_frame(image.sop_instance_uid, frames[0] if frames else 1)
            if said is not None:
                left -= 1
                yield _look(image, frames, said)


def _look(image: DicomImage, frames: tuple[int, ...], said: FrameState) -> dict[str, Any]:
    number = frames[0] if frames else 1
    own = drawing.presentation_of(image, number)
    window = None if said.is_colour else _window(image, number, said)
    return {
        "SOPInstanceUID": image.sop_instance_uid,
        "frame_numbers": list(frames),
        "window": window and {
            "center": window.center, "width": window.width, "function": window.function,
        },
        # Polarity is the state's alone; the viewer turns what the image has by itself.
        "invert": not said.is_colour and said.is_inverted != own.is_inverted,
        "rotation": 90 * said.turns,
        "is_flipped": said.is_flipped,
        "area": said.area and _area(said.area),
        "not_applied": _not_applied(said, own.pixel_height),
    }  # fmt: skip


def _area(area: DisplayedArea) -> dict[str, Any]:
    return {
        "left": area.left,
        "top": area.top,
        "width": area.width,
        "height": area.height,
        "mode": area.size_mode,
        "magnification": area.magnification,
        "pixel_width_mm": area.pixel_width_mm,
    }


def _window(image: DicomImage, number: int, said: FrameState) -> Window | None:
    """Return the state's window in the image's own modality values; None: it is a table's matter.

    A state brings its own rescale: none at all means that its window is one of stored values.
    """
    own = drawing.presentation_of(image, number)
    if said.modality_lut is not None or own.modality_lut is not None or said.voi_lut is not None:
        return None
    if said.window is not None:
        share = own.slope / said.slope
        center = (said.window.center - said.intercept) * share + own.intercept
        width = said.window.width * abs(share)
        return Window.of(center, width, said.window.function) if share > 0 else None
    bits = image.bits_stored or 0
    if not 1 <= bits <= 16:
        return None
    low = -(1 << bits - 1) if image.pixel_representation == 1 else 0
    ends = sorted(value * own.slope + own.intercept for value in (low, low + (1 << bits) - 1))
    return Window.of((ends[0] + ends[1]) / 2, max(ends[1] - ends[0], 1e-9), "LINEAR_EXACT")


def _not_applied(said: FrameState, own_height: float) -> list[str]:
    """Name what the viewer does not set, and the server draws."""
    height = said.area.pixel_height if said.area is not None else None
    named = {
        "modality-lut": said.modality_lut,
        "voi-lut": said.voi_lut,
        "presentation-lut": said.presentation_lut,
        "palette": said.palette,
        "shutter": said.shutter,
        "overlays": said.activations or None,
        "subtraction": said.masks or None,
        "pixel-shape": (height and abs(height / own_height - 1) > _SAME_SHAPE) or None,
    }
    return [name for name, value in named.items() if value is not None]
