"""Instances on their way into the database: those of concurrent senders in one transaction.

Nearly every instance belongs to a series that this process has just stored another one of. Its
place is remembered, and its rows take four statements; the statements themselves check that the
place is still the same. Whatever is new or odd goes through `archive.catalogue`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import DatabaseError, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from uuid_utils.compat import uuid7

from archive import catalogue, correlation, database, outbox, rows
from archive.catalogue import Added, Placed
from archive.correlation import Origin
from archive.database import Cursor
from archive.errors import ArchiveError
from archive.groupcommit import GroupCommit
from imaging.header import InstanceIndex
from worklist.models import DicomImage, Facility, Series, Study

_MOST_PLACES = 4096


@dataclass(frozen=True, slots=True)
class Arrival:
    """An instance whose bytes are durable; only its rows are missing."""

    index: InstanceIndex
    facility: Facility
    placed: Placed
    # Somebody else may commit it.
    origin: Origin = field(default_factory=correlation.origin)


class CommitUnknownError(DatabaseError):
    """The database failed while it committed: whether the rows are there has to be looked up."""


class _Identity(NamedTuple):
    facility_id: UUID
    study_instance_uid: str
    series_instance_uid: str
    patient_identifier: str


class _Place(NamedTuple):
    study_id: UUID
    series_id: UUID
    modality: str


class _StalePlaceError(Exception):
    """A remembered study or series is not there any more, or hidden."""


class _Places:
    """Where recent series are; what is forgotten is looked up again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: OrderedDict[_Identity, _Place] = OrderedDict()

    def get(self, identity: _Identity) -> _Place | None:
        with self._lock:
            place = self._places.get(identity)
            if place is not None:
                self._places.move_to_end(identity)
            return place

    def put(self, identity: _Identity, place: _Place) -> None:
        with self._lock:
            self._places[identity] = place
            while len(self._places) > _MOST_PLACES:
                self._places.popitem(last=False)

    def forget(self, identities: Sequence[_Identity]) -> None:
        with self._lock:
            for identity in identities:
                self._places.pop(identity, None)


_places = _Places()


def add(arrival: Arrival) -> Added:
    """Commit the rows of one instance, with those of others who do the same now.

    Within a transaction of the caller the rows become a part of it.

    Raises
    ------
    IntegrityError
        When the facility already has this SOP Instance UID.
    DeletedError
        When its study or series was deleted here.
    OperationalError
        When the database takes nothing now; nothing was stored.
    CommitUnknownError
        When the connection broke while it committed.
    """
    if database.is_in_transaction():
        (outcome,) = _commit([arrival])
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome
    return _group.submit(arrival)


def _commit(arrivals: Sequence[Arrival]) -> list[Added | BaseException]:
    """Store all in one transaction; when one of them cannot be, each in its own."""
    outcomes: dict[int, Added | BaseException] = {}
    with database.shared():
        known: dict[int, Arrival] = {}
        for number, arrival in enumerate(arrivals):
            # Those behind a new series of the same group find it remembered.
            if _places.get(_identity(arrival)) is not None:
                known[number] = arrival
                continue
            outcomes[number] = _one(arrival)
            if isinstance(outcomes[number], OperationalError):
                # Each further one would wait as long for as little.
                rest = [n for n in range(len(arrivals)) if n not in outcomes]
                outcomes |= dict.fromkeys(rest, outcomes[number])
                known.clear()
                break
        if known:
            outcomes |= dict(zip(known, _many(list(known.values())), strict=True))
    return [outcomes[number] for number in range(len(arrivals))]


def _many(arrivals: Sequence[Arrival]) -> Sequence[Added | BaseException]:
    is_written = False
    try:
        connection = transaction.get_connection()
        with database.written(connection) as cursor:
            added = _write(connection, cursor, arrivals)
            is_written = True
    except _StalePlaceError:
        _places.forget([_identity(arrival) for arrival in arrivals])
        return _one_by_one(arrivals)
    except DatabaseError as error:
        if is_written:
            return [_meaning_of_failed_commit(error)] * len(arrivals)
        if len(arrivals) == 1 or isinstance(error, OperationalError):
            return [error] * len(arrivals)
        return _one_by_one(arrivals)
    return added


def _one_by_one(arrivals: Sequence[Arrival]) -> Sequence[Added | BaseException]:
    outcomes: list[Added | BaseException] = []
    for arrival in arrivals:
        is_hopeless = bool(outcomes) and isinstance(outcomes[-1], OperationalError)
        outcomes.append(outcomes[-1] if is_hopeless else _one(arrival))
    return outcomes


def _one(arrival: Arrival) -> Added | BaseException:
    """Store one instance whose series may be new."""
    identity = _identity(arrival)
    is_written = False
    try:
        with transaction.atomic():
            added = catalogue.add(arrival.index, arrival.facility, arrival.placed)
            outbox.record(_event(arrival, added), origin=arrival.origin)
            is_written = True
    except DatabaseError as error:
        return _meaning_of_failed_commit(error) if is_written else error
    except ArchiveError as error:
        return error
    if added.patient_identifier == identity.patient_identifier:
        _places.put(identity, _Place(added.study_id, added.series_id, added.modality))
    return added


