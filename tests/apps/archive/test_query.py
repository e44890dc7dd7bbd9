"""Lists of studies: scope, filters, wildcards, paging. Rows are made without files on purpose."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from archive.access import EVERYTHING, Scope
from archive.catalogue import UNDATED, fold
from archive.errors import InvalidInputError
from archive.query import StudyQuery, count_studies, find_studies
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Patient, Study


def make_study(facility: Facility, number: int, **values: Any) -> Study:
    name = values.pop("patient_name", f"Name{number}^Given")
    patient_id = values.pop("patient_identifier", f"P{number}")
    patient = Patient.objects.create(
        facility=facility, patient_id=f"{patient_id}-{number}", patient_name=name
    )
    day = values.pop("study_date", dt.date(2026, 1, 1) + dt.timedelta(days=number))
    return Study.objects.create(
        facility=facility,
        patient=patient,
        study_instance_uid=f"1.2.{facility.pk.int}.{number}"[:64],
        study_date=day,
        sort_at=dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC) if day else UNDATED,
        patient_name=name,
        patient_name_folded=fold(name),
        patient_identifier=patient_id,
        modality=values.pop("modality", "CT"),
        modalities=values.pop("modalities", "\\CT\\"),
        **values,
    )


def found(scope: Scope = EVERYTHING, **query: Any) -> list[str]:
    return [s.patient_identifier for s in find_studies(scope, StudyQuery(**query)).items]


def test_newest_first_and_paged_to_the_end_without_gap_or_repeat(facility: Facility) -> None:
    same_day = dt.date(2026, 3, 1)
    for number in range(25):
        make_study(facility, number, study_date=same_day if number < 15 else None)
    seen: list[str] = []
    cursor = ""
    for _ in range(10):
        page = find_studies(EVERYTHING, StudyQuery(limit=4, cursor=cursor))
        seen += [s.patient_identifier for s in page.items]
        cursor = page.cursor
        if not cursor:
            break
    assert len(seen) == 25
    assert len(set(seen)) == 25


def test_studies_without_a_date_stand_behind_the_dated_ones(facility: Facility) -> None:
    make_study(facility, 1, study_date=None)
    make_study(facility, 2, study_date=dt.date(1925, 1, 1))
    make_study(facility, 3, study_date=None)
    make_study(facility, 4)
    seen: list[str] = []
    cursor = ""
    for _ in range(4):
        page = find_studies(EVERYTHING, StudyQuery(limit=1, cursor=cursor))
        seen += [s.patient_identifier for s in page.items]
        cursor = page.cursor
    assert seen == ["P4", "P2", "P3", "P1"]
    assert cursor == ""
    assert found(descending=False) == seen[::-1]
    assert found(is_undated=True) == ["P3", "P1"]
    assert found(date_to=dt.date(2026, 12, 31)) == ["P4", "P2"]


@pytest.mark.usefixtures("store")
def test_a_file_without_a_date_is_found_as_undated(facility: Facility) -> None:
    dated, undated = make_instance(StudyDate="19250101"), make_instance(StudyDate="")
    for ds in (undated, dated):
        factories.store_bytes(to_bytes(ds), facility)
    rows = find_studies(EVERYTHING, StudyQuery()).items
    assert [row.study_date for row in rows] == [dt.date(1925, 1, 1), None]
    (only,) = find_studies(EVERYTHING, StudyQuery(is_undated=True)).items
    assert only.study_instance_uid == undated.StudyInstanceUID


def test_what_came_within_a_time(facility: Facility) -> None:
    noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    for number in range(4):
        make_study(facility, number, first_received_at=noon + dt.timedelta(hours=number))
    after, before = noon + dt.timedelta(hours=1), noon + dt.timedelta(hours=3)
    assert sorted(found(received_from=after)) == ["P1", "P2", "P3"]
    assert sorted(found(received_from=after, received_before=before)) == ["P1", "P2"]


def test_what_has_a_warning(facility: Facility) -> None:
    make_study(facility, 1, warning="Not in HU.")
    make_study(facility, 2)
    assert found(has_warning=True) == ["P1"]


@pytest.mark.parametrize("sort", ["name", "patient_id", "received", "modality", "images"])
@pytest.mark.parametrize("descending", [True, False])
def test_every_sort_key_pages(facility: Facility, sort: str, descending: bool) -> None:
    for number in range(9):
        make_study(facility, number, instance_count=number // 3)
    first = find_studies(EVERYTHING, StudyQuery(sort=sort, descending=descending, limit=5))
    rest = find_studies(
        EVERYTHING, StudyQuery(sort=sort, descending=descending, limit=5, cursor=first.cursor)
    )
    assert len({s.pk for s in first.items + rest.items}) == 9
    assert rest.cursor == ""


def test_a_scope_sees_its_own_facilities_only(facility: Facility, other_facility: Facility) -> None:
    make_study(facility, 1, patient_identifier="MINE")
    make_study(other_facility, 2, patient_identifier="THEIRS")
    assert found(Scope(frozenset({facility.pk}))) == ["MINE"]
    assert found(Scope(frozenset())) == []
    assert sorted(found()) == ["MINE", "THEIRS"]
    assert count_studies(Scope(frozenset({facility.pk})), StudyQuery()) == 1
    # Asking for a facility by name does not widen the scope.
    assert found(Scope(frozenset({facility.pk})), facility_ids=(other_facility.pk,)) == []


def test_filters(facility: Facility) -> None:
    make_study(facility, 1, patient_name="Müller^Änne", patient_identifier="A_1")
    make_study(
        facility,
        2,
        patient_name="山田^太郎",
        patient_identifier="A%2",
        modality="MR",
        modalities="\\MR\\SR\\",
        accession_number="ACC7",
        status="read",
    )
    make_study(
        facility,
        3,
        patient_name="O'Neil^Pat",
        patient_identifier="AX3",
        study_description="Chest CT",
    )
    assert found(patient_name="muller") == ["A_1"]
    assert found(patient_name="ANNE mull") == ["A_1"]
    assert found(patient_name="山田") == ["A%2"]
    assert found(patient_name="m?ll*") == ["A_1"]
    assert found(patient_id="A_") == ["A_1"]
    assert found(patient_id="A%") == ["A%2"]
    assert sorted(found(patient_id="A?[0-9]")) == []
    assert sorted(found(patient_id="a*")) == ["A%2", "AX3", "A_1"]
    assert found(accession_number="acc") == ["A%2"]
    assert found(modalities=("SR",)) == ["A%2"]
    assert found(status="read") == ["A%2"]
    assert found(date_from=dt.date(2026, 1, 3), date_to=dt.date(2026, 1, 3)) == ["A%2"]
    assert found(text="chest neil") == ["AX3"]


@pytest.mark.parametrize(
    "query",
    [{"sort": "password"}, {"limit": 0}, {"limit": 501}, {"cursor": "x"}, {"cursor": "e30"}],
)
def test_what_cannot_be_asked_is_refused_in_words(db: None, query: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        find_studies(EVERYTHING, StudyQuery(**query))


def test_a_page_costs_two_queries(
    facility: Facility, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        make_study(facility, number)
    with django_assert_num_queries(2):
        page = find_studies(EVERYTHING, StudyQuery(limit=20))
        assert {s.facility.code for s in page.items} == {"NORTH"}
