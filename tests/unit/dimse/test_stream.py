"""Data sets on their way into the spool."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


def test_only_files_that_nobody_writes_are_swept(spool: Path) -> None:
    alive, dead = DataSetStream(b"alive"), DataSetStream(b"dead")
    os.close(dead._descriptor)  # as the death of its process does
    foreign = spool / "in-upload.part"
    foreign.write_bytes(b"upload")
    assert stream.sweep() == 1
    assert set(spool.iterdir()) == {alive.path, foreign}
    alive.discard()


def test_an_empty_site_has_nothing_to_sweep(spool: Path) -> None:
    assert stream.sweep() == 0
