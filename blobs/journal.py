"""A journal in front of a file store: one sync makes what many senders bring durable at once.

A new file waits for the disk several times until a power cut cannot take it: for its data, for its
name, for the folders above it. Here its content is appended to a file whose blocks exist already,
which takes one wait, shared by everybody who waits at that moment. The file itself is written into
the layout at once, where every reader finds it; only its durability comes later, for a whole
segment of the journal together. What a power cut took from the layout is written again from the
journal (`records`).

A segment is a file of fixed size: one page that names its generation, then records, each from the
beginning of a page, so that none is ever rewritten with another one. A record whose generation is
not the segment's is of an earlier use, whose files are durable.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import struct
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from blobs.errors import BlobStoreUnavailableError
from blobs.filesystem import FileSystemStore, begin_writing

logger = logging.getLogger(__name__)

PREFIX = "journal-"
SUFFIX = ".log"
SEGMENT_BYTES = 32 * 1024 * 1024
# After the disk refused a segment, the next try.
_TRY_AGAIN_S = 30.0
# A disk with less room than so many segments has a better use for it.
_SPARE = 8
_CHUNK_BYTES = 1024 * 1024

_PAGE_BYTES = 4096
_SEGMENT_MAGIC, _RECORD_MAGIC = b"NPsegmt1", b"NPrecrd1"
_SEGMENT_HEAD = struct.Struct("<8s16s")
_RECORD_HEAD = struct.Struct("<8s16sQ160s")
_CRC = struct.Struct("<I")
# Inode of the file, and whether the record is void: written after the rest, within one sector.
_FATE = struct.Struct("<QB")
_FATE_AT = 200
_HEAD_BYTES = 256


@dataclass(frozen=True, slots=True)
class Record:
    """What the journal of a process that died says about one file.

    Attributes
    ----------
    key : under which the store has it, or lost it
    content : all of it, if it was ever confirmed
    inode : of the file that was made for it; 0: perhaps none was made
    is_void : the file was taken back, or never made
    """

    key: str
    content: memoryview
    inode: int
    is_void: bool


class _Segment:
    """One file of the journal; `Journal` guards everything but the sync."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.path = folder / f"{PREFIX}{uuid.uuid4().hex}{SUFFIX}"
        self.size_bytes = size_bytes
        self.entries: list[Entry] = []
        self.unfinished = 0
        self.used_at = 0.0
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
        self.descriptor = os.open(self.path, flags, 0o600)
        try:
            # A journal without its lock was left by a process that died.
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._fill()
        except BaseException:
            self.remove()
            raise
        self._turn = threading.Condition()
        self._begun = self._done = 0
        self._is_syncing = False
        self.has_failed = False
        self.renew()

    def _fill(self) -> None:
        """Write every block once: from then on a sync of data waits for nothing else."""
        zeros = bytes(_CHUNK_BYTES)
        for offset in range(0, self.size_bytes, _CHUNK_BYTES):
            os.pwrite(self.descriptor, zeros[: self.size_bytes - offset], offset)
        os.fsync(self.descriptor)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def renew(self) -> None:
        """Begin a new generation: what the segment holds counts no more.

        It needs no sync of its own. Until the first record's, the old generation may be read
        again, whose files are all durable.
        """
        self.generation = os.urandom(16)
        head = _SEGMENT_HEAD.pack(_SEGMENT_MAGIC, self.generation)
        os.pwrite(self.descriptor, head + _CRC.pack(zlib.crc32(head)), 0)
        self.end = _PAGE_BYTES
        self.entries = []

    def sync(self) -> None:
        """Wait until what this thread has written is on the disk, with others who wait.

        Raises
        ------
        OSError
            When the disk could not take it, now or before: nothing here can be relied on any more.
        """
        with self._turn:
            # The next sync to begin: one that runs already may have begun before our write.
            mine = self._begun + 1
            while self._done < mine and not self.has_failed:
                if self._is_syncing:
                    self._turn.wait()
                    continue
                self._is_syncing = True
                self._begun += 1
                number = self._begun
                self._turn.release()
                is_synced = False
                try:
                    os.fdatasync(self.descriptor)
                    is_synced = True
                finally:
                    self._turn.acquire()
                    self._is_syncing = False
                    if is_synced:
                        self._done = number
                    else:
                        self.has_failed = True
                    self._turn.notify_all()
            if self.has_failed:
                raise OSError("The journal's disk did not take what was written.")

    def remove(self) -> None:
        """Remove the file; nothing in it may be needed."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


@dataclass(slots=True)
class Entry:
    """A file under way: `settle` it, and when its row's fate is known `finish` or `take_back` it.

    Attributes
    ----------
    key : under which the store has it
    """

    key: str
    _journal: Journal
    _segment: _Segment
    _offset: int
    _content: memoryview
    _file: int = -1
    _inode: int = 0

    @property
    def has_file(self) -> bool:
        """Whether its file was made and is not closed yet."""
        return self._file >= 0

    def record(self) -> None:
        """Append the content, and where it goes, to the journal."""
        head = _RECORD_HEAD.pack(
            _RECORD_MAGIC, self._segment.generation, len(self._content), self.key.encode("ascii")
        )
        head = (head + _CRC.pack(zlib.crc32(head))).ljust(_HEAD_BYTES, b"\0")
        size = _HEAD_BYTES + len(self._content)
        if os.pwritev(self._segment.descriptor, [head, self._content], self._offset) != size:
            raise OSError("The journal took a part of a record only.")
        # The disk begins while we make the file.
        begin_writing(self._segment.descriptor, self._offset, size)

    def create(self, store: FileSystemStore) -> None:
        """Make the file, still empty, and note in the record which it is."""
        self._file = store.create(self.key)
        self._inode = os.fstat(self._file).st_ino
        self._note(is_void=False)

    def _note(self, *, is_void: bool) -> None:
        fate = _FATE.pack(self._inode, is_void)
        os.pwrite(self._segment.descriptor, fate, self._offset + _FATE_AT)

    def settle(self) -> None:
        """Return when the file is there for every reader and safe from a power cut.

        Raises
        ------
        BlobStoreUnavailableError
            When the disk did not take it.
        """
        try:
            view, self._content = self._content, memoryview(b"")
            while view:
                view = view[os.write(self._file, view) :]
            self._segment.sync()
        except OSError as error:
            if self._segment.has_failed:
                self._journal.give_up()
            raise BlobStoreUnavailableError(
                f"The store cannot take files now: {error.strerror or error}."
            ) from error
        finally:
            os.close(self._file)
            self._file = -1

    def take_back(self) -> None:
        """Say that the file counts no more, before its owner removes it."""
        self._note(is_void=True)

    def finish(self) -> None:
        """Say that nothing more will happen to the file's row."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._content = memoryview(b"")
        self._journal.finished(self._segment)


