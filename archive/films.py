"""All frames of an instance as one film: a GIF, or an MP4 with H.264."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from archive import ffmpeg, frame_cache, retrieve, videos
from archive.errors import UndecodableError
from archive.frame_entry import Entry
from archive.rendering import CONTENT_TYPES, Form, Rendering
from archive.retrieve import Rendered
from imaging.encode import encode_gif
from worklist.models import DicomImage

# A GIF is put together in memory. An MP4 is encoded as its pictures are drawn, so that their number
# costs time and no memory: nine minutes of a catheter laboratory's 512 x 512 at 15 a second.
_MOST_GIF_SAMPLES = 2**26
_MOST_MP4_SAMPLES = 2**31
_MOST_RATE = 120.0
_FRAME_MS = 100.0


def gif(image: DicomImage, rendering: Rendering) -> Rendered:
    """Return all frames of an instance as one GIF that runs at the speed the instance names.

    Parameters
    ----------
    image : scoped by `archive.access`
    rendering : of `Form.GIF`

    Raises
    ------
    UndecodableError, TransientError
        See `archive.retrieve.frame`.
    InvalidInputError
        When the film would be larger than this system makes; the message says what to do.
    """
    retrieve.check_frame_number(image, 1)

    def make() -> Entry:
        made = retrieve.film_pictures(image, rendering, most_samples=_MOST_GIF_SAMPLES)
        with made as pictures:
            content = encode_gif(pictures, frame_ms=frame_time_ms(image))
        return Entry(content, {"content_type": CONTENT_TYPES[Form.GIF]})

    entry = frame_cache.rendered().get_or_make(retrieve.key_of(image, 0, rendering), make)
    return Rendered(content=entry.content, **entry.facts)


def mp4_key(image: DicomImage, rendering: Rendering) -> str:
    """Return the name of what :func:`mp4` makes."""
    return frame_cache.key_of("film", videos.VERSION, retrieve.key_of(image, 0, rendering))


def mp4(image: DicomImage, rendering: Rendering) -> Path:
    """Return all frames of an instance as an MP4 with H.264, at the speed that the instance names.

    Parameters
    ----------
    image : scoped by `archive.access`; no video
    rendering : of a drawn form; which one counts for nothing

    Raises
    ------
    UndecodableError
        When a frame cannot be decoded, or FFmpeg is not installed.
    InvalidInputError
        When the film would be too large; the message says what to do.

    References
    ----------
    DICOM PS3.18 table 8.7.4-1.
    """
    retrieve.check_frame_number(image, 1)
    name = f"{mp4_key(image, rendering)}.mp4"
    path = videos.kept(image, name)
    if path is not None:
        return path
    if not ffmpeg.is_installed():
        raise UndecodableError(
            "A film as MP4 needs the program ffmpeg, which is not installed: ask your "
            "administrator to install the package ffmpeg, or take a GIF."
        )
    rate = min(1000.0 / frame_time_ms(image), _MOST_RATE)
    made = retrieve.film_pictures(image, rendering, most_samples=_MOST_MP4_SAMPLES)
    with made as pictures, videos.new(image, name) as target:
        first = next(pictures)
        rows, columns = first.shape[:2]
        arguments = [
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{columns}x{rows}"),
            *("-framerate", f"{rate:.6f}", "-i", "pipe:0"),
            *("-vf", f"scale=out_color_matrix=bt709,{videos.EVEN}"),
            *(*videos.H264, "-colorspace", "bt709", *videos.MP4, f"file:{target}"),
        ]
        ffmpeg.feed(
            arguments,
            (_as_rgb(picture) for picture in itertools.chain((first,), pictures)),
            timeout_s=settings.VIDEO_TIMEOUT_S,
        )
    return videos.path_of(image, name)


def _as_rgb(picture: NDArray[np.uint8]) -> bytes:
    if picture.ndim == 2:
        picture = np.repeat(picture[..., np.newaxis], 3, axis=2)
    return picture.tobytes()


def frame_time_ms(image: DicomImage) -> float:
    """Return how long a frame of a film is shown: as the file says, else a tenth of a second.

    References
    ----------
    DICOM PS3.3 sections C.7.6.5 (Frame Time) and C.7.6.2.1 (Recommended Display Frame Rate).
    """
    rate, time_ms = image.value("RecommendedDisplayFrameRate"), image.value("FrameTime")
    if rate and rate > 0:
        return 1000.0 / float(rate)
    return float(time_ms) if time_ms and time_ms > 0 else _FRAME_MS
