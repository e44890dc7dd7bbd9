"""The one way in. Every door spools what it gets and calls :func:`ingest_instance`.

Order of durability: spool file, fdatasync, link into the layout without overwriting, fsync of the
folders, database commit with full synchronisation, then the answer. Where the process has a
journal (`blobs.journal`), its sync stands for the first four. The unique constraint on
(facility, SOP Instance UID) decides races, not a look beforehand: only where the layout already has
a file of this UID is the database asked first.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

from django.db import DatabaseError, IntegrityError, OperationalError, transaction

from archive import arrivals, database, deletions, meters, outbox, spool, stores
from archive.arrivals import Arrival, CommitUnknownError
from archive.catalogue import Placed
from archive.errors import (
    ArchiveError,
    ConflictError,
    InvalidInputError,
    NotDicomError,
    PermanentError,
    StoreUnavailableError,
    TooLargeError,
    TransientError,
)
from archive.models import InstanceConflict
from archive.spool import Spooled
from blobs import BlobError, BlobMissingError, BlobStoreUnavailableError, FileSystemStore, protocol
from blobs.journal import Entry
from imaging import errors as imaging_errors
from imaging import header, sameness
from imaging.header import InstanceIndex
from worklist.models import DicomImage, Facility

logger = logging.getLogger(__name__)

# From this size on the digest is computed while the disk works: handing over costs 0.05 ms.
_PARALLEL_BYTES = 128 * 1024
_disk = ThreadPoolExecutor(max_workers=16, thread_name_prefix="ingest-disk")


class Outcome(enum.Enum):
    """What became of an instance."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Whose an instance is and how it came.

    Attributes
    ----------
    facility : the sender's, decided before anything is read
    source : for people and logs, as `CT1 at 10.0.0.7` or `upload by anna`
    source_ae_title : calling AE title where there is one
    expected_sop_class_uid, expected_sop_instance_uid : what the C-STORE command said; the data set
        must agree (PS3.4 B.2.3: 0xA900 otherwise)
    expected_study_instance_uid : what the address of a web request said (PS3.18 10.5)
    expected_patient_id : Patient ID of the person whom the sender named beside the file
    """

    facility: Facility
    source: str
    source_ae_title: str = ""
    expected_sop_class_uid: str | None = None
    expected_sop_instance_uid: str | None = None
    expected_study_instance_uid: str | None = None
    expected_patient_id: str | None = None
    is_demo: bool = False


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What the door answers from."""

    outcome: Outcome
    image_id: UUID
    study_id: UUID
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    patient_id: str
    sop_class_uid: str = ""


def ingest_instance(
    spooled: Spooled, provenance: Provenance, *, index: InstanceIndex | None = None
) -> IngestResult:
    """Store one instance durably, once.

    Parameters
    ----------
    spooled : a Part 10 file in the spool; it is not removed here
    provenance : whose it is
    index : of this very file, where it was read already

    Returns
    -------
    IngestResult
        `STORED` after the commit; `DUPLICATE` for the same data set again (nothing changes);
        `CONFLICT` for other content under the same UID, which is kept aside.

    Raises
    ------
    InvalidInputError
        The file is not DICOM, cut off, or lacks a valid identity.
    ConflictError
        The file is another patient's than the one who was named; nothing was stored.
    DeletedError
        The instance, its series or its study was deleted here; nothing was stored.
    StoreUnavailableError
        Disk or database take nothing now; nothing was stored.
    """
    began, outcome = time.perf_counter(), "failed"
    try:
        result = _ingest(spooled, provenance, index)
        outcome = result.outcome.value
    except TransientError:
        outcome = "put_off"
        raise
    except ArchiveError:
        outcome = "refused"
        raise
    finally:
        took_s = time.perf_counter() - began
        meters.count_ingest(provenance.facility.code, outcome, spooled.size_bytes, took_s)
    return result


