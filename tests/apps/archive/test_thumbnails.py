"""What happens behind the arrival: checks, frames for the wire, thumbnails, events.

Every job runs through the runner, as it does in the product.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.utils import timezone

from archive import frame_cache, retrieve, runner, thumbnails
from archive.models import Job, JobState, OutboxEvent
from archive.retrieve import Form, Rendering
from tests import factories
from tests.codestreams import compressed_instance, jpeg_2000, noise
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Series, Study

MINE = ("images.prepare", "thumbnail.make")


def store_one(content: bytes, facility: Facility) -> DicomImage:
    return DicomImage.objects.get(pk=factories.store_bytes(content, facility).image_id)


def run_jobs() -> None:
    """Run what is due now and in the next minute."""
    runner.dispatch()
    Job.objects.update(run_at=timezone.now() - timedelta(seconds=1))
    runner.drain()
    failed = Job.objects.exclude(state=JobState.DONE).filter(kind__in=MINE)
    assert not list(failed.values_list("kind", "last_error"))


def changes() -> int:
    return OutboxEvent.objects.filter(kind="study.changed").count()


def cut(code: bytes) -> bytes:
    """A code stream whose packets are gone."""
    return code[:60] + bytes(len(code) - 60)


def test_compressed_frames_are_ready_before_somebody_asks(
    store: Path, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [noise(32, 32, seed) for seed in range(3)]
    image = store_one(compressed_instance([jpeg_2000(f) for f in frames], 32, 32), facility)
    run_jobs()
    frame_cache.forget_memory()
    monkeypatch.setattr(retrieve, "_make", None)
    for number in (1, 2, 3):
        assert retrieve.frame(image, number, Rendering(Form.HTJ2K)).rows == 32
    image.refresh_from_db()
    assert image.problem == ""


def test_plain_frames_wait_until_somebody_asks(store: Path, facility: Facility) -> None:
    image = store_one(to_bytes(make_instance(noise(32, 32))), facility)
    run_jobs()
    cache = frame_cache.rendered()
    assert cache.get(retrieve.key_of(image, 1, Rendering(Form.HTJ2K))) is None


def test_an_image_that_cannot_be_shown_says_so(store: Path, facility: Facility) -> None:
    damaged = store_one(compressed_instance([cut(jpeg_2000(noise(64, 64)))], 64, 64), facility)
    absurd = store_one(compressed_instance([jpeg_2000(noise(8, 8))], 60000, 60000), facility)
    sound = store_one(compressed_instance([jpeg_2000(noise(8, 8))], 8, 8), facility)
    run_jobs()
    for row in (damaged, absurd, sound):
        row.refresh_from_db()
    assert "Send it again" in damaged.problem
    assert "larger than this system shows" in absurd.problem
    assert sound.problem == ""


def test_one_bad_frame_does_not_hide_the_others(store: Path, facility: Facility) -> None:
    good = jpeg_2000(noise(64, 64))
    image = store_one(compressed_instance([good, cut(good), good], 64, 64), facility)
    worse = store_one(compressed_instance([cut(good)] * 5, 64, 64), facility)
    run_jobs()
    image.refresh_from_db()
    worse.refresh_from_db()
    assert image.problem == ""
    assert worse.problem


def test_lists_are_told_when_a_thumbnail_is_there(store: Path, facility: Facility) -> None:
    image = store_one(to_bytes(make_instance(noise(32, 32))), facility)
    assert changes() == 0
    run_jobs()
    assert changes() == 1
    event = OutboxEvent.objects.get(kind="study.changed")
    assert event.payload["study_id"] == str(image.series.study_id)
    assert event.facility == facility


def test_many_instances_of_a_series_make_one_thumbnail_job(store: Path, facility: Facility) -> None:
    base = make_instance(noise(8, 8))
    for number in range(1, 6):
        ds = make_instance(
            noise(8, 8, number),
            StudyInstanceUID=base.StudyInstanceUID,
            SeriesInstanceUID=base.SeriesInstanceUID,
            InstanceNumber=number,
        )
        factories.store_bytes(to_bytes(ds), facility)
        runner.dispatch()
    assert Job.objects.filter(kind="thumbnail.make").count() == 1
    run_jobs()
    image = thumbnails.image_of_series(Series.objects.get())
    assert image is not None
    assert image.instance_number == 3


def test_long_work_goes_to_the_end_of_the_queue(
    store: Path, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "SLICE_S", 0.0)
    code = jpeg_2000(noise(8, 8))
    images = [store_one(compressed_instance([code], 8, 8), facility) for _ in range(3)]
    thumbnails.prepare([str(image.pk) for image in images])
    job = Job.objects.get(kind="images.prepare")
    assert job.payload["image_ids"] == [str(image.pk) for image in images[1:]]


def test_the_middle_of_what_can_be_shown_stands_for_a_series(
    store: Path, facility: Facility
) -> None:
    base = make_instance(noise(8, 8))
    same = {
        "StudyInstanceUID": base.StudyInstanceUID,
        "SeriesInstanceUID": base.SeriesInstanceUID,
    }
    for number in range(1, 8):
        ds = make_instance(noise(8, 8, number), InstanceNumber=number, **same)
        factories.store_bytes(to_bytes(ds), facility)
    series = Series.objects.get()
    DicomImage.objects.filter(instance_number__lte=3).update(problem="damaged")
    image = thumbnails.image_of_series(series)
    assert image is not None
    assert image.instance_number == 6
    DicomImage.objects.update(problem="damaged")
    image = thumbnails.image_of_series(series)
    assert image is not None
    assert image.instance_number == 4


def test_neither_scout_nor_report_stands_for_a_study(store: Path, facility: Facility) -> None:
    base = make_instance(noise(8, 8))
    study = {"StudyInstanceUID": base.StudyInstanceUID}
    scout = make_instance(noise(8, 8), SeriesNumber=1, **study)
    factories.store_bytes(to_bytes(scout), facility)
    for number in (1, 2):
        ds = make_instance(
            noise(8, 8, number), SeriesNumber=2, SeriesInstanceUID="1.2.3", InstanceNumber=number,
            **study,
        )  # fmt: skip
        factories.store_bytes(to_bytes(ds), facility)
    report = make_instance(Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", **study)
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(report, keyword)
    factories.store_bytes(to_bytes(report), facility)
    image = thumbnails.image_of_study(Study.objects.get())
    assert image is not None
    assert image.series.series_number == 2


def test_a_study_that_is_gone_is_no_failure(store: Path, facility: Facility) -> None:
    image = store_one(to_bytes(make_instance(np.zeros((4, 4), np.uint16))), facility)
    runner.dispatch()
    DicomImage.objects.filter(pk=image.pk).delete()
    Series.objects.all().delete()
    run_jobs()
