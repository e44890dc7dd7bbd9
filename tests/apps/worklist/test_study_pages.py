"""A study's page, its preview and its files: whose they are, what they show, what is noted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import Role, User
from archive import reading
from archive.access import actor_of
from archive.models import AuditEvent
from tests import factories
from tests.apps.worklist.rows import make_study
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Series, Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def study(store: Path, facility: Facility) -> Study:
    """A study of two series, of three and of one image, made by ingest."""
    first = make_instance(SeriesDescription="Thin", StudyDescription="Abdomen")
    for number in (3, 1, 2):
        image = make_instance(
            StudyInstanceUID=first.StudyInstanceUID,
            SeriesInstanceUID=first.SeriesInstanceUID,
            SeriesDescription="Thin",
            InstanceNumber=number,
        )
        factories.store_bytes(to_bytes(image), facility)
    other = make_instance(StudyInstanceUID=first.StudyInstanceUID, SeriesNumber=2)
    factories.store_bytes(to_bytes(other), facility)
    return Study.objects.get()


def addresses(study: Study) -> list[str]:
    return [
        f"/worklist/studies/{study.pk}/",
        f"/worklist/studies/{study.pk}/preview/",
        f"/worklist/series/{study.series.first().pk}/images/",  # type: ignore[union-attr]
    ]


def test_others_are_refused_and_strangers_sign_in(
    study: Study, other_facility: Facility, site: Client
) -> None:
    stranger = Client()
    other = Client()
    other.force_login(factories.user("olaf", Role.RADIOLOGIST, [other_facility]))
    for address in addresses(study):
        assert site.get(address).status_code == 200
        refused = other.get(address)
        assert refused.status_code == 403
        assert "Test" not in refused.content.decode()
        assert stranger.get(address)["Location"].startswith("/accounts/login/?next=")


@pytest.mark.parametrize("path", ["studies/{}/", "studies/{}/preview/", "series/{}/images/"])
def test_what_is_not_there_is_not_found(site: Client, path: str) -> None:
    answer = site.get(f"/worklist/{path.format(uuid4())}")
    assert answer.status_code == 404


def test_the_page_shows_the_study(site: Client, study: Study) -> None:
    page = site.get(f"/worklist/studies/{study.pk}/").content.decode()
    for words in (
        "Test, Anna", "2026-01-02 03:04", "F 56\u2009y", "A1", "4 in 2 series", "Thin",
        study.study_instance_uid, f"/viewer/{study.pk}/", "None in this facility.",
    ):  # fmt: skip
        assert words in page, words
    assert "History" not in page


def test_the_cover_of_a_series_is_its_middle_image(site: Client, study: Study) -> None:
    page = site.get(f"/worklist/studies/{study.pk}/").content.decode()
    middle = DicomImage.objects.get(series__series_number=1, instance_number=2)
    assert f"/api/v1/dicom/image/{middle.pk}/thumbnail" in page
    assert page.count("/thumbnail") == 2


def test_files_are_listed_by_number_with_a_download(site: Client, study: Study) -> None:
    series = Series.objects.get(series_number=1)
    page = site.get(f"/worklist/series/{series.pk}/images/").content.decode()
    assert "CT Image" in page
    expected = [
        f"/api/v1/dicom/image/{image.pk}/file"
        for image in series.images.order_by("instance_number")
    ]
    places = [page.index(address) for address in expected]
    assert places == sorted(places)


def test_looking_is_noted_and_shown_to_administrators_alone(
    study: Study, site: Client, admin_user: User
) -> None:
    site.get(f"/worklist/studies/{study.pk}/", REMOTE_ADDR="192.0.2.7")
    event = AuditEvent.objects.get(verb="study.look")
    assert (event.actor, event.target_id, event.address) == ("rita", str(study.pk), "192.0.2.7")
    assert event.facility == study.facility
    client = Client()
    client.force_login(admin_user)
    page = client.get(f"/worklist/studies/{study.pk}/").content.decode()
    assert "looked at the study" in page
    assert "from 192.0.2.7" in page


def test_without_the_note_there_is_no_look(
    study: Study, site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import DatabaseError

    def broken(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(AuditEvent.objects, "create", broken)
    site.raise_request_exception = False
    answer = site.get(f"/worklist/studies/{study.pk}/")
    assert answer.status_code == 500
    assert "Anna" not in answer.content.decode()


def test_other_studies_are_the_patients_in_this_facility(
    study: Study, site: Client, facility: Facility, other_facility: Facility
) -> None:
    prior = make_study(facility, 7, study_description="Prior")
    Study.objects.filter(pk=prior.pk).update(patient=study.patient)
    elsewhere = make_study(other_facility, 8, study_description="Elsewhere")
    Study.objects.filter(pk=elsewhere.pk).update(patient=study.patient)
    page = site.get(f"/worklist/studies/{study.pk}/preview/").content.decode()
    assert f"/worklist/studies/{prior.pk}/" in page
    assert "Elsewhere" not in page


def test_conflicts_are_said(study: Study, site: Client, facility: Facility) -> None:
    image = DicomImage.objects.order_by("instance_number").last()
    assert image is not None
    same_uid = make_instance(
        SOPInstanceUID=image.sop_instance_uid,
        StudyInstanceUID=study.study_instance_uid,
        SeriesInstanceUID=image.series.series_instance_uid,
        PatientComments="other content",
    )
    factories.store_bytes(to_bytes(same_uid), facility)
    page = site.get(f"/worklist/studies/{study.pk}/").content.decode()
    assert "1 instance came again with other content" in page


def test_a_page_costs_the_same_for_many_series(
    study: Study,
    site: Client,
    facility: Facility,
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    address = f"/worklist/studies/{study.pk}/preview/"
    # Session, user, scope, study, series, covers, other studies, conflicts, the note's facility
    # and the note itself between its savepoints.
    site.get(address)
    with django_assert_num_queries(10):
        site.get(address)
    for number in range(3, 9):
        more = make_instance(StudyInstanceUID=study.study_instance_uid, SeriesNumber=number)
        factories.store_bytes(to_bytes(more), facility)
    with django_assert_num_queries(10):
        site.get(address)


def test_status_moves_is_noted_and_told(
    study: Study, site: Client, facility: Facility, radiologist: User
) -> None:
    from archive.models import OutboxEvent

    def post(**body: Any) -> Any:
        return site.post("/worklist/api/studies/status/", body, content_type="application/json")

    before = OutboxEvent.objects.count()
    assert post(ids=[str(study.pk)], status="read").json() == {"changed": [str(study.pk)]}
    study.refresh_from_db()
    assert study.status == "read"
    assert post(ids=[str(study.pk)], status="read").json() == {"changed": []}
    event = AuditEvent.objects.get(verb="study.status")
    assert event.detail == {"before": "unread", "after": "read"}
    told = OutboxEvent.objects.all()[before:]
    assert [(e.kind, e.payload) for e in told] == [("study.changed", {"study_id": str(study.pk)})]
    assert post(ids=[str(study.pk)], status="lost").status_code == 422
    assert post(ids=["x"], status="read").status_code == 422
    assert post(ids="x", status="read").status_code == 422
    assert post(ids=[str(uuid4())] * 2, status="read").json() == {"changed": []}
    many = [str(uuid4()) for _ in range(reading.MOST_AT_ONCE + 1)]
    assert post(ids=many, status="read").status_code == 422


def test_one_foreign_study_stops_the_whole_mark(
    site: Client, facility: Facility, other_facility: Facility
) -> None:
    mine, theirs = make_study(facility, 1), make_study(other_facility, 2)
    body = {"ids": [str(mine.pk), str(theirs.pk)], "status": "read"}
    answer = site.post("/worklist/api/studies/status/", body, content_type="application/json")
    assert answer.status_code == 403
    assert set(Study.objects.values_list("status", flat=True)) == {"unread"}


@pytest.mark.parametrize(
    ("role", "status"),
    [
        (Role.ADMIN, 200),
        (Role.RADIOLOGIST, 200),
        (Role.TECHNOLOGIST, 403),
        (Role.FACILITY, 403),
        (Role.REFERRER, 403),
        (Role.VIEWER, 403),
    ],
)
def test_only_readers_mark(facility: Facility, role: Role, status: int) -> None:
    study = make_study(facility, 1)
    user = factories.user("somebody", role, [facility])
    client = Client()
    client.force_login(user)
    body = {"ids": [str(study.pk)], "status": "read"}
    answer = client.post("/worklist/api/studies/status/", body, content_type="application/json")
    assert answer.status_code == status
    assert actor_of(user).can_read == (status == 200)
    assert ("data-mark" in client.get("/worklist/studies/").content.decode()) == (status == 200)
