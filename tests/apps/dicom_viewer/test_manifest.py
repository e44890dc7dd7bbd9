"""The manifest: against the files themselves, in a number of queries that does not grow.

Not here: who may have it (tests/doors/test_viewer_api.py), pixels (the sidecar's tests).
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from PIL import Image as PillowImage
from pydicom.uid import ComputedRadiographyImageStorage, generate_uid

from accounts.models import User
from archive import access, retrieve, runner, stores
from archive.access import Actor
from archive.models import Job
from dicom_viewer import manifest, series
from dicom_viewer.models import WindowLevelPreset
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Series, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

AXIAL = [1, 0, 0, 0, 1, 0]


def study_of(result: Any) -> Study:
    return access.study_for(access.EVERYTHING, result.study_id)


def build(reader: Actor, radiologist: User, study: Study) -> dict[str, Any]:
    return manifest.build(reader, radiologist, study)


def slices(
    owner: Facility, places: list[tuple[int | None, float]], **keywords: Any
) -> tuple[Study, list[str]]:
    """Store one slice for each (Instance Number, z in mm); returns their UIDs as stored."""
    study_uid, series_uid = generate_uid(), generate_uid()
    uids = []
    for number, z in places:
        ds = make_instance(
            StudyInstanceUID=study_uid,
            SeriesInstanceUID=series_uid,
            InstanceNumber=number,
            ImagePositionPatient=[0, 0, z],
            ImageOrientationPatient=AXIAL,
            **keywords,
        )
        uids.append(str(ds.SOPInstanceUID))
        result = factories.store_bytes(to_bytes(ds), owner)
    return study_of(result), uids


def reading_order(study: Study) -> list[str]:
    (only,) = manifest.series_documents(study)
    return [image["SOPInstanceUID"] for image in only["images"]]


@pytest.fixture
def head(data: Path, facility: Facility) -> Study:
    for path in sorted((data / "ct" / "head_phantom_1mm").iterdir())[:12]:
        result = factories.store_file(path, facility)
    return study_of(result)


def test_facts_are_those_of_the_file(
    data: Path, head: Study, reader: Actor, radiologist: User
) -> None:
    document = build(reader, radiologist, head)
    (ct,) = document["series"]
    files = [
        pydicom.dcmread(path, stop_before_pixels=True)
        for path in sorted((data / "ct" / "head_phantom_1mm").iterdir())[:12]
    ]
    by_uid = {str(ds.SOPInstanceUID): ds for ds in files}
    assert {image["SOPInstanceUID"] for image in ct["images"]} == set(by_uid)
    for image in ct["images"]:
        ds = by_uid[image["SOPInstanceUID"]]
        assert image["Rows"] == ds.Rows
        assert image["InstanceNumber"] == ds.InstanceNumber
        assert image["PixelSpacing"] == list(ds.PixelSpacing)
        assert image["ImagePositionPatient"] == list(ds.ImagePositionPatient)
        assert image["WindowCenter"] == list(ds.WindowCenter)
        assert image["RescaleIntercept"] == ds.RescaleIntercept
        assert image["AcquisitionDate"] == "2015-02-06"
        assert image["AcquisitionTime"] == "09:29:21"
        assert image["TransferSyntaxUID"] == ds.file_meta.TransferSyntaxUID
        assert image["transport"] == "jphc"
        assert image["problem"] is None
    assert ct["FrameOfReferenceUID"] == files[0].FrameOfReferenceUID
    assert document["study"]["StudyDate"] == "2015-02-06"
    assert document["study"]["StudyTime"] == "09:28:15"
    assert document["study"]["NumberOfStudyRelatedInstances"] == 12
    assert document["patient"]["PatientID"] == "PLASTIC"
    assert document["patient"]["PatientBirthDate"] is None


def test_the_preview_is_a_small_picture_of_the_middle_slice(
    head: Study, reader: Actor, radiologist: User
) -> None:
    document = build(reader, radiologist, head)
    first = document["first_image"]
    (ct,) = document["series"]
    assert first["image_id"] == ct["images"][5]["id"]
    assert (first["window_center"], first["window_width"]) == (40, 80)
    head_text, _, content = first["preview"].partition(",")
    assert head_text == "data:image/jpeg;base64"
    assert len(first["preview"]) <= 128 * 1024
    picture = np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(content))))
    assert picture.shape == (512, 512)
    assert picture.std() > 20


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        pytest.param([(1, 30.0), (2, 20.0), (3, 10.0)], [0, 1, 2], id="numbered from the head"),
        pytest.param([(1, 10.0), (2, 20.0), (3, 30.0)], [0, 1, 2], id="numbered from the feet"),
        pytest.param(
            [(1, 10.0), (4, 20.0), (3, 30.0), (2, 40.0), (5, 50.0), (6, 60.0)],
            [0, 1, 2, 3, 4, 5],
            id="some numbers out of place",
        ),
        pytest.param([(None, 30.0), (None, 10.0), (None, 20.0)], [1, 2, 0], id="without numbers"),
        pytest.param(
            [(1, 10.0), (2, 20.0), (3, 10.0), (4, 20.0)], [0, 1, 2, 3], id="two phases by number"
        ),
    ],
)
def test_reading_order(
    facility: Facility, places: list[tuple[int | None, float]], expected: list[int]
) -> None:
    study, uids = slices(facility, places)
    found = [uids.index(uid) for uid in reading_order(study)]
    if places[0][0] is None:
        # Which way round is nobody's word here; what lies beside each other is.
        assert found in (expected, expected[::-1])
    else:
        assert found == expected


def test_a_localizer_of_two_directions_is_ordered_by_number(facility: Facility) -> None:
    study_uid, series_uid = generate_uid(), generate_uid()
    for number, orientation in ((2, [1, 0, 0, 0, 0, -1]), (1, [0, 1, 0, 0, 0, -1])):
        ds = make_instance(
            StudyInstanceUID=study_uid,
            SeriesInstanceUID=series_uid,
            InstanceNumber=number,
            ImagePositionPatient=[0, 0, 0],
            ImageOrientationPatient=orientation,
        )
        result = factories.store_bytes(to_bytes(ds), facility)
    (only,) = manifest.series_documents(study_of(result))
    assert [image["InstanceNumber"] for image in only["images"]] == [1, 2]


def test_queries_do_not_grow_with_images(
    facility: Facility, reader: Actor, radiologist: User
) -> None:
    few, _ = slices(facility, [(n, float(n)) for n in range(2)])
    many, _ = slices(facility, [(n, float(n)) for n in range(30)])
    counts = []
    for study in (few, many):
        build(reader, radiologist, study)  # the preview is made once
        with CaptureQueriesContext(connection) as queries:
            build(reader, radiologist, access.study_for(reader.scope, study.pk))
        counts.append(len(queries))
    assert counts[0] == counts[1]
    runner.drain()
    for row in Series.objects.all():
        series.keep(row)
    with CaptureQueriesContext(connection) as queries:
        build(reader, radiologist, access.study_for(reader.scope, many.pk))
    # One of them asks for the series of the prior that may hang beside it.
    assert len(queries) <= 12
    # What is kept saves reading the image rows.
    assert len(queries) == counts[1] - 2


def test_what_is_kept_is_what_is_built_and_grows_with_the_series(facility: Facility) -> None:
    study, _ = slices(facility, [(1, 10.0), (2, 20.0)])
    row = study.series.get()
    assert series.kept_images(row) is None
    fresh = manifest.series_documents(study)
    series.keep(row)
    row.refresh_from_db()
    assert series.kept_images(row) == fresh[0]["images"]
    assert manifest.series_documents(study) == fresh
    ds = make_instance(
        StudyInstanceUID=study.study_instance_uid,
        SeriesInstanceUID=row.series_instance_uid,
        InstanceNumber=3,
        ImagePositionPatient=[0, 0, 30],
        ImageOrientationPatient=AXIAL,
    )
    factories.store_bytes(to_bytes(ds), facility)
    row.refresh_from_db()
    assert series.kept_images(row) is None
    assert len(manifest.series_documents(study)[0]["images"]) == 3


def test_arriving_images_queue_the_metadata(facility: Facility) -> None:
    study, _ = slices(facility, [(1, 10.0), (2, 20.0)])
    runner.dispatch()
    series.make_metadata(str(study.series.get().pk))
    kept = series.kept_images(study.series.get())
    assert kept is not None
    assert len(kept) == 2


def test_the_first_picture_is_made_before_anybody_asks(
    facility: Facility, reader: Actor, radiologist: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _ = slices(facility, [(1, 10.0), (2, 20.0)])
    series.make_metadata(str(study.series.get().pk))
    (job,) = Job.objects.filter(kind="study.preview")
    manifest.warm_preview(**job.payload)

    def refuse(*_: object) -> None:
        raise AssertionError("the picture is made again")

    monkeypatch.setattr(retrieve, "_make_preview", refuse)
    first = build(reader, radiologist, study)["first_image"]
    assert first["preview"].startswith("data:image/jpeg;base64,")


def test_a_picture_that_cannot_be_made_leaves_the_rest(
    facility: Facility, reader: Actor, radiologist: User
) -> None:
    study, _ = slices(facility, [(1, 10.0)])
    image = study.series.get().images.get()
    stores.instances().delete(image.storage_key)
    first = build(reader, radiologist, study)["first_image"]
    assert first["image_id"] == str(image.pk)
    assert first["preview"] is None


def test_a_problem_found_later_shows_at_once(facility: Facility) -> None:
    study, _ = slices(facility, [(1, 10.0), (2, 20.0)])
    row = study.series.get()
    series.keep(row)
    row.images.filter(instance_number=2).update(problem="The picture is damaged. Send it again.")
    images = manifest.series_documents(study)[0]["images"]
    assert [image["transport"] for image in images] == ["jphc", None]
    assert images[1]["problem"] == "The picture is damaged. Send it again."


@pytest.mark.parametrize(
    ("path", "kind", "transport", "words"),
    [
        ("sr/reportsi.dcm", "document", None, "structured report"),
        ("waveform/waveform_ecg.dcm", "waveform", None, "electrocardiogram"),
        ("pr_pdf_stl/sample-pdf.dcm", "document", None, "PDF document"),
        ("rt/breast/rtplan.dcm", "other", None, "radiotherapy plan"),
        ("rt/rtdose_rle.dcm", "image", "raw", None),
        ("seg/paramap/parametric_map_float.dcm", "image", "raw", None),
        ("us/cine/IM00001.implicit_little_endian.dcm", "image", "jphc", None),
    ],
)
def test_kinds_of_series(
    data: Path, facility: Facility, path: str, kind: str, transport: str | None, words: str | None
) -> None:
    result = factories.store_file(data / path, facility)
    documents = manifest.series_documents(study_of(result))
    (only,) = documents
    assert only["kind"] == kind
    (image,) = only["images"]
    assert image["transport"] == transport
    assert (image["problem"] is None) == (words is None)
    if words:
        assert words in image["problem"]
        assert image["file_url"].endswith(f"{image['id']}/file")
        assert manifest.first_image(documents) is None


def test_frames_of_an_enhanced_image_have_their_own_places(data: Path, facility: Facility) -> None:
    path = next(p for p in sorted((data / "ct" / "enhanced").iterdir()) if p.is_file())
    result = factories.store_file(path, facility)
    (only,) = manifest.series_documents(study_of(result))
    (image,) = only["images"]
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    assert image["NumberOfFrames"] == ds.NumberOfFrames == only["frame_count"]
    theirs = [
        list(group.PlanePositionSequence[0].ImagePositionPatient)
        for group in ds.PerFrameFunctionalGroupsSequence
    ]
    assert [frame["ImagePositionPatient"] for frame in image["frames"]] == theirs


def test_series_stand_by_number_and_reading_begins_behind_the_localizer(
    facility: Facility, reader: Actor, radiologist: User
) -> None:
    study_uid = generate_uid()
    for number, image_type in ((3, "AXIAL"), (1, "LOCALIZER"), (None, "AXIAL"), (2, "AXIAL")):
        ds = make_instance(
            StudyInstanceUID=study_uid, ImageType=["ORIGINAL", "PRIMARY", image_type]
        )
        ds.SeriesNumber = number
        result = factories.store_bytes(to_bytes(ds), facility)
    document = build(reader, radiologist, study_of(result))
    assert [entry["SeriesNumber"] for entry in document["series"]] == [1, 2, 3, None]
    assert document["first_image"]["series_id"] == document["series"][1]["id"]


def test_presets_are_the_sites_then_ones_own(
    facility: Facility, reader: Actor, radiologist: User, admin_user: User
) -> None:
    for user, name in ((radiologist, "Mine"), (admin_user, "Theirs")):
        WindowLevelPreset.objects.create(
            user=user, name=name, modality="CT", window_center=1, window_width=2
        )
    study, _ = slices(facility, [(1, 0.0)])
    presets = build(reader, radiologist, study)["presets"]
    assert [preset["name"] for preset in presets[:2]] == ["Abdomen", "Lung"]
    assert presets[1] | {"id": ""} == {
        "id": "",
        "name": "Lung",
        "Modality": "CT",
        "window_center": -600.0,
        "window_width": 1500.0,
        "key": "2",
        "is_site": True,
    }
    assert presets[-1]["name"] == "Mine"
    assert presets[-1]["is_site"] is False
    assert "Theirs" not in {preset["name"] for preset in presets}


def test_an_image_class_without_pixels_says_that_they_are_missing(facility: Facility) -> None:
    ds = make_instance(Modality="CR", SOPClassUID=ComputedRadiographyImageStorage, PixelData=None)
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(ds, keyword)
    result = factories.store_bytes(to_bytes(ds), facility)
    (only,) = manifest.series_documents(study_of(result))
    (image,) = only["images"]
    assert "(Computed Radiography Image) has no pixel data" in image["problem"]
    assert image["transport"] is None


def test_facts_of_a_modality_lut_are_those_of_its_output(data: Path, facility: Facility) -> None:
    result = factories.store_file(data / "lut_overlay/mlut_18.dcm", facility)
    (only,) = manifest.series_documents(study_of(result))
    (image,) = only["images"]
    assert (image["RescaleSlope"], image["RescaleIntercept"]) == (1, 0)
    assert (image["BitsAllocated"], image["PixelRepresentation"]) == (16, 0)
    assert image["transport"] == "jphc"
    assert image["digest"].endswith("-m")
    assert image["hidden"] == []


def test_voi_luts_are_described_and_their_values_given(data: Path, facility: Facility) -> None:
    result = factories.store_file(data / "lut_overlay/vlut_04.dcm", facility)
    (only,) = manifest.series_documents(study_of(result))
    (image,) = only["images"]
    expected = pydicom.dcmread(data / "lut_overlay/vlut_04.dcm").VOILUTSequence[0]
    described = {"LUTExplanation": None, "LUTDescriptor": [256, 0, 16]}
    assert image["VOILUTSequence"] == [described]
    row = DicomImage.objects.get(pk=image["id"])
    (table,) = series.voi_lut_documents(row)
    assert described.items() <= table.items()
    given = np.frombuffer(base64.b64decode(table["LUTData"]), "<u2")
    assert given.tolist() == expected.LUTData
    assert image["hidden"] == []


def test_overlays_and_the_unit_of_pet_are_named(data: Path, facility: Facility) -> None:
    result = factories.store_file(data / "lut_overlay/ovly_p01.dcm", facility)
    (only,) = manifest.series_documents(study_of(result))
    assert only["images"][0]["hidden"] == ["OverlayData"]
    result = factories.store_file(data / "pt_nm/GH184.dcm", facility)
    (only,) = manifest.series_documents(study_of(result))
    assert only["images"][0]["Units"] == "BQML"
