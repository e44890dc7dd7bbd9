"""An association as a service sees it: a request comes, answers go, whatever carries them.

Services (C-FIND, C-MOVE, MPPS ...) are functions of a `Peer` and a `Request`; what reads and writes
the connection implements `Peer`. A service runs in its association's thread and may block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dimse import commands
from dimse.commands import CommandSet
from dimse.status import Answer
from dimse.visit import Visit

# All of a data set, or its pieces one after the other.
Data = bytes | memoryview | Iterable[bytes | memoryview]


class PeerLostError(Exception):
    """The association ended while a service was at work; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context (PS3.8 9.3.3.2).

    Attributes
    ----------
    transfer_syntax : the one accepted; data sets of both directions are encoded in it
    is_ours_to_call : the peer took the SCP role (PS3.7 D.3.3.4): we may send it requests, as C-GET
        does
    """

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    is_ours_to_call: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A request other than C-STORE.

    Attributes
    ----------
    command : its command set
    data_set : as sent, in the context's transfer syntax; empty where the command announces none
    """

    context: Context
    command: CommandSet
    data_set: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """A peer's answer to a request of ours."""

    command: CommandSet
    data_set: bytes = b""


class Peer(Protocol):
    """The association that a request came on; used from the thread that serves it alone."""

    @property
    def visit(self) -> Visit:
        """Whose it is: facility, AE title, address."""

    @property
    def contexts(self) -> Mapping[int, Context]:
        """Accepted presentation contexts by identifier."""

    @property
    def extended(self) -> Mapping[str, bytes]:
        """What extended negotiation agreed on, by SOP Class UID (PS3.7 D.3.3.5)."""

    def send(self, context: Context, command: bytes, data_set: Data | None = None) -> None:
        """Send one request, whose answer `response_to` waits for.

        Parameters
        ----------
        command : its command set, which says whether there is a data set
        data_set : all of it, or pieces of any size. Memory of 256 KiB and more goes out without a
            copy; that of a piece may be used again once the next one is asked for.

        Raises
        ------
        PeerLostError
            When the association is over.
        """

    def respond(
        self, context: Context, command: bytes, data_set: bytes | None = None, *, more: bool = False
    ) -> None:
        """Send one response.

        Parameters
        ----------
        command : its command set, which says whether there is a data set
        more : another one follows at once: this one may wait for it, to leave with one write

        Raises
        ------
        PeerLostError
            When the association is over.
        """

    def is_cancelled(self, message_id: int) -> bool:
        """Whether the peer has sent C-CANCEL for a request; takes note of what came, never waits.

        Raises
        ------
        PeerLostError
            When the association is over.
        """

    def is_waiting(self) -> bool:
        """Whether the peer has nothing else under way: no request waits, it asked for no release.

        Only then may a service hold the association for something that comes later. Never waits.

        Raises
        ------
        PeerLostError
            When the association is over.
        """

    def response_to(self, message_id: int, timeout_s: float) -> Response:
        """Wait for the peer's answer to a request that was sent with `send`.

        Raises
        ------
        PeerLostError
            When the association is over, or nothing came in time (the association is ended then).
        """


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the receiver: what it is offered under and which messages it answers.

    Attributes
    ----------
    abstract_syntaxes : SOP classes of its presentation contexts
    transfer_syntaxes : taken for its data sets
    operations : by command field of the request (PS3.7 table E.1-1)
    negotiate : answers service class application information for a SOP class (PS3.7 D.3.3.5);
        without it, none is returned
    """

    abstract_syntaxes: tuple[str, ...]
    transfer_syntaxes: tuple[str, ...]
    operations: Mapping[int, Callable[[Peer, Request], None]]
    negotiate: Callable[[str, bytes], bytes | None] | None = field(default=None)


def answer(
    peer: Peer,
    request: Request,
    outcome: Answer,
    fields: Mapping[int, bytes] | None = None,
    data_set: bytes | None = None,
) -> None:
    """Send one response to `request`.

    Parameters
    ----------
    outcome : status and comment
    fields : further elements of the command set by element number, as `commands.us` and
        `commands.ui` encode them
    data_set : encoded in the context's transfer syntax; None: the response has none
    """
    command = commands.response(
        request.command, outcome, fields or {}, has_data_set=data_set is not None
    )
    peer.respond(request.context, command, data_set)
