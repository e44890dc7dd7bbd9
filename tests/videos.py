"""Videos made by FFmpeg for tests: each frame shows its own number as a row of eight blocks."""

from __future__ import annotations

import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests.dicom import make_instance, to_bytes

PREFIX = "1.2.840.10008.1.2.4."
MPEG_2, H264, HEVC = f"{PREFIX}100", f"{PREFIX}102", f"{PREFIX}107"
ENDOSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
ROWS, COLUMNS, FRAMES, RATE = 64, 128, 40, 25
_ENCODERS = {
    "mpeg2video": ["-q:v", "2", "-bf", "2", "-g", "12"],
    "libx264": ["-bf", "2", "-g", "12", "-crf", "12", "-preset", "veryfast"],
    "libx265": ["-x265-params", "log-level=error:keyint=12", "-crf", "12", "-preset", "ultrafast"],
}


def picture(number: int) -> np.ndarray:
    """The frame of a number from 1, RGB: its bits in white, beneath them red, green and blue."""
    pixels = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    for bit in range(8):
        if number >> bit & 1:
            pixels[:32, 16 * bit : 16 * bit + 16] = 255
    for part in range(3):
        pixels[32:, 48 * part : 48 * part + 48, part] = 200
    return pixels


def number_of(pixels: np.ndarray) -> int:
    """The number that a decoded frame shows."""
    grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
    return sum(
        1 << bit for bit in range(8) if grey[4:28, 16 * bit + 4 : 16 * bit + 12].mean() > 128
    )


@lru_cache(maxsize=32)
def clip(codec: str = "libx264", container: str = "mp4", frames: int = FRAMES) -> bytes:
    """A video with B-frames, of these pictures, in a container by FFmpeg's name."""
    raw = b"".join(picture(number).tobytes() for number in range(1, frames + 1))
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "clip"
        command = [
            *("ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-s", f"{COLUMNS}x{ROWS}", "-framerate", str(RATE), "-i", "pipe:0"),
            *("-pix_fmt", "yuv420p", "-c:v", codec, *_ENCODERS[codec]),
            *("-threads", "1", "-f", container, "-y", str(target)),
        ]
        done = subprocess.run(command, input=raw, check=False, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return target.read_bytes()


def video_instance(
    stream: bytes, syntax: str = H264, frames: int = FRAMES, pieces: int = 1, **keywords: Any
) -> bytes:
    """A Part 10 file with a video in so many fragments (PS3.5 section A.4.7)."""
    ds: Dataset = make_instance(np.zeros((ROWS, COLUMNS, 3), np.uint8), **keywords)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(ENDOSCOPY)
    ds.Modality = "ES"
    ds.PhotometricInterpretation = "YBR_PARTIAL_420"
    ds.NumberOfFrames, ds.FrameTime = frames, 1000 / RATE
    ds.LossyImageCompression = "01"
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    step = -(-len(stream) // pieces) + 1 & ~1
    cut = [stream[at : at + step] for at in range(0, len(stream), step)]
    ds.PixelData = encapsulate(cut, has_bot=False)
    ds["PixelData"].is_undefined_length = True
    return to_bytes(ds)
