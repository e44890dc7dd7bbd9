"""What segments, structures, doses and maps draw, against highdicom's and numpy's own reading."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, Sequence, dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from archive import access
from archive.access import Actor
from archive.errors import ForbiddenError, NotFoundError, UndecodableError
from dicom_viewer import derived
from imaging import masks
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.segmentations import described, segmented
from worklist.models import DicomImage, Facility

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

STUDY = "1.2.826.0.1.3680043.10.1338.7"
SPACE = f"{STUDY}.9"
AXIAL = [1, 0, 0, 0, 1, 0]


def stored(content: bytes, facility: Facility) -> DicomImage:
    result = factories.store_bytes(content, facility)
    return access.image_for(access.EVERYTHING, result.image_id)


def drawn(actor: Actor, image: DicomImage) -> tuple[dict[str, Any], bytes]:
    content = derived.drawn_by(actor, image.pk)
    length = int.from_bytes(content[:4], "little")
    return json.loads(content[4 : 4 + length]), content[4 + length :]


def mask_of(plane: dict[str, Any], payload: bytes) -> np.ndarray:
    runs = np.frombuffer(payload, "<u4")[plane["offset"] :][: plane["count"]]
    return masks.from_runs(runs, plane["Rows"], plane["Columns"])


def ct(slices: int = 4, rows: int = 12, columns: int = 10) -> list[Dataset]:
    series = generate_uid()
    return [
        make_instance(
            np.full((rows, columns), number, np.uint16),
            StudyInstanceUID=STUDY,
            SeriesInstanceUID=series,
            FrameOfReferenceUID=SPACE,
            InstanceNumber=number + 1,
            ImagePositionPatient=[10, 20, 30 + 2.5 * number],
            ImageOrientationPatient=AXIAL,
            PixelSpacing=[0.5, 0.25],
            SliceThickness=2.5,
        )
        for number in range(slices)
    ]


def made(images: list[Dataset], pixels: np.ndarray, kind: str, *names: str, **more: Any) -> bytes:
    red = highdicom.color.CIELabColor.from_rgb(255, 0, 0)
    parts = [described(at, name, display_color=red) for at, name in enumerate(names, start=1)]
    about = {"content_creator_name": "Segmenter^Sue", "series_description": "Muscles"}
    return to_bytes(segmented(images, pixels, kind, *parts, **about, **more))


@pytest.mark.parametrize(
    "name",
    ["liver", "liver_deflate", "liver_expb", "liver_j2k", "liver_rle", "liver_nonbyte_aligned_rle"],
)
def test_a_real_segmentation_in_every_transfer_syntax(
    data: Path, facility: Facility, reader: Actor, name: str
) -> None:
    reference = dcmread(data / f"seg/liver/{name.replace('_rle', '').replace('_expb', '')}.dcm")
    frames = dcmread(
        data / f"seg/liver/{'liver_nonbyte_aligned' if 'nonbyte' in name else 'liver'}.dcm"
    ).pixel_array
    image = stored((data / f"seg/liver/{name}.dcm").read_bytes(), facility)
    head, payload = drawn(reader, image)
    assert [plane["Rows"] for plane in head["planes"]] == [frames.shape[1]] * 3
    for plane, frame in zip(head["planes"], frames, strict=True):
        assert np.array_equal(mask_of(plane, payload), frame)
    functional = reference.PerFrameFunctionalGroupsSequence[1]
    source = functional.DerivationImageSequence[0].SourceImageSequence[0]
    assert head["planes"][1]["SOPInstanceUID"] == source.ReferencedSOPInstanceUID
    spacing = head["planes"][0]["PixelSpacing"]
    expected = np.count_nonzero(frames) * spacing[0] * spacing[1] * 1.0 / 1000
    assert head["parts"][0]["volume_ml"] == pytest.approx(expected)
    assert head["parts"][0]["volume_source"] == "Pixel Spacing x Spacing Between Slices (1 mm)"


def test_what_a_study_has_is_listed_with_its_origin(
    data: Path, facility: Facility, reader: Actor
) -> None:
    image = stored((data / "seg/liver/liver.dcm").read_bytes(), facility)
    (found,) = derived.derived_on(reader, image.series.study_id)["objects"]
    assert found["kind"] == "segmentation"
    assert found["Manufacturer"] == "QIICR https://github.com/fedorov/dcmqi.git"
    assert found["at"] == "2016-03-18 17:48"
    (part,) = found["parts"]
    # The colour by the formulas of CIE 15 and IEC 61966-2-1 for the stored L*a*b*.
    assert part == {
        "number": 1,
        "name": "Liver",
        "category": "Tissue",
        "type": "Liver",
        "algorithm": "SEMIAUTOMATIC",
        "algorithm_name": "SlicerEditor",
        "colour": "#d98265",
    }


def test_overlapping_segments_stay_apart(facility: Facility, reader: Actor) -> None:
    images = ct()
    pixels = np.zeros((4, 12, 10, 2), np.uint8)
    pixels[1:3, 2:8, 2:8, 0] = 1
    pixels[2, 5:11, 4:9, 1] = 1
    head, payload = drawn(reader, stored(made(images, pixels, "BINARY", "A", "B"), facility))
    found = np.zeros_like(pixels)
    uids = [image.SOPInstanceUID for image in images]
    for plane in head["planes"]:
        at = uids.index(plane["SOPInstanceUID"])
        found[at, ..., plane["part"] - 1] = mask_of(plane, payload)
        assert plane["ImagePositionPatient"] == [10, 20, 30 + 2.5 * at]
    assert np.array_equal(found, pixels)
    volumes = {part["number"]: part["volume_ml"] for part in head["parts"]}
    assert volumes == {1: pytest.approx(72 * 0.3125 / 1000), 2: pytest.approx(30 * 0.3125 / 1000)}


def test_shares_of_a_fractional_segmentation(facility: Facility, reader: Actor) -> None:
    pixels = np.zeros((4, 12, 10), np.float32)
    pixels[1, 3:6, 3:6] = 0.5
    pixels[1, 4, 4] = 1.0
    content = made(ct(), pixels, "FRACTIONAL", "A", max_fractional_value=100)
    image = stored(content, facility)
    head, payload = drawn(reader, image)
    (plane,) = head["planes"]
    mask = mask_of(plane, payload)
    assert sorted(set(mask.ravel().tolist())) == [0, 128, 255]
    assert mask[4, 4] == 255
    assert head["parts"][0]["volume_ml"] == pytest.approx((8 * 0.5 + 1) * 0.3125 / 1000)
    (found,) = derived.derived_on(reader, image.series.study_id)["objects"]
    assert found["notes"] == ["Fractional (probability): the outline is drawn at one half."]


def test_a_label_map(facility: Facility, reader: Actor) -> None:
    pixels = np.zeros((4, 12, 10), np.uint8)
    pixels[1, 2:5, 2:5] = 1
    pixels[2, 6:9, 1:9] = 2
    head, payload = drawn(reader, stored(made(ct(), pixels, "LABELMAP", "A", "B"), facility))
    by_place = {plane["ImagePositionPatient"][2]: plane for plane in head["planes"]}
    for number in (1, 2):
        plane = by_place[30 + 2.5 * number]
        assert plane["part"] is None
        assert np.array_equal(mask_of(plane, payload), pixels[number])


def dose(**changes: Any) -> Dataset:
    values = np.arange(3 * 4 * 5, dtype=np.uint32).reshape(3, 4, 5) * 1000
    keywords = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2",
        "Modality": "RTDOSE",
        "StudyInstanceUID": STUDY,
        "FrameOfReferenceUID": SPACE,
        "NumberOfFrames": 3,
        "ImagePositionPatient": [1, 2, 3],
        "ImageOrientationPatient": AXIAL,
        "PixelSpacing": [2, 2],
        "GridFrameOffsetVector": [0, 5, 10],
        "FrameIncrementPointer": 0x3004000C,
        "DoseUnits": "GY",
        "DoseType": "PHYSICAL",
        "DoseSummationType": "PLAN",
        "DoseGridScaling": "0.001",
    } | changes
    made_here = make_instance(values[0], **keywords)
    made_here.PixelData = values.tobytes()
    return made_here


@pytest.mark.parametrize(
    "offsets", [[0, 5, 10], [3, 8, 13]], ids=["from the first plane", "in the patient"]
)
def test_a_dose_in_gray_on_its_own_grid(
    facility: Facility, reader: Actor, offsets: list[float]
) -> None:
    image = stored(to_bytes(dose(GridFrameOffsetVector=offsets)), facility)
    head, payload = drawn(reader, image)
    values = np.frombuffer(payload, "<f4")
    # Dose Grid Scaling times what is stored.
    assert values.tolist() == pytest.approx(list(range(60)))
    assert (head["unit"], head["min"], head["max"]) == ("Gy", 0, pytest.approx(59))
    assert [plane["ImagePositionPatient"][2] for plane in head["planes"]] == [3, 8, 13]


def test_a_real_dose(data: Path, facility: Facility, reader: Actor) -> None:
    reference = dcmread(data / "rt/rtdose.dcm")
    # Its file header names another instance, which the archive refuses.
    reference.file_meta.MediaStorageSOPInstanceUID = reference.SOPInstanceUID
    head, payload = drawn(reader, stored(to_bytes(reference), facility))
    expected = reference.pixel_array * float(reference.DoseGridScaling)
    assert np.allclose(np.frombuffer(payload, "<f4"), expected.ravel(), rtol=1e-6)
    assert head["unit"] == "relative"


@pytest.mark.parametrize("name", ["float", "double_float"])
def test_a_real_parametric_map(data: Path, facility: Facility, reader: Actor, name: str) -> None:
    path = data / f"seg/paramap/parametric_map_{name}.dcm"
    head, payload = drawn(reader, stored(path.read_bytes(), facility))
    reference = dcmread(path)
    keyword = "FloatPixelData" if name == "float" else "DoubleFloatPixelData"
    expected = np.frombuffer(reference[keyword].value, "<f4" if name == "float" else "<f8")
    assert np.array_equal(np.frombuffer(payload, "<f4"), expected.astype(np.float32))
    assert head["planes"][0]["PixelSpacing"] == [0.661468, 0.661468]
    assert head["quantity"] == "feature_001"


def test_a_map_of_16_bits_with_its_unit(facility: Facility, reader: Actor) -> None:
    pixels = np.arange(4 * 12 * 10, dtype=np.uint16).reshape(4, 12, 10)
    images = ct()
    adc = highdicom.pm.ParametricMap(
        source_images=images,
        pixel_array=pixels,
        series_instance_uid=generate_uid(),
        series_number=31,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Maker",
        manufacturer_model_name="Model",
        software_versions="1",
        device_serial_number="1",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            highdicom.pm.RealWorldValueMapping(
                lut_label="1",
                lut_explanation="Diffusion",
                unit=codes.UCUM.SquareMillimeterPerSecond,
                value_range=(0, 4095),
                slope=0.5,
                intercept=-3,
                quantity_definition=codes.DCM.ApparentDiffusionCoefficient,
            )
        ],
        voi_lut_transformations=[highdicom.VOILUTTransformation(200, 400)],
    )
    head, payload = drawn(reader, stored(to_bytes(adc), facility))
    values = np.frombuffer(payload, "<f4")
    uids = [image.SOPInstanceUID for image in images]
    for plane in head["planes"]:
        own = values[plane["offset"] :][: plane["count"]]
        at = uids.index(plane["SOPInstanceUID"])
        assert own.tolist() == (pixels[at] * 0.5 - 3).ravel().tolist()
    assert (head["unit"], head["quantity"]) == ("mm2/s", "Apparent Diffusion Coefficient")


def test_real_structures(data: Path, facility: Facility, reader: Actor) -> None:
    path = data / "rt/breast/rtss.dcm"
    image = stored(path.read_bytes(), facility)
    reference = dcmread(path)
    head, payload = drawn(reader, image)
    points = np.frombuffer(payload, "<f4")
    heart = next(part for part in head["parts"] if part["number"] == 5)
    theirs = next(roi for roi in reference.ROIContourSequence if roi.ReferencedROINumber == 5)
    assert len(heart["contours"]) == len(theirs.ContourSequence)
    for ours, contour in zip(heart["contours"], theirs.ContourSequence, strict=True):
        own = points[ours["offset"] :][: 3 * ours["count"]]
        assert np.allclose(own, np.array(contour.ContourData, float), atol=1e-3)
        named = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
        assert ours["SOPInstanceUID"] == named
    (found,) = derived.derived_on(reader, image.series.study_id)["objects"]
    names = [(part["name"], part["colour"]) for part in found["parts"]]
    assert names[:2] == [("BODY", "#9a9b64"), ("Areola", "#ffccff")]
    assert found["label"] == "CT_1"


def test_the_volume_of_a_structure_with_a_hole() -> None:
    from imaging.derived import Contour

    def box(side: float, z: float) -> Contour:
        half = side / 2
        corners = [(-half, -half), (half, -half), (half, half), (-half, half)]
        return Contour(tuple((x, y, z) for x, y in corners), is_closed=True)

    outlines = [box(side, z) for z in (0.0, 4.0, 8.0) for side in (20.0, 10.0)]
    volume = masks.volume_of_contours(outlines)
    assert volume.millilitres == pytest.approx((400 - 100) * 3 * 4 / 1000)


def unruly(pick: str) -> bytes:
    pixels = np.zeros((4, 12, 10), np.uint8)
    pixels[1, 2:5, 2:5] = 1
    content = dcmread(io.BytesIO(made(ct(), pixels, "BINARY", "A")))
    if pick == "unknown segment":
        group = content.SharedFunctionalGroupsSequence[0]
        group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 7
    elif pick == "no frames described":
        content.PerFrameFunctionalGroupsSequence = Sequence()
    elif pick == "unknown type":
        content.SegmentationType = "VECTOR"
    elif pick == "more frames than bytes":
        first = content.PerFrameFunctionalGroupsSequence[0]
        content.PerFrameFunctionalGroupsSequence = Sequence([first] * 500)
        content.NumberOfFrames = 500
    return to_bytes(content)


@pytest.mark.parametrize(
    ("pick", "words"),
    [
        ("unknown segment", "does not describe"),
        ("no frames described", "describes fewer frames"),
        ("unknown type", "VECTOR"),
        ("more frames than bytes", "frame"),
    ],
)
def test_damaged_objects_say_why(facility: Facility, reader: Actor, pick: str, words: str) -> None:
    image = stored(unruly(pick), facility)
    with pytest.raises(UndecodableError, match=words):
        derived.drawn_by(reader, image.pk)
    # The list does not fail for one bad object.
    assert len(derived.derived_on(reader, image.series.study_id)["objects"]) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"DoseGridScaling": None}, "Dose Grid Scaling"),
        ({"GridFrameOffsetVector": [0, 5]}, "Grid Frame Offset Vector"),
        ({"PixelSpacing": None}, "where its grid lies"),
    ],
    ids=["no scaling", "too few offsets", "no spacing"],
)
def test_doses_that_mean_nothing(
    facility: Facility, reader: Actor, changes: dict[str, Any], words: str
) -> None:
    image = stored(to_bytes(dose(**changes)), facility)
    with pytest.raises(UndecodableError, match=words):
        derived.drawn_by(reader, image.pk)


def test_too_large_an_object_is_refused_before_it_is_read(
    facility: Facility, reader: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = stored(to_bytes(dose()), facility)
    monkeypatch.setattr(derived, "MOST_PIXELS", 59)
    with pytest.raises(UndecodableError, match="more pixels than are shown"):
        derived.drawn_by(reader, image.pk)


def test_other_facilities_and_other_objects(
    facility: Facility, other_facility: Facility, reader: Actor
) -> None:
    theirs = stored(to_bytes(dose()), other_facility)
    with pytest.raises(ForbiddenError):
        derived.drawn_by(reader, theirs.pk)
    with pytest.raises(ForbiddenError):
        derived.derived_on(reader, theirs.series.study_id)
    ours = stored(to_bytes(ct()[0]), facility)
    with pytest.raises(NotFoundError, match="draws nothing"):
        derived.drawn_by(reader, ours.pk)
