"""Frames as the web's programs take them: as stored, as plain samples, or compressed without loss.

Not pictures: no colour conversion, no rescale, no window (`archive.retrieve` has those).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from archive import decoding, frame_cache, stores
from archive.drawing import is_video
from archive.errors import NotFoundError, UndecodableError
from archive.frame_entry import Entry
from archive.retrieve import check_frame_number, facts_of
from blobs import BlobMissingError
from imaging.encoding import HTJ2K_LOSSLESS, JPEG_LOSSLESS, LOSSLESS, encode_frame
from imaging.errors import ImagingError
from imaging.pixels import PixelFacts, stored_frame
from imaging.transcode import lossless_problem
from worklist.models import DicomImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Part of every key: a change of what is made makes other keys.
_VERSION = 1
# Decoders of these take three components for RGB.
_RGB_ALONE = (JPEG_LOSSLESS, HTJ2K_LOSSLESS)
_CHROMA = ("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422")


def is_encapsulated(image: DicomImage) -> bool:
    """Whether the frames are stored compressed, each for itself."""
    table = facts_of(image).frames
    return table is not None and table.kind != "native"


def stored(image: DicomImage, frame_number: int) -> bytes:
    """Return a frame's code stream as it is stored.

    Parameters
    ----------
    image : `is_encapsulated`
    frame_number : from 1

    Raises
    ------
    NotFoundError, UndecodableError
    """
    check_frame_number(image, frame_number)
    facts = facts_of(image)
    if facts.frames is None:
        raise UndecodableError("The object has no pixel data.")
    with _sentences():
        parts = facts.frames.fragments(frame_number - 1)
        return b"".join(_read(image, offset, length) for offset, length in parts)


def native(image: DicomImage, frame_number: int) -> bytes:
    """Return the samples of a frame as explicit VR little endian has them.

    Uncompressed frames leave as they are, with their planar configuration and all bits of a cell;
    decoded ones are colour by pixel.

    Raises
    ------
    NotFoundError, UndecodableError, TransientError

    References
    ----------
    DICOM PS3.5 sections 8.1.1 and A.2; PS3.18 section 8.7.3.5.2.
    """
    check_frame_number(image, frame_number)
    facts = facts_of(image)
    table = facts.frames
    if is_video(image):
        raise UndecodableError(
            "The frames of a video are not stored one by one. Ask for its bit stream, or for "
            "rendered frames."
        )
    if table is None:
        raise UndecodableError("The object has no pixel data.")
    is_plain = table.kind == "native" and not table.is_inflated and not table.is_big_endian
    if is_plain and table.frame_bits % 8 == 0:
        with _sentences():
            return b"".join(_read(image, *part) for part in table.fragments(frame_number - 1))
    if table.kind == "native":
        pixels = _samples(image, facts, frame_number)
        if pixels.ndim == 3 and facts.planar_configuration == 1:
            # As the header goes on saying.
            pixels = pixels.transpose(2, 0, 1)
        return _octets(pixels, facts)

    def make() -> Entry:
        return Entry(_octets(_samples(image, facts, frame_number), facts))

    key = frame_cache.key_of("native", _VERSION, image.sha256, frame_number)
    return frame_cache.decoded().get_or_make(key, make).content


def encoded(image: DicomImage, frame_number: int, transfer_syntax_uid: str) -> bytes:
    """Return a frame compressed without loss.

    Parameters
    ----------
    transfer_syntax_uid : one of `imaging.encoding.LOSSLESS`; see `can_encode`

    Raises
    ------
    NotFoundError, UndecodableError, TransientError
    """
    check_frame_number(image, frame_number)
    facts = facts_of(image)

    def make() -> Entry:
        pixels = _samples(image, facts, frame_number)
        try:
            return Entry(encode_frame(pixels, transfer_syntax_uid, bits_stored=facts.bits_stored))
        except ImagingError as error:
            raise UndecodableError(str(error)) from error

    key = frame_cache.key_of("encoded", _VERSION, image.sha256, frame_number, transfer_syntax_uid)
    return frame_cache.rendered().get_or_make(key, make).content


def can_encode(image: DicomImage, transfer_syntax_uid: str) -> bool:
    """Whether a frame can be given in a lossless encoding that it is not stored in.

    Pictures that lost something when they were compressed are not compressed again.
    """
    if transfer_syntax_uid not in LOSSLESS or image.is_lossy:
        return False
    facts = facts_of(image)
    if transfer_syntax_uid in _RGB_ALONE and facts.photometric_interpretation in _CHROMA:
        return False
    return not lossless_problem(facts)


def _samples(image: DicomImage, facts: PixelFacts, frame_number: int) -> NDArray[Any]:
    with _sentences():
        if is_encapsulated(image):
            return decoding.decode_stored(image, facts, frame_number - 1)[0]
        with stores.instances().open(image.storage_key) as file:
            return stored_frame(file, facts, frame_number - 1, limits=decoding.limits())[0]


def _octets(pixels: NDArray[Any], facts: PixelFacts) -> bytes:
    if facts.bits_allocated == 1:
        # Each frame begins with a byte of its own; in the object it may begin in the middle of one.
        return np.packbits(pixels.reshape(-1), bitorder="little").tobytes()
    values = pixels.astype(facts.dtype, copy=False)
    shift = facts.high_bit + 1 - facts.bits_stored
    if shift > 0:
        values = values << shift
    return values.astype(facts.dtype.newbyteorder("<"), copy=False).tobytes()


def _read(image: DicomImage, offset: int, length: int) -> bytes:
    content = stores.instances().read(image.storage_key, offset, length)
    if len(content) != length:
        raise UndecodableError("The stored file is cut off. Have the image sent again.")
    return content


@contextmanager
def _sentences() -> Iterator[None]:
    """Translate what goes wrong below."""
    try:
        yield
    except BlobMissingError as error:
        raise NotFoundError(
            "The stored file is missing. Have the image sent again, or ask your administrator to "
            "restore it from a backup."
        ) from error
    except ImagingError as error:
        raise UndecodableError(str(error)) from error
