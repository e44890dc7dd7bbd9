"""The store that this site's instances lie in."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from blobs import FileSystemStore
from blobs.journal import Journal


@lru_cache(maxsize=8)
def _file_system(root: Path) -> FileSystemStore:
    return FileSystemStore(root)


def instances() -> FileSystemStore:
    """Return the instance store below `DICOM_ROOT`."""
    return _file_system(settings.DICOM_ROOT)


_journals: list[Journal] = []


def journal() -> Journal | None:
    """Return the journal in front of the instance store, where this process has one."""
    return _journals[0] if _journals else None


def open_journal() -> None:
    """Begin to take small instances through a journal; `close_journal` is due."""
    opened = Journal(settings.DICOM_SPOOL_DIR, instances(), idle_s=settings.JOURNAL_IDLE_S)
    opened.start()
    _journals.append(opened)


def close_journal() -> None:
    """Make everything durable in its place, and take instances without a journal again."""
    while _journals:
        _journals.pop().close()


def conflicts() -> FileSystemStore:
    """Return the store of instances that are kept aside until a person decides."""
    return _file_system(settings.DICOM_ROOT / "conflicts")


def damaged() -> FileSystemStore:
    """Return the store of files that are not what was stored: kept for whoever looks into it."""
    return _file_system(settings.DICOM_ROOT / "damaged")


def strays() -> FileSystemStore:
    """Return the store of files that no row named."""
    return _file_system(settings.DICOM_ROOT / "strays")
