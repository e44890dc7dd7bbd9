"""Instances on their way into a bucket: server and worker killed, nothing lost, nothing twice.

In-process tests of the same store are in tests/doors/test_object_storage.py.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom.uid import generate_uid

from tests import receiver as receivers
from tests import swift
from tests.codestreams import noise
from tests.dcmtk import storescp
from tests.dicom import make_instance, to_bytes
from tests.pdu import CT, fragment, read_part10, store_rq
from tests.receiver import PROJECT, ReceiverSite
from tests.swift import ObjectServer

__all__ = ["storescp"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 24
# Enough to be killed in the middle.
MANY = 30
WAIT_S = 120


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with swift.running() as found:
        yield found


@pytest.fixture
def site(server: ObjectServer, make_site: Callable[..., ReceiverSite]) -> Iterator[ReceiverSite]:
    server.new_bucket(f"b{os.urandom(6).hex()}")
    made = make_site(environment=server.environment())
    made.start()
    yield made
    made.stop()


@contextmanager
def worker(site: ReceiverSite) -> Iterator[subprocess.Popen[bytes]]:
    """The embedded worker, killed at the end."""
    with (site.data_dir / "worker.out").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run_jobs"],
            cwd=PROJECT,
            env=receivers._environment(site.data_dir, site.settings) | site.environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def write(folder: Path, study: str, count: int = COUNT) -> dict[str, str]:
    """Write a study's files; returns the digests of their data sets by SOP Instance UID."""
    folder.mkdir()
    written = {}
    for number in range(count):
        made = make_instance(noise(64, 64), StudyInstanceUID=study, InstanceNumber=number)
        content = to_bytes(made)
        (folder / f"{number:03}.dcm").write_bytes(content)
        written[made.SOPInstanceUID] = hashlib.sha256(read_part10(content).data).hexdigest()
    return written


