"""Plain keys: what they say is what pydicom reads; what is odd is left to it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging import identifier, matching, plainkeys

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


def keys(**keywords: Any) -> Dataset:
    found = Dataset()
    for keyword, value in keywords.items():
        setattr(found, keyword, value)
    return found


PLAIN = {
    "nothing": (keys(), []),
    "universal": (keys(PatientName="", StudyDate="", StudyInstanceUID="", SeriesNumber=""), []),
    "text": (keys(QueryRetrieveLevel="STUDY", PatientID="A*1", AccessionNumber="odd"), []),
    "uids": (keys(StudyInstanceUID=["1.2.3", "1.2.4"], SOPClassUID="1.2"), []),
    "ranges": (keys(StudyDate="20260101-", StudyTime="10-1130", AcquisitionDateTime="2026-"), []),
    "several": (keys(ModalitiesInStudy=["CT", "", "MR"], OtherPatientIDs=["a", "b"]), []),
    "padded": (keys(PatientID="  12 ", StudyDescription=" x ", AdditionalPatientHistory=" y "), []),
    "one text": (keys(AdditionalPatientHistory="a\\b"), []),
    "latin": (keys(PatientName="Buc^Jérôme", PatientID="ö"), ["ISO_IR 100"]),
    "cyrillic": (keys(PatientName="Люкceмбypг"), ["ISO_IR 144"]),
    "utf-8": (keys(PatientName="Wang^XiaoDong", StudyDescription="王小東"), ["ISO_IR 192"]),
    "retired": (keys(StudyStatusID="x", StudyComments="y"), []),
}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize(("asked", "terms"), PLAIN.values(), ids=PLAIN)
def test_plain_keys_are_read_as_pydicom_reads_them(
    asked: Dataset, terms: list[str], syntax: str
) -> None:
    raw = identifier.write(asked, syntax, terms)
    found = plainkeys.read(raw, syntax)
    assert found is not None
    expected = identifier.read(raw, syntax)
    assert [(key.tag, key.keyword, key.VR) for key in found] == [
        (element.tag, element.keyword, element.VR) for element in expected
    ]
    for key, element in zip(found, expected, strict=True):
        texts = matching.texts(element)
        assert list(key.value) == (texts if any(texts) else [])
        assert matching.texts(key) == list(key.value)
        assert found.get(key.tag) == key
    assert [key.tag for key in found.valued] == [e.tag for e in expected if any(matching.texts(e))]
    assert identifier.character_sets(found) == identifier.character_sets(expected)


ODD = {
    "sequence": (keys(RequestAttributesSequence=Sequence([keys(StudyID="1")])), []),
    "empty sequence": (keys(RequestAttributesSequence=Sequence()), []),
    "number": (keys(SeriesNumber=2), []),
    "unsigned": (keys(Rows=2), []),
    "groups of a name": (keys(PatientName="A^B=山田"), ["ISO_IR 192"]),
    "code extensions": (keys(PatientName="山田"), ["", "ISO 2022 IR 87"]),
    "multi-byte": (keys(PatientName="王^小东"), ["GB18030"]),
    "long text": (keys(TextValue="x"), []),
}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize(("asked", "terms"), ODD.values(), ids=ODD)
def test_what_is_odd_is_left_alone(asked: Dataset, terms: list[str], syntax: str) -> None:
    raw = identifier.write(asked, syntax, terms)
    assert plainkeys.read(raw, syntax) is None


def element(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


@pytest.mark.parametrize(
    "raw",
    [
        element(0x00100020, b"1 ")[:-1],
        element(0x00100020, b"1 ") + b"\x10\x00",
        element(0x00100020, b"1 ") * 2,
        element(0x00100020, b"1 ") + element(0x00080050, b"2 "),
        element(0x00090010, b"PRIVATE "),
        element(0x00100010, b"B\xf6k "),
        element(0x00080005, b"nonsense") + element(0x00100020, b"1 "),
        element(0x00080060, b"\xc7T"),
        element(0x00100020, b"x" * 70_000),
        struct.pack("<HHI", 0x0008, 0x1110, 0xFFFFFFFF),
    ],
    ids=[
        "cut value", "cut head", "twice", "out of order", "private", "no character set",
        "unknown set", "letters in a code", "too long", "undefined length",
    ],
)  # fmt: skip
def test_what_is_wrong_is_left_alone(raw: bytes) -> None:
    assert plainkeys.read(raw, IMPLICIT) is None


def test_another_vr_than_the_dictionarys_is_left_alone() -> None:
    assert plainkeys.read(b"\x10\x00\x20\x00LO\x02\x001 ", EXPLICIT) is not None
    for written in (b"SH", b"UN", b"??"):
        assert plainkeys.read(b"\x10\x00\x20\x00" + written + b"\x02\x001 ", EXPLICIT) is None


def test_group_lengths_say_nothing() -> None:
    found = plainkeys.read(element(0x00080000, bytes(4)) + element(0x00080050, b"A "), IMPLICIT)
    assert found is not None
    assert [key.keyword for key in found] == ["AccessionNumber"]


def test_big_endian_is_left_alone() -> None:
    assert plainkeys.read(b"", BIG) is None
