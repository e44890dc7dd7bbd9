"""The pass over everything that is stored, again and again, at a bounded rate.

Every file is read and compared with the digest of its row, then every file is looked for in the
rows. A slice takes half a second of a worker; how far it has come is a row, so that a restart goes
on from there.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from archive import damage, jobs, reconcile, runner, stores
from archive.models import InstanceConflict, Sweep
from blobs import BlobError
from worklist.models import DicomImage

logger = logging.getLogger(__name__)

NAME = "archive"
# Other jobs wait while a slice runs.
SLICE_S = 0.5
_BATCH = 50
_ROWS, _CONFLICTS, _FILES = "rows", "conflicts", "files"
_FIRST_LEVELS = [f"{number:02x}" for number in range(256)]


@runner.carer
def request() -> None:
    """Begin a pass when the last one is long ago; go on with one that stands still."""
    row, _ = Sweep.objects.get_or_create(name=NAME)
    if row.phase:
        jobs.enqueue("archive.sweep", NAME, delay_s=30)
        return
    long_ago = timezone.now() - timedelta(days=settings.SCRUB_EVERY_DAYS)
    if row.finished_at is None or row.finished_at < long_ago:
        start()


def start() -> None:
    """Begin a pass from the start, also while another one goes on."""
    Sweep.objects.update_or_create(
        name=NAME,
        defaults={
            "phase": _ROWS,
            "cursor": "",
            "started_at": timezone.now(),
            "checked": 0,
            "checked_bytes": 0,
            "damaged": 0,
            "strays": 0,
        },
    )
    jobs.enqueue("archive.sweep", NAME)


@jobs.handler("archive.sweep")
def slice_of_sweep() -> None:
    """Do what fits into a slice; queue the next one so that the rate stays below the setting."""
    row = Sweep.objects.filter(name=NAME).first()
    if row is None or not row.phase:
        return
    began = time.monotonic()
    read = _Progress(row)
    _STEPS[row.phase](row, read)
    while row.phase and time.monotonic() - began < SLICE_S:
        _STEPS[row.phase](row, read)
    if not read.save():
        return  # another worker did the same slice: its chain goes on
    if not row.phase:
        logger.info(
            "Everything stored was read: %d files, %d damaged, %d without a row",
            row.checked,
            row.damaged,
            row.strays,
        )
        return
    pause = read.size_bytes / settings.SCRUB_BYTES_PER_S - (time.monotonic() - began)
    jobs.enqueue("archive.sweep", NAME, delay_s=max(0.0, pause))


class _Progress:
    """What a slice did; `save` writes it unless another worker was quicker."""

    def __init__(self, row: Sweep) -> None:
        self.row = row
        self.was = (row.phase, row.cursor, row.started_at)
        self.files = self.size_bytes = self.damaged = self.strays = 0

    def save(self) -> bool:
        phase, cursor, started_at = self.was
        row = self.row
        if not row.phase:
            row.finished_at = timezone.now()
        changed = Sweep.objects.filter(
            name=row.name, phase=phase, cursor=cursor, started_at=started_at
        ).update(
            phase=row.phase,
            cursor=row.cursor,
            finished_at=row.finished_at,
            checked=F("checked") + self.files,
            checked_bytes=F("checked_bytes") + self.size_bytes,
            damaged=F("damaged") + self.damaged,
            strays=F("strays") + self.strays,
        )
        row.refresh_from_db()
        return bool(changed)


def _check_rows(row: Sweep, done: _Progress) -> None:
    """Read the next file of an instance."""
    images = DicomImage.with_deleted.order_by("pk").only(
        "pk", "storage_key", "size_bytes", "sha256", "facility_id", "series_id"
    )
    if row.cursor:
        images = images.filter(pk__gt=UUID(row.cursor))
    began = time.monotonic()
    found = list(images[:_BATCH])
    for image in found:
        kind = damage.look_at(image)
        if kind is not None and damage.report(image, kind) is not None:
            done.damaged += 1
        done.files += 1
        done.size_bytes += image.size_bytes
        row.cursor = str(image.pk)
        if time.monotonic() - began > SLICE_S:
            return
    if len(found) < _BATCH:
        row.phase, row.cursor = _CONFLICTS, ""


def _check_conflicts(row: Sweep, done: _Progress) -> None:
    """Read the next files that are kept aside."""
    kept = InstanceConflict.objects.order_by("pk")
    if row.cursor:
        kept = kept.filter(pk__gt=UUID(row.cursor))
    found = list(kept[:_BATCH])
    for conflict in found:
        try:
            is_sound = stores.conflicts().digest(conflict.storage_key)[0] == conflict.sha256
        except (BlobError, OSError):
            is_sound = False
        if not is_sound and InstanceConflict.objects.filter(
            pk=conflict.pk, storage_key=conflict.storage_key
        ).update(reason="The file that was kept aside is damaged or missing."):
            done.damaged += 1
            logger.error("The file of conflict %s is not what was kept aside", conflict.pk)
        done.files += 1
        done.size_bytes += conflict.size_bytes
        row.cursor = str(conflict.pk)
    if len(found) < _BATCH:
        row.phase, row.cursor = _FILES, ""


def _check_files(row: Sweep, done: _Progress) -> None:
    """Look for rows of the files in the next folder."""
    names = [name for name in _FIRST_LEVELS if name > row.cursor]
    if not names:
        damage_recheck()
        reconcile.forget_strays()
        row.phase, row.cursor = "", ""
        return
    done.strays += set_aside_strays(names[0])
    row.cursor = names[0]


_STEPS = {_ROWS: _check_rows, _CONFLICTS: _check_conflicts, _FILES: _check_files}


def set_aside_strays(first_level: str) -> int:
    """Set aside the files below a folder of the layout that no row names; returns how many."""
    store = stores.instances()
    keys = list(store.keys_below(first_level))
    count = 0
    for start_at in range(0, len(keys), 500):
        some = keys[start_at : start_at + 500]
        known = set(
            DicomImage.with_deleted.filter(storage_key__in=some).values_list(
                "storage_key", flat=True
            )
        )
        count += sum(reconcile.set_aside_stray(key) for key in some if key not in known)
    return count


def damage_recheck() -> None:
    """Close what has been mended meanwhile, by being sent again for example."""
    for found in damage.open_damages().select_related("image__series__study"):
        damage.mend(found, "sweep")


def run_to_the_end() -> Sweep:
    """Make a whole pass now, as fast as the disk reads; for the command line and tests."""
    start()
    row = Sweep.objects.get(name=NAME)
    while row.phase:
        done = _Progress(row)
        _STEPS[row.phase](row, done)
        done.save()
    return row
