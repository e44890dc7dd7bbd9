"""C-GET: instances come back on the association of the request (PS3.4 C.4.3, PS3.7 9.1.3)."""

from __future__ import annotations

from itertools import zip_longest

from dimse import commands, retrieves, status
from dimse.peer import Context, Peer, Request, Service, answer
from dimse.suboperations import Courier


def handle(peer: Peer, request: Request) -> None:
    """Send what the identifier names to the contexts that the caller takes instances on."""
    found = retrieves.find(peer, request, service="C-GET")
    if isinstance(found, status.Answer):
        answer(peer, request, found)
        return
    contexts: dict[str, list[Context]] = {}
    for context in peer.contexts.values():
        if context.is_ours_to_call:
            contexts.setdefault(context.abstract_syntax, []).append(context)
    courier = Courier(
        peer,
        contexts,
        is_without_bulk=request.context.abstract_syntax == retrieves.WITHOUT_BULK_GET,
    )
    progress = retrieves.Progress(peer, request, len(found))
    is_cancelled = False
    for instance, following in zip_longest(found, found[1:]):
        is_cancelled = progress.is_cancelled()
        if is_cancelled:
            break
        progress.tally.note(courier.deliver(instance, following))
        progress.tell()
    if found:
        retrieves.record_outcome(peer, progress.tally, service="C-GET")
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
