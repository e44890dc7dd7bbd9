"""Objects as files below one folder, durable before `put` returns."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from blobs.errors import BlobError, BlobMissingError, BlobStoreUnavailableError

# Folders beside the layout that hold no stored instance.
RESERVED = (
    "spool", "conflicts", "damaged", "strays", "thumbnails", "uploads", "cache", "erasures",
)  # fmt: skip
_TRY_LATER = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENODEV, errno.EMFILE}
_MOST_SUFFIXES = 1000
_CHUNK_BYTES = 1024 * 1024


class FileSystemStore:
    """A store in a folder.

    `put` links the spooled file into the layout without ever overwriting, then syncs the folder's
    entry (and its parents' where they are new): after a power cut the name is there or it is not.

    Parameters
    ----------
    root : the folder; spool files must lie on the same file system
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._prefix = f"{root}/"
        # Folders whose own entries, up to the root's, this process has synced.
        self._durable: set[str] = set()

    def place(self, key: str) -> Path:
        """Return where the file of `key` belongs; a key that leaves the folder is refused."""
        return Path(self._name(key))

    def path(self, key: str) -> Path:
        """Return the file of `key` for reading; it may not be there."""
        return self.place(key)

    def _name(self, key: str) -> str:
        """Return the file of `key`; a `Path` takes ten times as long to make."""
        if not key or key.startswith("/") or ".." in key.split("/"):
            raise BlobError(f"{key!r} is no key of this store.")
        return f"{self._prefix}{key}"

    def put(self, source: Path, key: str) -> str:
        """Make `source` durable under `key`; see `BlobStore.put`."""
        return self._put(source, key, self._is_free)

    def _put(self, source: Path, key: str, is_free: Callable[[str], bool]) -> str:
        try:
            sync_data(source)
            for candidate in _candidates(key):
                if not is_free(candidate):
                    continue
                target = self.place(candidate)
                try:
                    self._link(source, target)
                except FileExistsError:
                    continue
                self._sync_entry(target)
                return candidate
        except OSError as error:
            if error.errno in _TRY_LATER:
                raise BlobStoreUnavailableError(
                    f"The store cannot take files now: {error.strerror}."
                ) from error
            raise
        raise BlobError(f"{_MOST_SUFFIXES} objects share the key {key}.")

    def _is_free(self, key: str) -> bool:
        """Whether a key may be tried: linking fails where a file is there already."""
        return True

    def _link(self, source: Path, target: Path) -> None:
        try:
            os.link(source, target)
        except FileNotFoundError:
            self._make_folder(str(target))
            os.link(source, target)

    def _sync_entry(self, target: Path) -> None:
        """Make the file's entry durable, and those of its folders.

        A folder that is there need not be durable: another sender may have made it a moment ago.
        So every process syncs each folder's entry once, and then only those of files.
        """
        folder = target.parent
        sync_folder(folder)
        unsure: list[str] = []
        while (name := str(folder)) not in self._durable:
            unsure.append(name)
            sync_folder(folder.parent)
            if folder == self.root:
                break
            folder = folder.parent
        # Only now: who finds a folder here relies on it.
        self._durable.update(unsure)

    def create(self, key: str) -> int:
        """Make the object's file, empty and not durable yet, and return its descriptor.

        Raises
        ------
        FileExistsError
            When the key is taken.
        """
        target = self._name(key)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        try:
            return os.open(target, flags, 0o600)
        except FileNotFoundError:
            self._make_folder(target)
            return os.open(target, flags, 0o600)

    def _make_folder(self, target: str) -> None:
        folder = target.rpartition("/")[0]
        self._durable.discard(folder)
        try:
            os.mkdir(folder)  # noqa: PTH102
        except FileExistsError:
            return
        except FileNotFoundError:
            self._make_folder(folder)
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder)  # noqa: PTH102

    def make_durable(self, keys: Sequence[str]) -> None:
        """Wait until files that were made by `create` are safe from a power cut.

        Where the kernel says whether it could (Linux 5.8), it is asked once for the whole file
        system: for some hundred files that takes a tenth of the time. A key that is gone meanwhile
        is passed over.

        Raises
        ------
        OSError
            When the disk did not take all of it.
        """
        if _SYNCS_FILE_SYSTEMS:
            _sync_file_system(self.root)
            return
        for key in keys:
            target = self.place(key)
            try:
                sync_data(target)
                self._sync_entry(target)
            except FileNotFoundError:
                continue

    def restore(self, key: str, content: bytes | memoryview) -> None:
        """Put back what a power cut took from an object, durably; the only way to overwrite one."""
        target = self.place(key)
        part = self.root / "spool" / f"restore-{os.getpid()}-{threading.get_ident()}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            sync_data(part)
            self._make_folder(str(target))
            part.replace(target)
            self._sync_entry(target)
        finally:
            part.unlink(missing_ok=True)

    def open(self, key: str) -> BinaryIO:
        """Open for reading."""
        try:
            return self.place(key).open("rb")
        except FileNotFoundError as error:
            raise BlobMissingError(key) from error

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Return a range of the object with one `pread`."""
        descriptor = self._open_to_read(key)
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def read_into(self, key: str, memory: memoryview) -> int:
        """Read into memory that is there: fresh memory costs as much as what is copied into it."""
        descriptor = self._open_to_read(key)
        got = 0
        try:
            while got < len(memory):
                step = os.readv(descriptor, [memory[got:]])
                if not step:
                    break
                got += step
        finally:
            os.close(descriptor)
        return got

    def _open_to_read(self, key: str) -> int:
        try:
            return os.open(self._name(key), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise BlobMissingError(key) from error

    def size(self, key: str) -> int:
        """Return the object's size in bytes."""
        try:
            return os.stat(self._name(key)).st_size  # noqa: PTH116
        except FileNotFoundError as error:
            raise BlobMissingError(key) from error

    def has(self, key: str) -> bool:
        """Whether the key is taken."""
        return os.path.exists(self._name(key))  # noqa: PTH110

    def holds(self, key: str, size_bytes: int) -> bool:
        """Whether a reader may count on an object of this size."""
        try:
            return self.size(key) == size_bytes
        except BlobMissingError:
            return False

    def digest(self, key: str) -> tuple[str, int]:
        """Return SHA-256 (hex) and size, read from the disk, leaving its cache to others."""
        digest = hashlib.sha256()
        size = 0
        descriptor = FileSystemStore._open_to_read(self, key)
        try:
            while chunk := os.read(descriptor, _CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
        return digest.hexdigest(), size

    def age_s(self, key: str, *, of_content: bool = False) -> float:
        """Return for how long the object has been where it is, or has had its content."""
        try:
            status = os.stat(self._name(key))  # noqa: PTH116
        except FileNotFoundError as error:
            raise BlobMissingError(key) from error
        # Linking a file changes its ctime: how old the content is says nothing.
        since = status.st_mtime if of_content else max(status.st_mtime, status.st_ctime)
        return time.time() - since

    def delete(self, key: str) -> None:
        """Remove the object and sync the folder's entry."""
        path = self.place(key)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)

    def withdraw(self, key: str) -> None:
        """Take back what was stored a moment ago and no row names."""
        self.delete(key)

    def move_to(self, other: FileSystemStore, key: str) -> None:
        """Move the object as it is, whatever its content, into another store of this machine."""
        other.put(self.place(key), key)
        FileSystemStore.delete(self, key)

    def copy_out(self, key: str, target: Path) -> None:
        """Link or copy the object's file to a name elsewhere."""
        source = self._name(key)
        try:
            os.link(source, target)
        except FileNotFoundError as error:
            raise BlobMissingError(key) from error
        except OSError:
            shutil.copyfile(source, target)  # another file system, or one without links

    def take_copy(self, source: Path, key: str) -> str:
        """Make a copy of `source`, which may lie on another file system, durable under `key`.

        The key may be that of a row which has lost its file.

        Returns
        -------
        str
            The key that it got, as for `put`.
        """
        part = self.root / "spool" / f"copy-{os.getpid()}-{threading.get_ident()}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, part)
            return self._put(part, key, lambda _: True)
        finally:
            part.unlink(missing_ok=True)

    def sizes(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and size of every object, or of those below one folder of the layout."""
        if not self.root.is_dir():
            return
        for first in [self.place(folder)] if folder else self.root.iterdir():
            if first.name in RESERVED or not first.is_dir():
                continue
            for path in first.rglob("*"):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue  # it left while we looked
                if stat.S_ISREG(status.st_mode):
                    yield path.relative_to(self.root).as_posix(), status.st_size

    def keys_below(self, folder: str) -> Iterator[str]:
        """Yield the keys below one folder of the layout."""
        for key, _ in self.sizes(folder):
            yield key

    def keys(self) -> Iterator[str]:
        """Yield every stored key."""
        for key, _ in self.sizes():
            yield key


def _candidates(key: str) -> Iterator[str]:
    yield key
    name = PurePosixPath(key)
    for number in range(1, _MOST_SUFFIXES):
        yield str(name.with_name(f"{name.stem}-{number}{name.suffix}"))


def _kernel() -> tuple[int, ...]:
    words = os.uname().release.split("-")[0].split(".")[:2]
    return tuple(int(word) for word in words if word.isdigit())


_libc = ctypes.CDLL(None, use_errno=True)
# Before, it kept to itself what went wrong.
_SYNCS_FILE_SYSTEMS = hasattr(_libc, "syncfs") and _kernel() >= (5, 8)


_SYNC_FILE_RANGE_WRITE = 2


def begin_writing(descriptor: int, offset: int, size: int) -> None:
    """Let the disk begin with a part of a file; a hint, which promises nothing."""
    if hasattr(_libc, "sync_file_range"):
        _libc.sync_file_range(
            descriptor, ctypes.c_int64(offset), ctypes.c_int64(size), _SYNC_FILE_RANGE_WRITE
        )


def _sync_file_system(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def sync_data(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make what a folder lists durable: names of new files, and that others are gone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
