"""Reading the audit trail: a page at a time for people, all of it as CSV for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from archive import audit, csvlines, cursors, timelimit
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError, NotFoundError
from archive.models import AuditEvent
from worklist.models import DicomImage, Facility, Series, Study

# Nobody who waits for a page waits longer; the index of times answers most within milliseconds.
SECONDS = 2.0
_MOST_TARGETS = 20_000
_AT_ONCE = 2000

COLUMNS = (
    "time", "actor", "user", "address", "verb", "target_kind", "target", "facility", "success",
    "detail", "seal",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrailQuery:
    """Which events; what is empty does not matter.

    Parameters
    ----------
    since, before : of the event's time; the second is not part of it
    actor : user name, AE title or process, exactly
    verb : what was done, or how it begins: `study` has `study.open`
    about : Patient ID, accession number, UID or our id of what it was done to; a patient has all of
        his studies, series and images
    cursor : of a page, where the next one begins
    """

    since: datetime | None = None
    before: datetime | None = None
    actor: str = ""
    verb: str = ""
    facility_id: UUID | None = None
    about: str = ""
    address: str = ""
    is_success: bool | None = None
    cursor: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, and what of it is not written in its own row.

    Parameters
    ----------
    study : what it was done to or in, where that is still known
    """

    event: AuditEvent
    facility: Facility | None
    study: Study | None


@dataclass(frozen=True, slots=True)
class TrailPage:
    """Events, newest first; `cursor` leads to the next ones and is empty at the end."""

    entries: list[Entry]
    cursor: str


def page(actor: Actor, query: TrailQuery) -> TrailPage:
    """Return a page of the trail; that somebody looks is an event itself.

    Raises
    ------
    ForbiddenError
        For anybody but an administrator.
    InvalidInputError
        For a cursor or an address that is none, or a patient of whom there is too much.
    TooBroadError
        When it takes too long.
    """
    _refuse_others(actor)
    with timelimit.limited(SECONDS):
        rows = list(_events(query)[: query.limit + 1])
    more = len(rows) > query.limit
    events = rows[: query.limit]
    audit.record(actor, "audit.look", **_said(query))
    return TrailPage(entries=entries(events), cursor=_cursor_of(events[-1]) if more else "")


def event_for(actor: Actor, event_id: UUID) -> AuditEvent:
    """Return one event; that somebody looks is an event itself.

    Raises
    ------
    ForbiddenError, NotFoundError
    """
    _refuse_others(actor)
    found = AuditEvent.objects.filter(pk=event_id).first()
    if found is None:
        raise NotFoundError("There is no such event.")
    audit.record(actor, "audit.look", event=str(event_id))
    return found


def events(actor: Actor, query: TrailQuery) -> Iterator[AuditEvent]:
    """Yield the events themselves, newest first, for other forms than CSV.

    Raises
    ------
    ForbiddenError, InvalidInputError
        As `page`, before the first event.
    """
    _refuse_others(actor)
    rows = _events(query)
    audit.record(actor, "audit.export", **_said(query))
    return _all(rows, query.cursor)


def _all(rows: QuerySet[AuditEvent], cursor: str) -> Iterator[AuditEvent]:
    while found := list(_after(rows, cursor)[:_AT_ONCE]):
        yield from found
        cursor = _cursor_of(found[-1])


def lines(actor: Actor, query: TrailQuery, most: int | None = None) -> Iterator[str]:
    """Yield the trail as CSV, newest first, its names of columns before it.

    Parameters
    ----------
    most : events at most

    Raises
    ------
    ForbiddenError, InvalidInputError
        As `page`, before the first line.
    """
    _refuse_others(actor)
    rows = _events(query)
    audit.record(actor, "audit.export", **_said(query))
    return _lines(rows, query, most)


def _lines(rows: QuerySet[AuditEvent], query: TrailQuery, most: int | None) -> Iterator[str]:
    codes = {one.pk: one.code for one in Facility.objects.only("code")}
    yield csvlines.line(COLUMNS)
    left, cursor = most, query.cursor
    while left is None or left > 0:
        count = _AT_ONCE if left is None else min(left, _AT_ONCE)
        found = list(_after(rows, cursor)[:count])
        for event in found:
            facility = codes.get(event.facility_id, "") if event.facility_id else ""
            yield csvlines.line(
                (
                    event.at.astimezone(UTC).isoformat(),
                    event.actor,
                    event.user_id or "",
                    event.address or "",
                    event.verb,
                    event.target_kind,
                    event.target_id,
                    facility,
                    "yes" if event.is_success else "no",
                    json.dumps(event.detail, ensure_ascii=False) if event.detail else "",
                    event.seal_number or "",
                )
            )
        if len(found) < count:
            return
        cursor = _cursor_of(found[-1])
        left = None if left is None else left - count


