"""What the outbox holds, as messages to pages: the shapes of docs/api/events.md."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from archive.models import OutboxEvent
from notifications.documents import moment, notification_document
from notifications.identity import Identity
from notifications.models import Notification
from notifications.services import unread_counts

logger = logging.getLogger(__name__)

Message = dict[str, Any]

_MOST_EVENTS = 2000
# An event's number is given before its transaction commits: a later number may be seen first. A
# number that was passed over is looked for again for this long; ingest commits within a second.
_GAP_S = 30.0
# Every build of SQLite takes so many values in one statement.
_MOST_GAPS = 900
_LOOK_BACK = 500

_NOTIFICATION_MESSAGES = {
    "notification.created": "notification.new",
    "notification.grown": "notification.changed",
}
_STUDY_MESSAGES = {
    "instance.stored": ("study.changed", "images"),
    "study.changed": ("study.changed", "details"),
    "instance.conflicted": ("conflict.new", ""),
}


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message and who may have it: a facility's people, one person, or administrators.

    With an AE title it is for subscribers of that title alone, without one for pages alone.
    """

    message: Message
    facility_id: UUID | None = None
    user_id: UUID | None = None
    is_for_all: bool = False
    ae_title: str = ""

    @classmethod
    def to_all(cls, message: Message) -> Addressed:
        """Address everybody; never with anything of a facility."""
        return cls(message, is_for_all=True)

    def is_for(self, identity: Identity) -> bool:
        """Whether this person may have it."""
        if self.ae_title or identity.ae_title:
            return (
                self.ae_title == identity.ae_title
                and self.user_id == identity.user_id
                and self.facility_id is not None
                and identity.scope.includes(self.facility_id)
            )
        if self.is_for_all:
            return True
        if self.user_id is not None:
            return identity.user_id == self.user_id
        if self.facility_id is not None:
            return identity.scope.includes(self.facility_id)
        return identity.is_administrator


@dataclass(slots=True)
class Cursor:
    """How far the outbox has been read, and which numbers before that are still missing."""

    last_id: int = 0
    # Number -> until when it is looked for.
    gaps: dict[int, float] = field(default_factory=dict)

    @classmethod
    def at_end(cls) -> Cursor:
        """Begin behind the newest event; what is just being committed before it still counts."""
        newest = OutboxEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
        first = max(1, newest - _LOOK_BACK)
        window = OutboxEvent.objects.filter(id__gte=first, id__lte=newest)
        known = set(window.values_list("id", flat=True))
        cursor = cls(last_id=newest)
        cursor._miss(number for number in range(first, newest) if number not in known)
        return cursor

    def copy(self) -> Cursor:
        """Return a cursor that may be moved without moving this one."""
        return Cursor(self.last_id, dict(self.gaps))

    def read(self) -> list[OutboxEvent]:
        """Return the events that were not read yet, in their order."""
        late = list(OutboxEvent.objects.filter(id__in=list(self.gaps))) if self.gaps else []
        fresh = list(OutboxEvent.objects.filter(id__gt=self.last_id).order_by("id")[:_MOST_EVENTS])
        for event in late:
            del self.gaps[event.pk]
        now = time.monotonic()
        self.gaps = {number: until for number, until in self.gaps.items() if until > now}
        expected = self.last_id + 1
        for event in fresh:
            self._miss(range(max(expected, event.pk - _MOST_GAPS), event.pk))
            expected = event.pk + 1
        if fresh:
            self.last_id = fresh[-1].pk
        return sorted([*late, *fresh], key=lambda event: event.pk)

    def _miss(self, numbers: Iterable[int]) -> None:
        until = time.monotonic() + _GAP_S
        for number in numbers:
            self.gaps[number] = until
        while len(self.gaps) > _MOST_GAPS:
            del self.gaps[next(iter(self.gaps))]


def translate(events: Iterable[OutboxEvent]) -> list[Addressed]:
    """Return what pages are told of `events`; a study's many images become one message."""
    events = list(events)
    told = {e.payload["notification_id"] for e in events if e.kind in _NOTIFICATION_MESSAGES}
    rows = {str(row.pk): row for row in Notification.objects.filter(pk__in=told)}
    people = {e.payload["user_id"] for e in events if e.kind.startswith("notification.")}
    counts = unread_counts(UUID(user_id) for user_id in people) if people else {}
    messages: dict[tuple[str, ...], Addressed] = {}
    for event in events:
        try:
            for key, addressed in _messages_of(event, rows, counts):
                messages.setdefault(key, addressed)
        except (KeyError, ValueError):
            # One event that another version wrote must not hold up all that follow.
            logger.exception("Event %s of kind %s cannot be told.", event.pk, event.kind)
    return list(messages.values())


