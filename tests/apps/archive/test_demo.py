"""The demo: what is in it, that it comes once, and that it goes without a trace."""

from __future__ import annotations

import stat
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.contrib.auth import authenticate
from django.core.management import call_command
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale

from accounts.models import User
from archive import removal
from archive.access import system_actor
from archive.demo import load, objects, phantom, pictures
from archive.errors import ForbiddenError
from archive.models import OutboxEvent
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Patient, Series, Study

NOW = datetime(2026, 1, 31, 9, 30)  # noqa: DTZ001 - DICOM's dates have no zone

REQUIRED = {
    # Type 1 and 2 attributes that the tables of PS3.3 A.3, A.4, A.2 and A.7 ask for.
    "CT": "ImageType PixelSpacing ImageOrientationPatient ImagePositionPatient SliceThickness "
    "FrameOfReferenceUID RescaleIntercept RescaleSlope KVP AcquisitionNumber PatientPosition",
    "MR": "ImageType PixelSpacing ImageOrientationPatient ImagePositionPatient SliceThickness "
    "FrameOfReferenceUID ScanningSequence SequenceVariant ScanOptions MRAcquisitionType "
    "RepetitionTime EchoTime EchoTrainLength",
    "CR": "BodyPartExamined ViewPosition ImagerPixelSpacing PatientOrientation",
    "US": "ImageType NumberOfFrames FrameIncrementPointer FrameTime SequenceOfUltrasoundRegions",
}


