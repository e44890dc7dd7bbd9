"""Who somebody is to the sidecar: sessions, passwords, tokens, their end, and the second factor."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from django_otp.oath import totp
from pytest_django import Settings

from accounts import second_factor
from accounts.models import ApiToken, Role, User
from archive import access
from archive.models import AuditEvent
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)


def test_session_token_and_password_open_alike(
    sidecar: Sidecar, image: DicomImage, radiologist: User
) -> None:
    path = f"/api/v1/dicom/image/{image.pk}/frames/1.png"
    basic = base64.b64encode(f"rita:{factories.PASSWORD}".encode()).decode()
    contents = {
        caller.get(path).content
        for caller in (
            sidecar.by_session(radiologist),
            sidecar.by_token(radiologist),
            sidecar.nobody.as_(Authorization=f"Basic {basic}"),
        )
    }
    assert len(contents) == 1
    assert contents.pop().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer npt_unknown",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"rita").decode(),
        "Basic " + base64.b64encode(b"rita:wrong").decode(),
        "Basic " + base64.b64encode(b"nobody:wrong").decode(),
        "Digest username=rita",
        "Bearer " + "x" * 10_000,
        "nonsense",
    ],
)
def test_what_proves_nothing_is_refused(
    sidecar: Sidecar, radiologist: User, authorization: str
) -> None:
    caller = sidecar.by_session(radiologist)
    both = caller.as_(**caller.headers, Authorization=authorization)
    # A wrong header is not mended by a cookie.
    assert_problem(both.get("/api/v1/dicom/stats"), 401)


@pytest.mark.parametrize(
    "cookie", ["", "noctis_session=", "noctis_session=unknown", "noctis_session=" + "a" * 9000,
               "a=b; noctis_session", "\x00"],
)  # fmt: skip
def test_a_cookie_that_is_no_session_is_refused(sidecar: Sidecar, cookie: str) -> None:
    assert_problem(sidecar.nobody.as_(Cookie=cookie).get("/api/v1/dicom/stats"), 401)


def end_token(user: User) -> None:
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def revoke(user: User) -> None:
    ApiToken.objects.update(revoked_at=timezone.now())


def lock(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def sign_out(user: User) -> None:
    Session.objects.all().delete()


def change_password(user: User) -> None:
    user.set_password("another one entirely")
    user.save()


def leave(user: User) -> None:
    user.facilities.clear()


@pytest.mark.parametrize(
    ("kind", "change", "status"),
    [
        ("token", end_token, 401),
        ("token", revoke, 401),
        ("token", lock, 401),
        ("token", leave, 403),
        ("session", sign_out, 401),
        ("session", change_password, 401),
        ("session", lock, 401),
        ("session", leave, 403),
    ],
)
def test_what_ends_is_felt_within_a_second(
    sidecar: Sidecar, image: DicomImage, radiologist: User, kind: str,
    change: Callable[[User], None], status: int,
) -> None:  # fmt: skip
    caller = sidecar.by_token(radiologist) if kind == "token" else sidecar.by_session(radiologist)
    path = f"/api/v1/dicom/image/{image.pk}/frames/1.png"
    for _ in range(2):
        assert caller.get(path).status_code == 200
    change(radiologist)
    deadline = time.monotonic() + 1.5
    while caller.get(path).status_code == 200:
        assert time.monotonic() < deadline, "still open"
    assert_problem(caller.get(path), status)


def test_wrong_passwords_are_limited(sidecar: Sidecar, radiologist: User) -> None:
    wrong = base64.b64encode(b"rita:wrong").decode()
    caller = sidecar.nobody.as_(Authorization=f"Basic {wrong}")
    statuses = [caller.get("/api/v1/dicom/stats").status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert int(caller.get("/api/v1/dicom/stats").headers["retry-after"]) >= 1


# Tokens --------------------------------------------------------------------------------------


def test_a_token_is_issued_once_and_revoked(sidecar: Sidecar, radiologist: User) -> None:
    answer = sidecar.nobody.post(
        "/api/v1/auth/token", json={"username": "rita", "password": factories.PASSWORD}
    )
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["token"]
    assert answer.json()["expires_at"] > timezone.now().isoformat()
    caller = sidecar.nobody.as_(Authorization=f"Bearer {token}")
    assert caller.get("/api/v1/dicom/stats").status_code == 200
    assert caller.request("DELETE", "/api/v1/auth/token").status_code == 204
    assert_problem(caller.get("/api/v1/dicom/stats"), 401, "revoked")
    assert list(AuditEvent.objects.filter(verb__startswith="token.").values_list("verb")) == [
        ("token.revoke",),
        ("token.issue",),
    ]


def test_a_token_for_reading_changes_nothing(sidecar: Sidecar, facility: Facility) -> None:
    tech = factories.user("tess", Role.TECHNOLOGIST, [facility])
    body = {"username": "tess", "password": factories.PASSWORD, "scopes": ["read"], "days": 2}
    answer = sidecar.nobody.post("/api/v1/auth/token", json=body).json()
    assert answer["scopes"] == ["read"]
    days = datetime.fromisoformat(answer["expires_at"]) - timezone.now()
    assert timedelta(days=1) < days <= timedelta(days=2)
    caller = sidecar.nobody.as_(Authorization=f"Bearer {answer['token']}")
    assert caller.get("/api/v1/dicom/studies").status_code == 200
    file = {"file": ("a.dcm", to_bytes(make_instance(noise(8, 8))))}
    refused = caller.post("/api/v1/dicom/upload", files=file)
    assert_problem(refused, 403, "'write'")
    assert_problem(caller.post("/api/v1/patients", json={}), 403, "'write'")
    assert_problem(caller.post("/dicom-web/studies", content=b""), 403, "'write'")
    assert DicomImage.objects.count() == 0
    page = Client().post("/worklist/upload/", headers=caller.headers)
    assert (page.status_code, page.headers["content-type"]) == (403, "application/problem+json")
    assert sidecar.by_token(tech).post("/api/v1/dicom/upload", files=file).status_code == 200
    assert caller.request("DELETE", "/api/v1/auth/token").status_code == 204
    for bad in ({"scopes": ["all"]}, {"days": 0}, {"days": 366}, {"days": "x"}):
        assert_problem(sidecar.nobody.post("/api/v1/auth/token", json=body | bad), 422)


def test_plain_http_leads_to_https(sidecar: Sidecar, radiologist: User, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    caller = sidecar.by_token(radiologist)
    path = "/api/v1/dicom/studies?PatientName=M%C3%BCller"
    assert caller.get(path).status_code == 200  # from this machine
    for proto, status in (("https", 200), ("http", 308), ("https, http", 308)):
        answer = caller.get(path, headers={"X-Forwarded-Proto": proto})
        assert answer.status_code == status
    assert answer.headers["location"] == f"https://testserver{path}"
    nobody = sidecar.nobody.post("/api/v1/patients", headers={"X-Forwarded-Proto": "http"})
    assert nobody.headers["location"] == "https://testserver/api/v1/patients"


def test_a_wrong_password_gives_no_token(sidecar: Sidecar, radiologist: User) -> None:
    body = {"username": "rita", "password": "wrong"}
    assert_problem(sidecar.nobody.post("/api/v1/auth/token", json=body), 401)
    for bad in ({}, {"username": "rita"}, {"username": 1, "password": []}):
        assert_problem(sidecar.nobody.post("/api/v1/auth/token", json=bad), 422)
    assert ApiToken.objects.count() == 0


def test_a_token_wants_the_second_factor_too(sidecar: Sidecar, radiologist: User) -> None:
    device = second_factor.begin(radiologist)
    actor = access.actor_of(radiologist)
    codes = second_factor.confirm(actor, radiologist, f"{totp(device.bin_key):06d}")
    body = {"username": "rita", "password": factories.PASSWORD}
    assert_problem(sidecar.nobody.post("/api/v1/auth/token", json=body), 401, "second factor")
    wrong = {**body, "code": "abc"}
    assert_problem(sidecar.nobody.post("/api/v1/auth/token", json=wrong), 401, "second factor")
    assert ApiToken.objects.count() == 0
    right = {**body, "code": codes[0]}
    assert sidecar.nobody.post("/api/v1/auth/token", json=right).status_code == 200
    assert_problem(sidecar.nobody.post("/api/v1/auth/token", json=right), 401)
    assert ApiToken.objects.count() == 1


def test_a_site_that_wants_a_second_factor_gives_no_token_without(
    sidecar: Sidecar, radiologist: User, settings: Settings
) -> None:
    settings.SECOND_FACTOR = "everybody"
    body = {"username": "rita", "password": factories.PASSWORD}
    answer = sidecar.nobody.post("/api/v1/auth/token", json=body)
    assert_problem(answer, 403, "Set up a second factor")


def test_only_the_token_itself_is_revoked(sidecar: Sidecar, radiologist: User) -> None:
    session = sidecar.by_session(radiologist)
    headers = {"Cookie": cookies_of(session), "X-CSRFToken": SECRET}
    response = session.request("DELETE", "/api/v1/auth/token", headers=headers)
    assert_problem(response, 422, "Send the token")


# Changes that another site asks for ----------------------------------------------------------

SECRET = "a" * 32


def cookies_of(caller: Caller) -> str:
    return f"{caller.headers['Cookie']}; {django_settings.CSRF_COOKIE_NAME}={SECRET}"


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ({"X-CSRFToken": SECRET}, True),
        ({"X-CSRFToken": SECRET, "Origin": "http://testserver"}, True),
        ({}, False),
        ({"Origin": "http://testserver"}, False),
        ({"X-CSRFToken": "b" * 32}, False),
        ({"X-CSRFToken": SECRET, "Origin": "http://evil.example"}, False),
        ({"X-CSRFToken": SECRET, "Origin": "http://testserver.evil.example"}, False),
        ({"X-CSRFToken": SECRET, "Origin": "https://testserver"}, False),
        ({"X-CSRFToken": SECRET, "Origin": "null"}, False),
    ],
)
def test_a_change_by_cookie_needs_our_token_and_origin(
    sidecar: Sidecar, facility: Facility, headers: dict[str, str], is_allowed: bool
) -> None:
    tech = factories.user("tess", Role.TECHNOLOGIST, [facility])
    caller = sidecar.by_session(tech)
    content = to_bytes(make_instance(noise(8, 8)))
    response = caller.post(
        "/api/v1/dicom/upload",
        files={"file": ("a.dcm", content)},
        headers={"Cookie": cookies_of(caller), **headers},
    )
    if is_allowed:
        assert response.status_code == 200
    else:
        assert_problem(response, 403, "X-CSRFToken")
    assert DicomImage.objects.count() == int(is_allowed)


def test_a_token_needs_none_of_that(sidecar: Sidecar, facility: Facility) -> None:
    tech = factories.user("tess", Role.TECHNOLOGIST, [facility])
    content = to_bytes(make_instance(noise(8, 8)))
    response = sidecar.by_token(tech).post(
        "/api/v1/dicom/upload",
        files={"file": ("a.dcm", content)},
        headers={"Origin": "http://evil.example"},
    )
    assert response.status_code == 200
