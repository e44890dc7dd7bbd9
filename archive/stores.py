"""The store that this site's instances lie in."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from blobs import FileSystemStore
from blobs.journal import Journal

if TYPE_CHECKING:
    from blobs.objects import ObjectStore

FILE_SYSTEM = "filesystem"


@lru_cache(maxsize=8)
def _file_system(root: Path) -> FileSystemStore:
    return FileSystemStore(root)


def instances() -> FileSystemStore:
    """Return the instance store: below `DICOM_ROOT`, or a bucket behind it."""
    return objects() or _file_system(settings.DICOM_ROOT)


def objects(*, is_patient: bool = False) -> ObjectStore | None:
    """Return the store in a bucket, where the site has one (docs/adr/0097).

    Parameters
    ----------
    is_patient : wait long for an answer, as nobody but a background process should
    """
    if settings.RADIOLOGY_STORAGE == FILE_SYSTEM:
        return None
    from archive import object_store  # noqa: PLC0415 - boto3 is large, and seldom needed

    return object_store.store(
        settings.DICOM_ROOT,
        settings.RADIOLOGY_STORAGE,
        settings.OBJECT_STORE,
        is_patient=is_patient,
    )


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