def _ingest(spooled: Spooled, provenance: Provenance, index: InstanceIndex | None) -> IngestResult:
    """Store one instance."""
    index = index or _read(spooled)
    _agree(index, provenance)
    _check_study(index, provenance.expected_study_instance_uid)
    _check_patient(index, provenance.expected_patient_id)
    canonical = header.part10_header(
        sop_class_uid=index.sop_class_uid,
        sop_instance_uid=index.sop_instance_uid,
        transfer_syntax_uid=index.transfer_syntax_uid,
    )
    with contextlib.ExitStack() as stack:
        file = spooled
        if not spool.starts_with(spooled, canonical):
            # Foreign preambles and meta groups are not kept: one header for every door.
            file = stack.enter_context(
                spool.rewrite_header(spooled, canonical, index.data_set_offset)
            )
            index = header.with_data_set_offset(index, len(canonical))
        try:
            return _store(file, index, provenance)
        except (BlobStoreUnavailableError, OperationalError, CommitUnknownError) as error:
            logger.exception("Cannot store %s", index.sop_instance_uid)
            raise StoreUnavailableError(
                "The archive cannot store now (disk or database). Send again later."
            ) from error
        except (BlobError, DatabaseError) as error:
            logger.exception("Cannot store %s", index.sop_instance_uid)
            raise PermanentError("The archive could not store this instance.") from error


def peek(spooled: Spooled) -> InstanceIndex | None:
    """Return the index of a file; None where `ingest_instance` will say what is wrong with it."""
    try:
        return header.read_index(spooled.source)
    except imaging_errors.ImagingError:
        return None


def _read(spooled: Spooled) -> InstanceIndex:
    try:
        return header.read_index(spooled.source)
    except imaging_errors.NotDicomError as error:
        raise NotDicomError(str(error)) from error
    except imaging_errors.LimitError as error:
        raise TooLargeError(str(error)) from error
    except imaging_errors.ImagingError as error:
        raise InvalidInputError(str(error)) from error


def _agree(index: InstanceIndex, provenance: Provenance) -> None:
    for what, expected, found in (
        ("SOP Class UID", provenance.expected_sop_class_uid, index.sop_class_uid),
        ("SOP Instance UID", provenance.expected_sop_instance_uid, index.sop_instance_uid),
    ):
        if expected is not None and expected != found:
            raise InvalidInputError(
                f"The {what} of the command ({expected}) is not that of the data set ({found})."
            )


def _check_study(index: InstanceIndex, expected: str | None) -> None:
    if expected is not None and expected != index.study_instance_uid:
        raise InvalidInputError(
            f"The instance belongs to study {index.study_instance_uid}, not to the one that the "
            "request names."
        )


def _check_patient(index: InstanceIndex, expected: str | None) -> None:
    if expected is not None and expected != (index.patient_id or ""):
        raise ConflictError(
            "The file carries another Patient ID than the patient who was named. Nothing was "
            "stored of it; correct the file first (POST /api/v1/dicom/modify-tags), or name its "
            "own patient."
        )


def _store(file: Spooled, index: InstanceIndex, provenance: Provenance) -> IngestResult:
    store = stores.instances()
    key = protocol.layout_key(index.sop_instance_uid)
    if store.has(key):
        kept = _find(index, provenance)
        if kept is not None:
            return _compare(file, index, provenance, kept)
    entry = _enter(file, key)
    if entry is None:
        return _record(file, index, provenance, _put(store, file, key))
    is_stored = False
    try:
        try:
            entry.settle()
        except BaseException:
            store.withdraw(key)
            raise
        result = _record(file, index, provenance, key)
        is_stored = result.outcome is Outcome.STORED
    finally:
        if not is_stored and not store.has(key):
            entry.take_back()
        entry.finish()
    return result


def _enter(file: Spooled, key: str) -> Entry | None:
    """Begin to store the file by the journal, where there is one that takes it."""
    journal = stores.journal()
    if journal is None or file.content is None:
        return None
    return journal.put(file.content, key)


def _put(store: FileSystemStore, file: Spooled, key: str) -> str:
    """Store the spooled file itself, and compute its digest meanwhile; returns its key."""
    if file.size_bytes < _PARALLEL_BYTES:
        return store.put(file.path, key)
    putting = _disk.submit(store.put, file.path, key)
    try:
        file.digest()
    finally:
        key = putting.result()
    return key


def _record(file: Spooled, index: InstanceIndex, provenance: Provenance, key: str) -> IngestResult:
    """Commit the rows of an instance whose bytes are durable under `key`."""
    store = stores.instances()
    placed = Placed(
        storage_key=key,
        size_bytes=file.size_bytes,
        sha256=file.digest(),
        source_ae_title=provenance.source_ae_title,
        is_demo=provenance.is_demo,
    )
    try:
        added = arrivals.add(Arrival(index, provenance.facility, placed))
    except OperationalError:
        # The database took nothing, so no row can lose its file.
        store.withdraw(key)
        raise
    except DatabaseError as error:
        # Another association stored the same UID between our look and our insert; or our own
        # commit went through although it was not confirmed.
        return _settle(file, index, provenance, placed, error)
    except BaseException:
        # Deleted here meanwhile, or a fault of ours: a row must never lose its file.
        with database.shared():
            if not DicomImage.with_deleted.filter(storage_key=key).exists():
                store.withdraw(key)
        raise
    return IngestResult(
        outcome=Outcome.STORED,
        image_id=added.image_id,
        study_id=added.study_id,
        study_instance_uid=index.study_instance_uid,
        series_instance_uid=index.series_instance_uid,
        sop_instance_uid=index.sop_instance_uid,
        patient_id=index.patient_id or "",
        sop_class_uid=index.sop_class_uid,
    )