@pytest.fixture
def data_dir(tmp_path: Path, settings: object) -> Path:
    settings.DATA_DIR = tmp_path  # type: ignore[attr-defined]
    return tmp_path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of the quick studies: the rules are the same for the slow ones."""
    chest, heart, *_ = objects.STUDIES
    monkeypatch.setattr(objects, "STUDIES", (chest, heart))


def _first(study: objects.DemoStudy) -> Dataset:
    return next(study.make(study, NOW))


@pytest.mark.parametrize("study", objects.STUDIES, ids=lambda study: study.key)
def test_objects_have_what_their_iod_requires(study: objects.DemoStudy) -> None:
    ds = _first(study)
    for keyword in REQUIRED[study.modality].split():
        assert keyword in ds, keyword
    assert str(ds.PatientName).startswith("DEMO^")
    assert ds.PatientID.startswith("DEMO-")
    assert ds.StudyInstanceUID == study.study_instance_uid
    assert ds.StudyInstanceUID.is_valid
    assert ds.SOPInstanceUID.is_valid
    assert len(ds.AccessionNumber) <= 16
    frames = int(ds.get("NumberOfFrames", 1))
    assert len(ds.PixelData) == ds.Rows * ds.Columns * frames * ds.BitsAllocated // 8


def test_ct_has_the_numbers_of_its_tissues() -> None:
    study = next(s for s in objects.STUDIES if s.key == "headct")
    slices = study.make(study, NOW)
    # 14 mm above the middle: air around, bone, and the water of the ventricles.
    ds = next(ds for ds in slices if float(ds.ImagePositionPatient[2]) >= 14)
    hu = apply_rescale(ds.pixel_array, ds)
    assert hu.shape == (512, 512)
    assert abs(hu[:40, :40].mean() + 1000) < 2

    def at(x_mm: float, y_mm: float) -> float:
        column = round((x_mm - ds.ImagePositionPatient[0]) / ds.PixelSpacing[1])
        row = round((y_mm - ds.ImagePositionPatient[1]) / ds.PixelSpacing[0])
        return float(hu[row - 2 : row + 3, column - 2 : column + 3].mean())

    assert abs(at(10.5, 8) - 0) < 4  # ventricle
    assert abs(at(0, 87 * (1 - (14 / 89) ** 2) ** 0.5) - 1000) < 80  # back of the skull, thin
    assert abs(at(-34, -40) - 29) < 14  # white matter
    assert 3 < hu[300:330, 190:220].std() < 12


def test_ct_is_a_regular_stack_from_feet_to_head() -> None:
    study = next(s for s in objects.STUDIES if s.key == "headct")
    first, second = (ds for _, ds in zip(range(2), study.make(study, NOW), strict=False))
    assert study.number_of_objects >= 150
    step = second.ImagePositionPatient[2] - first.ImagePositionPatient[2]
    assert step == pytest.approx(float(first.SpacingBetweenSlices))
    assert [first.InstanceNumber, second.InstanceNumber] == [1, 2]
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_planes_through_one_point_agree() -> None:
    """A point of the head looks the same in an axial, a sagittal and a coronal slice."""
    axis = np.arange(-60, 61, dtype=np.float32)
    axial = phantom.cut("axial", 26, rows_mm=axis, columns_mm=axis, signal="t2")
    sagittal = phantom.cut("sagittal", 36, rows_mm=axis, columns_mm=axis, signal="t2")
    coronal = phantom.cut("coronal", 22, rows_mm=axis, columns_mm=axis, signal="t2")
    # Rows down, columns along: (y, x), (z, y), (z, x) of the point (36, 22, 26).
    values = (axial[82, 96], sagittal[86, 82], coronal[86, 96])
    assert values == pytest.approx([phantom.BLOOD.t2] * 3)


def test_ultrasound_says_how_large_a_pixel_is() -> None:
    study = next(s for s in objects.STUDIES if s.key == "heart")
    (region,) = _first(study).SequenceOfUltrasoundRegions
    assert region.PhysicalUnitsXDirection == 3  # cm
    depth_cm = pictures.CINE_DEPTH_PIXELS * region.PhysicalDeltaY
    assert depth_cm == pytest.approx(16.0)


def test_chest_is_inverted_and_bone_is_light() -> None:
    study = next(s for s in objects.STUDIES if s.key == "chest")
    ds = _first(study)
    assert ds.PhotometricInterpretation == "MONOCHROME1"
    pixels = ds.pixel_array
    middle = ds.Columns // 2
    spine, air = pixels[1200:1300, middle - 20 : middle + 20].mean(), pixels[5:25, 5:25].mean()
    assert spine < air - 1000


@pytest.mark.django_db
def test_loads_once(store: Path, data_dir: Path, small: None) -> None:
    seen: list[tuple[int, int]] = []
    loaded = load.load(lambda done, total, _: seen.append((done, total)))
    assert loaded.new_users == ("radiologist", "technologist")
    assert loaded.stored == DicomImage.objects.count() > 2
    assert seen[-1][0] == seen[-1][1]
    assert sorted(done for done, _ in seen) == [done for done, _ in seen]
    facility = Facility.objects.get(code="DEMO")
    assert facility.is_demo
    assert [a.ae_title for a in facility.ae_titles.all()] == ["DEMO_SCU"]
    assert Study.objects.filter(is_demo=False).count() == 0
    again = load.load(lambda *_: None)
    assert again.stored == 0
    assert again.new_users == ()


@pytest.mark.django_db
def test_a_load_that_was_cut_short_is_completed(
    store: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mr = next(s for s in objects.STUDIES if s.key == "headmr")
    monkeypatch.setattr(objects, "STUDIES", (mr,))
    monkeypatch.setattr(load, "_REAL_FILES", ())

    def cut(done: int, _total: int, _what: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load.load(cut)
    assert DicomImage.objects.count() == 5
    assert load.load(lambda *_: None).stored == mr.number_of_objects - 5
    study = Study.objects.get()
    assert study.instance_count == mr.number_of_objects
    assert study.series_count == 4
    assert sorted(Series.objects.values_list("instance_count", flat=True)) == [22, 28, 28, 28]


@pytest.mark.django_db
def test_passwords_are_random_private_and_right(store: Path, data_dir: Path, small: None) -> None:
    load.load(lambda *_: None)
    kept = data_dir / "demo-passwords"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    lines = [line.split(" / ") for line in kept.read_text().splitlines()]
    assert [name for name, _ in lines] == ["radiologist", "technologist"]
    assert len({password for _, password in lines}) == 2
    for name, password in lines:
        user = authenticate(username=name, password=password)
        assert isinstance(user, User)
        assert user.is_demo
        assert [f.code for f in user.facilities.all()] == ["DEMO"]
        assert not user.is_administrator


@pytest.mark.django_db
def test_goes_without_a_trace(
    store: Path, data_dir: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    owner = factories.facility("NORTH", "North Clinic")
    factories.store_bytes(to_bytes(make_instance()), owner)
    load.load(lambda *_: None)
    assert Patient.objects.count() > 1
    call_command("clear_demo")
    assert "The demo is gone" in capsys.readouterr().out
    assert not Facility.objects.filter(code="DEMO").exists()
    assert not User.objects.filter(is_demo=True).exists()
    assert not (data_dir / "demo-passwords").exists()
    assert DicomImage.objects.count() == Patient.objects.count() == 1
    files = [p for p in store.rglob("*.dcm") if p.is_file()]
    assert [p.relative_to(store).as_posix() for p in files] == [
        DicomImage.objects.get().storage_key
    ]
    assert OutboxEvent.objects.exclude(facility=owner).count() == 0
    call_command("clear_demo")
    assert "no demo" in capsys.readouterr().out


@pytest.mark.django_db
def test_a_real_facility_is_never_destroyed(store: Path) -> None:
    owner = factories.facility("NORTH", "North Clinic")
    factories.store_bytes(to_bytes(make_instance()), owner)
    with pytest.raises(ForbiddenError, match="North Clinic is not a demo"):
        removal.destroy_demo_facility(system_actor("tests"), owner)
    assert DicomImage.objects.count() == 1
    assert Path(django_settings.DICOM_ROOT, DicomImage.objects.get().storage_key).is_file()
