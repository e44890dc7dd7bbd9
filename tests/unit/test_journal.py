"""The journal in front of the store: one sync for many, and nothing forgotten too early."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blobs import BlobStoreUnavailableError, FileSystemStore, filesystem, journal
from blobs.journal import Entry, Journal, Record, records

SEGMENT_BYTES = 64 * 1024


@pytest.fixture
def store(tmp_path: Path) -> FileSystemStore:
    root = tmp_path / "store"
    root.mkdir()
    return FileSystemStore(root)


@pytest.fixture
def make_journal(store: FileSystemStore) -> Iterator[Callable[..., Journal]]:
    """Make journals that are closed at the end."""
    made: list[Journal] = []

    def make(**settings: float) -> Journal:
        choice = {"segment_bytes": SEGMENT_BYTES, "idle_s": 3600.0} | settings
        one = Journal(store.root / "spool", store, **choice)  # type: ignore[arg-type]
        one.start()
        made.append(one)
        eventually(lambda: one._state.free)
        return one

    yield make
    for one in made:
        one.close()


def eventually(look: Callable[[], object]) -> None:
    """Wait until `look` finds something."""
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def put(one: Journal, key: str, content: bytes) -> Entry:
    entry = one.put(memoryview(content), key)
    assert entry is not None
    return entry


def files(store: FileSystemStore) -> list[Path]:
    return sorted((store.root / "spool").glob("journal-*.log"))


def every_record(store: FileSystemStore) -> list[Record]:
    return [record for path in files(store) for record in records(path)]


def recorded(store: FileSystemStore) -> dict[str, bytes]:
    """What a start after a power cut would find."""
    return {record.key: bytes(record.content) for record in every_record(store)}


def test_a_file_is_there_for_readers_and_in_the_journal_when_it_is_settled(
    make_journal: Callable[..., Journal],
    store: FileSystemStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = make_journal()
    synced: list[dict[str, bytes]] = []
    monkeypatch.setattr(journal.os, "fdatasync", lambda _: synced.append(recorded(store)))
    first = put(one, "aa/bb/x.dcm", b"content")
    assert synced == []
    first.settle()
    # What the sync found is what a power cut would leave.
    assert synced == [{"aa/bb/x.dcm": b"content"}]
    assert store.read("aa/bb/x.dcm", 0, 100) == b"content"
    first.finish()
    (record,) = every_record(store)
    assert record.inode == store.path("aa/bb/x.dcm").stat().st_ino
    assert not record.is_void


def test_who_waits_at_the_same_time_shares_a_sync(
    make_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_journal()
    begun, may_end = threading.Event(), threading.Event()
    count: list[int] = []

    def slow(_: int) -> None:
        count.append(1)
        begun.set()
        may_end.wait()

    monkeypatch.setattr(journal.os, "fdatasync", slow)
    entries = [put(one, f"aa/bb/{number}.dcm", b"x" * 5000) for number in range(6)]
    threads = [threading.Thread(target=entry.settle) for entry in entries]
    threads[0].start()
    begun.wait()
    for thread in threads[1:]:
        thread.start()
    turn = entries[0]._segment._turn
    eventually(lambda: len(turn._waiters) == 5)  # type: ignore[attr-defined]
    may_end.set()
    for thread in threads:
        thread.join()
    # The sync that ran had begun before the others' content came: it does not count for them.
    assert len(count) == 2
    for entry in entries:
        entry.finish()


def test_a_segment_is_used_again_only_when_its_files_are_durable(
    make_journal: Callable[..., Journal],
    store: FileSystemStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = make_journal(most_segments=1)
    durable: list[tuple[list[str], int]] = []

    def note(keys: list[str]) -> None:
        durable.append((sorted(keys), len(recorded(store))))

    monkeypatch.setattr(store, "make_durable", note)
    entries = [put(one, f"aa/bb/{number}.dcm", b"x" * 14000) for number in range(3)]
    for entry in entries:
        entry.settle()
    # Full, and still in use: the store itself has to take it.
    assert one.put(memoryview(b"y" * 14000), "aa/bb/y.dcm") is None
    for entry in entries[:2]:
        entry.finish()
    assert durable == []
    assert len(recorded(store)) == 3
    entries[2].finish()
    eventually(lambda: one._state.free)
    assert durable == [(["aa/bb/0.dcm", "aa/bb/1.dcm", "aa/bb/2.dcm"], 3)]
    # What an earlier generation wrote behind the first record counts no more.
    put(one, "aa/bb/y.dcm", b"y").finish()
    assert recorded(store) == {"aa/bb/y.dcm": b"y"}


def test_when_nothing_comes_any_more_the_journal_becomes_empty(
    make_journal: Callable[..., Journal], store: FileSystemStore
) -> None:
    one = make_journal(idle_s=0.01)
    entry = put(one, "aa/bb/x.dcm", b"content")
    entry.settle()
    assert recorded(store)
    entry.finish()
    eventually(lambda: not recorded(store))
    assert store.read("aa/bb/x.dcm", 0, 100) == b"content"


def test_at_the_end_nothing_is_left_of_it(
    make_journal: Callable[..., Journal], store: FileSystemStore
) -> None:
    one = make_journal()
    entry = put(one, "aa/bb/x.dcm", b"content")
    entry.settle()
    entry.finish()
    one.close()
    assert files(store) == []
    assert store.read("aa/bb/x.dcm", 0, 100) == b"content"
    assert one.put(memoryview(b"late"), "aa/bb/y.dcm") is None


def test_what_is_under_way_is_waited_for_at_the_end(
    make_journal: Callable[..., Journal], store: FileSystemStore
) -> None:
    one = make_journal()
    entry = put(one, "aa/bb/x.dcm", b"content")
    closing = threading.Thread(target=one.close)
    closing.start()
    eventually(lambda: one._state.full)
    assert recorded(store)
    entry.settle()
    entry.finish()
    closing.join()
    assert files(store) == []


def test_a_taken_key_is_left_to_the_store(
    make_journal: Callable[..., Journal], store: FileSystemStore
) -> None:
    one = make_journal()
    os.close(store.create("aa/bb/x.dcm"))
    assert one.put(memoryview(b"content"), "aa/bb/x.dcm") is None
    assert [record.is_void for record in every_record(store)] == [True]
    assert store.size("aa/bb/x.dcm") == 0


def test_a_writer_that_was_overtaken_hides_nobody(
    make_journal: Callable[..., Journal], store: FileSystemStore
) -> None:
    """It has its place in the journal and died before it wrote there."""
    one = make_journal()
    overtaken = one._enter(memoryview(b"x" * 9000), "aa/bb/late.dcm")
    assert overtaken is not None
    put(one, "aa/bb/x.dcm", b"content").finish()
    assert recorded(store) == {"aa/bb/x.dcm": b"content"}
    overtaken.finish()


def test_content_that_looks_like_a_record_is_none(
    make_journal: Callable[..., Journal], store: FileSystemStore
) -> None:
    one = make_journal()
    put(one, "aa/bb/x.dcm", b"x").finish()
    (path,) = (path for path in files(store) if list(records(path)))
    forged = bytearray(path.read_bytes()[4096:8192])
    forged[8] ^= 1  # another generation
    overtaken = one._enter(memoryview(bytes(9000)), "aa/bb/late.dcm")
    assert overtaken is not None
    os.pwrite(overtaken._segment.descriptor, forged, overtaken._offset)
    assert list(recorded(store)) == ["aa/bb/x.dcm"]
    overtaken.finish()


def test_a_disk_that_fails_is_told_and_the_journal_takes_no_more(
    make_journal: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_journal()

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    first, second = put(one, "aa/bb/x.dcm", b"x"), put(one, "aa/bb/y.dcm", b"y")
    monkeypatch.setattr(journal.os, "fdatasync", broken)
    with pytest.raises(BlobStoreUnavailableError):
        first.settle()
    monkeypatch.undo()
    # The next sync would succeed, and say nothing about what the failed one lost.
    with pytest.raises(BlobStoreUnavailableError):
        second.settle()
    assert one.put(memoryview(b"z"), "aa/bb/z.dcm") is None
    first.finish()
    second.finish()


def test_a_full_disk_is_told_and_leaves_no_file(
    make_journal: Callable[..., Journal], store: FileSystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_journal()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "create", full)
    with pytest.raises(BlobStoreUnavailableError, match="No space left"):
        one.put(memoryview(b"x"), "aa/bb/x.dcm")
    assert list(store.keys()) == []


def test_files_that_cannot_be_made_durable_stay_in_the_journal(
    make_journal: Callable[..., Journal], store: FileSystemStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_journal(idle_s=0.01)

    def broken(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(store, "make_durable", broken)
    entry = put(one, "aa/bb/x.dcm", b"content")
    entry.settle()
    entry.finish()
    eventually(lambda: one._state.kept)
    one.close()
    assert recorded(store) == {"aa/bb/x.dcm": b"content"}


@pytest.mark.parametrize("whole", [True, False], ids=["file system", "each file"])
def test_files_are_made_durable_with_their_folders(
    store: FileSystemStore, monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    monkeypatch.setattr(filesystem, "_SYNCS_FILE_SYSTEMS", whole)
    synced: list[str] = []
    for name in ("fsync", "fdatasync"):
        call = getattr(os, name)

        def note(descriptor: int, call: Callable[[int], None] = call) -> None:
            synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
            call(descriptor)

        monkeypatch.setattr(filesystem.os, name, note)
    os.close(store.create("aa/bb/x.dcm"))
    store.make_durable(["aa/bb/x.dcm", "aa/bb/gone.dcm"])
    if not whole:
        assert synced[:4] == ["x.dcm", "bb", "aa", store.root.name]
    else:
        assert synced == []
        with pytest.raises(OSError, match="No such file"):
            FileSystemStore(store.root / "none").make_durable(["x"])


def test_restoring_replaces_what_a_power_cut_left(store: FileSystemStore) -> None:
    store.path("aa/bb/x.dcm").parent.mkdir(parents=True)
    store.path("aa/bb/x.dcm").write_bytes(bytes(7))
    store.restore("aa/bb/x.dcm", b"content")
    store.restore("cc/dd/y.dcm", b"other")
    assert store.read("aa/bb/x.dcm", 0, 100) == b"content"
    assert store.read("cc/dd/y.dcm", 0, 100) == b"other"
    assert list((store.root / "spool").iterdir()) == []
