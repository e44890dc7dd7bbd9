"""Programs on the site's own addresses: tokens and HTTP Basic where people have a session.

What the sidecar's routes take is in tests/doors/test_sidecar_access.py.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, User
from dicom_viewer.models import WindowLevelPreset
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.factories import PASSWORD
from worklist.models import Facility, Study

_PRESET = json.dumps({"name": "Own", "modality": "CT", "window_center": 40, "window_width": 80})


@pytest.fixture(autouse=True)
def forget_attempts() -> None:
    cache.clear()


@pytest.fixture
def token(radiologist: User) -> str:
    return "Bearer " + ApiToken.issue(radiologist, expires_at=None)[1]


@pytest.fixture
def program() -> Client:
    return Client(enforce_csrf_checks=True)


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture
def study(facility: Facility, store: Path) -> Study:
    factories.store_bytes(to_bytes(make_instance()), facility)
    return Study.objects.get()


def test_a_token_reads_and_changes(program: Client, token: str, study: Study) -> None:
    answer = program.get(f"/viewer/api/studies/{study.pk}/", headers={"Authorization": token})
    assert answer.status_code == 200
    assert study.study_instance_uid in answer.content.decode()
    made = program.post(
        "/viewer/api/presets/", _PRESET, "application/json", headers={"Authorization": token}
    )
    assert made.status_code == 201, made.content
    assert WindowLevelPreset.objects.filter(name="Own").exists()


def test_basic_reads_and_does_not_change(program: Client, radiologist: User, study: Study) -> None:
    headers = {"Authorization": basic(radiologist.username, PASSWORD)}
    assert program.get(f"/viewer/api/studies/{study.pk}/", headers=headers).status_code == 200
    refused = program.post("/viewer/api/presets/", _PRESET, "application/json", headers=headers)
    assert refused.status_code == 403
    assert not WindowLevelPreset.objects.filter(name="Own").exists()


def test_another_facilitys_study_stays_closed(
    program: Client, token: str, other_facility: Facility, store: Path
) -> None:
    factories.store_bytes(to_bytes(make_instance()), other_facility)
    path = f"/viewer/api/studies/{Study.objects.get().pk}/"
    assert program.get(path, headers={"Authorization": token}).status_code == 403


@pytest.mark.parametrize("case", ["unknown token", "revoked token", "wrong password", "no pair"])
def test_what_opens_nothing_is_told_so(
    program: Client, token: str, radiologist: User, study: Study, case: str
) -> None:
    header = {
        "unknown token": "Bearer nothing",
        "revoked token": token,
        "wrong password": basic(radiologist.username, "wrong"),
        "no pair": "Basic %%%",
    }[case]
    if case == "revoked token":
        ApiToken.objects.update(revoked_at=timezone.now())
    answer = program.get(f"/viewer/api/studies/{study.pk}/", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"] == header.split()[0]


def test_passwords_are_not_tried_without_end(program: Client, radiologist: User) -> None:
    headers = {"Authorization": basic(radiologist.username, "wrong")}
    answers = [program.get("/viewer/api/presets/", headers=headers) for _ in range(12)]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert int(answers[-1]["Retry-After"]) > 0


def test_a_session_is_not_begun_by_a_token(program: Client, token: str, study: Study) -> None:
    program.get(f"/viewer/api/studies/{study.pk}/", headers={"Authorization": token})
    assert not program.cookies
    assert program.get(f"/viewer/api/studies/{study.pk}/").status_code == 401


def test_administration_takes_no_token(program: Client, admin_user: User) -> None:
    token = "Bearer " + ApiToken.issue(admin_user, expires_at=None)[1]
    assert program.get("/admin/", headers={"Authorization": token}).status_code == 302
