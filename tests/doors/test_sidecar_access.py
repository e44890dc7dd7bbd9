"""Who gets what from the sidecar: every route, every kind of caller, every facility.

The table names each route once; a route that is missing from it fails the test.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

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
from fastapi_app import main
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem, records, running
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)

UNKNOWN = "0197f0c4-0000-7000-8000-000000000000"
UNKNOWN_UID = "1.2.3.4"
FILE = {"file": ("a.dcm", b"no dicom", "application/dicom")}

# Route, method, parameters; what stands in braces is filled with the image's own identifiers.
OBJECT_ROUTES = (
    "/api/v1/dicom/studies/{study}",
    "/api/v1/dicom/studies/{study}/series",
    "/api/v1/dicom/viewer/url/{study}",
    "/api/v1/dicom/studies/{study}/thumbnail",
    "/api/v1/dicom/studies/{study}/disc",
    "/api/v1/dicom/studies/{study}/anonymised",
    "/api/v1/dicom/studies/{study}/reconstructions",
    "/api/v1/dicom/series/{series}/images",
    "/api/v1/dicom/image/{image}",
    "/api/v1/dicom/image/{image}/frames/{number}.png",
    "/api/v1/dicom/image/{image}/frames/{number}.jpg",
    "/api/v1/dicom/image/{image}/frames/{number}.webp",
    "/api/v1/dicom/image/{image}/frames/{number}.gif",
    "/api/v1/dicom/image/{image}/frames/{number}.jphc",
    "/api/v1/dicom/image/{image}/frames/{number}.raw",
    "/api/v1/dicom/image/{image}/film.gif",
    "/api/v1/dicom/image/{image}/film.mp4",
    "/api/v1/dicom/image/{image}/thumbnail",
    "/api/v1/dicom/image/{image}/file",
    "/api/v1/radiology/studies/{study}/viewer-url/",
    "/api/v1/radiology/studies/{study}/images/",
    "/api/v1/radiology/images/{image}/url/",
    "/api/v1/radiology/images/{image}/content/",
)
OTHER_ROUTES: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", "/api/v1/dicom/frames"): {"params": {"f": f"{UNKNOWN}:1"}},
    # Of an image that is no video there is none: test_sidecar_pictures.py asks for one.
    ("GET", "/api/v1/dicom/image/{image}/video"): {},
    ("GET", "/api/v1/dicom/image/{image}/video/facts"): {},
    ("GET", "/api/v1/dicom/studies"): {},
    ("GET", "/api/v1/dicom/health"): {},
    ("GET", "/api/v1/dicom/stats"): {},
    ("POST", "/api/v1/dicom/upload"): {"files": FILE},
    ("POST", "/api/v1/dicom/upload-multiple"): {"files": {"files": FILE["file"]}},
    ("POST", "/api/v1/dicom/read-tags"): {"files": FILE},
    ("POST", "/api/v1/dicom/parse"): {"files": FILE},
    ("POST", "/api/v1/dicom/modify-tags"): {"files": FILE, "data": {"tags": "{}"}},
    ("POST", "/api/v1/dicom/studies/{study}/restore"): {},
    ("GET", "/api/v1/dicom/upload-logs"): {},
    # Patients and orders of other facilities: tests/doors/ehr.
    ("GET", "/api/v1/dicom/studies/patient/{patient}"): {},
    ("GET", "/api/v1/dicom/studies/order/{order}"): {},
    ("GET", "/api/v1/dicom/viewer/url/patient/{patient}"): {},
    ("GET", "/api/v1/dicom/viewer/url/order/{order}"): {},
    # Whose an upload in pieces is: tests/doors/ehr.
    ("OPTIONS", "/api/v1/dicom/uploads"): {},
    ("POST", "/api/v1/dicom/uploads"): {},
    ("GET", "/api/v1/dicom/uploads/{upload}"): {},
    ("PATCH", "/api/v1/dicom/uploads/{upload}"): {},
    ("DELETE", "/api/v1/dicom/uploads/{upload}"): {},
    ("GET", "/api/v1/patients"): {},
    ("POST", "/api/v1/patients"): {"json": {}},
    ("GET", "/api/v1/patients/{patient}"): {},
    ("GET", "/api/v1/orders"): {},
    ("POST", "/api/v1/orders"): {"json": {}},
    ("GET", "/api/v1/orders/{order}"): {},
    ("POST", "/api/v1/orders/{order}/cancel"): {},
    ("DELETE", "/api/v1/auth/token"): {},
    ("DELETE", "/api/v1/dicom/studies/{study}"): {},
    # Of one that is done: test_reconstructions.py.
    ("POST", "/api/v1/dicom/studies/{study}/reconstructions"): {"json": {}},
    ("GET", "/api/v1/dicom/reconstructions/{reconstruction}"): {},
    ("GET", "/api/v1/dicom/reconstructions/{reconstruction}/pictures/{number}"): {},
    ("GET", "/api/v1/dicom/reconstructions/{reconstruction}/zip"): {},
    ("POST", "/api/v1/dicom/reconstructions/{reconstruction}/cancel"): {},
    ("POST", "/api/v1/dicom/reconstructions/{reconstruction}/retry"): {},
    # Whose an offline image is: tests/doors/ehr.
    ("POST", "/api/v1/radiology/offline-images/upload-metadata/"): {"json": {}},
    ("POST", "/api/v1/radiology/offline-images/upload-binary/"): {"files": FILE},
    ("POST", "/api/v1/radiology/offline-images/acknowledge/"): {"json": {}},
    ("GET", "/api/v1/radiology/offline-images/{image_uuid}/"): {},
    ("GET", "/api/v1/radiology/receipt-keys/"): {},
    ("GET", "/wado"): {},
}
OPEN_ROUTES = {
    ("POST", "/api/v1/auth/token"),
    # By a token of its own: test_remote_analyses.py.
    ("POST", "/api/v1/analyses/{run}/results"),
}


@pytest.fixture
def sidecar(store: Path) -> Iterator[Sidecar]:
    with running() as started:
        yield started


@pytest.fixture
def image(store: Path, facility: Facility) -> DicomImage:
    result = factories.store_bytes(to_bytes(make_instance(noise(16, 16))), facility)
    return DicomImage.objects.select_related("series__study").get(pk=result.image_id)


@pytest.fixture
def stranger(other_facility: Facility) -> User:
    return factories.user("sven", Role.RADIOLOGIST, [other_facility])


def filled(route: str, image: DicomImage, *, by_uid: bool = False) -> str:
    series, study = image.series, image.series.study
    names = {
        "image": image.sop_instance_uid if by_uid else image.pk,
        "series": series.series_instance_uid if by_uid else series.pk,
        "study": study.study_instance_uid if by_uid else study.pk,
        "number": 1,
    }
    return route.format(**names)


def unknown(route: str, name: str) -> str:
    return route.format(image=name, series=name, study=name, number=1)


def test_the_table_names_every_route() -> None:
    found = {
        (method.upper(), path)
        for path, operations in main.api.openapi()["paths"].items()
        for method in operations
        # DICOMweb has a table of its own: tests/doors/dicomweb.
        if method != "head" and not path.startswith("/dicom-web")
    }
    assert found == {("GET", path) for path in OBJECT_ROUTES} | set(OTHER_ROUTES) | OPEN_ROUTES


@pytest.mark.parametrize("route", OBJECT_ROUTES)
def test_objects_are_for_their_facility(
    sidecar: Sidecar, image: DicomImage, radiologist: User, stranger: User, admin_user: User,
    route: str,
) -> None:  # fmt: skip
    path = filled(route, image)
    mine, theirs = sidecar.by_token(radiologist), sidecar.by_token(stranger)
    assert_problem(sidecar.nobody.get(path), 401)
    assert mine.get(path).status_code == 200
    # What is warm by now must not open to others either.
    assert mine.get(path).status_code == 200
    assert_problem(theirs.get(path), 403, "facility that is not yours")
    assert_problem(sidecar.nobody.get(path), 401)
    assert sidecar.by_token(admin_user).get(path).status_code == 200
    by_uid = filled(route, image, by_uid=True)
    assert mine.get(by_uid).status_code == 200
    assert_problem(theirs.get(by_uid), 403)
    for name in (UNKNOWN, UNKNOWN_UID, "no-identifier", "1.02.3", "%2e%2e"):
        assert_problem(mine.get(unknown(route, name)), 404)
        assert_problem(sidecar.nobody.get(unknown(route, name)), 401)


@pytest.mark.parametrize(("method", "route"), OTHER_ROUTES)
def test_nothing_else_is_for_strangers(sidecar: Sidecar, method: str, route: str) -> None:
    response = sidecar.nobody.request(method, route, **OTHER_ROUTES[method, route])
    assert_problem(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_browser_is_not_asked_for_basic(sidecar: Sidecar) -> None:
    path = "/api/v1/dicom/stats"
    program = sidecar.nobody.get(path).headers["www-authenticate"]
    assert "Basic" in program
    browser = sidecar.nobody.get(path, headers={"Sec-Fetch-Mode": "cors"})
    assert browser.headers["www-authenticate"] == "Bearer"


def test_lists_and_counts_hold_the_own_facilities_alone(
    sidecar: Sidecar, image: DicomImage, radiologist: User, stranger: User, other_facility: Facility
) -> None:
    factories.store_bytes(to_bytes(make_instance(noise(8, 8))), other_facility)
    factories.store_bytes(to_bytes(make_instance(noise(8, 8))), other_facility)
    mine, theirs = sidecar.by_token(radiologist), sidecar.by_token(stranger)
    assert [row["id"] for row in mine.get("/api/v1/dicom/studies").json()] == [
        str(image.series.study_id)
    ]
    assert len(theirs.get("/api/v1/dicom/studies").json()) == 2
    assert mine.get("/api/v1/dicom/stats").json()["total_instances"] == 1
    assert theirs.get("/api/v1/dicom/stats").json()["total_instances"] == 2
    assert_problem(mine.get("/api/v1/dicom/studies?facility=SOUTH"), 403)
    assert_problem(mine.get("/api/v1/dicom/studies?facility=NOWHERE"), 404)
    uid = image.series.study.study_instance_uid
    assert theirs.get(f"/api/v1/dicom/studies?StudyInstanceUID={uid}").json() == []


def test_a_batch_says_of_each_frame_whether_it_may_be_seen(
    sidecar: Sidecar, image: DicomImage, radiologist: User, other_facility: Facility
) -> None:
    other = factories.store_bytes(to_bytes(make_instance(noise(8, 8))), other_facility).image_id
    frames = [f"{image.pk}:1", f"{other}:1", f"{UNKNOWN}:1", f"{image.pk}:2"]
    response = sidecar.by_token(radiologist).get("/api/v1/dicom/frames", params={"f": frames})
    answers = records(response.content)
    assert [head["status"] for head, _ in answers] == [200, 403, 404, 404]
    assert [bool(body) for _, body in answers] == [True, False, False, False]
    assert "not yours" in answers[1][0]["detail"]


# Who somebody is -----------------------------------------------------------------------------


def test_session_token_and_password_open_alike(
    sidecar: Sidecar, image: DicomImage, radiologist: User
) -> None:
    path = filled("/api/v1/dicom/image/{image}/frames/1.png", image)
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
    path = filled("/api/v1/dicom/image/{image}/frames/1.png", image)
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


# Every answer --------------------------------------------------------------------------------


def answers(sidecar: Sidecar, image: DicomImage, user: User) -> Iterator[Any]:
    caller = sidecar.by_token(user)
    frame = filled("/api/v1/dicom/image/{image}/frames/1.png", image)
    for path in (frame, frame, f"{frame}?wc=1", "/api/v1/dicom/studies", "/api/nonsense"):
        yield caller.get(path)
    yield caller.get(frame, headers={"If-None-Match": "*"})
    yield caller.get(filled("/api/v1/dicom/image/{image}/file", image))
    yield sidecar.nobody.get(frame)
    yield caller.request("PATCH", frame)
    yield sidecar.nobody.get(frame, headers={"Host": "evil.example"})
    yield sidecar.nobody.get("/api/openapi.json")


def test_every_answer_carries_the_security_headers(
    sidecar: Sidecar, image: DicomImage, radiologist: User
) -> None:
    statuses = set()
    for response in answers(sidecar, image, radiologist):
        statuses.add(response.status_code)
        headers = response.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "cache-control" in headers
        for name in set(headers):
            assert len(headers.get_list(name)) == 1, name
    assert statuses == {200, 304, 400, 401, 404, 405, 422}


def test_foreign_names_of_the_site_are_refused(
    sidecar: Sidecar, radiologist: User, settings: Settings
) -> None:
    caller = sidecar.by_token(radiologist)
    for host in ("evil.example", "testserver.evil.example", "", "a b"):
        response = caller.get("/api/v1/dicom/stats", headers={"Host": host})
        assert_problem(response, 400, "ALLOWED_HOSTS")
    settings.ALLOWED_HOSTS = [".example.org"]
    response = caller.get("/api/v1/dicom/stats", headers={"Host": "pacs.example.org:8443"})
    assert response.status_code == 200


def test_unknown_addresses_and_methods_are_problems(sidecar: Sidecar, radiologist: User) -> None:
    caller = sidecar.by_token(radiologist)
    assert_problem(caller.get("/api/v1/nothing"), 404)
    response = caller.request("PATCH", "/api/v1/dicom/studies")
    assert_problem(response, 405)
    assert "GET" in response.headers["allow"]


def test_our_own_failure_is_told_without_its_traceback(
    sidecar: Sidecar, radiologist: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastapi_app.services import studies

    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(studies, "find", fail)
    response = sidecar.by_token(radiologist).get("/api/v1/dicom/studies")
    assert_problem(response, 500)
    assert "secret" not in response.text


def test_a_person_has_a_share_of_requests(
    sidecar: Sidecar, image: DicomImage, radiologist: User, stranger: User, settings: Settings
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 5
    mine = sidecar.by_token(radiologist)
    statuses = [mine.get("/api/v1/dicom/stats").status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    refused = mine.get("/api/v1/dicom/stats")
    assert_problem(refused, 429, "5 requests a minute")
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert sidecar.by_token(stranger).get("/api/v1/dicom/stats").status_code == 200


def test_an_address_has_a_share_of_refusals(
    sidecar: Sidecar, radiologist: User, settings: Settings
) -> None:
    settings.API_REFUSALS_PER_MINUTE = 3
    guesses = [sidecar.nobody.as_(Authorization=f"Bearer npt_{number}") for number in range(5)]
    answers = [guess.get("/api/v1/dicom/stats") for guess in guesses]
    assert [answer.status_code for answer in answers] == [401] * 3 + [429] * 2
    assert_problem(answers[-1], 429, "3 refused requests")
    assert int(answers[-1].headers["retry-after"]) >= 1
    # Who is known comes in from there all the same.
    assert sidecar.by_token(radiologist).get("/api/v1/dicom/stats").status_code == 200


def test_pictures_in_memory_are_not_counted(
    sidecar: Sidecar, image: DicomImage, radiologist: User, settings: Settings
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    caller = sidecar.by_token(radiologist)
    path = filled("/api/v1/dicom/image/{image}/frames/1.png", image)
    statuses = {caller.get(path).status_code for _ in range(20)}
    assert statuses == {200}


# Traces --------------------------------------------------------------------------------------


def test_a_look_at_a_study_is_one_event(
    sidecar: Sidecar, image: DicomImage, radiologist: User, stranger: User
) -> None:
    caller = sidecar.by_token(radiologist)
    for route in OBJECT_ROUTES:
        caller.get(filled(route, image))
        sidecar.by_token(stranger).get(filled(route, image))
    events = AuditEvent.objects.filter(verb="study.view")
    assert [(event.actor, event.target_id) for event in events] == [
        ("rita", str(image.series.study_id))
    ]
    # Of the two routes that give the file.
    assert AuditEvent.objects.filter(verb="image.download").count() == 2


def test_rows_are_believed_again_only_while_nothing_changed(
    sidecar: Sidecar, image: DicomImage, admin_user: User, radiologist: User
) -> None:
    from archive import access, deletions
    from fastapi_app import gate

    mine = sidecar.by_token(radiologist)
    path = filled("/api/v1/dicom/image/{image}/frames/{number}.png", image)

    def later() -> None:
        """Two seconds pass."""
        gate._rows.clear()

    assert mine.get(path).status_code == 200
    known = gate._older[image.pk]
    later()
    assert mine.get(path).status_code == 200
    assert gate._rows[image.pk] is known
    DicomImage.objects.filter(pk=image.pk).update(problem="It is damaged.")
    later()
    assert mine.get(path).status_code == 200
    assert gate._rows[image.pk].problem == "It is damaged."
    known.series.study.patient_name = "Meyer^Anna"
    assert not access.is_current(known)
    deletions.delete_study(access.actor_of(admin_user), image.series.study_id, "a test")
    later()
    assert mine.get(path).status_code == 404


def test_without_its_trace_there_is_no_access(
    sidecar: Sidecar, image: DicomImage, radiologist: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from archive import audit

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("database is locked")

    caller = sidecar.by_token(radiologist)
    path = filled("/api/v1/dicom/image/{image}/frames/1.png", image)
    with monkeypatch.context() as patch:
        patch.setattr(audit, "record", fail)
        assert_problem(caller.get(path), 503)
        assert_problem(caller.get(path), 503)
    assert caller.get(path).status_code == 200
