"""Who gets what from the sidecar: every route, every kind of caller, every facility.

The table names each route once; a route that is missing from it fails the test.
How somebody proves who they are is in test_sidecar_sign_in.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import Role, User
from archive import access
from archive.models import AuditEvent
from fastapi_app import main
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Sidecar, assert_problem, records
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
    from archive import deletions
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
    paths = [
        filled("/api/v1/dicom/image/{image}/frames/1.png", image),
        filled("/api/v1/dicom/viewer/url/{study}", image),
        "/api/v1/dicom/studies",
        "/api/v1/patients",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(audit, "_insert", fail)
        for path in (*paths, *paths):
            assert_problem(caller.get(path), 503)
    for path in paths:
        assert caller.get(path).status_code == 200
