"""What the receiver serves beside C-STORE: one table."""

from __future__ import annotations

import logging

from dimse import status
from dimse.handlers import c_echo, c_find, c_get, c_move, commitment, modality_worklist, mpps
from dimse.peer import Peer, Request, Service, answer

logger = logging.getLogger(__name__)

ALL: tuple[Service, ...] = (
    c_echo.SERVICE,
    c_find.SERVICE,
    c_get.SERVICE,
    c_move.SERVICE,
    modality_worklist.SERVICE,
    mpps.SERVICE,
    mpps.RETRIEVE_SERVICE,
    commitment.SERVICE,
)
# What scanners ask of a worklist server, on a port of its own (MWL_PORT).
WORKLIST: tuple[Service, ...] = (
    c_echo.SERVICE,
    modality_worklist.SERVICE,
    mpps.SERVICE,
    mpps.RETRIEVE_SERVICE,
)


class Table:
    """The services of one port, by abstract syntax.

    Parameters
    ----------
    services : all of them beside C-STORE; no abstract syntax is in two
    takes_storage : whether instances are stored here
    """

    def __init__(self, services: tuple[Service, ...] = ALL, *, takes_storage: bool = True) -> None:
        self.takes_storage = takes_storage
        self._by_syntax = {
            uid: service for service in services for uid in service.abstract_syntaxes
        }
        self.transfer_syntaxes = {
            uid: service.transfer_syntaxes for uid, service in self._by_syntax.items()
        }

    def serve(self, peer: Peer, request: Request) -> None:
        """Answer a request; one that its SOP class does not have is refused (PS3.7 C.5.22)."""
        service = self._by_syntax.get(request.context.abstract_syntax)
        operation = service.operations.get(request.command.command_field) if service else None
        if operation is None:
            logger.warning(
                "%s Message 0x%04X came on a context of %s",
                peer.visit,
                request.command.command_field,
                request.context.abstract_syntax,
            )
            refusal = status.refusal(
                status.UNRECOGNISED_OPERATION, "This SOP class has no such operation here."
            )
            answer(peer, request, refusal)
            return
        operation(peer, request)

    def negotiate(self, sop_class_uid: str, information: bytes) -> bytes | None:
        """Answer service class application information (PS3.7 D.3.3.5); None: leave it out."""
        service = self._by_syntax.get(sop_class_uid)
        if service is None or service.negotiate is None:
            return None
        return service.negotiate(sop_class_uid, information)
