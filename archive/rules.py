"""Forwarding rules: which studies go where, in words and as a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from archive import audit
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError, NotFoundError
from archive.models import Destination, ForwardRule, StudyRule
from archive.sentences import spoken
from imaging import aetitle
from imaging.errors import ImagingError
from worklist.models import Facility, Series, Study

R = TypeVar("R", bound=StudyRule)

PREVIEW_DAYS = 30
_MOST_PREVIEWED = 50_000
_MOST_SHOWN = 10
_LONGEST = {"modality": 16, "description_contains": 64, "station_name": 64}


@dataclass(frozen=True)
class Conditions:
    """What an administrator says of studies; empty conditions fit everything."""

    facility: Facility | None = None
    modality: str = ""
    description_contains: str = ""
    station_name: str = ""
    source_ae_title: str = ""
    hours_from: time | None = None
    hours_to: time | None = None
    time_zone: str = "UTC"


@dataclass(frozen=True)
class _To:
    destination: Destination


@dataclass(frozen=True)
class RuleDraft(Conditions, _To):
    """What an administrator says of a forwarding rule."""


@dataclass(slots=True)
class Preview:
    """What a rule would have sent.

    Attributes
    ----------
    days : looked back
    is_cut : there are more than were counted
    latest : some of the studies, the newest first
    """

    days: int
    studies: int = 0
    images: int = 0
    size_bytes: int = 0
    is_cut: bool = False
    latest: list[Study] = field(default_factory=list)


def listing() -> QuerySet[ForwardRule]:
    """Return every rule, with what its sentence names."""
    return ForwardRule.objects.select_related("destination", "facility")


def rule_for(actor: Actor, rule_id: UUID) -> ForwardRule:
    """Return a rule for an administrator."""
    _require_administrator(actor)
    rule = listing().filter(pk=rule_id).first()
    if rule is None:
        raise NotFoundError("There is no such rule; it may have been removed.")
    return rule


def draft_rule(draft: RuleDraft) -> ForwardRule:
    """Return a checked rule that is not saved.

    Raises
    ------
    InvalidInputError
        With a sentence that says what to change.
    """
    return apply(draft, ForwardRule(destination=draft.destination))


def apply(said: Conditions, rule: R) -> R:
    """Write checked conditions into a rule of any kind, which is not saved.

    Raises
    ------
    InvalidInputError
        With a sentence that says what to change.
    """
    if (said.hours_from is None) != (said.hours_to is None):
        raise InvalidInputError("Give both hours, or none: from when and until when.")
    if said.hours_from is not None and said.hours_from == said.hours_to:
        raise InvalidInputError("The two hours are the same. Leave both empty for all day.")
    title = said.source_ae_title.strip()
    if title:
        try:
            title = aetitle.validate(title)
        except ImagingError as error:
            raise InvalidInputError(str(error)) from error
    try:
        ZoneInfo(said.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInputError("This time zone is not known.") from None
    rule.facility = said.facility
    rule.modality = said.modality.strip().upper()
    rule.description_contains = said.description_contains.strip()
    rule.station_name = said.station_name.strip()
    rule.source_ae_title = title
    rule.hours_from, rule.hours_to = said.hours_from, said.hours_to
    rule.time_zone = said.time_zone
    for name, most in _LONGEST.items():
        if len(getattr(rule, name)) > most:
            raise InvalidInputError(f"The {name.replace('_', ' ')} has at most {most} characters.")
    return rule


def add_rule(actor: Actor, draft: RuleDraft) -> ForwardRule:
    """Save a new rule, switched off until somebody has seen what it would have sent."""
    _require_administrator(actor)
    rule = draft_rule(draft)
    rule.created_by = actor.name
    with transaction.atomic():
        rule.save()
        audit.record(actor, "rule.add", rule, sentence=sentence(rule))
    return rule


def switch_rule(actor: Actor, rule: ForwardRule, *, is_active: bool) -> None:
    """Switch a rule on from now on, or off; what waits in the queue stays there."""
    _require_administrator(actor)
    with transaction.atomic():
        rule.is_active = is_active
        rule.active_since = timezone.now() if is_active else None
        rule.save(update_fields=["is_active", "active_since"])
        audit.record(actor, "rule.on" if is_active else "rule.off", rule, sentence=sentence(rule))


def remove_rule(actor: Actor, rule: ForwardRule) -> None:
    """Forget a rule; what it has queued stays there."""
    _require_administrator(actor)
    with transaction.atomic():
        audit.record(actor, "rule.remove", rule, sentence=sentence(rule))
        rule.delete()


def sentence(rule: ForwardRule) -> str:
    """Write a rule as people say it.

    Examples
    --------
    >>> from archive.models import Destination, ForwardRule, StudyRule
    >>> sentence(ForwardRule(destination=Destination(ae_title="PACS2"), modality="CT"))
    'CT studies of every facility go to PACS2.'
    """
    return spoken(f"{studies_in_words(rule)} go to {rule.destination.ae_title}.")


def studies_in_words(rule: StudyRule) -> str:
    """Write which studies fit a rule, as the beginning of a sentence."""
    of = rule.facility.name if rule.facility is not None else spoken("every facility")
    parts = [
        spoken(f"{rule.modality} studies of {of}") if rule.modality else spoken(f"Studies of {of}")
    ]
    if rule.description_contains:
        parts.append(spoken(f"whose description contains “{rule.description_contains}”"))
    if rule.station_name:
        parts.append(spoken(f"from station {rule.station_name}"))
    if rule.source_ae_title:
        parts.append(spoken(f"sent by {rule.source_ae_title}"))
    if rule.hours_from is not None and rule.hours_to is not None:
        hours = f"{rule.hours_from:%H:%M} and {rule.hours_to:%H:%M}"
        parts.append(spoken(f"that come between {hours} ({rule.time_zone})"))
    return f"{', '.join(parts)}{',' if len(parts) > 1 else ''}"


def matching(rule: StudyRule, studies: QuerySet[Study]) -> QuerySet[Study]:
    """Narrow studies to those that fit all conditions but the hours; see `is_in_hours`."""
    if rule.facility_id is not None:
        studies = studies.filter(facility=rule.facility_id)
    series = Series.objects.all()
    is_about_series = False
    for name in ("modality", "station_name", "source_ae_title"):
        value = getattr(rule, name)
        if value:
            series = series.filter(**{name: value})
            is_about_series = True
    if rule.description_contains:
        wanted = rule.description_contains
        series = series.filter(
            Q(series_description__icontains=wanted) | Q(study__study_description__icontains=wanted)
        )
        is_about_series = True
    return studies.filter(pk__in=series.values("study_id")) if is_about_series else studies


def is_in_hours(rule: StudyRule, moment: datetime) -> bool:
    """Whether an instant lies within a rule's hours, which may go past midnight."""
    if rule.hours_from is None or rule.hours_to is None:
        return True
    at = moment.astimezone(ZoneInfo(rule.time_zone)).time()
    if rule.hours_from < rule.hours_to:
        return rule.hours_from <= at < rule.hours_to
    return at >= rule.hours_from or at < rule.hours_to


