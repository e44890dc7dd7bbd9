"""Hanging protocols: whose they are, exchanged whole, and matched with a study."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from archive import access
from archive.access import Actor, actor_of
from dicom_viewer import hanging, manifest
from dicom_viewer.bodies import HangingBody, HangingSetBody, LikeThisBody
from dicom_viewer.models import HangingProtocol
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

BODY: dict[str, Any] = {
    "name": "Chest with prior",
    "Modality": "CT",
    "BodyPartExamined": "CHEST",
    "priors": 1,
    "stages": [
        {"rows": 1, "columns": 2, "places": [{"SeriesDescription": "lung"},
                                             {"prior": 1, "SeriesDescription": "lung"}]},
        {"name": "All", "rows": 2, "columns": 2},
    ],
}  # fmt: skip


def body(**changes: Any) -> HangingBody:
    return HangingBody.model_validate(BODY | changes)


def study(facility: Facility, day: str, *descriptions: str, **more: Any) -> Study:
    uid = f"1.2.826.0.1.3680043.10.1338.{day}"
    for number, words in enumerate(descriptions, start=1):
        made = make_instance(
            StudyInstanceUID=uid, StudyDate=day, SeriesInstanceUID=f"{uid}.{number}",
            SeriesNumber=number, SeriesDescription=words, BodyPartExamined="CHEST", **more,
        )  # fmt: skip
        study_id = factories.store_bytes(to_bytes(made), facility).study_id
    return access.study_for(access.EVERYTHING, study_id)


def send(client: Client, method: str, url: str, content: object = None) -> Any:
    return client.generic(method, url, json.dumps(content), content_type="application/json")


def test_a_study_and_its_prior_are_hung(
    reader: Actor, radiologist: User, facility: Facility
) -> None:
    before = study(facility, "20240101", "lung")
    now = study(facility, "20260101", "soft tissue", "lung")
    assert manifest.build(reader, radiologist, now)["hanging"] is None
    hanging.create_protocol(reader, body())
    found = manifest.build(reader, radiologist, now)["hanging"]
    assert found["protocol"]["sentence"] == (
        "CT of chest, with 1 prior: 1 × 2 with “lung”, “lung” of prior 1; then All, 2 × 2."
    )
    lung = now.series.get(series_description="lung")
    soft = now.series.get(series_description="soft tissue")
    assert found["stages"][0]["viewports"] == [
        {"study": str(now.pk), "series": str(lung.pk)},
        {"study": str(before.pk), "series": str(before.series.get().pk)},
    ]
    assert [place and place["series"] for place in found["stages"][1]["viewports"]] == [
        str(soft.pk), str(lung.pk), None, None,
    ]  # fmt: skip
    # Without a prior it does not fit.
    assert manifest.build(reader, radiologist, before)["hanging"] is not None
    HangingProtocol.objects.update(number_of_priors=2)
    assert manifest.build(reader, radiologist, now)["hanging"] is None


def test_projections_are_told_by_their_images(
    reader: Actor, radiologist: User, facility: Facility
) -> None:
    now = study(facility, "20260101", "cc", Modality="MG", ViewPosition="CC", ImageLaterality="R")
    hanging.create_protocol(
        reader,
        body(Modality="MG", ViewPosition="CC", Laterality="R", priors=0,
             stages=[{"places": [{"ViewPosition": "CC", "Laterality": "R"}]}]),
    )  # fmt: skip
    found = manifest.build(reader, radiologist, now)["hanging"]
    assert found["stages"][0]["viewports"][0]["series"] == str(now.series.get().pk)


def test_own_layouts_are_private_and_the_sites_an_administrators(
    site: Client, reader: Actor, admin_user: User, facility: Facility
) -> None:
    url = reverse("dicom_viewer:hanging-list")
    own = send(site, "POST", url, BODY)
    assert own.status_code == 201
    assert send(site, "POST", url, BODY | {"is_site": True}).status_code == 403
    boss = actor_of(admin_user)
    shared = hanging.create_protocol(boss, body(name="Site's", is_site=True))
    assert [one["name"] for one in site.get(url).json()["protocols"]] == [
        "Chest with prior", "Site's",
    ]  # fmt: skip
    other = Client()
    other.force_login(factories.user("otto", Role.RADIOLOGIST, [facility]))
    assert [one["name"] for one in other.get(url).json()["protocols"]] == ["Site's"]
    mine = reverse("dicom_viewer:hanging", args=[own.json()["id"]])
    theirs = reverse("dicom_viewer:hanging", args=[shared.pk])
    assert send(other, "PUT", mine, BODY).status_code == 403
    assert send(other, "DELETE", theirs).status_code == 403
    assert send(site, "PUT", mine, BODY | {"priority": 7}).json()["priority"] == 7
    assert send(site, "DELETE", mine).status_code == 204
    nowhere = reverse("dicom_viewer:hanging", args=[uuid4()])
    assert send(site, "DELETE", nowhere).status_code == 404


def test_what_is_exported_is_imported_whole_or_not_at_all(site: Client, reader: Actor) -> None:
    hanging.create_protocol(reader, body())
    exported = site.get(reverse("dicom_viewer:hanging-list")).json()
    HangingProtocol.objects.all().delete()
    url = reverse("dicom_viewer:hanging-import")
    (again,) = send(site, "POST", url, exported).json()["protocols"]
    (before,) = exported["protocols"]
    assert {**again, "id": ""} == {**before, "id": ""}
    broken = {"protocols": [*exported["protocols"], {"name": "no stages", "stages": []}]}
    assert send(site, "POST", url, broken).status_code == 422
    assert HangingProtocol.objects.count() == 1
    many = HangingSetBody.model_validate({"protocols": [BODY] * 200})
    from archive.errors import TooLargeError

    with pytest.raises(TooLargeError):
        hanging.import_protocols(reader, many)
    assert HangingProtocol.objects.count() == 1


def test_a_layout_for_studies_like_this(
    reader: Actor, radiologist: User, facility: Facility
) -> None:
    study(facility, "20240101", "lung")
    now = study(facility, "20260101", "lung", Laterality="L")
    asked = LikeThisBody.model_validate({"name": "Mine", "stages": BODY["stages"]})
    row = hanging.like_this(reader, now.pk, asked)
    document = hanging.protocol_document(row)
    assert {key: document[key] for key in ("Modality", "BodyPartExamined", "Laterality", "priors",
                                           "is_site", "StudyDescription")} == {
        "Modality": "CT", "BodyPartExamined": "CHEST", "Laterality": "L", "priors": 1,
        "is_site": False, "StudyDescription": "",
    }  # fmt: skip
    hung = manifest.build(reader, radiologist, now)["hanging"]
    assert hung["protocol"]["name"] == "Mine"


def test_the_administration_reads_like_a_sentence(admin_user: User, reader: Actor) -> None:
    hanging.create_protocol(reader, body())
    client = Client()
    client.force_login(admin_user)
    page = client.get(reverse("admin:dicom_viewer_hangingprotocol_changelist"))
    assert "CT of chest, with 1 prior" in page.content.decode()
