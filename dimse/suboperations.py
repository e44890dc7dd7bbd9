"""C-STORE sub-operations: one instance goes out, one answer comes back (PS3.4 C.4.2, C.4.3)."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from archive import outgoing
from archive.errors import ArchiveError
from archive.retrieval import StoredInstance
from dimse import commands, status
from dimse.commands import CommandError
from dimse.peer import Context, Response
from imaging.transcode import TARGETS

# A receiver may have to write gigabytes before it answers.
ANSWER_TIMEOUT_S = 120.0
_MOST_MESSAGE_ID = 0xFFFF


class Line(Protocol):
    """An association on which we may send C-STORE requests: a `Peer`, or one that we opened."""

    def send(self, context: Context, command: bytes, data_set: outgoing.Data) -> None:
        """Send one request; see `dimse.peer.Peer`."""

    def response_to(self, message_id: int, timeout_s: float) -> Response:
        """Wait for its answer; see `dimse.peer.Peer`."""


class Fate(enum.Enum):
    """What became of one instance."""

    COMPLETED = "completed"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One instance that was sent, or was not.

    Attributes
    ----------
    reason : why it failed, or the warning, as a sentence; empty when all is well
    """

    instance: StoredInstance
    fate: Fate
    reason: str = ""

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver has it, be it with a warning."""
        return self.fate is not Fate.FAILED


@dataclass(frozen=True, slots=True)
class Originator:
    """Who asked for a C-MOVE: it is told to the receiver (PS3.7 9.1.1.1)."""

    ae_title: str
    message_id: int


@dataclass(slots=True)
class Tally:
    """Counts of the sub-operations of one retrieval.

    Attributes
    ----------
    remaining, completed, failed, warning : PS3.4 C.4.2.1.6 to C.4.2.1.9
    failed_uids : SOP Instance UIDs for (0008,0058)
    reasons : why instances failed, each sentence once
    """

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    def note(self, delivery: Delivery) -> None:
        """Count one sub-operation."""
        self.remaining -= 1
        if delivery.fate is Fate.COMPLETED:
            self.completed += 1
            return
        if delivery.fate is Fate.WARNING:
            self.warning += 1
        else:
            self.failed += 1
            self.failed_uids.append(delivery.instance.sop_instance_uid)
        self.reasons[delivery.reason] = self.reasons.get(delivery.reason, 0) + 1

    def fields(self, *, with_remaining: bool) -> dict[int, bytes]:
        """Return the counts as elements of a response; a count has two bytes at most."""
        counts = {
            commands.COMPLETED_SUBOPERATIONS: self.completed,
            commands.FAILED_SUBOPERATIONS: self.failed,
            commands.WARNING_SUBOPERATIONS: self.warning,
        }
        if with_remaining:
            counts[commands.REMAINING_SUBOPERATIONS] = self.remaining
        return {element: commands.us(min(count, 0xFFFF)) for element, count in counts.items()}


class Courier:
    """Sends instances on one association; reads the next one while one is being answered.

    Parameters
    ----------
    line : the association; nobody else sends requests on it meanwhile
    contexts : accepted for storage, by SOP class
    originator : who asked for them by C-MOVE
    is_without_bulk : leave out pixel data, waveforms and documents (PS3.4 annex Z)
    """

    def __init__(
        self,
        line: Line,
        contexts: Mapping[str, Sequence[Context]],
        originator: Originator | None = None,
        *,
        is_without_bulk: bool = False,
    ) -> None:
        self._line = line
        self._contexts = contexts
        self._originator = b""
        if originator is not None:
            self._originator = commands.move_originator(originator.ae_title, originator.message_id)
        self._is_without_bulk = is_without_bulk
        self._message_id = 0
        self._memory = outgoing.Memory()
        self._ahead: tuple[StoredInstance, outgoing.Data] | None = None
        self._chosen: dict[tuple[str, str], Context | None] = {}

    def deliver(
        self, instance: StoredInstance, following: StoredInstance | None = None
    ) -> Delivery:
        """Send one instance and wait for the answer.

        Parameters
        ----------
        following : the next one

        Raises
        ------
        PeerLostError, CommandError
            When the association is over, or must be ended.

        References
        ----------
        DICOM PS3.4 annex B, PS3.7 section 9.1.1.
        """
        context = self._context_of(instance)
        if context is None:
            reason = "The receiver does not take this kind of instance."
            return Delivery(instance, Fate.FAILED, reason)
        try:
            data = self._data_of(instance, context)
        except ArchiveError as error:
            return Delivery(instance, Fate.FAILED, str(error))
        self._message_id = self._message_id % _MOST_MESSAGE_ID + 1
        command = commands.store_request(
            self._message_id, instance.sop_class_uid, instance.sop_instance_uid, self._originator
        )
        try:
            self._line.send(context, command, data)
        except OSError as error:
            raise CommandError("The store failed in the middle of an instance.") from error
        self._read_ahead(following)
        response = self._line.response_to(self._message_id, ANSWER_TIMEOUT_S)
        return _judge(instance, response)

    def _context_of(self, instance: StoredInstance) -> Context | None:
        kind = instance.sop_class_uid, instance.transfer_syntax_uid
        if kind not in self._chosen:
            self._chosen[kind] = choose(self._contexts.get(kind[0], ()), kind[1])
        return self._chosen[kind]

    def _data_of(self, instance: StoredInstance, context: Context) -> outgoing.Data:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is instance:
            return ahead[1]
        return outgoing.data_set(
            instance,
            context.transfer_syntax,
            self._memory,
            is_without_bulk=self._is_without_bulk,
        )

    def _read_ahead(self, following: StoredInstance | None) -> None:
        """Read what is small and needs no work; what fails, fails when its turn comes."""
        if following is None or self._is_without_bulk or not outgoing.is_small(following):
            return
        context = self._context_of(following)
        if context is None or context.transfer_syntax != following.transfer_syntax_uid:
            return
        with contextlib.suppress(ArchiveError):
            data = outgoing.data_set(following, context.transfer_syntax, self._memory)
            self._ahead = (following, data)


def choose(contexts: Sequence[Context], stored_syntax: str) -> Context | None:
    """Return the context to send on: the stored encoding, else the one that costs least to make."""
    by_syntax = {context.transfer_syntax: context for context in reversed(contexts)}
    for syntax in (stored_syntax, *TARGETS):
        if syntax in by_syntax:
            return by_syntax[syntax]
    return contexts[0] if contexts else None


def _judge(instance: StoredInstance, response: Response) -> Delivery:
    code = response.command.status
    if code == status.SUCCESS:
        return Delivery(instance, Fate.COMPLETED)
    comment = response.command.text(commands.ERROR_COMMENT).rstrip(".")
    said = f"The receiver answered 0x{code:04X}{': ' + comment if comment else ''}."
    # PS3.7 annex C: warnings are 0001, Bxxx, 0107 and 0116.
    is_warning = code >> 12 == 0xB or code in (0x0001, 0x0107, 0x0116)
    return Delivery(instance, Fate.WARNING if is_warning else Fate.FAILED, said)
