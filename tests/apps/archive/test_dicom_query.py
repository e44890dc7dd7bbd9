"""Queries by DICOM keys: what the database finds, and at which level."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

from archive import database, deletions, dicom_query, plain_query, query_records, timelimit
from archive.access import Scope, system_actor
from archive.dicom_query import DicomQuery
from archive.errors import TooBroadError
from archive.query_records import Record
from imaging import identifier, matching, plainkeys
from imaging.attributes import IMAGE, PATIENT, SERIES, STUDY
from imaging.errors import InvalidQueryError
from imaging.matching import PLAIN, Options
from imaging.part10 import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study

pytestmark = pytest.mark.django_db

# The same in every worker of pytest-xdist: they stand in the names of cases.
ONE, TWO = (generate_uid(entropy_srcs=["query", name]) for name in ("one", "two"))
SERIES_CT, SERIES_SR = (generate_uid(entropy_srcs=["query", name]) for name in ("ct", "sr"))


@pytest.fixture
def north(store: Path) -> Facility:
    """A clinic with three studies of two patients."""
    clinic = factories.facility("NORTH", "North Clinic")
    first = {
        "PatientName": "Müller^Änne=山田^花子=やまだ^はなこ",
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientID": "A*1",
        "IssuerOfPatientID": "NORTH",
        "PatientComments": "left-handed",
        "StudyInstanceUID": ONE,
        "StudyDate": "20260215",
        "StudyTime": "101530.25",
        "AccessionNumber": "ACC-1",
        "StudyDescription": "CT Head 50% _plain_",
        "ReferringPhysicianName": "House^Gregory",
        "OperatorsName": "Op^One\\Op^Two",
        "PhysiciansOfRecord": "Cuddy^Lisa",
    }
    for number in (1, 2, 3):
        keep(
            clinic,
            **first,
            SeriesInstanceUID=SERIES_CT,
            SeriesNumber=2,
            InstanceNumber=number,
            Modality="CT",
            ImageComments=f"slice {number}",
        )
    step = Dataset()
    step.ScheduledProcedureStepID = "SPS7"
    step.RequestedProcedureID = "RP7"
    keep(
        clinic,
        **first,
        SeriesInstanceUID=SERIES_SR,
        SeriesNumber=1,
        InstanceNumber=1,
        Modality="SR",
        RequestAttributesSequence=Sequence([step]),
    )
    second = {"PatientID": "B2", "PatientName": "Smith^John", "StudyTime": "0800"}
    keep(clinic, **second, StudyInstanceUID=TWO, StudyDate="20260216", Modality="MR")
    keep(clinic, **second, StudyDate="20260301", Modality="CT", PatientWeight="81.5")
    return clinic


def keep(clinic: Facility, **keywords: Any) -> None:
    factories.store_bytes(to_bytes(make_instance(**keywords)), clinic)


def keys(**keywords: Any) -> Dataset:
    found = Dataset()
    for keyword, value in keywords.items():
        setattr(found, keyword, value)
    return found


def ask(clinic: Facility | None, level: str, asked: Dataset, **how: Any) -> list[Dataset]:
    scope = Scope(None if clinic is None else frozenset({clinic.pk}))
    query = DicomQuery(level=level, identifier=asked, **how)
    query.check()
    found = list(dicom_query.search(scope, query))
    assert_plain_alike(scope, query, found)
    return [query_records.as_data_set(record) for record in found]


def assert_plain_alike(scope: Scope, query: DicomQuery, expected: list[Record]) -> None:
    """What is plain enough for the short way gets the same answers there, byte for byte."""
    asked = query.identifier
    assert isinstance(asked, Dataset)
    for syntax in (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN):
        for terms in ([], ["ISO_IR 100"], ["ISO_IR 192"]):
            raw = encoded(asked, syntax, terms)
            plain = plainkeys.read(raw, syntax)
            if plain is None:
                continue
            short = replace(query, identifier=plain)
            short.check()
            assert short.unsupported() == query.unsupported()
            found = search_plainly(scope, short)
            if found is None:
                continue
            writer = identifier.PlainWriter(found.elements, syntax, terms)
            mine = [writer.write_row(row) for row in found.rows]
            theirs = [
                encoded(answer_of(query, record), syntax, plain_terms(plain)) for record in expected
            ]
            if query.level in {PATIENT, STUDY}:
                # In no order.
                theirs.sort()
                mine.sort(key=lambda one: one or b"")
            assert mine == theirs


def search_plainly(scope: Scope, query: DicomQuery) -> plain_query.Found | None:
    with database.reading() as reader:
        return plain_query.search(reader, scope, query)


def encoded(data_set: Dataset, syntax: str, terms: list[str]) -> bytes:
    copied = copy.deepcopy(data_set)
    copied.pop("SpecificCharacterSet", None)
    return identifier.write(copied, syntax, terms)


def plain_terms(plain: plainkeys.PlainKeys) -> list[str]:
    return identifier.character_sets(plain)


def answer_of(query: DicomQuery, record: Record) -> Dataset:
    wanted = dicom_query.supported_keys(query)
    wanted.QueryRetrieveLevel = wanted.RetrieveAETitle = ""
    answer = matching.response(query_records.as_data_set(record), wanted)
    answer.QueryRetrieveLevel = query.level
    return answer


def studies(clinic: Facility, options: Options = PLAIN, **asked: Any) -> set[str]:
    found = ask(
        clinic,
        STUDY,
        keys(**{"StudyInstanceUID": "", **asked}),
        root=STUDY,
        options=options,
    )
    return {item.StudyInstanceUID for item in found}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "12+"),
        ({"StudyInstanceUID": ONE}, "1"),
        ({"StudyInstanceUID": [ONE, TWO, "1.2.3"]}, "12"),
        ({"PatientID": "A*1"}, "1"),
        ({"PatientID": "B2"}, "2+"),
        ({"PatientID": "b2"}, ""),
        ({"PatientID": "B?"}, "2+"),
        ({"PatientID": "?"}, ""),
        ({"AccessionNumber": "ACC-1"}, "1"),
        ({"StudyDescription": "*50%*"}, "1"),
        ({"StudyDescription": "*5_%*"}, ""),
        ({"StudyDescription": "ct*"}, ""),
        ({"StudyDescription": "CT*_plain?"}, "1"),
        ({"PatientName": "MULLER^ANNE"}, "1"),
        ({"PatientName": "muller*"}, "1"),
        ({"PatientName": "*ller*"}, "1"),
        ({"PatientName": "M?ller^*"}, "1"),
        ({"PatientName": "Muller"}, ""),
        ({"PatientName": "山田^花子"}, "1"),
        ({"PatientName": "山田*"}, "1"),
        ({"PatientName": "=山田*"}, "1"),
        ({"PatientName": "Mu*=山*=や*"}, "1"),
        ({"PatientName": "=鈴木*"}, ""),
        ({"PatientName": "*"}, "12+"),
        ({"PatientName": "*^John"}, "2+"),
        ({"PatientName": "smith^john"}, "2+"),
        ({"ReferringPhysicianName": "house*"}, "1"),
        ({"PhysiciansOfRecord": "Cuddy*"}, "1"),
        ({"StudyDate": "20260215"}, "1"),
        ({"StudyDate": "20260215-20260228"}, "12"),
        ({"StudyDate": "20260216-"}, "2+"),
        ({"StudyDate": "-20260215"}, "1"),
        ({"StudyDate": "20260231"}, ""),
        ({"StudyTime": "10-11"}, "1"),
        ({"StudyTime": "0800"}, "2+"),
        ({"StudyDate": "20260215-20260216", "StudyTime": "1100-0900"}, ""),
        ({"ModalitiesInStudy": "SR"}, "1"),
        ({"ModalitiesInStudy": "CT"}, "1+"),
        ({"ModalitiesInStudy": ["MR", "SR"]}, "12"),
        ({"ModalitiesInStudy": "S*"}, "1"),
        ({"ModalitiesInStudy": "ct"}, ""),
        ({"SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.2"}, "12+"),
        ({"SOPClassesInStudy": "1.2.3"}, ""),
        ({"IssuerOfPatientID": "NORTH"}, "1"),
        ({"PatientComments": "left*"}, "1"),
        ({"PatientWeight": "81.50"}, "+"),
        ({"PatientBirthDate": "19000101"}, ""),
        ({"NumberOfStudyRelatedInstances": "77"}, "12+"),
    ],
    ids=str,
)
def test_studies_are_found_by_their_keys(
    north: Facility, asked: dict[str, Any], found: str
) -> None:
    known = {ONE: "1", TWO: "2"}
    assert sorted(known.get(uid, "+") for uid in studies(north, **asked)) == sorted(found)


def test_what_was_negotiated_changes_how_keys_match(north: Facility) -> None:
    fuzzy = Options(is_fuzzy=True)
    assert studies(north, PatientName="ann mull") == set()
    assert studies(north, fuzzy, PatientName="ann mull") == {ONE}
    assert studies(north, fuzzy, PatientName="ann jones") == set()
    span = {"StudyDate": "20260215-20260216", "StudyTime": "1100-0900"}
    assert studies(north, Options(is_combined=True), **span) == {TWO}


def test_a_study_tells_what_it_holds(north: Facility) -> None:
    asked = keys(
        StudyInstanceUID=ONE,
        **dict.fromkeys(
            (
                "PatientName", "PatientID", "IssuerOfPatientID", "PatientComments", "StudyDate",
                "StudyTime", "AccessionNumber", "ModalitiesInStudy", "SOPClassesInStudy",
                "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
                "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries",
                "NumberOfPatientRelatedInstances", "InstanceAvailability", "PhysiciansOfRecord",
                "StudyDescription", "Occupation",
            ),
            "",
        ),
    )  # fmt: skip
    (item,) = ask(north, STUDY, asked, root=STUDY, retrieve_ae_title="NOCTIS")
    assert str(item.PatientName) == "Müller^Änne=山田^花子=やまだ^はなこ"
    assert (item.PatientID, item.IssuerOfPatientID) == ("A*1", "NORTH")
    assert item.PatientComments == "left-handed"
    assert (item.StudyDate, item.StudyTime) == ("20260215", "101530.250000")
    assert sorted(item.ModalitiesInStudy) == ["CT", "SR"]
    assert item.SOPClassesInStudy == "1.2.840.10008.5.1.4.1.1.2"
    assert (item.NumberOfStudyRelatedSeries, item.NumberOfStudyRelatedInstances) == (2, 4)
    assert item.NumberOfPatientRelatedStudies == 1
    assert item.NumberOfPatientRelatedSeries == 2
    assert item.NumberOfPatientRelatedInstances == 4
    assert item.InstanceAvailability == "ONLINE"
    assert item.RetrieveAETitle == "NOCTIS"
    assert str(item.PhysiciansOfRecord) == "Cuddy^Lisa"
    assert "Occupation" not in item


def test_patients_are_found_once_each(north: Facility) -> None:
    asked = keys(PatientID="", PatientName="", PatientComments="", NumberOfPatientRelatedStudies="")
    found = {item.PatientID: item for item in ask(north, PATIENT, asked)}
    assert found.keys() == {"A*1", "B2"}
    assert found["B2"].NumberOfPatientRelatedStudies == 2
    assert found["A*1"].PatientComments == "left-handed"
    for name, expected in (("muller*", {"A*1"}), ("山田*", {"A*1"}), ("nobody", set())):
        named = ask(north, PATIENT, keys(PatientID="", PatientName=name))
        assert {item.PatientID for item in named} == expected
    (only,) = ask(north, PATIENT, keys(PatientID="B2", PatientComments=""))
    assert "PatientComments" not in only


def test_series_come_in_the_order_of_their_numbers(north: Facility) -> None:
    asked = keys(
        StudyInstanceUID=ONE,
        SeriesInstanceUID="",
        SeriesNumber="",
        Modality="",
        OperatorsName="",
        NumberOfSeriesRelatedInstances="",
        PatientName="",
    )
    first, second = ask(north, SERIES, asked, root=STUDY)
    assert (first.Modality, second.Modality) == ("SR", "CT")
    assert (first.SeriesNumber, second.SeriesNumber) == (1, 2)
    assert second.NumberOfSeriesRelatedInstances == 3
    assert [str(name) for name in second.OperatorsName] == ["Op^One", "Op^Two"]
    assert str(second.PatientName).startswith("Müller")
    for number, expected in ((2, {"CT"}), (9, set())):
        asked.SeriesNumber = number
        assert {i.Modality for i in ask(north, SERIES, asked, root=STUDY)} == expected


@pytest.mark.parametrize(("step", "found"), [("SPS7", 1), ("SPS*", 1), ("SPS8", 0), ("", 2)])
def test_a_sequence_key_matches_an_item(north: Facility, step: str, found: int) -> None:
    inside = keys(ScheduledProcedureStepID=step, RequestedProcedureID="")
    asked = keys(
        StudyInstanceUID=ONE, SeriesInstanceUID="", RequestAttributesSequence=Sequence([inside])
    )
    items = ask(north, SERIES, asked, root=STUDY)
    assert len(items) == found
    if step:
        assert all(i.RequestAttributesSequence[0].RequestedProcedureID == "RP7" for i in items)


def test_images_come_in_the_order_of_their_numbers(north: Facility) -> None:
    asked = keys(
        StudyInstanceUID=ONE,
        SeriesInstanceUID=SERIES_CT,
        SOPInstanceUID="",
        InstanceNumber="",
        ImageComments="",
        Rows="",
        AvailableTransferSyntaxUID="",
    )
    found = ask(north, IMAGE, asked, root=STUDY)
    assert [item.ImageComments for item in found] == ["slice 1", "slice 2", "slice 3"]
    assert {item.AvailableTransferSyntaxUID for item in found} == {"1.2.840.10008.1.2.1"}
    asked.ImageComments = "slice ?"
    asked.InstanceNumber = 2
    (only,) = ask(north, IMAGE, asked, root=STUDY)
    assert only.ImageComments == "slice 2"


@pytest.mark.parametrize(
    ("level", "root", "asked", "blamed"),
    [
        (STUDY, PATIENT, keys(StudyInstanceUID=ONE), "PatientID"),
        (SERIES, STUDY, keys(SeriesInstanceUID=""), "StudyInstanceUID"),
        (IMAGE, STUDY, keys(StudyInstanceUID=ONE), "SeriesInstanceUID"),
        (IMAGE, PATIENT, keys(PatientID="x", SeriesInstanceUID="1.2"), "StudyInstanceUID"),
        (STUDY, PATIENT, keys(PatientID="A*"), "PatientID"),
    ],
)
def test_keys_of_the_levels_above_are_required(
    north: Facility, level: str, root: str, asked: Dataset, blamed: str
) -> None:
    with pytest.raises(InvalidQueryError, match=blamed) as caught:
        ask(north, level, asked, root=root)
    assert caught.value.tag == tag_for_keyword(blamed)
    assert ask(north, level, asked, root=root, is_relational=True) is not None


def test_relational_queries_find_across_studies(north: Facility) -> None:
    found = ask(
        north,
        SERIES,
        keys(SeriesInstanceUID="", Modality="CT", PatientName="*"),
        root=STUDY,
        is_relational=True,
    )
    assert len(found) == 2


def test_another_facilitys_data_is_not_there(north: Facility) -> None:
    south = factories.facility("SOUTH", "South Clinic")
    keep(south, PatientID="B2", PatientName="Smith^John", StudyInstanceUID=TWO, Modality="CT")
    for clinic, count in ((north, 2), (south, 1)):
        found = ask(clinic, STUDY, keys(PatientID="B2", NumberOfPatientRelatedStudies=""))
        assert [item.NumberOfPatientRelatedStudies for item in found] == [count] * count
        (patient,) = ask(clinic, PATIENT, keys(PatientID="B2"))
        assert patient.PatientID == "B2"
    images = ask(
        south, IMAGE, keys(SOPInstanceUID="", StudyInstanceUID=ONE), root=STUDY, is_relational=True
    )
    assert images == []


def test_what_was_deleted_is_not_there(north: Facility) -> None:
    study = Study.objects.get(study_instance_uid=ONE)
    actor = replace(system_actor("tests"), is_administrator=True)
    deletions.delete_study(actor, study.pk, "A test of deletion.")
    assert ONE not in studies(north)
    assert ask(north, PATIENT, keys(PatientID="A*1")) == []
    asked = keys(SeriesInstanceUID="", StudyInstanceUID=ONE)
    assert ask(north, SERIES, asked, root=STUDY) == []


def test_rows_from_before_lack_only_what_was_not_kept(north: Facility) -> None:
    Study.objects.update(attributes=None)
    (item,) = ask(
        north, STUDY, keys(PatientID="A*1", PatientComments="", AccessionNumber=""), root=STUDY
    )
    assert item.AccessionNumber == "ACC-1"
    assert "PatientComments" not in item


def test_a_query_of_columns_is_one_statement(north: Facility) -> None:
    def searches(captured: CaptureQueriesContext) -> int:
        # PostgreSQL is told beside each how long it may take.
        return sum(query["sql"].startswith("SELECT") for query in captured)

    with CaptureQueriesContext(connection) as captured:
        assert studies(north, PatientID="B2", PatientName="*", StudyDate="")
    assert searches(captured) == 1
    with CaptureQueriesContext(connection) as captured:
        asked = keys(PatientID="", NumberOfPatientRelatedStudies="", SOPClassesInStudy="")
        ask(north, STUDY, asked, root=STUDY)
    assert searches(captured) == 3


@pytest.mark.parametrize("remembered", [3, 5_000])
def test_many_answers_come_in_pieces_and_each_once(
    north: Facility, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    monkeypatch.setattr(dicom_query, "_CHUNK", 2)
    monkeypatch.setattr(dicom_query, "_MOST_REMEMBERED", remembered)
    for _ in range(5):
        keep(north, PatientID="B2", Modality="CT")
    found = ask(north, STUDY, keys(StudyInstanceUID="", PatientID="B*"), root=STUDY)
    uids = [item.StudyInstanceUID for item in found]
    assert len(uids) == len(set(uids)) == 7


def test_a_search_without_end_is_ended(north: Facility) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    with (
        pytest.raises(TooBroadError, match="Narrow it"),
        timelimit.limited(0.1),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"{endless} WHERE i < 0")
    assert studies(north)


def test_a_search_that_matches_nothing_for_long_is_ended(
    north: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = itertools.count()
    monkeypatch.setattr("archive.timelimit.monotonic", lambda: 0.5 * next(moments))
    with pytest.raises(TooBroadError):
        studies(north, PhysiciansOfRecord="nobody")


def test_many_patients_come_each_once(north: Facility, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_query, "_CHUNK", 2)
    monkeypatch.setattr(dicom_query, "_MOST_REMEMBERED", 3)
    for number in range(5):
        # Some without an ID: they are several, with the same one.
        keep(north, PatientID=f"C{number}" if number % 2 else "", PatientName=f"N^{number}")
    found = [str(item.PatientName) for item in ask(north, PATIENT, keys(PatientName=""))]
    assert len(found) == len(set(found)) == 7


COUNTS = dict.fromkeys(
    (
        "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
    ),
    "",
)  # fmt: skip


@pytest.mark.parametrize(
    ("level", "asked"),
    [
        (STUDY, keys(StudyInstanceUID=ONE, PatientName="", StudyDate="", Occupation="")),
        (STUDY, keys(PatientName="mu*", ModalitiesInStudy="CT", StudyDate="20260101-")),
        (STUDY, keys(IssuerOfPatientID="NORTH", PatientID="A*1", StudyTime="")),
        (STUDY, keys(StudyInstanceUID=ONE, SOPClassesInStudy="", **COUNTS)),
        (PATIENT, keys(PatientID="A*1", PatientName="", PatientComments="", **COUNTS)),
        (PATIENT, keys(PatientName="*ller*", PatientBirthDate="", IssuerOfPatientID="")),
        (PATIENT, keys(PatientBirthDate="19000101-", PatientSex="", EthnicGroup="")),
        (SERIES, keys(StudyInstanceUID=ONE, SeriesInstanceUID="", Modality="C*", **COUNTS)),
        (IMAGE, keys(StudyInstanceUID=ONE, SeriesInstanceUID=SERIES_CT, InstanceNumber="")),
    ],
    ids=[
        "uid",
        "name",
        "issuer",
        "counts",
        "patient",
        "patient-name",
        "patient-birth",
        "series",
        "image",
    ],
)
def test_plain_keys_take_the_short_way(north: Facility, level: str, asked: Dataset) -> None:
    ask(north, level, asked, root=STUDY)
    raw = encoded(asked, IMPLICIT_LITTLE_ENDIAN, [])
    plain = plainkeys.read(raw, IMPLICIT_LITTLE_ENDIAN)
    assert plain is not None
    scope = Scope(frozenset({north.pk}))
    with CaptureQueriesContext(connection) as captured:
        found = search_plainly(scope, DicomQuery(level=level, identifier=plain, root=STUDY))
    assert found is not None
    assert found.rows
    # Nor does Django make a statement of it.
    assert not captured.captured_queries


@pytest.mark.parametrize(
    ("asked", "indexes"),
    [
        (keys(AccessionNumber="ACC-1"), ["study_accession"]),
        (keys(PatientID="B2"), ["study_patient_identifier"]),
        # The facility's UIDs are unique: of few rows, PostgreSQL may as well look there.
        (keys(StudyInstanceUID=ONE), ["study_uid", "study_identity"]),
    ],
    ids=["accession", "patient", "uid"],
)
def test_a_key_that_names_few_is_looked_up_by_its_own_index(
    north: Facility, monkeypatch: pytest.MonkeyPatch, asked: Dataset, indexes: list[str]
) -> None:
    made: list[tuple[str, list[Any]]] = []
    execute = database.execute

    def heard(reader: Any, statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        made.append((statement, parameters))
        return execute(reader, statement, parameters)

    monkeypatch.setattr(database, "execute", heard)
    asked.PatientName = ""
    plain = plainkeys.read(encoded(asked, IMPLICIT_LITTLE_ENDIAN, []), IMPLICIT_LITTLE_ENDIAN)
    assert plain is not None
    query = DicomQuery(level=STUDY, identifier=plain, root=STUDY)
    assert search_plainly(Scope(frozenset({north.pk})), query)
    ((statement, parameters),) = made
    with database.reading() as reader:
        if connection.vendor == "postgresql":
            # Of so few rows it would rather read all.
            execute(reader, "SET LOCAL enable_seqscan = off", [])
            lines = execute(reader, f"EXPLAIN {statement}", parameters)
        else:
            lines = execute(reader, f"EXPLAIN QUERY PLAN {statement}", parameters)
    plan = " ".join(str(line) for line in lines)
    assert any(index in plan for index in indexes)
    assert "of_facility" not in plan
