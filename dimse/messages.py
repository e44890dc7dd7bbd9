"""From fragments to messages (PS3.7 6.3, PS3.8 E.2).

The data set of a C-STORE goes to the spool as it comes and is never decoded here; data sets of
other messages are small and kept in memory.
"""

from __future__ import annotations

from collections.abc import Mapping

from dimse import commands
from dimse.commands import CommandError, CommandSet
from dimse.handlers.c_store import Reception
from dimse.peer import Context, Request, Response
from dimse.visit import Visit

# Of messages other than C-STORE: queries, MPPS, commitment.
_MAX_OTHER_DATA_BYTES = 4 * 1024 * 1024

# Requests that a peer sends without waiting for answers; more wait in its socket.
MOST_WAITING = 4
MOST_CANCELS = 10

Message = Reception | Request | Response


class Assembler:
    """Puts the messages of one association together.

    Parameters
    ----------
    visit : whose association it is
    contexts : the accepted presentation contexts
    """

    def __init__(self, visit: Visit, contexts: Mapping[int, Context]) -> None:
        self._visit = visit
        self._contexts = contexts
        self._raw_command = bytearray()
        self._context_id = 0
        self._reception: Reception | None = None
        self._command: CommandSet | None = None
        self._data_set = bytearray()

    @property
    def is_receiving(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._raw_command) or self._is_data_set_due

    @property
    def _is_data_set_due(self) -> bool:
        return self._reception is not None or self._command is not None

    def discard(self) -> None:
        """Forget a message that will not end."""
        if self._reception is not None:
            self._reception.discard()
            self._reception = None

    def take(self, context_id: int, value: bytes | memoryview) -> tuple[int, Message] | None:
        """Take one presentation data value with its control header (PS3.8 E.2).

        Nothing of `value` is kept: its memory may be used again afterwards.

        Returns
        -------
        The message that it completes with its presentation context, if it completes one.

        Raises
        ------
        CommandError, EndlessError
            The association cannot go on.
        """
        if not value:
            raise CommandError("A fragment without its control header came.")
        fragment, is_last = memoryview(value)[1:], bool(value[0] & 2)
        if value[0] & 1:
            return self._take_command(context_id, fragment, is_last=is_last)
        if context_id != self._context_id:
            raise CommandError("The data set came on another context than its command.")
        if self._reception is not None:
            self._reception.write(fragment)
            if not is_last:
                return None
            reception, self._reception = self._reception, None
            return context_id, reception
        if self._command is None:
            raise CommandError("A data set came without its command.")
        if len(self._data_set) + len(fragment) > _MAX_OTHER_DATA_BYTES:
            raise CommandError(f"A query is longer than {_MAX_OTHER_DATA_BYTES} bytes.")
        self._data_set += fragment
        if not is_last:
            return None
        command, self._command = self._command, None
        data_set, self._data_set = bytes(self._data_set), bytearray()
        return context_id, self._whole(context_id, command, data_set)

    def _take_command(
        self, context_id: int, fragment: memoryview, *, is_last: bool
    ) -> tuple[int, Message] | None:
        if self._is_data_set_due:
            raise CommandError("A command came in the middle of a data set.")
        self._raw_command += fragment
        if len(self._raw_command) > commands.MAX_BYTES:
            raise CommandError(f"The command is longer than {commands.MAX_BYTES} bytes.")
        self._context_id = context_id
        if not is_last:
            return None
        raw, self._raw_command = bytes(self._raw_command), bytearray()
        command = commands.parse(raw)
        context = self._contexts.get(context_id)
        if context is None:
            raise CommandError("A message came on a presentation context that was not accepted.")
        if command.command_field == commands.C_STORE_RQ:
            if not command.has_data_set:
                raise CommandError("A C-STORE came without a data set.")
            self._reception = Reception(
                self._visit,
                command,
                abstract_syntax=context.abstract_syntax,
                transfer_syntax=context.transfer_syntax,
            )
            return None
        if command.has_data_set:
            self._command = command
            return None
        return context_id, self._whole(context_id, command, b"")

    def _whole(self, context_id: int, command: CommandSet, data_set: bytes) -> Request | Response:
        if command.command_field & commands.RESPONSE:
            return Response(command, data_set)
        # Every request but C-CANCEL has one; asked for here, so that no service has to.
        if command.command_field != commands.C_CANCEL_RQ:
            _ = command.message_id
        return Request(self._contexts[context_id], command, data_set)
