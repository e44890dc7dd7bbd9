"""A store whose objects lie in an S3 bucket, behind a folder of this machine.

The folder is a file store like any other, and takes an object durably before anybody is answered.
From there `upload` brings it into the bucket; once the bucket has confirmed size and digest, the
file becomes a part of the cache (`cache/` in the folder, the same keys), from which it may go. So
what lies in the layout itself is what the bucket does not have yet: nothing else remembers it, and
a kill between any two steps repeats the step.

Readers get files: from the layout, the cache, or fetched into the cache and compared with the
digest of the object's row.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from blobs.bucket import Bucket
from blobs.errors import BlobDamagedError, BlobMissingError
from blobs.filesystem import FileSystemStore, sync_data, sync_folder

logger = logging.getLogger(__name__)

CACHE, PARTS, ERASURES = "cache", "parts", "erasures"
# A file in the cache that was used within this time stays: somebody may be about to open it.
IN_USE_S = 60.0
# Empty folders of the layout go when nobody has made or used them for so long.
_FOLDER_S = 60.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What the row of an object says.

    Attributes
    ----------
    is_lost : the row's object is known to be missing or damaged: its key may be stored anew
    """

    size_bytes: int
    sha256: str
    is_lost: bool = False


class ObjectStore(FileSystemStore):
    """A file store in front of a bucket.

    Parameters
    ----------
    root : the folder on this machine
    bucket : where the objects belong
    expected : returns what the row of a key says; None when no row names it
    """

    def __init__(
        self, root: Path, bucket: Bucket, expected: Callable[[str], Expected | None]
    ) -> None:
        super().__init__(root)
        self.bucket = bucket
        self.cache = FileSystemStore(root / CACHE)
        self._expected = expected
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._fetching_guard = threading.Lock()

    # Storing --------------------------------------------------------------------------------

    def has(self, key: str) -> bool:
        """Whether the key is taken; asks the rows, not the bucket."""
        if super().has(key):
            return True
        row = self._expected(key)
        return row is not None and not row.is_lost

    def _is_free(self, key: str) -> bool:
        return not self.has(key)

    def _sync_entry(self, target: Path) -> None:
        # Folders come and go here: what was durable once need not be any more.
        self._durable.clear()
        super()._sync_entry(target)

    def take_copy(self, source: Path, key: str) -> str:
        """Store what its row has lost; the next upload replaces whatever the bucket has."""
        self._drop(self.cache, key)
        return super().take_copy(source, key)

    def delete(self, key: str) -> None:
        """Remove the object: here at once, from the bucket with the next `erase`."""
        note = self.root / ERASURES / uuid.uuid4().hex
        note.parent.mkdir(exist_ok=True)
        part = note.with_suffix(".part")
        part.write_text(key, encoding="ascii")
        sync_data(part)
        part.replace(note)
        sync_folder(note.parent)
        super().delete(key)
        self._drop(self.cache, key)

    def withdraw(self, key: str) -> None:
        """Take back what was stored a moment ago and no row names: the bucket never had it."""
        super().delete(key)

    # Reading --------------------------------------------------------------------------------

    def open(self, key: str) -> BinaryIO:
        """Open for reading; fetches it where it is not on this machine."""
        return os.fdopen(self._descriptor(key), "rb")

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Return a range of the object."""
        descriptor = self._descriptor(key)
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def _open_to_read(self, key: str) -> int:
        return self._descriptor(key)

    def _descriptor(self, key: str) -> int:
        try:
            return super()._open_to_read(key)
        except BlobMissingError:
            pass
        for _ in range(2):
            try:
                found = self.cache._open_to_read(key)
            except BlobMissingError:
                self._fetch(key)
            else:
                _touch(found)
                return found
        raise BlobMissingError(key)

    def path(self, key: str) -> Path:
        """Return a file with the object's content, which stays for a minute."""
        if super().has(key):
            return self.place(key)
        os.close(self._descriptor(key))
        return self.cache.place(key)

    def size(self, key: str) -> int:
        """Return the object's size; asks the bucket unless the file waits here."""
        with suppress(BlobMissingError):
            return super().size(key)
        found = self.bucket.facts(key)
        if found is None:
            raise BlobMissingError(key)
        return found.size_bytes

    def holds(self, key: str, size_bytes: int) -> bool:
        """Whether a reader may count on the object; what the bucket has is believed.

        Raises
        ------
        BlobStoreUnavailableError
            When it would have to be fetched, and the bucket is known not to answer.
        """
        if super().has(key):
            return super().size(key) == size_bytes
        if not self.cache.has(key):
            self.bucket.refuse_while_away()
        return True

    def digest(self, key: str) -> tuple[str, int]:
        """Return SHA-256 and size of what the store itself has; a cached file that differs goes."""
        with suppress(FileNotFoundError, BlobMissingError):
            return super().digest(key)
        digest, size = hashlib.sha256(), 0
        for chunk in self.bucket.chunks(key):
            digest.update(chunk)
            size += len(chunk)
        with suppress(BlobMissingError):
            if self.cache.digest(key)[0] != digest.hexdigest():
                self._drop(self.cache, key)
        return digest.hexdigest(), size

    def age_s(self, key: str, *, of_content: bool = False) -> float:
        """Return for how long the object has been where it is."""
        with suppress(BlobMissingError):
            return super().age_s(key, of_content=of_content)
        found = self.bucket.facts(key)
        if found is None:
            raise BlobMissingError(key)
        return time.time() - found.modified_at

    def move_to(self, other: FileSystemStore, key: str) -> None:
        """Move the object as it is, whatever its content, into another store of this machine."""
        if super().has(key):
            super().move_to(other, key)
            return
        with self._downloaded(key) as (part, _):
            other.put(part, key)
        self._drop(self.cache, key)
        self.bucket.delete(key)

    def copy_out(self, key: str, target: Path) -> None:
        """Write the object's content to a file elsewhere, past the cache."""
        try:
            super().copy_out(key, target)
        except BlobMissingError:
            with suppress(BlobMissingError):
                self.cache.copy_out(key, target)
                return
            with target.open("wb") as file:
                for chunk in self.bucket.chunks(key):
                    file.write(chunk)

    def sizes(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and size of what waits here and of what the bucket has; none twice."""
        waiting = dict(self.waiting_sizes(folder))
        yield from waiting.items()
        for key, size in self.bucket.listing(f"{folder}/" if folder else ""):
            if key not in waiting:
                yield key, size

    def waiting_sizes(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and size of what the bucket does not have yet."""
        return super().sizes(folder)

    # Fetching -------------------------------------------------------------------------------

    def _fetch(self, key: str) -> None:
        """Bring an object into the cache, if it is what its row says."""
        with self._fetching_guard:
            turn = self._fetching[key]
        with turn:
            try:
                if self.cache.has(key) or super().has(key):
                    return
                row = self._expected(key)
                if row is None:
                    raise BlobMissingError(key)
                with self._downloaded(key) as (part, found):
                    if found != (row.sha256, row.size_bytes):
                        raise BlobDamagedError(key)
                    sync_data(part)
                    self._into_cache(part, key)
            except OSError as error:
                raise self.bucket.away(
                    f"The cache of the object store takes nothing now: {error.strerror}."
                ) from error
            finally:
                with self._fetching_guard:
                    self._fetching.pop(key, None)

    @contextmanager
    def _downloaded(self, key: str) -> Iterator[tuple[Path, tuple[str, int]]]:
        """Yield a temporary file with the bucket's content of an object, its digest and size."""
        part = self.root / CACHE / PARTS / uuid.uuid4().hex
        part.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        try:
            with part.open("wb") as file:
                for chunk in self.bucket.chunks(key):
                    digest.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
            yield part, (digest.hexdigest(), size)
        finally:
            part.unlink(missing_ok=True)

    def _into_cache(self, source: Path, key: str) -> None:
        target = self.cache.place(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.utime(source)
        source.replace(target)
        # rename(2) does nothing where both are names of one file, as after `bring_back`.
        with suppress(FileNotFoundError):
            if source.samefile(target):
                source.unlink()

    # Uploading ------------------------------------------------------------------------------

    def upload(self, key: str, row: Expected) -> bool:
        """Bring a file that waits into the bucket; returns whether it may leave (`release`).

        Parameters
        ----------
        row : what the key's row says; what no row names yet is being stored, or taken back

        Raises
        ------
        BlobStoreUnavailableError
            When the bucket takes nothing now.
        BlobDamagedError
            When the file is not what its row says: it stays where it is.
        """
        try:
            is_sound = super().digest(key) == (row.sha256, row.size_bytes)
            if is_sound:
                self.bucket.put(self.place(key), key, row.sha256)
        except (FileNotFoundError, BlobMissingError):
            return False  # destroyed meanwhile: its erasure follows
        if not is_sound:
            raise BlobDamagedError(key)
        return True

    def release(self, keys: list[str]) -> None:
        """Make files that the bucket has confirmed a part of the cache."""
        # First the disk: a power cut must not leave the cache with files that have lost content.
        self.make_durable(keys)
        for key in keys:
            try:
                self._into_cache(self.place(key), key)
            except FileNotFoundError:
                self._drop(self.cache, key)

    def erase(self) -> int:
        """Remove from the bucket what was deleted here; returns how many objects."""
        count = 0
        for note in (self.root / ERASURES).glob("[0-9a-f]*"):
            if note.suffix:
                continue
            key = note.read_text(encoding="ascii")
            # The same instance may have come again meanwhile, and have the key.
            if self._expected(key) is None:
                self.bucket.delete(key)
                self._drop(self.cache, key)
                count += 1
            note.unlink()
        return count

    def bring_back(self, key: str) -> bool:
        """Put an object back into the folder's layout, durably; False when it is there already."""
        if super().has(key):
            return False
        source = self.path(key)
        target = self.place(key)
        self._make_folder(str(target))
        with suppress(FileExistsError):
            os.link(source, target)
        sync_data(target)
        self._sync_entry(target)
        return True

    def prune(self, most_bytes: int) -> int:
        """Remove what was used longest ago from the cache until it holds `most_bytes`; its size."""
        now = time.time()
        found: list[tuple[float, int, Path]] = []
        total = 0
        for path in (self.root / CACHE).rglob("*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                if not path.is_file():
                    continue
                total += status.st_size
                found.append((status.st_mtime, status.st_size, path))
        for used_at, size, path in sorted(found):
            if total <= most_bytes or used_at > now - IN_USE_S:
                break
            path.unlink(missing_ok=True)
            total -= size
        return total

    def sweep_folders(self) -> None:
        """Remove folders of the layout in which nothing waits any more."""
        long_ago = time.time() - _FOLDER_S
        for first in self.root.glob("[0-9a-f][0-9a-f]"):
            for folder in (*first.glob("[0-9a-f][0-9a-f]"), first):
                with suppress(OSError):
                    if folder.stat().st_mtime < long_ago:
                        folder.rmdir()

    @staticmethod
    def _drop(store: FileSystemStore, key: str) -> None:
        store.place(key).unlink(missing_ok=True)


def _touch(descriptor: int) -> None:
    """Note that a cached file is used; once a minute is enough."""
    if os.fstat(descriptor).st_mtime < time.time() - IN_USE_S / 2:
        os.utime(descriptor)
