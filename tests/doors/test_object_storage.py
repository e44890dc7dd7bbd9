"""Instances in a bucket of a real S3 server: stored, read by every door, lost, changed, away.

Kills of the worker and the server under way are in tests/flows/test_object_storage.py.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core import mail as mailbox
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from archive import (
    alerts,
    damage,
    deletions,
    frame_cache,
    object_upload,
    runner,
    stores,
    sweep,
    verification,
    watch,
)
from archive.access import actor_of
from archive.errors import StoreUnavailableError
from archive.models import Alert, Damage, Heartbeat
from blobs import BlobDamagedError, protocol
from blobs.objects import ObjectStore
from noctis_pro import readiness
from noctis_pro.config import ObjectStore as Access
from notifications.models import Kind, Notification
from tests import factories, multipart, swift
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, assert_problem, running
from tests.swift import ObjectServer
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with swift.running() as found:
        yield found


@pytest.fixture
def bucket(server: ObjectServer, store: Path, settings: Settings) -> ObjectServer:
    """An empty bucket, which this site stores in."""
    server.new_bucket(f"b{os.urandom(6).hex()}")
    settings.RADIOLOGY_STORAGE = swift.S3
    settings.OBJECT_STORE = Access(
        access_key=swift.ACCESS_KEY,
        secret_key=swift.SECRET_KEY,
        bucket=server.bucket,
        region="us-east-1",
        endpoint_url=server.url,
        use_ssl=False,
        addressing_style="path",
        encryption="",
        encryption_key_id="",
        cache_bytes=2**30,
    )
    return server


@pytest.fixture
def objects(bucket: ObjectServer) -> ObjectStore:
    found = stores.objects()
    assert found is not None
    return found


@pytest.fixture
def caller(objects: ObjectStore, radiologist: User, settings: Settings) -> Iterator[Caller]:
    settings.CACHE_DIR.mkdir(exist_ok=True)
    frame_cache.forget_memory()
    with running() as sidecar:
        yield sidecar.by_token(radiologist)


@pytest.fixture
def images(objects: ObjectStore, facility: Facility) -> list[DicomImage]:
    """Two instances of a study, in the bucket."""
    for number in (1, 2):
        ds = make_instance(
            noise(16, 12),
            StudyInstanceUID="1.2.1",
            SeriesInstanceUID="1.2.1.1",
            SOPInstanceUID=f"1.2.1.1.{number}",
            InstanceNumber=number,
        )
        factories.store_bytes(to_bytes(ds), facility)
    assert object_upload.upload_all(objects).uploaded == 2
    return list(DicomImage.objects.order_by("instance_number"))


def forget(objects: ObjectStore) -> None:
    """Remove what could be read without the bucket."""
    for folder in (objects.cache.root, django_settings.CACHE_DIR):
        shutil.rmtree(folder, ignore_errors=True)
    django_settings.CACHE_DIR.mkdir()
    frame_cache.forget_memory()


def read_again() -> None:
    """Do the part of a sweep that reads what the rows name."""
    sweep.start()
    row = sweep.Sweep.objects.get(name=sweep.NAME)
    while row.phase == "rows":
        sweep._check_rows(row, sweep._Progress(row))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_an_instance_waits_here_until_the_bucket_has_confirmed_it(
    objects: ObjectStore, bucket: ObjectServer, facility: Facility
) -> None:
    result = factories.store_bytes(to_bytes(make_instance()), facility)
    key = protocol.layout_key(result.sop_instance_uid)
    stored = (objects.root / key).read_bytes()
    assert bucket.objects() == {}
    assert object_upload.waiting() == (1, len(stored))

    done = object_upload.upload_all(objects)
    assert (done.uploaded, done.size_bytes, done.waiting) == (1, len(stored), 0)
    assert bucket.objects() == {key: len(stored)}
    assert bucket.content(key) == stored
    assert not (objects.root / key).exists()
    assert (objects.cache.root / key).read_bytes() == stored
    assert object_upload.waiting() == (0, 0)
    forget(objects)
    with objects.open(key) as file:
        assert file.read() == stored
    assert verification.verify(is_full=True).is_sound


def test_every_door_reads_what_only_the_bucket_has(
    caller: Caller, images: list[DicomImage], objects: ObjectStore, bucket: ObjectServer
) -> None:
    forget(objects)
    whole = caller.get("/dicom-web/studies/1.2.1", headers={"Accept": AS_STORED})
    assert whole.status_code == 200
    sent = [digest(part.content) for part in multipart.parts(whole)]
    assert sorted(sent) == sorted(image.sha256 for image in images)
    forget(objects)
    rendered = caller.get(
        "/dicom-web/studies/1.2.1/series/1.2.1.1/instances/1.2.1.1.1/rendered",
        headers={"Accept": "image/png"},
    )
    assert (rendered.status_code, rendered.headers["content-type"]) == (200, "image/png")
    forget(objects)
    frame = caller.get(f"/api/v1/dicom/image/{images[0].pk}/frames/1.png")
    assert frame.status_code == 200
    forget(objects)
    file = caller.get(f"/api/v1/dicom/image/{images[1].pk}/file")
    assert file.status_code == 200
    assert digest(file.content) == images[1].sha256
    forget(objects)
    packed = caller.get(
        "/dicom-web/studies/1.2.1", headers={"Accept": "application/zip;transfer-syntax=*"}
    )
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert len([name for name in archive.namelist() if name.endswith(".dcm")]) == 2


def test_search_metadata_and_a_disc_need_nothing_but_the_bucket(
    caller: Caller, images: list[DicomImage], objects: ObjectStore
) -> None:
    """QIDO-RS, WADO-RS metadata, WADO-URI, a de-identified export and a disc."""
    forget(objects)
    found = caller.get("/dicom-web/studies", params={"StudyInstanceUID": "1.2.1"})
    assert [study["0020000D"]["Value"] for study in found.json()] == [["1.2.1"]]
    metadata = caller.get("/dicom-web/studies/1.2.1/metadata")
    assert {each["00080018"]["Value"][0] for each in metadata.json()} == {
        image.sop_instance_uid for image in images
    }
    query = {
        "requestType": "WADO", "studyUID": "1.2.1", "seriesUID": "1.2.1.1",
        "objectUID": "1.2.1.1.2", "contentType": "application/dicom",
    }  # fmt: skip
    one = caller.get("/wado", params=query)
    assert (one.status_code, digest(one.content)) == (200, images[1].sha256)
    study = images[0].series.study
    for path in ("disc", "anonymised"):
        forget(objects)
        answer = caller.get(f"/api/v1/dicom/studies/{study.pk}/{path}")
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            members = [archive.read(name) for name in archive.namelist()]
        assert len([each for each in members if each[128:132] == b"DICM"]) >= 2
        if path == "disc":
            assert {digest(each) for each in members} >= {image.sha256 for image in images}


def test_the_server_is_asked_to_encrypt_what_it_gets(
    bucket: ObjectServer, facility: Facility, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OBJECT_STORE = replace(settings.OBJECT_STORE, encryption="AES256")
    store = stores.objects()
    assert store is not None
    monkeypatch.setattr(store.bucket, "_part_bytes", 10_000)
    asked: dict[str, bytes] = {}

    def note(request: Any, event_name: str, **_: Any) -> None:
        header = request.headers.get("x-amz-server-side-encryption", b"")
        asked[event_name.rpartition(".")[2]] = header

    store.bucket._client.meta.events.register("before-send.s3", note)
    keys = {}
    for pixels in (noise(8, 8), noise(200, 100)):
        result = factories.store_bytes(to_bytes(make_instance(pixels)), facility)
        key = protocol.layout_key(result.sop_instance_uid)
        keys[key] = (store.root / key).read_bytes()
    assert object_upload.upload_all(store).uploaded == 2
    assert (asked["PutObject"], asked["CreateMultipartUpload"]) == (b"AES256", b"AES256")
    # A part is encrypted as its upload was begun, and may not say so itself.
    assert (asked["UploadPart"], asked["HeadObject"]) == (b"", b"")
    assert {key: bucket.content(key) for key in keys} == keys

    # This server has no keys of a key management service, and says so: nothing is stored in clear.
    settings.OBJECT_STORE = replace(
        settings.OBJECT_STORE, encryption="aws:kms", encryption_key_id="key-7"
    )
    other = stores.objects()
    assert other is not None
    factories.store_bytes(to_bytes(make_instance()), facility)
    with pytest.raises(StoreUnavailableError, match="AWS_S3_ENCRYPTION"):
        object_upload.upload_all(other)
    assert bucket.objects().keys() == keys.keys()


def test_a_bucket_that_stays_away_is_an_alert_once_in_the_pages_and_by_mail(
    bucket: ObjectServer, images: list[DicomImage], admin_user: User, settings: Settings
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.EMAIL_HOST, settings.ALERT_MAIL_TO = "mail.example.org", ["it@example.org"]
    patient = stores.objects(is_patient=True)
    assert patient is not None

    def look(**ago: float) -> list[Alert]:
        patient.bucket._rests_until = 0.0
        if ago:
            at = timezone.now() - timedelta(**ago)
            assert Heartbeat.objects.filter(kind="failing").update(at=at)
        alerts.settle("bucket.away", watch.bucket_away())
        runner.drain()
        return alerts.open_alerts()

    assert look() == []
    bucket.kill()
    try:
        assert look() == []  # it may be starting again
        (raised,) = look(minutes=1)
        assert "does not answer" in raised.text
        assert raised.level == "danger"
        assert look(minutes=2) == [raised]
    finally:
        bucket.start()
    assert look() == []
    (told,) = Notification.objects.filter(user=admin_user, kind=Kind.SITE_ALERT)
    assert told.title == raised.text[:128]
    assert [mail.subject.partition("] ")[2][:5] for mail in mailbox.outbox] == ["Now: ", "Over:"]


def test_a_file_that_never_goes_up_is_an_alert(
    objects: ObjectStore, facility: Facility, caplog: pytest.LogCaptureFixture
) -> None:
    result = factories.store_bytes(to_bytes(make_instance()), facility)
    place = objects.root / protocol.layout_key(result.sop_instance_uid)
    sound = place.read_bytes()
    place.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))

    def look() -> list[str]:
        assert object_upload.upload_all(objects).uploaded == int(place.read_bytes() == sound)
        alerts.settle("bucket.away", watch.bucket_away())
        return [row.text for row in alerts.open_alerts()]

    assert look() == []
    Heartbeat.objects.filter(kind="failing").update(at=timezone.now() - timedelta(minutes=16))
    assert look() == ["A file has waited for 16 minutes to go into the bucket, which answers."]
    assert "is not what was stored" in caplog.text
    place.write_bytes(sound)
    object_upload.upload_all(objects)
    alerts.settle("bucket.away", watch.bucket_away())
    assert alerts.open_alerts() == []


def test_while_the_bucket_is_away_reading_says_so_and_receiving_goes_on(
    caller: Caller,
    images: list[DicomImage],
    objects: ObjectStore,
    bucket: ObjectServer,
    facility: Facility,
) -> None:
    path = f"/api/v1/dicom/image/{images[0].pk}/frames/1.png"
    bucket.kill()
    try:
        assert caller.get(path).status_code == 200  # from the cache
        forget(objects)
        for address in (
            path,
            f"/api/v1/dicom/image/{images[0].pk}/file",
            "/dicom-web/studies/1.2.1/series/1.2.1.1/instances/1.2.1.1.1/rendered",
            "/dicom-web/studies/1.2.1",
        ):
            answer = caller.get(address, headers={"Accept": "*/*"})
            assert_problem(answer, 503, "does not answer")
            assert answer.headers["retry-after"]
        result = factories.store_bytes(to_bytes(make_instance()), facility)
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            object_upload.upload_all(objects)
        # Nobody took the silence for a loss.
        with pytest.raises(StoreUnavailableError):
            read_again()
        assert not Damage.objects.exists()
        assert not readiness.object_store().ok
    finally:
        bucket.start()
    objects.bucket._rests_until = 0.0
    assert object_upload.upload_all(objects).uploaded == 1
    assert protocol.layout_key(result.sop_instance_uid) in bucket.objects()
    assert caller.get(path).status_code == 200
    assert readiness.object_store().ok
    assert len(bucket.objects()) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"secret_key": "wrong"}, "AWS_SECRET_ACCESS_KEY"),
        ({"bucket": "nowhere"}, "no bucket nowhere. Create it"),
    ],
    ids=["keys", "bucket"],
)
def test_what_is_set_wrongly_is_named(
    bucket: ObjectServer,
    images: list[DicomImage],
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, str],
    says: str,
) -> None:
    settings.OBJECT_STORE = replace(settings.OBJECT_STORE, **change)
    found = readiness.object_store()
    assert not found.ok
    assert says in found.message
    assert [record.message for record in caplog.records if says in record.message]
    store = stores.objects()
    assert store is not None
    forget(store)
    store.bucket._rests_until = 0.0
    for look in (store.size, store.open, store.digest):
        with pytest.raises(StoreUnavailableError, match=says.split(maxsplit=1)[0]):
            look(images[0].storage_key)
        store.bucket._rests_until = 0.0


def test_a_large_object_goes_up_in_parts(
    objects: ObjectStore, bucket: ObjectServer, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects.bucket, "_part_bytes", 10_000)
    result = factories.store_bytes(to_bytes(make_instance(noise(200, 100))), facility)
    key = protocol.layout_key(result.sop_instance_uid)
    stored = (objects.root / key).read_bytes()
    assert len(stored) > 20_000
    assert object_upload.upload_all(objects).uploaded == 1
    assert "-" in bucket.client.head_object(Bucket=bucket.bucket, Key=key)["ETag"]
    assert bucket.content(key) == stored
    # A kill behind the last step: what is there is not sent again.
    (objects.root / key).parent.mkdir(parents=True, exist_ok=True)
    (objects.root / key).write_bytes(stored)
    before = bucket.client.head_object(Bucket=bucket.bucket, Key=key)["LastModified"]
    assert object_upload.upload_all(objects).uploaded == 1
    assert bucket.client.head_object(Bucket=bucket.bucket, Key=key)["LastModified"] == before
    # A kill before it: the parts that it left go with the next upload.
    bucket.remove(key)
    left = bucket.client.create_multipart_upload(Bucket=bucket.bucket, Key=key)["UploadId"]
    bucket.client.upload_part(
        Bucket=bucket.bucket, Key=key, UploadId=left, PartNumber=1, Body=stored[:10_000]
    )
    (objects.root / key).write_bytes(stored)
    assert object_upload.upload_all(objects).uploaded == 1
    assert bucket.content(key) == stored
    assert not bucket.client.list_multipart_uploads(Bucket=bucket.bucket).get("Uploads")


def test_what_was_changed_or_lost_in_the_bucket_is_found_and_never_given_out(
    caller: Caller,
    images: list[DicomImage],
    objects: ObjectStore,
    bucket: ObjectServer,
    facility: Facility,
) -> None:
    content = bucket.content(images[0].storage_key)
    bucket.put(images[0].storage_key, content[:-1] + bytes([content[-1] ^ 1]))
    bucket.remove(images[1].storage_key)
    bucket.put("ab/cd/abcdef0123456789.dcm", b"a stranger's")
    forget(objects)
    for image in images:
        assert caller.get(f"/api/v1/dicom/image/{image.pk}/file").status_code >= 400
    with pytest.raises(BlobDamagedError):
        objects.read(images[0].storage_key, 0, 8)
    report = verification.verify(is_full=True)
    assert images[0].storage_key in report.damaged.items[0]
    assert images[1].storage_key in report.missing.items[0]
    assert report.in_flight == 1

    read_again()
    assert {one.kind for one in damage.open_damages()} == {"changed", "missing"}
    assert (objects.root / "damaged" / images[0].storage_key).exists()
    assert images[0].storage_key not in bucket.objects()
    # Sent again, both are whole again.
    factories.store_bytes(content, facility)
    object_upload.upload_all(objects)
    assert bucket.content(images[0].storage_key) == content
    sweep.damage_recheck()
    assert [one.image for one in damage.open_damages()] == [images[1]]


def test_what_the_bucket_lost_comes_back_from_what_was_set_aside(
    images: list[DicomImage], objects: ObjectStore, bucket: ObjectServer, tmp_path: Path
) -> None:
    key = images[0].storage_key
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(bucket.content(key))
    stores.strays().take_copy(copy, key)
    bucket.remove(key)
    forget(objects)
    read_again()
    assert not damage.open_damages().exists()
    assert object_upload.waiting()[0] == 1
    assert object_upload.upload_all(objects).uploaded == 1
    assert digest(bucket.content(key)) == images[0].sha256


def test_a_deleted_study_comes_back_from_the_bucket_until_it_is_destroyed(
    caller: Caller,
    images: list[DicomImage],
    objects: ObjectStore,
    bucket: ObjectServer,
    admin_user: User,
) -> None:
    path = f"/api/v1/dicom/image/{images[0].pk}/file"
    actor = actor_of(admin_user)
    gone = deletions.delete_study(actor, images[0].series.study_id, "sent by mistake")
    forget(objects)
    assert object_upload.upload_all(objects).erased == 0
    assert caller.get(path).status_code == 404
    assert len(bucket.objects()) == 2  # until the retention period ends

    deletions.restore(actor, gone.pk)
    assert digest(caller.get(path).content) == images[0].sha256
    gone = deletions.delete_study(actor, images[0].series.study_id, "sent by mistake")
    deletions.destroy(actor, gone.pk)
    assert object_upload.upload_all(objects).erased == 2
    assert bucket.objects() == {}
    assert list(objects.cache.root.rglob("*.dcm")) == []
    assert verification.verify(is_full=True).is_sound


def test_a_bucket_that_somebody_emptied_is_said_to_be_empty(
    caller: Caller, images: list[DicomImage], objects: ObjectStore, bucket: ObjectServer
) -> None:
    for key in bucket.objects():
        bucket.remove(key)
    forget(objects)
    for path, status in (
        (f"/api/v1/dicom/image/{images[0].pk}/file", 500),
        (f"/api/v1/dicom/image/{images[0].pk}/frames/1.png", 422),
        ("/dicom-web/studies/1.2.1/series/1.2.1.1/instances/1.2.1.1.1", 404),
    ):
        answer = caller.get(path, headers={"Accept": "*/*"})
        assert_problem(answer, status, "missing")
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("verify_storage", "--full", stdout=out)
    assert "2 rows without their file" in out.getvalue()
    assert all(image.storage_key in out.getvalue() for image in images)
    read_again()
    alerts.settle("files.damaged", watch.files_damaged())
    assert [row.text for row in alerts.open_alerts()] == ["2 stored files are damaged or missing."]


def test_what_is_destroyed_leaves_the_bucket_too(
    images: list[DicomImage], objects: ObjectStore, bucket: ObjectServer, admin_user: User
) -> None:
    for image in images:
        objects.delete(image.storage_key)
    # A row that names the key again is not robbed of its object.
    DicomImage.with_deleted.filter(pk=images[0].pk).delete()
    assert object_upload.upload_all(objects).erased == 1
    assert bucket.objects().keys() == {images[1].storage_key}
    with objects.open(images[1].storage_key) as file:
        assert digest(file.read()) == images[1].sha256


def test_the_same_uid_of_another_facility_gets_a_key_of_its_own(
    images: list[DicomImage],
    objects: ObjectStore,
    bucket: ObjectServer,
    other_facility: Facility,
) -> None:
    forget(objects)
    again = bucket.content(images[0].storage_key)
    factories.store_bytes(again, other_facility)
    row = DicomImage.objects.get(facility=other_facility)
    assert row.storage_key != images[0].storage_key
    assert object_upload.upload_all(objects).uploaded == 1
    assert len(bucket.objects()) == 3
    # The same facility's is known, and not stored twice.
    assert factories.store_bytes(again, other_facility).outcome.value == "duplicate"
    assert object_upload.waiting() == (0, 0)


def test_the_cache_keeps_what_was_used_last(images: list[DicomImage], objects: ObjectStore) -> None:
    old, new = (objects.cache.place(image.storage_key) for image in images)
    os.utime(old, (1, 1))
    os.utime(new, (2, 2))
    size = new.stat().st_size
    assert objects.prune(size) == size
    assert (old.exists(), new.exists()) == (False, True)
    # A reader's file becomes the youngest, and those in use stay.
    with objects.open(images[1].storage_key):
        pass
    with objects.open(images[0].storage_key):
        pass
    objects.prune(0)
    assert old.exists()
    assert new.exists()


def test_a_store_moves_to_the_bucket_and_back(
    store: Path,
    facility: Facility,
    bucket: ObjectServer,
    settings: Settings,
) -> None:
    settings.RADIOLOGY_STORAGE = stores.FILE_SYSTEM
    for _ in range(3):
        factories.store_bytes(to_bytes(make_instance()), facility)
    rows = dict(DicomImage.objects.values_list("storage_key", "sha256"))
    settings.RADIOLOGY_STORAGE = swift.S3
    out = io.StringIO()
    call_command("migrate_store", "s3", stdout=out)
    assert "3 objects uploaded" in out.getvalue()
    assert {key: digest(bucket.content(key)) for key in bucket.objects()} == rows
    objects = stores.objects()
    assert objects is not None
    forget(objects)

    call_command("migrate_store", "filesystem", stdout=out)
    assert "RADIOLOGY_STORAGE=filesystem" in out.getvalue()
    # The worker leaves it there.
    assert object_upload.upload_all(objects).uploaded == 0
    settings.RADIOLOGY_STORAGE = stores.FILE_SYSTEM
    assert {key: digest((store / key).read_bytes()) for key in rows} == rows
    assert verification.verify(is_full=True).is_sound

    # And into the bucket again, which the cache's names of the same files do not keep from it.
    settings.RADIOLOGY_STORAGE = swift.S3
    call_command("migrate_store", "s3", stdout=out)
    assert not any((store / key).exists() for key in rows)
    assert verification.verify(is_full=True).is_sound
