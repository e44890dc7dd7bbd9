"""Hanging protocols: whose they are, exchanged whole, and matched with a study."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from pydicom.dataset import Dataset

from accounts.models import Role, User
from archive import access
from archive.access import Actor, actor_of
from dicom_viewer import hanging, manifest, series
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


def code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SRT", "a view"
    return item


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
    built_in = manifest.build(reader, radiologist, now)["hanging"]
    assert built_in["protocol"]["name"] == "CT of the chest"
    assert built_in["protocol"]["id"] is None
    hanging.create_protocol(reader, body())
    found = manifest.build(reader, radiologist, now)["hanging"]
    assert found["protocol"]["sentence"] == (
        "CT of chest, with 1 prior: 1 × 2 with “lung”, “lung” of prior 1; then All, 2 × 2."
    )
    lung = now.series.get(series_description="lung")
    soft = now.series.get(series_description="soft tissue")
    places = found["stages"][0]["viewports"]
    assert [(place["study"], place["series"]) for place in places] == [
        (str(now.pk), str(lung.pk)),
        (str(before.pk), str(before.series.get().pk)),
    ]
    assert [place and place["series"] for place in found["stages"][1]["viewports"]] == [
        str(soft.pk), str(lung.pk), None, None,
    ]  # fmt: skip
    # Without a prior it does not fit, and a later study is none.
    earlier = manifest.build(reader, radiologist, before)["hanging"]
    assert earlier["protocol"]["name"] == "CT of the chest"
    HangingProtocol.objects.update(number_of_priors=2)
    assert manifest.build(reader, radiologist, now)["hanging"]["protocol"]["id"] is None


def test_an_older_study_of_another_region_is_not_opened_by_itself(
    reader: Actor, radiologist: User, facility: Facility
) -> None:
    knee = make_instance(StudyDate="20240101", BodyPartExamined="KNEE", StudyDescription="Knee")
    factories.store_bytes(to_bytes(knee), facility)
    now = study(facility, "20260101", "lung", StudyDescription="Thorax")
    stages = manifest.build(reader, radiologist, now)["hanging"]["stages"]
    assert [stage["name"] for stage in stages] == ["One series", "Soft tissue, lung, bone"]
    study(facility, "20250101", "lung", StudyDescription="Thorax")
    stages = manifest.build(reader, radiologist, now)["hanging"]["stages"]
    assert stages[-1]["name"] == "With the prior"


def test_four_views_and_those_of_the_prior(
    reader: Actor, radiologist: User, facility: Facility
) -> None:
    """Sides and views as attributes, as a code, and as words of a description say them."""
    told: list[dict[str, Any]] = [
        {"ImageLaterality": "L", "ViewPosition": "MLO"},
        {"ImageLaterality": "R", "ViewCodeSequence": [code("R-10226")]},
        {"SeriesDescription": "LCC"},
        {"ImageLaterality": "R", "ViewCodeSequence": [code("399162004")]},
    ]
    studies = []
    for day in ("20240101", "20260101"):
        uid = f"1.2.826.0.1.3680043.10.1338.9.{day}"
        for number, keywords in enumerate(told, start=1):
            made = make_instance(
                StudyInstanceUID=uid, StudyDate=day, SeriesInstanceUID=f"{uid}.{number}",
                SeriesNumber=number, Modality="MG", StudyDescription="Mammography", **keywords,
            )  # fmt: skip
            study_id = factories.store_bytes(to_bytes(made), facility).study_id
        studies.append(access.study_for(access.EVERYTHING, study_id))
    before, now = studies
    for row in before.series.all():
        series.keep(row)
    document = manifest.build(reader, radiologist, now)
    numbers = {
        str(row.pk): ("prior " if row.study_id == before.pk else "") + str(row.series_number)
        for one in studies
        for row in one.series.all()
    }
    four, eight, *_ = document["hanging"]["stages"]
    assert [numbers[place["series"]] for place in four["viewports"]] == ["4", "3", "2", "1"]
    assert four["fit"] == "chest wall"
    assert [place["laterality"] for place in four["viewports"]] == ["R", "L", "R", "L"]
    assert [numbers[place["series"]] for place in eight["viewports"]] == [
        "prior 4", "4", "3", "prior 3", "prior 2", "2", "1", "prior 1",
    ]  # fmt: skip
    # The first picture of the first answer is the one that hangs first.
    first = document["first_image"]
    assert (first["series_id"], first["image_id"]) == (
        four["viewports"][0]["series"], four["viewports"][0]["image"],
    )  # fmt: skip
    assert first["preview"]


def test_a_stage_keeps_everything_it_says(reader: Actor, site: Client) -> None:
    stage = {
        "name": "Windows", "rows": 1, "columns": 2, "fit": "scale", "least": 2,
        "links": {"scroll": "position", "window": False, "view": True},
        "places": [{"Modality": "CT", "window_center": -600, "window_width": 1500},
                   {"prior": 1, "ViewPosition": "PA, AP", "show": "fused"}],
    }  # fmt: skip
    hanging.create_protocol(reader, body(stages=[stage, stage]))
    (kept,) = site.get(reverse("dicom_viewer:hanging-list")).json()["protocols"]
    for again in kept["stages"]:
        assert {key: again[key] for key in stage if key != "places"} == {
            key: value for key, value in stage.items() if key != "places"
        }
        assert again["places"][0]["window_center"] == -600
        assert again["places"][1] == {
            "prior": 1, "Modality": "", "SeriesDescription": "", "Laterality": "",
            "ViewPosition": "PA, AP", "window_center": None, "window_width": None,
            "show": "fused",
        }  # fmt: skip


def test_the_last_one_kept_comes_first(
    reader: Actor, radiologist: User, facility: Facility
) -> None:
    now = study(facility, "20260101", "lung")
    for name in ("A", "B", "C"):
        hanging.create_protocol(reader, body(name=name, priors=0))
    chosen = HangingProtocol.objects.get(name="B")
    hanging.replace_protocol(reader, chosen.pk, body(name="B", priors=0))
    assert manifest.build(reader, radiologist, now)["hanging"]["protocol"]["name"] == "B"
    hanging.replace_protocol(reader, chosen.pk, body(name="B", priors=0, is_active=False))
    assert manifest.build(reader, radiologist, now)["hanging"]["protocol"]["name"] == "C"


def test_the_page_lists_own_site_and_built_in(
    site: Client, reader: Actor, admin_user: User
) -> None:
    url = reverse("dicom_viewer:layouts")
    empty = site.get(url).content.decode()
    assert "You have none yet" in empty
    assert "An administrator makes them" in empty
    assert "Mammography" in empty
    hanging.create_protocol(reader, body(name="<b>Mine</b>"))
    hanging.create_protocol(actor_of(admin_user), body(name="Site chest", is_site=True))
    page = site.get(url).content.decode()
    assert "&lt;b&gt;Mine&lt;/b&gt;" in page
    assert "<b>Mine" not in page
    assert 'aria-label="Edit Site chest"' not in page
    assert 'aria-label="Copy Site chest"' in page
    boss = Client()
    boss.force_login(admin_user)
    assert 'aria-label="Edit Site chest"' in boss.get(url).content.decode()


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
