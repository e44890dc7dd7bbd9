"""Data sets on their way into the spool."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from archive.errors import StoreUnavailableError
from dimse import stream
from dimse.stream import DataSetStream


@pytest.fixture
def spool(tmp_path: Path, settings: object) -> Path:
    folder = tmp_path / "spool"
    settings.DICOM_SPOOL_DIR = folder  # type: ignore[attr-defined]
    return folder


def test_what_was_written_lies_behind_its_header(spool: Path) -> None:
    growing = DataSetStream(b"header")
    growing.write(b"first")
    growing.write(memoryview(b"second")[1:])
    spooled = growing.finish()
    assert spooled.path.parent == spool
    assert spooled.path.read_bytes() == b"headerfirstecond"
    assert spooled.size_bytes == 16
    growing.discard()
    assert list(spool.iterdir()) == []


def test_a_linked_file_outlives_the_spool(spool: Path, tmp_path: Path) -> None:
    growing = DataSetStream(b"header")
    (tmp_path / "kept").hardlink_to(growing.finish().path)
    growing.discard()
    growing.discard()
    assert (tmp_path / "kept").read_bytes() == b"header"


def test_what_fits_into_the_buffer_becomes_a_file_only_when_asked_for(spool: Path) -> None:
    growing = DataSetStream(b"header")
    growing.write(b"first")
    spooled = growing.finish()
    assert bytes(spooled.content or b"") == b"headerfirst"
    assert spooled.source == spooled.content
    assert not spool.exists()
    assert spooled.path.read_bytes() == b"headerfirst"
    growing.discard()
    assert list(spool.iterdir()) == []


def test_a_full_disk_is_told_when_the_file_is_asked_for(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = DataSetStream(b"header")
    spooled = growing.finish()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dimse.stream.os.open", full)
    with pytest.raises(StoreUnavailableError, match="No space left"):
        _ = spooled.path
    growing.discard()


def test_a_file_is_locked_for_as_long_as_its_process_has_it(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `archive.reconcile` tells the living from the dead by."""
    monkeypatch.setattr(stream, "_BUFFER_BYTES", 8)
    growing = DataSetStream(b"header")
    growing.write(b"first")
    (path,) = spool.iterdir()
    with path.open("rb") as handle:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert growing.finish().path == path
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(growing._descriptor)  # as the death of its process does
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("size", [10, 99_999, 150_000, 1024 * 1024, 1024 * 1024 + 1, 3_500_000])
def test_the_digest_is_that_of_everything(spool: Path, size: int) -> None:
    """Computed by another thread or by ours, in memory or on the way to the file."""
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    growing = DataSetStream(b"header")
    for start in range(0, size, 60_000):
        growing.write(content[start : start + 60_000])
    spooled = growing.finish()
    assert spooled.digest() == hashlib.sha256(b"header" + content).hexdigest()
    assert spooled.path.read_bytes() == b"header" + content
    growing.discard()


def test_a_buffer_is_used_again_only_when_nobody_hashes_it(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was broken off must not disturb the next one."""
    monkeypatch.setattr(stream, "_buffers", [])
    begun, asked = threading.Event(), threading.Event()
    free: list[int] = []

    def slow(_: memoryview) -> str:
        begun.set()
        asked.wait()
        free.append(len(stream._buffers))
        return ""

    def waited_for(futures: list[Future[str]]) -> object:
        asked.set()
        return wait(futures)

    monkeypatch.setattr(stream, "_hex_digest", slow)
    monkeypatch.setattr(stream, "wait", waited_for)
    growing = DataSetStream(b"header")
    growing.write(bytes(150_000))
    spooled = growing.finish()
    begun.wait()
    growing.discard()
    asked.set()
    assert spooled.digest() == ""
    assert free == [0]
    assert len(stream._buffers) == 1


def test_a_digest_that_was_not_begun_is_not_waited_for(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who compute them may be busy when a sender breaks off."""
    may_end = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as busy:
        monkeypatch.setattr(stream, "_hashers", busy)
        busy.submit(may_end.wait)
        growing = DataSetStream(b"header")
        growing.write(bytes(150_000))
        growing.finish()
        growing.discard()
        may_end.set()
