"""Which studies stand beside one in a list: the viewer's way from study to study."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from archive import query
from archive.access import EVERYTHING
from archive.query import StudyQuery
from tests.apps.worklist.rows import make_study
from worklist.models import Facility, Study

pytestmark = pytest.mark.django_db
_SORTS = ("date", "received", "name", "patient_id", "modality", "accession", "images")


def beside(client: Client, study: Study, **params: str) -> tuple[str | None, str | None]:
    answer = client.get(reverse("worklist:studies-beside", args=[study.pk]), params)
    assert answer.status_code == 200, answer.content
    assert "no-store" in answer["Cache-Control"]
    document = answer.json()
    previous, following = document["previous"], document["next"]
    return previous and previous["id"], following and following["id"]


@pytest.mark.parametrize("sort", _SORTS)
@pytest.mark.parametrize("way", ["asc", "desc"])
def test_from_study_to_study_in_the_lists_own_order(
    site: Client, facility: Facility, sort: str, way: str
) -> None:
    for number in range(5):
        make_study(facility, number)
    asked = StudyQuery(sort=sort, descending=way == "desc")
    rows = query.find_studies(EVERYTHING, asked).items
    assert len(rows) == 5
    keys = [None, *(str(row.pk) for row in rows), None]
    for place, row in enumerate(rows, start=1):
        found = beside(site, row, sort=sort, dir=way)
        assert found == (keys[place - 1], keys[place + 1])


def test_a_study_that_has_left_the_list_still_has_its_place(
    site: Client, facility: Facility
) -> None:
    studies = [make_study(facility, number) for number in range(4)]
    rows = query.find_studies(EVERYTHING, StudyQuery()).items
    Study.objects.filter(pk__in=[rows[1].pk, rows[2].pk]).update(status="opened")
    assert len(studies) == 4
    expected = (str(rows[0].pk), str(rows[3].pk))
    assert beside(site, rows[1], status="unread") == expected
    assert beside(site, rows[2], status="unread") == expected


def test_others_studies_are_none_of_it(
    site: Client, facility: Facility, other_facility: Facility
) -> None:
    mine = make_study(facility, 1)
    theirs = [make_study(other_facility, number) for number in (0, 2)]
    assert beside(site, mine) == (None, None)
    address = reverse("worklist:studies-beside", args=[theirs[0].pk])
    assert site.get(address).status_code == 403
    assert site.get(reverse("worklist:studies-beside", args=[uuid4()])).status_code == 404
    assert Client().get(address).status_code == 401


def test_to_look_ahead_opens_nothing(site: Client, facility: Facility) -> None:
    first, second = make_study(facility, 1), make_study(facility, 2)
    address = reverse("worklist:studies-beside", args=[first.pk])
    places = [place for place in site.get(address).json().values() if place]
    (place,) = places
    assert place["id"] == str(second.pk)
    assert place["viewer_url"] == reverse("dicom_viewer:viewer", args=[second.pk])
    manifest = site.get(place["ahead_url"]).json()
    assert manifest["study"]["id"] == str(second.pk)
    second.refresh_from_db()
    assert second.status == "unread"
    opened = site.get(manifest["links"]["self"]).json()
    assert opened["series"] == manifest["series"]
    second.refresh_from_db()
    assert second.status == "opened"
