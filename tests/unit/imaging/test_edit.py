"""Copies with other values: what changes, what is kept, what is refused."""

from __future__ import annotations

import hashlib
import io
import warnings
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from imaging import edit, header
from imaging.edit import EditError
from imaging.errors import ImagingError, NotDicomError
from tests.dicom import make_instance, to_bytes

AT = datetime(2026, 3, 4, 6, 6, 7, tzinfo=timezone(timedelta(hours=1)))
JOHN = {"PatientName": "DOE^JOHN", "PatientID": "TEST001"}


def new_uid(old: str) -> str:
    return f"2.25.{int(hashlib.sha256(old.encode()).hexdigest()[:30], 16)}"


def edited(content: bytes, values: dict[str, Any]) -> FileDataset:
    made = edit.edit(io.BytesIO(content), values, new_uid, AT)
    ds = dcmread(io.BytesIO(made.content))
    assert made.sop_instance_uid == ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
    assert made.study_instance_uid == ds.StudyInstanceUID
    return ds


def test_another_person_is_another_study_that_names_its_source() -> None:
    source = make_instance(np.arange(16, dtype=np.uint16).reshape(4, 4))
    made = edited(to_bytes(source), JOHN | {"AccessionNumber": "ACC-2026-00001"})
    assert (made.PatientName, made.PatientID, made.AccessionNumber) == (
        "DOE^JOHN", "TEST001", "ACC-2026-00001"
    )  # fmt: skip
    assert made.PixelData == source.PixelData
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert made[keyword].value == new_uid(source[keyword].value)
    (item,) = made.OriginalAttributesSequence
    (was,) = item.ModifiedAttributesSequence
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyInstanceUID",
                    "SeriesInstanceUID", "SOPInstanceUID"):  # fmt: skip
        assert was[keyword].value == source[keyword].value
    assert item.AttributeModificationDateTime == "20260304050607+0000"
    assert item.ReasonForTheAttributeModification == "CORRECT"
    assert AT.astimezone(UTC).hour == 5


def test_the_same_person_stays_in_the_study() -> None:
    source = make_instance()
    made = edited(to_bytes(source), {"StudyDescription": "Neck", "PatientID": source.PatientID})
    assert made.StudyInstanceUID == source.StudyInstanceUID
    assert made.SeriesInstanceUID == source.SeriesInstanceUID
    assert made.SOPInstanceUID == new_uid(source.SOPInstanceUID)


def test_references_move_with_the_study_and_earlier_sources_stay() -> None:
    source = make_instance()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.7"
    source.ReferencedImageSequence = Sequence([item])
    once = edited(to_bytes(source), JOHN)
    assert once.ReferencedImageSequence[0].ReferencedSOPInstanceUID == new_uid("1.2.7")
    assert once.ReferencedImageSequence[0].ReferencedSOPClassUID == item.ReferencedSOPClassUID
    twice = edited(to_bytes(once), {"PatientID": "TEST002"})
    first, second = twice.OriginalAttributesSequence
    assert first.ModifiedAttributesSequence[0].SOPInstanceUID == source.SOPInstanceUID
    assert second.ModifiedAttributesSequence[0].SOPInstanceUID == once.SOPInstanceUID


def test_null_takes_away_and_what_was_not_there_is_kept_as_empty() -> None:
    made = edited(to_bytes(make_instance()), {"StudyDescription": None, "BodyPartExamined": "HEAD"})
    assert "StudyDescription" not in made
    assert made.BodyPartExamined == "HEAD"
    was = made.OriginalAttributesSequence[0].ModifiedAttributesSequence[0]
    assert was.StudyDescription == "Head"
    assert was["BodyPartExamined"].is_empty


def test_names_keep_their_letters_whatever_the_file_is_written_in() -> None:
    source = make_instance(SpecificCharacterSet="ISO_IR 100", StudyDescription="Schädel")
    made = edited(to_bytes(source), {"PatientName": "山田^太郎"})
    assert (made.PatientName, made.StudyDescription) == ("山田^太郎", "Schädel")
    assert made.SpecificCharacterSet == "ISO_IR 192"


def test_values_of_every_kind() -> None:
    values = {
        "SeriesNumber": "7", "ImageType": ["DERIVED", "SECONDARY"], "SliceThickness": 2.5,
        "StudyDate": "20260131", "StudyInstanceUID": "1.2.3", "PatientComments": "two\r\nlines",
    }  # fmt: skip
    made = edited(to_bytes(make_instance()), values)
    assert (made.SeriesNumber, made.SliceThickness, made.StudyDate) == (7, 2.5, "20260131")
    assert list(made.ImageType) == ["DERIVED", "SECONDARY"]
    assert made.StudyInstanceUID == "1.2.3"
    assert made.PatientComments == "two\r\nlines"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "at least one"),
        ({"Colour": "red"}, "no attribute"),
        ({"SOPInstanceUID": "1.2.3"}, "SOPInstanceUID is not changed"),
        ({"Rows": 3}, "Rows is not changed"),
        ({"PixelData": "x"}, "PixelData is not changed"),
        ({"TransferSyntaxUID": "1.2"}, "TransferSyntaxUID is not changed"),
        ({"ReferencedImageSequence": []}, "is not changed"),
        ({"StudyInstanceUID": "1.02"}, "no lawful UID"),
        ({"StudyInstanceUID": None}, "never empty"),
        ({"PatientID": ["A", "B"]}, "one value"),
        ({"PatientID": "A\\B"}, "backslash"),
        ({"PatientID": "A\x00"}, "control"),
        ({"PatientID": "x" * 65}, "PatientID does not take"),
        ({"PatientID": True}, "takes text"),
        ({"PatientID": {"a": 1}}, "takes text"),
        ({"StudyDate": "yesterday"}, "StudyDate does not take"),
        ({"SeriesNumber": "x"}, "takes numbers"),
        ({"SeriesNumber": 2**40}, "SeriesNumber does not take"),
        ({"SliceThickness": "thick"}, "SliceThickness does not take"),
    ],
)
def test_what_cannot_be_set_is_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(EditError, match=words):
        edited(to_bytes(make_instance()), values)


@pytest.mark.parametrize("content", [b"", b"hello", bytes(200)])
def test_what_is_no_dicom_is_refused(content: bytes) -> None:
    with pytest.raises(NotDicomError):
        edited(content, JOHN)


@pytest.mark.parametrize("name", ["transfer_syntax", "charset", "sr"])
def test_real_files_keep_all_else(data: Path, name: str) -> None:
    """Every element but those that were changed says the same, in every encoding."""
    count = 0
    for path in sorted((data / name).rglob("*.dcm"))[:40]:
        content = path.read_bytes()
        try:
            header.read_index(io.BytesIO(content))
        except ImagingError:
            continue  # no archive takes it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = edited(content, {"PatientID": "TEST001", "AccessionNumber": "A9"})
            source = dcmread(io.BytesIO(content))
            assert made.file_meta.TransferSyntaxUID == source.file_meta.TransferSyntaxUID
            assert made.get("PixelData") == source.get("PixelData"), path.name
            assert str(made.get("PatientName")) == str(source.get("PatientName")), path.name
            assert {tag for tag in source.keys() - made.keys() if tag.element} == set()
            again = edit.edit(io.BytesIO(content), JOHN, new_uid, AT)
        assert header.read_index(io.BytesIO(again.content)).patient_id == "TEST001"
        count += 1
    assert count >= 3
