"""Readiness, metrics and the health check: each says what is wrong when it is, and only then."""

from __future__ import annotations

import json
import re
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, Role, User
from archive import heartbeat, meters, watch
from archive.errors import NotDicomError
from archive.models import Heartbeat, Job, JobState
from noctis_pro import health, readiness
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver(settings: Any) -> Iterator[socket.socket]:
    """Something that listens where the receiver should."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        settings.DICOM_SCP_HOST = "0.0.0.0"  # noqa: S104 - reached by loopback
        settings.DICOM_SCP_PORT = listener.getsockname()[1]
        yield listener


@pytest.fixture
def healthy(store: Path, tmp_path: Path, settings: Any, receiver: object) -> Facility:
    """A site on which every check holds that needs no live traffic."""
    settings.DATA_DIR = tmp_path
    settings.CACHE_DIR.mkdir(parents=True, exist_ok=True)
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    settings.DJANGO_VITE = {"default": {"manifest_path": manifest}}
    (tmp_path / "secret-key").write_text("s" * 60)
    (tmp_path / "secret-key").chmod(0o600)
    factories.user("ada", Role.ADMIN)
    owner = factories.facility("NORTH", "North Clinic", ae_titles=["CT_NORTH"])
    for number in range(3):
        factories.store_bytes(to_bytes(make_instance(InstanceNumber=number)), owner)
    heartbeat._last_beat.clear()
    heartbeat.beat(heartbeat.WORKER)
    return owner


def _failed(found: list[readiness.Check]) -> dict[str, readiness.Check]:
    return {check.name: check for check in found if not check.ok}


def test_a_healthy_site_has_nothing_to_say(healthy: Facility) -> None:
    found = health.run_checks(with_traffic=False)
    assert _failed(found) == {}
    assert [check.name for check in found] == [
        "directory structure",
        "database",
        "DICOM storage configuration",
        "user accounts",
        "facilities",
        "DICOM data integrity",
        "permissions",
        "configuration",
    ]


def _lose_migration(_: Path, __: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'archive'")


def _lose_file(store: Path, _: Any) -> None:
    (store / DicomImage.objects.latest("pk").storage_key).unlink()


def _damage_file(store: Path, _: Any) -> None:
    path = store / DicomImage.objects.latest("pk").storage_key
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _add_file(store: Path, _: Any) -> None:
    import os
    import time

    stray = store / "ab" / "cd" / "abcd000000000000.dcm"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    long_ago = time.time() - 3600
    os.utime(stray, (long_ago, long_ago))


def _store_nowhere(store: Path, settings: Any) -> None:
    # A file where the folder should be: also root cannot write there.
    blocked = store / "blocked"
    blocked.write_text("")
    settings.DICOM_SPOOL_DIR = blocked / "spool"


def _widen(name: str, mode: int) -> Callable[[Path, Any], None]:
    def change(_: Path, settings: Any) -> None:
        (settings.DATA_DIR / name).chmod(mode)

    return change


def _set(**values: Any) -> Callable[[Path, Any], None]:
    def change(_: Path, settings: Any) -> None:
        for name, value in values.items():
            setattr(settings, name, value)

    return change


@pytest.mark.parametrize(
    ("damage", "name", "says"),
    [
        (_lose_migration, "database", "not applied"),
        (_set(DICOM_SCP_AE_TITLE="SEVENTEEN_LETTERS"), "DICOM storage configuration", "16"),
        (lambda *_: User.objects.all().update(is_active=False), "user accounts", "administrator"),
        (lambda *_: User.objects.all().update(password="!"), "user accounts", "password"),
        (lambda *_: Facility.objects.all().update(is_active=False), "facilities", "no active"),
        (_lose_file, "DICOM data integrity", "missing"),
        (_damage_file, "DICOM data integrity", "other content"),
        (_add_file, "DICOM data integrity", "a file without a row"),
        (_widen("secret-key", 0o640), "permissions", "can be read by others"),
        (_widen(".", 0o777), "permissions", "may write"),
        (_set(ALLOWED_HOSTS=["*"]), "configuration", "ALLOWED_HOSTS"),
        (_set(DJANGO_VITE={"default": {"manifest_path": Path("/nowhere")}}),
         "configuration", "front end"),
        (_set(CSRF_TRUSTED_ORIGINS=["pacs.example.org"]), "configuration", "CSRF_TRUSTED_ORIGINS"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_and_named(
    healthy: Facility,
    store: Path,
    settings: Any,
    damage: Callable[[Path, Any], None],
    name: str,
    says: str,
) -> None:
    damage(store, settings)
    failed = _failed(health.run_checks(with_traffic=False))
    assert list(failed) == [name]
    assert says in failed[name].message
    assert failed[name].remedy


def test_a_full_store_is_named(healthy: Facility, store: Path, settings: Any) -> None:
    _store_nowhere(store, settings)
    failed = _failed(health.run_checks(with_traffic=False))
    assert "Not a directory" in failed["directory structure"].message
    assert "takes no files" in failed["DICOM storage configuration"].message


def test_a_spool_elsewhere_is_named(healthy: Facility, settings: Any) -> None:
    folders = (Path("/dev/shm"), Path(tempfile.gettempdir()))  # noqa: S108 - nothing is written
    own = settings.DATA_DIR.stat().st_dev
    elsewhere = next(
        (path for path in folders if path.is_dir() and path.stat().st_dev != own), None
    )
    assert elsewhere, f"one of {folders} must be on another file system than the tests' data"
    settings.DICOM_SPOOL_DIR = elsewhere
    failed = _failed(health.run_checks(with_traffic=False))
    assert "another file system" in failed["directory structure"].message


@pytest.mark.django_db(transaction=True)
def test_a_careless_database_is_named() -> None:
    assert health._weak_durability() == ""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit TO off")
            assert "synchronous_commit=off" in health._weak_durability()
            cursor.execute("RESET synchronous_commit")
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=OFF")
    assert "synchronous=0" in health._weak_durability()
    connection.close()


def test_reports_are_for_people_and_for_programs(healthy: Facility, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    found = health.run_checks(with_traffic=False)
    text = health.as_text(found)
    assert "FAILED  configuration: ALLOWED_HOSTS" in text
    assert "-> Name the site's hosts." in text
    assert text.endswith("1 of 8 checks failed.")
    document = json.loads(health.as_json(found))
    assert document["healthy"] is False
    assert [c["name"] for c in document["checks"] if not c["ok"]] == ["configuration"]


def test_another_users_site_is_left_alone(
    healthy: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Path(health.settings.DATA_DIR).stat().st_uid
    monkeypatch.setattr(health.os, "geteuid", lambda: owner + 1)
    (only,) = health.run_checks()
    assert not only.ok
    assert "sudo -u" in only.remedy


# Readiness ------------------------------------------------------------------------------------


def _ready(client: Client) -> tuple[int, dict[str, bool]]:
    response = client.get("/health/ready")
    return response.status_code, {c["name"]: c["ok"] for c in response.json()["checks"]}


def test_ready_when_everything_serves(healthy: Facility, client: Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert _ready(client) == (
        200,
        {"database": True, "receiver": True, "worker": True, "store": True},
    )
    assert "no-store" in client.get("/health/ready")["Cache-Control"]


def test_not_ready_without_the_receiver(
    healthy: Facility, client: Client, receiver: socket.socket
) -> None:
    receiver.close()
    status, parts = _ready(client)
    assert status == 503
    assert [name for name, ok in parts.items() if not ok] == ["receiver"]


def test_not_ready_without_a_worker(healthy: Facility, client: Client) -> None:
    Heartbeat.objects.update(at=timezone.now() - timedelta(seconds=30))
    status, parts = _ready(client)
    assert status == 503
    assert [name for name, ok in parts.items() if not ok] == ["worker"]


def test_ready_while_the_worker_does_one_long_job(healthy: Facility, client: Client) -> None:
    Heartbeat.objects.update(at=timezone.now() - timedelta(minutes=5))
    job = Job.objects.create(
        kind="long",
        key="1",
        state=JobState.RUNNING,
        claimed_by=heartbeat.process_name(),
        claimed_at=timezone.now() - timedelta(minutes=5),
    )
    assert _ready(client)[0] == 200
    Job.objects.filter(pk=job.pk).update(claimed_by="another:1")
    assert _ready(client)[0] == 503


def test_not_ready_with_a_store_that_takes_nothing(
    healthy: Facility, client: Client, store: Path, settings: Any
) -> None:
    _store_nowhere(store, settings)
    status, parts = _ready(client)
    assert status == 503
    assert [name for name, ok in parts.items() if not ok] == ["store"]


def test_health_is_answered_without_tls_too(
    healthy: Facility, client: Client, settings: Any
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/health/live").status_code == 200
    assert client.get("/accounts/login/").status_code == 301


def test_heartbeats_cost_one_write_in_five_seconds(
    healthy: Facility, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        heartbeat.beat(heartbeat.WORKER)
    heartbeat._last_beat.clear()
    with django_assert_num_queries(1):
        heartbeat.beat(heartbeat.WORKER)
    assert Heartbeat.objects.count() == 1
    heartbeat.leave(heartbeat.WORKER)
    assert not heartbeat.is_alive(heartbeat.WORKER)


# Metrics --------------------------------------------------------------------------------------


def _figures(text: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_metrics_are_the_sites_figures(healthy: Facility, client: Client) -> None:
    Job.objects.create(kind="k", key="1", state=JobState.FAILED)
    response = client.get("/metrics", REMOTE_ADDR="127.0.0.1")
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    figures = _figures(response.content.decode())
    assert figures["noctis_instances"] == 3
    assert figures["noctis_studies"] == figures["noctis_series"] == 3
    assert figures["noctis_stored_bytes"] == sum(
        DicomImage.objects.values_list("size_bytes", flat=True)
    )
    assert figures['noctis_jobs{state="failed"}'] == 1
    assert figures["noctis_facilities"] == 1
    assert 0 < figures["noctis_disk_free_bytes"] <= figures["noctis_disk_total_bytes"]
    assert figures['noctis_ready{part="receiver"}'] == 1


def test_metrics_tell_each_facility_and_what_came(healthy: Facility, client: Client) -> None:
    series = 'noctis_ingest_total{facility="NORTH",outcome="%s"}'
    before = _figures(readiness.metrics())
    content = to_bytes(make_instance())
    factories.store_bytes(content, healthy)
    factories.store_bytes(content, healthy)
    with pytest.raises(NotDicomError):
        factories.store_bytes(b"no DICOM at all", healthy)
    watch.look()
    figures = _figures(readiness.metrics())
    for outcome in ("stored", "duplicate", "refused"):
        assert figures[series % outcome] == before.get(series % outcome, 0) + 1
    assert figures['noctis_facility_instances{facility="NORTH"}'] == 4
    last = figures['noctis_facility_last_received_seconds{facility="NORTH"}']
    assert timezone.now().timestamp() - last < 600
    assert figures['noctis_volume_forecast_days{volume="store"}'] == 0
    assert figures['noctis_alerts{level="danger"}'] == 0
    assert figures["noctis_ingest_seconds_count"] >= 3


def test_the_dashboard_asks_for_figures_that_are_there(healthy: Facility) -> None:
    """Each name in `ops/grafana-dashboard.json` is one of the real answer's."""
    watch.look()
    meters.FRAMES_ASKED.labels("memory", "yes").inc()
    meters.FRAMES_MADE.labels("memory").observe(0.01)
    text = readiness.metrics()
    known = {line.partition(" ")[0].partition("{")[0] for line in text.splitlines()}
    # Figures without a value now: a disk that never fills, a chore that never ran.
    known |= {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    path = Path(health.settings.BASE_DIR) / "ops" / "grafana-dashboard.json"
    dashboard = json.loads(path.read_text("utf-8"))
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"noctis_\w+", target["expr"])
    }
    assert len(asked) > 25
    assert asked - known == set()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("surroundings", "status"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, 200),
        ({"REMOTE_ADDR": "::1"}, 200),
        ({"REMOTE_ADDR": "192.0.2.7"}, 401),
        ({"REMOTE_ADDR": ""}, 401),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7"}, 401),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=192.0.2.7"}, 401),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_REAL_IP": "192.0.2.7"}, 401),
    ],
)
def test_metrics_are_for_this_machine(
    healthy: Facility, client: Client, surroundings: dict[str, str], status: int
) -> None:
    response = client.get("/metrics", HTTP_ACCEPT="application/json", **surroundings)
    assert response.status_code == status


@pytest.mark.parametrize(("role", "status"), [(Role.ADMIN, 200), (Role.RADIOLOGIST, 403)])
@pytest.mark.parametrize("by", ["session", "token"])
def test_metrics_are_for_administrators(
    healthy: Facility, client: Client, role: Role, status: int, by: str
) -> None:
    user = factories.user("somebody", role)
    headers = {"REMOTE_ADDR": "192.0.2.7", "HTTP_ACCEPT": "application/json"}
    if by == "session":
        client.force_login(user)
    else:
        _, secret = ApiToken.issue(user, expires_at=None)
        headers["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    assert client.get("/metrics", **headers).status_code == status  # type: ignore[arg-type]
    client.logout()
    headers["HTTP_AUTHORIZATION"] = "Bearer npt_wrong"
    assert client.get("/metrics", **headers).status_code == 401  # type: ignore[arg-type]


def test_secrets_of_the_first_start_are_private(tmp_path: Path) -> None:
    from archive.secretfiles import write_secret

    path = tmp_path / "new" / "secret"
    write_secret(path, "one")
    write_secret(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
