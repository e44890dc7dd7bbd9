"""Structured reports: what pydicom finds in the tree is what people read; hostile trees end."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from imaging.elements import HeaderLimits
from imaging.errors import ImagingError, LimitError, UnsupportedError
from imaging.report import Code, Item, read_report
from tests.dicom import make_instance, to_bytes

REAL = [
    "sr/dwv/sr-arrow.dcm", "sr/dwv/sr-ellipse.dcm", "sr/dwv/dwv_sr-rectangle.dcm",
    "sr/dwv/dwv_sr-ruler.dcm", "sr/sr_document.dcm", "sr/reportsi.dcm", "sr/test-SR.dcm",
    "sr/report_dfl", "sr/no-pixel-data.dcm", "malformed/reportsi_with_empty_number_tags.dcm",
    "study_ct_sr/1001/FUJI_Basic_Text_SR_for_HL7_Radiological_Report__00001.dcm",
]  # fmt: skip


def concept(meaning: str, value: str = "1", scheme: str = "99TEST") -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def content(value_type: str, name: str | None = None, **values: Any) -> Dataset:
    ds = Dataset()
    ds.RelationshipType = "CONTAINS"
    ds.ValueType = value_type
    if name:
        ds.ConceptNameCodeSequence = [concept(name)]
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def report(*items: Dataset, **values: Any) -> Dataset:
    ds = make_instance(
        PixelData=None,
        Rows=None,
        Columns=None,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33",
        Modality="SR",
    )
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = [concept("Radiology Report")]
    ds.ContentSequence = list(items)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def items_of(*items: Dataset, **values: Any) -> tuple[Item, ...]:
    return read_report(to_bytes(report(*items, **values))).items[1:]


def walked(node: Dataset, position: str = "1") -> list[tuple[str, str, str]]:
    """Position, type and name of every item, as pydicom and recursion find them."""
    name = node.get("ConceptNameCodeSequence")
    found = [(position, node.get("ValueType", ""), name[0].CodeMeaning if name else "")]
    for number, child in enumerate(node.get("ContentSequence", []), start=1):
        found += walked(child, f"{position}.{number}")
    return found


@pytest.mark.parametrize("name", REAL)
def test_every_item_of_a_real_report_is_there_in_order(data: Path, name: str) -> None:
    expected = walked(pydicom.dcmread(data / name))
    found = read_report(data / name)
    assert [
        (item.position, item.value_type, item.name.meaning if item.name else "")
        for item in found.items
    ] == expected
    assert [item.depth for item in found.items] == [place.count(".") for place, _, _ in expected]
    assert not found.is_cut


def test_a_report_of_another_maker(data: Path) -> None:
    """Words read with dcmtk's dsrdump."""
    found = read_report(data / "sr/test-SR.dcm")
    at = {item.position: item for item in found.items}
    assert found.title is not None
    assert found.title.meaning == "Diagnosis"
    assert found.is_verified is True
    assert at["1.3"].text == "Sample Text\nA\nB\nC"
    assert (at["1.2.2"].text, at["1.2.2"].unit) == ("3", "Length Unit")
    assert at["1.3.3.1"].text == "see item 1.3.2"
    assert [at[f"1.4.{n}"].text for n in (1, 2, 3)] == [
        "2000-12-06",
        "12:00:00",
        "2000-12-06 12:00:00",
    ]
    (image,) = at["1.5"].references
    assert (image.sop_instance_uid, image.frame_numbers) == ("1.2.3.4.5.0", (5, 2))
    assert image.name == "CT Image"


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        (concept("millimeter", "mm", "UCUM"), "mm"),
        (concept("no units", "1", "UCUM"), ""),
        (concept("Ratio", "{ratio}", "UCUM"), "Ratio"),
        (concept("{score}", "{score}", "UCUM"), "score"),
        (concept("Hounsfield unit", "hnsf'U", "99OLD"), "Hounsfield unit"),
    ],
    ids=["UCUM", "none", "remark", "remark_twice", "other_scheme"],
)
def test_numbers_have_their_units(unit: Dataset, shown: str) -> None:
    measured = Dataset()
    measured.NumericValue = "12.5"
    measured.MeasurementUnitsCodeSequence = [unit]
    (item,) = items_of(content("NUM", "Length", MeasuredValueSequence=[measured]))
    assert (item.text, item.unit) == ("12.5", shown)


def test_a_number_that_is_none_says_why() -> None:
    qualifier = concept("Measurement failure", "114008", "DCM")
    (failed, empty) = items_of(
        content(
            "NUM", "L", MeasuredValueSequence=[], NumericValueQualifierCodeSequence=[qualifier]
        ),
        content("NUM", "L", MeasuredValueSequence=[]),
    )
    assert (failed.text, empty.text) == ("Measurement failure", "not measured")


