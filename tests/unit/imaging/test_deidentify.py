"""The confidentiality profile: nothing of the person passes, options keep what they name."""

from __future__ import annotations

import hashlib
import io
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from imaging.deidentify import Identity, Options, burned_in_risk, deidentify, left_of, secrets_of
from tests.dicom import make_instance, to_bytes

NAMES = ("Wurstsemmel", "Kunigunde", "Zacharias", "Überlinger")
DAYS = ("19430817", "20260102", "20251224")
UIDS = ("1.2.840.99999.4711.1", "1.2.840.99999.4711.2", "1.2.840.99999.4711.3")


def new_uid(uid: str) -> str:
    return f"2.25.{int(hashlib.sha256(uid.encode()).hexdigest()[:30], 16)}"


IDENTITY = Identity(subject="SUBJ-7", shift_days=-100, new_uid=new_uid)


def item(**keywords: Any) -> Dataset:
    made = Dataset()
    for keyword, value in keywords.items():
        setattr(made, keyword, value)
    return made


def talkative() -> Dataset:
    """An image that says whose it is in every kind of place."""
    made = make_instance(
        SpecificCharacterSet="ISO_IR 192",
        PatientName="Wurstsemmel^Kunigunde=日本太郎",
        PatientID="MRN-558811",
        PatientBirthDate=DAYS[0],
        PatientAge="093Y",
        PatientWeight="71",
        PatientComments="Kunigunde is afraid of needles",
        AccessionNumber="ACC-7733",
        ReferringPhysicianName="Zacharias^Otto",
        StudyInstanceUID=UIDS[0],
        SeriesInstanceUID=UIDS[1],
        SOPInstanceUID=UIDS[2],
        FrameOfReferenceUID=UIDS[0] + ".9",
        StudyDate=DAYS[1],
        SeriesDate=DAYS[1],
        AcquisitionDateTime=DAYS[2] + "121314.5",
        StudyDescription="Head of Wurstsemmel 2026-01-02",
        SeriesDescription="t1 axial",
        InstitutionName="Klinik Überlinger",
        Manufacturer="Scanner by Zacharias",
        StationName="CT-ROOM-3",
        DeviceSerialNumber="SN-1000-1",
        ConvolutionKernel="B30f",
        ImageComments="for Dr. Zacharias",
        ImageType=["ORIGINAL", "PRIMARY"],
    )
    made.RequestAttributesSequence = [item(RequestedProcedureID="ACC-7733")]
    made.ReferencedImageSequence = [
        item(ReferencedSOPClassUID=made.SOPClassUID, ReferencedSOPInstanceUID=UIDS[1] + ".5")
    ]
    made.AnatomicRegionSequence = [
        item(CodeValue="69536005", CodingSchemeDesignator="SCT", CodeMeaning="Head of Kunigunde")
    ]
    block = made.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", 1000)
    block.add_new(0x50, "LO", "Wurstsemmel")
    made.private_block(0x0099, "ACME", create=True).add_new(1, "LO", "Kunigunde")
    made.add_new(0x60000010, "US", 8)
    made.add_new(0x60004000, "LT", "Wurstsemmel")
    made.file_meta.SourceApplicationEntityTitle = "ZACHARIAS"
    made.file_meta.MediaStorageSOPInstanceUID = UIDS[2]
    return made


def cleaned(options: Options, dataset: Dataset | None = None) -> tuple[Dataset, bytes]:
    source = dcmread(io.BytesIO(to_bytes(dataset or talkative())))
    secrets = secrets_of(source)
    source.decode()
    deidentify(source, options, IDENTITY, secrets)
    source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
    content = to_bytes(source)
    assert left_of(content, secrets, options) == ""
    return dcmread(io.BytesIO(content)), content


def test_no_byte_tells_whose_it_is() -> None:
    result, content = cleaned(Options())
    folded = content.lower()
    for word in (*NAMES, "日本太郎", "MRN-558811", "ACC-7733", "CT-ROOM", "SN-1000", "ACME"):
        assert word.lower().encode() not in folded, word
    for secret in (*DAYS, *UIDS):
        assert secret.encode() not in content, secret
    assert (result.PatientName, result.PatientID) == ("SUBJ-7", "SUBJ-7")
    assert result.StudyInstanceUID == new_uid(UIDS[0])
    assert result.ReferencedImageSequence[0].ReferencedSOPInstanceUID == new_uid(UIDS[1] + ".5")
    assert result.ReferencedImageSequence[0].ReferencedSOPClassUID == talkative().SOPClassUID
    assert result.StudyDate == result.PatientBirthDate == ""
    assert "PatientAge" not in result
    assert "StudyDescription" not in result
    assert not any(element.tag.is_private or element.tag.group == 0x6000 for element in result)
    # What no person is named by stays.
    assert result.PixelData == talkative().PixelData
    assert (result.ConvolutionKernel, list(result.ImageType)) == ("B30f", ["ORIGINAL", "PRIMARY"])
    assert result.Manufacturer == ""
    assert result.AnatomicRegionSequence[0].CodeValue == "69536005"
    assert result.PatientIdentityRemoved == "YES"
    assert result.LongitudinalTemporalInformationModified == "REMOVED"
    (method,) = result.DeidentificationMethodCodeSequence
    assert method.CodeValue == "113100"


