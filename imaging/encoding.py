"""Encode frames without loss: JPEG-LS, JPEG 2000, HTJ2K, JPEG lossless and RLE."""

import struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from imaging.errors import UnsupportedError

Pixels = NDArray[Any]

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
# What `encode_frame` writes, the one that costs least first.
LOSSLESS = (JPEG_LS_LOSSLESS, RLE_LOSSLESS, HTJ2K_LOSSLESS, JPEG_LOSSLESS, JPEG_2000_LOSSLESS)


def encode_frame(pixels: Pixels, transfer_syntax_uid: str, *, bits_stored: int) -> bytes:
    """Encode the stored values of one frame so that decoding gives them back exactly.

    Parameters
    ----------
    pixels : shape (rows, columns) or (rows, columns, 3), integers of 8 or 16 bits; HTJ2K turns
        three samples from RGB into YBR_RCT
    transfer_syntax_uid : one of `LOSSLESS`
    bits_stored : bits of a value that say something

    Returns
    -------
    The code stream, padded to an even length.

    Raises
    ------
    UnsupportedError
        If this encoding cannot hold such samples.

    References
    ----------
    DICOM PS3.5 sections 8.2 and A.4, Annex G.
    """
    if pixels.dtype.kind not in "iu" or pixels.dtype.itemsize > 2:
        raise UnsupportedError(
            f"Samples of {pixels.dtype.itemsize * 8} bits cannot be compressed here."
        )
    pixels = np.ascontiguousarray(pixels)
    if transfer_syntax_uid == RLE_LOSSLESS:
        stream = _rle(pixels)
    else:
        stream = _code_stream(pixels, transfer_syntax_uid, bits_stored)
    return stream + b"\0" * (len(stream) % 2)


def _code_stream(pixels: Pixels, syntax: str, bits_stored: int) -> bytes:
    width = pixels.dtype.itemsize * 8
    try:
        if syntax == JPEG_2000_LOSSLESS:
            return bytes(
                imagecodecs.jpeg2k_encode(
                    pixels,
                    level=0,
                    reversible=True,
                    codecformat="j2k",
                    mct=False,
                    bitspersample=width,
                    numthreads=1,
                )
            )
        if syntax == HTJ2K_LOSSLESS:
            return bytes(imagecodecs.htj2k_encode(pixels, reversible=True))
        # The two have no sign: its bit is one of the value's (PS3.5 8.2.1, 8.2.3).
        unsigned = pixels.view(f"u{pixels.dtype.itemsize}")
        if bits_stored < width:
            unsigned = unsigned & ((1 << bits_stored) - 1)
        if syntax == JPEG_LS_LOSSLESS:
            room = 2 * unsigned.nbytes + 4096
            return bytes(imagecodecs.jpegls_encode(unsigned, out=room))
        if syntax == JPEG_LOSSLESS:
            return bytes(
                imagecodecs.jpeg8_encode(unsigned, lossless=True, predictor=1, bitspersample=width)
            )
    except (RuntimeError, ValueError) as error:
        raise UnsupportedError("The picture cannot be compressed in this encoding.") from error
    raise UnsupportedError("Nothing here writes this encoding.")


def _rle(pixels: Pixels) -> bytes:
    """Encode a frame in segments: each byte of each sample on its own (PS3.5 Annex G)."""
    size = pixels.dtype.itemsize
    planes = pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    segments = []
    for plane in planes:
        octets = np.ascontiguousarray(plane.astype(plane.dtype.newbyteorder(">"), copy=False))
        octets = octets.view(np.uint8).reshape(*plane.shape, size)
        for at in range(size):
            # Rows are encoded for themselves (G.3.1: runs should not cross them).
            rows = np.ascontiguousarray(octets[..., at])
            segment = b"".join(bytes(imagecodecs.packbits_encode(row.tobytes())) for row in rows)
            segments.append(segment + b"\0" * (len(segment) % 2))
    offsets = [64]
    for segment in segments[:-1]:
        offsets.append(offsets[-1] + len(segment))
    header = struct.pack("<16I", len(segments), *offsets, *([0] * (15 - len(segments))))
    return header + b"".join(segments)