@dataclass(slots=True)
class _State:
    """What the threads of a journal share."""

    current: _Segment | None = None
    free: list[_Segment] = field(default_factory=list)
    full: deque[_Segment] = field(default_factory=deque)
    # Segments whose files could not be made durable: only the next start can do something.
    kept: list[_Segment] = field(default_factory=list)
    count: int = 0
    wants_more: bool = True
    is_closing: bool = False
    is_broken: bool = False


class Journal:
    """The journal of one process; a thread of its own makes files durable in their place.

    Parameters
    ----------
    folder : on a disk of which a sync is a promise; the store's own, as a rule
    store : where the files belong
    segment_bytes, most_segments : what may wait to be made durable in its own place
    idle_s : without news for so long, all of it is
    """

    def __init__(
        self,
        folder: Path,
        store: FileSystemStore,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        most_segments: int = 4,
        idle_s: float = 1.0,
    ) -> None:
        self._folder = folder
        self._store = store
        self._segment_bytes = segment_bytes
        self._most_segments = most_segments
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._state = _State()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Begin; the first segment is there a moment later."""
        self._thread.start()

    def put(self, content: memoryview, key: str) -> Entry | None:
        """Begin to store a file.

        Parameters
        ----------
        content : stays as it is until the entry is settled or finished

        Returns
        -------
        The entry, whose `finish` is due in any case; None when the journal has no room now, or the
        key is taken: then the store itself has to take the file.

        Raises
        ------
        BlobStoreUnavailableError
            When the disk takes no new file.
        """
        entry = self._enter(content, key)
        if entry is None:
            return None
        try:
            try:
                entry.record()
            except OSError:
                logger.exception("The journal cannot be written; files are stored without it")
                self.give_up()
                entry.finish()
                return None
            entry.create(self._store)
        except FileExistsError:
            entry.take_back()
            entry.finish()
            return None
        except OSError as error:
            if entry.has_file:
                self._store.withdraw(key)
            entry.finish()
            raise BlobStoreUnavailableError(
                f"The store cannot take files now: {error.strerror}."
            ) from error
        return entry

    def _enter(self, content: memoryview, key: str) -> Entry | None:
        need = -(-(_HEAD_BYTES + len(content)) // _PAGE_BYTES) * _PAGE_BYTES
        state = self._state
        with self._changed:
            if state.is_closing or state.is_broken or need > self._segment_bytes // 4:
                return None
            segment = state.current
            if segment is not None and segment.end + need > segment.size_bytes:
                state.full.append(segment)
                segment = state.current = None
                self._changed.notify_all()
            if segment is None:
                # The next one is made while this one fills.
                state.wants_more = len(state.free) < 2 and state.count < self._most_segments
                if state.wants_more:
                    self._changed.notify_all()
                if not state.free:
                    return None
                segment = state.current = state.free.pop()
            entry = Entry(key, self, segment, segment.end, content)
            segment.end += need
            segment.entries.append(entry)
            segment.unfinished += 1
            segment.used_at = time.monotonic()
            if len(segment.entries) == 1:
                # From now on somebody has to look whether it became quiet.
                self._changed.notify_all()
        return entry

    def finished(self, segment: _Segment) -> None:
        """Note that one more entry of a segment needs it no longer as a witness."""
        with self._changed:
            segment.unfinished -= 1
            if not segment.unfinished:
                self._changed.notify_all()

    def give_up(self) -> None:
        """Take nothing any more; what is under way goes on."""
        with self._changed:
            self._state.is_broken = True
            self._changed.notify_all()

    def close(self, timeout_s: float = 30.0) -> None:
        """Make everything durable in its place and end."""
        with self._changed:
            self._state.is_closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=timeout_s)

    # The journal's own thread ---------------------------------------------------------------

    def _run(self) -> None:
        state = self._state
        while True:
            with self._changed:
                segment = self._due()
                wants_more = state.wants_more and not (state.is_closing or state.is_broken)
                if segment is None and not wants_more:
                    if state.is_closing and not state.full:
                        break
                    self._changed.wait(self._pause_s())
                    continue
            if segment is not None:
                self._retire(segment)
            if wants_more:
                self._add_segment()
        for segment in state.free:
            segment.remove()

    def _due(self) -> _Segment | None:
        """Return a segment whose files are to be made durable in their own place now."""
        state, segment = self._state, self._state.current
        if segment is not None and segment.entries:
            is_quiet = time.monotonic() - segment.used_at >= self._idle_s
            if is_quiet or state.is_closing or state.is_broken:
                state.full.append(segment)
                state.current = None
        elif segment is not None and state.is_closing:
            state.free.append(segment)
            state.current = None
        for candidate in state.full:
            if not candidate.unfinished:
                state.full.remove(candidate)
                return candidate
        return None

    def _pause_s(self) -> float | None:
        segment = self._state.current
        if segment is not None and segment.entries:
            return max(0.01, segment.used_at + self._idle_s - time.monotonic())
        return None

    def _retire(self, segment: _Segment) -> None:
        try:
            self._store.make_durable([entry.key for entry in segment.entries])
            segment.renew()
        except OSError:
            logger.exception(
                "Files cannot be made durable in their place; %s keeps them for the next start",
                segment.path,
            )
            with self._changed:
                self._state.kept.append(segment)
                self._state.is_broken = True
            return
        with self._changed:
            self._state.free.append(segment)

    def _add_segment(self) -> None:
        self._state.wants_more = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _check_room(self._folder, _SPARE * self._segment_bytes)
            segment = _Segment(self._folder, self._segment_bytes)
        except OSError as error:
            logger.warning("No room for the journal; files are stored without it: %s", error)
            with self._changed:
                if not self._state.is_closing:
                    self._changed.wait(_TRY_AGAIN_S)
            return
        with self._changed:
            self._state.count += 1
            self._state.free.append(segment)


def _check_room(folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def records(path: Path) -> Iterator[Record]:
    """Yield what a journal's file holds of its last generation, in the order of the file.

    A record that its process had not written to the end is passed over, or has wrong content: such
    a file was never confirmed.
    """
    raw = memoryview(path.read_bytes())
    if len(raw) < _PAGE_BYTES:
        return
    magic, generation = _SEGMENT_HEAD.unpack_from(raw)
    (crc,) = _CRC.unpack_from(raw, _SEGMENT_HEAD.size)
    if magic != _SEGMENT_MAGIC or crc != zlib.crc32(raw[: _SEGMENT_HEAD.size]):
        return
    offset = _PAGE_BYTES
    while offset + _PAGE_BYTES <= len(raw):
        magic, of_generation, size, key = _RECORD_HEAD.unpack_from(raw, offset)
        start = offset + _HEAD_BYTES
        is_ours = magic == _RECORD_MAGIC and of_generation == generation
        if is_ours:
            (crc,) = _CRC.unpack_from(raw, offset + _RECORD_HEAD.size)
            is_ours = crc == zlib.crc32(raw[offset : offset + _RECORD_HEAD.size])
        if not is_ours or start + size > len(raw):
            # Its writer came later than that of the next one, and not so far.
            offset += _PAGE_BYTES
            continue
        inode, is_void = _FATE.unpack_from(raw, offset + _FATE_AT)
        yield Record(
            key=key.rstrip(b"\0").decode("ascii"),
            content=raw[start : start + size],
            inode=inode,
            is_void=bool(is_void),
        )
        offset = start + size + -(start + size) % _PAGE_BYTES
