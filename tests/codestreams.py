"""Compressed frames for tests: sound ones, slow ones, and one that asks for gigabytes."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import imagecodecs
import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests.dicom import make_instance, to_bytes

JPEG_2000 = "1.2.840.10008.1.2.4.90"


def compressed_instance(
    frames: list[bytes], rows: int, columns: int, syntax: str = JPEG_2000, **keywords: Any
) -> bytes:
    """A Part 10 file of 16-bit grey frames that are compressed already."""
    ds = make_instance(np.zeros((1, 1), np.uint16), **keywords)
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.Rows, ds.Columns = rows, columns
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].is_undefined_length = True
    return to_bytes(ds)


@lru_cache(maxsize=1)
def slow_jpeg_2000() -> bytes:
    """2500 x 2500 samples of noise: half a second on a quick machine."""
    return jpeg_2000(noise(2500, 2500))


def noise(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, (rows, columns), np.uint16)


def jpeg_2000(pixels: np.ndarray) -> bytes:
    """A lossless code stream; noise takes its decoder longest."""
    return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"))


def blank_jpeg_2000(side: int) -> bytes:
    """A sound picture of zeros, side by side, in some hundred bytes."""
    return jpeg_2000(np.zeros((side, side), np.uint16))


def memory_bomb(rows: int, columns: int) -> bytes:
    """166 bytes of JPEG 2000 (ISO/IEC 15444-1 Annex A) with precincts of 2 x 2 samples.

    The decoder allocates a structure a precinct before it looks at a single packet.
    """
    levels = 5

    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">HH", marker, len(body) + 2) + body

    size = struct.pack(">HIIIIIIIIH", 0, columns, rows, 0, 0, columns, rows, 0, 0, 1)
    style = bytes([1, 0, 0, 1, 0, levels, 4, 4, 0, 1]) + bytes([0x11] * (levels + 1))
    packets = b"\x80" * 64
    tile = struct.pack(">HHHIBB", 0xFF90, 10, 0, 12 + 2 + len(packets), 0, 1)
    return (
        b"\xff\x4f"
        + segment(0xFF51, size + bytes([15, 1, 1]))
        + segment(0xFF52, style)
        + segment(0xFF5C, bytes([0x40] + [0x80] * (3 * levels + 1)))
        + tile
        + b"\xff\x93"
        + packets
        + b"\xff\xd9"
    )
