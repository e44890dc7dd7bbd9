"""Files that come in pieces, and go on after a lost connection or a restart.

A row says how many bytes are safe; they lie in a file of its own in the store's folder `uploads`. A
piece counts when it is synced and its checksum is right: then the row is told, and the sender is
answered. What lies in the file behind that is cut off by the next piece. A lock on the file keeps
two senders of one upload apart, whichever process serves them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from archive import access, audit, jobs, outbox, runner, spool
from archive.access import Actor
from archive.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotDicomError,
    NotFoundError,
    TooLargeError,
)
from archive.models import ResumableUpload, UploadState
from blobs.filesystem import sync_folder
from worklist.models import Facility

FINISH_JOB = "upload.finish"
CHECKSUMS = ("sha1", "sha256", "md5")
_EXPIRE_JOB = "upload.expire"
_CHECKPOINT_BYTES = 64 * 2**20
_COPY_BYTES = 8 * 2**20
_MOST_PARTS = 100
_OVER = (UploadState.STORED, UploadState.FAILED)


class ChecksumError(InvalidInputError):
    """A piece is not what its sender says; none of it counts."""


class BusyError(ConflictError):
    """Another request writes to this upload."""


def path_of(upload_id: UUID) -> Path:
    """Return where the bytes of an upload lie."""
    root: Path = settings.DICOM_ROOT
    return root / "uploads" / f"{upload_id}.part"


# Begun and looked at ------------------------------------------------------------------------------


def create(
    actor: Actor,
    facility: Facility,
    length: int,
    fields: Mapping[str, str],
    *,
    is_part: bool = False,
) -> ResumableUpload:
    """Begin an upload.

    Parameters
    ----------
    length : of the whole file, bytes
    fields : what the sender says of it; kept as it is
    is_part : whether it is to be joined with others

    Raises
    ------
    ForbiddenError
        When the actor may not upload, or is no person.
    TooLargeError
        Past `settings.MAX_ARCHIVE_BYTES`.
    ConflictError
        When the person has too many unfinished ones.
    """
    user_id = _require_uploader(actor, facility)
    if length > settings.MAX_ARCHIVE_BYTES:
        raise TooLargeError(f"The file is larger than {settings.MAX_ARCHIVE_BYTES} bytes.")
    open_ones = ResumableUpload.objects.filter(user=user_id, state=UploadState.RECEIVING)
    if open_ones.count() >= settings.MOST_RESUMABLE_UPLOADS:
        raise ConflictError(
            f"You have {settings.MOST_RESUMABLE_UPLOADS} unfinished uploads. Finish or delete some."
        )
    row = ResumableUpload(
        user_id=user_id,
        facility=facility,
        length=length,
        fields=dict(fields),
        is_part=is_part,
        expires_at=_expiry(),
    )
    path = path_of(row.pk)
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(path.parent.parent)
        path.touch(mode=0o600, exist_ok=False)
        sync_folder(path.parent)
    except OSError as error:
        raise spool.disk_refuses(error) from error
    with transaction.atomic():
        row.save(force_insert=True)
        if not length:
            _completed(row)
    return row


def _require_uploader(actor: Actor, facility: Facility) -> UUID:
    if not actor.can_upload or actor.user_id is None:
        raise ForbiddenError("Your role does not allow uploads. Ask an administrator.")
    if not actor.scope.includes(facility.pk):
        raise ForbiddenError(f"You may not upload for {facility.name}. Ask an administrator.")
    return actor.user_id


def _expiry() -> Any:  # noqa: ANN401 - a moment
    return timezone.now() + timedelta(hours=settings.RESUMABLE_RETENTION_HOURS)


def upload_for(actor: Actor, upload_id: UUID) -> ResumableUpload:
    """Return an upload of the actor's own.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    row = ResumableUpload.objects.select_related("facility").filter(pk=upload_id).first()
    if row is None or (row.state == UploadState.RECEIVING and row.expires_at <= timezone.now()):
        raise NotFoundError("There is no such upload; it may have expired. Begin a new one.")
    if row.user_id != actor.user_id:
        raise ForbiddenError("This upload is somebody else's.")
    return row


# Pieces -------------------------------------------------------------------------------------------


