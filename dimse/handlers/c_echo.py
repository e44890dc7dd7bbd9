"""C-ECHO: somebody asks whether we are there (PS3.4 annex A, PS3.7 9.1.5)."""

from __future__ import annotations

from pynetdicom.presentation import DEFAULT_TRANSFER_SYNTAXES
from pynetdicom.sop_class import Verification

from dimse import commands, status
from dimse.peer import Peer, Request, Service, answer


def handle(peer: Peer, request: Request) -> None:
    """Answer an echo and remember it for the facility's page."""
    peer.visit.note_echo()
    answer(peer, request, status.OK)


SERVICE = Service(
    abstract_syntaxes=(str(Verification),),
    transfer_syntaxes=tuple(map(str, DEFAULT_TRANSFER_SYNTAXES)),
    operations={commands.C_ECHO_RQ: handle},
)
