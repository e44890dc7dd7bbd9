"""Identifiers in the character sets of the world, and what is no identifier."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_charset_files
from pydicom.dataset import Dataset

from imaging import identifier, matching, plainkeys
from imaging.errors import InvalidQueryError

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"

FILES = sorted(path for path in get_charset_files("chr*.dcm") if "SQ" not in path)

# Names of PS3.5 annexes H to K, and of the other terms of PS3.3 C.12.1.1.2.
NAMES = {
    ("ISO_IR 100",): "Buc^Jérôme",
    ("ISO_IR 101",): "Wałęsa^Świętosław",
    ("ISO_IR 109",): "Ĝan^Ŭaĉo",
    ("ISO_IR 110",): "Bērziņš^Ēriks",
    ("ISO_IR 126",): "Διονυσιος",
    ("ISO_IR 127",): "قباني^لنزار",
    ("ISO_IR 138",): "שרון^דבורה",
    ("ISO_IR 144",): "Люкceмбypг",
    ("ISO_IR 148",): "Çavuşoğlu^Işıl",
    ("ISO_IR 166",): "สมชาย^ใจดี",
    ("ISO_IR 13", "ISO 2022 IR 87"): "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ("", "ISO 2022 IR 87"): "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ("", "ISO 2022 IR 149"): "Hong^Gildong=洪^吉洞=홍^길동",
    ("", "ISO 2022 IR 58"): "Zhang^XiaoDong=张^小东=",
    ("ISO_IR 192",): "Wang^XiaoDong=王^小東=",
    ("GB18030",): "Wang^XiaoDong=王^小东=",
    ("GBK",): "Wang^XiaoDong=王^小东=",
}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize(("terms", "name"), NAMES.items(), ids=["+".join(t) for t in NAMES])
def test_names_go_out_and_come_back_in_the_callers_character_set(
    terms: tuple[str, ...], name: str, syntax: str
) -> None:
    answer = Dataset()
    answer.PatientName = name
    answer.PatientID = "P1"
    raw = identifier.write(answer, syntax, terms)
    found = identifier.read(raw, syntax)
    assert str(found.PatientName).rstrip("=") == name.rstrip("=")
    assert tuple(identifier.character_sets(found)) == terms


@pytest.mark.parametrize(
    "terms", [(), ("ISO_IR 6",), ("ISO_IR 100",), ("ISO_IR 13",), ("nonsense",)]
)
def test_what_the_callers_set_lacks_comes_in_utf_8(terms: tuple[str, ...]) -> None:
    answer = Dataset()
    answer.PatientName = "Люкceмбypг=山田"
    found = identifier.read(identifier.write(answer, EXPLICIT, terms), EXPLICIT)
    assert found.SpecificCharacterSet == "ISO_IR 192"
    assert str(found.PatientName) == "Люкceмбypг=山田"


def test_plain_letters_need_no_character_set() -> None:
    answer = Dataset()
    answer.PatientName = "Doe^Jane"
    raw = identifier.write(answer, IMPLICIT)
    assert raw == struct.pack("<HHI", 0x0010, 0x0010, 8) + b"Doe^Jane"


@pytest.mark.parametrize("path", FILES, ids=[Path(path).stem for path in FILES])
def test_names_of_pydicoms_files_are_read_as_pydicom_reads_them(path: str) -> None:
    whole = dcmread(path)
    whole.decode()
    answer = Dataset()
    answer.PatientName = str(whole.PatientName)
    terms = whole.SpecificCharacterSet
    terms = [terms] if isinstance(terms, str) else list(terms)
    found = identifier.read(identifier.write(answer, EXPLICIT, terms), EXPLICIT)
    assert str(found.PatientName) == str(whole.PatientName)


def nested(depth: int) -> bytes:
    return (
        struct.pack("<HHI", 0x0040, 0x0100, 0xFFFFFFFF)
        + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ) * depth


@pytest.mark.parametrize(
    "raw",
    [
        b"\x10\x00",
        struct.pack("<HHI", 0x0010, 0x0010, 100) + b"Doe",
        nested(9) + bytes(8),
        nested(50_000),
        struct.pack("<HHI", 0x0020, 0x0011, 0) * 10_001,
    ],
    ids=["cut", "length lie", "deep", "very deep", "many"],
)
def test_what_is_no_identifier_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidQueryError):
        identifier.read(raw, IMPLICIT)


def test_a_number_that_is_none_is_refused_by_name() -> None:
    raw = struct.pack("<HHI", 0x0020, 0x0013, 4) + b"abcd"
    with pytest.raises(InvalidQueryError, match="InstanceNumber"):
        matching.check(identifier.read(raw, IMPLICIT))


def test_keys_are_read_as_they_are_meant() -> None:
    asked = Dataset()
    asked.StudyDate = "20260101-20260201"
    asked.PatientName = "*"
    asked.ModalitiesInStudy = ["CT", "MR"]
    raw = identifier.write(asked, EXPLICIT)
    found = identifier.read(raw, EXPLICIT)
    assert found.StudyDate == "20260101-20260201"
    assert list(found.ModalitiesInStudy) == ["CT", "MR"]


@pytest.mark.parametrize("terms", [(), ("ISO_IR 100",), ("", "ISO 2022 IR 87")])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_plain_answers_are_the_same_bytes(syntax: str, terms: tuple[str, ...]) -> None:
    answer = Dataset()
    answer.PatientName = "Doe^Jane"
    answer.PatientID = "P12"
    answer.StudyInstanceUID = "1.2.3"
    answer.ModalitiesInStudy = ["CT", "SR"]
    answer.SeriesNumber = "7"
    answer.Rows = 512
    answer.StudyDate = "20260102"
    answer.StudyDescription = ""
    elements = [(int(element.tag), str(element.VR)) for element in answer]
    values = {
        0x00100010: "Doe^Jane",
        0x00100020: "P12",
        0x0020000D: "1.2.3",
        0x00080061: "CT\\SR",
        0x00200011: "7",
        0x00280010: "512",
        0x00080020: "20260102",
    }
    writer = identifier.PlainWriter(elements, syntax, terms)
    assert writer.write(values) == identifier.write(answer, syntax, terms)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize(("terms", "name"), NAMES.items(), ids=["+".join(t) for t in NAMES])
def test_plain_names_are_the_same_bytes(terms: tuple[str, ...], name: str, syntax: str) -> None:
    is_one_repertoire = "+".join(terms) in plainkeys.CODECS
    for asked in ((), ("ISO_IR 6",), ("ISO_IR 100",), terms):
        answer = Dataset()
        answer.PatientName = name
        answer.StudyDescription = name.replace("^", " ")
        answer.PatientID = "P1"
        elements = [(int(element.tag), str(element.VR)) for element in answer]
        writer = identifier.PlainWriter(elements, syntax, asked)
        written = writer.write_row([name.replace("^", " "), name, "P1"])
        if written is None:
            assert asked == terms
            assert not is_one_repertoire
            continue
        assert written == identifier.write(answer, syntax, asked)


@pytest.mark.parametrize("name", ["A^B=", "A==", "A==C", "=", "==C=", "A^^^", "^", "A=B="])
def test_component_groups_are_the_same_bytes(name: str) -> None:
    answer = Dataset()
    answer.PatientName = name
    writer = identifier.PlainWriter([(0x00100010, "PN")], EXPLICIT)
    assert writer.write_row([name]) == identifier.write(answer, EXPLICIT)


def test_letters_where_no_set_has_a_say_are_not_plain() -> None:
    assert identifier.PlainWriter([(0x00080060, "CS")], EXPLICIT).write_row(["ÇT"]) is None


def test_sequences_are_not_plain() -> None:
    with pytest.raises(ValueError, match="SQ"):
        identifier.PlainWriter([(0x00400275, "SQ")], EXPLICIT)
