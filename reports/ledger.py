"""The ledger of what was shown as people read it: by person and series, and by study.

What it claims, and what not, stands in `reports.viewed`, which enters it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Max, Min, Q

from accounts.models import User
from archive import access, audit, cursors
from archive.access import Actor
from archive.errors import ForbiddenError, NotFoundError
from reports.models import SeriesViewing
from reports.viewed import Times, sum_of
from worklist.models import Study


@dataclass(frozen=True, slots=True)
class SeriesShown:
    """What one person was shown of a series, in all of their windows."""

    times: Times
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class PersonShown:
    """What one person was shown of a study; `user_id` is None where the account is gone."""

    user_id: UUID | None
    name: str
    series: dict[UUID, SeriesShown] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudyShown:
    """A study of which somebody was shown something."""

    study: Study
    frame_count: int
    shown_ms: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class StudyPage:
    """Studies, the one that was shown last first; `cursor` leads to the next ones."""

    studies: list[StudyShown]
    cursor: str


def of_study(actor: Actor, study_id: UUID, *, verb: str = "viewed.read") -> list[PersonShown]:
    """Return who was shown what of a study: to administrators of everybody, else one's own part.

    Parameters
    ----------
    verb : what is done with it, for the audit trail

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    study = access.study_for(actor.scope, study_id)
    _refuse_guests(actor)
    rows = SeriesViewing.objects.filter(study=study)
    if not actor.is_administrator:
        rows = rows.filter(user=actor.user_id)
    audit.record(actor, verb, study, of="everybody" if actor.is_administrator else "oneself")
    by_person: dict[tuple[UUID | None, str], list[SeriesViewing]] = defaultdict(list)
    for row in rows:
        # A name may change; rows of accounts that are gone have nothing else.
        key = (row.user_id, "" if row.user_id else row.user_name)
        by_person[key].append(row)
    return [
        PersonShown(user_id, its[-1].user_name, _by_series(its))
        for (user_id, _), its in by_person.items()
    ]


def of_person(actor: Actor, username: str = "", *, cursor: str = "", limit: int = 50) -> StudyPage:
    """Return the studies of which a person was shown something; one's own by default.

    Parameters
    ----------
    username : of somebody else; for administrators

    Raises
    ------
    ForbiddenError
    NotFoundError
        When nobody has that name.
    InvalidInputError
        For a cursor that is none.
    """
    _refuse_guests(actor)
    user_id = _asked(actor, username)
    rows = actor.scope.filter(SeriesViewing.objects.filter(user=user_id), "study__facility")
    latest = (
        rows.filter(study__deletion_id=None)
        .order_by()
        .values("study")
        .annotate(last=Max("last_at"), first=Min("first_at"))
    )
    if cursor:
        moment, key = cursors.unpack(cursor)
        try:
            last_at = datetime.fromisoformat(str(moment))
        except ValueError as error:
            raise cursors.refusal() from error
        latest = latest.filter(Q(last__lt=last_at) | Q(last=last_at, study__lt=key))
    found = list(latest.order_by("-last", "-study")[: limit + 1])
    has_more, found = len(found) > limit, found[:limit]
    by_study: dict[UUID, list[SeriesViewing]] = defaultdict(list)
    wanted = rows.filter(study__in=[one["study"] for one in found])
    for row in wanted.select_related("study__facility"):
        by_study[row.study_id].append(row)
    studies = []
    for one in found:
        its = by_study[UUID(str(one["study"]))]
        times = sum_of(its)
        studies.append(
            StudyShown(
                study=its[0].study,
                frame_count=sum(map(len, times.values())),
                shown_ms=sum(sum(frames.values()) for frames in times.values()),
                first_at=one["first"],
                last_at=one["last"],
            )
        )
    if not has_more:
        return StudyPage(studies, "")
    end = found[-1]
    return StudyPage(studies, cursors.pack(end["last"].isoformat(), UUID(str(end["study"]))))


def _asked(actor: Actor, username: str) -> UUID | None:
    if not username or username == actor.name:
        return actor.user_id
    if not actor.is_administrator:
        raise ForbiddenError("What was shown to others is for administrators to see.")
    person = User.objects.filter(username=username).first()
    if person is None:
        raise NotFoundError(f"Nobody here has the user name “{username[:150]}”.")
    audit.record(actor, "viewed.read", user=str(person.pk))
    return person.pk


def _refuse_guests(actor: Actor) -> None:
    if actor.user_id is None:
        raise ForbiddenError("Only people look at pictures; this caller is a process.")


def _by_series(rows: Iterable[SeriesViewing]) -> dict[UUID, SeriesShown]:
    by_series: dict[UUID, list[SeriesViewing]] = defaultdict(list)
    for row in rows:
        by_series[row.series_id].append(row)
    return {
        key: SeriesShown(
            times=sum_of(its),
            first_at=min(row.first_at for row in its),
            last_at=max(row.last_at for row in its),
        )
        for key, its in by_series.items()
    }
