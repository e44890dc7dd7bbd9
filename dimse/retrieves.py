"""What C-MOVE and C-GET have in common: the identifier, the counts, the last answer."""

from __future__ import annotations

import io
import logging
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections

from archive import audit, database, outgoing, retrieval
from archive.access import Actor, Scope
from archive.errors import ArchiveError, InvalidInputError
from archive.retrieval import Selection, StoredInstance
from dimse import status
from dimse.peer import Peer, Request, answer
from dimse.suboperations import Tally
from imaging import framechoice
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits, Node, Value
from imaging.errors import ImagingError
from imaging.framechoice import FrameCutError, FrameSelection, Problem
from imaging.part10 import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN

logger = logging.getLogger(__name__)

PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
COMPOSITE_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.4.2"
COMPOSITE_ROOT_GET = "1.2.840.10008.5.1.4.1.2.4.3"
WITHOUT_BULK_GET = "1.2.840.10008.5.1.4.1.2.5.3"

TRANSFER_SYNTAXES = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)

# Below the instance, in the Composite Instance Root alone (PS3.4 Y.6.1).
FRAME = "FRAME"
_LEVELS = {
    PATIENT_ROOT_MOVE: retrieval.LEVELS,
    PATIENT_ROOT_GET: retrieval.LEVELS,
    STUDY_ROOT_MOVE: retrieval.LEVELS[1:],
    STUDY_ROOT_GET: retrieval.LEVELS[1:],
    COMPOSITE_ROOT_MOVE: (retrieval.IMAGE, FRAME),
    COMPOSITE_ROOT_GET: (retrieval.IMAGE, FRAME),
    WITHOUT_BULK_GET: (retrieval.IMAGE,),
}
_LEVEL_TAG = 0x00080052
_KEY_TAGS = {
    0x00100020: "PatientID",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
    0x00080018: "SOPInstanceUID",
}
_FRAME_TAGS = (0x00081161, 0x00081162, 0x00081163)
# A list of some ten thousand UIDs fits.
_MOST_VALUE_BYTES = 1024 * 1024
_LIMITS = HeaderLimits(header_bytes=8 * 2**20, inflated_bytes=0, depth=8, elements=10_000)
_FAILED_LIST_TAG = (0x0008, 0x0058)
# Sooner than this after the last one, a pending response would only cost time.
_PENDING_EVERY_S = 0.1


class Progress:
    """Tells the caller how a retrieval goes, and hears its C-CANCEL.

    Parameters
    ----------
    total : sub-operations
    """

    def __init__(self, peer: Peer, request: Request, total: int) -> None:
        self.tally = Tally(remaining=total)
        self._peer = peer
        self._request = request
        self._told_at = 0.0

    def is_cancelled(self) -> bool:
        """Whether the caller wants no more."""
        return self._peer.is_cancelled(self._request.command.message_id)

    def tell(self) -> None:
        """Send a pending response if the last one is old (PS3.4 C.4.2.3.1: they are optional)."""
        now = time.monotonic()
        if not self.tally.remaining or now - self._told_at < _PENDING_EVERY_S:
            return
        self._told_at = now
        pending = status.Answer(status.PENDING)
        answer(self._peer, self._request, pending, self.tally.fields(with_remaining=True))


def actor_of(peer: Peer) -> Actor:
    """Return the calling equipment as who acts: it sees its facility's data alone."""
    visit = peer.visit
    scope = Scope(frozenset({visit.facility.pk}))
    return Actor(name=visit.ae_title, scope=scope, address=visit.address, can_read=True)


def read_identifier(
    data: bytes, transfer_syntax: str, levels: Sequence[str] = retrieval.LEVELS
) -> tuple[Selection, FrameSelection | None]:
    """Read the identifier of a retrieve request.

    Keys of lower levels, and keys that are no unique keys, say nothing here and are passed over;
    keys of higher levels may be missing (relational retrieval, PS3.4 C.4.2.2.2), because UIDs name
    one thing each.

    Parameters
    ----------
    data : as sent
    levels : that the SOP class has

    Returns
    -------
    The instances, and at the FRAME level which frames of the one.

    Raises
    ------
    InvalidInputError, FrameCutError
        With a sentence that says what to send instead.

    References
    ----------
    DICOM PS3.4 sections C.4.2.1.4, C.4.3.1.3 and Y.4.1.1.3.1.
    """
    wanted = dict.fromkeys((_LEVEL_TAG, *_KEY_TAGS, *_FRAME_TAGS), _MOST_VALUE_BYTES)
    try:
        found = scan_data_set(
            io.BytesIO(data), wanted, limits=_LIMITS, transfer_syntax=transfer_syntax
        ).scan.root
    except ImagingError as error:
        raise InvalidInputError("The identifier cannot be read.") from error
    level = next(iter(_values(found, _LEVEL_TAG)), "").upper()
    if level not in levels:
        raise InvalidInputError(
            f"Query/Retrieve Level must be one of {', '.join(levels)} in this SOP class."
        )
    of_frames = level == FRAME
    if of_frames:
        level = retrieval.IMAGE
    above = retrieval.LEVELS[: retrieval.LEVELS.index(level) + 1]
    keys = {
        name: values
        for tag, name in _KEY_TAGS.items()
        if name in {retrieval.KEY_OF_LEVEL[step] for step in above}
        and (values := _values(found, tag))
    }
    selection = Selection(level, keys)
    selection.check()
    if not of_frames:
        return selection, None
    if len(keys["SOPInstanceUID"]) > 1:
        raise FrameCutError(Problem.INVALID, "Frames are chosen of one instance at a time.")
    return selection, framechoice.select(found)


