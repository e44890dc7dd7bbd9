"""C-MOVE: instances go to a third party by C-STORE (PS3.4 C.4.2, PS3.7 9.1.4)."""

from __future__ import annotations

import logging
from contextlib import closing

from archive import database, retrieval
from dimse import commands, retrieves, scu, status
from dimse.peer import Peer, Request, Service, answer
from dimse.suboperations import Originator

logger = logging.getLogger(__name__)


def handle(peer: Peer, request: Request) -> None:
    """Send what the identifier names to a registered destination, and nowhere else."""
    actor = retrieves.actor_of(peer)
    name = request.command.text(commands.MOVE_DESTINATION)
    with database.shared():
        destination = retrieval.destination_for(actor.scope, name)
    if destination is None:
        logger.warning("%s Wants to move to %s, which is not registered", peer.visit, name[:16])
        sentence = f"{name[:16]} is no destination here. Register its address."
        answer(peer, request, status.refusal(status.UNKNOWN_DESTINATION, sentence))
        return
    found = retrieves.find(peer, request, service="C-MOVE", to=destination.ae_title)
    if isinstance(found, status.Answer):
        answer(peer, request, found)
        return
    originator = Originator(peer.visit.ae_title, request.command.message_id)
    progress = retrieves.Progress(peer, request, len(found))
    is_cancelled = progress.is_cancelled()
    with closing(scu.send(destination, [] if is_cancelled else found, originator)) as deliveries:
        for delivery in deliveries:
            progress.tally.note(delivery)
            is_cancelled = progress.tally.remaining > 0 and progress.is_cancelled()
            if is_cancelled:
                break
            progress.tell()
    if found:
        retrieves.record_outcome(peer, progress.tally, service="C-MOVE", to=destination.ae_title)
    retrieves.finish(peer, request, progress.tally, is_cancelled=is_cancelled)


SERVICE = Service(
    abstract_syntaxes=(
        retrieves.PATIENT_ROOT_MOVE,
        retrieves.STUDY_ROOT_MOVE,
        retrieves.COMPOSITE_ROOT_MOVE,
    ),
    transfer_syntaxes=retrieves.TRANSFER_SYNTAXES,
    operations={commands.C_MOVE_RQ: handle},
    negotiate=retrieves.negotiate,
)
