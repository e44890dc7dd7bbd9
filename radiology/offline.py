"""Images made without a connection: announced, handed in, acknowledged, each as often as needed.

Each step repeats without harm, because whoever has no connection often does not hear the answer.
A copy is safe to delete when a signed receipt says so: then the file was read again from the disk.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from archive import access, audit, damage, filetypes, ingest, spool, upload_log
from archive.access import Actor
from archive.errors import (
    ArchiveError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotDicomError,
    NotFoundError,
    PermanentError,
    TooLargeError,
)
from archive.ingest import IngestResult, Outcome, Provenance
from archive.spool import Spooled
from archive.upload import UploadOutcome, UploadResult, display_name
from imaging import capture, header, uid
from imaging.errors import ImagingError
from orders import arrivals, services
from orders.models import Order
from radiology import deidentified, pictures, receipts
from radiology.models import Consultation, OfflineImage, OfflineState, Visit
from worklist.models import DicomImage

DICOM = "application/dicom"
# What senders write for each kind.
_KINDS = {
    DICOM: DICOM,
    capture.JPEG: capture.JPEG,
    "image/jpg": capture.JPEG,
    capture.PNG: capture.PNG,
}
# A picture is taken apart in memory, of a process of its own.
MOST_PICTURE_BYTES = 64 * 2**20
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_ANNOUNCED = (
    "facility_id", "order_id", "filename", "file_size", "mime_type", "checksum", "study_uid",
    "series_uid", "image_uid", "image_metadata", "is_deidentified",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Announcement:
    """An image that is to come.

    Attributes
    ----------
    image_uuid : its sender's name for it
    radiology_order_id : our id of an order, or its accession number; empty: for no order, which
        DICOM alone can be, for it says itself whose it is
    file_size : bytes
    checksum : SHA-256 of the file in hex
    study_uid, series_uid, image_uid : DICOM UIDs, or UUIDs (PS3.5 B.2)
    image_metadata : what else the sender says of it
    visit_id, consultation_id : names that the patient's record has for them
    facility : the code of whose it becomes where it is for no order
    deidentify : nothing is stored that says whose it is
    """

    image_uuid: UUID
    radiology_order_id: str
    filename: str
    file_size: int
    mime_type: str
    checksum: str
    study_uid: str
    series_uid: str
    image_uid: str
    image_metadata: Mapping[str, Any] = field(default_factory=dict)
    visit_id: str = ""
    consultation_id: str = ""
    facility: str = ""
    deidentify: bool = False


# Announced ----------------------------------------------------------------------------------------


def declare(actor: Actor, announcement: Announcement) -> OfflineImage:
    """Take note of an image that is to come; the same again changes nothing.

    Raises
    ------
    NotFoundError, ForbiddenError
        For an order that is not there, or not the actor's to fulfil.
    InvalidInputError
        For values that cannot be; the message names the field.
    ConflictError
        When this image was announced with other values, or its study fulfils another order.
    """
    order = _order_of(actor, announcement)
    facility = access.facility_for_upload(
        actor, order.facility.code if order else announcement.facility
    )
    row = OfflineImage(
        image_uuid=announcement.image_uuid,
        facility=facility,
        order=order,
        user_id=actor.user_id,
        sent_by=actor.name[:150],
        image_metadata=dict(announcement.image_metadata),
        **_checked(announcement),
    )
    _require_plain(row.image_metadata)
    if announcement.deidentify:
        deidentified.hide(row)
    if row.mime_type != DICOM:
        # An object says all of this itself.
        pictures.check(row)
    known = OfflineImage.objects.filter(pk=row.pk).first()
    if known is None:
        if order is not None:
            arrivals.require_free(order, row.study_uid)
        try:
            with transaction.atomic():
                row.consultation = _context(order, announcement)
                row.save(force_insert=True)
                audit.record(
                    actor,
                    "offline.announce",
                    row,
                    order=str(order.pk) if order else None,
                    study_uid=row.study_uid,
                )
        except IntegrityError:
            # Announced twice at the same moment.
            known = OfflineImage.objects.filter(pk=row.pk).first()
            if known is None:
                raise
        else:
            return row
    _require_mine(actor, known)
    if any(getattr(known, name) != getattr(row, name) for name in _ANNOUNCED):
        raise ConflictError(
            "This image was announced before with other values, and what was announced does not "
            "change. Announce another file under another image_uuid."
        )
    return known


def _order_of(actor: Actor, announcement: Announcement) -> Order | None:
    """Return the order that is named; None where an object comes for a facility alone."""
    if announcement.radiology_order_id:
        return order_for(actor, announcement.radiology_order_id)
    if _KINDS.get(announcement.mime_type.strip().lower()) in (capture.JPEG, capture.PNG):
        raise InvalidInputError(
            "A JPEG or PNG does not say whose it is: name its order in 'radiology_order_id'."
        )
    return None


def order_for(actor: Actor, text: str) -> Order:
    """Return an order by our id, or by its accession number.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    try:
        return services.order_for(actor.scope, UUID(text))
    except ValueError:
        pass
    rows = Order.objects.select_related("facility", "patient").filter(accession_number=text[:64])
    mine = list(actor.scope.filter(rows)[:2]) if text else []
    if len(mine) == 1:
        return mine[0]
    if mine:
        raise InvalidInputError(
            "Several orders have this accession number: name yours by its id in "
            "'radiology_order_id'."
        )
    raise NotFoundError(
        "There is no such order. 'radiology_order_id' is the order's id or accession number."
    )


