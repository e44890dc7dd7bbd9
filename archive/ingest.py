"""The one way in. Every door spools what it gets and calls :func:`ingest_instance`.

Order of durability: spool file, fdatasync, link into the layout without overwriting, fsync of the
folders, database commit with full synchronisation, then the answer. The unique constraint on
(facility, SOP Instance UID) decides races, not a look beforehand.
"""

from __future__ import annotations

import contextlib
import enum
import logging
from dataclasses import dataclass
from uuid import UUID

from django.db import DatabaseError, IntegrityError, OperationalError, transaction

from archive import catalogue, deletions, outbox, spool, stores
from archive.errors import (
    InvalidInputError,
    NotDicomError,
    PermanentError,
    StoreUnavailableError,
    TooLargeError,
)
from archive.models import InstanceConflict
from archive.spool import Spooled
from blobs import BlobError, BlobStoreUnavailableError, protocol
from imaging import errors as imaging_errors
from imaging import header
from imaging.header import InstanceIndex
from worklist.models import DicomImage, Facility

logger = logging.getLogger(__name__)


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
    """

    facility: Facility
    source: str
    source_ae_title: str = ""
    expected_sop_class_uid: str | None = None
    expected_sop_instance_uid: str | None = None
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


def ingest_instance(spooled: Spooled, provenance: Provenance) -> IngestResult:
    """Store one instance durably, once.

    Parameters
    ----------
    spooled : a Part 10 file in the spool; it is not removed here
    provenance : whose it is

    Returns
    -------
    IngestResult
        `STORED` after the commit; `DUPLICATE` for the same data set again (nothing changes);
        `CONFLICT` for other content under the same UID, which is kept aside.

    Raises
    ------
    InvalidInputError
        The file is not DICOM, cut off, or lacks a valid identity.
    DeletedError
        The instance, its series or its study was deleted here; nothing was stored.
    StoreUnavailableError
        Disk or database take nothing now; nothing was stored.
    """
    index = _read(spooled)
    _agree(index, provenance)
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
        sha256, data_set_sha256 = spool.digests(file.path, len(canonical))
        try:
            return _store(file, index, provenance, sha256, data_set_sha256)
        except (BlobStoreUnavailableError, OperationalError) as error:
            logger.exception("Cannot store %s", index.sop_instance_uid)
            raise StoreUnavailableError(
                "The archive cannot store now (disk or database). Send again later."
            ) from error
        except (BlobError, DatabaseError) as error:
            logger.exception("Cannot store %s", index.sop_instance_uid)
            raise PermanentError("The archive could not store this instance.") from error


def _read(spooled: Spooled) -> InstanceIndex:
    try:
        return header.read_index(spooled.path)
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


def _store(
    file: Spooled, index: InstanceIndex, provenance: Provenance, sha256: str, data_set_sha256: str
) -> IngestResult:
    kept = _existing(index, provenance)
    if kept is None:
        store = stores.instances()
        key = store.put(file.path, protocol.layout_key(index.sop_instance_uid))
        placed = catalogue.Placed(
            storage_key=key,
            size_bytes=file.size_bytes,
            sha256=sha256,
            data_set_sha256=data_set_sha256,
            source_ae_title=provenance.source_ae_title,
            is_demo=provenance.is_demo,
        )
        try:
            with transaction.atomic():
                added = catalogue.add(index, provenance.facility, placed)
                outbox.record(
                    outbox.InstanceStored(
                        facility_id=provenance.facility.pk,
                        study_id=added.study.pk,
                        series_id=added.series.pk,
                        image_id=added.image.pk,
                        modality=added.series.modality,
                        is_new_study=added.is_new_study,
                        is_demo=provenance.is_demo,
                    )
                )
            return _result(Outcome.STORED, added.image, index)
        except IntegrityError:
            # Another association stored the same UID between our look and our insert.
            store.delete(key)
            kept = _existing(index, provenance)
            if kept is None:
                raise
        except BaseException:
            # Only while no commit can have happened: a row must never lose its file.
            if not DicomImage.with_deleted.filter(storage_key=key).exists():
                store.delete(key)
            raise
    if kept.data_set_sha256 == data_set_sha256:
        return _result(Outcome.DUPLICATE, kept, index)
    _keep_aside(file, index, provenance, kept, sha256)
    return _result(Outcome.CONFLICT, kept, index)


def _existing(index: InstanceIndex, provenance: Provenance) -> DicomImage | None:
    kept = (
        DicomImage.with_deleted.select_related("series__study")
        .filter(facility=provenance.facility, sop_instance_uid=index.sop_instance_uid)
        .first()
    )
    if kept is not None:
        deletions.refuse_if_deleted(kept)
    return kept


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
    )