def test_codes_long_and_without_meaning() -> None:
    bare, long = Dataset(), Dataset()
    bare.CodeValue, bare.CodingSchemeDesignator = "T-D1100", "SRT"
    long.LongCodeValue, long.CodeMeaning = "x" * 40, "Long one"
    first, second, missing = items_of(
        content("CODE", "Site", ConceptCodeSequence=[bare]),
        content("CODE", "Site", ConceptCodeSequence=[long]),
        content("CODE", "Site"),
    )
    assert (first.text, first.code) == ("T-D1100", Code("", "T-D1100", "SRT"))
    assert first.code.origin == "T-D1100 (SRT)"
    assert (second.text, second.code and second.code.value) == ("Long one", "x" * 40)
    assert (missing.text, missing.code) == ("", None)


def test_places_in_pictures_and_in_time() -> None:
    polyline, point, moment = items_of(
        content("SCOORD", GraphicType="POLYLINE", GraphicData=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        content("SCOORD3D", GraphicType="POINT", GraphicData=[1.0, 2.0, 3.0]),
        content("TCOORD", TemporalRangeType="SEGMENT"),
    )
    assert polyline.text == "polyline, 3 points"
    assert point.text == "point, 1 point"
    assert moment.text == "segment"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("20260131", "2026-01-31"),
        ("202601310830", "2026-01-31 08:30"),
        ("20260131083005.123456", "2026-01-31 08:30:05"),
        ("20260131083005-0500", "2026-01-31 08:30:05 -0500"),
        ("20260131083005+0100", "2026-01-31 08:30:05 +0100"),
        ("2026", "2026"),
        ("soon", "soon"),
    ],
)
def test_moments(written: str, shown: str) -> None:
    with pydicom.config.disable_value_validation():
        (item,) = items_of(content("DATETIME", DateTime=written))
    assert item.text == shown


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_every_encoding_and_script(syntax: str) -> None:
    ds = report(
        content("TEXT", "Befund", TextValue="Größe: 3 µm\r\nキー画像"),
        content("PNAME", "Arzt", PersonName="Müller^Änne"),
        content("SCOORD", GraphicType="POINT", GraphicData=[1.5, 2.5]),
        SpecificCharacterSet="ISO_IR 192",
    )
    buffer = BytesIO()
    ds.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        buffer,
        ds,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    text, name, point = read_report(buffer.getvalue()).items[1:]
    assert text.text == "Größe: 3 µm\nキー画像"
    assert name.text == "Müller^Änne"
    assert point.text == "point, 1 point"


def test_flags_and_who_answers_for_it() -> None:
    verifier = Dataset()
    verifier.VerifyingObserverName = "Doe^Jane"
    verifier.VerifyingOrganization = "North Clinic"
    verifier.VerificationDateTime = "20260131083000"
    ds = report(
        CompletionFlag="PARTIAL",
        VerificationFlag="VERIFIED",
        VerifyingObserverSequence=[verifier],
        ContentDate="20260131",
        ContentTime="0815",
    )
    found = read_report(to_bytes(ds))
    assert (found.is_partial, found.is_verified, found.day) == (True, True, "2026-01-31 08:15")
    (who,) = found.verifiers
    assert (who.name, who.organization, who.at) == (
        "Doe^Jane",
        "North Clinic",
        "2026-01-31 08:30:00",
    )
    silent = read_report(to_bytes(report()))
    assert (silent.is_partial, silent.is_verified, silent.verifiers) == (None, None, ())


def test_controls_and_marks_that_turn_writing_are_no_text() -> None:
    (item,) = items_of(
        content("TEXT", TextValue="one\x07two\u202ethree\r\n\tfour"),
        SpecificCharacterSet="ISO_IR 192",
    )
    assert item.text == "one twothree\n four"


def test_a_picture_is_no_report() -> None:
    with pytest.raises(UnsupportedError, match="Download"):
        read_report(to_bytes(make_instance()))


def test_what_nests_too_deep_is_refused() -> None:
    node = content("CONTAINER")
    for _ in range(70):
        node = content("CONTAINER", ContentSequence=[node])
    with pytest.raises(LimitError):
        read_report(to_bytes(report(node)))


def test_a_tree_as_deep_as_allowed_is_read() -> None:
    node = content("TEXT", TextValue="bottom")
    for _ in range(30):
        node = content("CONTAINER", ContentSequence=[node])
    found = read_report(to_bytes(report(node)))
    assert (found.items[-1].text, found.items[-1].depth) == ("bottom", 31)


def test_too_many_items_are_cut_and_said() -> None:
    ds = report(*(content("TEXT", TextValue=str(n)) for n in range(50)))
    found = read_report(to_bytes(ds), most_items=20)
    assert found.is_cut
    assert [item.text for item in found.items[1:]] == [str(n) for n in range(19)]


def test_too_many_elements_are_refused() -> None:
    ds = report(*(content("TEXT", TextValue=str(n)) for n in range(200)))
    with pytest.raises(LimitError):
        read_report(to_bytes(ds), limits=HeaderLimits(elements=300))


@pytest.mark.parametrize("name", ["sr/test-SR.dcm", "sr/dwv/sr-ellipse.dcm"])
def test_every_cut_of_a_file_is_read_or_refused(data: Path, name: str) -> None:
    whole = (data / name).read_bytes()
    for size in range(140, len(whole), 97):
        try:
            assert read_report(whole[:size]).items
        except ImagingError:
            continue
