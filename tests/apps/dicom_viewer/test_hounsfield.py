"""The check of CT values: the phantom passes, shifted copies of it are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from archive import access, runner
from archive.models import Job, OutboxEvent
from dicom_viewer import hounsfield
from dicom_viewer.models import HounsfieldCalibration
from tests import factories
from tests.dicom import to_bytes
from worklist.models import Facility, Series, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hounsfield, "QUIET", hounsfield.QUIET * 0)


def store(paths: list[Path], owner: Facility, **changes: Any) -> Study:
    """Store copies of real slices as one new series, with `changes` (DICOM keywords)."""
    study_uid, series_uid = generate_uid(), generate_uid()
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study_uid, series_uid
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        for keyword, value in changes.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        result = factories.store_bytes(to_bytes(ds), owner)
    return access.study_for(access.EVERYTHING, result.study_id)


@pytest.fixture
def slices(data: Path) -> list[Path]:
    return sorted((data / "ct" / "head_phantom_1mm").iterdir())[40:48]


def check(study: Study) -> HounsfieldCalibration | None:
    runner.dispatch()
    jobs = Job.objects.filter(kind="series.hounsfield")
    assert jobs.count() == study.series_count
    for job in jobs:
        hounsfield.check_series(**job.payload)
    study.refresh_from_db()
    return HounsfieldCalibration.objects.filter(series__study=study).first()


def test_a_sound_phantom_passes(slices: list[Path], facility: Facility) -> None:
    study = store(slices, facility)
    found = check(study)
    assert found is not None
    assert found.is_valid
    assert found.issues == ""
    assert (found.rescale_slope, found.rescale_intercept) == (1, -1024)
    assert found.checked_image_count == 3
    assert found.air_value_hu == pytest.approx(-1000, abs=60)
    assert study.warning == ""


def test_a_wrong_intercept_is_found_and_said(slices: list[Path], facility: Facility) -> None:
    study = store(slices, facility, RescaleIntercept=0)
    found = check(study)
    assert found is not None
    assert not found.is_valid
    assert "intercept" in found.issues
    assert study.warning.startswith("Values may not be Hounsfield units. No value is below")
    assert Series.objects.get(study=study).warning == study.warning
    changed = OutboxEvent.objects.filter(kind="study.changed", payload__study_id=str(study.pk))
    assert changed.count() == 1
    # Checked again, nothing has changed.
    hounsfield.check_series(str(study.series.get().pk))
    assert changed.count() == 1


def test_missing_rescale_is_found(slices: list[Path], facility: Facility) -> None:
    study = store(slices, facility, RescaleIntercept=None, RescaleSlope=None)
    found = check(study)
    assert found is not None
    assert not found.is_valid
    assert "no rescale slope" in found.issues


def test_the_warning_goes_when_the_series_turns_out_sound(
    slices: list[Path], facility: Facility
) -> None:
    study = store(slices, facility)
    series = study.series.get()
    for row in (study, series):
        row.warning = "Values may not be Hounsfield units. Once."
        row.save(update_fields=["warning"])
    check(study)
    series.refresh_from_db()
    assert (study.warning, series.warning) == ("", "")


def test_other_warnings_stay(slices: list[Path], facility: Facility) -> None:
    study = store(slices, facility, RescaleIntercept=0)
    study.warning = "Images of this study carry different Patient IDs: A and B."
    study.save(update_fields=["warning"])
    check(study)
    assert study.warning.startswith("Images of this study carry")
    assert study.series.get().warning.startswith("Values may not")


def test_a_localizer_and_other_modalities_are_not_judged(
    slices: list[Path], facility: Facility, data: Path
) -> None:
    scout = store(slices[:1], facility, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert check(scout) is None
    mr = next(path for path in (data / "study_mr_multiseries").rglob("*") if path.is_file())
    factories.store_file(mr, facility)
    runner.dispatch()
    assert Job.objects.filter(kind="series.hounsfield").count() == 1


def test_what_cannot_be_decoded_is_passed_over(slices: list[Path], facility: Facility) -> None:
    study = store(slices, facility)
    study.series.get().images.update(bits_allocated=48)
    assert check(study) is None


def test_a_series_that_still_arrives_is_waited_for(
    slices: list[Path], facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = store(slices[:1], facility)
    monkeypatch.setattr(hounsfield, "QUIET", hounsfield.timedelta(minutes=1))
    hounsfield.check_series(str(study.series.get().pk))
    assert not HounsfieldCalibration.objects.exists()
    (job,) = Job.objects.filter(kind="series.hounsfield")
    assert job.run_at > study.last_received_at