class Appending:
    """One request that adds to an upload; made by :func:`append`.

    Methods run in one thread at a time. `finish` or `keep` is called once, then `close`.
    """

    def __init__(
        self, row: ResumableUpload, descriptor: int, checksum: tuple[str, bytes] | None
    ) -> None:
        self._row = row
        self._descriptor = descriptor
        self._checksum = checksum
        self._digest = hashlib.new(checksum[0], usedforsecurity=False) if checksum else None
        self._at = row.offset

    def write(self, piece: bytes) -> None:
        """Write a piece behind what came before.

        Raises
        ------
        TooLargeError
            When it goes past the announced length; nothing of it counts.
        StoreUnavailableError
            When the disk takes no more.
        """
        if self._at + len(piece) > self._row.length:
            raise TooLargeError("More bytes came than the upload's length says.")
        if self._digest is not None:
            self._digest.update(piece)
        spool.write_all(self._descriptor, piece)
        self._at += len(piece)
        if self._checksum is None and self._at - self._row.offset >= _CHECKPOINT_BYTES:
            self.keep()

    def keep(self) -> None:
        """Let what came so far count, where no checksum is owed for it."""
        if self._checksum is None and self._at > self._row.offset:
            self._count()

    def finish(self) -> ResumableUpload:
        """Let the whole request count; the last one has the file stored.

        Raises
        ------
        ChecksumError
        """
        is_right = (
            self._checksum is None
            or self._digest is None
            or self._digest.digest() == self._checksum[1]
        )
        if not is_right:
            raise ChecksumError("The checksum of this piece is wrong. Send the piece again.")
        self._count()
        return self._row

    def _count(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise spool.disk_refuses(error) from error
        row = self._row
        with transaction.atomic():
            moved = ResumableUpload.objects.filter(
                pk=row.pk, offset=row.offset, state=UploadState.RECEIVING
            ).update(offset=self._at, expires_at=_expiry())
            if not moved:
                raise ConflictError("The upload was ended or continued elsewhere. Ask how it is.")
            row.refresh_from_db()
            if row.offset == row.length and not row.is_part:
                _completed(row)
            else:
                _tell(row)

    def close(self) -> None:
        """Leave the upload to others; harmless twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def append(
    actor: Actor, upload_id: UUID, offset: int, *, checksum: tuple[str, bytes] | None = None
) -> Appending:
    """Go on with an upload.

    Parameters
    ----------
    offset : where the piece begins; what counted so far
    checksum : algorithm, one of `CHECKSUMS`, and digest of the whole request

    Raises
    ------
    NotFoundError, ForbiddenError
    ConflictError
        When the upload is not at this offset, is over, or another request writes to it.
    """
    _require_open(upload_for(actor, upload_id))
    try:
        descriptor = os.open(path_of(upload_id), os.O_RDWR)
    except FileNotFoundError:
        raise NotFoundError("The upload's bytes are gone. Begin a new one.") from None
    except OSError as error:
        raise spool.disk_refuses(error) from error
    try:
        row = _locked(actor, upload_id, descriptor, offset)
        os.ftruncate(descriptor, offset)
        os.lseek(descriptor, offset, os.SEEK_SET)
        return Appending(row, descriptor, checksum)
    except BaseException:
        os.close(descriptor)
        raise


def _require_open(row: ResumableUpload) -> None:
    if row.state != UploadState.RECEIVING:
        raise ConflictError("This upload is complete.")


def _locked(actor: Actor, upload_id: UUID, descriptor: int, offset: int) -> ResumableUpload:
    """Return the upload once its file is ours; the lock ends with the descriptor."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError("Another request writes to this upload. Try again soon.") from None
    # Asked now: who had the lock may have gone on.
    row = upload_for(actor, upload_id)
    _require_open(row)
    if row.offset != offset:
        raise ConflictError(f"The upload is at {row.offset} bytes, not at {offset}.")
    return row


def join(
    actor: Actor, facility: Facility, part_ids: Sequence[UUID], fields: Mapping[str, str]
) -> ResumableUpload:
    """Make one upload of complete parts, in their order; the parts are gone afterwards.

    Raises
    ------
    InvalidInputError
        Without parts, with too many, or when one is named twice.
    ConflictError
        When one is no part, not complete, or of another facility.
    """
    if not 0 < len(part_ids) <= _MOST_PARTS or len(set(part_ids)) != len(part_ids):
        raise InvalidInputError(f"Name 1 to {_MOST_PARTS} parts, each of them once.")
    parts = [upload_for(actor, part_id) for part_id in part_ids]
    for part in parts:
        if not part.is_part or part.offset != part.length:
            raise ConflictError("A part is not complete, or was not begun as a part.")
        if part.facility_id != facility.pk:
            raise ConflictError("The parts belong to another facility.")
    row = create(actor, facility, sum(part.length for part in parts), fields)
    if not row.length:
        _forget(parts)
        return row
    appending = append(actor, row.pk, 0)
    try:
        for part in parts:
            with path_of(part.pk).open("rb") as file:
                while piece := file.read(_COPY_BYTES):
                    appending.write(piece)
        row = appending.finish()
    except FileNotFoundError:
        raise NotFoundError("The bytes of a part are gone. Send it again.") from None
    finally:
        appending.close()
    _forget(parts)
    return row


@contextmanager
def whole_part(actor: Actor, part_id: UUID) -> Iterator[BinaryIO]:
    """Give a complete part to whoever stores it otherwise than as an upload of its own.

    It is gone when that went well, and when its bytes were wrong; else it may be asked for again.

    Raises
    ------
    NotFoundError, ForbiddenError
    ConflictError
        When it is no part, or not complete.
    """
    row = upload_for(actor, part_id)
    if not row.is_part or row.offset != row.length:
        raise ConflictError(
            "This upload is not complete, or was not begun with 'Upload-Concat: partial'."
        )
    try:
        file = path_of(row.pk).open("rb")
    except FileNotFoundError:
        raise NotFoundError("The upload's bytes are gone. Begin a new one.") from None
    with file:
        try:
            yield cast("BinaryIO", file)
        except (InvalidInputError, NotDicomError, TooLargeError):
            _forget([row])
            raise
    _forget([row])


# Ended --------------------------------------------------------------------------------------------


def _completed(row: ResumableUpload) -> None:
    """Have a whole file stored; in the transaction in which it became whole."""
    row.state = UploadState.PROCESSING
    row.save(update_fields=["state"])
    jobs.enqueue(FINISH_JOB, str(row.pk), upload_id=str(row.pk))
    _tell(row)


def processing(upload_id: UUID) -> ResumableUpload | None:
    """Return an upload that is to be stored; None when it was, or is gone."""
    rows = ResumableUpload.objects.select_related("facility", "user")
    return rows.filter(pk=upload_id, state=UploadState.PROCESSING).first()


def actor_of(row: ResumableUpload) -> Actor:
    """Return who sent an upload, with the rights that they have now."""
    return access.actor_of(row.user)


def end(row: ResumableUpload, result: Mapping[str, Any], *, is_stored: bool) -> None:
    """Say what became of an upload; its bytes go."""
    row.state = UploadState.STORED if is_stored else UploadState.FAILED
    row.result = dict(result)
    row.expires_at = _expiry()
    with transaction.atomic():
        row.save(update_fields=["state", "result", "expires_at"])
        _tell(row)
    path_of(row.pk).unlink(missing_ok=True)


def terminate(actor: Actor, upload_id: UUID) -> None:
    """Take an upload back; what was stored already stays.

    Raises
    ------
    NotFoundError, ForbiddenError
    ConflictError
        While it is being stored.
    """
    row = upload_for(actor, upload_id)
    if row.state == UploadState.PROCESSING:
        raise ConflictError("The upload is being stored now. Wait until it has ended.")
    with transaction.atomic():
        audit.record(actor, "upload.terminate", row.facility, state=row.state)
        row.delete()
    path_of(upload_id).unlink(missing_ok=True)


def _forget(rows: Sequence[ResumableUpload]) -> None:
    ids = [row.pk for row in rows]
    ResumableUpload.objects.filter(pk__in=ids).delete()
    for upload_id in ids:
        path_of(upload_id).unlink(missing_ok=True)


def _tell(row: ResumableUpload) -> None:
    outbox.record(
        outbox.UploadProgressed(
            user_id=row.user_id,
            upload_id=row.pk,
            state=str(row.state),
            offset=row.offset,
            length=row.length,
        )
    )


@runner.carer
def request_expiry() -> None:
    """Queue a round of :func:`expire` where something is due."""
    if _due().exists():
        jobs.enqueue(_EXPIRE_JOB, "due")


@jobs.handler(_EXPIRE_JOB)
def expire() -> None:
    """Forget uploads that nobody goes on with, and the results that waited long enough."""
    _forget(list(_due()[:500]))


def _due() -> Any:  # noqa: ANN401 - a query
    # What waits to be stored is kept until it was.
    states = (UploadState.RECEIVING, *_OVER)
    return ResumableUpload.objects.filter(expires_at__lte=timezone.now(), state__in=states)
