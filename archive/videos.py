"""Videos: the bit stream as it came, single frames of it, and an MP4 that browsers play.

Made files lie below ``CACHE_DIR/videos`` under the digest of the instance; they can be dropped at
any time. Frames are always decoded from what was stored, never from a copy that was coded anew.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cachetools import LRUCache, TTLCache
from django.conf import settings
from django.db import connections
from numpy.typing import NDArray

from archive import drawing, ffmpeg, frame_cache
from archive.errors import NotFoundError, TransientError, UndecodableError
from archive.frame_entry import Entry
from archive.stores import instances
from imaging.errors import ImagingError
from imaging.videofacts import MPEG_2_CODECS, VideoFacts, container_of
from worklist.models import DicomImage

logger = logging.getLogger(__name__)

# Part of the tag of what is made for browsers: a change of how makes another one.
VERSION = 1
_CHUNK_BYTES = 1024 * 1024
_HEAD_BYTES = 256
# Of one run: who asks for a frame mostly asks for the next ones.
_MOST_FRAMES_AT_ONCE = 16
_MOST_BYTES_AT_ONCE = 24 * 1024**2
_WAIT_S = 20.0
_REFUSED_S = 600.0


@dataclass(frozen=True, slots=True)
class Playable:
    """A video that browsers play.

    Parameters
    ----------
    facts : of it; its frames are those of the stored video
    path : where it lies; None: the stored bit stream is one
    """

    facts: VideoFacts
    path: Path | None


_facts: LRUCache[str, VideoFacts] = LRUCache(64)
_lock = threading.Lock()
_one_at_a_time = threading.Lock()
_making: dict[str, Future[Playable]] = {}
# Who comes again for a video that cannot be made ready is told why, without another try.
_refused: TTLCache[str, str] = TTLCache(256, _REFUSED_S)


def _after_fork() -> None:
    """Start anew in a child: the parent's threads are not here."""
    global _lock, _one_at_a_time
    _lock, _one_at_a_time = threading.Lock(), threading.Lock()
    _making.clear()


os.register_at_fork(after_in_child=_after_fork)


def _folder() -> Path:
    folder: Path = settings.CACHE_DIR / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def path_of(image: DicomImage, name: str) -> Path:
    """Return where a file that was made lies."""
    return _folder() / f"{image.sha256}.{name}"


def kept(image: DicomImage, name: str) -> Path | None:
    """Return a file that was made before; that it was used is noted."""
    path = path_of(image, name)
    try:
        os.utime(path)
    except FileNotFoundError:
        return None
    return path


@contextlib.contextmanager
def new(image: DicomImage, name: str) -> Iterator[Path]:
    """Give a file to be written, which gets its name when it is whole."""
    descriptor, temporary = tempfile.mkstemp(prefix=".", dir=_folder())
    os.close(descriptor)
    path = Path(temporary)
    try:
        yield path
        path.rename(path_of(image, name))
    finally:
        path.unlink(missing_ok=True)
    frame_cache.look_soon()


def _source(image: DicomImage) -> tuple[Path, str]:
    """Return the bit stream in a file of its own, and its container."""
    found = drawing.video_of(image)
    store = instances()
    head = b"".join(
        store.read(image.storage_key, offset, length)
        for offset, length in found.parts(0, _HEAD_BYTES - 1, most_bytes=_CHUNK_BYTES)
    )
    try:
        container = container_of(found.media_type, head, image.transfer_syntax_uid)
    except ImagingError as error:
        raise UndecodableError(str(error)) from error
    path = kept(image, "source")
    if path is None:
        with new(image, "source") as path, path.open("wb") as target:
            for offset, length in found.parts(0, found.size_bytes - 1, most_bytes=_CHUNK_BYTES):
                target.write(store.read(image.storage_key, offset, length))
        path = path_of(image, "source")
    return path, container


def facts_of(image: DicomImage) -> VideoFacts:
    """Return what the stored bit stream of a video is.

    Raises
    ------
    UndecodableError
        When it is no video, is damaged, or FFmpeg is not installed.
    """
    return _facts_of(image, "source")


