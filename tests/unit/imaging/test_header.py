"""The index of real files against pydicom's reading, and of made ones against what was put in."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from imaging.display import DISPLAY_KEYS
from imaging.errors import IdentityError, InvalidUIDError, NotDicomError
from imaging.header import (
    InstanceIndex,
    part10_header,
    read_index,
    scan_pixel_data,
    with_data_set_offset,
    zero_preamble,
)
from imaging.pixels import PixelFacts, decode_frame
from tests.dicom import make_instance, to_bytes

TEXTS = {
    "patient_id": "PatientID",
    "patient_sex": "PatientSex",
    "patient_age": "PatientAge",
    "accession_number": "AccessionNumber",
    "study_id": "StudyID",
    "study_description": "StudyDescription",
    "modality": "Modality",
    "series_description": "SeriesDescription",
    "body_part_examined": "BodyPartExamined",
    "laterality": "Laterality",
    "protocol_name": "ProtocolName",
    "manufacturer": "Manufacturer",
    "station_name": "StationName",
    "institution_name": "InstitutionName",
    "photometric_interpretation": "PhotometricInterpretation",
}
UIDS = {
    "sop_class_uid": "SOPClassUID",
    "sop_instance_uid": "SOPInstanceUID",
    "study_instance_uid": "StudyInstanceUID",
    "series_instance_uid": "SeriesInstanceUID",
}
INTEGERS = {
    "series_number": "SeriesNumber",
    "instance_number": "InstanceNumber",
    "acquisition_number": "AcquisitionNumber",
    "rows": "Rows",
    "columns": "Columns",
    "samples_per_pixel": "SamplesPerPixel",
    "planar_configuration": "PlanarConfiguration",
    "bits_allocated": "BitsAllocated",
    "bits_stored": "BitsStored",
    "high_bit": "HighBit",
    "pixel_representation": "PixelRepresentation",
}
# Where we mean to read otherwise than pydicom, and why.
OUR_OWN_WAY = {
    # A CS value with Chinese letters: not lawful, but legible in the declared character set.
    "charset/GH1301.dcm": {"PatientSex"},
    # A number beyond 32 bits, which no column holds.
    "malformed/GH340.dcm": {"InstanceNumber"},
    # pydicom takes the letters DICM inside a value for the end of a preamble.
    "malformed/no_preamble_dicm_in_data": {*TEXTS.values(), *UIDS.values(), *INTEGERS.values()},
}


def one(value: Any) -> str | None:
    if value is None:
        return None
    text = "\\".join(value) if isinstance(value, pydicom.multival.MultiValue) else str(value)
    text = "".join(" " if not c.isprintable() and c != "\u3000" else c for c in text)
    return text.strip("\0 ") or None


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_files_read_as_pydicom_reads_them(data: Path) -> None:
    with (data / "manifest.csv").open(newline="") as file:
        names = [row["path"] for row in csv.DictReader(file)]
    compared, wrong = 0, []
    for name in names:
        try:
            index = read_index(data / name, require_identity=False)
        except NotDicomError:
            continue
        try:
            theirs = pydicom.dcmread(data / name, stop_before_pixels=True, force=True)
        except OSError:
            continue
        compared += 1
        for field, keyword in (TEXTS | UIDS | INTEGERS).items():
            if keyword in OUR_OWN_WAY.get(name, ()):
                continue
            ours: Any = getattr(index, field)
            expected: Any = one(theirs.get(keyword))
            if field in INTEGERS and expected is not None:
                expected = int(expected)
            if (None if ours == "" else ours) != expected:
                wrong.append(f"{name} {keyword}: {ours!r} for {expected!r}")
    assert wrong == []
    assert compared > 460


def test_manifest_figures(data: Path) -> None:
    """Rows, columns, frames and syntax of every readable file, as its collectors noted them."""
    refused = []
    with (data / "manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            try:
                index = read_index(data / row["path"], require_identity=False)
            except NotDicomError:
                refused.append(row["path"])
                continue
            noted = (row["rows"], row["cols"], row["transfer_syntax"])
            found = (str(index.rows or ""), str(index.columns or ""), index.transfer_syntax_uid)
            if row["transfer_syntax"]:
                assert found == noted, row["path"]
            if row["frames"].isdigit():
                assert index.number_of_frames == int(row["frames"]), row["path"]
    assert refused == [
        "malformed/MR_truncated.dcm",
        "malformed/no_meta.dcm",
        "malformed/meta_missing_tsyntax.dcm",
        "malformed/rtplan_truncated.dcm",
        "malformed/GH179B.dcm",
        "malformed/GH626.dcm",
    ]


def test_every_index_is_json_and_holds_the_display_keys(data: Path) -> None:
    with (data / "manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            try:
                index = read_index(data / row["path"], require_identity=False)
            except NotDicomError:
                continue
            assert tuple(index.display) == DISPLAY_KEYS
            json.dumps(index.display, allow_nan=False)


def test_a_phantom_slice(data: Path) -> None:
    index = read_index(data / "ct/head_phantom_1mm/I270")
    assert index.modality == "CT"
    assert index.offset_table_kind == "native"
    assert index.pixel_data_length == 512 * 512 * 2
    raw = (data / "ct/head_phantom_1mm/I270").read_bytes()
    assert len(raw) - index.pixel_data_offset == 512 * 512 * 2
    assert index.display["PixelSpacing"] == [0.451171875, 0.451171875]
    assert index.display["RescaleSlope"] == 1
    assert index.display["frames"] is None
    assert index.lossy is False


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # The names are those of the examples in PS3.5 Annexes H, I, J, K and the files' own lists.
        ("chrH31.dcm", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("chrH32.dcm", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        ("chrI2.dcm", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("chrX1.dcm", "Wang^XiaoDong=王^小東"),
        ("chrX2.dcm", "Wang^XiaoDong=王^小东"),
        ("chrGreek.dcm", "Διονυσιος"),
        ("chrRuss.dcm", "Люкceмбypг"),
        ("chrFren.dcm", "Buc^Jérôme"),
        ("chrFrenMulti.dcm", "Buc^Jérôme"),
        ("chrGerm.dcm", "Äneas^Rüdiger"),
        ("chrArab.dcm", "قباني^لنزار"),
        ("chrHbrw.dcm", "שרון^דבורה"),
    ],
)
def test_character_sets(data: Path, name: str, expected: str) -> None:
    assert read_index(data / "charset" / name, require_identity=False).patient_name == expected


@pytest.mark.parametrize(
    ("charset", "raw", "expected"),
    [
        (None, "Müller".encode(), "Müller"),
        (None, "Müller".encode("latin-1"), "Müller"),
        ("ISO_IR 192", b"\xff\xfe\xc3\x28^Z", "\ufffd\ufffd\ufffd(^Z"),
        ("ISO_IR 999", "Müller".encode(), "Müller"),
        ("ISO-IR 100", "Müller".encode("latin-1"), "Müller"),
        ("ISO_IR 144", "Иванов".encode("iso8859_5"), "Иванов"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        ("ISO_IR 100", b"A\r\nSet-Cookie: x", "A  Set-Cookie: x"),
        ("ISO_IR 100", b"A\0B", "A B"),
        # Overrides of the writing direction would show the name reversed.
        ("ISO_IR 192", "\u202egnp.exe\u2066^Rtl".encode(), "gnp.exe^Rtl"),
        ("ISO_IR 192", "שרון^דבורה".encode(), "שרון^דבורה"),
        ("ISO_IR 100", b"<script>alert(1)</script>^X", "<script>alert(1)</script>^X"),
        ("ISO_IR 100", b"Doe^Jane^^^", "Doe^Jane"),
        ("ISO_IR 100", b"   ", None),
    ],
    ids=ascii,
)
def test_names_in_made_files(charset: str | None, raw: bytes, expected: str | None) -> None:
    name, term = b"X" * (len(raw) + len(raw) % 2), (charset or "").encode()
    ds = make_instance(PatientName=name.decode(), SpecificCharacterSet="ISO_IR 192")
    written = to_bytes(ds).replace(name, raw.ljust(len(name)), 1)
    written = written.replace(b"ISO_IR 192", term.ljust(10), 1)
    assert read_index(written).patient_name == expected


def test_patient_id_is_kept_as_it_stands() -> None:
    index = read_index(to_bytes(make_instance(PatientID="  *?%_/..\x5c  ")))
    assert index.patient_id == "*?%_/..\\"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("20200131", dt.date(2020, 1, 31)),
        ("2020.01.31", dt.date(2020, 1, 31)),
        ("yesterda", None),
        ("20201301", None),
        ("20200101-20201231", None),
        ("", None),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_dates(raw: str, expected: dt.date | None) -> None:
    assert read_index(to_bytes(make_instance(StudyDate=raw))).study_date == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("101112", dt.time(10, 11, 12)),
        ("101112.5", dt.time(10, 11, 12, 500000)),
        ("10:11:12", dt.time(10, 11, 12)),
        ("1011", dt.time(10, 11)),
        ("10", dt.time(10)),
        ("235960", dt.time(23, 59, 59)),
        ("250000", None),
        ("noon", None),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_times(raw: str, expected: dt.time | None) -> None:
    assert read_index(to_bytes(make_instance(StudyTime=raw))).study_time == expected


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"AcquisitionDate": "20200102", "ContentDate": "20210102"}, dt.date(2020, 1, 2)),
        ({"AcquisitionDateTime": "20200304101112.5+0100"}, dt.date(2020, 3, 4)),
        ({"ContentDate": "20210102"}, dt.date(2021, 1, 2)),
        ({}, None),
    ],
)
def test_acquisition_falls_back(keywords: dict[str, str], expected: dt.date | None) -> None:
    index = read_index(to_bytes(make_instance(**keywords)))
    assert index.acquisition_date == expected
    if "AcquisitionDateTime" in keywords:
        assert index.acquisition_time == dt.time(10, 11, 12, 500000)


def implicit(ds: Dataset) -> bytes:
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return to_bytes(ds)


def test_every_way_to_write_a_file_reads_alike() -> None:
    ds = make_instance(SeriesDescription="Ways", WindowCenter=[40, 400], WindowWidth=[80, 1500])
    part10 = to_bytes(ds)
    ours = read_index(part10)
    body = part10[ours.data_set_offset :]
    deflater = zlib.compressobj(wbits=-15)
    head = part10_header(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid="1.2.840.10008.1.2.1.99",
    )
    ways: dict[str, bytes] = {
        "no preamble": part10[132:],
        "bare explicit": body,
        "deflated": head + deflater.compress(body) + deflater.flush(),
        "zlib instead of deflate": head + zlib.compress(body),
        "implicit": implicit(ds),
    }
    pixels = decode_frame(part10, PixelFacts.of(ours, ours.frames), 0)
    for way, raw in ways.items():
        index = read_index(raw)
        assert index.display == ours.display, way
        assert index.sop_instance_uid == ours.sop_instance_uid, way
        assert index.series_description == "Ways", way
        np.testing.assert_array_equal(
            decode_frame(raw, PixelFacts.of(index, index.frames), 0), pixels, err_msg=way
        )
    assert read_index(ways["deflated"]).pixel_data_offset is None
    bare = read_index(body, transfer_syntax="1.2.840.10008.1.2.1")
    assert bare.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert bare.data_set_offset == 0


def test_sources_give_the_same_index(tmp_path: Path) -> None:
    raw = to_bytes(make_instance())
    path = tmp_path / "a.dcm"
    path.write_bytes(raw)
    expected = read_index(raw)
    assert read_index(path) == expected
    assert read_index(memoryview(raw)) == expected
    file = io.BytesIO(raw)
    file.seek(77)
    assert read_index(file) == expected
    assert not file.closed
    assert scan_pixel_data(path) == expected.frames


# --- identity --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_identity_is_required(keyword: str) -> None:
    ds = make_instance()
    del ds[keyword]
    raw = io.BytesIO()
    ds.save_as(raw, enforce_file_format=False)
    with pytest.raises(InvalidUIDError, match="has no"):
        read_index(raw.getvalue())
    assert read_index(raw.getvalue(), require_identity=False).rows == 64


def test_two_names_for_one_object_are_refused() -> None:
    ds = make_instance()
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    raw = io.BytesIO()
    ds.save_as(raw, enforce_file_format=False)
    with pytest.raises(IdentityError, match="two different SOP Instance UIDs"):
        read_index(raw.getvalue())


def test_two_patient_ids_are_refused() -> None:
    raw = to_bytes(make_instance(PatientID="SECOND"))
    at = raw.index(b"\x10\x00\x20\x00LO")
    twice = raw[:at] + struct.pack("<HH2sH", 0x10, 0x20, b"LO", 6) + b"FIRST " + raw[at:]
    with pytest.raises(IdentityError, match="Patient ID twice"):
        read_index(twice)


def test_a_dicomdir_says_what_it_is(data: Path) -> None:
    with pytest.raises(IdentityError, match="DICOMDIR"):
        read_index(data / "dicomdir/DICOMDIR")


# --- display facts ---------------------------------------------------------------------------


def groups(**keywords: Any) -> Dataset:
    """Functional groups: attribute values by macro."""
    macros = {
        "PixelSpacing": "PixelMeasuresSequence",
        "SliceThickness": "PixelMeasuresSequence",
        "ImagePositionPatient": "PlanePositionSequence",
        "ImageOrientationPatient": "PlaneOrientationSequence",
        "WindowCenter": "FrameVOILUTSequence",
        "WindowWidth": "FrameVOILUTSequence",
        "RescaleSlope": "PixelValueTransformationSequence",
        "RescaleIntercept": "PixelValueTransformationSequence",
    }
    group = Dataset()
    for keyword, value in keywords.items():
        macro = macros[keyword]
        if macro not in group:
            setattr(group, macro, Sequence([Dataset()]))
        setattr(group[macro].value[0], keyword, value)
    return group


def multiframe(shared: Dataset, per_frame: list[Dataset]) -> InstanceIndex:
    count = len(per_frame)
    ds = make_instance(NumberOfFrames=count, PixelData=bytes(64 * 64 * 2 * count))
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(per_frame)
    return read_index(to_bytes(ds))


def test_frames_that_differ_have_facts_of_their_own() -> None:
    index = multiframe(
        groups(PixelSpacing=[0.5, 0.6], ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        [
            groups(ImagePositionPatient=[0, 0, z], WindowCenter=40, WindowWidth=80 + z)
            for z in range(3)
        ],
    )
    assert index.number_of_frames == 3
    frames = index.display["frames"]
    assert [frame["ImagePositionPatient"] for frame in frames] == [[0, 0, z] for z in range(3)]
    assert [frame["WindowWidth"] for frame in frames] == [[80], [81], [82]]
    assert all(frame["PixelSpacing"] == [0.5, 0.6] for frame in frames)
    assert all(frame["ImageOrientationPatient"] == [1, 0, 0, 0, 1, 0] for frame in frames)
    assert index.display["PixelSpacing"] == [0.5, 0.6]


def test_frames_that_agree_are_lifted_to_the_image() -> None:
    index = multiframe(
        groups(PixelSpacing=[0.5, 0.6]),
        [groups(WindowCenter=40, WindowWidth=80, RescaleSlope=2, RescaleIntercept=-5)] * 3,
    )
    assert index.display["frames"] is None
    assert index.display["WindowCenter"] == [40]
    assert index.display["RescaleSlope"] == 2
    assert index.display["PixelSpacing"] == [0.5, 0.6]


def test_enhanced_ct_of_the_data(data: Path) -> None:
    index = read_index(data / "ct/enhanced/CT0012.explicit_little_endian.dcm")
    theirs = pydicom.dcmread(data / "ct/enhanced/CT0012.explicit_little_endian.dcm")
    per_frame = theirs.PerFrameFunctionalGroupsSequence
    frames = index.display["frames"]
    assert len(frames) == len(per_frame) == 2
    for ours, item in zip(frames, per_frame, strict=True):
        assert ours["ImagePositionPatient"] == [
            float(x) for x in item.PlanePositionSequence[0].ImagePositionPatient
        ]


def test_ultrasound_regions(data: Path) -> None:
    name = next(
        path
        for path in sorted((data / "us").rglob("*.dcm"))
        if "SequenceOfUltrasoundRegions" in pydicom.dcmread(path, stop_before_pixels=True)
    )
    theirs = pydicom.dcmread(name, stop_before_pixels=True).SequenceOfUltrasoundRegions
    ours = read_index(name, require_identity=False).display["SequenceOfUltrasoundRegions"]
    assert len(ours) == len(theirs)
    for region, item in zip(ours, theirs, strict=True):
        assert region["PhysicalDeltaX"] == item.PhysicalDeltaX
        assert region["RegionLocationMaxX1"] == item.RegionLocationMaxX1
        assert region["RegionDataType"] == item.RegionDataType


def test_dose_planes_have_positions(data: Path) -> None:
    theirs = pydicom.dcmread(data / "rt/rtdose.dcm")
    frames = read_index(data / "rt/rtdose.dcm", require_identity=False).display["frames"]
    assert len(frames) == theirs.NumberOfFrames == 15
    start = [float(x) for x in theirs.ImagePositionPatient]
    for frame, offset in zip(frames, theirs.GridFrameOffsetVector, strict=True):
        moved = math.dist(frame["ImagePositionPatient"], start)
        assert moved == pytest.approx(abs(float(offset)))


@pytest.mark.parametrize("text", ["NaN", "inf", "-Infinity", "abc", ""])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_numbers_that_are_none(text: str) -> None:
    raw = to_bytes(make_instance(RescaleSlope="1234567890"))
    written = raw.replace(b"1234567890", text.encode().ljust(10), 1)
    assert read_index(written).display["RescaleSlope"] is None


def test_padding_follows_the_sign() -> None:
    unsigned = make_instance(np.zeros((4, 4), np.uint16))
    unsigned.add_new(0x00280120, "US", 63536)
    signed = make_instance(np.zeros((4, 4), np.int16))
    signed.add_new(0x00280120, "SS", -2000)
    assert read_index(to_bytes(unsigned)).display["PixelPaddingValue"] == 63536
    assert read_index(to_bytes(signed)).display["PixelPaddingValue"] == -2000
    assert read_index(implicit(signed)).display["PixelPaddingValue"] == -2000
    # Some write the bits of -2000 as an unsigned number.
    wrong_vr = make_instance(np.zeros((4, 4), np.int16))
    wrong_vr.add_new(0x00280120, "US", 63536)
    assert read_index(to_bytes(wrong_vr)).display["PixelPaddingValue"] == -2000
    ranged = make_instance(np.zeros((2, 2), np.int16))
    ranged.add_new("PixelPaddingValue", "SS", -2000)
    ranged.add_new("PixelPaddingRangeLimit", "SS", -1990)
    assert read_index(to_bytes(ranged)).display["PixelPaddingRangeLimit"] == -1990
    assert read_index(to_bytes(unsigned)).display["PixelPaddingRangeLimit"] is None


@pytest.mark.parametrize(
    ("syntax", "flag", "lossy"),
    [
        ("1.2.840.10008.1.2.1", None, False),
        ("1.2.840.10008.1.2.1", "01", True),
        ("1.2.840.10008.1.2.1", "00", False),
    ],
)
def test_lossy(syntax: str, flag: str | None, lossy: bool) -> None:
    ds = make_instance(LossyImageCompression=flag)
    ds.file_meta.TransferSyntaxUID = syntax
    assert read_index(to_bytes(ds)).lossy is lossy


@pytest.mark.parametrize(
    ("number", "lossy"),
    [(50, True), (51, True), (57, False), (70, False), (80, False), (90, False)],
)
def test_a_lossy_syntax_needs_no_flag(number: int, lossy: bool) -> None:
    ds = make_instance()
    raw = to_bytes(ds)
    head = part10_header(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid=f"1.2.840.10008.1.2.4.{number}",
    )
    assert read_index(head + raw[read_index(raw).data_set_offset :]).lossy is lossy


def test_lossy_by_transfer_syntax(data: Path) -> None:
    folder = data / "transfer_syntax/ctimage"
    lossy = {
        path.name.split("TransferSyntax")[0].removeprefix("CTImage.dcm_"): read_index(path).lossy
        for path in folder.iterdir()
    }
    assert {name for name, value in lossy.items() if value} >= {
        "JPEGProcess1",
        "JPEGProcess2_4",
        "JPEGProcess6_8",
        "JPEGProcess10_12",
    }
    assert not lossy["JPEG2000LosslessOnly"]
    assert not lossy["RLELossless"]


# --- Part 10 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ae_title", ["", "CT_NORTH", "ODD"])
def test_part10_header_is_read_by_pydicom(ae_title: str) -> None:
    ds = make_instance()
    raw = to_bytes(ds)
    body = raw[read_index(raw).data_set_offset :]
    head = part10_header(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        source_ae_title=ae_title,
    )
    assert head[:128] == bytes(128)
    theirs = pydicom.dcmread(io.BytesIO(head + body))
    meta = theirs.file_meta
    assert meta.FileMetaInformationGroupLength == len(head) - 144
    assert meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert meta.ImplementationVersionName == "NOCTIS_PRO"
    assert meta.ImplementationClassUID.is_valid
    assert meta.get("SourceApplicationEntityTitle", "") == ae_title
    assert theirs.PixelData == ds.PixelData
    index = read_index(head + body)
    assert index.data_set_offset == len(head)


def test_a_meta_group_of_many_elements() -> None:
    """Longer than the first read, as private information makes it."""
    ds = make_instance()
    ds.file_meta.PrivateInformationCreatorUID = "1.2.3"
    ds.file_meta.PrivateInformation = b"x" * 20_000
    raw = to_bytes(ds)
    index = read_index(raw)
    assert index.data_set_offset > 20_000
    assert index.rows == 64
    with pytest.raises(NotDicomError, match="group 0002"):
        read_index(raw[:15_000])


def test_the_preamble_is_zeroed() -> None:
    raw = to_bytes(make_instance())
    evil = b"<html><script>alert(1)</script>".ljust(128) + raw[128:]
    assert zero_preamble(evil) == bytes(128) + raw[128:]
    assert zero_preamble(raw[132:]) == raw[132:]


def test_an_index_moves_with_its_header(data: Path) -> None:
    path = data / "ct/enhanced/CT0012.fragmented_no_bot_jpeg_ls.80.dcm"
    raw = path.read_bytes()
    index = read_index(raw)
    head = part10_header(
        sop_class_uid=index.sop_class_uid,
        sop_instance_uid=index.sop_instance_uid,
        transfer_syntax_uid=index.transfer_syntax_uid,
        source_ae_title="A_LONGER_TITLE",
    )
    other = head + raw[index.data_set_offset :]
    moved = with_data_set_offset(index, len(head))
    assert moved == read_index(other)
    np.testing.assert_array_equal(
        decode_frame(other, PixelFacts.of(moved, moved.frames), 1),
        decode_frame(raw, PixelFacts.of(index, index.frames), 1),
    )
