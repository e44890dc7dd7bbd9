"""The DICOM JSON Model and the Native DICOM Model, against pydicom and against the standard."""

from __future__ import annotations

import csv
import io
import json
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging import dicomjson, dicomxml
from imaging.errors import NotDicomError
from tests.dicom import make_instance, to_bytes

Json = dict[str, Any]


def uri(path: dicomjson.Path) -> str:
    return f"https://pacs/{dicomjson.path_text(path)}"


def described(dataset: Dataset, **options: Any) -> Json:
    return dicomjson.of_data_set(dicomjson.read(io.BytesIO(to_bytes(dataset))), uri, **options)


def with_elements(*elements: DataElement) -> Dataset:
    dataset = make_instance()
    for element in elements:
        dataset.add(element)
    return dataset


# Against pydicom -----------------------------------------------------------------------------


def plain(model: Json) -> Json:
    """A model without what differs for good reasons."""
    found = {}
    for tag, attribute in model.items():
        if tag in ("00080005", "7FE00010", "7FE00008", "7FE00009") or tag > "7FE00010":
            continue
        values = attribute.get("Value")
        if tag[4:] == "0000":
            continue
        kept = {key: value for key, value in attribute.items() if key != "BulkDataURI"}
        # pydicom leaves some open: either is right.
        kept["vr"] = vr = attribute["vr"].split(" or ")[0]
        if vr == "SQ":
            kept["Value"] = [plain(item) for item in values or []]
        elif values is not None:
            kept["Value"] = [normal(vr, value) for value in values]
            if not any(kept["Value"]) and not any(value == 0 for value in kept["Value"]):
                kept.pop("Value")
        found[tag] = kept
    return found


def normal(vr: str, value: Any) -> Any:
    if value in (None, ""):
        # PS3.18 F.2.5 has null for what is empty, pydicom mostly an empty text.
        return None
    if vr == "PN":
        return {key: text.strip() for key, text in (value or {}).items() if text and text.strip()}
    if vr in ("DS", "IS", "FL", "FD", "SV", "UV") and value is not None:
        try:
            return float(value)
        except ValueError:
            return str(value).strip()
    if isinstance(value, str):
        return value.rstrip(" \0") if vr in ("LT", "ST", "UT") else value.strip(" \0")
    return value


def is_bulk(model: Json) -> list[str]:
    found = []
    for tag, attribute in model.items():
        if "BulkDataURI" in attribute:
            found.append(tag)
        for item in attribute.get("Value", []) if attribute["vr"] == "SQ" else []:
            found += is_bulk(item)
    return found


def real_files(data: Path) -> list[Path]:
    with (data / "manifest.csv").open(newline="") as file:
        return [data / row["path"] for row in csv.DictReader(file)]


@pytest.mark.slow
def test_every_real_file_is_described_as_pydicom_describes_it(data: Path) -> None:
    compared, differing = 0, []
    for path in real_files(data):
        with path.open("rb") as file:
            try:
                dataset = dicomjson.read(file)
                mine = dicomjson.of_data_set(dataset, uri, bulk_bytes=1 << 40)
            except NotDicomError:
                assert path.parent.name == "malformed"
                continue
        json.dumps(mine)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = pydicom.dcmread(path, force=True, stop_before_pixels=True)
            try:
                theirs = whole.to_json_dict()
            except ValueError:
                # pydicom gives up on a number that is none; it is text here.
                assert path.name == "badVR.dcm"
                continue
        expected = plain(theirs)
        for tag in is_bulk(mine):
            expected.pop(tag, None)
        found = {tag: value for tag, value in plain(mine).items() if tag not in is_bulk(mine)}
        compared += 1
        differing += [
            (path.name, tag, found.get(tag), expected.get(tag))
            for tag in sorted(found.keys() | expected.keys())
            if found.get(tag) != expected.get(tag)
        ]
    assert differing == []
    assert compared > 400


