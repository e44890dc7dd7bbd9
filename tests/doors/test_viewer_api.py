"""The viewer's addresses: every route by who asks, and what hostile requests get.

The routes are walked from `dicom_viewer.urls`, so that a new one without a row here fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from archive import access
from archive.models import AuditEvent
from dicom_viewer import drafts, urls
from dicom_viewer.models import Measurement, WindowLevelPreset
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

PROBLEM = "application/problem+json"
IN_SPACE: dict[str, Any] = {
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.10.1338.9",
    "ImagePositionPatient": [0, 0, 0],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "PixelSpacing": [1, 1],
    "SliceThickness": 1,
}


@dataclass
class Place:
    """A study, and what the routes need of it."""

    study: Study
    image: DicomImage
    drawing: dict[str, Any] = field(default_factory=dict)
    revision: UUID = field(default_factory=uuid4)

    def body(self, **changes: Any) -> dict[str, Any]:
        return {
            "kind": "length",
            "SeriesInstanceUID": self.image.series.series_instance_uid,
            "SOPInstanceUID": self.image.sop_instance_uid,
            "frame_number": 1,
            "points": [[1, 2], [3, 4]],
            "value": 2.8,
            "unit": "px",
            **changes,
        }


def place_of(owner: Facility, **keywords: Any) -> Place:
    result = factories.store_bytes(to_bytes(make_instance(**IN_SPACE | keywords)), owner)
    image = access.image_for(access.EVERYTHING, result.image_id)
    return Place(access.study_for(access.EVERYTHING, result.study_id), image)


@pytest.fixture
def ours(facility: Facility, store: object) -> Place:
    return place_of(facility)


@pytest.fixture
def theirs(other_facility: Facility, store: object) -> Place:
    return place_of(other_facility)


def client_of(user: User, *, enforce_csrf_checks: bool = False) -> Client:
    client = Client(enforce_csrf_checks=enforce_csrf_checks)
    client.force_login(user)
    return client


def send(client: Client, method: str, url: str, body: object = None, **extra: Any) -> HttpResponse:
    content = body if isinstance(body, bytes) else json.dumps(body) if body is not None else ""
    response: HttpResponse = client.generic(
        method, url, content, content_type="application/json", **extra
    )  # type: ignore[assignment]
    return response


def draw(place: Place, owner: User) -> Place:
    url = reverse("dicom_viewer:measurement-list", args=[place.study.pk])
    place.drawing = send(client_of(owner), "POST", url, place.body()).json()
    return place


def drawn_segment(image: DicomImage) -> bytes:
    """A draft with one segment that covers the whole image."""
    segment = {"id": str(uuid4()), "number": 1, "name": "All", "property": "85756007"}
    frame = {"SOPInstanceUID": image.sop_instance_uid, "offset": 0, "count": 1}
    head = {"version": 0, "segments": [{**segment, "colour": "#3cb44b"}], "frames": [frame]}
    pixels = (image.rows or 0) * (image.columns or 0)
    return drafts.packed(head, (pixels << 8 | 1).to_bytes(4, "little"))


def requests_of(place: Place) -> dict[str, list[tuple[str, str, object, int]]]:
    """Return for each route its requests: method, address, body, status for who may draw."""
    study, image, series = place.study.pk, place.image, place.image.series_id
    segments = reverse("dicom_viewer:segments", args=[series])
    drawing = reverse("dicom_viewer:measurement", args=[place.drawing.get("id", uuid4())])
    key_images = {"kinds": ["ko"], "key_images": [{"SOPInstanceUID": image.sop_instance_uid}]}
    shown = {"viewing_id": str(uuid4()), "shown": [[str(image.pk), 1, 250]]}
    report = {"revision_id": str(place.revision), "base_version": 0, "text": "No fracture."}
    session = {"series_id": str(image.series_id), "image_id": str(image.pk), "frame_number": 1}
    return {
        "viewer": [("GET", reverse("dicom_viewer:viewer", args=[study]), None, 200)],
        "study": [("GET", reverse("dicom_viewer:study", args=[study]), None, 200)],
        "ahead": [("GET", reverse("dicom_viewer:ahead", args=[study]), None, 200)],
        "measurement-list": [
            ("GET", reverse("dicom_viewer:measurement-list", args=[study]), None, 200),
            ("POST", reverse("dicom_viewer:measurement-list", args=[study]), place.body(), 201),
        ],
        "session": [("PUT", reverse("dicom_viewer:session", args=[study]), session, 200)],
        "measurement": [
            ("PUT", drawing, place.body(version=1), 200),
            ("DELETE", f"{drawing}?version=2", None, 204),
        ],
        "series-images": [
            ("GET", reverse("dicom_viewer:series-images", args=[image.series_id]), None, 200)
        ],
        "series-uptake": [
            ("GET", reverse("dicom_viewer:series-uptake", args=[image.series_id]), None, 200)
        ],
        "image-voi-luts": [
            ("GET", reverse("dicom_viewer:image-voi-luts", args=[image.pk]), None, 200)
        ],
        "image-metadata": [
            ("GET", reverse("dicom_viewer:image-metadata", args=[image.pk]), None, 200)
        ],
        # A picture is no document; test_viewer_documents.py has those that are.
        "document": [("GET", reverse("dicom_viewer:document", args=[image.pk]), None, 422)],
        "document-pdf": [("GET", reverse("dicom_viewer:document-pdf", args=[image.pk]), None, 422)],
        "sheet": [
            (
                "POST",
                reverse("dicom_viewer:sheet", args=[study]),
                {"pictures": [{"image_id": str(image.pk)}], "form": "png"},
                200,
            )
        ],
        "hanging-like": [
            (
                "POST",
                reverse("dicom_viewer:hanging-like", args=[study]),
                {"name": "Mine", "stages": [{"rows": 1, "columns": 2}]},
                201,
            )
        ],
        "report": [
            ("GET", reverse("dicom_viewer:report", args=[study]), None, 200),
            ("PUT", reverse("dicom_viewer:report", args=[study]), report, 200),
        ],
        "report-revisions": [
            ("GET", reverse("dicom_viewer:report-revisions", args=[study]), None, 200)
        ],
        "report-revision": [
            (
                "GET",
                reverse("dicom_viewer:report-revision", args=[study, place.revision]),
                None,
                200,
            )
        ],
        "shown": [
            ("GET", reverse("dicom_viewer:shown", args=[study]), None, 200),
            ("POST", reverse("dicom_viewer:shown", args=[study]), shown, 200),
        ],
        "shown-people": [("GET", reverse("dicom_viewer:shown-people", args=[study]), None, 200)],
        "findings": [("GET", reverse("dicom_viewer:findings", args=[study]), None, 200)],
        "derived": [("GET", reverse("dicom_viewer:derived", args=[study]), None, 200)],
        # A picture draws nothing over pictures; test_derived.py has what does.
        "derived-image": [
            ("GET", reverse("dicom_viewer:derived-image", args=[image.pk]), None, 404)
        ],
        # A picture is no segmentation; test_segment_copies.py has what is one.
        "segments-copy": [
            ("GET", reverse("dicom_viewer:segments-copy", args=[image.pk]), None, 404)
        ],
        "segments": [
            ("GET", segments, None, 200),
            ("PUT", segments, drawn_segment(image), 200),
            ("DELETE", segments, None, 204),
            ("PUT", segments, drawn_segment(image), 200),
        ],
        "segments-store": [
            ("POST", reverse("dicom_viewer:segments-store", args=[series]), {"version": 1}, 201)
        ],
        "found": [("GET", reverse("dicom_viewer:found", args=[study]), None, 200)],
        "presentations": [("GET", reverse("dicom_viewer:presentations", args=[study]), None, 200)],
        "result-list": [
            ("GET", reverse("dicom_viewer:result-list", args=[study]), None, 200),
            ("POST", reverse("dicom_viewer:result-list", args=[study]), key_images, 201),
        ],
        "reconstruction-list": [
            ("GET", reverse("dicom_viewer:reconstruction-list", args=[study]), None, 200)
        ],
        "shown-study": [("GET", reverse("dicom_viewer:shown-study", args=[study]), None, 200)],
        "shown-csv": [("GET", reverse("dicom_viewer:shown-csv", args=[study]), None, 200)],
    }


PAGES = {
    "viewer", "document", "document-pdf", "reconstruction-list", "shown-study", "shown-csv",
}  # fmt: skip
# Routes that name nothing of a study; two that test_reconstructions.py has, and one that
# test_machine_findings.py has.
PERSONAL = {
    "preset-list",
    "preset",
    "hanging-list",
    "hanging",
    "hanging-import",
    "layouts",
    "shortcuts",
    "shown-list",
    "test-pattern",
    "reconstruction-cancel",
    "reconstruction-retry",
    "finding",
}
# What those who do not report may not see or do.
REPORTING = {"report", "report-revisions", "report-revision"}
# What roles that only look may not do.
DRAWING = {
    ("measurement-list", "POST"),
    ("measurement", "PUT"),
    ("measurement", "DELETE"),
    ("result-list", "POST"),
    ("segments-copy", "GET"),
    ("segments", "PUT"),
    ("segments", "DELETE"),
    ("segments-store", "POST"),
}


def test_every_route_is_in_the_table(ours: Place) -> None:
    names = {pattern.name for pattern in urls.urlpatterns}
    assert set(requests_of(ours)) | PERSONAL == names


def test_the_addresses_are_those_of_the_contract(ours: Place) -> None:
    study, image = ours.study.pk, ours.image.pk
    ours.drawing = {"id": str(uuid4())}
    assert [requests[0][1] for requests in requests_of(ours).values()] == [
        f"/viewer/{study}/",
        f"/viewer/api/studies/{study}/",
        f"/viewer/api/studies/{study}/ahead/",
        f"/viewer/api/studies/{study}/measurements/",
        f"/viewer/api/studies/{study}/session/",
        f"/viewer/api/measurements/{ours.drawing['id']}/",
        f"/viewer/api/series/{ours.image.series_id}/images/",
        f"/viewer/api/series/{ours.image.series_id}/uptake/",
        f"/viewer/api/images/{image}/voi-luts/",
        f"/viewer/api/images/{image}/metadata/",
        f"/viewer/documents/{image}/",
        f"/viewer/documents/{image}/pdf/",
        f"/viewer/api/studies/{study}/sheet/",
        f"/viewer/api/studies/{study}/hanging/",
        f"/viewer/api/studies/{study}/report/",
        f"/viewer/api/studies/{study}/report/revisions/",
        f"/viewer/api/studies/{study}/report/revisions/{ours.revision}/",
        f"/viewer/api/studies/{study}/shown/",
        f"/viewer/api/studies/{study}/shown/people/",
        f"/viewer/api/studies/{study}/findings/",
        f"/viewer/api/studies/{study}/derived/",
        f"/viewer/api/images/{image}/derived/",
        f"/viewer/api/images/{image}/segments/",
        f"/viewer/api/series/{ours.image.series_id}/segments/",
        f"/viewer/api/series/{ours.image.series_id}/segments/store/",
        f"/viewer/api/studies/{study}/found/",
        f"/viewer/api/studies/{study}/presentations/",
        f"/viewer/api/studies/{study}/results/",
        f"/viewer/{study}/reconstructions/",
        f"/viewer/{study}/shown/",
        f"/viewer/{study}/shown/images-shown.csv",
    ]


def test_without_a_session(ours: Place) -> None:
    for name, requests in requests_of(ours).items():
        for method, url, body, _ in requests:
            response = send(Client(), method, url, body)
            if name in PAGES:
                assert response.status_code == 302
                assert response["Location"] == f"/accounts/login/?next={url}"
            else:
                assert response.status_code == 401, url
                assert response["Content-Type"] == PROBLEM
                assert "Sign in" in response.json()["detail"]
    for method, url in (
        ("GET", reverse("dicom_viewer:shortcuts")),
        ("PUT", reverse("dicom_viewer:shortcuts")),
        ("DELETE", reverse("dicom_viewer:shortcuts")),
        ("GET", reverse("dicom_viewer:preset-list")),
        ("POST", reverse("dicom_viewer:preset-list")),
        ("DELETE", reverse("dicom_viewer:preset", args=[uuid4()])),
        ("GET", reverse("dicom_viewer:hanging-list")),
        ("POST", reverse("dicom_viewer:hanging-list")),
        ("POST", reverse("dicom_viewer:hanging-import")),
        ("PUT", reverse("dicom_viewer:hanging", args=[uuid4()])),
        ("DELETE", reverse("dicom_viewer:hanging", args=[uuid4()])),
    ):
        assert send(Client(), method, url, {}).status_code == 401
    page = Client().get(reverse("dicom_viewer:layouts"))
    assert page.status_code == 302
    assert page["Location"] == "/accounts/login/?next=/viewer/layouts/"
    assert not AuditEvent.objects.filter(verb__startswith="study.").exists()


@pytest.mark.parametrize("role", list(Role))
def test_members_by_role(ours: Place, facility: Facility, radiologist: User, role: Role) -> None:
    draw(ours, radiologist)
    member = factories.user("member", role, [facility])
    client = client_of(member)
    for name, requests in requests_of(ours).items():
        for method, url, body, status in requests:
            response = send(client, method, url, body)
            is_refused = (
                ((name, method) in DRAWING and not member.can_annotate)
                or (name in REPORTING and not member.can_read)
                or (name == "shown-people" and not member.is_administrator)
            )
            expected = 403 if is_refused else status
            assert response.status_code == expected, (method, url, response.content[:300])


@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMIN])
def test_people_of_another_facility(
    theirs: Place, other_facility: Facility, facility: Facility, role: Role
) -> None:
    draw(theirs, factories.user("sam", Role.RADIOLOGIST, [other_facility]))
    client = client_of(factories.user("stranger", role, [facility]))
    for requests in requests_of(theirs).values():
        for method, url, body, _ in requests:
            response = send(client, method, url, body, HTTP_ACCEPT="application/json")
            assert response.status_code == 403, (method, url)
            assert response["Content-Type"] == PROBLEM
            text = response.content.decode()
            assert "Test^Anna" not in text
            assert theirs.study.study_instance_uid not in text
    assert Measurement.objects.get().version == 1


def test_an_administrator_sees_every_facility(theirs: Place, admin_user: User) -> None:
    draw(theirs, admin_user)
    for requests in requests_of(theirs).values():
        for method, url, body, status in requests:
            assert send(client_of(admin_user), method, url, body).status_code == status


def test_what_is_not_there(ours: Place, site: Client) -> None:
    nowhere = Place(Study(pk=uuid4()), ours.image)
    for name in (
        "viewer",
        "study",
        "measurement-list",
        "session",
        "derived",
        "found",
        "presentations",
        "result-list",
        "sheet",
        "hanging-like",
        "report",
        "report-revisions",
        "report-revision",
        "shown",
    ):
        for method, url, body, _ in requests_of(nowhere)[name]:
            assert send(site, method, url, body).status_code == 404, url
    images = (
        "series-images", "series-uptake", "image-voi-luts", "image-metadata", "derived-image",
    )  # fmt: skip
    named = (*images, "segments", "measurement", "preset")
    for name in (*named, *PAGES - {"viewer"}):
        method = "DELETE" if name in {"measurement", "preset"} else "GET"
        url = reverse(f"dicom_viewer:{name}", args=[uuid4()]) + "?version=1"
        response = send(site, method, url, HTTP_ACCEPT="application/json")
        assert response.status_code == 404
        assert response["Content-Type"] == PROBLEM


def test_writes_need_the_token(ours: Place, radiologist: User) -> None:
    draw(ours, radiologist)
    client = client_of(radiologist, enforce_csrf_checks=True)
    writes = [
        request
        for requests in requests_of(ours).values()
        for request in requests
        if request[0] != "GET"
    ]
    preset = {"name": "Mine", "window_center": 1, "window_width": 2}
    writes.append(("POST", reverse("dicom_viewer:preset-list"), preset, 201))
    for method, url, body, _ in writes:
        response = send(client, method, url, body)
        assert response.status_code == 403, (method, url)
        assert response["Content-Type"] == PROBLEM
    token = _csrf_token(client.get(reverse("dicom_viewer:viewer", args=[ours.study.pk])))
    for method, url, body, status in writes:
        foreign = send(
            client,
            method,
            url,
            body,
            headers={"X-CSRFToken": token, "Origin": "https://elsewhere.example"},
        )
        assert foreign.status_code == 403
        response = send(client, method, url, body, headers={"X-CSRFToken": token})
        assert response.status_code == status, (method, url, response.content)


def _csrf_token(response: HttpResponse) -> str:
    assert response.status_code == 200
    token = Page.of(response).token
    assert token
    return token


class Page(HTMLParser):
    """What the viewer's script reads of its page."""

    def __init__(self) -> None:
        super().__init__()
        self.token = ""
        self.manifest = ""
        self._is_manifest = False

    @classmethod
    def of(cls, response: HttpResponse) -> Page:
        page = cls()
        page.feed(response.content.decode())
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "meta" and values.get("name") == "csrf-token":
            self.token = values["content"] or ""
        self._is_manifest = tag == "script" and values.get("id") == "study-manifest"

    def handle_endtag(self, tag: str) -> None:
        self._is_manifest = False

    def handle_data(self, data: str) -> None:
        if self._is_manifest:
            self.manifest += data


