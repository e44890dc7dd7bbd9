"""What is watched, and what each alert says: disks, backups, queues, senders, certificates."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from django.conf import settings
from django.db.models import Min
from django.utils import timezone

from archive import (
    alerts,
    audit_shipping,
    chores,
    damage,
    jobs,
    object_upload,
    reachable,
    runner,
    seals,
    stores,
    volumes,
)
from archive.alerts import Finding, Verdict, verdict_of
from archive.models import (
    AlertLevel,
    AuditEvent,
    ChoreKind,
    Job,
    JobState,
    Transmission,
    TransmissionState,
    Volume,
)
from archive.sentences import spoken
from blobs import BlobStoreUnavailableError
from worklist.models import Facility, Study

_SAMPLE_EVERY = timedelta(minutes=55)
# Free room that an alert wants back before it is over, in parts of the whole disk.
_PERCENT_MORE = 2
_DAYS_MORE = 1.25
_QUEUE_LATE = timedelta(minutes=10)
_QUEUE_WELL = timedelta(minutes=2)
_CERTIFICATE_DAYS = 30
_CERTIFICATE_WELL_DAYS = 33
_BACKUP_LATE = timedelta(hours=50)
_SHIPPING_LATE = timedelta(minutes=15)
# One look may fall into a restart; the next one comes a minute later.
_FAILING_LEAST = timedelta(seconds=50)
_UPLOAD_LATE = timedelta(minutes=15)
_FORWARDING_SEEN = timedelta(days=7)
# Who sends now and then is not missed: so many studies on so many days within these weeks.
_USUAL_TIME = timedelta(days=28)
_LEAST_STUDIES = 20
_LEAST_SENDING_DAYS = 10
_SILENT_LEAST = timedelta(hours=6)
_SILENT_FACTOR = 1.5
_MOST_ARRIVALS = 20_000


@runner.carer
def request() -> None:
    """Queue the minute's look."""
    jobs.enqueue("care.look", "site")


@jobs.handler("care.look")
def look() -> None:
    """Look at everything that is watched, and start what the clock wants."""
    newest = Volume.objects.aggregate(at=Min("at"))["at"]
    is_hour = newest is None or newest < timezone.now() - _SAMPLE_EVERY
    if is_hour:
        volumes.sample()
        volumes.note_usage()
        alerts.forget_old()
    list(alerts.look(MINUTELY))
    if is_hour:
        list(alerts.look(HOURLY))
    chores.start_due()


def disks_fill() -> Iterator[Finding]:
    """Whether a disk will be full within the days that a purchase takes."""
    for volume in Volume.objects.all():
        found = volumes.forecast_of(volume)
        if found.full_on is None:
            yield Finding(volume.name)
            continue
        left = (found.full_on - timezone.now().date()).days
        yield Finding(
            volume.name,
            verdict_of(
                -left, wrong_from=-settings.DISK_ALERT_DAYS,
                well_to=-settings.DISK_ALERT_DAYS * _DAYS_MORE,
            ),
            AlertLevel.DANGER if left <= 7 else AlertLevel.WARN,
            f"The disk of the {volume.name} will be full on {found.full_on} "
            f"(by {found.days} days of data).",
            f"Enlarge it, or make room: {volume.path}.",
        )  # fmt: skip


def disks_free() -> Iterator[Finding]:
    """Whether a disk has little room now."""
    least = settings.DISK_ALERT_PERCENT
    for volume in Volume.objects.all():
        usage = volumes.room_of(Path(volume.path))
        percent = 100 * usage.free / usage.total
        yield Finding(
            volume.name,
            verdict_of(-percent, wrong_from=-least, well_to=-least - _PERCENT_MORE),
            AlertLevel.DANGER if percent <= least / 2 else AlertLevel.WARN,
            f"The disk of the {volume.name} has {percent:.0f} % left.",
            f"Make room in {volume.path}: the archive takes no images on a full disk.",
        )


def receiver_away() -> Iterator[Finding]:
    """Whether equipment cannot send: the receiver does not answer, at two looks at least."""
    trouble = reachable.receiver_trouble()
    yield Finding(
        verdict=_failing("receiver", trouble),
        level=AlertLevel.DANGER,
        text=f"{trouble} Equipment cannot send.",
        remedy="Start dicom_receiver.py (noctis-receiver), or set DICOM_SCP_HOST and DICOM_PORT to "
        "where it is. Its log says why it ended.",
    )


def _failing(what: str, trouble: str) -> Verdict:
    fails_for = reachable.failing_for(what, is_failing=bool(trouble))
    if not trouble:
        return Verdict.WELL
    return Verdict.WRONG if fails_for >= _FAILING_LEAST else Verdict.BETWEEN


