"""An admitted association on pynetdicom's state machine: our messages, our services."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connections
from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import (
    A_RELEASE,
    P_DATA,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

from dimse import commands, connection, contexts
from dimse.agreement import Agreement
from dimse.census import Guest
from dimse.commands import CommandError
from dimse.handlers.c_store import EndlessError, Reception
from dimse.messages import MOST_CANCELS, MOST_WAITING, Assembler
from dimse.peer import Context, Data, PeerLostError, Request, Response
from dimse.services import Table
from dimse.upperlayer import WAKE_AT_LEAST_EVERY_S, UpperLayer
from dimse.visit import Visit

logger = logging.getLogger(__name__)

# PDUs of ours that wait to be written; a service that makes them faster waits.
_MOST_UNSENT = 8
# How long a peer that goes on sending keeps a service from going on.
_LOOKS_FOR_S = 0.05
# A sender that announces no limit gets fragments of this size.
_FRAGMENT_BYTES = 128 * 1024


class Control(ACSE):
    """Negotiation after admission: the caller is known, only its contexts are left to answer."""

    def _negotiate_as_acceptor(self) -> None:
        inbound: InboundAssociation = self.assoc
        request = self.requestor.primitive
        self.requestor.ae_title = request.calling_ae_title
        agreement = inbound.agreement
        inbound._accepted_cx = {
            c.context_id: c for c in agreement.answers if c.result == contexts.ACCEPTED
        }
        inbound._rejected_cx = [c for c in agreement.answers if c.result != contexts.ACCEPTED]
        for uid, roles in agreement.roles.items():
            item = SCP_SCU_RoleSelectionNegotiation()
            item.sop_class_uid = uid
            item.scu_role, item.scp_role = roles
            self.acceptor.add_negotiation_item(item)
        for uid, information in agreement.extended.items():
            extended = SOPClassExtendedNegotiation()
            extended.sop_class_uid = uid
            extended.service_class_application_information = information
            self.acceptor.add_negotiation_item(extended)
        if agreement.confirms_identity:
            confirmed = UserIdentityNegotiation()
            confirmed.server_response = b""
            self.acceptor.add_negotiation_item(confirmed)
        self.send_accept()
        evt.trigger(inbound, evt.EVT_ACCEPTED, {})
        inbound.is_established = True
        evt.trigger(inbound, evt.EVT_ESTABLISHED, {})
        inbound.visit.note_association()


class Messages(DIMSEServiceProvider):
    """What pynetdicom's upper layer hands its data PDUs to."""

    def __init__(self, assoc: InboundAssociation) -> None:
        super().__init__(assoc)
        self._inbound = assoc
        self.assembler = Assembler(assoc.visit, assoc.contexts)
        self.cancelled: set[int] = set()
        self.responses: queue.Queue[Response] = queue.Queue()
        self.unanswered = 0

    def receive_primitive(self, primitive: Any) -> None:  # noqa: ANN401 - a P_DATA
        """Take the fragments of one P-DATA-TF."""
        try:
            self._take_all(primitive.presentation_data_value_list)
        except (CommandError, EndlessError) as error:
            self.assembler.discard()
            self._inbound.blame(str(error))
            self.dul.event_queue.put("Evt19")

    def _take_all(self, values: list[tuple[int, bytes]]) -> None:
        if not values:
            raise CommandError("A data PDU without any fragment came.")
        for context_id, value in values:
            whole = self.assembler.take(context_id, value)
            if whole is not None:
                self._deliver(*whole)

    def _deliver(self, context_id: int, message: Reception | Request | Response) -> None:
        if isinstance(message, Response):
            if not self.unanswered:
                raise CommandError("An answer came to what was not asked.")
            self.unanswered -= 1
            self.responses.put(message)
            self._inbound.news.set()
            return
        if isinstance(message, Request) and (message.command.command_field == commands.C_CANCEL_RQ):
            if len(self.cancelled) < MOST_CANCELS:
                self.cancelled.add(message.command.whole(commands.MESSAGE_ID_BEING_RESPONDED_TO))
            return
        while self.msg_queue.qsize() >= MOST_WAITING and not self._inbound.is_ending:
            # Asynchronous operations were not negotiated: its next bytes wait in the network.
            time.sleep(0.005)
        self.msg_queue.put((context_id, message))


