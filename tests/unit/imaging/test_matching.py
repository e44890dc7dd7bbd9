"""Attribute matching by PS3.4 C.2.2.2: which items a key finds, what is answered, what is refused.

Not here: how a database narrows the search.
"""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging import matching
from imaging.errors import InvalidQueryError
from imaging.matching import Options


def data_set(**keywords: object) -> Dataset:
    found = Dataset()
    for keyword, value in keywords.items():
        setattr(found, keyword, value)
    return found


def item() -> Dataset:
    step = data_set(
        Modality="CT",
        ScheduledStationAETitle=["CT1", "CT2"],
        ScheduledProcedureStepStartDate="20260315",
        ScheduledProcedureStepStartTime="093000",
    )
    return data_set(
        PatientName="Müller^Änne=山田^花子=やまだ^はなこ",
        PatientID="A*1",
        StudyDate="20260215",
        StudyTime="1015",
        AccessionNumber="ACC-1",
        StudyInstanceUID="1.2.3",
        StudyDescription="CT Head [plain] a.c",
        ModalitiesInStudy=["CT", "SR"],
        SeriesNumber="7",
        ContentDate="",
        AcquisitionDateTime="20260215101530.5",
        ScheduledProcedureStepSequence=Sequence([step, data_set(Modality="MR")]),
    )


@pytest.mark.parametrize(
    ("keyword", "key", "found"),
    [
        ("PatientID", "", True),
        ("PatientID", "A*1", True),
        ("PatientID", "a*1", False),
        ("StudyInstanceUID", "1.2.3", True),
        ("StudyInstanceUID", ["1.2.9", "1.2.3"], True),
        ("StudyInstanceUID", "1.2.*", False),
        ("StudyDescription", "CT*", True),
        ("StudyDescription", "ct*", False),
        ("StudyDescription", "*[plain]*", True),
        ("StudyDescription", "*[pl]*", False),
        ("StudyDescription", "*a?c", True),
        ("StudyDescription", "*abc", False),
        ("StudyDescription", "*a.c", True),
        ("StudyDescription", "*" * 500 + "a.c", True),
        ("AccessionNumber", "ACC-?", True),
        ("AccessionNumber", "ACC-??", False),
        ("ModalitiesInStudy", "SR", True),
        ("ModalitiesInStudy", ["MR", "SR"], True),
        ("ModalitiesInStudy", "MR", False),
        ("StudyDate", "20260215", True),
        ("StudyDate", "20260216", False),
        ("StudyDate", "20260201-20260215", True),
        ("StudyDate", "20260216-", False),
        ("StudyDate", "-20260215", True),
        ("StudyDate", "-20260214", False),
        ("StudyDate", "2026.02.15", True),
        ("StudyTime", "1015", True),
        ("StudyTime", "10", True),
        ("StudyTime", "101530-101545", True),
        ("StudyTime", "1016-", False),
        ("StudyTime", "0900-1014", False),
        ("ContentDate", "20260101-", False),
        ("AcquisitionDateTime", "20260215", True),
        ("AcquisitionDateTime", "2026", True),
        ("AcquisitionDateTime", "202602151015-202602151016", True),
        ("AcquisitionDateTime", "20260215101531-", False),
        ("AcquisitionDateTime", "20260215101530.4-20260215101530.6", True),
        ("AcquisitionDateTime", "-20260215101529.999999", False),
        ("AcquisitionDateTime", "20260101000000-0500-20260301000000+0100", True),
        ("SeriesNumber", "7", True),
        ("SeriesNumber", "07", True),
        ("SeriesNumber", "8", False),
        ("PatientComments", "", True),
        ("PatientComments", "x", False),
        ("PatientComments", "*", True),
        ("ContentDate", "", True),
    ],
)
def test_a_key_finds_what_the_standard_says(keyword: str, key: object, found: bool) -> None:
    assert matching.matches(item(), data_set(**{keyword: key})) is found


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("MULLER^ANNE", True),
        ("müller^änne", True),
        ("Müller^Änne^^", True),
        ("MULLER", False),
        ("MULLER*", True),
        ("M?ller^*", True),
        ("山田^花子", True),
        ("山田*", True),
        ("=山田*", True),
        ("*=山田*=やまだ^はなこ", True),
        ("Mu*=鈴木*", False),
        ("==やまだ^はなこ", True),
        ("=Muller*", False),
        ("*^Anne", True),
        ("*.*", False),
    ],
)
def test_person_names_match_by_group_without_case_and_accents(key: str, found: bool) -> None:
    assert matching.matches(item(), data_set(PatientName=key)) is found


