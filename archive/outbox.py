"""Events: written in the transaction in which something happened, read by jobs and by the relay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import correlation, rows
from archive.correlation import Origin
from archive.database import Cursor
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
class MeasurementChanged(Event):
    """Something was drawn on a study, changed or removed."""

    kind: ClassVar[str] = "measurement.changed"
    study_id: UUID


@dataclass(frozen=True, slots=True)
class InstanceConflicted(Event):
    """Other content came under a SOP Instance UID that is taken."""

    kind: ClassVar[str] = "instance.conflicted"
    study_id: UUID
    conflict_id: UUID


@dataclass(frozen=True, slots=True)
class TransmissionChanged(Event):
    """A study's way to a destination: it was queued, goes on, has ended."""

    kind: ClassVar[str] = "transmission.changed"
    study_id: UUID
    transmission_id: UUID


@dataclass(frozen=True, slots=True)
class ReconstructionChanged(Event):
    """Planes or pictures of a volume: they were asked for, go on, have ended."""

    kind: ClassVar[str] = "reconstruction.changed"
    study_id: UUID
    reconstruction_id: UUID


@dataclass(frozen=True, slots=True)
class AnalysisChanged(Event):
    """A program's run on a study, or what a person says of what it found."""

    kind: ClassVar[str] = "analysis.changed"
    study_id: UUID
    analysis_id: UUID


@dataclass(frozen=True, slots=True)
class WorkitemChanged(Event):
    """A work item (PS3.4 annex CC) is new or another, or somebody is told how it stands.

    Attributes
    ----------
    reports : type and DICOM JSON of each event for subscribers; no identity of a patient
    subscribers : account and AE title of each of them
    is_changed : whether lists of work items show something else now
    """

    kind: ClassVar[str] = "workitem.changed"
    workitem_id: UUID
    sop_instance_uid: str
    reports: list[tuple[str, dict[str, Any]]]
    subscribers: list[tuple[str, str]]
    is_changed: bool = True


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
class AlertChanged:
    """Something goes wrong with the site, has become urgent, or is over: for administrators."""

    kind: ClassVar[str] = "alert.changed"
    alert_id: UUID
    is_open: bool
    facility_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NotificationCreated:
    """A person has a new notification."""

    kind: ClassVar[str] = "notification.created"
    notification_id: UUID
    user_id: UUID
    facility_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NotificationGrown:
    """A notification that a person has not read tells of one more."""

    kind: ClassVar[str] = "notification.grown"
    notification_id: UUID
    user_id: UUID
    facility_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NotificationRead:
    """A person has read notifications: their other pages count again."""

    kind: ClassVar[str] = "notification.read"
    user_id: UUID
    facility_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class UploadProgressed:
    """A person's resumable upload has come further, or was stored, or was refused."""

    kind: ClassVar[str] = "upload.progress"
    user_id: UUID
    upload_id: UUID
    state: str
    offset: int
    length: int
    facility_id: UUID | None = None


AnyEvent = (
    Event
    | AlertChanged
    | CallerRefused
    | NotificationCreated
    | NotificationGrown
    | NotificationRead
    | UploadProgressed
)


def record(event: AnyEvent, *, origin: Origin | None = None) -> OutboxEvent:
    """Write `event` in the present transaction.

    Parameters
    ----------
    origin : what it happened in, where that is not the present request or association
    """
    return OutboxEvent.objects.create(
        **_values(event, correlation.origin() if origin is None else origin)
    )


def record_all(
    connection: BaseDatabaseWrapper, cursor: Cursor, events: Iterable[tuple[AnyEvent, Origin]]
) -> None:
    """Write many events, each with what it happened in, in the present transaction."""
    rows.insert(
        OutboxEvent, connection, cursor, [_values(event, origin) for event, origin in events]
    )


def _values(event: AnyEvent, origin: Origin) -> dict[str, Any]:
    payload = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name != "facility_id":
            payload[field.name] = str(value) if isinstance(value, UUID) else value
    return {
        "kind": event.kind,
        "payload": payload,
        "facility_id": event.facility_id,
        "origin": dict(origin) or None,
    }
