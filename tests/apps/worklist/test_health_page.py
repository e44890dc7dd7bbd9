"""The page of the site's health: for administrators, with what is known and what is not yet."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role, User
from archive import alerts, volumes
from archive.alerts import Finding, Verdict
from archive.models import Chore, ChoreKind, Job, JobState, Volume, VolumeSample
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(admin_user: User, store: Path) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


def page(client: Client) -> str:
    answer = client.get(reverse("worklist:site-health"))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_a_new_site_says_what_it_does_not_know_yet(admin: Client, settings: Any) -> None:
    settings.BACKUP_DIR = None
    text = page(admin)
    assert "Nothing needs anybody now" in text
    assert "No forecast yet: 0 days of data, 7 are needed." in text
    assert "Set NOCTIS_BACKUP_DIR" in text
    assert "No job waits" in text
    assert "Not counted yet" in text


def test_everything_that_is_known_is_shown(admin: Client, facility: Facility) -> None:
    factories.store_bytes(to_bytes(make_instance()), facility)
    volumes.sample()
    volumes.note_usage()
    store = Volume.objects.get(name="store")
    for days in range(1, 15):
        VolumeSample.objects.create(
            volume=store,
            at=timezone.now() - timedelta(days=days),
            total_bytes=store.total_bytes,
            free_bytes=store.free_bytes + days * 10**9,
        )
    volumes.sample()
    wrong = Finding("x", Verdict.WRONG, text="A disk fills.", remedy="Buy another.")
    alerts.settle("k", [wrong])
    alerts.settle("other", [Finding("y", Verdict.WRONG, text="It was late.")])
    alerts.settle("other", [])
    at = timezone.now()
    Chore.objects.create(
        kind=ChoreKind.BACKUP, process="a:1", finished_at=at, is_ok=True, text="17 files"
    )
    Chore.objects.create(kind=ChoreKind.DRILL, process="a:1")
    Job.objects.create(kind="mirror.send", key="1", state=JobState.FAILED)
    text = page(admin)
    for words in (
        "A disk fills.", "Buy another.", "Over lately (1)", "It was late.", "by 14 days of data",
        "17 files", "Runs since", "mirror.send", "North Clinic", "state__exact=failed",
    ):  # fmt: skip
        assert words in text


@pytest.mark.parametrize("role", [Role.RADIOLOGIST, Role.TECHNOLOGIST, Role.FACILITY])
def test_it_is_for_administrators(facility: Facility, role: Role) -> None:
    client = Client()
    address = reverse("worklist:site-health")
    assert client.get(address).status_code == 302
    client.force_login(factories.user("somebody", role, [facility]))
    assert client.get(address).status_code == 403
    assert b"Health</a>" not in client.get(reverse("worklist:facility-list")).content
