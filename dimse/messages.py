"""From fragments to messages (PS3.7 6.3, PS3.8 E.2).

The data set of a C-STORE goes to the spool as it comes and is never decoded here; messages of other
services are small and pynetdicom's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pynetdicom import evt
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL
from pynetdicom.pdu_primitives import P_DATA

from dimse import commands
from dimse.commands import CommandError
from dimse.handlers.c_store import EndlessError, Reception

if TYPE_CHECKING:
    from dimse.inbound import InboundAssociation

# Requests that a peer sends without waiting for answers; more wait in its socket.
_MOST_WAITING = 4
_MOST_CANCELS = 10
# Of messages other than C-STORE: queries, MPPS, commitment.
_MAX_OTHER_DATA_BYTES = 4 * 1024 * 1024


class Messages(DIMSEServiceProvider):
    """Assembles messages from fragments (PS3.7 6.3, PS3.8 E.2)."""

    def __init__(self, assoc: InboundAssociation) -> None:
        super().__init__(assoc)
        self._inbound = assoc
        self._command = bytearray()
        self._context_id = 0
        self._reception: Reception | None = None

    @property
    def is_receiving(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._command) or self._reception is not None or self.message is not None

    def receive_primitive(self, primitive: Any) -> None:  # noqa: ANN401 - a P_DATA
        """Take the fragments of one P-DATA-TF."""
        try:
            self._receive_all(primitive.presentation_data_value_list)
        except (CommandError, EndlessError) as error:
            self._give_up(str(error))
        except Exception as error:  # noqa: BLE001 - pynetdicom decodes what is not a C-STORE
            self._give_up(f"A message could not be read ({type(error).__name__}: {error}).")

    def discard(self) -> None:
        """Forget a message that will not end."""
        if self._reception is not None:
            self._reception.discard()
            self._reception = None

    def _give_up(self, sentence: str) -> None:
        self.discard()
        self._inbound.blame(sentence)
        self.dul.event_queue.put("Evt19")

    def _receive_all(self, fragments: list[tuple[int, bytes]]) -> None:
        if not fragments:
            raise CommandError("A data PDU without any fragment came.")
        for context_id, value in fragments:
            self._receive(context_id, value)

    def _receive(self, context_id: int, value: bytes) -> None:
        if not value:
            raise CommandError("A fragment without its control header came.")
        fragment, is_last = memoryview(value)[1:], bool(value[0] & 2)
        if value[0] & 1:
            if self._reception is not None or self.message is not None:
                raise CommandError("A command came in the middle of a data set.")
            self._command += fragment
            if len(self._command) > commands.MAX_BYTES:
                raise CommandError(f"The command is longer than {commands.MAX_BYTES} bytes.")
            self._context_id = context_id
            if is_last:
                command, self._command = bytes(self._command), bytearray()
                self._begin(context_id, command)
            return
        if context_id != self._context_id:
            raise CommandError("The data set came on another context than its command.")
        if self._reception is not None:
            self._reception.write(fragment)
            if is_last:
                reception, self._reception = self._reception, None
                self._deliver(context_id, reception)
        elif self.message is not None:
            self._receive_other(context_id, value)
        else:
            raise CommandError("A data set came without its command.")

    def _begin(self, context_id: int, raw: bytes) -> None:
        command = commands.parse(raw)
        context = self._inbound.accepted(context_id)
        if context is None:
            raise CommandError("A message came on a presentation context that was not accepted.")
        if command.command_field == commands.C_STORE_RQ:
            if not command.has_data_set:
                raise CommandError("A C-STORE came without a data set.")
            self._reception = Reception(
                self._inbound.visit,
                command.as_store(),
                abstract_syntax=str(context.abstract_syntax),
                transfer_syntax=str(context.transfer_syntax[0]),
            )
            return
        self.message = DIMSEMessage()
        self._receive_other(context_id, b"\x03" + raw)

    def _receive_other(self, context_id: int, value: bytes) -> None:
        message = self.message
        if message.data_set is not None and (
            message.data_set.tell() + len(value) > _MAX_OTHER_DATA_BYTES
        ):
            raise CommandError(f"A query is longer than {_MAX_OTHER_DATA_BYTES} bytes.")
        part = P_DATA()
        part.presentation_data_value_list.append((context_id, value))
        if message.decode_msg(part, self.assoc):
            self.message = None
            evt.trigger(self.assoc, evt.EVT_DIMSE_RECV, {"message": message})
            request = message.message_to_primitive()
            if isinstance(request, C_CANCEL):
                if len(self.cancel_req) < _MOST_CANCELS:
                    self.cancel_req[request.MessageIDBeingRespondedTo] = request
                return
            self._deliver(context_id, request)

    def _deliver(self, context_id: int, request: Any) -> None:  # noqa: ANN401
        while self.msg_queue.qsize() >= _MOST_WAITING and not self._inbound.is_ending:
            # Asynchronous operations were not negotiated: its next bytes wait in the network.
            time.sleep(0.005)
        self.msg_queue.put((context_id, request))
