"""After a kill: what was in flight is taken back. In the background: damage is found and mended.

Not covered here: real kills under load (tests/flows/test_siege.py).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection

from accounts.models import User
from archive import (
    damage,
    decoding,
    frame_cache,
    jobs,
    reconcile,
    retrieve,
    runner,
    spool,
    stores,
    sweep,
)
from archive.access import actor_of
from archive.errors import UndecodableError
from archive.models import Damage, InstanceConflict, Job, JobState, OutboxEvent, Sweep
from archive.retrieve import Form, Rendering
from archive.state import site_state
from blobs import protocol
from imaging import header
from tests import factories
from tests.codestreams import compressed_instance, jpeg_2000, noise
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def images(store: Path, facility: Facility) -> list[DicomImage]:
    for _ in range(3):
        factories.store_bytes(to_bytes(make_instance()), facility)
    return list(DicomImage.objects.order_by("pk"))


@pytest.fixture
def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    return process.pid


@pytest.fixture(autouse=True)
def commits_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database server may still commit for a process that died; here it has had its time."""
    monkeypatch.setattr(reconcile, "_SERVER_COMMITS_S", -1)


def make_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time pass for everything that looks at ages: ctime cannot be set back."""
    os.utime(path)
    now = time.time()
    monkeypatch.setattr(reconcile.time, "time", lambda: now + 2 * 3600)


def in_flight(store: Path, name: str, content: bytes | None = None) -> tuple[Path, Path]:
    """An instance that was put into the store, whose row was never committed."""
    ds = make_instance()
    path = store / "spool" / f"{name}.part"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content or to_bytes(ds))
    key = stores.instances().put(
        path, protocol.layout_key(header.read_index(path).sop_instance_uid)
    )
    return path, store / key


def of_dead(number: int) -> str:
    return f"{spool._mark()}{number}-x"


# The spool ----------------------------------------------------------------------------------


def test_what_a_dead_receiver_had_in_hand_is_taken_back(store: Path, db: None) -> None:
    spooled, stored = in_flight(store, "dimse-abc")
    unfinished = store / "spool" / "dimse-cut.part"
    unfinished.write_bytes(b"half a head")
    done = reconcile.settle_spool()
    assert (done.taken_back, done.removed, done.waiting) == (1, 2, 0)
    assert not spooled.exists()
    assert not stored.exists()
    assert not unfinished.exists()


def test_a_server_gets_time_to_commit_for_the_dead(
    store: Path, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_SERVER_COMMITS_S", 60)
    _, stored = in_flight(store, "dimse-abc")
    # SQLite's commits end with their process.
    is_server = connection.vendor != "sqlite"
    assert reconcile.settle_spool().waiting == is_server
    assert stored.exists() is is_server


def test_what_a_living_receiver_has_in_hand_is_left_alone(store: Path, db: None) -> None:
    spooled, stored = in_flight(store, "dimse-abc")
    with spooled.open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert reconcile.settle_spool().waiting == 1
    assert spooled.exists()
    assert stored.exists()


def test_uploads_are_judged_by_their_process(
    store: Path, db: None, dead_process: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, stored = in_flight(store, of_dead(os.getpid()))
    elsewhere, _ = in_flight(store, "in-0123abcd-77-x")
    dead, taken = in_flight(store, of_dead(dead_process))
    done = reconcile.settle_spool()
    assert (done.taken_back, done.waiting) == (1, 2)
    assert (mine.exists(), elsewhere.exists(), dead.exists()) == (True, True, False)
    assert stored.exists()
    assert not taken.exists()
    make_old(mine, monkeypatch)
    assert reconcile.settle_spool().removed == 2


def test_a_committed_row_keeps_its_file(
    store: Path, facility: Facility, images: list[DicomImage]
) -> None:
    stored = store / images[0].storage_key
    os.link(stored, store / "spool" / "dimse-late.part")
    done = reconcile.settle_spool()
    assert (done.taken_back, done.removed) == (0, 1)
    assert stored.exists()


def test_a_second_file_under_the_same_name_is_told_apart(
    store: Path, facility: Facility, images: list[DicomImage]
) -> None:
    """Two facilities may have the same UID: the suffix tells their files apart."""
    content = (store / images[0].storage_key).read_bytes()
    _, stored = in_flight(store, "dimse-twin", content)
    assert stored.name.endswith("-1.dcm")
    assert reconcile.settle_spool().taken_back == 1
    assert not stored.exists()
    assert (store / images[0].storage_key).read_bytes() == content


def test_the_worker_settles_what_nobody_started_again(
    store: Path, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_SERVER_COMMITS_S", 10)
    spooled, stored = in_flight(store, "dimse-abc")
    reconcile.request_settling()
    assert not Job.objects.filter(kind="spool.settle").exists()
    make_old(spooled, monkeypatch)
    reconcile.request_settling()
    runner.drain()
    assert not spooled.exists()
    assert not stored.exists()


def test_settling_costs_the_same_however_much_is_stored(
    images: list[DicomImage], store: Path, django_assert_max_num_queries: Any
) -> None:
    in_flight(store, "dimse-abc")
    with django_assert_max_num_queries(1):
        reconcile.settle_spool()


# The sweep ----------------------------------------------------------------------------------


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def drain_sweep() -> None:
    """Run the chain of slices without waiting for their pauses."""
    while True:
        Job.objects.filter(kind="archive.sweep", state=JobState.QUEUED).update(
            run_at="2026-01-01T00:00:00Z"
        )
        if not runner.drain():
            return


def test_a_flipped_byte_is_found_told_and_never_served(
    store: Path, images: list[DicomImage], site: Any
) -> None:
    runner.drain()
    # It is due after five seconds, which a busy machine takes for this, and warns of other things.
    Job.objects.filter(kind="series.describe").delete()
    bad = store / images[1].storage_key
    flip(bad)
    runner.care()
    drain_sweep()
    row = Sweep.objects.get()
    assert (row.phase, row.checked, row.damaged, row.strays) == ("", 3, 1, 0)
    assert row.finished_at is not None
    found = Damage.objects.get()
    assert (found.image_id, found.kind, found.mended_at) == (images[1].pk, "changed", None)
    assert not bad.exists()
    assert (store / "damaged" / images[1].storage_key).exists()
    images[1].refresh_from_db()
    assert "damaged" in images[1].problem
    decoding.forget_refusals()
    with pytest.raises(UndecodableError, match="not what was stored"):
        retrieve.frame(images[1], 1, Rendering(form=Form.RAW))
    study = Study.objects.get(series__images=images[1].pk)
    assert study.warning.startswith("Files of this study are damaged or missing (1).")
    assert OutboxEvent.objects.filter(
        kind="study.changed", payload__study_id=str(study.pk)
    ).exists()
    assert any(part.name == "Files" and part.level == "danger" for part in site_state())
    assert retrieve.frame(images[0], 1, Rendering(form=Form.RAW)).content


def test_damage_is_mended_from_a_copy_with_the_right_digest(
    store: Path, images: list[DicomImage], admin_user: User, tmp_path: Path
) -> None:
    good, wrong = tmp_path / "good", tmp_path / "wrong"
    for image, folder in ((images[0], good), (images[1], wrong)):
        copy = folder / image.storage_key
        copy.parent.mkdir(parents=True)
        copy.write_bytes((store / image.storage_key).read_bytes())
        flip(store / image.storage_key)
    flip(wrong / images[1].storage_key)
    assert sweep.run_to_the_end().damaged == 2
    assert damage.mend_all(actor_of(admin_user), [good, wrong]) == (1, 1)
    assert damage.look_at(images[0]) is None
    images[0].refresh_from_db()
    assert images[0].problem == ""
    assert Study.objects.get(series__images=images[0].pk).warning == ""
    assert Study.objects.get(series__images=images[1].pk).warning != ""
    assert Damage.objects.get(mended_at=None).image_id == images[1].pk


def test_a_missing_file_comes_back_from_what_was_set_aside(
    store: Path, images: list[DicomImage]
) -> None:
    path = store / images[0].storage_key
    stores.strays().put(path, images[0].storage_key)
    path.unlink()
    lost = (store / images[2].storage_key).read_bytes()
    (store / images[2].storage_key).unlink()
    row = sweep.run_to_the_end()
    assert row.damaged == 1
    assert damage.look_at(images[0]) is None
    assert Damage.objects.get().kind == "missing"
    # What is put back by hand closes it with the next pass, when it is the right file.
    path = store / images[2].storage_key
    path.write_bytes((store / images[0].storage_key).read_bytes())
    sweep.run_to_the_end()
    assert Damage.objects.get().mended_at is None
    path.write_bytes(lost)
    sweep.run_to_the_end()
    assert Damage.objects.get().mended_at is not None


def test_files_without_a_row_are_set_aside_once_they_are_old(
    store: Path, images: list[DicomImage], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    stray = store / "ab" / "cd" / "abcdef0123456789.dcm"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"x")
    assert sweep.run_to_the_end().strays == 0
    assert stray.exists()
    make_old(stray, monkeypatch)
    assert sweep.run_to_the_end().strays == 1
    assert not stray.exists()
    kept = store / "strays" / "ab" / "cd" / "abcdef0123456789.dcm"
    assert kept.read_bytes() == b"x"
    assert all((store / image.storage_key).exists() for image in images)
    settings.STRAY_RETENTION_DAYS = 0
    sweep.run_to_the_end()
    assert not kept.exists()


def test_a_damaged_copy_that_is_kept_aside_is_told(
    store: Path, facility: Facility, images: list[DicomImage]
) -> None:
    other = make_instance(SOPInstanceUID=images[0].sop_instance_uid)
    factories.store_bytes(to_bytes(other), facility)
    flip(store / "conflicts" / InstanceConflict.objects.get().storage_key)
    assert sweep.run_to_the_end().damaged == 1
    assert "damaged" in InstanceConflict.objects.get().reason


def test_a_sweep_goes_on_where_it_stopped_and_keeps_to_its_rate(
    images: list[DicomImage], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    runner.drain()
    monkeypatch.setattr(sweep, "SLICE_S", 0.0)
    monkeypatch.setattr(sweep, "_BATCH", 1)
    settings.SCRUB_BYTES_PER_S = 100
    sweep.start()
    Sweep.objects.update(phase="rows", cursor=str(images[1].pk))
    job = jobs.claim()
    assert job is not None
    began = job.run_at
    jobs.run(job)
    row = Sweep.objects.get()
    assert (row.cursor, row.checked, row.checked_bytes) == (
        str(images[2].pk),
        1,
        images[2].size_bytes,
    )
    waiting = Job.objects.get(kind="archive.sweep", state=JobState.QUEUED)
    assert (waiting.run_at - began).total_seconds() > images[2].size_bytes / 100 - 1


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("form", [Form.PNG, Form.HTJ2K, Form.RAW])
def test_a_changed_bit_of_a_compressed_file_is_found_before_it_is_decoded(
    store: Path, facility: Facility, form: Form
) -> None:
    """Long before the next sweep; what was decoded from the sound file is still the right one."""
    decoding.forget_refusals()
    pixels = noise(64, 64)
    factories.store_bytes(compressed_instance([jpeg_2000(pixels)], 64, 64), facility)
    image = DicomImage.objects.get()
    path = store / image.storage_key
    sound = path.read_bytes()
    assert retrieve.exact(image, 1).tobytes() == pixels.tobytes()
    _flip(path, -40)
    assert retrieve.exact(image, 1).tobytes() == pixels.tobytes()
    frame_cache.forget_memory()
    shutil.rmtree(store.parent / "cache", ignore_errors=True)
    with pytest.raises(UndecodableError, match=r"The stored file is damaged.*sent again"):
        retrieve.frame(image, 1, Rendering(form=form))
    assert not path.exists()
    assert (store / "damaged" / image.storage_key).exists()
    assert "damaged" in Study.objects.get().warning
    path.write_bytes(sound)
    assert damage.mend(Damage.objects.get(), "tests")
    frame_cache.forget_memory()
    assert retrieve.exact(image, 1).tobytes() == pixels.tobytes()


def test_files_of_several_frames_are_compared_once_in_a_while(
    store: Path, facility: Facility
) -> None:
    decoding.forget_refusals()
    frames = [noise(64, 64, seed) for seed in range(3)]
    raw = compressed_instance([jpeg_2000(frame) for frame in frames], 64, 64)
    factories.store_bytes(raw, facility)
    image = DicomImage.objects.get()
    assert retrieve.exact(image, 1).tobytes() == frames[0].tobytes()
    path = store / image.storage_key
    # In the frame that is asked for last; the second is read without a look at the others.
    _flip(path, -40)
    assert retrieve.exact(image, 2).tobytes() == frames[1].tobytes()
    decoding.forget_refusals()
    with pytest.raises(UndecodableError, match="damaged"):
        retrieve.exact(image, 3)


def test_a_reader_that_may_not_write_in_the_store_refuses_all_the_same(
    store: Path, facility: Facility
) -> None:
    factories.store_bytes(compressed_instance([jpeg_2000(noise(64, 64))], 64, 64), facility)
    image = DicomImage.objects.get()
    _flip(store / image.storage_key, -40)
    # A file stands where the folder would be made: even root cannot make it then.
    (store / "damaged").write_bytes(b"")
    with pytest.raises(UndecodableError, match="damaged"):
        retrieve.exact(image, 1)


def test_two_workers_do_not_count_a_slice_twice(images: list[DicomImage]) -> None:
    sweep.start()
    row, other = Sweep.objects.get(), Sweep.objects.get()
    first, second = sweep._Progress(row), sweep._Progress(other)
    sweep._check_rows(row, first)
    sweep._check_rows(other, second)
    assert (first.save(), second.save()) == (True, False)
    assert Sweep.objects.get().checked == 3


@pytest.fixture(autouse=True)
def forget_state() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()