def send(site: ReceiverSite, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["storescu", "-aet", "STORESCU", "-aec", "NOCTIS_SCP", "+sd", "127.0.0.1", str(site.port),
         str(folder)],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def manage(site: ReceiverSite, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=receivers._environment(site.data_dir, site.settings) | site.environment | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(site: ReceiverSite, *arguments: str, **more: str) -> str:
    process = manage(site, *arguments, **more)
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, said
    return said


def data_digests(folder: Path) -> dict[str, str]:
    """Return the digests of the data sets of a folder's files by SOP Instance UID."""
    got = [read_part10(path.read_bytes()) for path in folder.iterdir()]
    return {one.sop_instance: hashlib.sha256(one.data).hexdigest() for one in got}


def places(site: ReceiverSite, server: ObjectServer) -> dict[str, str]:
    """Return the digest of each key, wherever it is; both places must agree where both have it."""
    here = {key: (site.store / key).read_bytes() for key in site.stored_files()}
    there = {key: server.content(key) for key in server.objects()}
    assert all(there[key] == here[key] for key in here.keys() & there.keys())
    return {key: hashlib.sha256(each).hexdigest() for key, each in {**there, **here}.items()}


def test_kills_on_the_way_lose_nothing_and_leave_nothing_twice(
    site: ReceiverSite,
    server: ObjectServer,
    storescp: Callable[..., SimpleNamespace],
    tmp_path: Path,
) -> None:
    study = generate_uid()
    digests = write(tmp_path / "study", study)
    sender = send(site, tmp_path / "study")
    with worker(site):
        site.eventually(lambda: len(server.objects()) > 3, WAIT_S)
        server.kill()
        assert sender.wait(timeout=WAIT_S) == 0  # receiving goes on without the bucket
    server.start()
    rows = {row["storage_key"]: row for row in site.images()}
    assert {row["sop_instance_uid"] for row in rows.values()} == set(digests)
    with worker(site):
        site.eventually(lambda: len(server.objects()) == COUNT and not site.stored_files(), WAIT_S)
    assert server.objects() == {key: row["size_bytes"] for key, row in rows.items()}
    for key, row in rows.items():
        assert hashlib.sha256(server.content(key)).hexdigest() == row["sha256"]

    # What only the bucket has leaves by C-GET and by C-MOVE as it came.
    query = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    names = ["-S", "-aet", "STORESCU", "-aec", "NOCTIS_SCP"]
    shutil.rmtree(site.store / "cache", ignore_errors=True)
    (tmp_path / "got").mkdir()
    got = subprocess.run(
        ["getscu", "-B", *names, "-od", tmp_path / "got", *query, "127.0.0.1", str(site.port)],
        check=False,
        timeout=WAIT_S,
    )
    assert (got.returncode, data_digests(tmp_path / "got")) == (0, digests)
    sink = storescp("-B")
    run(site, "add_destination", "SINK", "127.0.0.1", str(sink.port))
    shutil.rmtree(site.store / "cache", ignore_errors=True)
    moved = subprocess.run(
        ["movescu", *names, "-aem", "SINK", *query, "127.0.0.1", str(site.port)],
        check=False,
        timeout=WAIT_S,
    )
    assert (moved.returncode, data_digests(sink.folder)) == (0, digests)
    assert site.run_python(
        "from archive import verification\nprint(verification.verify(is_full=True).is_sound)"
    ).endswith("True\n")

    # A backup holds what the bucket has, and brings it back to a site without one.
    shutil.rmtree(site.store / "cache", ignore_errors=True)
    command = "from django.core.management import call_command as call\n"
    site.run_python(f"{command}call('backup', {str(tmp_path / 'backup')!r})")
    home = tmp_path / "restored"
    receivers.run_python(home, f"{command}call('restore', {str(tmp_path / 'backup')!r})")
    assert {
        key: hashlib.sha256((home / "media" / "dicom" / key).read_bytes()).hexdigest()
        for key in rows
    } == {key: row["sha256"] for key, row in rows.items()}


def test_a_killed_receiver_and_killed_moves_keep_what_was_answered(
    site: ReceiverSite, server: ObjectServer, tmp_path: Path
) -> None:
    digests = write(tmp_path / "study", generate_uid(), MANY)
    parts = [read_part10(path.read_bytes()) for path in sorted((tmp_path / "study").iterdir())]
    answered = parts[: MANY // 2]
    with worker(site):
        with site.peer() as peer:
            for part in answered[:6]:
                assert peer.store(CT, part.sop_instance, part.data).status == 0
            peer.release()
        # Some are in the bucket, others on the way to it, one is being received.
        site.eventually(server.objects, WAIT_S)
        with site.peer() as peer:
            for part in answered[6:]:
                assert peer.store(CT, part.sop_instance, part.data).status == 0
            cut = parts[len(answered)]
            context = peer.context_of(CT)
            peer.send(fragment(context, 3, store_rq(CT, cut.sop_instance)))
            peer.send(fragment(context, 0, cut.data[:4000]))
            site.kill()
        site.start()
        assert {row["sop_instance_uid"] for row in site.images()} == {
            part.sop_instance for part in answered
        }
        assert send(site, tmp_path / "study").wait(timeout=WAIT_S) == 0
        site.eventually(lambda: len(server.objects()) == MANY and not site.stored_files(), WAIT_S)
    rows = {row["storage_key"]: row["sha256"] for row in site.images()}
    assert len(rows) == MANY
    assert {row["sop_instance_uid"] for row in site.images()} == set(digests)
    assert places(site, server) == rows

    # The schedule's backup has all of it, and a drill brings it back without the bucket.
    elsewhere = {"NOCTIS_BACKUP_DIR": str(tmp_path / "backups")}
    shutil.rmtree(site.store / "cache", ignore_errors=True)
    assert f"{MANY} files" in run(site, "scheduled_backup", **elsewhere)
    (backup,) = (tmp_path / "backups").glob("noctis-*")
    assert f"{MANY} files came back" in run(site, "restore_drill", str(backup), **elsewhere)
    assert len(server.objects()) == MANY

    # Back to the disk and into the bucket again, each killed on its way and run again.
    site.stop()
    shutil.rmtree(site.store / "cache", ignore_errors=True)
    for there, has_begun in (
        ("filesystem", lambda: len(site.stored_files()) > 3),
        ("s3", lambda: len(server.objects()) > 3),
    ):
        if there == "s3":
            for key in server.objects():
                server.remove(key)
        moving = manage(site, "migrate_store", there)
        site.eventually(has_begun, WAIT_S)
        moving.kill()
        moving.communicate()
        assert moving.returncode == -signal.SIGKILL
        assert places(site, server) == rows  # each is somewhere, as it was stored
        left = f"{MANY - len(site.stored_files())} objects brought back"
        again = run(site, "migrate_store", there)
        assert there != "filesystem" or left in again, again
        kept = site.stored_files() if there == "filesystem" else server.objects().keys()
        assert kept == rows.keys()
        assert places(site, server) == rows
    assert site.stored_files() == set()
    assert run(site, "verify_storage", "--full")
