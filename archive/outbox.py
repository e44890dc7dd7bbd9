"""Events: written in the transaction in which something happened, read by jobs and by the relay."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar
from uuid import UUID

from archive.models import OutboxEvent


@dataclass(frozen=True, slots=True)
class Event:
    """Base: `kind` names it, `facility_id` says who may hear of it."""

    kind: ClassVar[str]
    facility_id: UUID


@dataclass(frozen=True, slots=True)
class InstanceStored(Event):
    """An instance is durable and visible."""

    kind: ClassVar[str] = "instance.stored"
    study_id: UUID
    series_id: UUID
    image_id: UUID
    modality: str
    is_new_study: bool
    is_demo: bool = False


@dataclass(frozen=True, slots=True)
class StudyChanged(Event):
    """Something that lists show has changed (status, warning, thumbnail)."""

    kind: ClassVar[str] = "study.changed"
    study_id: UUID


@dataclass(frozen=True, slots=True)
class InstanceConflicted(Event):
    """Other content came under a SOP Instance UID that is taken."""

    kind: ClassVar[str] = "instance.conflicted"
    study_id: UUID
    conflict_id: UUID


@dataclass(frozen=True, slots=True)
class CallerSeen(Event):
    """A known AE called: an echo or an association, for the facility's page."""

    kind: ClassVar[str] = "caller.seen"
    ae_title: str
    service: str
    address: str


@dataclass(frozen=True, slots=True)
class CallerRefused:
    """An unknown or misdirected caller was refused: for administrators alone."""

    kind: ClassVar[str] = "caller.refused"
    knock_id: UUID
    calling_ae_title: str
    facility_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NotificationCreated:
    """A person has a new notification."""

    kind: ClassVar[str] = "notification.created"
    notification_id: UUID
    user_id: UUID
    facility_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NotificationRead:
    """A person has read notifications: their other pages count again."""

    kind: ClassVar[str] = "notification.read"
    user_id: UUID
    facility_id: UUID | None = None


AnyEvent = Event | CallerRefused | NotificationCreated | NotificationRead


def record(event: AnyEvent) -> OutboxEvent:
    """Write `event` in the present transaction."""
    payload = {
        name: str(value) if isinstance(value, UUID) else value
        for name, value in asdict(event).items()
        if name != "facility_id"
    }
    return OutboxEvent.objects.create(
        kind=event.kind, payload=payload, facility_id=event.facility_id
    )
