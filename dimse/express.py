"""An admitted association on our own upper layer: one thread, one buffer, one write a message.

It is the acceptor's side of PS3.8's state machine from the A-ASSOCIATE-AC on, for every service.
`dimse.inbound` does the same on pynetdicom's; the same tests drive both.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import NoReturn

from dimse import commands, connection, wire
from dimse.agreement import agree, encode
from dimse.association import AssociationRequest
from dimse.census import Guest
from dimse.commands import CommandError
from dimse.connection import Pace, PeerGoneError, ProtocolError
from dimse.handlers.c_store import EndlessError, Reception
from dimse.messages import MOST_CANCELS, MOST_WAITING, Assembler, Message
from dimse.peer import Context, Data, PeerLostError, Request, Response
from dimse.services import Table
from dimse.visit import Visit
from dimse.wire import Wire

logger = logging.getLogger(__name__)

_RELEASE_RP = struct.pack(">BxIxxxx", 0x06, 4)


class _EndError(Exception):
    """The association is over.

    Parameters
    ----------
    last : the PDU that ends it; empty when there is nobody to hear it
    """

    def __init__(self, last: bytes = b"") -> None:
        super().__init__()
        self.last = last


class ExpressAssociation:
    """One association; `run` serves it in the calling thread. Services see it as their `Peer`.

    Parameters
    ----------
    client : its connection; the request has been read, nothing of ours was written
    request : the admitted request
    visit : whose it is
    services : what it may ask for
    pace : limits of the connection
    """

    def __init__(
        self,
        client: socket.socket,
        request: AssociationRequest,
        visit: Visit,
        services: Table,
        pace: Pace,
    ) -> None:
        self._visit = visit
        self._request = request
        self._services = services
        self._pace = pace
        self._agreement = agree(request, services, visit.username)
        self._wire = Wire(client, pace)
        self._assembler = Assembler(visit, self._agreement.contexts)
        # Fragments of the PDU that is being worked on; its buffer is theirs until they are taken.
        self._values: Iterator[tuple[int, memoryview]] = iter(())
        self._waiting: deque[tuple[Context, Reception | Request]] = deque()
        self._cancelled: set[int] = set()
        self._responses: deque[Response] = deque()
        self._unanswered = 0
        self._end: _EndError | None = None
        self._is_released = False
        self.guest = Guest(visit.address, visit.ae_title, self._evict, self.break_off)

    @property
    def visit(self) -> Visit:
        """Whose it is."""
        return self._visit

    @property
    def contexts(self) -> Mapping[int, Context]:
        """Accepted presentation contexts by identifier."""
        return self._agreement.contexts

    @property
    def extended(self) -> Mapping[str, bytes]:
        """What extended negotiation agreed on, by SOP Class UID."""
        return self._agreement.extended

    def break_off(self) -> None:
        """End at once, from any thread; never blocks."""
        self._wire.break_off()

    def _evict(self) -> None:
        self._blame("Another association needed the place of this one, which stood still.")
        self.break_off()

    def _blame(self, sentence: str) -> None:
        logger.warning("%s %s", self._visit, sentence)
        self._visit.note_trouble(sentence)

    def run(self) -> None:
        """Accept, serve until the end, clean up."""
        last = b""
        try:
            self._wire.write([encode(self._request, self._agreement, self._pace.pdu_bytes)])
            self._visit.note_association()
            self._serve_all()
        except _EndError as end:
            last = end.last
        except PeerGoneError:
            logger.info("%s Went before its answer", self._visit)
        except Exception:
            # The edge of the thread.
            logger.exception("%s The association broke", self._visit)
            last = connection.ABORT
        finally:
            self._discard_unserved()
            if last:
                self._wire.end(last)
            else:
                self._wire.close()
            self._visit.note_end("Released" if self._is_released else "Ended")

    def _serve_all(self) -> None:
        while True:
            if not self._waiting:
                self._sort(self._next(None))
                continue
            context, message = self._waiting.popleft()
            self.guest.is_served = True
            try:
                self._serve(context, message)
            finally:
                self._cancelled.clear()
                self.guest.touch()
                self.guest.is_served = False

    def _serve(self, context: Context, message: Reception | Request) -> None:
        try:
            if isinstance(message, Reception):
                self._wire.write_data(
                    context.context_id, message.finish(), None, self._request.maximum_length
                )
            else:
                self._services.serve(self, message)
        except CommandError as error:
            self._blame(str(error))
            raise _EndError(connection.abort_pdu(connection.INVALID_PARAMETER)) from error
        except PeerLostError:
            logger.info("%s Went before its answer", self._visit)
            raise (self._end or _EndError()) from None

    def _next(self, deadline: float | None) -> tuple[Context, Message] | None:
        """Return the next whole message, or None when none has come in time.

        Parameters
        ----------
        deadline : monotonic seconds; 0: what has come, without waiting; None: as long as the peer
            is not idle

        Raises
        ------
        _EndError
            When the association is over.
        """
        try:
            while True:
                if self._end is not None:
                    raise self._end
                for context_id, value in self._values:
                    whole = self._assembler.take(context_id, value)
                    if whole is not None:
                        return self.contexts[whole[0]], whole[1]
                until = deadline
                if until is None:
                    until = time.monotonic() + self._pace.idle_timeout_s
                pdu = self._wire.read(until)
                if pdu is None:
                    return None
                self.guest.touch()
                self._take(*pdu)
        except (CommandError, EndlessError, ProtocolError) as error:
            self._assembler.discard()
            self._blame(str(error))
            reason = getattr(error, "reason", connection.INVALID_PARAMETER)
            self._end = _EndError(connection.abort_pdu(reason))
            raise self._end from error
        except PeerGoneError as error:
            if self._assembler.is_receiving or self._wire.is_within_pdu:
                self._visit.note_trouble(f"The connection was lost: {error}")
            self._end = _EndError()
            raise self._end from error

    def _take(self, kind: int, field: memoryview) -> None:
        if kind == connection.P_DATA_TF:
            self._values = wire.values(field)
            return
        if kind == connection.A_RELEASE_RQ:
            # What it sent before is answered first; nothing may come after it.
            self._is_released = True
            self._end = _EndError(_RELEASE_RP)
            return
        self._end = _EndError()

    def _sort(self, found: tuple[Context, Message] | None) -> None:
        """Put a message where it is waited for."""
        if found is None:
            logger.info("%s Idle for too long", self._visit)
            self._end = _EndError(connection.ABORT)
            raise self._end
        context, message = found
        if isinstance(message, Response):
            if not self._unanswered:
                self._refuse("An answer came to what was not asked.")
            self._unanswered -= 1
            self._responses.append(message)
        elif isinstance(message, Request) and (
            message.command.command_field == commands.C_CANCEL_RQ
        ):
            try:
                cancelled = message.command.whole(commands.MESSAGE_ID_BEING_RESPONDED_TO)
            except CommandError as error:
                self._refuse(str(error))
            if len(self._cancelled) < MOST_CANCELS:
                self._cancelled.add(cancelled)
        else:
            self._waiting.append((context, message))

    def _refuse(self, sentence: str) -> NoReturn:
        self._blame(sentence)
        self._end = _EndError(connection.abort_pdu(connection.INVALID_PARAMETER))
        raise self._end

    def _discard_unserved(self) -> None:
        self._assembler.discard()
        for _, message in self._waiting:
            if isinstance(message, Reception):
                message.discard()
        self._waiting.clear()

    def send(self, context: Context, command: bytes, data_set: Data | None = None) -> None:
        """Send one request; see `dimse.peer.Peer`."""
        self._unanswered += 1
        try:
            self._wire.write_data(
                context.context_id, command, data_set, self._request.maximum_length
            )
        except PeerGoneError as error:
            self._end = _EndError()
            raise PeerLostError from error

    def respond(
        self, context: Context, command: bytes, data_set: bytes | None = None, *, more: bool = False
    ) -> None:
        """Send one response; see `dimse.peer.Peer`."""
        try:
            self._wire.post(
                context.context_id, command, data_set, self._request.maximum_length, more=more
            )
        except PeerGoneError as error:
            self._end = _EndError()
            raise PeerLostError from error

    def is_cancelled(self, message_id: int) -> bool:
        """Whether C-CANCEL came; see `dimse.peer.Peer`."""
        self._look()
        return message_id in self._cancelled

    def is_waiting(self) -> bool:
        """Whether the peer has nothing else under way; see `dimse.peer.Peer`."""
        self._look()
        return not self._waiting and self._end is None and not self._assembler.is_receiving

    def _look(self) -> None:
        """Take what has come, without waiting; as far as there is room for requests."""
        try:
            while len(self._waiting) < MOST_WAITING:
                found = self._next(0)
                if found is None:
                    return
                self._sort(found)
        except _EndError as end:
            # A release waits until the service is done; after anything else nobody listens.
            if not self._is_released:
                raise PeerLostError from end

    def response_to(self, message_id: int, timeout_s: float) -> Response:
        """Wait for an answer; see `dimse.peer.Peer`."""
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                while self._responses:
                    found = self._responses.popleft()
                    if found.command.whole(commands.MESSAGE_ID_BEING_RESPONDED_TO) == message_id:
                        return found
                if len(self._waiting) >= MOST_WAITING or time.monotonic() >= deadline:
                    self._refuse("It did not answer a request of ours in time.")
                message = self._next(deadline)
                if message is not None:
                    self._sort(message)
        except _EndError as end:
            raise PeerLostError from end
