"""Room on the site's disks: looked at once an hour, kept, and what will come of it."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Sum
from django.utils import timezone

from archive.forecast import Forecast, forecast
from archive.models import FacilityUsage, Volume, VolumeSample
from archive.sentences import spoken
from worklist.models import Facility, Study

# Hourly samples of the forecast's time, and the days of a year for those who plan.
_KEEP = timedelta(days=60)
_KEEP_USAGE = timedelta(days=800)


def places() -> dict[str, Path]:
    """Return what the site writes to, by name; what is not set up is left out."""
    found = {spoken("store"): Path(settings.DICOM_ROOT)}
    if connection.vendor == "sqlite":
        found[spoken("database")] = Path(str(connection.settings_dict["NAME"])).parent
    if settings.BACKUP_DIR is not None:
        found[spoken("backups")] = settings.BACKUP_DIR
    return found


class Room(NamedTuple):
    """Of a disk, in bytes."""

    total: int
    free: int


def room_of(path: Path) -> Room:
    """Return how large the disk is on which a folder lies or will lie, and what is free of it."""
    usage = shutil.disk_usage(existing(path))
    return Room(usage.total, usage.free)


def sample() -> list[Volume]:
    """Look at every disk, keep what was found, and forecast."""
    now = timezone.now()
    found = []
    for name, path in places().items():
        usage = room_of(path)
        with transaction.atomic():
            volume, _ = Volume.objects.update_or_create(
                name=name,
                defaults={
                    "path": str(path)[:255],
                    "total_bytes": usage.total,
                    "free_bytes": usage.free,
                    "at": now,
                },
            )
            VolumeSample.objects.create(
                volume=volume, at=now, total_bytes=usage.total, free_bytes=usage.free
            )
            volume.forecast = _as_json(_forecast(volume))
            volume.save(update_fields=["forecast"])
        found.append(volume)
    VolumeSample.objects.filter(at__lt=now - _KEEP).delete()
    Volume.objects.exclude(name__in=places()).delete()
    return found


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _forecast(volume: Volume) -> Forecast:
    rows = volume.samples.order_by("at").values_list("at", "total_bytes", "free_bytes")
    samples = [(at, total - free) for at, total, free in rows]
    return forecast(samples, volume.free_bytes, volume.at)


def _as_json(found: Forecast) -> dict[str, Any]:
    def day(value: date | None) -> str | None:
        return value.isoformat() if value else None

    return {
        "days": found.days,
        "bytes_per_day": found.bytes_per_day,
        "full_on": day(found.full_on),
        "earliest": day(found.earliest),
        "latest": day(found.latest),
    }


def forecast_of(volume: Volume) -> Forecast:
    """Return the forecast that was made with the last sample."""

    def day(name: str) -> date | None:
        text = volume.forecast.get(name)
        return date.fromisoformat(text) if text else None

    return Forecast(
        days=volume.forecast.get("days", 0),
        bytes_per_day=volume.forecast.get("bytes_per_day"),
        full_on=day("full_on"),
        earliest=day("earliest"),
        latest=day("latest"),
    )


def note_usage() -> None:
    """Keep what each facility has stored today."""
    totals = (
        Study.objects.order_by().values("facility").annotate(n=Count("id"), s=Sum("size_bytes"))
    )
    today = timezone.now().date()
    FacilityUsage.objects.bulk_create(
        [
            FacilityUsage(
                facility_id=row["facility"], day=today, study_count=row["n"], size_bytes=row["s"]
            )
            for row in totals
        ],
        update_conflicts=True,
        unique_fields=["facility", "day"],
        update_fields=["study_count", "size_bytes"],
    )
    FacilityUsage.objects.filter(day__lt=today - _KEEP_USAGE).delete()


def growth(days: int) -> list[tuple[Facility, FacilityUsage, FacilityUsage]]:
    """Return for each facility its latest usage, and that of `days` before or the first since."""
    rows: dict[object, list[FacilityUsage]] = {}
    begin = timezone.now().date() - timedelta(days=days)
    for row in FacilityUsage.objects.filter(day__gte=begin).order_by("day"):
        rows.setdefault(row.facility_id, []).append(row)
    facilities = Facility.objects.in_bulk(list(rows))
    found = [(facilities[key], of[-1], of[0]) for key, of in rows.items()]
    return sorted(found, key=lambda one: -one[1].size_bytes)