def _settle(
    file: Spooled,
    index: InstanceIndex,
    provenance: Provenance,
    placed: Placed,
    error: DatabaseError,
) -> IngestResult:
    """Find out what stands in the database after an insert that was not confirmed."""
    kept = _find(index, provenance)
    if kept is not None and kept.storage_key == placed.storage_key and kept.sha256 == placed.sha256:
        # Ours, or that of a row which had lost its file and has it again.
        deletions.refuse_if_deleted(kept)
        return _result(Outcome.STORED, kept, index)
    if kept is not None or not isinstance(error, CommitUnknownError):
        stores.instances().withdraw(placed.storage_key)
    if kept is None:
        # A server may still finish what it could not confirm; then the row finds its file, and
        # else `verify_storage` finds a file without a row.
        raise error
    return _compare(file, index, provenance, kept)


def _find(index: InstanceIndex, provenance: Provenance) -> DicomImage | None:
    with database.shared():
        return (
            DicomImage.with_deleted.select_related("series__study")
            .filter(facility=provenance.facility, sop_instance_uid=index.sop_instance_uid)
            .first()
        )


def _compare(
    file: Spooled, index: InstanceIndex, provenance: Provenance, kept: DicomImage
) -> IngestResult:
    """Answer an instance whose UID is taken: the same again, other content, or deleted here."""
    deletions.refuse_if_deleted(kept)
    if kept.sha256 == file.digest() or _is_same_data_set(file, index, kept):
        return _result(Outcome.DUPLICATE, kept, index)
    with database.shared():
        _keep_aside(file, index, provenance, kept, file.digest())
    return _result(Outcome.CONFLICT, kept, index)


def _is_same_data_set(file: Spooled, index: InstanceIndex, kept: DicomImage) -> bool:
    """Whether both say the same: under another header of ours, or with sequences written anew."""
    if kept.transfer_syntax_uid != index.transfer_syntax_uid:
        return False
    try:
        with stores.instances().open(kept.storage_key) as ours, file.path.open("rb") as theirs:
            if kept.size_bytes - kept.data_set_offset == file.size_bytes - index.data_set_offset:
                return sameness.are_same_bytes(
                    ours, kept.data_set_offset, theirs, index.data_set_offset
                )
            return sameness.are_same_elements(
                ours, kept.pixel_data_offset, theirs, index.pixel_data_offset
            )
    except BlobMissingError:
        return False


def _keep_aside(
    file: Spooled, index: InstanceIndex, provenance: Provenance, kept: DicomImage, sha256: str
) -> None:
    known = InstanceConflict.objects.filter(
        facility=provenance.facility, sop_instance_uid=index.sop_instance_uid, sha256=sha256
    )
    if known.exists():
        return
    key = stores.conflicts().put(file.path, protocol.layout_key(index.sop_instance_uid))
    try:
        with transaction.atomic():
            conflict = InstanceConflict.objects.create(
                facility=provenance.facility,
                kept=kept,
                sop_instance_uid=index.sop_instance_uid,
                storage_key=key,
                sha256=sha256,
                size_bytes=file.size_bytes,
                source=provenance.source[:150],
                reason="Other content under a SOP Instance UID that is already stored.",
            )
            outbox.record(
                outbox.InstanceConflicted(
                    facility_id=provenance.facility.pk,
                    study_id=kept.series.study_id,
                    conflict_id=conflict.pk,
                )
            )
    except IntegrityError:
        stores.conflicts().delete(key)


def _result(outcome: Outcome, image: DicomImage, index: InstanceIndex) -> IngestResult:
    series = image.series
    return IngestResult(
        outcome=outcome,
        image_id=image.pk,
        study_id=series.study_id,
        study_instance_uid=index.study_instance_uid,
        series_instance_uid=index.series_instance_uid,
        sop_instance_uid=index.sop_instance_uid,
        patient_id=index.patient_id or "",
        sop_class_uid=index.sop_class_uid,
    )
