"""Bytes in the layout: never overwritten, never outside, durable in the right order."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from blobs import (
    BlobError,
    BlobMissingError,
    BlobStoreUnavailableError,
    FileSystemStore,
    filesystem,
)
from blobs.protocol import layout_key


@pytest.fixture
def store(tmp_path: Path) -> FileSystemStore:
    return FileSystemStore(tmp_path / "store")


def spooled(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "store").mkdir(exist_ok=True)
    path = tmp_path / "store" / "part"
    path.write_bytes(content)
    return path


def test_the_key_is_the_published_layout() -> None:
    h = hashlib.sha256(b"1.2.840.1").hexdigest()
    assert layout_key("1.2.840.1") == f"{h[0:2]}/{h[2:4]}/{h[0:16]}.dcm"


def test_a_taken_key_gets_a_suffix_and_nothing_is_overwritten(
    store: FileSystemStore, tmp_path: Path
) -> None:
    assert store.put(spooled(tmp_path, b"one"), "aa/bb/x.dcm") == "aa/bb/x.dcm"
    (tmp_path / "store" / "part").unlink()
    assert store.put(spooled(tmp_path, b"two"), "aa/bb/x.dcm") == "aa/bb/x-1.dcm"
    assert store.read("aa/bb/x.dcm", 0, 10) == b"one"
    assert store.read("aa/bb/x-1.dcm", 1, 10) == b"wo"
    assert store.size("aa/bb/x-1.dcm") == 3


def test_a_key_never_leaves_the_store(store: FileSystemStore) -> None:
    for key in ("../x", "/etc/passwd", "a/../../x", ""):
        with pytest.raises(BlobError):
            store.path(key)


def test_memory_that_is_there_is_filled(store: FileSystemStore, tmp_path: Path) -> None:
    key = store.put(spooled(tmp_path, b"content"), "ab/cd/one.dcm")
    memory = bytearray(9)
    assert store.read_into(key, memoryview(memory)) == 7
    assert memory == b"content\0\0"
    assert store.read_into(key, memoryview(memory)[:3]) == 3
    with pytest.raises(BlobMissingError):
        store.read_into("ab/cd/none.dcm", memoryview(memory))
    for name in ("../x", "/etc/passwd", ""):
        with pytest.raises(BlobError):
            store.read_into(name, memoryview(memory))


def test_a_missing_object_is_named(store: FileSystemStore) -> None:
    for use in (store.open, store.size, lambda key: store.read(key, 0, 1)):
        with pytest.raises(BlobMissingError, match=r"aa/bb/none\.dcm"):
            use("aa/bb/none.dcm")


def test_a_full_disk_is_told_as_such(
    store: FileSystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = spooled(tmp_path, b"one")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(BlobStoreUnavailableError, match="No space left"):
        store.put(source, "aa/bb/x.dcm")


def test_data_is_synced_before_the_name_and_the_name_before_the_return(
    store: FileSystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    link, fdatasync, fsync = os.link, os.fdatasync, os.fsync

    def note_link(source: Path, target: Path) -> None:
        link(source, target)
        steps.append("link")

    def note_data(descriptor: int) -> None:
        steps.append("data")
        fdatasync(descriptor)

    def note_folder(descriptor: int) -> None:
        steps.append("folder")
        fsync(descriptor)

    monkeypatch.setattr(filesystem.os, "link", note_link)
    monkeypatch.setattr(filesystem.os, "fdatasync", note_data)
    monkeypatch.setattr(filesystem.os, "fsync", note_folder)
    store.put(spooled(tmp_path, b"one"), "aa/bb/x.dcm")
    # aa/bb holds the file; aa, the root and its parent hold folders that may be new too.
    assert steps == ["data", "link", "folder", "folder", "folder", "folder"]
    steps.clear()
    store.put(tmp_path / "store" / "part", "aa/bb/y.dcm")
    assert steps == ["data", "link", "folder"]


def test_folders_of_others_are_not_taken_for_durable(
    store: FileSystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have made them and not synced them yet."""
    synced: list[str] = []
    fsync = os.fsync

    def note_folder(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    source = spooled(tmp_path, b"one")
    store.put(source, "aa/bb/x.dcm")
    (store.root / "aa" / "cc").mkdir()
    monkeypatch.setattr(filesystem.os, "fsync", note_folder)
    store.put(source, "aa/cc/x.dcm")
    assert synced == ["cc", "aa"]
    synced.clear()
    shutil.rmtree(store.root / "aa")
    store.put(source, "aa/cc/y.dcm")
    assert synced == ["cc", "aa", store.root.name]
    synced.clear()
    shutil.move(store.root, tmp_path / "elsewhere")
    store.put(tmp_path / "elsewhere" / "part", "aa/cc/y.dcm")
    assert synced == ["cc", "aa", store.root.name, store.root.parent.name]


def test_keys_lists_instances_alone(store: FileSystemStore, tmp_path: Path) -> None:
    store.put(spooled(tmp_path, b"one"), "aa/bb/x.dcm")
    for name in filesystem.RESERVED:
        (store.root / name).mkdir()
        (store.root / name / "other").write_bytes(b"")
    assert list(store.keys()) == ["aa/bb/x.dcm"]
    store.delete("aa/bb/x.dcm")
    store.delete("aa/bb/x.dcm")
    assert list(store.keys()) == []