def _facts_of(image: DicomImage, name: str) -> VideoFacts:
    key = f"{image.sha256} {name}"
    with _lock:
        known = _facts.get(key)
    if known is not None:
        return known
    written = kept(image, f"{name}.json")
    if written is not None:
        facts = VideoFacts.from_json(json.loads(written.read_bytes()))
    else:
        path, container = _source(image)
        if name != "source":
            path, container = path_of(image, name), "mov"
        try:
            facts = VideoFacts.of(ffmpeg.probe(path, container))
        except ImagingError as error:
            raise UndecodableError(str(error)) from error
        with new(image, f"{name}.json") as target:
            target.write_text(json.dumps(facts.to_json()))
    with _lock:
        _facts[key] = facts
    return facts


# Frames ---------------------------------------------------------------------------------------


def frame(image: DicomImage, frame_index: int) -> NDArray[np.uint8]:
    """Return a frame of a video, decoded from what is stored.

    Parameters
    ----------
    frame_index : from 0, in the order in which the frames are shown

    Returns
    -------
    RGB, shape (rows, columns, 3); grey, shape (rows, columns), where the object says so

    Raises
    ------
    UndecodableError
        When it cannot be decoded.
    NotFoundError
        When the video ends before it.

    References
    ----------
    DICOM PS3.5 sections 8.2.5 to 8.2.8.
    """
    facts = facts_of(image)
    if (facts.rows, facts.columns) != (image.rows, image.columns):
        raise UndecodableError(
            f"The video measures {facts.columns} x {facts.rows} pixels, but its header says "
            f"{image.columns} x {image.rows}. Have the sending system correct it."
        )
    if frame_index >= facts.frame_count:
        raise NotFoundError(f"The video ends with frame {facts.frame_count}.")
    samples = 1 if image.samples_per_pixel == 1 else 3
    shape = (facts.rows, facts.columns, samples)[: 2 if samples == 1 else 3]
    size = facts.rows * facts.columns * samples
    keys = [
        frame_cache.key_of("video", image.sha256, number)
        for number in range(frame_index, min(facts.frame_count, frame_index + _at_once(size)))
    ]
    cache = frame_cache.decoded()

    def make() -> Entry:
        pictures = _decode(image, facts, frame_index, len(keys), samples)
        if len(pictures) < size:
            raise UndecodableError(
                f"Frame {frame_index + 1} of the video is damaged. Have it sent again."
            )
        for number, key in enumerate(keys[1:], start=1):
            if len(part := pictures[number * size : (number + 1) * size]) == size:
                cache.put(key, Entry(part))
        return Entry(pictures[:size])

    content = cache.get_or_make(keys[0], make).content
    return np.frombuffer(content, np.uint8).reshape(shape)


