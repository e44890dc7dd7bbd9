"""Whether the site serves: what supervisors, load balancers and monitoring ask."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count

from archive import heartbeat, meters, object_upload, reachable, stores
from archive.models import InstanceConflict, Job, Knock, KnockState, OutboxEvent
from blobs import BlobStoreUnavailableError
from noctis_pro import figures
from worklist.models import Facility


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that holds or does not, in words.

    Attributes
    ----------
    message : what was found
    remedy : what to do where it does not hold
    is_vital : whether the site serves only where it holds
    """

    name: str
    ok: bool
    message: str
    remedy: str = ""
    is_vital: bool = True


def readiness() -> list[Check]:
    """Check every process that the site needs; takes milliseconds."""
    database = _database()
    checks = [database, _receiver()]
    if database.ok:
        checks.append(_worker())
    checks.append(store())
    if settings.RADIOLOGY_STORAGE != stores.FILE_SYSTEM:
        checks.append(object_store())
    return checks


def _database() -> Check:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM archive_heartbeat WHERE 1 = 0")
    except DatabaseError as error:
        return Check(
            "database",
            ok=False,
            message=f"The database does not answer: {str(error).splitlines()[0]}.",
            remedy="Start it, check DATABASE_URL, and run 'manage.py prepare_site'.",
        )
    return Check("database", ok=True, message=f"{connection.display_name} answers.")


def _receiver() -> Check:
    host, port = reachable.receiver_address()
    if trouble := reachable.receiver_trouble():
        return Check(
            "receiver",
            ok=False,
            message=trouble,
            remedy="Start dicom_receiver.py, or set DICOM_SCP_HOST and DICOM_PORT to where it is.",
        )
    return Check("receiver", ok=True, message=f"The receiver answers on {host}:{port}.")


def _worker() -> Check:
    if heartbeat.is_alive(heartbeat.WORKER):
        return Check("worker", ok=True, message="A worker does the background jobs.")
    return Check(
        "worker",
        ok=False,
        message="No worker has shown itself lately: background jobs wait.",
        remedy="Start 'manage.py run_jobs', or Celery's worker and beat.",
    )


def store() -> Check:
    """Check that the DICOM store takes a file."""
    try:
        settings.DICOM_SPOOL_DIR.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=settings.DICOM_SPOOL_DIR, prefix="ready-") as probe:
            probe.write(b"ready")
            probe.flush()
    except OSError as error:
        return Check(
            "store",
            ok=False,
            message=f"The DICOM store takes no files: {error.strerror}.",
            remedy=f"Check disk space and permissions of {settings.DICOM_ROOT}.",
        )
    return Check("store", ok=True, message="The DICOM store takes files.")


def object_store() -> Check:
    """Check that the bucket answers; while it does not, the site receives and reads what is here.

    Nothing else depends on it at that moment, so it is not vital: all of a site's machines would
    go out of service together.
    """
    found = stores.objects()
    if found is None:
        return Check("object store", ok=True, message="Instances lie on this site's own disk.")
    count, size_bytes = object_upload.waiting()
    waits = f"{count} files ({size_bytes / 2**20:.0f} MiB) wait on this machine to be uploaded."
    try:
        found.bucket.check()
    except BlobStoreUnavailableError as error:
        return Check(
            "object store",
            ok=False,
            message=f"{error} {waits}",
            remedy="Nothing is lost meanwhile; see docs/operations.md, 'Instances in a bucket'.",
            is_vital=False,
        )
    text = f"The bucket {found.bucket.name} answers. {waits}"
    return Check("object store", ok=True, message=text, is_vital=False)


def _object_figures() -> str:
    """Return what waits for the bucket; nothing where there is none."""
    if settings.RADIOLOGY_STORAGE == stores.FILE_SYSTEM:
        return ""
    count, size_bytes = object_upload.waiting()
    return _gauge("object_uploads_waiting", "Files that the bucket does not have yet.", count) + (
        _gauge("object_uploads_waiting_bytes", "Bytes of these files.", size_bytes)
    )


def metrics() -> str:
    """Return the site's figures as Prometheus text (exposition format 0.0.4)."""
    by_facility = figures.by_facility()
    totals = {
        name: sum(getattr(one, name) for one in by_facility)
        for name in ("studies", "series", "instances", "size_bytes")
    }
    disk = shutil.disk_usage(_existing(settings.DICOM_ROOT))
    jobs = dict.fromkeys(("queued", "running", "failed"), 0)
    jobs.update(
        Job.objects.filter(state__in=jobs).values_list("state").annotate(n=Count("id")).order_by()
    )
    parts = {check.name: int(check.ok) for check in readiness()}
    facilities = Facility.objects.filter(is_active=True).count()
    waiting = OutboxEvent.objects.filter(dispatched_at=None).count()
    conflicts = InstanceConflict.objects.filter(resolved_at=None).count()
    knocks = Knock.objects.filter(state=KnockState.OPEN).count()
    return "".join(
        (
            _gauge("studies", "Studies stored.", totals["studies"]),
            _gauge("series", "Series stored.", totals["series"]),
            _gauge("instances", "Instances stored.", totals["instances"]),
            _gauge("stored_bytes", "Bytes of stored instances.", totals["size_bytes"]),
            _gauge("facilities", "Active facilities.", facilities),
            _gauges("jobs", "Background jobs by state.", "state", jobs),
            _gauge("events_waiting", "Events whose jobs are not yet queued.", waiting),
            _gauge("conflicts", "Instances kept aside until a person decides.", conflicts),
            _gauge("knocks", "Refused callers that wait for a decision.", knocks),
            _gauge("disk_free_bytes", "Room left for the DICOM store.", disk.free),
            _gauge("disk_total_bytes", "Size of the DICOM store's disk.", disk.total),
            _gauges("ready", "Whether a part of the site serves.", "part", parts),
            _object_figures(),
            figures.text(by_facility),
            meters.text(),
        )
    )


def _gauge(name: str, text: str, value: int) -> str:
    return f"# HELP noctis_{name} {text}\n# TYPE noctis_{name} gauge\nnoctis_{name} {value}\n"


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> str:
    head = f"# HELP noctis_{name} {text}\n# TYPE noctis_{name} gauge\n"
    return head + "".join(
        f'noctis_{name}{{{label}="{key}"}} {value}\n' for key, value in values.items()
    )


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