def active_rules_of(study: Study) -> Iterator[ForwardRule]:
    """Yield the active rules that a study fits."""
    return fitting(listing(), study)


def fitting(rows: QuerySet[R], study: Study) -> Iterator[R]:
    """Yield those of the rules that are active and that a study fits."""
    for rule in rows.filter(Q(facility=None) | Q(facility=study.facility_id), is_active=True):
        is_match = matching(rule, Study.objects.filter(pk=study.pk)).exists()
        if is_match and is_in_hours(rule, study.first_received_at):
            yield rule


def preview(actor: Actor, rule: StudyRule, *, days: int = PREVIEW_DAYS) -> Preview:
    """Return what a rule would have sent over the last days; nothing is sent."""
    _require_administrator(actor)
    since = timezone.now() - timedelta(days=days)
    found = matching(rule, Study.objects.filter(first_received_at__gte=since))
    result = Preview(days=days)
    latest: list[UUID] = []
    columns = ("pk", "first_received_at", "instance_count", "size_bytes")
    rows: Iterable[tuple[UUID, datetime, int, int]] = found.order_by(
        "-first_received_at"
    ).values_list(*columns)[: _MOST_PREVIEWED + 1]
    for number, (study_id, received_at, images, size_bytes) in enumerate(rows):
        if number == _MOST_PREVIEWED:
            result.is_cut = True
            break
        if not is_in_hours(rule, received_at):
            continue
        result.studies += 1
        result.images += images
        result.size_bytes += size_bytes
        if len(latest) < _MOST_SHOWN:
            latest.append(study_id)
    by_id = Study.objects.select_related("facility").in_bulk(latest)
    result.latest = [by_id[study_id] for study_id in latest if study_id in by_id]
    return result


def _require_administrator(actor: Actor) -> None:
    if not actor.is_administrator:
        raise ForbiddenError("Rules are for administrators. Ask one of them.")