def test_the_page_carries_the_manifest_safely(
    facility: Facility, site: Client, store: object
) -> None:
    evil = "</script><script>alert(1)</script>"
    place = place_of(
        facility, PatientName=evil, StudyDescription=evil, SeriesDescription=evil, PatientID="<b>"
    )
    response = site.get(reverse("dicom_viewer:viewer", args=[place.study.pk]))
    assert b"<script>alert" not in response.content
    carried = json.loads(Page.of(response).manifest)
    asked = site.get(reverse("dicom_viewer:study", args=[place.study.pk])).json()
    preview = asked["first_image"]["preview"]
    assert response.content.decode().count(preview) == 1
    assert carried == {**asked, "first_image": {**asked["first_image"], "preview": None}}
    assert carried["patient"]["PatientName"] == evil
    assert carried["first_image"]["image_id"] == str(place.image.pk)
    policy = response["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "no-store" in response["Cache-Control"]


def test_a_large_answer_travels_compressed(ours: Place, site: Client) -> None:
    url = reverse("dicom_viewer:study", args=[ours.study.pk])
    plain = site.get(url)
    packed = site.get(url, headers={"Accept-Encoding": "gzip"})
    assert packed["Content-Encoding"] == "gzip"
    assert len(packed.content) < len(plain.content)


def test_somebody_was_faster(ours: Place, radiologist: User, site: Client) -> None:
    draw(ours, radiologist)
    url = reverse("dicom_viewer:measurement", args=[ours.drawing["id"]])
    first = send(site, "PUT", url, ours.body(version=1, value=5.0))
    assert first.json()["version"] == 2
    late = send(site, "PUT", url, ours.body(version=1, value=6.0))
    assert late.status_code == 409
    assert late["Content-Type"] == PROBLEM
    assert late.json()["current"] == first.json()
    assert send(site, "DELETE", url + "?version=1").status_code == 409
    assert send(site, "DELETE", url).status_code == 422
    assert send(site, "DELETE", url + "?version=2").status_code == 204
    assert send(site, "DELETE", url + "?version=3").status_code == 404
    listed = site.get(reverse("dicom_viewer:measurement-list", args=[ours.study.pk]))
    assert listed.json() == []


def test_a_client_chosen_id_is_kept_and_harmless_to_repeat(ours: Place, site: Client) -> None:
    url = reverse("dicom_viewer:measurement-list", args=[ours.study.pk])
    body = ours.body(id=str(uuid4()))
    first, again = send(site, "POST", url, body), send(site, "POST", url, body)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first.json()["id"] == body["id"]
    assert site.get(url).json() == [first.json()]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("measurement-list", "POST"),
        ("measurement", "PUT"),
        ("session", "PUT"),
        ("preset-list", "POST"),
        ("report", "PUT"),
        ("shown", "POST"),
    ],
)
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"kind": 7}', b"\xff\xfe", b'{"a":' * 50_000, b'{"name": "\\u0000"}'],
    ids=["empty", "cut off", "list", "wrong type", "no text", "nested", "NUL"],
)
def test_bodies_that_cannot_be_used(
    ours: Place, radiologist: User, site: Client, name: str, method: str, content: bytes
) -> None:
    draw(ours, radiologist)
    url = (
        reverse("dicom_viewer:preset-list")
        if name == "preset-list"
        else requests_of(ours)[name][0][1]
    )
    response = site.generic(method, url, content, content_type="application/json")
    assert response.status_code in {413, 422}
    assert response["Content-Type"] == PROBLEM
    assert response.json()["detail"].endswith(".")


