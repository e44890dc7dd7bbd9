"""The frames of a series as a volume is made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from archive import retrieve
from archive.errors import InvalidInputError
from imaging.errors import ImagingError
from imaging.voi import frame_display
from imaging.volume import Slice, VolumePlan, plan_volume
from worklist.models import DicomImage, Series

_MOST_FRAMES = 4096


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stored image, with its own display facts."""

    image: DicomImage
    number: int
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """The frames of a series in the order of their places, and how they make a volume.

    Attributes
    ----------
    digest : changes when the series does
    """

    frames: list[Frame]
    plan: VolumePlan
    digest: str

    @property
    def size_bytes(self) -> int:
        """How much its voxels are."""
        geometry = self.plan.geometry
        itemsize = retrieve.facts_of(self.frames[0].image).dtype.itemsize
        return geometry.rows * geometry.columns * len(self.frames) * itemsize


def source_of(series: Series) -> Source:
    """Return the volume that a series makes.

    Raises
    ------
    InvalidInputError
        With a sentence that says why it makes none.
    """
    frames = list(_frames(series))
    if len(frames) > _MOST_FRAMES:
        raise InvalidInputError(
            f"This series has {len(frames)} pictures; at most {_MOST_FRAMES} make a volume here."
        )
    try:
        plan = plan_volume([_slice(frame) for frame in frames])
    except ImagingError as error:
        raise InvalidInputError(str(error)) from error
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(f"{frame.image.sha256} {frame.number}\n".encode())
    return Source([frames[index] for index in plan.order], plan, digest.hexdigest())


def _frames(series: Series) -> Iterator[Frame]:
    rows = DicomImage.objects.filter(series=series).select_related("series__study")
    for image in rows.order_by("pk"):
        if not image.has_pixels or retrieve.transport(image) is None:
            continue
        display = image.display | retrieve.values(image)
        for index in range(max(1, image.number_of_frames)):
            yield Frame(image, index + 1, frame_display(display, index))


def _slice(frame: Frame) -> Slice:
    image, facts = frame.image, frame.facts
    slope, intercept = facts.get("RescaleSlope"), facts.get("RescaleIntercept")
    is_grey = image.samples_per_pixel == 1 and image.photometric_interpretation != "PALETTE COLOR"
    return Slice(
        rows=image.rows or 0,
        columns=image.columns or 0,
        samples=1 if is_grey else 3,
        position=facts.get("ImagePositionPatient"),
        orientation=facts.get("ImageOrientationPatient"),
        pixel_spacing=facts.get("PixelSpacing"),
        slope=float(slope) if slope else 1.0,
        intercept=float(intercept) if intercept is not None else 0.0,
        dtype="uint16" if retrieve.values(image) else retrieve.facts_of(image).dtype.name,
    )