def _meaning_of_failed_commit(error: DatabaseError) -> DatabaseError:
    """Return the error itself where it says that nothing was committed."""
    name = getattr(error.__cause__, "sqlite_errorname", "")
    return error if name in {"SQLITE_FULL", "SQLITE_BUSY"} else CommitUnknownError(str(error))


def _write(
    connection: BaseDatabaseWrapper, cursor: Cursor, arrivals: Sequence[Arrival]
) -> list[Added]:
    now = timezone.now()
    added: list[Added] = []
    images: list[rows.Values] = []
    totals: dict[_Identity, _Total] = {}
    for arrival in arrivals:
        identity = _identity(arrival)
        place = _places.get(identity)
        if place is None:
            raise _StalePlaceError
        total = totals.setdefault(identity, _Total(place))
        total.instances += 1
        total.frames += arrival.index.number_of_frames
        total.size_bytes += arrival.placed.size_bytes
        image_id = uuid7()
        values = catalogue.image_values(
            arrival.index, arrival.facility.pk, place.series_id, arrival.placed
        )
        images.append({**values, "id": image_id, "received_at": now})
        added.append(
            Added(
                image_id=image_id,
                series_id=place.series_id,
                study_id=place.study_id,
                modality=place.modality,
                patient_identifier=identity.patient_identifier,
                is_new_study=False,
            )
        )
    _count(connection, cursor, totals, now)
    rows.insert(DicomImage, connection, cursor, images)
    outbox.record_all(
        connection,
        cursor,
        [
            (_event(arrival, its), arrival.origin)
            for arrival, its in zip(arrivals, added, strict=True)
        ],
    )
    return added


@dataclass(slots=True)
class _Total:
    """What a group adds to one series."""

    place: _Place
    instances: int = 0
    frames: int = 0
    size_bytes: int = 0


_UPDATE_STUDY = f"""
    UPDATE {Study._meta.db_table}
    SET instance_count = instance_count + %s, size_bytes = size_bytes + %s, last_received_at = %s
    WHERE id = %s AND facility_id = %s AND study_instance_uid = %s AND patient_identifier = %s
        AND deletion_id IS NULL
"""  # noqa: S608 - the table's name is ours
_UPDATE_SERIES = f"""
    UPDATE {Series._meta.db_table}
    SET instance_count = instance_count + %s, frame_count = frame_count + %s,
        size_bytes = size_bytes + %s
    WHERE id = %s AND study_id = %s AND series_instance_uid = %s AND deletion_id IS NULL
"""  # noqa: S608


def _count(
    connection: BaseDatabaseWrapper,
    cursor: Cursor,
    totals: dict[_Identity, _Total],
    now: datetime,
) -> None:
    """Add to the counters, which also finds and locks the rows.

    Always in the same order, so that two processes never wait for each other.
    """
    moment = connection.ops.adapt_datetimefield_value(now)
    update_study = database.dialect(_UPDATE_STUDY, connection.vendor)
    update_series = database.dialect(_UPDATE_SERIES, connection.vendor)
    ordered = sorted(totals.items(), key=lambda item: (item[1].place.study_id, item[1].place))
    for at, (identity, total) in enumerate(ordered):
        place = total.place
        if at == 0 or ordered[at - 1][1].place.study_id != place.study_id:
            of_study = [t for _, t in ordered if t.place.study_id == place.study_id]
            _update(
                cursor,
                update_study,
                sum(t.instances for t in of_study),
                sum(t.size_bytes for t in of_study),
                moment,
                _key(connection, place.study_id),
                _key(connection, identity.facility_id),
                identity.study_instance_uid,
                identity.patient_identifier,
            )
        _update(
            cursor,
            update_series,
            total.instances,
            total.frames,
            total.size_bytes,
            _key(connection, place.series_id),
            _key(connection, place.study_id),
            identity.series_instance_uid,
        )


def _update(cursor: Cursor, sql: str, *values: int | str | datetime | UUID | None) -> None:
    cursor.execute(sql, values)
    if cursor.rowcount != 1:
        raise _StalePlaceError


def _key(connection: BaseDatabaseWrapper, key: UUID) -> UUID | str:
    return key if connection.features.has_native_uuid_field else key.hex


def _identity(arrival: Arrival) -> _Identity:
    index = arrival.index
    return _Identity(
        arrival.facility.pk,
        index.study_instance_uid,
        index.series_instance_uid,
        catalogue.patient_identifier(index),
    )


def _event(arrival: Arrival, added: Added) -> outbox.InstanceStored:
    return outbox.InstanceStored(
        facility_id=arrival.facility.pk,
        study_id=added.study_id,
        series_id=added.series_id,
        image_id=added.image_id,
        modality=added.modality,
        is_new_study=added.is_new_study,
        is_demo=arrival.placed.is_demo,
    )


_group: GroupCommit[Arrival, Added] = GroupCommit(_commit, hopeless=OperationalError)
