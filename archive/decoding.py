"""Decode frames: plain ones here, compressed ones in processes that can be killed for it.

Whatever a stranger compressed goes to a worker process (:mod:`archive.decode_worker`) with a limit
on time and memory; a worker that passes one is killed and replaced, and the picture is refused with
a sentence. Uncompressed samples need no codec: numpy views them in this process.

An own protocol over a socket pair instead of a process pool: it passes JSON and plain bytes alone,
while a pool unpickles what a decoder that was taken over may send; its workers import nothing but
`imaging`, whatever program started them; and a frame is not copied through pickle (pebble's pool
took 2 ms to return 512 KiB and 37 ms for 8 MiB).
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from cachetools import LRUCache, TTLCache
from django.conf import settings
from numpy.typing import NDArray

from archive import damage
from archive.decode_worker import IDLE_EXIT_S, Buffer, ClosedError, receive, send
from archive.errors import TransientError, UndecodableError
from archive.stores import instances
from blobs import BlobMissingError
from imaging.codestream import mislabelled
from imaging.errors import ImagingError
from imaging.palette import Palette
from imaging.part10 import VIDEO
from imaging.pixels import PixelFacts, PixelLimits, exact_frame
from imaging.pixels import problem as problem_of
from worklist.models import DicomImage

logger = logging.getLogger(__name__)

Pixels = NDArray[np.generic]

_START_TIMEOUT_S = 60.0
_LONGEST_WAIT_S = 60.0
# A decode that takes longer no longer counts against the number of workers: others get a new one.
SLOW_AFTER_S = 2.0
# A worker whose memory has grown is replaced, because C libraries give little back.
_RETIRE_ABOVE_BYTES = 384 * 1024**2
_REFUSED_S = 600.0
# How often a picture is decoded whose worker is ended from outside.
_TRIES = 3
_BURIED_S = 1.0
# A digest of this much costs less than decoding it (ADR 0033).
_MOST_CHECKED_BYTES = 1024**2
_SOUND_S = 60.0
_LONGEST_REASON = 300

_DTYPES = tuple(
    np.dtype(code).str
    for code in ("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")
)


class _LimitReachedError(Exception):
    """A worker had to be killed, or killed itself."""


class _KilledError(Exception):
    """Somebody else ended a worker: an operator, or the system when memory was short."""


@dataclass(slots=True)
class Worker:
    """One process and our end of its socket."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    tenant: Hashable = None
    busy_since: float = 0.0
    idle_since: float = 0.0
    peak_bytes: int = 0

    @classmethod
    def start(cls) -> Worker:
        """Start a process; it says when it is ready."""
        ours, theirs = socket.socketpair()
        with theirs:
            # Nothing of our environment: it holds the site's secrets.
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [
                    sys.executable,
                    "-m",
                    "archive.decode_worker",
                    str(settings.DECODE_MEMORY_BYTES),
                    str(settings.DECODE_TIMEOUT_S),
                ],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd=settings.BASE_DIR,
                env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        worker = cls(process, ours)
        try:
            ours.settimeout(_START_TIMEOUT_S)
            receive(ours, most_body_bytes=0)
        except (ClosedError, OSError) as error:
            was_killed = worker._was_killed()
            worker.kill()
            if was_killed:
                raise _KilledError from error
            raise TransientError(
                "The decoder for compressed pictures does not start. Look into the log."
            ) from error
        return worker

    def ask(
        self, head: dict[str, object], body: Buffer, *, timeout_s: float, most_bytes: int
    ) -> tuple[dict[str, object], bytearray]:
        """Send a task and wait for its answer.

        Raises
        ------
        _LimitReachedError
            When none came in time, or the process died over it.
        _KilledError
            When the process was ended from outside: that is not the picture's fault.
        """
        self.channel.settimeout(timeout_s)
        deadline = time.monotonic() + timeout_s
        try:
            send(self.channel, head, body)
            self.channel.settimeout(max(0.01, deadline - time.monotonic()))
            return receive(self.channel, most_body_bytes=most_bytes)
        except TimeoutError as error:
            raise _LimitReachedError(
                f"The picture takes longer than {timeout_s:g} s to decode, which no sound picture "
                "does. Have it sent again, or download the file to open it elsewhere."
            ) from error
        except (ClosedError, OSError) as error:
            if self._was_killed():
                raise _KilledError from error
            raise _LimitReachedError(
                "The picture made its decoder fail: its compressed data is damaged, or needs more "
                "memory than this system grants. Have it sent again."
            ) from error

    def _was_killed(self) -> bool:
        try:
            status = self.process.wait(_BURIED_S)
        except subprocess.TimeoutExpired:
            return False
        return status in (-signal.SIGKILL, -signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once."""
        self.channel.close()
        self.process.kill()
        self.process.wait()


@dataclass(slots=True)
class Workers:
    """The worker processes of this process, started when they are needed."""

    size: int
    idle: list[Worker] = field(default_factory=list)
    busy: list[Worker] = field(default_factory=list)
    starting: list[Hashable] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, tenant: Hashable) -> Worker:
        """Return a worker for this thread alone.

        Parameters
        ----------
        tenant : whose picture it is; nobody gets the last worker while others may want it

        Raises
        ------
        TransientError
            When none comes free in time.
        """
        deadline = time.monotonic() + _LONGEST_WAIT_S
        with self.changed:
            while True:
                self._drop_leaving()
                now = time.monotonic()
                if self._may_have(tenant, now):
                    if self.idle:
                        return self._occupy(self.idle.pop(), tenant)
                    self.starting.append(tenant)
                    break
                if now > deadline:
                    raise TransientError("All decoders are busy. Try again in a moment.")
                self.changed.wait(0.25)
        worker = None
        try:
            worker = Worker.start()
        finally:
            with self.changed:
                self.starting.remove(tenant)
                if worker is not None:
                    self._occupy(worker, tenant)
                self.changed.notify_all()
        return worker

    def _may_have(self, tenant: Hashable, now: float) -> bool:
        """Whether a task of this tenant may begin."""
        quick = sum(now - worker.busy_since < SLOW_AFTER_S for worker in self.busy)
        total = len(self.busy) + len(self.starting)
        theirs = sum(worker.tenant == tenant for worker in self.busy) + self.starting.count(tenant)
        most = 2 * self.size
        return quick + len(self.starting) < self.size and total < most and theirs < most - 1

    def _occupy(self, worker: Worker, tenant: Hashable) -> Worker:
        worker.tenant = tenant
        worker.busy_since = time.monotonic()
        self.busy.append(worker)
        return worker

    def give_back(self, worker: Worker, *, is_sound: bool) -> None:
        """Return a worker, or end it."""
        with self.changed:
            self.busy.remove(worker)
            keep = (
                is_sound
                and worker.peak_bytes < _RETIRE_ABOVE_BYTES
                and len(self.idle) + len(self.busy) < self.size
            )
            if keep:
                worker.idle_since = time.monotonic()
                self.idle.append(worker)
            self.changed.notify_all()
        if not keep:
            worker.kill()

    def close(self) -> None:
        """End all of them."""
        with self.changed:
            for worker in (*self.idle, *self.busy):
                worker.kill()
            self.idle.clear()

    def _drop_leaving(self) -> None:
        """Forget workers that are about to leave, or that somebody killed."""
        long_ago = time.monotonic() - IDLE_EXIT_S / 2
        for worker in list(self.idle):
            if worker.idle_since < long_ago or worker.process.poll() is not None:
                self.idle.remove(worker)
                worker.kill()


_workers = Workers(size=max(2, os.cpu_count() or 1))
# Pictures that cost a worker its life: their other frames are not tried for a while.
_refused: TTLCache[str, str] = TTLCache(maxsize=1024, ttl=_REFUSED_S)
# Files of several frames that were compared lately.
_sound: TTLCache[str, bool] = TTLCache(maxsize=4096, ttl=_SOUND_S)
_refused_lock = threading.Lock()
_looked_at: LRUCache[str, bool] = LRUCache(4096)


def _forget_parent() -> None:
    """Leave the parent's workers alone after a fork."""
    global _workers, _refused_lock  # noqa: PLW0603 - locks may be held by threads that are not here
    for worker in (*_workers.idle, *_workers.busy):
        worker.channel.close()
    _workers = Workers(size=_workers.size)
    _refused_lock = threading.Lock()


def close() -> None:
    """End this process's workers; the next frame starts new ones."""
    _workers.close()


def busy() -> list[int]:
    """Return the processes that are decoding now."""
    with _workers.changed:
        return [worker.process.pid for worker in _workers.busy]


def forget_refusals() -> None:
    """Try pictures again that cost a worker its life."""
    with _refused_lock:
        _refused.clear()
        _sound.clear()


os.register_at_fork(after_in_child=_forget_parent)
atexit.register(close)


def limits() -> PixelLimits:
    """Return what one frame may cost on this site."""
    return PixelLimits(samples=settings.MAX_FRAME_PIXELS)


def decode_exact(
    image: DicomImage, facts: PixelFacts, frame_index: int, *, palette: Palette | None = None
) -> Pixels:
    """Decode the exact frame of a stored instance.

    Parameters
    ----------
    image : its bytes are read from the store
    facts : of the instance, with its frame table
    frame_index : from 0
    palette : of the instance, where it has one

    Returns
    -------
    See `imaging.pixels.exact_frame`.

    Raises
    ------
    UndecodableError
        When the frame cannot be decoded, or not within the limits on time and memory.
    TransientError
        When every decoder is busy for long.

    References
    ----------
    DICOM PS3.5 section 8 and Annex A.
    """
    if facts.transfer_syntax_uid in VIDEO:
        # Few processes ever meet one.
        from archive import videos  # noqa: PLC0415

        return videos.frame(image, frame_index)
    try:
        if (reason := problem_of(facts, limits())) is not None:
            raise UndecodableError(reason)
        table = facts.frames
        if table is not None and table.kind == "native" and not table.is_inflated:
            return exact_frame(_reader(image), facts, frame_index, palette=palette, limits=limits())
        stored = _decode_apart(image, facts, frame_index)
        if not facts.is_palette:
            return stored
        if palette is None:
            raise UndecodableError(
                "The picture's colour table is missing. Have the sending system send it again."
            )
        return palette.apply(stored)
    except ImagingError as error:
        raise UndecodableError(str(error)) from error
    except BlobMissingError as error:
        logger.exception("The file of instance %s is missing: %s", image.pk, image.storage_key)
        raise UndecodableError(
            damage.words_of(image)
            or "The stored file of this picture is missing. Tell your administrator."
        ) from error


def _reader(image: DicomImage) -> Callable[[int, int], bytes]:
    store = instances()
    return lambda offset, length: store.read(image.storage_key, offset, length)


def _checked_reader(image: DicomImage) -> Callable[[int, int], bytes]:
    """Return a reader of what a decoder needs; a small file is compared with its digest first.

    Of compressed pixels one changed bit spoils a whole picture, or makes another one of it, and
    what a decoder makes is kept for long.
    """
    with _refused_lock:
        is_known = image.sha256 in _sound
    if image.size_bytes > _MOST_CHECKED_BYTES or (is_known and image.number_of_frames > 1):
        return _reader(image)
    content = instances().read(image.storage_key, 0, image.size_bytes)
    if hashlib.sha256(content).hexdigest() == image.sha256:
        with _refused_lock:
            _sound[image.sha256] = True
        # These very bytes are decoded: what is read again may be something else.
        return lambda offset, length: content[offset : offset + length]
    reason = damage.look_again(image)
    if reason:
        raise UndecodableError(reason)
    return _reader(image)


def decode_stored(image: DicomImage, facts: PixelFacts, frame_index: int) -> tuple[Pixels, str]:
    """Decode the stored values of a compressed frame, and say what samples they are.

    Parameters
    ----------
    image : its bytes are read from the store
    facts : of the instance, with its frame table
    frame_index : from 0

    Returns
    -------
    See `imaging.pixels.stored_frame`.

    Raises
    ------
    UndecodableError, TransientError
        See `decode_exact`.
    """
    if (reason := problem_of(facts, limits())) is not None:
        raise UndecodableError(reason)
    try:
        answer, content, facts = _ask(image, facts, frame_index, is_stored=True)
    except ImagingError as error:
        raise UndecodableError(str(error)) from error
    photometric = answer.get("photometric")
    if photometric not in (facts.photometric_interpretation, "RGB", "YBR_FULL"):
        raise UndecodableError("The colours of the picture are not known here.")
    return frame_of(answer, content, facts), str(photometric)


def _decode_apart(image: DicomImage, facts: PixelFacts, frame_index: int) -> Pixels:
    """Decode in a worker process."""
    return frame_of(*_ask(image, facts, frame_index, is_stored=False))


def _ask(
    image: DicomImage, facts: PixelFacts, frame_index: int, *, is_stored: bool
) -> tuple[dict[str, object], bytearray, PixelFacts]:
    """Have a worker process decode; returns what it says, and the facts that fit to that."""
    with _refused_lock:
        reason = _refused.get(image.sha256)
    if reason is not None:
        raise UndecodableError(reason)
    body, facts, frame_index = _excerpt(image, facts, frame_index)
    _note_label(image, body, facts)
    head: dict[str, object] = {
        "facts": facts.to_json(),
        "frame_index": frame_index,
        "limits": asdict(limits()),
        "is_stored": is_stored,
    }
    for _ in range(_TRIES):
        try:
            answer, content = _ask_one(image, head, body, most_bytes=8 * facts.frame_samples)
        except _KilledError:
            logger.warning("The decoder of instance %s was killed.", image.pk)
            continue
        except _LimitReachedError as error:
            logger.warning("Decoding instance %s, frame index %d: %s", image.pk, frame_index, error)
            with _refused_lock:
                _refused[image.sha256] = str(error)
            raise UndecodableError(str(error)) from error
        return answer, content, facts
    raise TransientError("The decoder was ended from outside, more than once. Try again.")


def _ask_one(
    image: DicomImage, head: dict[str, object], body: Buffer, *, most_bytes: int
) -> tuple[dict[str, object], bytearray]:
    worker = _workers.take(image.facility_id)
    is_sound = False
    try:
        answer = worker.ask(head, body, timeout_s=settings.DECODE_TIMEOUT_S, most_bytes=most_bytes)
        is_sound = True
        return answer
    finally:
        _workers.give_back(worker, is_sound=is_sound)


def _note_label(image: DicomImage, body: bytes, facts: PixelFacts) -> None:
    """Warn, once an instance, of compressed frames that are not what their header calls them."""
    if facts.frames is None or facts.frames.is_inflated or image.sha256 in _looked_at:
        return
    with _refused_lock:
        _looked_at[image.sha256] = True
    codec = mislabelled(body, facts.transfer_syntax_uid)
    if codec is not None:
        logger.warning(
            "Instance %s says transfer syntax %s, but its frames are %s. They are decoded as what "
            "they are; have the sending system corrected.",
            image.pk,
            facts.transfer_syntax_uid,
            codec,
        )


def _excerpt(
    image: DicomImage, facts: PixelFacts, frame_index: int
) -> tuple[bytes, PixelFacts, int]:
    """Return the bytes that a frame needs, and facts that describe them alone."""
    table = facts.frames
    if table is None:
        raise UndecodableError("The object has no pixel data.")
    read = _checked_reader(image)
    if table.is_inflated:
        # Where a frame lies in a deflated data set shows only when what stands before is inflated.
        if image.size_bytes > limits().inflated_bytes:
            raise UndecodableError(
                "The compressed file is larger than this system inflates to show a picture. "
                "Download it to open it elsewhere."
            )
        return read(0, image.size_bytes), facts, frame_index
    parts = [read(offset, length) for offset, length in table.fragments(frame_index)]
    body = b"".join(parts)
    alone = replace(
        table,
        # An object of many frames may have smaller ones at its edge; the decoder asks for that.
        frame_count=min(table.frame_count, 2),
        fragment_offsets=(0, 0),
        fragment_lengths=(len(body), len(body)),
        starts=None,
    )
    return body, replace(facts, frames=alone), 0


def frame_of(answer: dict[str, object], content: bytearray, facts: PixelFacts) -> Pixels:
    """Check what a worker says before believing it: its decoder may have been taken over."""
    error, dtype, shape = answer.get("error"), answer.get("dtype"), answer.get("shape")
    if isinstance(error, str):
        raise UndecodableError(error[:_LONGEST_REASON])
    expected = [[facts.rows, facts.columns], [facts.rows, facts.columns, 3]]
    if dtype not in _DTYPES or shape not in expected:
        raise UndecodableError("The decoder gave no sound answer. Try again.")
    kind = np.dtype(str(dtype))
    if math.prod(shape) * kind.itemsize != len(content):
        raise UndecodableError("The decoder gave no sound answer. Try again.")
    return np.frombuffer(content, kind).reshape(shape)
