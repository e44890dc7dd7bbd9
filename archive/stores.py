"""The store that this site's instances lie in."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from blobs import FileSystemStore


@lru_cache(maxsize=8)
def _file_system(root: Path) -> FileSystemStore:
    return FileSystemStore(root)


def instances() -> FileSystemStore:
    """Return the instance store below `DICOM_ROOT`."""
    return _file_system(settings.DICOM_ROOT)


def conflicts() -> FileSystemStore:
    """Return the store of instances that are kept aside until a person decides."""
    return _file_system(settings.DICOM_ROOT / "conflicts")


def damaged() -> FileSystemStore:
    """Return the store of files that are not what was stored: kept for whoever looks into it."""
    return _file_system(settings.DICOM_ROOT / "damaged")


def strays() -> FileSystemStore:
    """Return the store of files that no row named."""
    return _file_system(settings.DICOM_ROOT / "strays")
