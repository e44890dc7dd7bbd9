"""Measurements as objects: what dcmtk and dicom3tools say of ours, and what others' files hold."""

from __future__ import annotations

import io
import subprocess
import warnings
from datetime import UTC, datetime
from pathlib import Path

import highdicom
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from imaging import measured_read, measured_write
from imaging.measured import Drawn, Found, Value, outline
from imaging.measured_write import Frame
from imaging.softcopy import read_softcopy

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PICTURES = {
    "ct": "ct/head_phantom_1mm/I1000",
    "colour frames": "us/cine/IM00001.fragmented_no_bot_jpeg_baseline.50.dcm",
    "inverted": "cr_dx_mg/gdcm-CR-MONO1-10-chest.dcm",
}


@pytest.fixture(params=PICTURES.values(), ids=PICTURES.keys())
def picture(request: pytest.FixtureRequest, data: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one of them misspells its character set
        header = dcmread(data / request.param, stop_before_pixels=True)
        header.SpecificCharacterSet = "ISO_IR 192"
        header.PatientName = PersonName("Müller^Änne=日本".encode(), ["utf8"])
        out = io.BytesIO()
        header.save_as(out)
        return dcmread(io.BytesIO(out.getvalue()))


def identity(number: int, description: str = "Measurements") -> Frame:
    return Frame(
        sop_instance_uid=f"2.25.1{number}",
        series_instance_uid=f"2.25.2{number}",
        series_number=9000 + number,
        instance_number=1,
        series_description=description,
        author="Rita Reader",
        at=AT,
        institution="North Clinic",
    )


def drawings_on(header: Dataset) -> list[Drawn]:
    uid = header.SOPInstanceUID
    frame = 2 if int(header.get("NumberOfFrames") or 1) > 1 else None
    area = (Value("Area", 628.5, "mm2"), Value("Mean", 31.5, "HU"), Value("SD", 2.25, "HU"))
    return [
        Drawn("2.25.101", "length", uid, frame, ((1.5, 2.0), (30.0, 40.25)), "lesion Ö 日本",
              (Value("Length", 47.75, "mm"),), "PixelSpacing"),
        Drawn("2.25.102", "angle", uid, frame, ((1.0, 2.0), (3.0, 4.0), (5.0, 2.0)), "",
              (Value("Angle", 90.0, "deg"),)),
        Drawn("2.25.103", "ellipse", uid, frame, ((10.0, 20.0), (30.0, 60.0)), "", area),
        Drawn("2.25.104", "rectangle", uid, frame, ((30.0, 60.0), (10.0, 20.0)), "",
              (Value("Area", 800.0, "px2"),)),
        Drawn("2.25.105", "probe", uid, frame, ((7.0, 8.0),), "", (Value("Value", 99.0, "HU"),)),
        Drawn("2.25.106", "arrow", uid, frame, ((5.0, 6.0), (50.0, 60.0)), "look here"),
    ]  # fmt: skip


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def errors_of(path: Path) -> list[str]:
    """What dicom3tools finds wrong, without what the test pictures themselves have wrong."""
    told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    return [
        line
        for line in (told.stdout + told.stderr).splitlines()
        if line.startswith(("Error", "Abort")) and "Illegal root for UID" not in line
    ]


@pytest.mark.peers
def test_a_report_is_what_the_standard_wants_and_comes_back(
    picture: Dataset, tmp_path: Path
) -> None:
    drawn = drawings_on(picture)
    content = measured_write.write_report(drawn, {picture.SOPInstanceUID: picture}, identity(1))
    path = written(tmp_path / "sr.dcm", content)
    assert errors_of(path) == []
    told = subprocess.run(["dsrdump", path], capture_output=True, text=True, check=True).stdout
    assert '"Length")="47.75" (mm,UCUM,"millimeter")' in told
    assert told.count("selected from IMAGE") == 6
    report = dcmread(path)
    assert report.PatientName == picture.PatientName
    assert report.PatientID == picture.get("PatientID", "")
    assert (report.ContentDate, report.ContentTime) == ("20260304", "050607")
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    (reference,) = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert reference.ReferencedSOPClassUID == picture.SOPClassUID
    assert reference.ReferencedSOPInstanceUID == picture.SOPInstanceUID

    sheet = measured_read.read_report(path)
    assert (sheet.author, sheet.manufacturer) == ("Rita Reader", "NoctisPro")
    assert [one.tracking_uid for one in sheet.drawings] == [f"2.25.{n}" for n in range(101, 107)]
    assert {one.frame_numbers for one in sheet.drawings} == {
        (drawn[0].frame_number,) if drawn[0].frame_number else ()
    }
    length, angle, ellipse, rectangle, probe, arrow = sheet.drawings
    assert length.points == drawn[0].points
    assert (length.label, length.values) == ("lesion Ö 日本", drawn[0].values)
    assert (angle.points, angle.values) == (drawn[1].points, drawn[1].values)
    assert ellipse.points == ((20, 20), (20, 60), (10, 40), (30, 40))
    assert ellipse.values == drawn[2].values
    assert rectangle.is_closed
    assert rectangle.points[:4] == ((10, 20), (30, 20), (30, 60), (10, 60))
    assert rectangle.values == drawn[3].values
    assert (probe.graphic, probe.points, probe.values[0].number) == ("point", ((7, 8),), 99)
    assert (arrow.points, arrow.label) == (drawn[5].points, "look here")


def test_highdicom_reads_the_report(data: Path) -> None:
    picture = dcmread(data / PICTURES["ct"], stop_before_pixels=True)
    content = measured_write.write_report(
        drawings_on(picture), {picture.SOPInstanceUID: picture}, identity(1)
    )
    report = highdicom.sr.srread(io.BytesIO(content))
    groups = report.content.get_planar_roi_measurement_groups()
    assert [group.tracking_uid for group in groups] == ["2.25.103", "2.25.104", "2.25.106"]
    assert [m.value for m in groups[0].get_measurements()] == [628.5, 31.5, 2.25]
    others = report.content.get_image_measurement_groups()
    assert [group.tracking_uid for group in others] == ["2.25.101", "2.25.102", "2.25.105"]


@pytest.mark.peers
def test_a_later_report_names_the_one_before(data: Path, tmp_path: Path) -> None:
    picture = dcmread(data / PICTURES["ct"], stop_before_pixels=True)
    images = {picture.SOPInstanceUID: picture}
    first = measured_write.write_report(drawings_on(picture), images, identity(1))
    before = dcmread(written(tmp_path / "first.dcm", first))
    path = written(
        tmp_path / "second.dcm",
        measured_write.write_report(drawings_on(picture), images, identity(2), previous=[before]),
    )
    assert errors_of(path) == []
    (series,) = dcmread(path).PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.SeriesInstanceUID == before.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPClassUID == before.SOPClassUID


@pytest.mark.peers
def test_a_presentation_state_draws_the_same(picture: Dataset, tmp_path: Path) -> None:
    drawn = drawings_on(picture)
    images = {picture.SOPInstanceUID: picture}
    path = written(tmp_path / "pr.dcm", measured_write.write_states(drawn, images, identity(3)))
    assert errors_of(path) == []
    state = read_softcopy(path)
    frame = drawn[0].frame_number or 1
    assert state.for_frame(picture.SOPInstanceUID, frame) is not None
    assert state.for_frame("1.2.3", frame) is None
    sheet = measured_read.read_state(path)
    assert sheet.author == "Rita Reader"
    assert sheet.at == "2026-03-04 05:06"
    graphics = [one for one in sheet.drawings if one.graphic != "text"]
    texts = [one.label for one in sheet.drawings if one.graphic == "text"]
    assert [one.points for one in graphics[:2]] == [drawn[0].points, drawn[1].points]
    assert [one.graphic for one in graphics] == [
        "polyline", "polyline", "ellipse", "polyline", "point", "polyline",
    ]  # fmt: skip
    assert texts == [
        "lesion Ö 日本 47.8 mm", "90.0°", "628.5 mm²", "800.0 px²", "99.0 HU", "look here",
    ]  # fmt: skip


@pytest.mark.peers
def test_key_objects_name_image_and_frame(picture: Dataset, tmp_path: Path) -> None:
    uid = picture.SOPInstanceUID
    frame = 2 if int(picture.get("NumberOfFrames") or 1) > 1 else None
    content = measured_write.write_key_objects(
        [(uid, frame)], {uid: picture}, identity(4, "Key images"), "the finding"
    )
    path = written(tmp_path / "ko.dcm", content)
    assert errors_of(path) == []
    document = dcmread(path)
    assert document.ConceptNameCodeSequence[0].CodeValue == "113000"
    (item,) = (item for item in document.ContentSequence if item.ValueType == "IMAGE")
    reference = item.ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == uid
    assert reference.get("ReferencedFrameNumber") == frame


@pytest.mark.parametrize(
    ("name", "graphic", "values"),
    [
        ("dwv_sr-ruler", "polyline", (Value("Length", 4.025316455696, "mm"),)),
        ("sr-ellipse", "ellipse", ()),
        ("sr-circle", "circle", ()),
    ],
    ids=["length", "ellipse", "circle"],
)
def test_reports_of_another_maker_are_read(
    data: Path, name: str, graphic: str, values: tuple[Value, ...]
) -> None:
    sheet = measured_read.read_report(data / f"sr/dwv/{name}.dcm")
    assert len(sheet.drawings) == 3
    assert {one.graphic for one in sheet.drawings} == {graphic}
    assert sheet.drawings[0].values == values
    picture = dcmread(data / "sr/dwv/squares.dcm", stop_before_pixels=True)
    assert {one.sop_instance_uid for one in sheet.drawings} == {picture.SOPInstanceUID}


def cornerstone_group() -> Dataset:
    """A length as Cornerstone3D's adapters write it: the line below its number."""

    def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return [item]

    def item(kind: str, relationship: str, name: list[Dataset] | None, **more: object) -> Dataset:
        made = Dataset()
        made.ValueType, made.RelationshipType = kind, relationship
        if name:
            made.ConceptNameCodeSequence = name
        for keyword, value in more.items():
            setattr(made, keyword, value)
        return made

    reference = Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    reference.ReferencedSOPInstanceUID = "1.2.3.4"
    image = item("IMAGE", "SELECTED FROM", None, ReferencedSOPSequence=[reference])
    line = item("SCOORD", "INFERRED FROM", None, GraphicType="POLYLINE",
                GraphicData=[1.5, 2.5, 11.5, 2.5], ContentSequence=[image])  # fmt: skip
    measured = Dataset()
    measured.MeasurementUnitsCodeSequence = code("mm", "UCUM", "millimeter")
    measured.NumericValue = 10.0
    number = item("NUM", "CONTAINS", code("410668003", "SCT", "Length"),
                  MeasuredValueSequence=[measured], ContentSequence=[line])  # fmt: skip
    tracking = item("TEXT", "HAS OBS CONTEXT", code("112039", "DCM", "Tracking Identifier"),
                    TextValue="Cornerstone3DTools@^0.1.0:Length")  # fmt: skip
    tracking_uid = item("UIDREF", "HAS OBS CONTEXT", code("112040", "DCM", "Tracking UID"),
                        UID="2.25.77")  # fmt: skip
    finding = item("CODE", "CONTAINS", code("121071", "DCM", "Finding"),
                   ConceptCodeSequence=code("CORNERSTONEFREETEXT", "CST4", "Nodule"))  # fmt: skip
    group = item("CONTAINER", "CONTAINS", code("125007", "DCM", "Measurement Group"))
    group.ContentSequence = [tracking, tracking_uid, finding, number]
    outer = item("CONTAINER", "CONTAINS", code("126010", "DCM", "Imaging Measurements"))
    outer.ContentSequence = [group]
    return outer


def report_file(path: Path, *content: Dataset) -> Path:
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", "2.25.5"
    report.Manufacturer = "OHIF"
    report.ValueType = "CONTAINER"
    report.ContentSequence = list(content)
    report.save_as(path, implicit_vr=False, little_endian=True)
    return path


def test_what_cornerstone_writes_is_read(tmp_path: Path) -> None:
    sheet = measured_read.read_report(report_file(tmp_path / "ohif.dcm", cornerstone_group()))
    assert sheet.manufacturer == "OHIF"
    assert sheet.drawings == (
        Found("polyline", "1.2.3.4", (), ((1, 2), (11, 2)), label="Nodule",
              values=(Value("Length", 10.0, "mm"),), tracking_uid="2.25.77", position="1"),
    )  # fmt: skip


def test_coordinates_without_a_picture_are_counted_not_guessed(tmp_path: Path) -> None:
    group = cornerstone_group()
    number = group.ContentSequence[0].ContentSequence[-1]
    del number.ContentSequence[0].ContentSequence
    sheet = measured_read.read_report(report_file(tmp_path / "lost.dcm", group))
    assert (sheet.drawings, sheet.skipped) == ((), 1)


def test_a_state_of_another_maker_is_read(data: Path) -> None:
    sheet = measured_read.read_state(data / "pr_pdf_stl/PR000000.dcm")
    assert sheet.manufacturer == "Softneta"
    ellipse, text = sheet.drawings
    assert ellipse.graphic == "ellipse"
    assert ellipse.points[0] == pytest.approx((1713.868, 990.922), abs=0.001)
    assert text.label.startswith("Mean: 2651.41")


@pytest.mark.parametrize(
    ("kind", "count", "expected"),
    [
        ("freehand", 4, 5),
        ("livewire", 4, 5),
        ("spline", 4, 49),
        ("bidirectional", 4, 2),
        ("cobb", 4, 4),
    ],
)
def test_outlines_are_closed_and_axes_are_lines(kind: str, count: int, expected: int) -> None:
    points = ((0.0, 0.0), (10.0, 0.0), (10.0, 8.0), (0.0, 8.0))[:count]
    graphic, found = outline(Drawn("1.2", kind, "1.3", None, points))
    assert graphic == "POLYLINE"
    assert len(found) == expected
    assert set(points[:2]) <= set(found)
    assert (found[0] == found[-1]) == (kind in ("freehand", "livewire", "spline"))
