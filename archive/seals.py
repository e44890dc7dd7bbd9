"""The chain over the audit trail: who edits, removes or reorders an event is found out.

Events are written by many processes at once, which must not wait for one another, and some of
their transactions are rolled back; so nobody links them while they are written. Within seconds a
runner takes all that were committed since, in one transaction, into a seal: each event's id and
digest, the head of the seal before, and a signature over both (docs/adr/0088).
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from archive import runner, signing
from archive.models import AuditEvent, AuditSeal, SigningKey

logger = logging.getLogger(__name__)

PURPOSE = "audit-seal"
FIRST_HEAD = "0" * 64
# A runner that is well leaves nothing unsealed for longer.
SEALED_WITHIN = timedelta(minutes=10)

_MOST_EVENTS = 5000
_ID_SIZE = 16
_DIGEST_SIZE = 16
_ENTRY_SIZE = _ID_SIZE + _DIGEST_SIZE
_SAY_EVERY_S = 3600.0
_said = [-_SAY_EVERY_S]

# Everything of an event but the number of its seal, which it does not know yet.
_COLUMNS = tuple(f.attname for f in AuditEvent._meta.concrete_fields if f.name != "seal_number")
_ID = _COLUMNS.index("id")


@runner.pulse
def seal() -> AuditSeal | None:
    """Take what is not sealed yet into the chain; None when there is nothing.

    Two runners may try at once: one of them makes the link, the other comes again.
    """
    if not AuditEvent.objects.filter(seal_number=None).exists():
        return None
    try:
        with transaction.atomic():
            made = _seal()
    except IntegrityError:
        return None
    if made is not None and time.monotonic() - _said[0] > _SAY_EVERY_S:
        _said[0] = time.monotonic()
        # In the system's log too, which is kept by others: nobody cuts the chain's end off unseen.
        logger.info("The audit trail is sealed up to %d: %s", made.number, made.head)
    return made


def _seal() -> AuditSeal | None:
    last = AuditSeal.objects.select_for_update().defer("entries").order_by("-number").first()
    events = AuditEvent.objects.filter(seal_number=None).order_by("id")
    rows = list(events.values_list(*_COLUMNS)[:_MOST_EVENTS])
    if not rows:
        return None
    made = AuditSeal(
        number=last.number + 1 if last else 1,
        sealed_at=timezone.now(),
        event_count=len(rows),
        entries=b"".join(_entry(row) for row in rows),
        previous_head=last.head if last else FIRST_HEAD,
    )
    made.head = head_of(made)
    signature = signing.sign(PURPOSE, bytes.fromhex(made.head))
    made.signing_key_id, made.signature = signature.key_id, signature.text
    made.save(force_insert=True)
    AuditEvent.objects.filter(pk__in=[row[_ID] for row in rows]).update(seal_number=made.number)
    return made


def head_of(made: AuditSeal) -> str:
    """Return the head that a seal must have: a SHA-256 in hex."""
    text = json.dumps(
        [
            made.number,
            made.sealed_at.isoformat(),
            made.event_count,
            made.previous_head,
            hashlib.sha256(made.entries).hexdigest(),
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _entry(row: tuple[Any, ...]) -> bytes:
    text = json.dumps(row, default=_plain, ensure_ascii=False, sort_keys=True)
    event_id: UUID = row[_ID]
    return event_id.bytes + hashlib.sha256(text.encode()).digest()[:_DIGEST_SIZE]


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@dataclass(frozen=True, slots=True)
class Head:
    """The chain as somebody saw it: what stands before can be checked against it ever after."""

    number: int
    head: str

    def __str__(self) -> str:
        return f"{self.number}:{self.head}"


@dataclass(slots=True)
class Report:
    """What was found.

    Parameters
    ----------
    problems : a sentence each; the first of them, should there be many
    """

    events: int = 0
    seals: int = 0
    unsealed: int = 0
    head: Head | None = None
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether the trail is as it was written."""
        return not self.problem_count

    def add(self, problem: str) -> None:
        """Count a problem, and keep its sentence if there are not too many."""
        self.problem_count += 1
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)


_MOST_PROBLEMS = 200


def verify(seen: Head | None = None, *, is_live: bool = True) -> Report:
    """Check every event against its seal, and the chain of seals.

    Parameters
    ----------
    seen : a head that was kept elsewhere; without one, nobody can tell that the newest seals were
        removed together with their events, or that a new key has signed all of it anew
    is_live : events that nobody has sealed are a fault; in a copy nobody does
    """
    report = Report()
    keys = dict(SigningKey.objects.values_list("id", "public_key"))
    head, number = FIRST_HEAD, 0
    for one in AuditSeal.objects.order_by("number").iterator(chunk_size=50):
        if one.number != number + 1:
            report.add(f"Seals {number + 1} to {one.number - 1} are missing.")
        elif one.previous_head != head:
            report.add(f"Seal {one.number} does not continue seal {number}.")
        _check_seal(one, keys, report)
        _check_events(one, report)
        if seen is not None and one.number == seen.number and one.head != seen.head:
            report.add(f"Seal {one.number} is not the one that was seen: {seen.head}.")
        head, number = one.head, one.number
        report.seals += 1
    if number:
        report.head = Head(number, head)
    if seen is not None and seen.number > number:
        report.add(f"Seals {number + 1} to {seen.number} are missing: the end was cut off.")
    _check_rest(number, report, is_live=is_live)
    return report


def _check_seal(one: AuditSeal, keys: dict[str, str], report: Report) -> None:
    if head_of(one) != one.head or len(one.entries) != one.event_count * _ENTRY_SIZE:
        report.add(f"Seal {one.number} was changed.")
    message = bytes.fromhex(one.head)
    public_key = keys.get(one.signing_key_id, "")
    if not signing.is_signed(public_key, PURPOSE, message, one.signature):
        report.add(f"The signature of seal {one.number} is wrong.")


def _check_events(one: AuditSeal, report: Report) -> None:
    sealed = dict(_split(bytes(one.entries)))
    rows = AuditEvent.objects.filter(seal_number=one.number).order_by("id").values_list(*_COLUMNS)
    for row in rows.iterator(chunk_size=2000):
        report.events += 1
        event_id: UUID = row[_ID]
        digest = sealed.pop(event_id, None)
        if digest is None:
            report.add(f"Event {event_id} was added to seal {one.number}.")
        elif _entry(row)[_ID_SIZE:] != digest:
            report.add(f"Event {event_id} (seal {one.number}) was changed.")
    for event_id in sealed:
        report.add(f"Event {event_id} (seal {one.number}) is missing.")


def _split(entries: bytes) -> Iterator[tuple[UUID, bytes]]:
    for start in range(0, len(entries) - _ENTRY_SIZE + 1, _ENTRY_SIZE):
        entry = entries[start : start + _ENTRY_SIZE]
        yield UUID(bytes=entry[:_ID_SIZE]), entry[_ID_SIZE:]


def _check_rest(number: int, report: Report, *, is_live: bool) -> None:
    """Look at the events that no seal that exists has."""
    beyond = AuditEvent.objects.filter(seal_number__gt=number).count()
    if beyond:
        report.add(f"{beyond} events name a seal that is missing.")
    loose = AuditEvent.objects.filter(seal_number=None)
    report.unsealed = loose.count()
    if is_live and loose.filter(at__lt=timezone.now() - SEALED_WITHIN).exists():
        report.add(
            f"{report.unsealed} events are not sealed, some for more than "
            f"{SEALED_WITHIN.total_seconds() // 60:.0f} minutes: is the worker running?"
        )
