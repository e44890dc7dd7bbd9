"""Everything that the page of the site's health shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q
from django.utils import timezone

from archive import alerts, chores, volumes
from archive.access import Actor
from archive.errors import ForbiddenError
from archive.forecast import LEAST_DAYS, Forecast
from archive.models import Alert, Chore, ChoreKind, FacilityUsage, Job, JobState, Volume
from worklist.models import Facility

_MOST_CLEARED = 20
GROWTH_DAYS = 30


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk, what is left of it, and when that will be used up."""

    volume: Volume
    forecast: Forecast
    room: volumes.Room

    @property
    def percent_used(self) -> int:
        """Of the whole disk."""
        return round(100 * (self.room.total - self.room.free) / self.room.total)

    @property
    def words(self) -> str:
        """What the forecast says, with what it rests on."""
        found = self.forecast
        days = found.days
        if not found.is_known:
            return (
                f"No forecast yet: {days} {'day' if days == 1 else 'days'} of data, "
                f"{LEAST_DAYS} are needed."
            )
        # A forecast rests on several days.
        if found.full_on is None:
            return f"Does not fill within ten years, by {days} days of data."
        if found.latest is None:
            return (
                f"Full on {found.full_on} (earliest {found.earliest}, perhaps never), "
                f"by {days} days of data."
            )
        return (
            f"Full on {found.full_on} (earliest {found.earliest}, latest {found.latest}), "
            f"by {days} days of data."
        )


@dataclass(frozen=True, slots=True)
class Queue:
    """Jobs of a kind that wait or have failed."""

    kind: str
    waiting: int
    failed: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class ChoreState:
    """A chore: how it went last, whether it runs, when it is due."""

    kind: ChoreKind
    last: Chore | None
    last_good: Chore | None
    running: Chore | None
    next_at: datetime | None
    help: str


@dataclass(frozen=True, slots=True)
class Health:
    """The page."""

    open_alerts: list[Alert]
    cleared_alerts: list[Alert]
    disks: list[Disk]
    queues: list[Queue]
    chores: list[ChoreState]
    usage: list[tuple[Facility, FacilityUsage, FacilityUsage]]


_HELP = {
    ChoreKind.BACKUP: "Set NOCTIS_BACKUP_DIR to have one made every day.",
    ChoreKind.DRILL: "Needs a backup of the schedule; with PostgreSQL also "
    "NOCTIS_DRILL_DATABASE_URL.",
    ChoreKind.AUDIT: "Runs once a day, from the second day on.",
}


def health(actor: Actor) -> Health:
    """Return how the site is, for administrators.

    Raises
    ------
    ForbiddenError
        For anybody else.
    """
    if not actor.is_administrator:
        raise ForbiddenError("The state of the site is for administrators. Ask one of them.")
    return Health(
        open_alerts=alerts.open_alerts(),
        cleared_alerts=alerts.cleared_alerts(_MOST_CLEARED),
        disks=_disks(),
        queues=queues(),
        chores=[_chore(kind) for kind in ChoreKind],
        usage=volumes.growth(GROWTH_DAYS),
    )


def _disks() -> list[Disk]:
    known = {row.name: row for row in Volume.objects.all()}
    found = []
    for name, path in volumes.places().items():
        room = volumes.room_of(path)
        volume = known.get(name) or Volume(
            name=name, path=str(path), total_bytes=room.total, free_bytes=room.free
        )
        found.append(Disk(volume, volumes.forecast_of(volume), room))
    return found


def queues() -> list[Queue]:
    """Return what waits longer than it should or has failed, by kind."""
    due = Q(state=JobState.QUEUED, run_at__lte=timezone.now())
    rows = (
        Job.objects.filter(due | Q(state=JobState.FAILED))
        .order_by()
        .values("kind")
        .annotate(
            waiting=Count("pk", filter=due),
            failed=Count("pk", filter=Q(state=JobState.FAILED)),
            oldest=Min("run_at", filter=due),
        )
    )
    found = [Queue(row["kind"], row["waiting"], row["failed"], row["oldest"]) for row in rows]
    return sorted(found, key=lambda queue: (-queue.failed, -queue.waiting, queue.kind))


def _chore(kind: ChoreKind) -> ChoreState:
    return ChoreState(
        kind=kind,
        last=chores.last(kind),
        last_good=chores.last(kind, is_ok=True),
        running=chores.running(kind),
        next_at=chores.next_at(kind),
        help=_HELP[kind],
    )