@pytest.mark.parametrize(
    ("key", "found"),
    [("ann mul", True), ("anne", True), ("MULL^A", True), ("nne", False), ("muller bob", False)],
)
def test_fuzzy_names_match_words_in_any_order(key: str, found: bool) -> None:
    asked = data_set(PatientName=key)
    assert matching.matches(item(), asked, Options(is_fuzzy=True)) is found
    assert matching.matches(item(), asked) is False


@pytest.mark.parametrize(
    ("date", "time", "apart", "combined"),
    [
        ("20260214-20260216", "1200-0800", False, True),
        ("20260215-20260216", "1200-0800", False, False),
        ("20260215", "1000-1100", True, True),
        ("20260214-", "1100-", False, True),
        ("-20260216", "-0800", False, True),
    ],
)
def test_date_and_time_join_where_that_was_agreed(
    date: str, time: str, apart: bool, combined: bool
) -> None:
    asked = data_set(StudyDate=date, StudyTime=time)
    assert matching.matches(item(), asked) is apart
    assert matching.matches(item(), asked, Options(is_combined=True)) is combined


def sequence(*items: Dataset) -> Dataset:
    return data_set(ScheduledProcedureStepSequence=Sequence(items))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (sequence(), True),
        (sequence(data_set()), True),
        (sequence(data_set(Modality="")), True),
        (sequence(data_set(Modality="MR")), True),
        (sequence(data_set(Modality="US")), False),
        (sequence(data_set(Modality="CT", ScheduledStationAETitle="CT2")), True),
        # Both keys must hold in one and the same item.
        (sequence(data_set(Modality="MR", ScheduledStationAETitle="CT2")), False),
    ],
)
def test_sequences_match_when_one_item_does(asked: Dataset, found: bool) -> None:
    assert matching.matches(item(), asked) is found


def test_the_answer_holds_the_keys_asked_for_and_no_others() -> None:
    asked = data_set(
        SpecificCharacterSet="ISO_IR 100",
        QueryRetrieveLevel="STUDY",
        PatientName="*",
        PatientBirthDate="",
        StudyDate="20260101-",
        ScheduledProcedureStepSequence=Sequence(
            [data_set(Modality="", ScheduledProcedureStepID="")]
        ),
    )
    answer = matching.response(item(), asked)
    assert [element.keyword for element in answer] == [
        "StudyDate", "PatientName", "PatientBirthDate", "ScheduledProcedureStepSequence",
    ]  # fmt: skip
    assert answer.StudyDate == "20260215"
    assert not answer.PatientBirthDate
    first, second = answer.ScheduledProcedureStepSequence
    assert (first.Modality, second.Modality) == ("CT", "MR")
    assert [element.keyword for element in first] == ["Modality", "ScheduledProcedureStepID"]
    whole = matching.response(item(), sequence())
    assert whole.ScheduledProcedureStepSequence[0].ScheduledStationAETitle == ["CT1", "CT2"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (data_set(StudyDate="2026-02-15"), "StudyDate"),
        (data_set(StudyDate="yesterday"), "StudyDate"),
        (data_set(StudyTime="9:00"), "StudyTime"),
        (data_set(AcquisitionDateTime="202602-31-12"), "AcquisitionDateTime"),
        (data_set(PatientID="x" * 2000), "PatientID"),
        (sequence(data_set(Modality="CT"), data_set(Modality="MR")), "one"),
        (sequence(data_set(ScheduledProcedureStepStartDate="x")), "StartDate"),
    ],
)
def test_keys_that_cannot_be_read_are_refused_by_name(asked: Dataset, words: str) -> None:
    with pytest.raises(InvalidQueryError, match=words) as caught:
        matching.check(asked)
    assert caught.value.tag


def test_many_wildcards_cost_no_time() -> None:
    long = item()
    long.StudyDescription = "a" * 64
    assert not matching.matches(long, data_set(StudyDescription="*a" * 12 + "b"))
