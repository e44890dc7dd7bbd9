"""Studies in Debian's Orthanc beside this archive: they come, go and come back with ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import User
from archive import deletions, identifiers, mirror, orthanc, runner, stores
from archive.access import actor_of
from archive.models import Job
from fastapi_app.services import peer
from tests import factories
from tests.codestreams import noise
from tests.dcmtk import free_port
from tests.dicom import make_instance, to_bytes
from tests.orthanc import Orthanc, start_orthanc
from worklist.models import DicomImage, Facility

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.peers]
__all__ = ["start_orthanc"]
STUDY = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.1", "PatientID": "P1"}


def stored(facility: Facility, number: int) -> DicomImage:
    ds = make_instance(noise(8, 8, number), InstanceNumber=number, **STUDY)
    return DicomImage.objects.get(pk=factories.store_bytes(to_bytes(ds), facility).image_id)


def mirrored() -> None:
    """Let the worker do what events ask for, without waiting for more images."""
    runner.dispatch()
    Job.objects.filter(kind=mirror.MIRROR_JOB, state="queued").update(run_at="2020-01-01T00:00Z")
    runner.drain()


def test_a_study_is_the_same_in_orthanc(
    store: Path, facility: Facility, admin_user: User, settings: Settings,
    start_orthanc: Callable[..., Orthanc],
) -> None:  # fmt: skip
    peer_there = start_orthanc(free_port())
    settings.ORTHANC_URL, settings.ORTHANC_MIRROR = peer_there.url, True
    images = [stored(facility, number) for number in (1, 2, 3)]
    mirrored()
    study = images[0].series.study
    name = identifiers.orthanc_study_id("P1", "1.2.3")
    assert peer_there.get("/studies") == [name]
    assert len(peer_there.get(f"/studies/{name}/instances")) == 3
    for row in peer_there.get(f"/studies/{name}/instances"):
        image = DicomImage.objects.get(sop_instance_uid=row["MainDicomTags"]["SOPInstanceUID"])
        with stores.instances().open(image.storage_key) as file:
            assert peer_there.file(row["ID"]) == file.read()
    assert peer.orthanc_version() == peer_there.get("/system")["Version"]

    boss = actor_of(admin_user)
    deletions.delete_image(boss, images[0].pk, "Sent twice")
    mirrored()
    assert len(peer_there.get("/instances")) == 2

    # What came there by other ways stays when ours goes.
    foreign = make_instance(noise(8, 8, 9), **STUDY)
    peer_there.post("/instances", to_bytes(foreign))
    held = deletions.delete_study(boss, study.pk, "Wrong patient")
    mirrored()
    (left,) = peer_there.get(f"/studies/{name}/instances")
    assert left["MainDicomTags"]["SOPInstanceUID"] == foreign.SOPInstanceUID
    deletions.restore(boss, held.pk)
    mirrored()
    assert len(peer_there.get("/instances")) == 3


def test_a_silent_orthanc_is_asked_again(
    store: Path, facility: Facility, settings: Settings
) -> None:
    settings.ORTHANC_URL, settings.ORTHANC_MIRROR = f"http://127.0.0.1:{free_port()}", True
    image = stored(facility, 1)
    mirrored()
    waiting = Job.objects.get(kind=mirror.MIRROR_JOB, state="queued")
    assert waiting.payload == {"study_id": str(image.series.study_id)}
    assert not Job.objects.filter(kind=mirror.MIRROR_JOB, state="failed").exists()


def test_nothing_is_mirrored_unless_it_is_wanted(
    store: Path, facility: Facility, settings: Settings
) -> None:
    settings.ORTHANC_URL = "http://127.0.0.1:9"
    stored(facility, 1)
    runner.dispatch()
    assert not Job.objects.filter(kind=mirror.MIRROR_JOB).exists()


def test_user_and_password_leave_the_address(settings: Settings) -> None:
    settings.ORTHANC_URL = "https://anna:s%40fe@orthanc.example:8042/base/"
    url, headers = orthanc._address("/system")
    assert url == "https://orthanc.example:8042/base/system"
    assert headers == {"Authorization": "Basic YW5uYTpzQGZl"}
