"""Instances that came through the journal, and what a power cut does to them."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import OperationalError, connection

from archive import arrivals, ingest, reconcile, runner, stores
from archive.arrivals import Arrival
from archive.errors import StoreUnavailableError
from archive.ingest import IngestResult, Outcome, Provenance
from archive.models import InstanceConflict, Job
from archive.spool import Spooled
from blobs import BlobStoreUnavailableError, FileSystemStore, journal
from blobs.journal import Entry
from imaging.header import part10_header
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.pdu import read_part10
from worklist.models import DicomImage, Facility


@pytest.fixture(autouse=True)
def commits_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database server may still commit for a process that died; here it has had its time."""
    monkeypatch.setattr(reconcile, "_SERVER_COMMITS_S", -1)


@pytest.fixture
def open_journal(store: Path, settings: object) -> Iterator[None]:
    """Let this process have a journal, which keeps everything until the end."""
    settings.JOURNAL_IDLE_S = 3600.0  # type: ignore[attr-defined]
    stores.open_journal()
    opened = stores.journal()
    assert opened is not None
    eventually(lambda: opened._state.free)
    yield
    stores.close_journal()


def eventually(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def content_of(**keywords: object) -> bytes:
    """An instance under our own header, as the receiver has it in memory."""
    raw = read_part10(to_bytes(make_instance(**keywords)))
    header = part10_header(
        sop_class_uid=raw.sop_class,
        sop_instance_uid=raw.sop_instance,
        transfer_syntax_uid=raw.transfer_syntax,
    )
    return header + raw.data


def receive(content: bytes, facility: Facility) -> IngestResult:
    """Ingest what is in memory; it becomes a file in the spool when somebody asks for it."""
    path = stores.instances().root / "spool" / f"dimse-{time.time_ns()}.part"

    def write() -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    with Spooled(write, len(content), memoryview(content)) as spooled:
        return ingest.ingest_instance(spooled, Provenance(facility=facility, source="tests"))


def journals(store: Path) -> list[Path]:
    return sorted((store / "spool").glob("journal-*.log"))


def die(store: Path) -> Path:
    """Leave the journal as a process leaves it that dies now; the living one is emptied."""
    (path,) = (path for path in journals(store) if list(journal.records(path)))
    left = path.with_name("journal-left.log")
    shutil.copyfile(path, left)
    stores.close_journal()
    assert journals(store) == [left]
    return left


def file_of(store: Path, content: bytes) -> Path:
    digest = hashlib.sha256(content).hexdigest()
    return store / DicomImage.objects.get(sha256=digest).storage_key


def test_an_instance_goes_through_the_journal_without_a_spool_file(
    store: Path, facility: Facility, open_journal: None
) -> None:
    content = content_of()
    assert receive(content, facility).outcome is Outcome.STORED
    assert file_of(store, content).read_bytes() == content
    assert list((store / "spool").glob("*.part")) == []
    assert receive(content, facility).outcome is Outcome.DUPLICATE


@pytest.mark.parametrize("loss", ["file", "folder", "end", "content", "all content"])
def test_what_a_power_cut_took_comes_back_from_the_journal(
    store: Path, facility: Facility, open_journal: None, loss: str
) -> None:
    contents = [content_of() for _ in range(3)]
    for content in contents:
        receive(content, facility)
    left = die(store)
    path = file_of(store, contents[1])
    if loss == "file":
        path.unlink()
    elif loss == "folder":
        shutil.rmtree(path.parent.parent)
    elif loss == "end":
        os.truncate(path, len(contents[1]) - 1)
    elif loss == "content":
        path.write_bytes(contents[1][:4096] + bytes(len(contents[1]) - 4096))
    else:
        path.write_bytes(b"")

    done = reconcile.settle_spool()

    assert done.restored >= 1
    assert (done.taken_back, done.waiting) == (0, 0)
    assert [file_of(store, content).read_bytes() for content in contents] == contents
    assert not left.exists()
    assert reconcile.settle_spool() == reconcile.Settled()


class DiedError(BaseException):
    """The process died; nothing of it tidies up."""


@pytest.fixture
def die_before_commit(
    store: Path, facility: Facility, open_journal: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[[bytes], Path]:
    """Receive up to the commit; returns the file that stands in the layout, unnamed by any row."""

    def receive_and_die(content: bytes) -> Path:
        def died(arrival: Arrival) -> None:
            targets.append(store / arrival.placed.storage_key)
            (path,) = (path for path in journals(store) if list(journal.records(path)))
            shutil.copyfile(path, path.with_name("journal-left.log"))
            raise DiedError

        targets: list[Path] = []
        with monkeypatch.context() as patch:
            patch.setattr(arrivals, "add", died)
            patch.setattr(FileSystemStore, "delete", lambda *_: None)
            with pytest.raises(DiedError):
                receive(content, facility)
        stores.close_journal()
        return targets[0]

    return receive_and_die


def test_what_was_not_committed_is_taken_back(
    store: Path, facility: Facility, die_before_commit: Callable[[bytes], Path]
) -> None:
    content = content_of()
    target = die_before_commit(content)
    assert target.exists()
    assert reconcile.settle_spool().taken_back == 1
    assert not target.exists()
    assert list((store / "spool").iterdir()) == []
    assert receive(content, facility).outcome is Outcome.STORED


@pytest.mark.parametrize("how", ["another file", "of an upload under way"])
def test_a_file_that_the_journal_did_not_make_stays(
    store: Path, die_before_commit: Callable[[bytes], Path], how: str
) -> None:
    target = die_before_commit(content_of())
    if how == "another file":
        other = target.with_name("other")
        other.write_bytes(target.read_bytes())
        other.replace(target)
    else:
        os.link(target, store / "spool" / "in-under-way.part")
    assert reconcile.settle_spool().taken_back == 0
    assert target.exists()


def test_what_was_stored_otherwise_meanwhile_keeps_its_file(
    store: Path, facility: Facility, die_before_commit: Callable[[bytes], Path]
) -> None:
    """Sent again, with other content, before anybody looked into the journal."""
    first = content_of()
    target = die_before_commit(first)
    target.unlink()
    other = first[:-2] + bytes([first[-2] ^ 1, first[-1]])
    factories.store_bytes(other, facility)
    done = reconcile.settle_spool()
    assert (done.restored, done.taken_back) == (0, 0)
    assert file_of(store, other).read_bytes() == other


def test_a_server_gets_time_to_commit_for_the_dead(
    store: Path,
    die_before_commit: Callable[[bytes], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconcile, "_SERVER_COMMITS_S", 60)
    target = die_before_commit(content_of())
    # SQLite's commits end with their process.
    is_server = connection.vendor != "sqlite"
    assert reconcile.settle_spool().waiting == is_server
    assert target.exists() is is_server


def test_the_journal_of_a_living_process_is_left_alone(
    store: Path, facility: Facility, open_journal: None
) -> None:
    content = content_of()
    receive(content, facility)
    assert reconcile.settle_spool() == reconcile.Settled()
    assert [list(journal.records(path)) for path in journals(store)] != [[]]
    reconcile.request_settling()
    assert not Job.objects.filter(kind="spool.settle").exists()


def test_the_worker_settles_a_journal_that_nobody_started_again(
    store: Path, facility: Facility, open_journal: None
) -> None:
    content = content_of()
    receive(content, facility)
    left = die(store)
    file_of(store, content).unlink()
    reconcile.request_settling()
    runner.drain()
    assert not left.exists()
    assert file_of(store, content).read_bytes() == content


def test_a_database_that_takes_nothing_leaves_no_file(
    store: Path, facility: Facility, open_journal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Arrival) -> None:
        raise OperationalError("locked")

    monkeypatch.setattr(arrivals, "add", refuse)
    with pytest.raises(StoreUnavailableError):
        receive(content_of(), facility)
    assert list(stores.instances().keys()) == []
    assert [r.is_void for path in journals(store) for r in journal.records(path)] == [True]


def test_a_disk_that_takes_nothing_leaves_no_file(
    store: Path, facility: Facility, open_journal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Entry) -> None:
        raise BlobStoreUnavailableError("full")

    monkeypatch.setattr(Entry, "settle", broken)
    with pytest.raises(StoreUnavailableError):
        receive(content_of(), facility)
    assert list(stores.instances().keys()) == []
    assert not DicomImage.objects.exists()


def test_a_uid_of_two_facilities_has_two_files(
    store: Path, facility: Facility, other_facility: Facility, open_journal: None
) -> None:
    content = content_of()
    for owner in (facility, other_facility):
        assert receive(content, owner).outcome is Outcome.STORED
    keys = list(DicomImage.objects.values_list("storage_key", flat=True))
    assert len(set(keys)) == 2
    assert [(store / key).read_bytes() for key in keys] == [content, content]


def test_other_content_is_kept_aside_from_memory(
    store: Path, facility: Facility, open_journal: None
) -> None:
    first = content_of()
    other = first[:-2] + bytes([first[-2] ^ 1, first[-1]])
    receive(first, facility)
    assert receive(other, facility).outcome is Outcome.CONFLICT
    aside = InstanceConflict.objects.get()
    assert stores.conflicts().path(aside.storage_key).read_bytes() == other
    assert file_of(store, first).read_bytes() == first
