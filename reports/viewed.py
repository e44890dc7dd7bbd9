"""The ledger of what was shown: which frames stood exactly on whose screen, and how long.

It claims no more than that. A picture of less than full fidelity is never entered, and a frame
that was shown need not have been looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from archive import access, audit
from archive.access import Actor
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from reports.models import SeriesViewing
from worklist.models import DicomImage, Study

# By image and frame number, in ms.
Times = dict[str, dict[int, int]]

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame that stood on the screen exactly, for `shown_ms` in all in this window so far."""

    image_id: UUID
    frame_number: int
    shown_ms: int


@dataclass(frozen=True, slots=True)
class Person:
    """What one person was shown of a study."""

    user_id: UUID | None
    name: str
    frame_count: int
    shown_ms: int
    first_at: datetime
    last_at: datetime


def note_shown(actor: Actor, study_id: UUID, viewing_id: UUID, shown: Sequence[Shown]) -> int:
    """Enter what a window showed; returns how many frames were entered.

    Times are totals of the window, so the same message again, or an earlier one that arrives
    later, changes nothing. Images that the study does not have, as after a deletion, are left out.

    Raises
    ------
    NotFoundError, ForbiddenError
    InvalidInputError
        When an image has no such frame.
    ConflictError
        When the window is somebody else's.
    """
    if actor.user_id is None:
        raise ForbiddenError("Only people look at pictures; this caller is a process.")
    study = access.study_for(actor.scope, study_id)
    images = _images(actor, study, {one.image_id for one in shown})
    by_series: dict[UUID, list[Shown]] = defaultdict(list)
    for one in shown:
        image = images.get(one.image_id)
        if image is None:
            continue
        if not 1 <= one.frame_number <= image.number_of_frames:
            raise InvalidInputError(f"An image has no frame {one.frame_number}.")
        by_series[image.series_id].append(one)
    person = User.objects.get(pk=actor.user_id)
    with transaction.atomic():
        for series_id, entries in sorted(by_series.items()):
            row, _ = SeriesViewing.objects.select_for_update().get_or_create(
                viewing_id=viewing_id,
                series_id=series_id,
                defaults={"user": person, "user_name": str(person)[:150], "study": study},
            )
            if row.user_id != person.pk:
                raise ConflictError("This 'viewing_id' is somebody else's. Choose another.")
            _enter(row, entries)
            row.last_at = timezone.now()
            row.save(update_fields=["shown_ms", "last_at"])
    return sum(map(len, by_series.values()))


def shown_to(actor: Actor, study_id: UUID, user_id: UUID | None = None) -> Times:
    """Return what a person was shown of a study in all of their windows; their own by default.

    Raises
    ------
    NotFoundError
    ForbiddenError
        When it is another person's ledger and the actor is no administrator.
    """
    study = access.study_for(actor.scope, study_id)
    if user_id is not None and user_id != actor.user_id:
        _check_administrator(actor)
        if not User.objects.filter(pk=user_id).exists():
            raise NotFoundError("There is no such person.")
        audit.record(actor, "viewed.read", study, user=str(user_id))
    return sum_of(SeriesViewing.objects.filter(study=study, user=user_id or actor.user_id))


def people_of(actor: Actor, study_id: UUID) -> list[Person]:
    """Return who was shown how much of a study; for administrators."""
    _check_administrator(actor)
    study = access.study_for(actor.scope, study_id)
    audit.record(actor, "viewed.read", study)
    rows: dict[tuple[UUID | None, str], list[SeriesViewing]] = defaultdict(list)
    for row in SeriesViewing.objects.filter(study=study):
        rows[(row.user_id, row.user_name)].append(row)
    return [
        Person(
            user_id=user_id,
            name=name,
            frame_count=sum(map(len, times.values())),
            shown_ms=sum(sum(frames.values()) for frames in times.values()),
            first_at=min(row.first_at for row in its),
            last_at=max(row.last_at for row in its),
        )
        for (user_id, name), its in rows.items()
        for times in (sum_of(its),)
    ]


def _check_administrator(actor: Actor) -> None:
    if not actor.is_administrator:
        raise ForbiddenError("What was shown to others is for administrators to see.")


def _images(actor: Actor, study: Study, keys: Iterable[UUID]) -> dict[UUID, DicomImage]:
    names = list(keys)
    found: dict[UUID, DicomImage] = {}
    # Every build of SQLite takes so many values in one statement.
    for first in range(0, len(names), _AT_ONCE):
        found |= access.images_for(actor.scope, names[first : first + _AT_ONCE])
    return {key: image for key, image in found.items() if image.series.study_id == study.pk}


def _enter(row: SeriesViewing, entries: Iterable[Shown]) -> None:
    for one in entries:
        frames = row.shown_ms.setdefault(str(one.image_id), {})
        name = str(one.frame_number)
        frames[name] = max(frames.get(name, 0), one.shown_ms)


def sum_of(rows: Iterable[SeriesViewing]) -> Times:
    """Add up what windows showed, by image and frame number."""
    times: Times = defaultdict(lambda: defaultdict(int))
    for row in rows:
        for image_id, frames in row.shown_ms.items():
            for frame_number, shown_ms in frames.items():
                times[image_id][int(frame_number)] += shown_ms
    return times
