"""pynetdicom's upper layer, made to wait instead of poll, and bounded against its peer.

pynetdicom keeps the state machine of PS3.8. Ours are the reading of PDUs (length and time limits)
and the waiting: its reactor wakes 1,000 times a second for every idle association, this one when
there is something to do. It depends on how pynetdicom 3.0 is built; the tests drive every part of
it with real peers.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Any

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError
from pynetdicom.transport import AssociationSocket

from dimse import connection
from dimse.connection import Pace, PeerGoneError, ProtocolError

if TYPE_CHECKING:
    from dimse.inbound import InboundAssociation

logger = logging.getLogger(__name__)

# Safety net of the waits; every event wakes them at once.
WAKE_AT_LEAST_EVERY_S = 1.0


class Socket(AssociationSocket):
    """A connection whose association request was read before pynetdicom got it."""

    def __init__(self, assoc: Association, client: socket.socket, first: bytes, pace: Pace) -> None:
        super().__init__(assoc, client_socket=client)
        self._first = first
        self._pace = pace

    @property
    def ready(self) -> bool:
        """Whether a PDU waits to be read; unlike `select` for any descriptor number."""
        if self._first:
            return True
        if self.socket is None or not self._is_connected:
            return False
        try:
            return connection.is_readable(self.socket) or _has_decrypted(self.socket)
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False

    def receive_pdu(self) -> bytes:
        """Return the next whole PDU; see `connection.receive_pdu`."""
        if self._first:
            first, self._first = self._first, b""
            return first
        if self.socket is None:
            raise PeerGoneError("The connection is closed.")
        return connection.receive_pdu(
            self.socket, self._pace.pdu_timeout_s, first=False, most=self._pace.pdu_bytes
        )

    def drain(self) -> bool:
        """Drop what a peer sends after the end; returns whether it is still there."""
        if self.socket is None:
            return False
        try:
            self.socket.settimeout(0.5)
            return bool(self.socket.recv(65536))
        except OSError:
            return False

    def send(self, bytestream: bytes) -> None:
        """Send one PDU with one write."""
        try:
            if self.socket is None:
                raise PeerGoneError("The connection is closed.")
            self.socket.settimeout(self._pace.pdu_timeout_s)
            self.socket.sendall(bytestream)
        except OSError:
            self.event_queue.put("Evt17")


def _has_decrypted(client: socket.socket) -> bool:
    pending = getattr(client, "pending", None)
    return pending is not None and pending() > 0


class UpperLayer(DULServiceProvider):
    """The upper layer of one association; a thread that sleeps until the peer or we want it."""

    def __init__(self, assoc: InboundAssociation) -> None:
        super().__init__(assoc)
        self._inbound = assoc
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wake_lock = threading.Lock()
        self._is_resting = False
        self.daemon = True

    def wake(self) -> None:
        """Have the reactor look at its queues."""
        with self._wake_lock:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)

    def has_taken_all(self) -> bool:
        """Whether everything that the peer has sent was looked at."""
        client = self.socket.socket if self.socket is not None else None
        if client is not None and client.fileno() >= 0 and connection.is_readable(client):
            return False
        return self._is_resting or not self.is_alive()

    def send_pdu(self, primitive: Any) -> None:  # noqa: ANN401 - pynetdicom's union
        """Queue a primitive to be sent."""
        super().send_pdu(primitive)
        self.wake()

    def kill_dul(self) -> None:
        """End the reactor."""
        super().kill_dul()
        self.wake()

    def stop_dul(self) -> bool:
        """End the reactor if nothing is open any more; returns whether it ended."""
        if self.state_machine.current_state == "Sta1":
            self.kill_dul()
        return bool(super().stop_dul())

    def dispose(self) -> None:
        """Give the wake-up descriptor back; harmless when it is gone."""
        with self._wake_lock:
            if self._wake_fd >= 0:
                os.close(self._wake_fd)
                self._wake_fd = -1

    def run_reactor(self) -> None:
        """Serve the state machine until it is killed."""
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            while not self._kill_thread:
                self._turn()
        except InvalidEventError as error:
            # The peer did not wait for our answer; no state of PS3.8 goes on from there.
            self._inbound.blame(f"It broke off out of turn ({error}).")
            self._inbound.break_off()
        except Exception:
            # The edge of the thread.
            logger.exception("%s The association broke", self._inbound.visit)
            self._inbound.break_off()
        finally:
            self.dispose()
            self._inbound.news.set()

    def _turn(self) -> None:
        if self.event_queue.empty():
            if self.artim_timer.expired:
                self.event_queue.put("Evt18")
            elif not self._process_recv_primitive() and self._is_transport_event():
                self._idle_timer.restart()
        if self.event_queue.empty():
            self._wait()
        else:
            self.state_machine.do_action(self.event_queue.get(block=False))
            self._inbound.news.set()

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        client = self.socket.socket if self.socket is not None else None
        if client is not None and client.fileno() >= 0:
            poller.register(client, select.POLLIN)
        wait_s = min(WAKE_AT_LEAST_EVERY_S, max(0.0, self.artim_timer.remaining))
        self._is_resting = True
        ready = poller.poll(wait_s * 1000)
        self._is_resting = False
        for descriptor, _ in ready:
            if descriptor == self._wake_fd:
                os.eventfd_read(self._wake_fd)

    def _is_transport_event(self) -> bool:
        if self.state_machine.current_state != "Sta13":
            return bool(super()._is_transport_event())
        # After the end: what still comes is dropped until the peer closes or its time is over.
        sock = self.socket
        if sock is None or sock.socket is None:
            return False
        if sock.ready and sock.drain():
            return True
        sock.close()
        return True

    def _read_pdu_data(self) -> None:
        sock = self.socket
        try:
            pdu, event = self._decode_pdu(sock.receive_pdu())
        except PeerGoneError as error:
            if self._inbound.dimse.assembler.is_receiving:
                self._inbound.visit.note_trouble(f"The connection was lost: {error}")
            self.event_queue.put("Evt17")
        except OSError:
            self.event_queue.put("Evt17")
        except ProtocolError as error:
            self._inbound.blame(str(error))
            self.event_queue.put("Evt19")
        except Exception as error:  # noqa: BLE001 - the decoder raises anything on bad input
            self._inbound.blame(f"A PDU could not be read ({type(error).__name__}: {error}).")
            self.event_queue.put("Evt19")
        else:
            self._inbound.guest.touch()
            self._recv_pdu.put(pdu)
            self.event_queue.put(event)
