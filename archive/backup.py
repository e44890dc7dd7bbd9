"""A consistent copy of database and store while the site works, and the way back.

The database is copied first, as it is at one moment; then the files that this copy names, from the
site's bucket too where it has one. A file is
stored before its row is committed and never changed afterwards, so each is there and is what it was
at that moment. A copy into the same folder again brings what is new and takes away what is gone.

The folder holds `dicom/` (the layout of the store, with `conflicts/`), the database,
`files.sha256` (`sha256sum -c` reads it) and `backup.json`, which is written last: without it the
copy is not complete.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from archive import snapshot, stores
from archive.errors import ConflictError, InvalidInputError
from archive.models import InstanceConflict
from blobs import BlobMissingError, FileSystemStore
from worklist.models import DicomImage

STORE = "dicom"
LISTING = "files.sha256"
MANIFEST = "backup.json"
SECRET = "secret-key"  # noqa: S105 - a file's name
_UNFINISHED = "restore-unfinished"
_VERSION = 1
_CHUNK_BYTES = 1024 * 1024
_MOST_ROUNDS = 5

Progress = Callable[[int], None]


@dataclass(slots=True)
class Copied:
    """What a backup or a restore did.

    Attributes
    ----------
    files, size_bytes : that belong to the copy
    new_files : of them, those that this run brought
    removed : files of an earlier copy whose instances are gone
    damaged : keys of files that are missing or are not what was stored
    """

    files: int = 0
    size_bytes: int = 0
    new_files: int = 0
    removed: int = 0
    damaged: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `backup.json` says."""

    version: int
    made_at: str
    database: str
    database_sha256: str
    files: int
    size_bytes: int
    damaged: int


