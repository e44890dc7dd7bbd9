"""Offline images and the studies that they make, as JSON."""

from __future__ import annotations

import hashlib
from typing import BinaryIO
from urllib.parse import quote
from uuid import UUID

from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from archive import access, audit, image_links, resumable
from archive.access import Actor
from archive.errors import InvalidInputError, NotFoundError
from fastapi_app import gate
from fastapi_app.services import dicom_processor, viewing
from orders import services as orders
from radiology import offline, pictures, receipts
from radiology.grouping import Document, grouped
from radiology.models import OfflineImage, OfflineState
from radiology.offline import Announcement
from worklist.models import DicomImage

_UID = "A DICOM UID, or a UUID, which becomes its 2.25. form."


class MetadataBody(BaseModel):
    """What a sender says of an image: its UIDs, and what a JPEG or PNG cannot say itself."""

    model_config = ConfigDict(extra="allow")

    study_uid: str = Field(max_length=128, description=_UID)
    series_uid: str = Field(max_length=128, description=_UID)
    image_uid: str = Field(max_length=128, description=_UID)
    visit_id: str = Field(default="", max_length=64, description="The patient record's name.")
    consultation_id: str = Field(default="", max_length=64)


class AnnouncementBody(BaseModel):
    """An image that is to come."""

    image_uuid: UUID = Field(description="The sender's own name for the image.")
    radiology_order_id: UUID | int | str | None = Field(
        description="The order's id, or its accession number. null with a facility: DICOM alone."
    )
    facility: str = Field(
        default="",
        max_length=64,
        description="The code of whose it becomes where it is for no order.",
    )
    deidentify: bool = Field(
        default=False,
        description="DICOM without an order: stored de-identified (PS3.15 Annex E), with new UIDs.",
    )
    filename: str = Field(min_length=1, max_length=1024)
    file_size: int = Field(ge=1, description="Bytes.")
    mime_type: str = Field(description="application/dicom, image/jpeg or image/png.")
    checksum: str = Field(description="SHA-256 of the file, in hex.")
    image_metadata: MetadataBody


class AcknowledgeBody(BaseModel):
    """The image that is asked about."""

    image_uuid: UUID


EXAMPLE = {
    "image_uuid": "550e8400-e29b-41d4-a716-446655440000",
    "radiology_order_id": "0197f0c4-0000-7000-8000-000000000000",
    "filename": "chest_xray.dcm",
    "file_size": 1048576,
    "mime_type": "application/dicom",
    "checksum": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "image_metadata": {
        "study_uid": "1.2.3.4",
        "series_uid": "1.2.3.4.1",
        "image_uid": "1.2.3.4.1.1",
    },
}
_APART = {"study_uid", "series_uid", "image_uid", "visit_id", "consultation_id"}


def announce(actor: Actor, body: AnnouncementBody) -> Document:
    """Take note of an image that is to come."""
    said = body.image_metadata
    row = offline.declare(
        actor,
        Announcement(
            image_uuid=body.image_uuid,
            radiology_order_id=_order_text(body),
            facility=body.facility,
            deidentify=body.deidentify,
            filename=body.filename,
            file_size=body.file_size,
            mime_type=body.mime_type,
            checksum=body.checksum.strip(),
            study_uid=said.study_uid,
            series_uid=said.series_uid,
            image_uid=said.image_uid,
            image_metadata=said.model_dump(exclude=_APART),
            visit_id=said.visit_id,
            consultation_id=said.consultation_id,
        ),
    )
    return _document(row)


def _order_text(body: AnnouncementBody) -> str:
    text = "" if body.radiology_order_id is None else str(body.radiology_order_id).strip()
    if not text and (body.radiology_order_id is not None or not body.facility):
        raise InvalidInputError(
            "'radiology_order_id' is empty. Name the order; for DICOM without one send null, and "
            "the code of its facility in 'facility'."
        )
    return text


def store(actor: Actor, image_uuid: str, stream: BinaryIO) -> Document:
    """Store the file of an announced image."""
    row, warning = offline.attach(actor, _uuid(image_uuid), stream)
    return _document(row) | {"warning": warning or None}


def store_uploaded(actor: Actor, image_uuid: str, upload: str) -> Document:
    """Store the file of an announced image that came in pieces before; again, it says the same.

    Parameters
    ----------
    upload : address or id of the upload, complete and begun with `Upload-Concat: partial`
    """
    try:
        upload_id = UUID(upload.rstrip("/").rpartition("/")[2])
    except ValueError:
        raise NotFoundError("'upload' names no upload of this site.") from None
    image = offline.image_for(actor, _uuid(image_uuid))
    try:
        with resumable.whole_part(actor, upload_id) as stream:
            return store(actor, image_uuid, stream)
    except NotFoundError:
        if image.state == OfflineState.METADATA_UPLOADED:
            raise
        return _document(image)  # its answer was lost: the pieces are gone because it is stored


