"""Reconstructions: what is refused, what comes out, what a kill or a cancel leaves."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pydicom
import pytest
from django.utils import timezone
from PIL import Image as PillowImage
from pydicom.uid import generate_uid
from scipy.ndimage import map_coordinates

from accounts.models import Role, User
from archive import access, jobs, reconstruction_work, reconstructions, runner, stores
from archive.access import Actor
from archive.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    TooManyAttemptsError,
)
from archive.models import AuditEvent, Job, OutboxEvent, ReconstructionJob
from archive.models import ReconstructionState as State
from imaging.derived_write import CT_IMAGE, SECONDARY_CAPTURE, _number
from tests import factories
from tests.dicom import to_bytes
from tests.volumes import noise, stacked
from worklist.models import DicomImage, Facility, Series

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

PLACES = [2.0 * k for k in range(8)]
VOXELS = noise(8, 12, 16)


def stored(owner: Facility, places: Sequence[float] = PLACES, **keywords: Any) -> Series:
    for ds in stacked(places, VOXELS, **keywords):
        factories.store_bytes(to_bytes(ds), owner)
    return Series.objects.get()


@pytest.fixture
def series(facility: Facility) -> Series:
    return stored(facility)


def ask(actor: Actor, series: Series, **said: Any) -> ReconstructionJob:
    return reconstructions.ask(actor, series.study_id, series.pk, {"plane": "coronal", **said})


def run() -> None:
    """Do all that is due; what failed is not to be hidden."""
    runner.drain()
    assert list(Job.objects.filter(state="failed").values_list("last_error", flat=True)) == []


def done(row: ReconstructionJob) -> ReconstructionJob:
    run()
    row.refresh_from_db()
    assert (row.state, row.last_error) == (State.DONE, "")
    return row


def files_of(series: Series) -> list[pydicom.Dataset]:
    rows = DicomImage.objects.filter(series=series).order_by("instance_number")
    return [
        pydicom.dcmread(io.BytesIO(stores.instances().read(row.storage_key, 0, row.size_bytes)))
        for row in rows
    ]


def test_pictures_are_what_the_series_holds(reader: Actor, series: Series) -> None:
    row = done(ask(reader, series, window_center=500, window_width=3000))
    assert row.percent == 100
    paths = reconstructions.pictures_of(row)
    assert len(paths) == row.picture_count == 12
    content, kind = reconstructions.picture(reader, row, 6)
    assert kind == "image/png"
    found = np.asarray(PillowImage.open(io.BytesIO(content))).astype(int)
    # The sixth coronal plane from the front: row 5 of every slice, the head above.
    z = np.arange(14, -0.5, -1.0) / 2
    c, k = np.meshgrid(np.arange(16), z)
    r = np.full(c.shape, 5)
    values = map_coordinates(VOXELS.astype(float), [k, r, c], order=1)
    grey = np.clip((values - 499.5) / 2999 + 0.5, 0, 1) * 255
    assert found.shape == grey.shape
    assert abs(found - grey).max() <= 1
    assert AuditEvent.objects.filter(verb="reconstruction.ask").count() == 1
    assert AuditEvent.objects.filter(verb="reconstruction.view").count() == 1


def test_progress_is_told_and_nothing_is_left_behind(reader: Actor, series: Series) -> None:
    row = done(ask(reader, series, output="jpeg"))
    told = OutboxEvent.objects.filter(kind="reconstruction.changed")
    assert told.count() >= 3
    assert {event.payload["reconstruction_id"] for event in told} == {str(row.pk)}
    assert not reconstruction_work.work_folder(row.pk).exists()
    first = reconstructions.pictures_of(row)[0]
    assert PillowImage.open(io.BytesIO(first.read_bytes())).format == "JPEG"
    with zipfile.ZipFile(io.BytesIO(b"".join(reconstructions.as_zip(reader, row).pieces))) as kept:
        assert len(kept.namelist()) == row.picture_count + 1
        assert b"Coronal planes" in kept.read("README.TXT")


@pytest.mark.parametrize(
    ("said", "flavour"),
    [
        pytest.param({}, "MPR", id="thin"),
        pytest.param({"mode": "mip", "thickness_mm": 4}, "MIP", id="mip"),
    ],
)
def test_a_series_is_proper_ct(
    reader: Actor, series: Series, tmp_path: Path, said: dict[str, Any], flavour: str
) -> None:
    row = done(ask(reader, series, plane="sagittal", output="series", **said))
    result = row.result_series
    assert result is not None
    assert result.study_id == series.study_id
    files = files_of(result)
    assert len(files) == row.picture_count == 16
    source = files_of(series)[0]
    for number, file in enumerate(files, 1):
        assert file.SOPClassUID == CT_IMAGE
        assert list(file.ImageType) == ["DERIVED", "SECONDARY", "REFORMATTED", flavour]
        assert file.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert file.InstanceNumber == number
        assert len(file.SourceImageSequence) == len(PLACES)
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber"):
            assert file[keyword].value == source[keyword].value
    # Where a voxel lies by the file's own geometry, the source has its value.
    file = files[5]
    position, orientation = (
        np.array(file.ImagePositionPatient),
        np.array(file.ImageOrientationPatient),
    )
    r, c = np.meshgrid(np.arange(file.Rows), np.arange(file.Columns), indexing="ij")
    point = (
        position
        + c[..., None] * file.PixelSpacing[1] * orientation[:3]
        + r[..., None] * file.PixelSpacing[0] * orientation[3:]
    )
    x, y, z = np.moveaxis((point - (-10, -20, 0)) / (1, 1, 2), -1, 0)
    values = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
    if flavour == "MPR":
        expected = map_coordinates(VOXELS.astype(float), [z, y, x], order=1)
    else:
        at = np.clip(np.round(x[0, 0] + np.arange(-2, 3)), 0, 15).astype(int)
        layers = [
            map_coordinates(VOXELS.astype(float), [z, y, np.full(x.shape, one)], order=1)
            for one in at
        ]
        expected = np.max(layers, axis=0)
    assert abs(values - expected).max() <= 0.51
    steps = np.diff([float(file.ImagePositionPatient[0]) for file in files])
    np.testing.assert_allclose(-steps, float(file.SpacingBetweenSlices))
    path = tmp_path / "plane.dcm"
    pydicom.dcmwrite(path, file)
    said_by_dciodvfy = subprocess.run(
        ["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False
    )
    errors = [line for line in said_by_dciodvfy.stderr.splitlines() if line.startswith("Error")]
    assert errors == []


def test_a_volume_is_drawn_and_stored(reader: Actor, series: Series) -> None:
    said = {"plane": "volume", "preset": "mip", "views": 3, "side": 256, "output": "series"}
    row = done(ask(reader, series, **said))
    assert row.result_series is not None
    files = files_of(row.result_series)
    assert len(files) == 3
    for file in files:
        assert (file.SOPClassUID, file.Rows, file.Modality) == (SECONDARY_CAPTURE, 256, "OT")
        assert file.pixel_array.max() > 200
        assert file.DerivationCodeSequence[0].CodeValue == "113074"
    assert (files[0].pixel_array != files[1].pixel_array).any()


def test_a_killed_worker_goes_on_where_it_was(
    reader: Actor, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ask(reader, series, output="series")
    monkeypatch.setattr(reconstruction_work, "_SLICE_S", 0.0)
    seen: list[int] = []
    while True:
        job = jobs.claim()
        while job is not None and job.kind != reconstructions.WORK_JOB:
            jobs.run(job)
            job = jobs.claim()
        assert job is not None
        jobs.run(job)
        row.refresh_from_db()
        if not row.is_open:
            break
        seen.append(row.done_steps)
        # The next slice is claimed and its worker killed; its job is found again.
        Job.objects.filter(state="queued", kind=reconstructions.WORK_JOB).update(
            state="running",
            claimed_by="elsewhere:1",
            claimed_at=timezone.now() - timedelta(hours=1),
        )
        assert jobs.rescue_stale() == 1
    assert row.state == State.DONE
    assert seen == sorted(set(seen))
    assert row.result_series is not None
    assert len(files_of(row.result_series)) == 12


def test_a_lost_disk_comes_to_the_same_result(
    reader: Actor, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ask(reader, series, output="series")
    store_of_result = reconstruction_work.Task.deliver

    def lose_all(task: Any) -> None:
        # Everything is stored, and the machine dies before it says so.
        shutil.rmtree(task.folder)
        monkeypatch.setattr(reconstruction_work.Task, "deliver", store_of_result)
        raise OSError("gone")

    monkeypatch.setattr(reconstruction_work.Task, "deliver", lose_all)
    runner.drain()
    row.refresh_from_db()
    assert row.state == State.RUNNING
    before = {file.SOPInstanceUID for file in files_of(Series.objects.latest("created_at"))}
    Job.objects.filter(kind=reconstructions.WORK_JOB).update(run_at=timezone.now())
    done(row)
    assert row.result_series is not None
    assert {file.SOPInstanceUID for file in files_of(row.result_series)} == before
    assert Series.objects.count() == 2


def test_a_worker_that_dies_each_time_is_given_up(reader: Actor, series: Series) -> None:
    row = ask(reader, series)
    ReconstructionJob.objects.filter(pk=row.pk).update(attempts=3, state=State.RUNNING)
    run()
    row.refresh_from_db()
    assert row.state == State.FAILED
    assert "stopped several times" in row.last_error
    reconstructions.retry(reader, row)
    done(row)


def test_a_cancelled_one_ends_and_leaves_nothing(
    reader: Actor, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ask(reader, series)
    monkeypatch.setattr(reconstruction_work, "_SLICE_S", 0.0)
    jobs.run(claimed_work())
    assert reconstruction_work.work_folder(row.pk).exists()
    reconstructions.cancel(reader, row)
    run()
    row.refresh_from_db()
    assert row.state == State.CANCELLED
    assert not reconstruction_work.work_folder(row.pk).exists()
    assert not reconstructions.result_folder(row.pk).exists()
    with pytest.raises(ConflictError):
        reconstructions.cancel(reader, row)


def test_a_series_that_is_being_stored_is_not_cut_off(
    reader: Actor, series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ask(reader, series, output="series")
    monkeypatch.setattr(reconstruction_work, "_SLICE_S", 0.0)
    while Series.objects.count() < 2:
        jobs.run(claimed_work())
    with pytest.raises(ConflictError, match="being stored"):
        reconstructions.cancel(reader, row)
    monkeypatch.undo()
    row = done(row)
    assert row.result_series is not None
    assert row.result_series.instance_count == 12


def claimed_work() -> Job:
    while True:
        job = jobs.claim()
        assert job is not None
        if job.kind == reconstructions.WORK_JOB:
            return job
        jobs.run(job)


def test_a_changed_series_is_read_again(
    reader: Actor, series: Series, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ask(reader, series)
    monkeypatch.setattr(reconstruction_work, "_SLICE_S", 0.0)
    jobs.run(claimed_work())
    [late] = stacked([16.0], VOXELS[:1], InstanceNumber=9)
    late.StudyInstanceUID = series.study.study_instance_uid
    late.SeriesInstanceUID = series.series_instance_uid
    factories.store_bytes(to_bytes(late), facility)
    monkeypatch.undo()
    done(row)
    picture = PillowImage.open(io.BytesIO(reconstructions.pictures_of(row)[0].read_bytes()))
    assert picture.height == 17


def test_a_frame_that_cannot_be_decoded_fails_in_words(
    reader: Actor, series: Series, store: Path
) -> None:
    row = ask(reader, series)
    image = DicomImage.objects.order_by("pk")[4]
    (store / image.storage_key).unlink()
    run()
    row.refresh_from_db()
    assert row.state == State.FAILED
    assert "missing" in row.last_error


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param({"plane": "upside"}, "'plane' is one of", id="plane"),
        pytest.param({"plane": "oblique"}, "six numbers", id="no-orientation"),
        pytest.param({"orientation": [1, 0, 0, 0, 1, 0]}, "oblique", id="orientation-of-straight"),
        pytest.param({"mode": "mip"}, "thickness", id="slab-without-thickness"),
        pytest.param({"mode": "mip", "thickness_mm": 1e9}, "500", id="thick"),
        pytest.param({"step_mm": 0}, "step_mm", id="no-step"),
        pytest.param({"window_center": 40}, "both", id="half-a-window"),
        pytest.param({"thickness_mm": "nan"}, "number", id="not-a-number"),
        pytest.param({"plane": "volume", "views": 37}, "36", id="views"),
        pytest.param({"plane": "volume", "views": 1.5}, "whole", id="half-a-view"),
        pytest.param({"plane": "volume", "side": 5000}, "768", id="side"),
        pytest.param({"file": "/etc/passwd"}, "not known", id="unknown"),
    ],
)
def test_what_makes_no_sense_is_refused(
    reader: Actor, series: Series, said: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ask(reader, series, **said)
    assert not ReconstructionJob.objects.exists()


def test_missing_slices_are_said_and_no_series_is_stored_of_them(
    reader: Actor, facility: Facility
) -> None:
    series = stored(facility, [0, 2, 4, 10, 12, 14, 16, 18])
    with pytest.raises(InvalidInputError, match="2 slices seem to be missing"):
        ask(reader, series, output="series")
    row = done(ask(reader, series))
    assert any("2 slices seem to be missing" in note for note in row.notes)


def test_what_is_no_ct_has_no_hounsfield_units(reader: Actor, facility: Facility) -> None:
    series = stored(facility, Modality="PT", SOPClassUID="1.2.840.10008.5.1.4.1.1.128")
    with pytest.raises(InvalidInputError, match="values of CT"):
        ask(reader, series, plane="volume", preset="bone")
    with pytest.raises(InvalidInputError, match="CT and MR"):
        ask(reader, series, output="series")


def test_who_may_what(
    reader: Actor, series: Series, facility: Facility, other_facility: Facility
) -> None:
    looks = access.actor_of(factories.user("vera", Role.VIEWER, [facility]))
    stranger = access.actor_of(factories.user("sven", Role.RADIOLOGIST, [other_facility]))
    with pytest.raises(ForbiddenError):
        ask(looks, series, output="series")
    row = ask(looks, series)
    with pytest.raises(ForbiddenError):
        ask(stranger, series)
    with pytest.raises(ForbiddenError):
        reconstructions.one_for(stranger, row.pk)
    with pytest.raises(NotFoundError):
        reconstructions.one_for(reader, UUID(int=1))
    second = access.actor_of(factories.user("vito", Role.VIEWER, [facility]))
    with pytest.raises(ForbiddenError, match="vera"):
        reconstructions.cancel(second, row)
    reconstructions.cancel(reader, row)


def test_the_same_is_not_begun_twice_and_nobody_takes_all(reader: Actor, series: Series) -> None:
    first = ask(reader, series)
    assert ask(reader, series).pk == first.pk
    for step in range(1, reconstructions.MOST_OPEN):
        ask(reader, series, step_mm=step)
    with pytest.raises(TooManyAttemptsError):
        ask(reader, series, step_mm=50)


def test_old_pictures_go_and_can_be_made_again(reader: Actor, series: Series) -> None:
    row = done(ask(reader, series))
    with pytest.raises(ConflictError):
        reconstructions.retry(reader, row)
    ReconstructionJob.objects.update(finished_at=timezone.now() - timedelta(days=8))
    stray = reconstruction_work.work_folder(UUID(int=7))
    stray.mkdir(parents=True)
    reconstruction_work.tidy()
    assert not stray.exists()
    row.refresh_from_db()
    with pytest.raises(NotFoundError, match="removed after 7 days"):
        reconstructions.picture(reader, row, 1)
    reconstructions.retry(reader, row)
    assert len(reconstructions.pictures_of(done(row))) == 12


def test_a_deleted_study_is_not_worked_on(reader: Actor, series: Series, radiologist: User) -> None:
    row = ask(reader, series)
    study = series.study
    study.deletion_id = generate_deletion()
    study.save(update_fields=["deletion_id"])
    run()
    row.refresh_from_db()
    assert row.state == State.WAITING
    with pytest.raises(NotFoundError):
        reconstructions.one_for(reader, row.pk)


def generate_deletion() -> UUID:
    return UUID(int=int(generate_uid()[-20:].replace(".", "0")))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1 + 0.2, "0.3"), (-1234.5678901234567, "-1234.5678901235"), (1e-13, "0")],
    ids=["sum", "long", "tiny"],
)
def test_numbers_fit_a_decimal_string(value: float, text: str) -> None:
    assert _number(value)[:16] == _number(value)
    assert float(_number(value)) == pytest.approx(float(text), abs=1e-11)
