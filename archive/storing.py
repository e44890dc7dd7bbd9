"""What became of the instances of one store request by web: each on its own, with a reason.

`archive.ingest` takes them; here its errors become the reasons of PS3.18 annex I, so that a sender
hears of every instance it sent, and of each why it was not taken.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import DatabaseError, connections

from archive import audit, ingest
from archive.access import Actor
from archive.errors import (
    ArchiveError,
    ForbiddenError,
    InvalidInputError,
    NotDicomError,
    TooLargeError,
    TransientError,
)
from archive.ingest import Outcome, Provenance
from archive.spool import Spooled
from imaging import header, part10
from imaging.errors import ImagingError
from imaging.header import InstanceIndex
from imaging.part10 import Container
from imaging.uid import is_valid_uid
from worklist.models import Facility

logger = logging.getLogger(__name__)

# Failure Reason (0008,1197): PS3.18 table I.2-2, and statuses of PS3.7 annex C for what that leaves
# to others.
PROCESSING_FAILURE = 0x0110
DUPLICATE_INSTANCE = 0x0111
NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122

# The first class that fits decides: subclasses stand before their bases.
_REASONS: tuple[tuple[type[ArchiveError], int], ...] = (
    (TransientError, OUT_OF_RESOURCES),
    (TooLargeError, OUT_OF_RESOURCES),
    (NotDicomError, CANNOT_UNDERSTAND),
    (InvalidInputError, MISMATCH),
    (ForbiddenError, NOT_AUTHORISED),
    (ArchiveError, PROCESSING_FAILURE),
)
_KEPT_ASIDE = (
    "Another instance with this SOP Instance UID and other content is already stored. This one was "
    "kept aside; an administrator decides."
)


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance as far as it says who it is; empty where it does not, or not lawfully."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""


NOBODY = Reference()


@dataclass(frozen=True, slots=True)
class Deposit:
    """What became of one instance of a request.

    Attributes
    ----------
    reference : which instance
    study_instance_uid, series_instance_uid : empty when it was refused
    outcome : None when it was refused
    failure_reason : 0 when it is stored here with the content that was sent
    sentence : why it was not taken, for people
    is_transient : whether sending it again later may help
    """

    reference: Reference = NOBODY
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    study_id: UUID | None = None
    outcome: Outcome | None = None
    failure_reason: int = 0
    sentence: str = ""
    is_transient: bool = False

    @property
    def is_stored(self) -> bool:
        """Whether the sender may forget the instance."""
        return self.failure_reason == 0


def provenance_of(actor: Actor, facility: Facility, study_instance_uid: str | None) -> Provenance:
    """Return whose the instances of a request become.

    Parameters
    ----------
    study_instance_uid : the one study that the request is for, if it names one
    """
    return Provenance(
        facility=facility,
        source=f"STOW-RS by {actor.name}",
        expected_study_instance_uid=study_instance_uid,
    )


def deposit(
    spooled: Spooled, provenance: Provenance, *, index: InstanceIndex | None = None
) -> Deposit:
    """Store one instance and say what became of it; nothing is raised for a bad one.

    Parameters
    ----------
    index : of the file, where it was read already

    References
    ----------
    DICOM PS3.18 sections 10.5 and I.2.2.
    """
    try:
        result = ingest.ingest_instance(spooled, provenance, index=index)
    except ArchiveError as error:
        if isinstance(error, TransientError):
            # A connection that broke must not fail the parts that follow.
            connections.close_all()
        return refused(error, spooled)
    except DatabaseError:
        logger.exception("The database failed on an instance by web.")
        connections.close_all()
        return Deposit(
            reference=_reference(spooled),
            failure_reason=OUT_OF_RESOURCES,
            sentence="The archive's database takes nothing now. Send again later.",
            is_transient=True,
        )
    except Exception:
        # The edge of one part: whatever it was, the sender must not hear of success.
        logger.exception("Storing an instance by web failed.")
        return Deposit(
            reference=_reference(spooled),
            failure_reason=PROCESSING_FAILURE,
            sentence="The archive failed on this instance; see its log.",
        )
    is_conflict = result.outcome is Outcome.CONFLICT
    return Deposit(
        reference=Reference(result.sop_class_uid, result.sop_instance_uid),
        study_instance_uid=result.study_instance_uid,
        series_instance_uid=result.series_instance_uid,
        study_id=result.study_id,
        outcome=result.outcome,
        failure_reason=DUPLICATE_INSTANCE if is_conflict else 0,
        sentence=_KEPT_ASIDE if is_conflict else "",
    )


def refused(error: ArchiveError, spooled: Spooled | None = None) -> Deposit:
    """Return what an instance becomes that an error keeps out.

    Parameters
    ----------
    spooled : what there is of it; its identity is told as far as it can be read
    """
    reason = next(code for kind, code in _REASONS if isinstance(error, kind))
    return Deposit(
        reference=_reference(spooled) if spooled is not None else NOBODY,
        failure_reason=reason,
        sentence=str(error),
        is_transient=isinstance(error, TransientError),
    )


def record(actor: Actor, facility: Facility, deposits: Sequence[Deposit]) -> None:
    """Write the audit event of a request."""
    counts = Counter(d.outcome.value if d.outcome else "refused" for d in deposits)
    audit.record(
        actor,
        "upload",
        facility,
        is_success=all(d.is_stored for d in deposits),
        by="stow",
        studies=sorted({str(d.study_id) for d in deposits if d.study_id}),
        **counts,
    )


def _reference(spooled: Spooled) -> Reference:
    found: InstanceIndex | Container
    try:
        found = header.read_index(spooled.source, require_identity=False)
    except (ImagingError, OSError):
        # Cut off or damaged: the file's own header may still tell.
        try:
            with spooled.path.open("rb") as handle:
                found = part10.read_container(handle, None)
        except (ImagingError, OSError):
            return NOBODY
    return reference(found.sop_class_uid, found.sop_instance_uid)


def reference(sop_class_uid: str, sop_instance_uid: str) -> Reference:
    """Return a reference in which only lawful UIDs stand."""
    return Reference(
        *(uid if is_valid_uid(uid) else "" for uid in (sop_class_uid, sop_instance_uid))
    )
