"""An admitted association, served by pynetdicom's service classes and our C-STORE."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from django.db import connections
from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA, SCP_SCU_RoleSelectionNegotiation

from dimse import commands, connection, contexts
from dimse.census import Guest
from dimse.contexts import Offer
from dimse.handlers.c_store import Reception
from dimse.messages import Messages
from dimse.upperlayer import WAKE_AT_LEAST_EVERY_S, UpperLayer
from dimse.visit import Visit

logger = logging.getLogger(__name__)


class Control(ACSE):
    """Negotiation after admission: the caller is known, only its contexts are left to answer."""

    def _negotiate_as_acceptor(self) -> None:
        inbound: InboundAssociation = self.assoc
        request = self.requestor.primitive
        self.requestor.ae_title = request.calling_ae_title
        roles = {
            str(uid): (bool(item.scu_role), bool(item.scp_role))
            for uid, item in self.requestor.role_selection.items()
        }
        answers = contexts.negotiate(
            [
                Offer(
                    context_id=context.context_id,
                    abstract_syntax=str(context.abstract_syntax),
                    transfer_syntaxes=tuple(str(uid) for uid in context.transfer_syntax),
                )
                for context in request.presentation_context_definition_list
            ],
            inbound.services,
            roles,
        )
        accepted = {c.context_id: c for c in answers if c.result == contexts.ACCEPTED}
        inbound._accepted_cx = accepted
        inbound._rejected_cx = [c for c in answers if c.result != contexts.ACCEPTED]
        for uid in {str(c.abstract_syntax) for c in accepted.values()} & roles.keys():
            # We are never the client on an association that others open.
            item = SCP_SCU_RoleSelectionNegotiation()
            item.sop_class_uid = uid
            item.scu_role, item.scp_role = roles[uid][0], False
            self.acceptor.add_negotiation_item(item)
        self.send_accept()
        evt.trigger(inbound, evt.EVT_ACCEPTED, {})
        inbound.is_established = True
        evt.trigger(inbound, evt.EVT_ESTABLISHED, {})
        inbound.visit.note_association()


class InboundAssociation(Association):
    """An admitted association; its thread ends with it.

    Parameters
    ----------
    ae : our application entity
    visit : whose association it is
    services : abstract syntaxes other than storage, with their transfer syntaxes
    on_end : called once when the association's thread ends
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        visit: Visit,
        services: dict[str, tuple[str, ...]],
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self._kill: bool
        self.is_established: bool
        self.is_released: bool
        self.is_aborted: bool
        self.visit = visit
        self.services = services
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

    def accepted(self, context_id: int) -> Any | None:  # noqa: ANN401 - a PresentationContext
        """Return an accepted presentation context."""
        return self._accepted_cx.get(context_id)

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
        self.dimse.discard()
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

    def _serve(self, message: Any, context_id: int) -> None:  # noqa: ANN401
        self.guest.is_served = True
        try:
            if isinstance(message, Reception):
                answer = message.finish()
                self._send_command(context_id, commands.c_store_response(message.command, answer))
            elif not message.is_valid_request:
                self.blame(f"A {message.msg_type} came that is no valid request.")
                self.abort(block=False)
            else:
                self._serve_request(message, context_id)
        finally:
            self.guest.is_served = False
            self.guest.touch()
            # Our work is not the peer's idleness.
            self.dul._idle_timer.restart()

    def _send_command(self, context_id: int, command: bytes) -> None:
        most = self.requestor.maximum_length or 0
        step = max(1, most - 6) if most else len(command)
        for start in range(0, len(command), step):
            is_last = start + step >= len(command)
            part = P_DATA()
            part.presentation_data_value_list.append(
                (context_id, (b"\x03" if is_last else b"\x01") + command[start : start + step])
            )
            self.dul.send_pdu(part)

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