# Against the standard ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (DataElement("PatientID", "LO", "A\\B"), {"vr": "LO", "Value": ["A", "B"]}),
        (DataElement("ImageType", "CS", ["A", "", "B"]), {"vr": "CS", "Value": ["A", None, "B"]}),
        (DataElement("PatientID", "LO", ""), {"vr": "LO"}),
        (DataElement("PatientWeight", "DS", "72.50"), {"vr": "DS", "Value": [72.5]}),
        (DataElement("InstanceNumber", "IS", "+7"), {"vr": "IS", "Value": [7]}),
        (
            DataElement("PatientName", "PN", "Wang^XiaoDong=王^小东"),
            {"vr": "PN", "Value": [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}]},
        ),
        (
            DataElement("PatientName", "PN", "=山田^太郎"),
            {"vr": "PN", "Value": [{"Ideographic": "山田^太郎"}]},
        ),
        (
            DataElement("FrameIncrementPointer", "AT", 0x00181063),
            {"vr": "AT", "Value": ["00181063"]},
        ),
        (
            DataElement("RecommendedDisplayFrameRateInFloat", "FL", 1.5),
            {"vr": "FL", "Value": [1.5]},
        ),
        (
            DataElement("DopplerCorrectionAngle", "FD", float("nan")),
            {"vr": "FD", "Value": ["nan"]},
        ),
        (DataElement("TextValue", "UT", "a\\b  "), {"vr": "UT", "Value": ["a\\b"]}),
        (
            DataElement("SelectorSVValue", "SV", [1, -(2**62)]),
            {"vr": "SV", "Value": [1, str(-(2**62))]},
        ),
        (DataElement(0x00091001, "OB", b"\1\2"), {"vr": "OB", "InlineBinary": "AQI="}),
        (DataElement("ReferencedStudySequence", "SQ", Sequence([])), {"vr": "SQ"}),
        (
            DataElement("ReferencedStudySequence", "SQ", Sequence([Dataset(), Dataset()])),
            {"vr": "SQ", "Value": [{}, {}]},
        ),
    ],
    ids=lambda value: str(value.tag) if isinstance(value, DataElement) else "",
)
def test_values_have_the_type_of_table_f_2_3_1(element: DataElement, expected: Json) -> None:
    dataset = make_instance()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.add(element)
    assert described(dataset)[f"{int(element.tag):08X}"] == expected