def _at_once(size: int) -> int:
    return max(1, min(_MOST_FRAMES_AT_ONCE, _MOST_BYTES_AT_ONCE // max(1, size)))


def _decode(image: DicomImage, facts: VideoFacts, first: int, count: int, samples: int) -> bytes:
    """Return the samples of some frames one after the other."""
    path, container = _source(image)
    chosen, entry_s = f"gte(n\\,{first})", 0.0
    if facts.codec not in MPEG_2_CODECS and facts.has_times:
        # Only an MP4 knows where its frames lie; MPEG-2 is quick enough from its beginning.
        if container != "mov":
            path, container = _copied(image), "mov"
            facts = _facts_of(image, path.suffix[1:])
        chosen, entry_s = f"gte(t\\,{facts.before_s(first):.6f})", facts.entry_s(first)
    scale = f"scale=in_color_matrix={facts.matrix}:flags=bicubic+accurate_rnd+full_chroma_int"
    arguments = [
        "-copyts",
        *ffmpeg.source(path, container, entry_s=entry_s),
        *("-map", "0:v:0", "-an", "-sn", "-dn", "-vf", f"select={chosen},{scale}"),
        *("-vsync", "0", "-frames:v", str(count)),
        *("-f", "rawvideo", "-pix_fmt", "gray" if samples == 1 else "rgb24", "pipe:1"),
    ]
    return ffmpeg.output_of(arguments, timeout_s=settings.VIDEO_FRAME_TIMEOUT_S)


# Players --------------------------------------------------------------------------------------


def playable(image: DicomImage) -> Playable:
    """Return a video as browsers play it: as stored, in another container, or coded anew.

    H.264 is only put into an MP4; MPEG-2 and H.265, which few browsers play, become H.264.

    Raises
    ------
    UndecodableError
        When it is no video, is damaged, or FFmpeg is not installed.
    TransientError
        When it is still being made; whoever asks again gets it later.
    """
    facts = facts_of(image)
    if facts.is_playable and _source(image)[1] == "mov":
        return Playable(facts, None)
    path = kept(image, "mp4")
    if path is not None:
        return Playable(_facts_of(image, "mp4"), path)
    with _lock:
        reason = _refused.get(image.sha256)
        if reason is not None:
            raise UndecodableError(reason)
        making = _making.get(image.sha256)
        if making is None:
            making = _making[image.sha256] = Future()
            # A process that is told to end does not wait for it.
            threading.Thread(target=_make, args=(making, image, facts), daemon=True).start()
    try:
        return making.result(_WAIT_S)
    except NotYetError as error:
        raise TransientError(
            "The video is being made ready for playing. Try again in a moment."
        ) from error


def _make(making: Future[Playable], image: DicomImage, facts: VideoFacts) -> None:
    """Do in a thread of its own what somebody, or nobody any more, waits for."""
    try:
        with _one_at_a_time:
            made = _make_playable(image, facts)
    except BaseException as error:
        if not isinstance(error, UndecodableError):
            logger.exception("The video of instance %s could not be made ready.", image.pk)
        making.set_exception(error)
    else:
        making.set_result(made)


def _make_playable(image: DicomImage, facts: VideoFacts) -> Playable:
    try:
        if facts.is_playable and facts.has_times:
            path = _copied(image)
        else:
            path = _coded_anew(image, facts)
        return Playable(_facts_of(image, "mp4"), path)
    except UndecodableError as error:
        with _lock:
            _refused[image.sha256] = str(error)
        raise
    finally:
        with _lock:
            _making.pop(image.sha256, None)
        # This thread asked for a trim; nobody else would close its connection.
        connections.close_all()


def _copied(image: DicomImage) -> Path:
    """Return the stored frames in an MP4, none of them coded anew."""
    facts = facts_of(image)
    name = "mp4" if facts.is_playable else "copy"
    path = kept(image, name)
    if path is not None:
        return path
    source, container = _source(image)
    with new(image, name) as target:
        ffmpeg.output_of(
            [
                *ffmpeg.source(source, container),
                *("-map", "0:v:0", "-map", "0:a:0?", "-c:v", "copy", "-c:a", "aac", "-ac", "2"),
                *MP4,
                f"file:{target}",
            ],
            timeout_s=settings.VIDEO_TIMEOUT_S,
        )
    return path_of(image, name)


def _coded_anew(image: DicomImage, facts: VideoFacts) -> Path:
    source, container = _source(image)
    steps = [f"scale=in_color_matrix={facts.matrix}:out_color_matrix={facts.matrix}", EVEN]
    if not facts.has_times:
        steps.append(f"setpts=N/({facts.rate:.6f}*TB)")
    with new(image, "mp4") as target:
        ffmpeg.output_of(
            [
                *ffmpeg.source(source, container),
                *("-map", "0:v:0", "-map", "0:a:0?", "-c:a", "aac", "-ac", "2"),
                *("-vf", ",".join(steps), "-vsync", "0"),
                *H264,
                *("-colorspace", "bt709" if facts.matrix == "bt709" else "smpte170m"),
                *MP4,
                f"file:{target}",
            ],
            timeout_s=settings.VIDEO_TIMEOUT_S,
        )
    return path_of(image, "mp4")


# Two halves of a coded pair of rows or columns share their colour.
EVEN = "pad=ceil(iw/2)*2:ceil(ih/2)*2"
# Visually lossless; a key frame at least every 25 keeps stepping backwards quick.
H264 = (
    *("-threads", "2", "-c:v", "libx264", "-preset", "veryfast", "-crf", "17"),
    *("-pix_fmt", "yuv420p", "-g", "25"),
)
# The index stands before the frames, so that players begin at once; the first frame is at 0.
MP4 = (
    *("-map_metadata", "-1", "-movflags", "+faststart"),
    *("-f", "mp4", "-y"),
)
