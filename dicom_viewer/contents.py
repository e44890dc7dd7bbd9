"""What objects without pictures hold, read from their files for a page: reports, PDF, waveforms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from django.urls import reverse

from archive import access, audit
from archive.access import Actor
from archive.errors import PermanentError, UndecodableError
from archive.stores import instances
from blobs import BlobMissingError
from dicom_viewer import traces
from imaging.encapsulated import Document, read_pdf
from imaging.errors import ImagingError, UnsupportedError
from imaging.report import Item, Reference, Report, read_report
from imaging.waveform import read_waveform
from worklist.models import DicomImage

T = TypeVar("T")

_MOST_FILE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Link:
    """A reference of a report; without an address its instance is not here or not ours to see."""

    name: str
    frames: str
    sop_instance_uid: str
    image: DicomImage | None
    address: str


@dataclass(frozen=True, slots=True)
class Line:
    """An item of a report as the page writes it."""

    item: Item
    links: list[Link]

    @property
    def level(self) -> int:
        """Which heading it is, below the page's own."""
        return min(self.item.depth + 1, 6)

    @property
    def indent(self) -> int:
        """How far it is moved in: what nests deeper than people follow is not moved further."""
        return min(self.item.depth, 8)


def open_document(actor: Actor, image_id: UUID, *, how: str) -> DicomImage:
    """Return an instance whose contents somebody reads: recorded before anything is given out.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    image = access.image_for(actor.scope, image_id)
    audit.record(actor, "image.read", image.series.study, image=str(image.pk), how=how)
    return image


def report_of(actor: Actor, image: DicomImage) -> tuple[Report, list[Line]]:
    """Return a structured report, with the addresses of what it refers to; one query.

    Raises
    ------
    UndecodableError
        When the file holds none, or not one that can be read.
    """
    report = read_file(image, read_report)
    named = {ref.sop_instance_uid for item in report.items for ref in item.references}
    found = access.images_named(actor.scope, image.facility_id, named)
    lines = [
        Line(item, [_link(reference, found) for reference in item.references])
        for item in report.items
    ]
    return report, lines


def pdf_of(image: DicomImage) -> Document:
    """Return the PDF that an instance carries.

    Raises
    ------
    UndecodableError
    """
    return read_file(image, read_pdf)


def traces_of(image: DicomImage) -> traces.Sheet:
    """Return a waveform, drawn.

    Raises
    ------
    UndecodableError
    """
    return traces.draw(read_file(image, read_waveform))


def read_file(image: DicomImage, reader: Callable[[bytes], T]) -> T:
    """Return what `reader` makes of an instance's file, whose digest is checked.

    Raises
    ------
    UndecodableError
        When the reader refuses it, in words.
    PermanentError
        When the file is gone or not what was stored.
    """
    if image.size_bytes > _MOST_FILE_BYTES:
        raise UndecodableError("The file is too large to be shown. Download it.")
    try:
        with instances().open(image.storage_key) as handle:
            content = handle.read(_MOST_FILE_BYTES + 1)
    except BlobMissingError as error:
        raise PermanentError(str(error)) from error
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise PermanentError(
            "The stored file has changed since it came and is not given out. Tell your "
            "administrator to run verify_storage."
        )
    try:
        return reader(content)
    except UnsupportedError as error:
        raise UndecodableError(str(error)) from error
    except ImagingError as error:
        raise UndecodableError(f"The file cannot be read. {error}") from error


def _link(reference: Reference, found: dict[str, DicomImage]) -> Link:
    image = found.get(reference.sop_instance_uid)
    frames = reference.frame_numbers
    words = ""
    if frames:
        words = f"frame{'' if len(frames) == 1 else 's'} " + ", ".join(map(str, frames[:20]))
    address = ""
    if image is not None:
        viewer = reverse("dicom_viewer:viewer", args=[image.series.study_id])
        address = f"{viewer}?image={image.pk}&frame={frames[0] if frames else 1}"
    return Link(reference.name, words, reference.sop_instance_uid, image, address)