def test_numbers_keep_all_digits() -> None:
    dataset = with_elements(DataElement("PatientWeight", "DS", "0.1"))
    raw = to_bytes(dataset)
    model = dicomjson.of_data_set(dicomjson.read(io.BytesIO(raw)), uri)
    assert json.loads(json.dumps(model))["00101030"]["Value"] == [0.1]
    # What no number is stays what it is.
    broken = raw.replace(b"\x10\x00\x30\x10DS\x04\x000.1 ", b"\x10\x00\x30\x10DS\x04\x00 x 1")
    assert broken != raw
    model = dicomjson.of_data_set(dicomjson.read(io.BytesIO(broken)), uri)
    assert model["00101030"] == {"vr": "DS", "Value": ["x 1"]}


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 192", "王^小东"),
        ("GB18030", "王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
    ids=["latin", "cyrillic", "utf8", "gb", "japanese", "korean"],
)
def test_every_repertoire_becomes_utf_8(charset: str | list[str], name: str) -> None:
    dataset = make_instance()
    dataset.SpecificCharacterSet = charset
    dataset.PatientName = name
    model = described(dataset)
    groups = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False))
    assert model["00100010"]["Value"] == [groups]
    assert model["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}


@pytest.mark.parametrize(
    ("raw", "name"),
    [("Müller".encode("latin-1"), "Müller"), ("Müller".encode(), "Müller"), (b"Miller", "Miller")],
    ids=["latin", "utf8", "ascii"],
)
def test_letters_that_nothing_declares_are_found_out(raw: bytes, name: str) -> None:
    dataset = make_instance(PatientName="Zzzzzz", PatientComments="Zzzzzz")
    mark = raw + b" " * (len(raw) % 2)
    content = to_bytes(dataset).replace(b"PN\x06\0Zzzzzz", b"PN" + bytes([len(mark), 0]) + mark)
    model = dicomjson.of_data_set(dicomjson.read(io.BytesIO(content)), uri)
    assert model["00100010"]["Value"] == [{"Alphabetic": name}]


def test_large_values_become_addresses_at_every_depth() -> None:
    item = Dataset()
    item.add(DataElement(0x54001010, "OW", bytes(4000)))
    item.ChannelLabel = "short"
    dataset = with_elements(
        DataElement("WaveformSequence", "SQ", Sequence([Dataset(), item])),
        DataElement("EncapsulatedDocument", "OB", bytes(200_000)),
        DataElement("TextValue", "UT", "x" * 100_000),
        DataElement("RedPaletteColorLookupTableData", "OW", bytes(512)),
    )
    model = described(dataset)
    assert model["00420011"] == {"vr": "OB", "BulkDataURI": "https://pacs/00420011"}
    assert model["0040A160"] == {"vr": "UT", "BulkDataURI": "https://pacs/0040A160"}
    inner = model["54000100"]["Value"][1]
    assert inner["54001010"] == {"vr": "OW", "BulkDataURI": "https://pacs/54000100/2/54001010"}
    assert inner["003A0203"]["Value"] == ["short"]
    assert "InlineBinary" in model["00281201"]


def test_tags_are_in_order_and_without_group_lengths_and_header() -> None:
    dataset = with_elements(DataElement(0x00080000, "UL", 10), DataElement(0x00090010, "LO", "X"))
    extra = {"00090011": {"vr": "LO"}}
    model = described(dataset, extra=extra)
    assert list(model) == sorted(model)
    assert "00080000" not in model
    assert not any(tag.startswith("0002") for tag in model)
    assert model["00090011"] == {"vr": "LO"}


def test_big_endian_words_are_turned_round() -> None:
    dataset = with_elements(DataElement("RedPaletteColorLookupTableData", "OW", b"\1\2\3\4"))
    dataset.PixelData = bytes(2)
    stored = io.BytesIO()
    pydicom.dcmwrite(stored, dataset, implicit_vr=False, little_endian=True)
    model = dicomjson.of_data_set(dicomjson.read(stored), uri)
    assert model["00281201"]["InlineBinary"] == "AQIDBA=="
    assert dicomjson._swapped("OW", b"\2\1\4\3") == b"\1\2\3\4"
    assert dicomjson._swapped("OD", bytes(range(8))) == bytes(reversed(range(8)))
    assert dicomjson._swapped("OB", b"\1\2") == b"\1\2"


def test_what_is_no_object_is_said() -> None:
    cut_off = b"\x08\x00\x60\x00SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0"
    with pytest.raises(NotDicomError, match="cannot be read"):
        dicomjson.of_data_set(dicomjson.read(io.BytesIO(bytes(128) + b"DICM" + cut_off)), uri)


# Answers of queries --------------------------------------------------------------------------


def test_answers_of_queries() -> None:
    record = {
        "StudyDate": "20260131",
        "PatientName": "Müller^Jörg=王",
        "ModalitiesInStudy": "CT\\SR",
        "NumberOfStudyRelatedInstances": "12",
        "AccessionNumber": "",
        "PatientWeight": "70.5",
        "RequestAttributesSequence": [{"RequestedProcedureID": "P1"}],
        "NoSuchKeyword": "x",
    }
    assert dicomjson.of_texts(record) == {
        "00080020": {"vr": "DA", "Value": ["20260131"]},
        "00080050": {"vr": "SH"},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg", "Ideographic": "王"}]},
        "00101030": {"vr": "DS", "Value": [70.5]},
        "00201208": {"vr": "IS", "Value": [12]},
        "00400275": {"vr": "SQ", "Value": [{"00401001": {"vr": "SH", "Value": ["P1"]}}]},
    }


# Paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["7FE00010", "54000100/1/54001010", "00880200/12/00082112/3/00081150"]
)
def test_paths_are_read_as_they_are_written(text: str) -> None:
    path = dicomjson.parse_path(text)
    assert path is not None
    assert dicomjson.path_text(path) == text


