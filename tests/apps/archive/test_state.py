"""What the site says about its receiver, its queue and its disk."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from archive import state
from archive.models import Job, JobState

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forget_state() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def part(name: str) -> state.Part:
    cache.clear()
    return next(found for found in state.site_state() if found.name == name)


def test_the_receiver_is_asked_by_its_port(settings: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        settings.DICOM_SCP_HOST = "0.0.0.0"  # noqa: S104 - asked on loopback
        settings.DICOM_SCP_PORT = listener.getsockname()[1]
        assert part("Receiver").level == "ok"
    gone = part("Receiver")
    assert gone.level == "danger"
    assert "Start the receiver" in gone.text


def test_an_outage_keeps_its_beginning_and_ends(settings: Any) -> None:
    settings.DICOM_SCP_HOST = "127.0.0.1"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        settings.DICOM_SCP_PORT = listener.getsockname()[1]
        # Bound but not listening: nobody answers.
        first = _receiver_now()
        assert first.since is not None
        assert _receiver_now().since == first.since
        listener.listen()
        assert _receiver_now().since is None
    later = _receiver_now()
    assert later.since is not None
    assert later.since > first.since


def _receiver_now() -> state.Part:
    cache.delete("archive.state")
    return next(found for found in state.site_state() if found.name == "Receiver")


@pytest.mark.parametrize(
    ("age_s", "level"), [(1, "ok"), (31, "warn"), (301, "danger")], ids=["new", "late", "stuck"]
)
def test_jobs_that_wait_too_long(age_s: int, level: str) -> None:
    assert part("Queue").text == "Nothing waits."
    Job.objects.create(kind="k", key="1", run_at=timezone.now() - timedelta(seconds=age_s))
    Job.objects.create(kind="k", key="later", run_at=timezone.now() + timedelta(hours=1))
    found = part("Queue")
    assert found.level == level
    assert found.text.startswith("1 job waiting")


def test_jobs_that_failed_lately() -> None:
    now = timezone.now()
    Job.objects.create(kind="k", key="1", state=JobState.FAILED, finished_at=now)
    Job.objects.create(
        kind="k", key="2", state=JobState.FAILED, finished_at=now - timedelta(days=2)
    )
    found = part("Queue")
    assert found.level == "warn"
    assert "1 job failed since yesterday" in found.text


@pytest.mark.parametrize(("free", "level"), [(50, "ok"), (9, "warn"), (2, "danger")])
def test_room_on_the_disk(
    free: int, level: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(folder: Path) -> shutil._ntuple_diskusage:  # type: ignore[name-defined]
        asked.append(folder)
        return shutil._ntuple_diskusage(100 * 1024**3, 0, free * 1024**3)  # type: ignore[attr-defined]

    monkeypatch.setattr(state.shutil, "disk_usage", usage)
    found = part("Disk")
    assert found.level == level
    assert f"{free} GiB of 100 GiB" in found.text
    assert asked[0].exists()


def test_the_worst_part_decides_and_a_look_is_remembered(settings: Any) -> None:
    parts = [state.Part("a", "ok", ""), state.Part("b", "warn", "")]
    assert state.worst(parts) == "warn"
    assert state.worst([*parts, state.Part("c", "danger", "")]) == "danger"
    assert state.worst(parts[:1]) == "ok"
    first = state.site_state()
    settings.DICOM_SCP_AE_TITLE = "OTHER"
    assert state.site_state() == first