Keyed = tuple[tuple[str, ...], Addressed]


def _messages_of(
    event: OutboxEvent, rows: dict[str, Notification], counts: dict[UUID, int]
) -> Iterator[Keyed]:
    payload, head = event.payload, {"type": event.kind, "at": moment(event.created_at)}
    if event.kind in _STUDY_MESSAGES:
        yield _study_message(event)
    elif event.kind == "measurement.changed":
        message = {**head, "study_id": payload["study_id"], "facility": str(event.facility_id)}
        yield (event.kind, payload["study_id"]), Addressed(message, event.facility_id)
    elif event.kind == "workitem.changed":
        yield from _workitem_messages(event, head)
    elif event.kind == "transmission.changed":
        facts = {key: payload[key] for key in ("study_id", "transmission_id")}
        message = {**head, "facility": str(event.facility_id), **facts}
        yield (event.kind, facts["transmission_id"]), Addressed(message, event.facility_id)
    elif event.kind == "reconstruction.changed":
        facts = {key: payload[key] for key in ("study_id", "reconstruction_id")}
        message = {**head, "facility": str(event.facility_id), **facts}
        yield (event.kind, facts["reconstruction_id"]), Addressed(message, event.facility_id)
    elif event.kind == "analysis.changed":
        facts = {key: payload[key] for key in ("study_id", "analysis_id")}
        message = {**head, "facility": str(event.facility_id), **facts}
        yield (event.kind, facts["analysis_id"]), Addressed(message, event.facility_id)
    elif event.kind == "caller.seen":
        facts = {key: payload[key] for key in ("ae_title", "service", "address")}
        message = {**head, "facility": str(event.facility_id), **facts}
        yield (event.kind, *facts.values()), Addressed(message, event.facility_id)
    elif event.kind == "caller.refused":
        facts = {key: payload[key] for key in ("knock_id", "calling_ae_title")}
        yield (event.kind, facts["knock_id"]), Addressed({**head, **facts})
    elif event.kind == "upload.progress":
        facts = {key: payload[key] for key in ("upload_id", "state", "offset", "length")}
        key = (event.kind, facts["upload_id"], facts["state"], str(facts["offset"]))
        yield key, Addressed({**head, **facts}, user_id=UUID(payload["user_id"]))
    elif event.kind in _NOTIFICATION_MESSAGES or event.kind == "notification.read":
        user_id = UUID(payload["user_id"])
        message = {**head, "type": "notification.unread", "unread": counts[user_id]}
        row = rows.get(payload.get("notification_id", ""))
        if row is not None:
            document = notification_document(row)
            message |= {"type": _NOTIFICATION_MESSAGES[event.kind], "notification": document}
        yield (
            (message["type"], str(row.pk if row else user_id)),
            Addressed(message, user_id=user_id),
        )


def _workitem_messages(event: OutboxEvent, head: Message) -> Iterator[Keyed]:
    """Tell pages that a work item changed, and subscribers of it what happened."""
    payload = event.payload
    if payload["is_changed"]:
        facts = {"facility": str(event.facility_id), "workitem_id": payload["workitem_id"]}
        addressed = Addressed({**head, **facts}, event.facility_id)
        yield (event.kind, payload["workitem_id"]), addressed
    for number, (kind, information) in enumerate(payload["reports"]):
        report = {"type": kind, "uid": payload["sop_instance_uid"], "information": information}
        for user_id, ae_title in payload["subscribers"]:
            # Each event is a message of its own: the order and number of them mean something.
            key = ("workitem.report", str(event.pk), str(number), user_id, ae_title)
            yield (
                key,
                Addressed(report, event.facility_id, user_id=UUID(user_id), ae_title=ae_title),
            )


def _study_message(event: OutboxEvent) -> Keyed:
    payload = event.payload
    name, reason = _STUDY_MESSAGES[event.kind]
    study_id = payload["study_id"]
    message = {
        "type": name,
        "at": moment(event.created_at),
        "study_id": study_id,
        "facility": str(event.facility_id),
    }
    key = (name, study_id, reason)
    if event.kind == "instance.stored" and payload["is_new_study"]:
        message |= {"type": "study.new", "is_demo": payload["is_demo"]}
        key = ("study.new", study_id, "")
    elif reason:
        message["reason"] = reason
    else:
        message["conflict_id"] = payload["conflict_id"]
        key = (name, payload["conflict_id"], "")
    return key, Addressed(message, event.facility_id)
