"""Live traffic for the health check: one instance of nobody's goes the whole way, then is gone.

A facility of its own admits the probe's AE title from this machine alone, so nothing of it lies
among anybody's studies, and its removal can touch nothing else.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from django.conf import settings
from django.utils import timezone
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from accounts.models import ApiToken, Role, User
from archive import access, facilities, reachable, removal
from archive.access import system_actor
from archive.errors import NotFoundError
from archive.facilities import FacilityDraft
from archive.models import Job, JobState
from dimse import selfcall
from noctis_pro import config
from noctis_pro.readiness import Check
from worklist.models import DicomImage, Facility

_CODE = "SELFTEST-"
_LEFT_BEHIND_AFTER = timedelta(minutes=10)
_SIZE = 64
_HTTP_TIMEOUT_S = 20
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class _Probe:
    facility: Facility
    ae_title: str
    token: str


def traffic() -> list[Check]:
    """Send an echo and an instance through the receiver, fetch its picture through the web."""
    actor = system_actor("health check")
    long_ago = timezone.now() - _LEFT_BEHIND_AFTER
    for left in Facility.objects.filter(
        code__startswith=_CODE, is_demo=True, created_at__lt=long_ago
    ):
        removal.destroy_demo_facility(actor, left)
    with _probe() as probe:
        echo = _echo(probe)
        if not echo.ok:
            return [echo]
        instance = _instance()
        store, image = _store(probe, instance)
        if image is None:
            return [echo, store]
        return [echo, store, _picture(probe, image, instance.pixel_array), _work(image)]


@contextlib.contextmanager
def _probe() -> Iterator[_Probe]:
    actor = system_actor("health check")
    mark = secrets.token_hex(5)
    draft = FacilityDraft(
        code=f"{_CODE}{mark}",
        name="Self test",
        ae_titles=[f"NP_{mark.upper()}"],
        address_ranges=_own_addresses(),
        is_demo=True,
    )
    facility = facilities.save_facility(actor, draft)
    try:
        user = User(username=f"self-test-{mark}", role=Role.VIEWER, is_demo=True)
        user.set_unusable_password()
        user.save()
        user.facilities.add(facility)
        soon = timezone.now() + timedelta(minutes=5)
        _, token = ApiToken.issue(user, expires_at=soon, name="self test")
        yield _Probe(facility, draft.ae_titles[0], token)
    finally:
        removal.destroy_demo_facility(actor, facility)


def _own_addresses() -> list[str]:
    host, port = reachable.receiver_address()
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return ["127.0.0.0/8", "::1/128", *{str(entry[4][0]) for entry in found}]


def _instance() -> Dataset:
    """Return a grey ramp of nobody's."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientName, ds.PatientID = "SELFTEST^NOBODY", "SELFTEST"
    ds.PatientBirthDate = ds.PatientSex = ds.StudyDate = ds.StudyTime = ""
    ds.StudyID = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.Modality, ds.ConversionType = "OT", "SYN"
    ds.SeriesNumber = ds.InstanceNumber = 1
    ds.StudyDescription = "Self test"
    pixels = np.arange(_SIZE * _SIZE, dtype=np.uint16).reshape(_SIZE, _SIZE)
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.tobytes()
    return ds


def _echo(probe: _Probe) -> Check:
    name = "live traffic: echo"
    host, port = reachable.receiver_address()
    try:
        selfcall.echo(probe.ae_title, host, port)
    except selfcall.SelfCallError as error:
        return Check(
            name,
            ok=False,
            message=str(error),
            remedy="Start the site (make run), or the receiver: dicom_receiver.py. "
            f"Its log is {settings.CONFIG.log_dir}/dicom_receiver.log.",
        )
    text = f"{settings.DICOM_SCP_AE_TITLE} answered a C-ECHO on {host}:{port}."
    return Check(name, ok=True, message=text)


