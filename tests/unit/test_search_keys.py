"""Keys of QIDO-RS made without pydicom: the same as pydicom's, or left to it."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from starlette.exceptions import HTTPException

from fastapi_app.services.dicomweb import search
from fastapi_app.services.dicomweb.asking import Asked
from imaging import matching
from imaging.attributes import IMAGE, SERIES, STUDY


def keys_of(level: str, *pairs: tuple[str, str], study: str = "", series: str = "") -> search._Keys:
    asked = Asked("http://archive/dicom-web", [], pairs, {})
    return search._read(asked, level, study=study, series=series)


def by_pydicom(data_set: Dataset) -> list[tuple[int, str, str, tuple[str, ...]]]:
    return [(int(e.tag), e.keyword, e.VR, tuple(filter(None, matching.texts(e)))) for e in data_set]


@pytest.mark.parametrize(
    "pairs",
    [
        [("AccessionNumber", "A1")],
        [("00080050", " A1 "), ("PatientID", "P\\Q")],
        [("PatientName", "Müller^J*")],
        [("PatientName", "山田*"), ("StudyDate", "20260101-20260131")],
        [("StudyInstanceUID", "1.2,1.3"), ("StudyInstanceUID", "1.4")],
        [("ModalitiesInStudy", "CT\\MR"), ("StudyTime", "10-")],
        [("StudyDescription", "*"), ("PatientSex", "")],
        [("includefield", "PatientAge,00081030"), ("StudyID", "7 ")],
        [("NumberOfStudyRelatedSeries", "")],
        [("PhysiciansOfRecord", "Cuddy\\House"), ("PatientComments", " left\\right ")],
        [],
    ],
    ids=lambda pairs: " ".join(name for name, _ in pairs) or "nothing",
)
def test_plain_keys_are_those_of_a_data_set(pairs: list[tuple[str, str]]) -> None:
    for level, study, series in ((STUDY, "", ""), (IMAGE, "", ""), (IMAGE, "1.2", "1.3")):
        keys = keys_of(level, *pairs, study=study, series=series)
        plain = keys.plain()
        if level == IMAGE and not series:
            # A series is returned with its sequence of requests.
            assert plain is None
            continue
        assert plain is not None
        assert list(map(tuple, plain)) == by_pydicom(keys.data_set())


@pytest.mark.parametrize(
    "pairs",
    [
        [("NumberOfStudyRelatedSeries", "3")],
        [("PatientName", "A=B")],
        [("PatientName", "A^B^")],
        [("includefield", "all")],
        [("RequestAttributesSequence.ScheduledProcedureStepID", "S1")],
    ],
    ids=["number", "groups", "empty component", "all", "sequence"],
)
def test_what_is_not_plain_is_left_to_pydicom(pairs: list[tuple[str, str]]) -> None:
    keys = keys_of(SERIES if "Request" in pairs[0][0] else STUDY, *pairs)
    assert keys.plain() is None
    assert len(keys.data_set())


def test_a_uid_that_is_none_is_refused_either_way() -> None:
    for make in ("plain", "data_set"):
        keys = keys_of(STUDY, ("StudyInstanceUID", "1.02"))
        with pytest.raises(HTTPException, match="no lawful UID"):
            getattr(keys, make)()