def test_methods_that_a_route_does_not_have(ours: Place, site: Client) -> None:
    for requests in requests_of(ours).values():
        url = requests[0][1]
        assert send(site, "PATCH", url, {}).status_code == 405


def test_presets_over_http(site: Client, radiologist: User) -> None:
    url = reverse("dicom_viewer:preset-list")
    body = {"name": "Fine bone", "Modality": "CT", "window_center": 700, "window_width": 4000}
    made = send(site, "POST", url, body)
    assert made.status_code == 201
    assert made.json() == {**body, "id": made.json()["id"], "key": None, "is_site": False}
    listed = site.get(url).json()
    assert [p["is_site"] for p in listed].count(False) == 1
    assert listed[-1] == made.json()
    own = reverse("dicom_viewer:preset", args=[made.json()["id"]])
    assert send(client_of(factories.user("otto", Role.VIEWER)), "DELETE", own).status_code == 403
    assert send(site, "DELETE", own).status_code == 204
    assert not WindowLevelPreset.objects.filter(user=radiologist).exists()
    for change in ({"window_width": 0}, {"name": " "}, {"key": "0"}, {"Modality": "ct<"}):
        assert send(site, "POST", url, {**body, **change}).status_code == 422


def test_a_session_comes_back_in_the_manifest(ours: Place, site: Client) -> None:
    manifest = reverse("dicom_viewer:study", args=[ours.study.pk])
    assert site.get(manifest).json()["session"] is None
    method, url, body, _ = requests_of(ours)["session"][0]
    assert isinstance(body, dict)
    sent = {**body, "viewport": {"zoom": 1.5}}
    assert send(site, method, url, sent).json() == sent
    assert site.get(manifest).json()["session"] == sent