@pytest.mark.parametrize(
    "text",
    ["", "/", "7FE0001", "7FE00010/", "7FE00010/1", "7FE00010/x/7FE00010", "../etc", "7FE0001G",
     "/".join(["7FE00010", "1"] * 20 + ["7FE00010"]), "7FE00010/-1/7FE00010",
     "7FE00010/²/7FE00010"],
    ids=range(11),
)  # fmt: skip
def test_other_paths_name_nothing(text: str) -> None:
    assert dicomjson.parse_path(text) is None


# XML -----------------------------------------------------------------------------------------

NS = {"d": dicomxml.NAMESPACE}


def test_the_native_model_says_the_same() -> None:
    model = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
        "00090010": {"vr": "LO", "Value": ["ACME <1>"]},
        "00091001": {"vr": "OB", "InlineBinary": "AQI="},
        "00100010": {
            "vr": "PN",
            "Value": [{"Alphabetic": "Müller^Jörg^^Dr.", "Ideographic": "王^小东"}],
        },
        "00104000": {"vr": "LT", "Value": ["a < b & c\r\n\x0c ]]>"]},
        "00400275": {"vr": "SQ", "Value": [{"00401001": {"vr": "SH", "Value": ["P1"]}}]},
        "7FE00010": {"vr": "OW", "BulkDataURI": 'https://pacs/a?b="&c'},
    }
    root = ET.fromstring(dicomxml.of_model(model))  # noqa: S314
    assert root.tag == f"{{{dicomxml.NAMESPACE}}}NativeDicomModel"
    by_tag = {one.get("tag"): one for one in root}
    assert by_tag["00080005"].get("keyword") == "SpecificCharacterSet"
    values = by_tag["00080008"].findall("d:Value", NS)
    assert [(one.get("number"), one.text) for one in values] == [("1", "ORIGINAL"), ("3", "AXIAL")]
    private = by_tag["00090001"]
    assert private.get("privateCreator") == "ACME <1>"
    assert private.findtext("d:InlineBinary", namespaces=NS) == "AQI="
    person = by_tag["00100010"].find("d:PersonName", NS)
    assert person is not None
    assert person.findtext("d:Alphabetic/d:FamilyName", namespaces=NS) == "Müller"
    assert person.findtext("d:Alphabetic/d:NamePrefix", namespaces=NS) == "Dr."
    assert person.findtext("d:Ideographic/d:GivenName", namespaces=NS) == "小东"
    # What XML cannot hold is replaced, all else is there.
    assert by_tag["00104000"].findtext("d:Value", namespaces=NS) == "a < b & c\r\n\ufffd ]]>"
    inner = by_tag["00400275"].find("d:Item/d:DicomAttribute/d:Value", NS)
    assert inner is not None
    assert inner.text == "P1"
    bulk = by_tag["7FE00010"].find("d:BulkData", NS)
    assert bulk is not None
    assert bulk.get("uri") == 'https://pacs/a?b="&c'


@pytest.mark.slow
def test_every_real_file_becomes_well_formed_xml(data: Path) -> None:
    for path in real_files(data):
        with path.open("rb") as file:
            try:
                model = dicomjson.of_data_set(dicomjson.read(file), uri)
            except NotDicomError:
                continue
        ET.fromstring(dicomxml.of_model(model))  # noqa: S314