def _store(probe: _Probe, instance: Dataset) -> tuple[Check, DicomImage | None]:
    name = "live traffic: store"
    host, port = reachable.receiver_address()
    try:
        selfcall.store(probe.ae_title, host, port, instance)
        scope = access.Scope(frozenset({probe.facility.pk}))
        image = access.image_for(scope, instance.SOPInstanceUID)
    except (selfcall.SelfCallError, NotFoundError) as error:
        remedy = "The receiver's log says why; check disk space and the database."
        return Check(name, ok=False, message=str(error), remedy=remedy), None
    text = "An instance was sent by C-STORE, answered, and is in the archive."
    return Check(name, ok=True, message=text), image


def _picture(probe: _Probe, image: DicomImage, sent: np.ndarray) -> Check:
    """Fetch the picture as a viewer does, compare it with what was sent, and try as a stranger."""
    name = "live traffic: picture"
    remedy = "Check that the web process runs, and its log."
    path = f"/api/v1/dicom/image/{image.pk}/frames/1.png?wc=2048&ww=4096"
    try:
        status, body = _get(path, {"Authorization": f"Bearer {probe.token}"})
        stranger, _ = _get(path, {})
    except (OSError, http.client.HTTPException) as error:
        return Check(
            name, ok=False, message=f"The web process does not answer: {error}.", remedy=remedy
        )
    if status != http.client.OK:
        text = f"The picture of a stored instance was answered with {status}."
        return Check(name, ok=False, message=text, remedy=remedy)
    if stranger != http.client.UNAUTHORIZED:
        text = f"Somebody without a sign-in was answered with {stranger} instead of 401."
        return Check(name, ok=False, message=text, remedy="Take the site off the network.")
    shown = np.asarray(Image.open(io.BytesIO(body)).convert("L"), dtype=np.int32)
    if shown.shape != sent.shape or np.abs(shown - sent.astype(np.int32) // 16).max() > 1:
        text = "The picture differs from what was sent."
        return Check(name, ok=False, message=text, remedy=remedy)
    return Check(name, ok=True, message="Its picture came back right, and only with a sign-in.")


def _work(image: DicomImage) -> Check:
    """Wait until the worker has done what the arrival of an instance asks for."""
    name = "live traffic: background work"
    timeout_s: float = settings.HEALTH_WORK_TIMEOUT_S
    about = [str(image.pk), str(image.series_id), str(image.series.study_id)]
    # What waits until the study has been quiet for a while (forwarding, orders) is not due yet.
    soon = timezone.now() + timedelta(seconds=timeout_s / 2)
    jobs = Job.objects.filter(key__in=about).exclude(state=JobState.QUEUED, run_at__gt=soon)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        states = set(jobs.values_list("state", flat=True))
        if JobState.FAILED in states:
            reason = jobs.filter(state=JobState.FAILED).first()
            last = reason.last_error.strip().splitlines()[-1] if reason is not None else ""
            text = f"A job for a stored instance failed: {last}"
            return Check(name, ok=False, message=text, remedy="The worker's log says more.")
        if states == {JobState.DONE}:
            return Check(name, ok=True, message="The worker did what the instance asked for.")
        time.sleep(_LOOK_EVERY_S)
    waiting = Job.objects.filter(state=JobState.QUEUED).count()
    text = f"The jobs of a stored instance are not done after {timeout_s:.0f} s"
    return Check(
        name,
        ok=False,
        message=f"{text}; {waiting} wait in all.",
        remedy="Start the worker ('manage.py run_jobs' or Celery), or wait until it caught up.",
    )


def _get(path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    chosen = config.current()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(chosen.web_host, chosen.web_host)  # noqa: S104
    named = chosen.allowed_hosts[0].lstrip(".").replace("*", "localhost")
    connection = http.client.HTTPConnection(host, chosen.web_port, timeout=_HTTP_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Host": named, "Accept": "image/png", **headers})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