def _checked(announcement: Announcement) -> dict[str, Any]:
    kind = _KINDS.get(announcement.mime_type.strip().lower())
    if kind is None:
        raise InvalidInputError(f"'mime_type' is one of {', '.join(_KINDS)}.")
    if not _SHA256.fullmatch(announcement.checksum):
        raise InvalidInputError("'checksum' is the file's SHA-256: 64 hexadecimal digits.")
    if announcement.file_size < 1:
        raise InvalidInputError("'file_size' is the number of bytes, at least 1.")
    most = settings.MAX_INSTANCE_BYTES if kind == DICOM else MOST_PICTURE_BYTES
    if announcement.file_size > most:
        raise TooLargeError(f"The file is larger than {most} bytes, the most this archive takes.")
    values: dict[str, Any] = {
        "filename": display_name(announcement.filename),
        "file_size": announcement.file_size,
        "mime_type": kind,
        "checksum": announcement.checksum.lower(),
    }
    for name in ("study_uid", "series_uid", "image_uid"):
        try:
            values[name] = uid.from_text(getattr(announcement, name).strip(), f"'{name}'")
        except ImagingError as error:
            raise InvalidInputError(str(error)) from error
    if len({values[name] for name in ("study_uid", "series_uid", "image_uid")}) < 3:
        raise InvalidInputError("'study_uid', 'series_uid' and 'image_uid' must differ.")
    return values


def _require_plain(metadata: Mapping[str, Any]) -> None:
    """Refuse what Python reads as JSON and databases do not."""
    try:
        json.dumps(metadata, allow_nan=False)
    except ValueError as error:
        raise InvalidInputError(
            "'image_metadata' holds a number that JSON does not have (NaN or Infinity)."
        ) from error


def _context(order: Order | None, announcement: Announcement) -> Consultation | None:
    """Return the consultation that is named; in the transaction that announces."""
    visit_id, consultation_id = (
        _name("visit_id", announcement.visit_id),
        _name("consultation_id", announcement.consultation_id),
    )
    if not visit_id:
        if consultation_id:
            raise InvalidInputError("A 'consultation_id' needs its 'visit_id'.")
        return None
    if order is None:
        raise InvalidInputError("A 'visit_id' needs its order: name it in 'radiology_order_id'.")
    visit, _ = Visit.objects.get_or_create(
        facility=order.facility, identifier=visit_id, defaults={"patient": order.patient}
    )
    if None not in (visit.patient_id, order.patient_id) and visit.patient_id != order.patient_id:
        raise ConflictError("The visit is another patient's than the order.")
    consultation, _ = visit.consultations.get_or_create(
        # An order without a conversation belongs to the visit itself.
        identifier=consultation_id or visit_id
    )
    consultation.orders.add(order)
    return consultation


def _name(field_name: str, text: str) -> str:
    text = text.strip()
    if len(text) > 64 or (text and not text.isprintable()):
        raise InvalidInputError(f"'{field_name}' is a text of at most 64 characters.")
    return text


