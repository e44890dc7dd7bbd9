"""What is watched: each alert is raised once, says what to do, and is over only when it is over."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone

from archive import alerts, audit, chores, heartbeat, jobs, runner, volumes, watch
from archive.access import system_actor
from archive.alerts import Finding, Verdict
from archive.models import (
    Alert,
    AuditEvent,
    Chore,
    ChoreKind,
    Damage,
    Destination,
    FacilityUsage,
    Heartbeat,
    Job,
    OutboxEvent,
    Transmission,
    TransmissionState,
    Volume,
    VolumeSample,
)
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db
GB = 10**9


def raised(kind: str) -> list[Alert]:
    return list(Alert.objects.filter(kind=kind, cleared_at=None).order_by("key"))


def settle(kind: str) -> list[Alert]:
    check = dict([*watch.MINUTELY, *watch.HOURLY])[kind]
    alerts.settle(kind, check())
    return raised(kind)


@pytest.fixture
def study(store: Path, facility: Facility) -> Study:
    result = factories.store_bytes(to_bytes(make_instance()), facility)
    return DicomImage.objects.get(pk=result.image_id).series.study


# How alerts come and go ---------------------------------------------------------------------------


def test_an_alert_is_raised_once_and_cleared_with_hysteresis() -> None:
    wrong = Finding("store", Verdict.WRONG, text="9 % left.", remedy="Make room.")
    for _ in range(3):
        alerts.settle("disk.free", [wrong])
    alerts.settle("disk.free", [Finding("store", Verdict.BETWEEN)])
    (only,) = raised("disk.free")
    assert (only.text, only.remedy) == ("9 % left.", "Make room.")
    alerts.settle("disk.free", [Finding("store", Verdict.WELL)])
    assert raised("disk.free") == []
    told = OutboxEvent.objects.filter(kind="alert.changed").order_by("id")
    assert [event.payload["is_open"] for event in told] == [True, False]
    alerts.settle("disk.free", [wrong])
    assert raised("disk.free")[0].pk != only.pk


def test_what_becomes_urgent_is_told_again() -> None:
    alerts.settle("k", [Finding(verdict=Verdict.WRONG, text="soon")])
    urgent = Finding(verdict=Verdict.WRONG, level=alerts.AlertLevel.DANGER, text="now")
    for _ in range(2):
        alerts.settle("k", [urgent])
    assert OutboxEvent.objects.filter(kind="alert.changed").count() == 2
    assert raised("k")[0].text == "now"


def test_what_is_no_longer_there_is_over() -> None:
    alerts.settle("k", [Finding("a", Verdict.WRONG), Finding("b", Verdict.WRONG)])
    alerts.settle("k", [Finding("b", Verdict.WRONG)])
    assert [row.key for row in raised("k")] == ["b"]


def test_a_check_that_fails_does_not_stop_the_others() -> None:
    def broken() -> list[Finding]:
        raise ValueError("broken")

    done = list(alerts.look([("x", broken), ("y", lambda: [Finding(verdict=Verdict.WRONG)])]))
    assert done == ["y"]
    assert raised("y")


# Disks --------------------------------------------------------------------------------------------


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, store: Path) -> Callable[[int], None]:
    def of(percent: int) -> None:
        room = volumes.Room(1000 * GB, percent * 10 * GB)
        monkeypatch.setattr(volumes, "room_of", lambda _: room)

    of(50)
    return of


def test_a_disk_with_little_room_is_an_alert_until_there_is_enough(
    disk: Callable[[int], None],
) -> None:
    volumes.sample()
    assert settle("disk.free") == []
    disk(10)
    first = settle("disk.free")
    assert first
    assert "10 % left" in first[0].text
    disk(11)
    assert settle("disk.free") == first
    disk(12)
    assert settle("disk.free") == []


def _grow(days: int, per_day: int, free: int) -> None:
    volume = Volume.objects.create(name="store", path="/", total_bytes=1000 * GB, free_bytes=free)
    now = timezone.now()
    VolumeSample.objects.bulk_create(
        VolumeSample(
            volume=volume,
            at=now - timedelta(days=n, minutes=1),
            total_bytes=1000 * GB,
            free_bytes=free + n * per_day,
        )
        for n in range(days, -1, -1)
    )


@pytest.mark.parametrize(("free", "is_raised"), [(400 * GB, False), (200 * GB, True)])
def test_a_disk_that_will_be_full_is_an_alert(
    disk: Callable[[int], None], free: int, is_raised: bool
) -> None:
    _grow(14, 10 * GB, free)
    disk(free // (10 * GB))
    volumes.sample()
    found = settle("disk.forecast")
    assert bool(found) is is_raised
    if found:
        day = timezone.now().date() + timedelta(days=20)
        assert f"{day}" in found[0].text or f"{day - timedelta(days=1)}" in found[0].text
        assert "by 14 days of data" in found[0].text


def test_three_days_of_growth_raise_nothing(disk: Callable[[int], None]) -> None:
    _grow(3, 100 * GB, 150 * GB)
    disk(15)
    volumes.sample()
    assert settle("disk.forecast") == []
    assert not volumes.forecast_of(Volume.objects.get(name="store")).is_known


def test_each_facilitys_room_is_kept_by_day(study: Study) -> None:
    volumes.note_usage()
    volumes.note_usage()
    row = FacilityUsage.objects.get()
    assert (row.study_count, row.size_bytes) == (1, study.size_bytes)
    old = timezone.now().date() - timedelta(days=20)
    FacilityUsage.objects.create(facility=study.facility, day=old, study_count=0, size_bytes=0)
    ((owner, latest, before),) = volumes.growth(30)
    assert (owner, latest, before.day) == (study.facility, row, old)


# Queues, backups, files ---------------------------------------------------------------------------


def test_work_that_waits_is_an_alert() -> None:
    late = timezone.now() - timedelta(minutes=11)
    job = Job.objects.create(kind="k", key="1", run_at=late)
    assert "11 minutes" in settle("queue.late")[0].text
    Job.objects.filter(pk=job.pk).update(run_at=timezone.now() - timedelta(minutes=5))
    assert settle("queue.late")
    job.delete()
    assert settle("queue.late") == []


def test_studies_that_were_not_sent_are_an_alert(study: Study) -> None:
    target = Destination.objects.create(ae_title="FAR", host="192.0.2.9", port=104)
    row = Transmission.objects.create(
        study=study,
        destination=target,
        reason="by hand",
        received_through=timezone.now(),
        state=TransmissionState.FAILED,
        finished_at=timezone.now(),
    )
    (found,) = settle("forwarding.failed")
    assert found.text.startswith("1 study was not sent to FAR")
    row.state = TransmissionState.WAITING
    row.save()
    assert settle("forwarding.failed") == []


def test_a_damaged_file_is_an_alert(study: Study) -> None:
    image = DicomImage.objects.get()
    Damage.objects.create(facility=study.facility, image=image, kind="missing", words="gone")
    (found,) = settle("files.damaged")
    assert (found.level, found.text[:6]) == ("danger", "1 stor")


def _chore(kind: ChoreKind, age: timedelta, *, is_ok: bool = True, text: str = "") -> Chore:
    at = timezone.now() - age
    return Chore.objects.create(
        kind=kind, process="here:1", started_at=at, finished_at=at, is_ok=is_ok, text=text
    )


def test_an_old_backup_is_an_alert_until_there_is_a_new_one() -> None:
    _chore(ChoreKind.BACKUP, timedelta(days=3, hours=1))
    _chore(ChoreKind.BACKUP, timedelta(hours=1), is_ok=False)
    assert "3 days old" in settle("backup.old")[0].text
    _chore(ChoreKind.BACKUP, timedelta(minutes=1))
    assert settle("backup.old") == []


def test_studies_without_any_backup_are_an_alert_after_two_days(study: Study) -> None:
    assert settle("backup.old") == []
    Study.objects.update(first_received_at=timezone.now() - timedelta(days=3))
    assert "no backup has ever" in settle("backup.old")[0].text
    Study.objects.update(is_demo=True)
    assert settle("backup.old") == []


@pytest.mark.parametrize("kind", [ChoreKind.DRILL, ChoreKind.AUDIT])
def test_a_chore_that_failed_is_an_alert_until_one_is_good(kind: ChoreKind) -> None:
    _chore(kind, timedelta(hours=2), is_ok=False, text="3 faults")
    (found,) = settle("chore.failed")
    assert found.text == f"{kind.label} failed: 3 faults"
    _chore(kind, timedelta(hours=1))
    assert settle("chore.failed") == []


def test_events_without_seal_are_an_alert() -> None:
    audit.record(system_actor("tests"), "query")
    assert settle("audit.unsealed") == []
    AuditEvent.objects.update(at=timezone.now() - timedelta(minutes=11))
    assert settle("audit.unsealed")


# Receiver -----------------------------------------------------------------------------------------


def earlier(what: str, **ago: float) -> None:
    """Let a failure have begun before."""
    at = timezone.now() - timedelta(**ago)
    assert Heartbeat.objects.filter(name__startswith=f"failing {what}").update(at=at) == 1


def test_a_receiver_that_stays_away_is_an_alert_until_it_answers(settings: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        settings.DICOM_SCP_HOST = "127.0.0.1"
        settings.DICOM_SCP_PORT = listener.getsockname()[1]  # nobody listens yet
        assert settle("receiver.away") == []  # it may be starting again
        earlier("receiver", minutes=1)
        (found,) = settle("receiver.away")
        assert found.level == "danger"
        assert f"does not answer on 127.0.0.1:{settings.DICOM_SCP_PORT}" in found.text
        assert "Equipment cannot send" in found.text
        # A failure of days is remembered, and told once.
        earlier("receiver", days=3)
        heartbeat.forget_old()
        assert settle("receiver.away") == [found]
        listener.listen()
        assert settle("receiver.away") == []
    told = OutboxEvent.objects.filter(kind="alert.changed").order_by("id")
    assert [event.payload["is_open"] for event in told] == [True, False]
    assert settle("receiver.away") == []


# Certificates, senders ----------------------------------------------------------------------------


def certificate(path: Path, *, days: int) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pacs")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=300))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(("days", "says"), [(90, ""), (20, "ends on"), (-2, "has ended on")])
def test_a_certificate_that_ends_is_an_alert(
    tmp_path: Path, settings: Any, days: int, says: str
) -> None:
    settings.WATCHED_CERTIFICATES = (certificate(tmp_path / "tls.pem", days=days),)
    settings.DICOM_TLS = None
    found = settle("certificate.ends")
    assert bool(found) is bool(says)
    assert not says or says in found[0].text


def test_a_certificate_that_cannot_be_read_is_an_alert(tmp_path: Path, settings: Any) -> None:
    settings.DICOM_TLS = None
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    settings.WATCHED_CERTIFICATES = (tmp_path / "nowhere.pem", broken)
    assert ["cannot be read" in row.text for row in settle("certificate.ends")] == [True, True]


def _sent(days_ago: float, *, workdays: int = 20, per_day: int = 3) -> list[datetime]:
    """A clinic that sends some studies each day but at weekends; newest first."""
    now = timezone.now() - timedelta(days=days_ago)
    found = []
    for day in range(workdays):
        calendar = day + 2 * (day // 5)
        found += [now - timedelta(days=calendar, hours=2 * n) for n in range(per_day)]
    return sorted(found, reverse=True)


def test_a_usual_silence_is_a_weekend_not_an_hour() -> None:
    limit = watch.usual_silence(_sent(0))
    assert limit is not None
    # From Friday noon to Monday noon, and half of it again.
    assert timedelta(days=3) < limit < timedelta(days=5)


@pytest.mark.parametrize(
    "arrivals", [[], _sent(0, workdays=5), _sent(0, workdays=11, per_day=1)], ids=len
)
def test_who_sends_now_and_then_is_not_missed(arrivals: list[datetime]) -> None:
    assert watch.usual_silence(arrivals) is None


@pytest.mark.parametrize(("days_ago", "is_raised"), [(1.0, False), (6.0, True)])
def test_a_facility_that_fell_silent_is_an_alert(
    study: Study, days_ago: float, is_raised: bool
) -> None:
    for number, at in enumerate(_sent(days_ago)):
        copy = Study.objects.get(pk=study.pk)
        copy.pk, copy.study_instance_uid, copy.first_received_at = None, f"1.2.{number}", at
        copy._state.adding = True
        copy.id = Study._meta.get_field("id").get_default()
        copy.save()
    study.delete()
    found = settle("facility.silent")
    assert bool(found) is is_raised
    if found:
        assert "North Clinic has sent nothing for 144 hours" in found[0].text
        Study.objects.order_by("first_received_at").update(first_received_at=timezone.now())
        assert settle("facility.silent") == []


# The clock ----------------------------------------------------------------------------------------


def test_the_worker_looks_every_minute_and_samples_every_hour(store: Path) -> None:
    runner.care()
    assert Job.objects.filter(kind="care.look").count() == 1
    assert jobs.run(Job.objects.get(kind="care.look"))
    assert {row.name for row in Volume.objects.all()} >= {"store"}
    counted = VolumeSample.objects.count()
    watch.look()
    assert VolumeSample.objects.count() == counted
    Volume.objects.update(at=timezone.now() - timedelta(hours=1))
    watch.look()
    assert VolumeSample.objects.count() == 2 * counted


def test_a_run_that_was_cut_off_is_closed_as_failed() -> None:
    host = chores.heartbeat.process_name().rpartition(":")[0]
    gone = Chore.objects.create(kind=ChoreKind.DRILL, process=f"{host}:999999999")
    mine = Chore.objects.create(kind=ChoreKind.BACKUP, process=chores.heartbeat.process_name())
    earlier = Chore.objects.create(
        kind=ChoreKind.AUDIT,
        process=f"{host}:{os.getpid()}",
        started_at=timezone.now() - timedelta(days=900),
    )
    assert chores.forget_dead() == 2
    gone.refresh_from_db()
    mine.refresh_from_db()
    assert (gone.is_ok, mine.finished_at) == (False, None)
    assert "cut off" in gone.text
    assert not Chore.objects.filter(pk=earlier.pk, finished_at=None).exists()
