"""What is drawn becomes objects of the study; what came with it is shown and never changed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydicom import Dataset, dcmread

from archive import access, stores
from archive.access import Actor
from archive.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
)
from archive.models import AuditEvent
from dicom_viewer import found, results, services
from dicom_viewer.bodies import DrawingBody, ResultsBody
from dicom_viewer.models import StoredResult
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

STUDY = "1.2.826.0.1.3680043.10.1338.1"


@pytest.fixture
def study(facility: Facility, store: object) -> Study:
    for number in (1, 2):
        content = to_bytes(
            make_instance(
                StudyInstanceUID=STUDY,
                SeriesInstanceUID=f"{STUDY}.{number}",
                SeriesNumber=number,
                PatientName="Müller^Änne",
                SpecificCharacterSet="ISO_IR 100",
                PatientSex="unlawful",
            )
        )
        study_id = factories.store_bytes(content, facility).study_id
    return access.study_for(access.EVERYTHING, study_id)


@pytest.fixture
def draw(reader: Actor, study: Study) -> Callable[..., Any]:
    def make(series_number: int = 1, **changes: Any) -> Any:
        image = study.series.get(series_number=series_number).images.get()
        values: dict[str, Any] = {
            "kind": "length",
            "SeriesInstanceUID": image.series.series_instance_uid,
            "SOPInstanceUID": image.sop_instance_uid,
            "points": [(1.5, 2.0), (30.0, 40.25)],
            "value": 47.75,
            "unit": "mm",
            "unit_source": "PixelSpacing",
        }
        return services.create_drawing(
            reader, study.pk, DrawingBody.model_validate(values | changes)
        )

    return make


def asked(*kinds: str, **more: Any) -> ResultsBody:
    return ResultsBody.model_validate({"kinds": kinds, **more})


def file_of(row: StoredResult) -> Dataset:
    with stores.instances().open(row.image.storage_key) as handle:
        return dcmread(io.BytesIO(handle.read()))


def test_everything_drawn_becomes_objects_of_the_study(
    reader: Actor, study: Study, draw: Callable[..., Any]
) -> None:
    first, second = draw(), draw(2, label="here")
    before = set(DicomImage.objects.values_list("sha256", flat=True))
    stored = results.store_results(reader, study.pk, asked("sr", "gsps", "ko"))
    assert [row.kind for row in stored] == ["sr", "gsps", "gsps", "ko"]
    assert before < set(DicomImage.objects.values_list("sha256", flat=True))
    report, one, other, keys = map(file_of, stored)
    for made in (report, one, other, keys):
        assert made.StudyInstanceUID == STUDY
        assert made.PatientName == "Müller^Änne"
        assert (made.PatientID, made.AccessionNumber) == ("P1", "A1")
        assert made.PatientSex == "unlawful"
        assert made.InstitutionName == "North Clinic"
    assert len({made.SeriesInstanceUID for made in (report, one, other, keys)}) == 3
    assert [made.SeriesNumber for made in (report, one, keys)] == [9001, 9002, 9003]
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    assert [made.ReferencedSeriesSequence[0].SeriesInstanceUID for made in (one, other)] == [
        f"{STUDY}.1",
        f"{STUDY}.2",
    ]
    assert stored[0].contents == {"drawings": {str(first.pk): 1, str(second.pk): 1}}
    images = [item for item in keys.ContentSequence if item.ValueType == "IMAGE"]
    assert len(images) == 2
    assert AuditEvent.objects.filter(verb="result.store").count() == 4
    assert [row.pk for row in results.results_of(reader, study.pk)] == [row.pk for row in stored]


def test_the_same_again_is_refused_and_a_change_is_a_new_version(
    reader: Actor, study: Study, draw: Callable[..., Any]
) -> None:
    draw()
    (first,) = results.store_results(reader, study.pk, asked("sr"))
    with pytest.raises(ConflictError, match="stored in the study already"):
        results.store_results(reader, study.pk, asked("sr"))
    draw(2)
    (second,) = results.store_results(reader, study.pk, asked("sr"))
    previous = file_of(second).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    kept = file_of(first)
    assert previous.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == kept.SOPInstanceUID
    assert file_of(second).SeriesNumber == kept.SeriesNumber + 1


def test_key_images_are_those_that_are_named(reader: Actor, study: Study) -> None:
    image = study.series.get(series_number=2).images.get()
    body = asked("ko", key_images=[{"SOPInstanceUID": image.sop_instance_uid}], description="why")
    (row,) = results.store_results(reader, study.pk, body)
    items = {item.ValueType: item for item in file_of(row).ContentSequence}
    reference = items["IMAGE"].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == image.sop_instance_uid
    assert "ReferencedFrameNumber" not in reference
    assert items["TEXT"].TextValue == "why"


def test_what_cannot_be_written_says_why(
    reader: Actor, study: Study, draw: Callable[..., Any], facility: Facility
) -> None:
    with pytest.raises(InvalidInputError, match="Measure something first"):
        results.store_results(reader, study.pk, asked("sr"))
    with pytest.raises(InvalidInputError, match="Name key images"):
        results.store_results(reader, study.pk, asked("ko"))
    elsewhere = factories.store_bytes(to_bytes(make_instance()), facility)
    foreign = access.image_for(access.EVERYTHING, elsewhere.image_id)
    for key in (
        {"SOPInstanceUID": foreign.sop_instance_uid},
        {"SOPInstanceUID": study.series.first().images.get().sop_instance_uid, "frame_number": 2},  # type: ignore[union-attr]
    ):
        with pytest.raises(NotFoundError):
            results.store_results(reader, study.pk, asked("ko", key_images=[key]))
    onlooker = access.actor_of(factories.user("vera", members_of=[facility]))
    draw()
    with pytest.raises(ForbiddenError):
        results.store_results(onlooker, study.pk, asked("sr"))
    assert not StoredResult.objects.exists()


def test_a_report_has_an_end(
    reader: Actor, study: Study, draw: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_MOST_DRAWINGS", 1)
    draw()
    draw()
    with pytest.raises(TooLargeError, match="2 drawings are more"):
        results.store_results(reader, study.pk, asked("sr"))
    assert results.store_results(reader, study.pk, asked("ko"))


def found_in(actor: Actor, study_id: UUID) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = found.found_on(actor, study_id)["objects"]
    return objects


def test_what_another_maker_measured_is_shown(
    reader: Actor, facility: Facility, data: Path
) -> None:
    for name in ("squares", "dwv_sr-ruler", "dwv_sr-roi"):
        result = factories.store_file(data / f"sr/dwv/{name}.dcm", facility)
    objects = found_in(reader, result.study_id)
    assert [len(one["drawings"]) for one in objects] == [3, 3]
    rulers = next(one for one in objects if one["at"].startswith("2025-04-09"))
    drawing = rulers["drawings"][0]
    assert drawing["graphic"] == "polyline"
    assert drawing["values"] == [{"name": "Length", "number": 4.025316455696, "unit": "mm"}]
    picture = dcmread(data / "sr/dwv/squares.dcm", stop_before_pixels=True)
    assert drawing["SOPInstanceUID"] == picture.SOPInstanceUID


def test_our_own_objects_are_not_shown_twice(
    reader: Actor, study: Study, draw: Callable[..., Any]
) -> None:
    draw()
    results.store_results(reader, study.pk, asked("sr", "gsps"))
    assert found_in(reader, study.pk) == []
    # The same objects in another archive, which never made them, are somebody's.
    StoredResult.objects.all().delete()
    assert sorted(one["kind"] for one in found_in(reader, study.pk)) == ["gsps", "sr"]


def test_points_of_the_patient_find_their_slice(reader: Actor, facility: Facility) -> None:
    uids = []
    for number in range(3):
        made = make_instance(
            StudyInstanceUID=STUDY,
            SeriesInstanceUID=f"{STUDY}.1",
            FrameOfReferenceUID="1.2.3.9",
            ImagePositionPatient=[-10, -20, 5 * number],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[0.5, 0.25],
            SliceThickness=5,
        )
        uids.append(made.SOPInstanceUID)
        study_id = factories.store_bytes(to_bytes(made), facility).study_id
    factories.store_bytes(to_bytes(report_in_space([-9.0, -19.0, 6.0, -8.0, -19.0, 6.0])), facility)
    ((drawing,),) = [one["drawings"] for one in found_in(reader, study_id)]
    assert drawing["SOPInstanceUID"] == uids[1]
    assert drawing["points"] == [[4.0, 2.0], [8.0, 2.0]]


def report_in_space(numbers: list[float]) -> Dataset:
    line = Dataset()
    line.ValueType, line.RelationshipType, line.GraphicType = "SCOORD3D", "CONTAINS", "POLYLINE"
    line.GraphicData = numbers
    line.ReferencedFrameOfReferenceUID = "1.2.3.9"
    report = make_instance(
        StudyInstanceUID=STUDY, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.34", Modality="SR"
    )
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated"):
        delattr(report, keyword)
    report.ValueType = "CONTAINER"
    report.ContentSequence = [line]
    return report


def test_an_object_that_cannot_be_read_says_so(reader: Actor, facility: Facility) -> None:
    result = factories.store_bytes(to_bytes(report_in_space([1.0, 2.0, 3.0])), facility)
    image = access.image_for(access.EVERYTHING, result.image_id)
    path = stores.instances().path(image.storage_key)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    (one,) = found_in(reader, result.study_id)
    assert "has changed since it came" in one["problem"]
    assert one["drawings"] == []