class InboundAssociation(Association):
    """An admitted association; its thread ends with it. Services see it as their `Peer`.

    Parameters
    ----------
    ae : our application entity
    visit : whose association it is
    services : of its port
    agreement : what its request is answered
    on_end : called once when the association's thread ends
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        visit: Visit,
        services: Table,
        agreement: Agreement,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self._kill: bool
        self.is_established: bool
        self.is_released: bool
        self.is_aborted: bool
        self.visit = visit
        self.services = services
        self.agreement = agreement
        self.contexts = agreement.contexts
        self.extended = agreement.extended
        self.news = threading.Event()
        self.guest = Guest(visit.address, visit.ae_title, self._evict, self.break_off)
        self._on_end = on_end
        self.acse = Control(self)
        self.dul = UpperLayer(self)
        self.dimse = Messages(self)
        # Set again: these live in the upper layer, which is another one now.
        self.acse_timeout = ae.acse_timeout
        self.network_timeout = ae.network_timeout

    @property
    def is_ending(self) -> bool:
        """Whether nobody will take further messages."""
        return self._kill or self.is_aborted or self.is_released

    def blame(self, sentence: str) -> None:
        """Remember what the peer did wrong; the association ends."""
        logger.warning("%s %s", self.visit, sentence)
        self.visit.note_trouble(sentence)

    def break_off(self) -> None:
        """End at once, from any thread; never blocks."""
        sock = self.dul.socket
        client = sock.socket if sock is not None else None
        if client is not None:
            connection.break_off(client)

    def _evict(self) -> None:
        self.blame("Another association needed the place of this one, which stood still.")
        self.break_off()

    def run_reactor(self) -> None:
        """Negotiate, serve, clean up."""
        try:
            super().run_reactor()
        except Exception:
            # The edge of the thread.
            logger.exception("%s The association broke", self.visit)
            self.break_off()
        finally:
            self._kill = True
            self.dul.kill_dul()
            if self.dul.is_alive():
                self.dul.join(timeout=5)
            self.dul.dispose()
            self._discard_unserved()
            connections.close_all()
            self._on_end()
            self.visit.note_end("Released" if self.is_released else "Ended")

    def _discard_unserved(self) -> None:
        self.dimse.assembler.discard()
        while not self.dimse.msg_queue.empty():
            _, message = self.dimse.msg_queue.get(block=False)
            if isinstance(message, Reception):
                message.discard()

    def _run_reactor(self) -> None:
        self._is_paused = False
        while not self._kill:
            # Paused while waiting, so that a service may use the association from another thread.
            self._is_paused = True
            if self.dimse.msg_queue.empty():
                self.news.wait(timeout=WAKE_AT_LEAST_EVERY_S)
                self.news.clear()
            self._reactor_checkpoint.wait()
            self._is_paused = False
            context_id, message = self.dimse.get_msg(block=False)
            if message is not None:
                self._serve(message, context_id)
                continue
            if self._has_ended():
                return

    def _serve(self, message: Reception | Request, context_id: int) -> None:
        self.guest.is_served = True
        try:
            if isinstance(message, Reception):
                self.respond(self.contexts[context_id], message.finish())
            else:
                self.services.serve(self, message)
        except PeerLostError:
            logger.info("%s Went before its answer", self.visit)
        except CommandError as error:
            self.blame(str(error))
            self.abort(block=False)
        finally:
            self.dimse.cancelled.clear()
            self.guest.is_served = False
            self.guest.touch()
            # Our work is not the peer's idleness.
            self.dul._idle_timer.restart()

    def send(self, context: Context, command: bytes, data_set: Data | None = None) -> None:
        """Send one request; see `dimse.peer.Peer`."""
        self.dimse.unanswered += 1
        self._send_message(context, command, data_set)

    def respond(
        self, context: Context, command: bytes, data_set: bytes | None = None, *, more: bool = False
    ) -> None:
        """Send one response; see `dimse.peer.Peer`. Here none waits for another."""
        _ = more
        self._send_message(context, command, data_set)

    def _send_message(self, context: Context, command: bytes, data_set: Data | None) -> None:
        most = self.requestor.maximum_length or 0
        step = max(2, most - 6) if most else _FRAGMENT_BYTES
        self._send_fragments(context.context_id, 1, [command], step)
        if data_set is not None:
            pieces = [data_set] if isinstance(data_set, bytes | memoryview) else data_set
            self._send_fragments(context.context_id, 0, pieces, step)

    def _send_fragments(
        self, context_id: int, kind: int, pieces: Iterable[bytes | memoryview], step: int
    ) -> None:
        waiting = b""
        for piece in pieces:
            for start in range(0, len(piece), step):
                if waiting:
                    self._send_fragment(context_id, kind, waiting)
                waiting = bytes(piece[start : start + step])
        self._send_fragment(context_id, kind | 2, waiting)

    def _send_fragment(self, context_id: int, control: int, value: bytes) -> None:
        while self.dul.to_provider_queue.qsize() >= _MOST_UNSENT and not self.is_ending:
            self.news.wait(timeout=0.05)
            self.news.clear()
        if self._is_over:
            raise PeerLostError
        part = P_DATA()
        part.presentation_data_value_list.append((context_id, bytes([control]) + value))
        self.dul.send_pdu(part)

    @property
    def _is_over(self) -> bool:
        return self.is_ending or self.acse.is_aborted() or not self.dul.is_alive()

    def is_cancelled(self, message_id: int) -> bool:
        """Whether C-CANCEL came; see `dimse.peer.Peer`."""
        # Another thread takes what comes: a service is often faster.
        until = time.monotonic() + _LOOKS_FOR_S
        while not self.dul.has_taken_all() and time.monotonic() < until:
            time.sleep(0.001)
        if self._is_over:
            raise PeerLostError
        return message_id in self.dimse.cancelled

    def is_waiting(self) -> bool:
        """Whether the peer has nothing else under way; see `dimse.peer.Peer`."""
        if self._is_over:
            raise PeerLostError
        return (
            self.dimse.msg_queue.empty()
            and not self.dimse.assembler.is_receiving
            and not isinstance(self.dul.peek_next_pdu(), A_RELEASE)
        )

    def response_to(self, message_id: int, timeout_s: float) -> Response:
        """Wait for an answer; see `dimse.peer.Peer`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not self._is_over:
            try:
                found = self.dimse.responses.get(block=False)
            except queue.Empty:
                self.news.wait(timeout=0.05)
                self.news.clear()
                continue
            if found.command.whole(commands.MESSAGE_ID_BEING_RESPONDED_TO) == message_id:
                return found
        if not self._is_over:
            self.blame("It did not answer a request of ours in time.")
            self.abort(block=False)
        raise PeerLostError

    def _has_ended(self) -> bool:
        if self.is_established and self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
            self.is_released = True
            self.is_established = False
            evt.trigger(self, evt.EVT_RELEASED, {})
            self.kill()
            return True
        if self.acse.is_aborted():
            self.dul.receive_pdu(wait=False)
            self.is_aborted = True
            self.is_established = False
            evt.trigger(self, evt.EVT_ABORTED, {})
            self.kill()
            return True
        if not self.dul.is_alive():
            self.kill()
            return True
        if self.dul.idle_timer_expired():
            logger.info("%s Idle for too long", self.visit)
            self.abort()
            self.kill()
            return True
        return False
