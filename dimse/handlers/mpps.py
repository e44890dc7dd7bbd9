"""Modality Performed Procedure Step: N-CREATE, N-SET and N-GET (PS3.4 annex F)."""

from __future__ import annotations

import logging

from pydicom.dataset import Dataset

from archive.access import Actor
from archive.errors import ArchiveError
from dimse import commands, status
from dimse.handlers import normalised
from dimse.peer import Peer, Request, Service
from dimse.status import Answer
from orders import mpps

PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"
PERFORMED_STEP_RETRIEVE = "1.2.840.10008.3.1.2.3.4"

logger = logging.getLogger(__name__)

# More in one command than this help nobody.
_MOST_TAGS = 64
# PS3.4 F.7.2.2.4: the Error ID beside the prescribed comment.
_NO_LONGER_UPDATED = 0xA710
_STATUSES: tuple[tuple[type[ArchiveError], int], ...] = (
    (mpps.MissingAttributeError, normalised.MISSING_ATTRIBUTE),
    (mpps.InvalidValueError, normalised.INVALID_VALUE),
    (mpps.DuplicateStepError, normalised.DUPLICATE_INSTANCE),
)


def _refusal_of(error: ArchiveError) -> tuple[int, dict[int, bytes]]:
    if isinstance(error, mpps.FinishedStepError):
        return normalised.FAILURE, {commands.ERROR_ID: commands.us(_NO_LONGER_UPDATED)}
    for kind, code in _STATUSES:
        if isinstance(error, kind):
            return code, {}
    return normalised.default_refusal(error)


def _outcome(peer: Peer, uid: str, remarks: mpps.Remarks) -> tuple[Answer, dict[int, bytes]]:
    """Return the answer to what was taken: a warning where something was wrong (PS3.7 C.4)."""
    if not remarks:
        return status.OK, {}
    sentence = str(remarks)
    logger.warning("%s Took the performed step %s. %s", peer.visit, uid, sentence)
    tags = remarks.lacking + remarks.kept
    if not tags:
        return status.refusal(normalised.VALUE_OUT_OF_RANGE, sentence), {}
    named = commands.at(tags[:_MOST_TAGS])
    return status.refusal(normalised.LIST_ERROR, sentence), {
        commands.ATTRIBUTE_IDENTIFIER_LIST: named
    }


def create(peer: Peer, request: Request) -> None:
    """Answer N-CREATE: equipment has begun (F.7.2.1)."""
    dropped: list[int] = []

    def work(actor: Actor, attributes: Dataset) -> tuple[Answer, dict[int, bytes], None]:
        uid = request.command.sop_instance_uid
        step, remarks = mpps.create_step(actor, peer.visit.facility, uid, attributes)
        made = {commands.AFFECTED_SOP_INSTANCE_UID: commands.ui(step.sop_instance_uid)}
        remarks.dropped += dropped
        outcome, fields = _outcome(peer, step.sop_instance_uid, remarks)
        return outcome, made | fields, None

    normalised.serve(peer, request, _refusal_of, work, dropped=dropped)


def change(peer: Peer, request: Request) -> None:
    """Answer N-SET: equipment goes on, or has ended (F.7.2.2)."""
    dropped: list[int] = []

    def work(actor: Actor, changes: Dataset) -> tuple[Answer, dict[int, bytes], None]:
        uid = request.command.sop_instance_uid
        remarks = mpps.change_step(actor, peer.visit.facility, uid, changes)
        remarks.dropped += dropped
        outcome, fields = _outcome(peer, uid, remarks)
        return outcome, fields, None

    normalised.serve(peer, request, _refusal_of, work, dropped=dropped)


def get(peer: Peer, request: Request) -> None:
    """Answer N-GET: somebody asks how far a step is (F.8.2)."""

    def work(_actor: Actor, _nothing: Dataset) -> tuple[Answer, dict[int, bytes], Dataset]:
        step = mpps.step_for(peer.visit.facility, request.command.sop_instance_uid)
        wanted = normalised.attribute_list(request.command)
        return status.OK, {}, mpps.attributes_of(step, wanted)

    normalised.serve(peer, request, _refusal_of, work)


SERVICE = Service(
    abstract_syntaxes=(PERFORMED_STEP,),
    transfer_syntaxes=tuple(normalised.TRANSFER_SYNTAXES),
    operations={commands.N_CREATE_RQ: create, commands.N_SET_RQ: change, commands.N_GET_RQ: get},
)
RETRIEVE_SERVICE = Service(
    abstract_syntaxes=(PERFORMED_STEP_RETRIEVE,),
    transfer_syntaxes=tuple(normalised.TRANSFER_SYNTAXES),
    operations={commands.N_GET_RQ: get},
)