def image_for(actor: Actor, image_uuid: UUID) -> OfflineImage:
    """Return what was announced, for whoever may hand it in.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    rows = OfflineImage.objects.select_related("facility", "order__facility", "order__patient")
    row = rows.filter(pk=image_uuid).first()
    if row is None:
        raise NotFoundError(
            "No image was announced by this 'image_uuid'. Upload its metadata first."
        )
    _require_mine(actor, row)
    return row


def _require_mine(actor: Actor, row: OfflineImage) -> None:
    if not actor.scope.includes(row.facility_id):
        raise ForbiddenError("This image belongs to a facility that is not yours.")
    if not actor.can_upload:
        raise ForbiddenError("Your role does not allow uploads. Ask an administrator.")


# Handed in ----------------------------------------------------------------------------------------


def attach(actor: Actor, image_uuid: UUID, stream: BinaryIO) -> tuple[OfflineImage, str]:
    """Store the file of an announced image; the same again changes nothing.

    Parameters
    ----------
    stream : the file, at its beginning

    Returns
    -------
    the image, durably stored, and a warning: empty where file and order agree

    Raises
    ------
    ConflictError
        Before its metadata; when other bytes are stored under one of its identities, or its study
        fulfils another order.
    InvalidInputError
        When size, checksum, kind or UIDs are not those that were announced; nothing was stored.
    NotDicomError, TooLargeError, DeletedError, ForbiddenError, StoreUnavailableError
    """
    try:
        row = image_for(actor, image_uuid)
    except NotFoundError as error:
        raise ConflictError(
            "The metadata come first: POST them to /api/v1/radiology/offline-images/"
            "upload-metadata/, then send this file again."
        ) from error
    try:
        with _spooled(row, stream) as spooled:
            _check_bytes(row, spooled)
            result = _store(actor, row, spooled)
    except ArchiveError as error:
        _log(actor, row, UploadResult(row.filename, UploadOutcome.REFUSED, str(error)))
        raise
    warning = ""
    if row.order is not None:
        warning = arrivals.link_sent(actor, row.order, result.study_id)
    if row.state == OfflineState.METADATA_UPLOADED:
        _stored(actor, row, result)
    return image_for(actor, image_uuid), warning


def _spooled(row: OfflineImage, stream: BinaryIO) -> Spooled:
    try:
        return spool.spool_chunks(
            iter(lambda: stream.read(spool.CHUNK_BYTES), b""),
            most_bytes=row.file_size,
            hashes=True,
        )
    except TooLargeError as error:
        if row.state != OfflineState.METADATA_UPLOADED:
            raise _other_bytes() from error
        raise InvalidInputError(
            f"More than the announced {row.file_size} bytes came. Nothing was stored."
        ) from error


def _check_bytes(row: OfflineImage, spooled: Spooled) -> None:
    if spooled.size_bytes == row.file_size and spooled.digest() == row.checksum:
        return
    if row.state != OfflineState.METADATA_UPLOADED:
        raise _other_bytes()
    if spooled.size_bytes != row.file_size:
        raise InvalidInputError(
            f"{spooled.size_bytes} bytes came, but {row.file_size} were announced. Nothing was "
            "stored; send the whole file again."
        )
    raise InvalidInputError(
        "The checksum of what came is not the announced one. Nothing was stored; send the file "
        "again."
    )


def _other_bytes() -> ConflictError:
    return ConflictError(
        "This image is stored already, with other bytes. Stored images never change: announce "
        "another file under another image_uuid and image_uid."
    )


def _store(actor: Actor, row: OfflineImage, spooled: Spooled) -> IngestResult:
    with spooled.path.open("rb") as handle:
        head = handle.read(filetypes.HEAD_BYTES)
    _check_kind(row, head)
    if row.order is not None:
        arrivals.require_free(row.order, row.study_uid)
    provenance = Provenance(
        facility=row.facility,
        source=f"offline image by {actor.name}",
        expected_study_instance_uid=row.study_uid,
        expected_sop_instance_uid=row.image_uid,
        is_demo=row.facility.is_demo,
    )
    if row.is_deidentified:
        with deidentified.made_of(row, spooled) as changed:
            result = ingest.ingest_instance(changed, provenance)
    elif row.mime_type == DICOM:
        _check_uids(row, spooled)
        result = ingest.ingest_instance(spooled, provenance)
    else:
        stored = pictures.stored(row)
        if stored is not None:
            return stored
        with pictures.as_dicom(row, spooled) as wrapped:
            result = ingest.ingest_instance(wrapped, provenance)
    if result.outcome is Outcome.CONFLICT:
        raise ConflictError(
            "Another image with this image_uid and other content is stored. This one was kept "
            "aside; an administrator decides. Keep your copy."
        )
    return result


def _check_kind(row: OfflineImage, head: bytes) -> None:
    found = capture.media_type_of(head)
    if row.mime_type != DICOM:
        if found != row.mime_type:
            _, words = filetypes.recognise(head)
            raise InvalidInputError(
                f"This is not {row.mime_type}, as was announced ({words or 'perhaps DICOM'}). "
                "Nothing was stored."
            )
        return
    _, words = filetypes.recognise(head)
    if words:
        raise NotDicomError(f"This is not DICOM, as was announced ({words}). Nothing was stored.")


def _check_uids(row: OfflineImage, spooled: Spooled) -> None:
    try:
        index = header.read_index(spooled.source)
    except ImagingError:
        return  # the ingest says in words what is wrong with it
    for name, announced, found in (
        ("study_uid", row.study_uid, index.study_instance_uid),
        ("series_uid", row.series_uid, index.series_instance_uid),
        ("image_uid", row.image_uid, index.sop_instance_uid),
    ):
        if announced != found:
            raise InvalidInputError(
                f"The file's own UID is {found}, but '{name}' was announced as {announced}. "
                "Nothing was stored; announce it with the UIDs of the file, as a new image_uuid."
            )


def _stored(actor: Actor, row: OfflineImage, result: IngestResult) -> None:
    image = pictures.image_of(row)
    if image is None:
        raise ConflictError("This image was deleted here as it came. Keep your copy.")
    sha256 = image.sha256
    with transaction.atomic():
        moved = OfflineImage.objects.filter(pk=row.pk, state=OfflineState.METADATA_UPLOADED).update(
            state=OfflineState.BINARY_UPLOADED,
            image=result.image_id,
            stored_sha256=sha256,
            stored_at=timezone.now(),
        )
        if moved:
            audit.record(actor, "offline.store", row, study=str(result.study_id))
    if moved:
        outcome = (
            UploadOutcome.STORED if result.outcome is Outcome.STORED else UploadOutcome.DUPLICATE
        )
        _log(actor, row, UploadResult(row.filename, outcome, instance=result))


def _log(actor: Actor, row: OfflineImage, result: UploadResult) -> None:
    upload_log.record_results(actor, row.facility_id, [result])


# Acknowledged -------------------------------------------------------------------------------------


def acknowledge(actor: Actor, image_uuid: UUID) -> OfflineImage:
    """Say that an image is safe here, and sign it; again, it says the same.

    The stored file is read from the disk and compared, each time.

    Raises
    ------
    ConflictError
        Before the file, or when it is not there any more.
    PermanentError
        When the stored file is damaged.
    NotFoundError, ForbiddenError
    """
    row = image_for(actor, image_uuid)
    if row.state == OfflineState.METADATA_UPLOADED:
        raise ConflictError(
            "Nothing was stored for this image yet. POST its file to /api/v1/radiology/"
            "offline-images/upload-binary/ first, and keep your copy."
        )
    image = pictures.image_of(row)
    if image is None:
        raise ConflictError(
            "This image was deleted here after it came. Keep your copy, and ask an administrator."
        )
    if image.sha256 != row.stored_sha256:
        raise ConflictError(
            "Another image stands in the place of this one: somebody decided so. Keep your copy, "
            "and ask an administrator."
        )
    if damage.look_at(image) is not None or not _is_as_sent(row, image):
        raise PermanentError(
            "The stored file is not what was sent. Keep your copy, and tell your administrator to "
            "run verify_storage."
        )
    if row.state != OfflineState.ACK_RECEIVED:
        at = timezone.now()
        receipt = receipts.issue(row, image, at)
        with transaction.atomic():
            moved = OfflineImage.objects.filter(
                pk=row.pk, state=OfflineState.BINARY_UPLOADED
            ).update(state=OfflineState.ACK_RECEIVED, acknowledged_at=at, receipt=receipt)
            if moved:
                audit.record(actor, "offline.acknowledge", row)
        row = image_for(actor, image_uuid)
    return row


def _is_as_sent(row: OfflineImage, image: DicomImage) -> bool:
    """Whether a picture is in its object, byte for byte; an object's own digest was compared."""
    if row.mime_type == DICOM:
        return True
    content = pictures.original(row, image)
    return content is not None and hashlib.sha256(content).hexdigest() == row.checksum