def backup(folder: Path, *, progress: Progress | None = None, like: Path | None = None) -> Copied:
    """Copy database and store into `folder`; a copy that is there is brought up to date.

    Parameters
    ----------
    folder : new, empty, or with an earlier backup of this site
    progress : called with the number of files looked at so far
    like : another backup on the same file system; the files that it has are linked from there

    Raises
    ------
    InvalidInputError
        When the folder holds something else, or lies inside the store.
    StoreUnavailableError
        When the database cannot be copied.
    """
    _check_target(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    new_listing = folder / f"{LISTING}.part"
    database = folder / snapshot.file_name()
    for _ in range(_MOST_ROUNDS):
        part = database.with_name(f"{database.name}.part")
        part.unlink(missing_ok=True)
        snapshot.take(part, new_listing, STORE)
        done, is_outrun = _copy_files(folder, new_listing, like, progress)
        if not is_outrun:
            break
        # Something was destroyed or decided while we copied: the database's copy names files that
        # are gone rightfully.
    part.replace(database)
    new_listing.replace(folder / LISTING)
    _copy_secret(Path(settings.DATA_DIR) / SECRET, folder / SECRET)
    done.removed = _remove_others(folder)
    os.sync()
    manifest = Manifest(
        version=_VERSION,
        made_at=timezone.now().isoformat(timespec="seconds"),
        database=database.name,
        database_sha256=_digest(database),
        files=done.files,
        size_bytes=done.size_bytes,
        damaged=len(done.damaged),
    )
    _write(folder / MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
    return done


def restore(folder: Path, *, progress: Progress | None = None) -> Copied:
    """Bring a backup back into an empty site, every file checked by its digest.

    The database comes last: a restore that was cut off is no site, and is simply run again.

    Raises
    ------
    InvalidInputError
        When `folder` holds no complete backup, or one of another kind of database.
    ConflictError
        When the site holds something already: nothing is overwritten.
    """
    manifest = read_manifest(folder)
    if manifest.database != snapshot.file_name():
        raise InvalidInputError(
            f"This backup holds {manifest.database}; this site's DATABASE_URL wants "
            f"{snapshot.file_name()}. Set DATABASE_URL to the same kind of database."
        )
    if _digest(folder / manifest.database) != manifest.database_sha256:
        raise InvalidInputError(
            f"{folder / manifest.database} is damaged: its SHA-256 is not that of {MANIFEST}."
        )
    marker = Path(settings.DATA_DIR) / _UNFINISHED
    _check_empty(marker)
    marker.parent.mkdir(parents=True, exist_ok=True)
    _write(marker, f"{folder}\n")
    done = Copied()
    root: Path = settings.DICOM_ROOT
    for digest, name in _entries(folder / LISTING):
        key = Path(name).relative_to(STORE)
        target = root / key
        done.files += 1
        copy = partial(FileSystemStore(folder / STORE).copy_out, key.as_posix())
        if _is_copy(target, digest) or _bring(copy, target, digest):
            done.new_files += 1
            done.size_bytes += target.stat().st_size
        else:
            done.damaged.append(name)
        if progress is not None:
            progress(done.files)
    # This process has made a key at its start; nothing is signed with it yet.
    (Path(settings.DATA_DIR) / SECRET).unlink(missing_ok=True)
    _copy_secret(folder / SECRET, Path(settings.DATA_DIR) / SECRET)
    os.sync()
    snapshot.put_back(folder / manifest.database)
    marker.unlink()
    return done


def read_manifest(folder: Path) -> Manifest:
    """Return what a complete backup says about itself."""
    try:
        found = Manifest(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInputError(
            f"{folder} holds no complete backup: {MANIFEST} is missing or cannot be read."
        ) from error
    if found.version != _VERSION:
        raise InvalidInputError(f"This backup is of version {found.version}; {_VERSION} is known.")
    return found


def age_of(folder: Path) -> datetime:
    """Return when a backup was made."""
    return datetime.fromisoformat(read_manifest(folder).made_at).astimezone(UTC)


def _check_target(folder: Path) -> None:
    root = Path(settings.DICOM_ROOT).resolve()
    if folder.resolve() == root or root in folder.resolve().parents:
        raise InvalidInputError("The backup must not lie inside the store. Name another folder.")
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file. Name a folder.")
    ours = {STORE, LISTING, MANIFEST, SECRET, snapshot.file_name()}
    if folder.is_dir():
        others = {p.name.removesuffix(".part") for p in folder.iterdir()} - ours
        if others:
            raise InvalidInputError(
                f"{folder} holds something else ({sorted(others)[0]}). Name an empty folder."
            )


def _check_empty(marker: Path) -> None:
    if snapshot.exists():
        raise ConflictError(
            "This site has a database already. Nothing was overwritten: set NOCTIS_DATA_DIR (and "
            "DATABASE_URL) to an empty place, or move what is there away."
        )
    if marker.exists():
        return  # a restore that was cut off
    root: Path = settings.DICOM_ROOT
    if root.is_dir() and any(path.is_file() for path in root.rglob("*")):
        raise ConflictError(
            f"{root} holds files already. Nothing was overwritten: move them away, or set "
            "DICOM_ROOT to an empty folder."
        )


def _entries(listing: Path) -> Iterator[tuple[str, str]]:
    """Yield digest and name of a listing's files, in the order of names."""
    if not listing.exists():
        return
    with listing.open(encoding="utf-8") as lines:
        for line in lines:
            digest, _, name = line.rstrip("\n").partition("  ")
            yield digest, name


def _copy_files(
    folder: Path, listing: Path, like: Path | None, progress: Progress | None
) -> tuple[Copied, bool]:
    """Bring the files of a listing; returns also whether the site went on under it."""
    done = Copied()
    before = _entries((like or folder) / LISTING)
    old = next(before, None)
    is_outrun = False
    for digest, name in _entries(listing):
        while old is not None and old[1] < name:
            old = next(before, None)
        target = folder / name
        is_known = old == (digest, name) and _has(target, like, name)
        if is_known or _bring(_copy_of(name), target, digest):
            done.files += 1
            done.new_files += not is_known
            done.size_bytes += target.stat().st_size
        elif _is_named(name):
            done.damaged.append(name)
        else:
            is_outrun = True
        if progress is not None:
            progress(done.files)
    return done, is_outrun


def _has(target: Path, like: Path | None, name: str) -> bool:
    """Whether a known file is there, or can be had from the backup before."""
    if target.exists():
        return True
    if like is None:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(like / name, target)
    except OSError:
        return False  # it is missing there, or file systems differ: it is brought from the store
    return True


def _is_named(name: str) -> bool:
    """Whether a row still names the file."""
    key = Path(name).relative_to(STORE).as_posix()
    if key.startswith("conflicts/"):
        kept = InstanceConflict.objects.filter(storage_key=key.removeprefix("conflicts/"))
        return kept.exists()
    return DicomImage.with_deleted.filter(storage_key=key).exists()


def _copy_of(name: str) -> Callable[[Path], None]:
    """Return what copies a stored file, wherever it lies, to a name of its own."""
    key = Path(name).relative_to(STORE).as_posix()
    if key.startswith("conflicts/"):
        return partial(stores.conflicts().copy_out, key.removeprefix("conflicts/"))
    return partial(stores.instances().copy_out, key)


def _bring(copy: Callable[[Path], None], target: Path, digest: str) -> bool:
    """Link or copy a file under its name, when it is what it should be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        try:
            copy(part)
        except BlobMissingError:
            return False
        if _digest(part) != digest:
            return False
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return True


def _is_copy(target: Path, digest: str) -> bool:
    return target.exists() and _digest(target) == digest


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _remove_others(folder: Path) -> int:
    """Remove the files of an earlier copy that the listing does not name."""
    removed = 0
    known = _entries(folder / LISTING)
    entry = next(known, None)
    for path in sorted((folder / STORE).rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        while entry is not None and entry[1] < name:
            entry = next(known, None)
        if entry is None or entry[1] != name:
            path.unlink()
            removed += 1
    return removed


def _copy_secret(source: Path, target: Path) -> None:
    """Copy the site's key, readable by its owner alone."""
    if not source.is_file() or target.exists():
        return
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(source.read_bytes())


def _write(path: Path, text: str) -> None:
    """Write a small file so that it is there as a whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    part.replace(path)