@pytest.mark.parametrize(
    ("options", "kept", "code"),
    [
        (Options(dates="kept"), {"StudyDate": DAYS[1], "PatientBirthDate": ""}, "113106"),
        (Options(dates="shifted"), {"StudyDate": "20250924",
                                    "AcquisitionDateTime": "20250915121314.5"}, "113107"),
        (Options(patient=True), {"PatientAge": "090Y", "PatientWeight": 71}, "113108"),
        (Options(device=True), {"DeviceSerialNumber": "SN-1000-1", "StationName": "CT-ROOM-3"},
         "113109"),
        (Options(uids=True), {"StudyInstanceUID": UIDS[0]}, "113110"),
        (Options(descriptors=True), {"StudyDescription": "Head of",
                                     "SeriesDescription": "t1 axial"}, "113105"),
    ],
    ids=["dates", "shifted", "patient", "device", "uids", "descriptors"],
)  # fmt: skip
def test_an_option_keeps_what_it_names(options: Options, kept: dict[str, Any], code: str) -> None:
    result, content = cleaned(options)
    assert {keyword: result[keyword].value for keyword in kept} == kept
    codes = [one.CodeValue for one in result.DeidentificationMethodCodeSequence]
    assert codes == ["113100", code]
    for word in NAMES:
        assert word.lower().encode() not in content.lower()


def test_safe_private_elements_stay_and_no_others() -> None:
    result, content = cleaned(Options(private=True))
    assert result.private_block(0x0019, "SIEMENS MR HEADER")[0x0C].value == 1000
    assert b"Wurstsemmel" not in content
    assert b"ACME" not in content


def test_what_still_tells_is_found() -> None:
    secrets = secrets_of(talkative())
    plain = to_bytes(make_instance(StudyDate="", PatientName="A", PatientID="B"))
    assert left_of(plain, secrets, Options()) == ""
    assert left_of(plain + b" kunigunde ", secrets, Options()) == "a name or number"
    assert left_of(plain + "ÜBERLINGER".encode() + b" Zacharias", secrets, Options()) != ""
    assert left_of(plain + UIDS[1].encode(), secrets, Options()) == "a UID"
    assert left_of(plain + UIDS[1].encode(), secrets, Options(uids=True)) == ""
    assert left_of(plain + b" 19430817 ", secrets, Options()) == "a date"
    # Part of a longer number or word is another one.
    assert left_of(plain + b"119430817", secrets, Options()) == ""


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({}, ""),
        ({"BurnedInAnnotation": "YES"}, "burned into"),
        ({"Modality": "US"}, "often has words"),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, ""),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, "secondary capture"),
        ({"ConversionType": "DF"}, "digitised"),
    ],
    ids=["plain", "says so", "ultrasound", "free", "capture", "film"],
)
def test_pictures_with_words_are_told(keywords: dict[str, str], words: str) -> None:
    risk = burned_in_risk(make_instance(**keywords))
    assert (words in risk) if words else risk == ""


def test_overlays_inside_of_pixels_are_told() -> None:
    made = make_instance(BurnedInAnnotation="NO")
    made.add_new(0x60000102, "US", 0)
    assert burned_in_risk(made) == ""
    made.add_new(0x60020102, "US", 15)
    assert "unused bits" in burned_in_risk(made)


REAL = {
    "ct": "study_ct_sr",
    "mr": "study_mr_multiseries",
    "chest": "cr_dx_mg",
    "nuclear": "pt_nm",
    "charsets": "charset",
}


@pytest.mark.parametrize("folder", REAL.values(), ids=REAL.keys())
def test_no_byte_of_real_files_tells(data: Path, folder: str) -> None:
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted((data / folder).rglob("*"))[:25]:
            try:
                source = dcmread(path)
            except (InvalidDicomError, OSError):
                continue  # The folders hold other files and folders, too.
            if not {"SOPInstanceUID", "StudyInstanceUID"} <= set(source.dir()):
                continue
            secrets = secrets_of(source)
            source.decode()
            source.SpecificCharacterSet = "ISO_IR 192"
            deidentify(source, Options(), IDENTITY, secrets)
            source.pop("PixelData", None)
            source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
            content = to_bytes(source)
            for uid in secrets.uids:
                assert uid.encode() + b"\0" not in content + b"\0"
            for day in secrets.days:
                assert day.encode() not in content, (path, day)
            assert left_of(content, secrets, Options()) == "", path
            count += 1
    assert count >= 1


@pytest.mark.peers
def test_the_result_is_what_the_standard_wants(data: Path, tmp_path: Path) -> None:
    before = data / "ct/head_phantom_1mm/I1000"
    _, content = cleaned(Options(dates="shifted", patient=True), dcmread(before))
    after = tmp_path / "after.dcm"
    after.write_bytes(content)

    def errors(path: Path) -> set[str]:
        told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        lines = (told.stdout + told.stderr).splitlines()
        return {line for line in lines if line.startswith(("Error", "Abort"))}

    assert errors(after) <= errors(before)
