"""What was stored before attributes were kept gets them from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive import jobs, query_fill, stores
from archive.models import Job, JobState
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Series, Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def clinic(store: Path) -> None:
    owner = factories.facility("NORTH", "North Clinic")
    for number in (1, 2, 3):
        made = make_instance(
            ImageComments=f"slice {number}",
            OperatorsName="Op^One",
            PatientComments="left-handed",
            StudyInstanceUID="1.2.3",
            SeriesInstanceUID="1.2.3.4",
        )
        factories.store_bytes(to_bytes(made), owner)


def kept() -> list[set[str | None]]:
    return [
        set(rows.values_list("attributes", flat=True))
        for rows in (Study.objects.all(), Series.objects.all(), DicomImage.objects.all())
    ]


def forget() -> None:
    for rows in (Study.objects.all(), Series.objects.all(), DicomImage.objects.all()):
        rows.update(attributes=None)


def test_attributes_come_back_from_the_files(clinic: None) -> None:
    before = kept()
    assert not query_fill.begin()
    forget()
    assert query_fill.begin()
    job = jobs.claim()
    assert job is not None
    jobs.run(job)
    assert kept() == before
    assert len(before[2]) == 3


def test_a_damaged_file_is_passed_over(clinic: None, caplog: pytest.LogCaptureFixture) -> None:
    forget()
    damaged, missing, _ = DicomImage.objects.order_by("pk")
    stores.instances().path(damaged.storage_key).write_bytes(b"nothing")
    stores.instances().path(missing.storage_key).unlink()
    query_fill.fill()
    assert DicomImage.objects.filter(attributes="{}").count() == 2
    assert "slice 3" in str(Study.objects.get().series.get().images.last().attributes)
    assert caplog.text.count("cannot be read for queries") == 2
    assert not query_fill.begin()


def test_long_work_goes_on_in_another_job(clinic: None, monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    monkeypatch.setattr(query_fill, "SLICE_S", -1.0)
    monkeypatch.setattr(query_fill, "_BATCH", 2)
    query_fill.fill()
    assert DicomImage.objects.filter(attributes=None).count() == 1
    assert Job.objects.filter(kind=query_fill.JOB, state=JobState.QUEUED).count() == 1