def test_metadata_lists_the_files_elements(ours: Place, site: Client) -> None:
    answer = site.get(reverse("dicom_viewer:image-metadata", args=[ours.image.pk])).json()
    assert answer["SOPInstanceUID"] == ours.image.sop_instance_uid
    assert answer["SOPClassName"] == "CT Image Storage"
    assert answer["sha256"] == ours.image.sha256
    by_keyword: dict[str, Any] = {line["keyword"]: line for line in answer["tags"]}
    assert by_keyword["PatientName"]["value"] == "Test^Anna"
    assert by_keyword["Rows"] == {
        "tag": "(0028,0010)",
        "vr": "US",
        "keyword": "Rows",
        "name": "Rows",
        "value": "64",
        "depth": 0,
    }
    assert "PixelData" not in by_keyword


def test_every_look_is_audited(ours: Place, site: Client, make_user: Callable[..., User]) -> None:
    for name in ("viewer", "study", "series-images", "image-metadata", "measurement-list"):
        site.get(requests_of(ours)[name][0][1])
    events = AuditEvent.objects.filter(actor="rita", target_id=str(ours.study.pk))
    verbs = list(events.order_by("at", "id").values_list("verb", flat=True))
    assert verbs == [
        "study.open",
        "study.status",
        "study.open",
        "series.read",
        "image.read",
        "measurement.list",
    ]
    assert set(events.values_list("address", flat=True)) == {"127.0.0.1"}
