"""Data sets on their way into the spool."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

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


def test_a_file_is_locked_for_as_long_as_its_process_has_it(spool: Path) -> None:
    """What `archive.reconcile` tells the living from the dead by."""
    growing = DataSetStream(b"header")
    with growing.path.open("rb") as handle:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        growing.finish()
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(growing._descriptor)  # as the death of its process does
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