def acknowledge(actor: Actor, body: AcknowledgeBody) -> Document:
    """Say that an image is safe here."""
    row = offline.acknowledge(actor, body.image_uuid)
    return _document(row)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInputError("Send the image's UUID in the field 'image_uuid'.") from None


def _document(row: OfflineImage) -> Document:
    is_announced = row.state == OfflineState.METADATA_UPLOADED
    image = None if is_announced else pictures.image_of(row)
    document: Document = {
        "image_uuid": str(row.image_uuid),
        "status": row.state,
        "radiology_order_id": str(row.order_id) if row.order_id else None,
        "filename": row.filename,
        "file_size": row.file_size,
        "checksum": row.checksum,
        "study_uid": row.study_uid,
        "series_uid": row.series_uid,
        "image_uid": row.image_uid,
        "deidentified": row.is_deidentified,
        # Not where it was deleted here afterwards.
        "safe_to_delete": row.state == OfflineState.ACK_RECEIVED and image is not None,
    }
    if not is_announced:
        document |= {
            "file_key": row.file_key,
            "id": str(image.pk) if image else None,
            "study_id": str(image.series.study_id) if image else None,
            "series_id": str(image.series_id) if image else None,
        }
    if row.state == OfflineState.ACK_RECEIVED and row.acknowledged_at is not None:
        document |= {
            "acknowledged_at": row.acknowledged_at.isoformat(),
            "receipt": row.receipt,
        }
    return document


def state(actor: Actor, text: str) -> Document:
    """Return how far an image is."""
    try:
        image_uuid = UUID(text)
    except ValueError:
        raise NotFoundError("No image was announced by this 'image_uuid'.") from None
    return _document(offline.image_for(actor, image_uuid))


def keys() -> Document:
    """Return the public keys by which receipts are checked."""
    return {"purpose": receipts.PURPOSE, "keys": receipts.keys()}


def viewer_url(actor: Actor, study: str, origin: str) -> Document:
    """Return where a study opens in the viewer."""
    return viewing.of_study(actor, study, origin)


def images(actor: Actor, text: str) -> Document:
    """Return a study with its series and images."""
    study = gate.study_for(actor, text)
    order = next(iter(orders.orders_of_study(study)), None)
    return grouped(study, order)


def image_url(actor: Actor, text: str, origin: str) -> Document:
    """Return where an image's file is fetched."""
    image = gate.image_for(actor, text)
    url = f"{origin}/api/v1/radiology/images/{image.pk}/content/"
    document: Document = {
        "url": url,
        "expires_at": None,
        "expires_in": None,
        "id": str(image.pk),
        "image_uid": image.sop_instance_uid,
    }
    if settings.RADIOLOGY_SIGNED_URLS:
        link = image_links.link_to(actor, image)
        document |= {
            "url": f"{url}?{image_links.PARAMETER}={quote(link.text, safe='')}",
            "expires_at": link.expires_at.isoformat(),
            "expires_in": link.expires_in_s,
        }
    audit.record(actor, "image.link", image, expires_at=document["expires_at"])
    return document


def content(actor: Actor, text: str) -> Response:
    """Return an image's file: the DICOM object, or the JPEG or PNG that it came as."""
    image = access.image_for(actor.scope, access.parse_key(text, what="image"))
    found = _picture_of(image)
    if found is None:
        return dicom_processor.file(str(image.pk), "", None)(actor)
    sent, picture = found
    gate.note_view(actor, image.series.study)
    audit.record(actor, "image.download", image)
    return Response(
        picture,
        media_type=sent.mime_type,
        headers={
            "content-disposition": f"inline; filename*=UTF-8''{quote(sent.filename, safe='')}",
            "cache-control": "private, no-store",
            "vary": "Cookie, Authorization",
        },
    )


def _picture_of(image: DicomImage) -> tuple[OfflineImage, bytes] | None:
    """Return the JPEG or PNG that an image came as, where it did and is whole."""
    rows = OfflineImage.objects.filter(image=image).exclude(mime_type=offline.DICOM)
    for row in rows.exclude(state=OfflineState.METADATA_UPLOADED):
        picture = pictures.original(row, image)
        if picture is not None and hashlib.sha256(picture).hexdigest() == row.checksum:
            return row, picture
    return None


def owner_of_link(link: str, text: str, address: str | None) -> Actor:
    """Return whose link an address carries.

    Raises
    ------
    ForbiddenError, NotFoundError
    """
    try:
        key = UUID(text)
    except ValueError:
        raise NotFoundError("There is no such image.") from None
    return image_links.actor_of(link, key, address=address)
