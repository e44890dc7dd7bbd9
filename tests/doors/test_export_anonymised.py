"""A study that leaves without whose it is: searched byte by byte, the same each time."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from accounts.models import User
from archive import access
from archive.models import AuditEvent
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Sidecar, assert_problem
from worklist.models import Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)

STUDY = "1.2.826.0.1.3680043.10.1338.31337"
SECRETS = (b"Wurstsemmel", b"MRN-5588", b"20260102", b"19430817", STUDY.encode())


def instance(number: int, **keywords: object) -> Dataset:
    return make_instance(
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=f"{STUDY}.1",
        SOPInstanceUID=f"{STUDY}.1.{number}",
        InstanceNumber=number,
        PatientName="Wurstsemmel^Kunigunde",
        PatientID="MRN-5588",
        PatientBirthDate="19430817",
        **keywords,
    )


@pytest.fixture
def study(facility: Facility, store: Path) -> Study:
    for made in (
        instance(1),
        instance(2),
        instance(3, BurnedInAnnotation="YES"),
        # The name in a place where no table looks for it: in the pixels' own bytes.
        instance(4, pixels=np.frombuffer(b"  Wurstsemmel   " * 16, np.uint8).reshape(16, 16)),
    ):
        study_id = factories.store_bytes(to_bytes(made), facility).study_id
    return access.study_for(access.EVERYTHING, study_id)


def fetched(sidecar: Sidecar, user: User, study: Study, query: str = "") -> zipfile.ZipFile:
    answer = sidecar.by_token(user).get(f"/api/v1/dicom/studies/{study.pk}/anonymised{query}")
    assert answer.status_code == 200, answer.text
    for secret in SECRETS:
        assert secret not in answer.content
        assert secret.decode() not in str(answer.headers)
    return zipfile.ZipFile(io.BytesIO(answer.content))


def files_in(archive: zipfile.ZipFile) -> list[Dataset]:
    names = [name for name in archive.namelist() if name.endswith(".DCM")]
    return [dcmread(io.BytesIO(archive.read(name))) for name in names]


def test_what_can_leave_leaves_and_the_rest_is_counted(
    sidecar: Sidecar, radiologist: User, study: Study
) -> None:
    archive = fetched(sidecar, radiologist, study, "?subject=TRIAL-7")
    files = files_in(archive)
    assert [one.PatientID for one in files] == ["TRIAL-7"] * 2
    assert len({one.SOPInstanceUID for one in files}) == 2
    assert len({one.StudyInstanceUID for one in files}) == 1
    for one in files:
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
        assert np.array_equal(one.pixel_array.ravel(), np.arange(64 * 64))
    readme = archive.read("README.TXT").decode()
    assert "2 files" in readme
    assert "- 1: it says that words are burned into its picture." in readme
    assert "- 1: a name or number of the original was still found in it." in readme
    event = AuditEvent.objects.get(verb="study.export")
    assert event.detail["how"] == "anonymised"
    assert event.detail["options"] == []


def test_the_same_study_is_the_same_each_time(
    sidecar: Sidecar, radiologist: User, study: Study, facility: Facility
) -> None:
    first = files_in(fetched(sidecar, radiologist, study))
    factories.store_bytes(to_bytes(instance(9)), facility)
    again = files_in(fetched(sidecar, radiologist, study))
    assert [one.SOPInstanceUID for one in first] == [one.SOPInstanceUID for one in again][:2]
    assert len(again) == 3
    assert {one.StudyInstanceUID for one in again} == {first[0].StudyInstanceUID}
    assert {one.PatientID for one in again} == {first[0].PatientID}
    assert first[0].PatientID.startswith("ANON-")


def test_options_are_taken(sidecar: Sidecar, radiologist: User, study: Study) -> None:
    one, _ = files_in(fetched(sidecar, radiologist, study, "?dates=shifted&patient=1"))
    assert one.PatientSex == "F"
    assert len(one.StudyDate) == 8
    assert one.LongitudinalTemporalInformationModified == "MODIFIED"
    caller = sidecar.by_token(radiologist)
    path = f"/api/v1/dicom/studies/{study.pk}/anonymised"
    assert_problem(caller.get(f"{path}?dates=perhaps"), 422, "shifted")
    assert_problem(caller.get(path, params={"subject": "Müller"}), 422, "new name")


def test_ultrasound_keeps_its_regions_alone(
    sidecar: Sidecar, radiologist: User, facility: Facility
) -> None:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 8, 4
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 23, 19
    pixels = np.full((32, 32, 3), 200, np.uint8)
    made = make_instance(pixels, Modality="US", SequenceOfUltrasoundRegions=[region])
    result = factories.store_bytes(to_bytes(made), facility)
    study = access.study_for(access.EVERYTHING, result.study_id)
    assert files_in(fetched(sidecar, radiologist, study)) == []
    (cleaned,) = files_in(fetched(sidecar, radiologist, study, "?pixels=1"))
    shown = cleaned.pixel_array
    assert (shown[4:20, 8:24] == 200).all()
    shown[4:20, 8:24] = 0
    assert not shown.any()
    assert cleaned.BurnedInAnnotation == "NO"
    codes = [one.CodeValue for one in cleaned.DeidentificationMethodCodeSequence]
    assert "113101" in codes
