"""Storage Commitment Push Model: asked by N-ACTION, told by N-EVENT-REPORT (PS3.4 J)."""

from __future__ import annotations

import logging
import time
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from pydicom.dataset import Dataset

from archive import commitment, database
from archive.access import Actor
from archive.errors import ArchiveError, TransientError
from dimse import commands, reports, retrieves, status
from dimse.handlers import normalised
from dimse.peer import Peer, PeerLostError, Request, Service

logger = logging.getLogger(__name__)

_REQUEST_COMMITMENT = 1
_REPORT_TIMEOUT_S = 30.0
_LOOK_EVERY_S = 0.05


def handle(peer: Peer, request: Request) -> None:
    """Keep the request, answer, and tell on this association if there is something in time."""
    command = request.command
    if command.sop_instance_uid != reports.COMMITMENT_INSTANCE:
        sentence = "Storage commitment has one well-known instance (PS3.4 J.3.5)."
        normalised.refuse(peer, request, normalised.NO_SUCH_INSTANCE, sentence)
        return
    if command.whole(commands.ACTION_TYPE_ID) != _REQUEST_COMMITMENT:
        sentence = "The only action is 1, to ask for storage commitment."
        normalised.refuse(peer, request, normalised.NO_SUCH_ACTION, sentence)
        return
    kept: list[UUID] = []

    def work(actor: Actor, asked: Dataset) -> tuple[status.Answer, dict[int, bytes], None]:
        references = [
            (_uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID"))
            for item in asked.get("ReferencedSOPSequence") or ()
        ]
        transaction_uid = _uid(asked, "TransactionUID")
        facility = peer.visit.facility
        kept.append(commitment.receive(actor, facility, transaction_uid, references).pk)
        return status.OK, {}, None

    if not normalised.serve(peer, request, _refusal_of, work):
        return
    try:
        _report(peer, request, kept[0])
    except DatabaseError:
        # The request is kept and answered; its job tells the caller.
        logger.exception("%s The database failed while a commitment waited", peer.visit)
        connections.close_all()


def _refusal_of(error: ArchiveError) -> tuple[int, dict[int, bytes]]:
    if isinstance(error, TransientError):
        return normalised.RESOURCE_LIMITATION, {}
    return normalised.INVALID_ARGUMENT, {}


def _uid(data_set: Dataset, keyword: str) -> str:
    return str(data_set.get(keyword) or "").strip(" \0")


def _report(peer: Peer, request: Request, request_id: UUID) -> None:
    """Wait a short time for the check; the report of what is not told here is a job's."""
    deadline = time.monotonic() + settings.COMMITMENT_SAME_ASSOCIATION_S
    while time.monotonic() < deadline and peer.is_waiting():
        with database.shared():
            found = commitment.claim(request_id)
        if found is None:
            time.sleep(_LOOK_EVERY_S)
            continue
        command, data_set = reports.event_report(found, request.context, message_id=1)
        try:
            peer.send(request.context, command, data_set)
            code = peer.response_to(1, _REPORT_TIMEOUT_S).command.status
        except PeerLostError:
            _settle(request_id, "It ended the association before its answer.")
            raise
        _settle(
            request_id,
            "" if code in reports.TAKEN else f"It answered the report with 0x{code:04X}.",
        )
        return


def _settle(request_id: UUID, error: str) -> None:
    with database.shared():
        commitment.settle(request_id, error=error)


SERVICE = Service(
    abstract_syntaxes=(reports.COMMITMENT,),
    transfer_syntaxes=retrieves.TRANSFER_SYNTAXES,
    operations={commands.N_ACTION_RQ: handle},
)
