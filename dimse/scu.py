"""We call others: an echo that says in words what it found, and sending stored instances.

Only registered destinations are called; what came over the network names none.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from archive.models import Destination
from archive.retrieval import StoredInstance
from dimse import commands, status
from dimse.commands import CommandError
from dimse.contexts import Offer
from dimse.outbound import MOST_CONTEXTS, Association, CallError
from dimse.peer import PeerLostError
from dimse.suboperations import Courier, Delivery, Fate, Originator
from imaging.part10 import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from imaging.transcode import TARGETS

_VERIFICATION = "1.2.840.10008.1.1"
_ECHO_TIMEOUT_S = 10.0
# A receiver that broke off this often in a row is left alone.
_MOST_LOSSES = 3


@dataclass(frozen=True, slots=True)
class EchoReport:
    """What a C-ECHO found.

    Attributes
    ----------
    is_success : answered with 0x0000
    message : what happened and, where it failed, what to do
    elapsed_ms : from the first packet to the answer
    """

    is_success: bool
    message: str
    elapsed_ms: float


def echo(destination: Destination) -> EchoReport:
    """Ask a destination whether it is there.

    Raises
    ------
    ForbiddenError
        If it is not registered.

    References
    ----------
    DICOM PS3.4 annex A, PS3.7 section 9.1.5.
    """
    began = time.monotonic()
    name = destination.ae_title
    try:
        code = _echo(destination)
    except (CallError, PeerLostError) as error:
        return EchoReport(False, str(error), (time.monotonic() - began) * 1000)
    elapsed_ms = (time.monotonic() - began) * 1000
    if code != status.SUCCESS:
        message = f"{name} answered the echo with an error (0x{code:04X}). Its log says more."
        return EchoReport(False, message, elapsed_ms)
    return EchoReport(True, f"{name} answered in {max(1, round(elapsed_ms))} ms.", elapsed_ms)


def _echo(destination: Destination) -> int:
    offer = Offer(1, _VERIFICATION, (IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN))
    with Association(destination, [offer]) as association:
        fields = {commands.AFFECTED_SOP_CLASS_UID: commands.ui(_VERIFICATION)}
        command = commands.request(commands.C_ECHO_RQ, 1, fields, has_data_set=False)
        association.send(association.contexts[1], command)
        return association.response_to(1, _ECHO_TIMEOUT_S).command.status


def send(
    destination: Destination,
    instances: Sequence[StoredInstance],
    originator: Originator | None = None,
) -> Generator[Delivery, None, None]:
    """Send stored instances and yield what became of each.

    Associations are opened as they are needed, several where one cannot offer every kind, and
    released when the iterator is closed. A receiver that cannot be reached, or that breaks off,
    fails the instances that it would have got; nothing is raised for it.

    Parameters
    ----------
    destination : a registered one
    instances : in the order in which they are sent, as far as their kinds allow
    originator : who asked for them by C-MOVE

    Raises
    ------
    ForbiddenError
        If the destination is not registered.

    References
    ----------
    DICOM PS3.4 annex B, PS3.7 section 9.1.1.
    """
    for offers, batch in _batches(instances):
        rest = list(reversed(batch))
        losses = 0
        while rest:
            before = len(rest)
            try:
                yield from _send_some(destination, offers, rest, originator)
            except CallError as error:
                while rest:
                    yield Delivery(rest.pop(), Fate.FAILED, str(error))
            except (PeerLostError, CommandError) as error:
                # The one that was being sent may be the reason; the others are tried again.
                losses = losses + 1 if len(rest) == before else 1
                count = 1 if losses < _MOST_LOSSES else len(rest)
                for _ in range(count):
                    yield Delivery(rest.pop(), Fate.FAILED, str(error))


def _send_some(
    destination: Destination,
    offers: Sequence[Offer],
    rest: list[StoredInstance],
    originator: Originator | None,
) -> Iterator[Delivery]:
    """Send from the end of `rest` on one association; what was answered is taken off."""
    with Association(destination, offers) as association:
        by_class = {
            uid: association.contexts_of(uid) for uid in {offer.abstract_syntax for offer in offers}
        }
        courier = Courier(association, by_class, originator)
        while rest:
            delivery = courier.deliver(rest[-1], rest[-2] if len(rest) > 1 else None)
            rest.pop()
            yield delivery


def _batches(
    instances: Sequence[StoredInstance],
) -> Iterator[tuple[list[Offer], list[StoredInstance]]]:
    """Group instances so that the contexts of each group fit into one association."""
    by_class: dict[str, dict[str, list[StoredInstance]]] = {}
    for instance in instances:
        syntaxes = by_class.setdefault(instance.sop_class_uid, {})
        syntaxes.setdefault(instance.transfer_syntax_uid, []).append(instance)
    proposed: list[tuple[str, tuple[str, ...]]] = []
    batch: set[tuple[str, str]] = set()
    groups: list[tuple[list[tuple[str, tuple[str, ...]]], set[tuple[str, str]]]] = []
    for sop_class, stored in by_class.items():
        for some in _chunks(list(stored), MOST_CONTEXTS - len(_FALLBACKS)):
            wanted = _proposals(some)
            if len(proposed) + len(wanted) > MOST_CONTEXTS:
                groups.append((proposed, batch))
                proposed, batch = [], set()
            proposed = proposed + [(sop_class, syntaxes) for syntaxes in wanted]
            batch |= {(sop_class, syntax) for syntax in some}
    groups.append((proposed, batch))
    for contexts, kinds in groups:
        offers = [
            Offer(2 * number + 1, sop_class, syntaxes)
            for number, (sop_class, syntaxes) in enumerate(contexts)
        ]
        yield (
            offers,
            [i for i in instances if (i.sop_class_uid, i.transfer_syntax_uid) in kinds],
        )


# Offered beside the stored encodings, each for itself: what an instance can be converted to where
# its receiver takes nothing else; the last one lets it choose. Implicit VR Little Endian is every
# receiver's (PS3.5 10.1).
_FALLBACKS = ((EXPLICIT_LITTLE_ENDIAN,), (IMPLICIT_LITTLE_ENDIAN,), TARGETS[2:])


def _proposals(stored: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the transfer syntaxes of each context of one SOP class."""
    contexts = [(syntax,) for syntax in stored]
    return [*contexts, *(some for some in _FALLBACKS if some not in contexts)]


def _chunks(values: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