def bucket_away() -> Iterator[Finding]:
    """Whether the bucket cannot be used, or does not get what waits for it here."""
    store = stores.objects(is_patient=True)
    if store is None:
        return
    trouble = ""
    try:
        store.bucket.check()
    except BlobStoreUnavailableError as error:
        trouble = str(error)
    count, _ = object_upload.waiting()
    yield Finding(
        "answer",
        _failing("bucket", trouble),
        AlertLevel.DANGER,
        f"{trouble[:180]} {count} files wait here for it.",
        "Images that are in the bucket alone cannot be read. See docs/operations.md, 'Instances "
        "in a bucket'; nothing is lost, and receiving goes on.",
    )
    if trouble:
        yield Finding("upload", Verdict.BETWEEN)  # nothing can go up now, stuck or not
        return
    waits = object_upload.stuck_for()
    yield Finding(
        "upload",
        Verdict.WRONG if waits >= _UPLOAD_LATE else Verdict.WELL,
        text=f"A file has waited for {waits.total_seconds() // 60:.0f} minutes to go into the "
        "bucket, which answers.",
        remedy="The worker's log says why. 'manage.py verify_storage --full' finds files that are "
        "not what was stored.",
    )


def queue_late() -> Iterator[Finding]:
    """Whether background work waits for long."""
    now = timezone.now()
    due = Job.objects.filter(state=JobState.QUEUED, run_at__lte=now)
    oldest = due.aggregate(at=Min("run_at"))["at"]
    waits = now - oldest if oldest is not None else timedelta()
    yield Finding(
        verdict=verdict_of(
            waits.total_seconds(),
            wrong_from=_QUEUE_LATE.total_seconds(),
            well_to=_QUEUE_WELL.total_seconds(),
        ),
        text=f"Background jobs have waited for {waits.total_seconds() // 60:.0f} minutes.",
        remedy="Start more workers (noctis-worker), or look for a failing job in the "
        "administration.",
    )


def forwarding_dead() -> Iterator[Finding]:
    """Whether studies were not sent on, although everything was tried."""
    failed = Transmission.objects.filter(
        state=TransmissionState.FAILED, finished_at__gte=timezone.now() - _FORWARDING_SEEN
    ).select_related("destination")
    counts: dict[str, int] = {}
    for row in failed:
        counts[row.destination.ae_title] = counts.get(row.destination.ae_title, 0) + 1
    for title, count in counts.items():
        yield Finding(
            title,
            Verdict.WRONG,
            text=f"{count} {'study was' if count == 1 else 'studies were'} not sent to {title}, "
            "and nobody tries any more.",
            remedy="Forwarding, “Failed” says why; mend it, then “Send now”, or cancel.",
        )


def files_damaged() -> Iterator[Finding]:
    """Whether stored files are not what was stored."""
    count = damage.open_damages().count()
    yield Finding(
        verdict=Verdict.WRONG if count else Verdict.WELL,
        level=AlertLevel.DANGER,
        text=f"{count} stored {'file is' if count == 1 else 'files are'} damaged or missing.",
        remedy="Run 'manage.py verify_storage --mend-from' with a backup; look at the disk.",
    )


def backup_old() -> Iterator[Finding]:
    """Whether the last good backup is too old, or there is none of real studies."""
    good = chores.last(ChoreKind.BACKUP, is_ok=True)
    now = timezone.now()
    remedy = "Look at the last run on the page “Health”, and run 'manage.py backup'."
    if good is not None:
        age = now - good.started_at
        yield Finding(
            verdict=Verdict.WRONG if age > _BACKUP_LATE else Verdict.WELL,
            level=AlertLevel.DANGER,
            text=f"The last good backup is {age.days} days old.",
            remedy=remedy,
        )
        return
    first = Study.with_deleted.filter(is_demo=False).order_by("first_received_at").first()
    is_late = first is not None and first.first_received_at < now - _BACKUP_LATE
    yield Finding(
        verdict=Verdict.WRONG if is_late else Verdict.WELL,
        text="There are studies, and no backup has ever been made.",
        remedy="Set NOCTIS_BACKUP_DIR to a folder on another machine, or run 'manage.py backup'.",
    )


def chore_failed() -> Iterator[Finding]:
    """Whether the last drill, or the last check of the audit trail, went wrong."""
    words = {
        ChoreKind.DRILL: "Make a new backup, then run 'manage.py restore_drill' on it.",
        ChoreKind.AUDIT: "Run 'manage.py verify_audit' and keep what it says: somebody may have "
        "changed the trail.",
    }
    for kind, remedy in words.items():
        last = chores.last(kind)
        is_wrong = last is not None and not last.is_ok
        yield Finding(
            kind.value,
            Verdict.WRONG if is_wrong else Verdict.WELL,
            AlertLevel.DANGER,
            spoken(f"{kind.label} failed: {last.text}") if last is not None else "",
            remedy,
        )


def events_unsealed() -> Iterator[Finding]:
    """Whether events of the audit trail wait for their seal."""
    long_ago = timezone.now() - seals.SEALED_WITHIN
    is_late = AuditEvent.objects.filter(seal_number=None, at__lt=long_ago).exists()
    yield Finding(
        verdict=Verdict.WRONG if is_late else Verdict.WELL,
        text="Events of the audit trail have not been sealed for more than 10 minutes.",
        remedy="Look into the worker's log, and whether signing-key.pem can be read.",
    )


