"""Figures of `/metrics` that stand in rows: facilities, queues, disks, alerts, the audit trail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from django.db.models import Count, Max, Min, Sum
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from archive import audit_shipping, chores, volumes
from archive.models import (
    Alert,
    AlertLevel,
    AuditEvent,
    ChoreKind,
    Job,
    JobState,
    Transmission,
    TransmissionState,
    Volume,
)
from worklist.models import Facility, Study


@dataclass(frozen=True, slots=True)
class Stored:
    """What a facility has stored."""

    facility: str
    studies: int
    series: int
    instances: int
    size_bytes: int
    last_received_at: datetime


def by_facility() -> list[Stored]:
    """Return what each facility has stored, by the studies' own counters.

    An exact count of millions of rows costs more than it tells.
    """
    rows = (
        Study.objects.order_by()  # noqa: TID251
        .values_list("facility")
        .annotate(
            Count("id"),
            Sum("series_count"),
            Sum("instance_count"),
            Sum("size_bytes"),
            Max("last_received_at"),
        )
    )
    codes = dict(Facility.objects.values_list("pk", "code"))
    return [Stored(codes.get(facility, ""), *values) for facility, *values in rows]


def text(stored: Iterable[Stored]) -> str:
    """Return the figures as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_Collector(list(stored)))
    return generate_latest(registry).decode()


class _Collector:
    def __init__(self, stored: list[Stored]) -> None:
        self._stored = stored

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from _facilities(self._stored)
        yield from _queues()
        yield from _volumes()
        yield from _care()


def _gauge(
    name: str, words: str, label: str, values: Iterable[tuple[str, float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"noctis_{name}", words, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


def _facilities(stored: list[Stored]) -> Iterator[GaugeMetricFamily]:
    columns: list[tuple[str, str, list[float]]] = [
        ("facility_studies", "Studies stored.", [one.studies for one in stored]),
        ("facility_instances", "Instances stored.", [one.instances for one in stored]),
        ("facility_stored_bytes", "Bytes stored.", [one.size_bytes for one in stored]),
        (
            "facility_last_received_seconds",
            "When the last instance came, in seconds of Unix time.",
            [one.last_received_at.timestamp() for one in stored],
        ),
    ]
    names = [one.facility for one in stored]
    for name, words, values in columns:
        yield _gauge(name, words, "facility", zip(names, values, strict=True))


def _queues() -> Iterator[GaugeMetricFamily]:
    now = timezone.now()
    due = Job.objects.filter(state=JobState.QUEUED, run_at__lte=now)
    oldest = due.aggregate(at=Min("run_at"))["at"]
    yield GaugeMetricFamily(
        "noctis_job_oldest_seconds",
        "How long the oldest due job has waited.",
        value=(now - oldest).total_seconds() if oldest else 0,
    )
    kinds = due.order_by().values_list("kind").annotate(n=Count("pk"))
    yield _gauge("jobs_due", "Jobs that wait for a worker, by kind.", "kind", kinds)
    states = dict.fromkeys(TransmissionState.values, 0)
    states.update(Transmission.objects.order_by().values_list("state").annotate(n=Count("pk")))
    yield _gauge("transmissions", "Entries of the forwarding queue.", "state", states.items())


def _volumes() -> Iterator[GaugeMetricFamily]:
    rows = list(Volume.objects.all())
    free = [(row.name, float(row.free_bytes)) for row in rows]
    total = [(row.name, float(row.total_bytes)) for row in rows]
    yield _gauge("volume_free_bytes", "Room left on a disk, hourly.", "volume", free)
    yield _gauge("volume_total_bytes", "Size of a disk.", "volume", total)
    forecasts = [(row.name, volumes.forecast_of(row)) for row in rows]
    yield _gauge(
        "volume_full_seconds",
        "When a disk will be full, in seconds of Unix time; absent where nobody can say.",
        "volume",
        [(name, _moment(found.full_on)) for name, found in forecasts if found.full_on],
    )
    days = [(name, float(found.days)) for name, found in forecasts]
    yield _gauge("volume_forecast_days", "Days of data of that forecast.", "volume", days)


def _moment(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()


def _care() -> Iterator[GaugeMetricFamily]:
    levels = dict.fromkeys(AlertLevel.values, 0)
    open_alerts = Alert.objects.filter(cleared_at=None).order_by()
    levels.update(open_alerts.values_list("level").annotate(n=Count("pk")))
    yield _gauge("alerts", "Alerts that are open.", "level", levels.items())
    last = {kind.value: chores.last(kind) for kind in ChoreKind}
    good = {kind.value: chores.last(kind, is_ok=True) for kind in ChoreKind}
    yield _gauge(
        "chore_ok",
        "Whether the last backup, drill or check of the audit trail went well.",
        "chore",
        [(kind, float(bool(row.is_ok))) for kind, row in last.items() if row],
    )
    yield _gauge(
        "chore_last_good_seconds",
        "When the last good one began, in seconds of Unix time.",
        "chore",
        [(kind, row.started_at.timestamp()) for kind, row in good.items() if row],
    )
    yield GaugeMetricFamily(
        "noctis_audit_unsealed",
        "Events of the audit trail that wait for their seal.",
        value=AuditEvent.objects.filter(seal_number=None).count(),
    )
    yield GaugeMetricFamily(
        "noctis_audit_messages_waiting",
        "Events that wait to be sent to the receiver of audit messages.",
        value=audit_shipping.waiting_count(),
    )