def _refuse_others(actor: Actor) -> None:
    if not actor.is_administrator:
        raise ForbiddenError("The audit trail is for administrators. Ask one of them.")


def _said(query: TrailQuery) -> dict[str, Any]:
    """Return what somebody asked for, for the event of it; what names a patient is left out."""
    values = {
        "since": query.since.isoformat() if query.since else "",
        "before": query.before.isoformat() if query.before else "",
        "who": query.actor,
        "what": query.verb,
        "address": query.address,
        "about": "one patient, study or object" if query.about else "",
        "facility": str(query.facility_id or ""),
    }
    return {key: value for key, value in values.items() if value}


def _events(query: TrailQuery) -> QuerySet[AuditEvent]:
    if any("\0" in text for text in (query.actor, query.verb, query.about)):
        raise InvalidInputError("What is searched for holds a NUL character. Leave it out.")
    rows = AuditEvent.objects.order_by("-at", "-id")
    if query.since is not None:
        rows = rows.filter(at__gte=query.since)
    if query.before is not None:
        rows = rows.filter(at__lt=query.before)
    if query.actor:
        rows = rows.filter(actor=query.actor)
    if query.verb:
        rows = rows.filter(Q(verb=query.verb) | Q(verb__startswith=f"{query.verb.rstrip('.')}."))
    if query.facility_id is not None:
        rows = rows.filter(facility_id=query.facility_id)
    if query.address:
        rows = rows.filter(address=_address(query.address))
    if query.is_success is not None:
        rows = rows.filter(is_success=query.is_success)
    if query.about:
        rows = rows.filter(target_id__in=_targets(query.about))
    return _after(rows, query.cursor)


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise InvalidInputError(f"“{text[:40]}” is no address. Write 192.0.2.7.") from error


def _targets(text: str) -> list[str]:
    """Return the ids of everything that is meant: events name their target by id alone."""
    try:
        return [str(UUID(text))]
    except ValueError:
        pass
    named = Q(patient_identifier=text) | Q(accession_number=text) | Q(study_instance_uid=text)
    studies = list(Study.with_deleted.filter(named).values_list("pk", flat=True)[:_MOST_TARGETS])
    series = Series.with_deleted.filter(Q(study__in=studies) | Q(series_instance_uid=text))
    images = DicomImage.with_deleted.filter(Q(series__study__in=studies) | Q(sop_instance_uid=text))
    patients = Study.with_deleted.filter(pk__in=studies).values_list("patient_id", flat=True)
    ids = [*studies, *set(patients)]
    for rows in (series, images):
        ids += rows.values_list("pk", flat=True)[: _MOST_TARGETS + 1]
    if len(ids) > _MOST_TARGETS:
        raise InvalidInputError(
            f"More than {_MOST_TARGETS} studies, series and images belong to “{text[:64]}”. "
            "Ask for one study by its accession number or Study Instance UID."
        )
    return [str(one) for one in ids]


def entries(events: list[AuditEvent]) -> list[Entry]:
    """Return events with their facility, and the study that each is about."""
    facilities = Facility.objects.in_bulk([one.facility_id for one in events if one.facility_id])
    studies = _studies_of(events)
    return [
        Entry(
            event=one,
            facility=facilities.get(one.facility_id) if one.facility_id else None,
            study=studies.get(one.target_id),
        )
        for one in events
    ]


def _studies_of(events: list[AuditEvent]) -> dict[str, Study]:
    """Return the study that each target is, or lies in, by the target's id."""
    ids: dict[str, list[str]] = {"study": [], "series": [], "dicomimage": []}
    for one in events:
        # An event that somebody has meddled with is shown as it is.
        if one.target_kind in ids and _is_id(one.target_id):
            ids[one.target_kind].append(one.target_id)
    of = {one: UUID(one) for one in ids["study"]}
    series = Series.with_deleted.filter(pk__in=ids["series"])
    of |= {str(key): study for key, study in series.values_list("pk", "study_id")}
    images = DicomImage.with_deleted.filter(pk__in=ids["dicomimage"])
    of |= {str(key): study for key, study in images.values_list("pk", "series__study_id")}
    studies = Study.with_deleted.in_bulk(list(set(of.values())))
    return {target: studies[study] for target, study in of.items() if study in studies}


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _cursor_of(event: AuditEvent) -> str:
    return cursors.pack(event.at.isoformat(), event.pk)


def _after(rows: QuerySet[AuditEvent], cursor: str) -> QuerySet[AuditEvent]:
    if not cursor:
        return rows
    moment, pk = cursors.unpack(cursor)
    at = cursors.moment(moment)
    # The first condition lets the index of times do the work.
    return rows.filter(Q(at__lte=at) & (Q(at__lt=at) | Q(id__lt=pk)))