def _values(node: Node, tag: int) -> list[str]:
    value = node.get(tag)
    if not isinstance(value, Value):
        return []
    # UIDs and the level are ASCII; a Patient ID may hold what its character set allows.
    text = value.raw.decode("utf-8", "replace")
    return [part for part in (p.strip(" \0") for p in text.split("\\")) if part]


def find(peer: Peer, request: Request, **detail: str) -> list[StoredInstance] | status.Answer:
    """Return what a request names, or the answer that refuses it.

    Parameters
    ----------
    detail : what the audit trail keeps of the access beside who, what and how many; it is written
        before anything is sent, and where it cannot be, nothing is
    """
    try:
        levels = _LEVELS[request.context.abstract_syntax]
        selection, frames = read_identifier(
            request.data_set, request.context.transfer_syntax, levels
        )
        actor = actor_of(peer)
        with database.shared():
            found = retrieval.select(actor.scope, selection)
        if frames is not None:
            found = _cut(found, frames)
            detail["frames"] = str(len(found[0].cut.frame_indexes)) if found[0].cut else ""
        retrieval.record_access(actor, "study.retrieve", found, **detail)
    except FrameCutError as error:
        return status.refusal(status.OF_FRAMES[error.problem], str(error))
    except ArchiveError as error:
        if not isinstance(error, InvalidInputError):
            return status.refusal(status.CANNOT_PERFORM, str(error))
        return status.refusal(status.MISMATCH, str(error))
    except DatabaseError:
        logger.exception("%s The database failed on a retrieval", peer.visit)
        connections.close_all()
        return status.refusal(status.NO_MATCH_COUNT, "The archive's database does not answer.")
    return found


def _cut(found: Sequence[StoredInstance], frames: FrameSelection) -> list[StoredInstance]:
    if not found:
        raise FrameCutError(Problem.NO_SUCH_FRAMES, "There is no such instance here.")
    return [outgoing.with_frames(instance, frames) for instance in found]


def finish(peer: Peer, request: Request, tally: Tally, *, is_cancelled: bool) -> None:
    """Send the last response (PS3.4 tables C.4-2 and C.4-3)."""
    outcome = _outcome(tally, is_cancelled=is_cancelled)
    uids = tally.failed_uids
    data_set = _failed_list(uids, request.context.transfer_syntax) if uids else None
    fields = tally.fields(with_remaining=is_cancelled)
    if outcome.status != status.SUCCESS:
        logger.info("%s Retrieval ended with 0x%04X: %s", peer.visit, outcome.status, outcome)
    answer(peer, request, outcome, fields, data_set)


def _outcome(tally: Tally, *, is_cancelled: bool) -> status.Answer:
    why = max(tally.reasons, key=lambda reason: tally.reasons[reason], default="")
    if is_cancelled:
        return status.Answer(status.CANCELLED)
    if not tally.reasons:
        return status.OK
    if tally.completed or tally.warning:
        return status.refusal(status.SOME_FAILED, why)
    return status.refusal(status.CANNOT_PERFORM, why)


def _failed_list(uids: Sequence[str], transfer_syntax: str) -> bytes:
    """Return a data set with Failed SOP Instance UID List (0008,0058)."""
    is_explicit = transfer_syntax == EXPLICIT_LITTLE_ENDIAN
    value = "\\".join(uids).encode("ascii")
    if is_explicit and len(value) > 0xFFFE:
        # A UI has two bytes for its length in this encoding: the list is as long as it can be.
        value = value[:0xFFFE].rpartition(b"\\")[0]
    value += b"\0" * (len(value) % 2)
    group, element = _FAILED_LIST_TAG
    if is_explicit:
        return struct.pack("<HH2sH", group, element, b"UI", len(value)) + value
    return struct.pack("<HHI", group, element, len(value)) + value


def record_outcome(peer: Peer, tally: Tally, **detail: Any) -> None:  # noqa: ANN401 - JSON values
    """Write down how a retrieval that was written down ended; see `find`."""
    with database.reading() as connection:
        audit.record_read(
            connection,
            actor_of(peer),
            "study.retrieved",
            is_success=not tally.failed,
            **detail,
            **_totals(tally),
        )


def _totals(tally: Tally) -> Mapping[str, Any]:
    """Return the counts as the audit trail keeps them."""
    return {
        "completed": tally.completed,
        "failed": tally.failed,
        "warning": tally.warning,
        "remaining": tally.remaining,
    }


def negotiate(_: str, information: bytes) -> bytes | None:
    """Agree to relational retrieval where it is asked for (PS3.4 C.5.2.1, C.5.3.1)."""
    return b"\1" if information[:1] == b"\1" else None