def messages_wait() -> Iterator[Finding]:
    """Whether the receiver of audit messages has taken none for long."""
    row = audit_shipping.shipment()
    since = row.failing_since if row is not None else None
    is_long = since is not None and since < timezone.now() - _SHIPPING_LATE
    yield Finding(
        verdict=Verdict.WELL if since is None else Verdict.WRONG if is_long else Verdict.BETWEEN,
        text=spoken(
            f"Audit messages have waited since {since:%Y-%m-%d %H:%M} UTC: "
            f"{(row.last_error if row is not None else '')[:120]}"
        )
        if since is not None
        else "",
        remedy=f"Look at {settings.AUDIT_SYSLOG}. Nothing is lost: all are sent when it answers.",
    )


def certificates_end() -> Iterator[Finding]:
    """Whether a certificate that this site shows ends soon."""
    for path in watched_certificates():
        try:
            ends = certificate_end(path)
        except (OSError, ValueError) as error:
            yield Finding(
                path.name,
                Verdict.WRONG,
                text=spoken(f"The certificate {path} cannot be read: {error}"),
                remedy="Put a certificate in PEM there that this user may read.",
            )
            continue
        days = (ends - timezone.now()).days
        yield Finding(
            path.name,
            verdict_of(-days, wrong_from=-_CERTIFICATE_DAYS, well_to=-_CERTIFICATE_WELL_DAYS),
            AlertLevel.DANGER if days <= 7 else AlertLevel.WARN,
            f"The certificate {path} ends on {ends:%Y-%m-%d}."
            if days >= 0
            else f"The certificate {path} has ended on {ends:%Y-%m-%d}.",
            "Renew it, and start the processes that use it again.",
        )


def watched_certificates() -> list[Path]:
    """Return the certificates that this site shows, and others that it was told of."""
    found = list(settings.WATCHED_CERTIFICATES)
    if settings.DICOM_TLS is not None:
        found.append(settings.DICOM_TLS.cert)
    if settings.AUDIT_SYSLOG_CERT is not None:
        found.append(settings.AUDIT_SYSLOG_CERT)
    return found


def certificate_end(path: Path) -> datetime:
    """Return when the first certificate of a PEM file ends."""
    return x509.load_pem_x509_certificates(path.read_bytes())[0].not_valid_after_utc


def facilities_silent() -> Iterator[Finding]:
    """Whether a facility that sends regularly has sent nothing for unusually long."""
    now = timezone.now()
    for facility in Facility.objects.filter(is_active=True, is_demo=False):
        arrivals = list(
            Study.with_deleted.filter(
                facility=facility, first_received_at__gte=now - 2 * _USUAL_TIME
            )
            .order_by("-first_received_at")
            .values_list("first_received_at", flat=True)[:_MOST_ARRIVALS]
        )
        limit = usual_silence(arrivals)
        silent = now - arrivals[0] if arrivals else timedelta()
        if limit is None:
            is_back = silent < _SILENT_LEAST
            yield Finding(facility.code, Verdict.WELL if is_back else Verdict.BETWEEN)
            continue
        hours = silent.total_seconds() / 3600
        yield Finding(
            facility.code,
            Verdict.WRONG if silent > limit else Verdict.WELL,
            text=f"{facility.name} has sent nothing for {hours:.0f} hours; "
            f"{limit.total_seconds() / 3600:.0f} hours would be unusual.",
            remedy="Ask there, and send an echo from the facility's page.",
        )


def usual_silence(arrivals: list[datetime]) -> timedelta | None:
    """Return how long a sender's silence may be; None where it does not send regularly.

    Parameters
    ----------
    arrivals : of its studies, newest first
    """
    if not arrivals:
        return None
    # By what was usual before it fell silent.
    usual = [at for at in arrivals if at >= arrivals[0] - _USUAL_TIME]
    if len(usual) < _LEAST_STUDIES or len({at.date() for at in usual}) < _LEAST_SENDING_DAYS:
        return None
    gaps = sorted((later - earlier).total_seconds() for later, earlier in pairwise(usual))
    # Its longest pauses are its nights and weekends; the single longest may have been a holiday.
    longest = statistics.mean(gaps[-4:-1]) if len(gaps) >= 4 else gaps[-1]
    return max(timedelta(seconds=longest * _SILENT_FACTOR), _SILENT_LEAST)


MINUTELY: list[tuple[str, alerts.Check]] = [
    ("disk.free", disks_free),
    ("receiver.away", receiver_away),
    ("bucket.away", bucket_away),
    ("queue.late", queue_late),
    ("forwarding.failed", forwarding_dead),
    ("files.damaged", files_damaged),
    ("backup.old", backup_old),
    ("chore.failed", chore_failed),
    ("audit.unsealed", events_unsealed),
    ("audit.waits", messages_wait),
]
HOURLY: list[tuple[str, alerts.Check]] = [
    ("disk.forecast", disks_fill),
    ("certificate.ends", certificates_end),
    ("facility.silent", facilities_silent),
]
