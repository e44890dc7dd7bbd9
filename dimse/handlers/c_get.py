"""C-GET: instances come back on the association of the request (PS3.4 C.4.3, PS3.7 9.1.3)."""

from __future__ import annotations

from archive import audit, retrieval
from dimse import commands, retrieves, status, suboperations
from dimse.peer import Context, Peer, Request, Service, answer
from dimse.suboperations import Delivery, Fate

_MOST_MESSAGE_ID = 0xFFFF


def handle(peer: Peer, request: Request) -> None:
    """Send what the identifier names to the contexts that the caller takes instances on."""
    found = retrieves.find(peer, request)
    if isinstance(found, status.Answer):
        answer(peer, request, found)
        return
    actor = retrieves.actor_of(peer)
    retrieval.record_access(actor, "study.retrieve", found, service="C-GET")
    contexts: dict[str, list[Context]] = {}
    for context in peer.contexts.values():
        if context.is_ours_to_call:
            contexts.setdefault(context.abstract_syntax, []).append(context)
    progress = retrieves.Progress(peer, request, len(found))
    is_without_bulk = request.context.abstract_syntax == retrieves.WITHOUT_BULK_GET
    is_cancelled = False
    for number, instance in enumerate(found):
        is_cancelled = progress.is_cancelled()
        if is_cancelled:
            break
        usable = contexts.get(instance.sop_class_uid)
        if usable is None:
            reason = "The caller does not take this SOP class (no context with its SCP role)."
            progress.tally.note(Delivery(instance, Fate.FAILED, reason))
        else:
            message_id = number % _MOST_MESSAGE_ID + 1
            delivery = suboperations.store(
                peer, usable, instance, message_id, is_without_bulk=is_without_bulk
            )
            progress.tally.note(delivery)
        progress.tell()
    if found:
        audit.record(
            actor,
            "study.retrieved",
            is_success=not progress.tally.failed,
            service="C-GET",
            **retrieves.totals(progress.tally),
        )
    retrieves.finish(peer, request, progress.tally, is_cancelled=is_cancelled)


SERVICE = Service(
    abstract_syntaxes=(
        retrieves.PATIENT_ROOT_GET,
        retrieves.STUDY_ROOT_GET,
        retrieves.COMPOSITE_ROOT_GET,
        retrieves.WITHOUT_BULK_GET,
    ),
    transfer_syntaxes=retrieves.TRANSFER_SYNTAXES,
    operations={commands.C_GET_RQ: handle},
    negotiate=retrieves.negotiate,
)
