"""Decode a frame: stored values, and the exact frame that a viewer windows."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from imaging.codecs import decode_codestream, decode_rle, inflate_frame
from imaging.codestream import CodeStream, inspect, looks_like_rle
from imaging.colour import YBR_FULL, YBR_PARTIAL, to_rgb
from imaging.errors import DecodeError
from imaging.framesource import FrameSource, read_fragments, read_inflated
from imaging.frametable import Fragment, FrameTable
from imaging.palette import Palette, read_palette
from imaging.pixelfacts import (
    DEFAULT,
    PixelColumns,
    PixelFacts,
    PixelLimits,
    check_facts,
    problem,
)

__all__ = [
    "DEFAULT",
    "FrameSource",
    "Palette",
    "PixelColumns",
    "PixelFacts",
    "PixelLimits",
    "decode_frame",
    "dtype_name",
    "exact_frame",
    "frame_range",
    "problem",
    "read_palette",
    "stored_frame",
]

Pixels = NDArray[Any]

_RLE = "1.2.840.10008.1.2.5"
_DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
_ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"


def decode_frame(
    source: FrameSource,
    facts: PixelFacts,
    frame_index: int,
    *,
    limits: PixelLimits = DEFAULT,
) -> Pixels:
    """Decode the stored values of one frame.

    Parameters
    ----------
    source : the object: a path, an open seekable file, its bytes, or a function that returns
        ``length`` bytes from ``offset`` on
    frame_index : from 0

    Returns
    -------
    shape (rows, columns), or (rows, columns, 3) whatever the planar configuration: integers with
    the bits above Bits Stored cleared or sign-extended, or floats; no colour conversion but the one
    that belongs to the JPEG 2000 or JPEG XL code stream

    Raises
    ------
    DecodeError
        If the bytes are damaged or contradict the header.
    UnsupportedError
        If nothing here decodes them.
    LimitError
        If the frame is larger than the limits.

    References
    ----------
    DICOM PS3.5 section 8 and Annex A; PS3.3 section C.7.6.3.
    """
    return stored_frame(source, facts, frame_index, limits=limits)[0]


def stored_frame(
    source: FrameSource,
    facts: PixelFacts,
    frame_index: int,
    *,
    limits: PixelLimits = DEFAULT,
) -> tuple[Pixels, str]:
    """Decode the stored values of one frame, and say which photometric interpretation they have.

    See `decode_frame`; a code stream knows better than the header what its samples are.
    """
    return _decode(source, facts, frame_index, limits, wants_rgb=False)


def exact_frame(
    source: FrameSource,
    facts: PixelFacts,
    frame_index: int,
    *,
    palette: Palette | None = None,
    limits: PixelLimits = DEFAULT,
) -> Pixels:
    """Decode the exact frame that a viewer windows.

    Parameters
    ----------
    palette : of the object (`read_palette`), needed if ``facts.is_palette``

    Returns
    -------
    Greyscale: the stored values, shape (rows, columns), as `decode_frame` gives them. Colour:
    uint8 RGB, shape (rows, columns, 3), after palette or YBR conversion.

    Raises
    ------
    DecodeError, UnsupportedError, LimitError
        See `decode_frame`.

    References
    ----------
    DICOM PS3.3 sections C.7.6.3.1.2 and C.7.9.
    """
    pixels, photometric = _decode(source, facts, frame_index, limits, wants_rgb=True)
    if facts.is_palette:
        if palette is None:
            raise DecodeError(
                "The picture's colour table is missing. Have the sending system send it again."
            )
        return palette.apply(pixels)
    if facts.samples_per_pixel == 3:
        return to_rgb(pixels, photometric, facts.bits_stored)
    return pixels


def dtype_name(frame: Pixels) -> str:
    """Return the name of an exact frame's sample type: ``uint8`` ... ``float64``."""
    return frame.dtype.name


def frame_range(frame: Pixels) -> tuple[float, float]:
    """Return the least and the greatest finite value of a frame; (0, 0) if there is none."""
    if frame.dtype.kind != "f":
        return int(frame.min()), int(frame.max())
    finite = frame[np.isfinite(frame)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _decode(
    source: FrameSource,
    facts: PixelFacts,
    frame_index: int,
    limits: PixelLimits,
    *,
    wants_rgb: bool,
) -> tuple[Pixels, str]:
    """Return the values of a frame and the photometric interpretation that they have now."""
    check_facts(facts, limits)
    table = facts.frames
    if table is None:
        raise DecodeError("The object has no pixel data.")
    fragments = table.fragments(frame_index)
    photometric = facts.photometric_interpretation
    if table.is_inflated:
        data = read_inflated(source, facts, fragments[0], limits)
    elif table.kind == "native" and table.is_big_endian and facts.bits_allocated <= 8:
        return _decode_swapped(source, facts, table, frame_index), photometric
    else:
        data = read_fragments(source, fragments)
    if table.kind == "native":
        first_bit = frame_index * table.frame_bits % 8
        order: Literal["<", ">"] = ">" if table.is_big_endian else "<"
        return _decode_native(data, facts, first_bit=first_bit, order=order), photometric
    return _decode_encapsulated(data, facts, limits, wants_rgb=wants_rgb)


def _decode_swapped(
    source: FrameSource, facts: PixelFacts, table: FrameTable, frame_index: int
) -> Pixels:
    """Decode small samples of a big endian object, which swap places inside 16-bit words.

    Pixel Data with VR OB is a string of bytes and does not swap (PS3.5 section 8.1.1 and Annex
    A.3).
    """
    first_bit = frame_index * table.frame_bits
    ((offset, length),) = table.fragments(frame_index)
    if table.is_words:
        start = (offset - table.offset) & ~1
        end = min((offset - table.offset + length + 1) & ~1, table.length & ~1)
        words = read_fragments(source, (Fragment(table.offset + start, end - start),))
        swapped = np.frombuffer(words, ">u2").astype("<u2").tobytes()
        data = swapped[offset - table.offset - start :][:length]
    else:
        data = read_fragments(source, (Fragment(offset, length),))
    return _decode_native(data, facts, first_bit=first_bit % 8, order="<")


def _decode_native(
    data: bytes, facts: PixelFacts, *, first_bit: int, order: Literal["<", ">"]
) -> Pixels:
    """Decode uncompressed samples (PS3.5 section 8.1.1)."""
    bits = facts.bits_allocated
    if bits == 1:
        return _unpack_1_bit(data, facts, first_bit)
    if bits == 12:
        values = _unpack_12_bit(data, facts.frame_samples, first_bit)
        return _clean(values.reshape(facts.rows, facts.columns), facts)
    dtype = facts.dtype.newbyteorder(order)
    if facts.photometric_interpretation in YBR_FULL | YBR_PARTIAL and _is_422(data, facts):
        return _expand_422(np.frombuffer(data, dtype), facts)
    values = np.frombuffer(data, dtype, facts.frame_samples)
    values = values.astype(facts.dtype, copy=False)
    return _clean(_shape(values, facts, is_planar=facts.planar_configuration == 1), facts)


def _shape(values: Pixels, facts: PixelFacts, *, is_planar: bool) -> Pixels:
    rows, columns, samples = facts.rows, facts.columns, facts.samples_per_pixel
    if samples == 1:
        return values.reshape(rows, columns)
    if is_planar:
        planes = values.reshape(samples, rows, columns)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    return values.reshape(rows, columns, samples)


def _is_422(data: bytes, facts: PixelFacts) -> bool:
    """Tell chroma that is shared by two pixels from a wrong name, by the size of the frame."""
    return (
        facts.photometric_interpretation in ("YBR_FULL_422", "YBR_PARTIAL_422")
        and facts.samples_per_pixel == 3
        and facts.columns % 2 == 0
        and len(data) * 8 == facts.rows * facts.columns * 2 * facts.bits_allocated
    )


def _expand_422(values: Pixels, facts: PixelFacts) -> Pixels:
    """Give both pixels of each pair their chroma (PS3.3 section C.7.6.3.1.2: Y1 Y2 CB CR)."""
    packed = values.reshape(facts.rows, facts.columns // 2, 4)
    pixels = np.empty((facts.rows, facts.columns // 2, 2, 3), facts.dtype)
    pixels[..., 0] = packed[..., :2]
    pixels[..., 1] = packed[..., 2:3]
    pixels[..., 2] = packed[..., 3:4]
    return _clean(pixels.reshape(facts.rows, facts.columns, 3), facts)


def _unpack_1_bit(data: bytes, facts: PixelFacts, first_bit: int) -> NDArray[np.uint8]:
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    bits = bits[first_bit : first_bit + facts.frame_samples]
    if len(bits) < facts.frame_samples:
        raise _too_short()
    return _shape(bits, facts, is_planar=facts.planar_configuration == 1)


def _unpack_12_bit(data: bytes, count: int, first_bit: int) -> NDArray[np.uint16]:
    """Unpack samples that stand bit to bit, the least significant bit first (ACR-NEMA, PS3.5 D)."""
    octets = np.frombuffer(data, np.uint8).astype(np.uint16)
    start = 0
    if first_bit == 4:
        # An odd number of samples came before: this frame begins in the middle of a byte.
        octets = np.concatenate((np.zeros(1, np.uint16), octets))
        start = 1
    octets = np.concatenate((octets, np.zeros(-len(octets) % 3, np.uint16))).reshape(-1, 3)
    values = np.empty((len(octets), 2), np.uint16)
    values[:, 0] = octets[:, 0] | (octets[:, 1] & 0x0F) << 8
    values[:, 1] = octets[:, 1] >> 4 | octets[:, 2] << 4
    values = values.reshape(-1)[start : start + count]
    if len(values) < count:
        raise _too_short()
    return values


def _decode_encapsulated(
    data: bytes, facts: PixelFacts, limits: PixelLimits, *, wants_rgb: bool
) -> tuple[Pixels, str]:
    """Decode a compressed frame by what its bytes are, and only then by what they are called."""
    photometric = facts.photometric_interpretation
    syntax = facts.transfer_syntax_uid
    size = (facts.frame_samples * facts.bits_allocated + 7) // 8
    if syntax in (_DEFLATED_FRAME, _ENCAPSULATED_UNCOMPRESSED):
        raw = inflate_frame(data, size) if syntax == _DEFLATED_FRAME else data[:size]
        if len(raw) < size:
            raise _too_short()
        return _decode_native(raw, facts, first_bit=0, order="<"), photometric
    stream = inspect(data)
    if stream is not None:
        return _decode_stream(data, stream, facts, limits, wants_rgb=wants_rgb)
    if syntax == _RLE or looks_like_rle(data):
        return _decode_rle(data, facts), photometric
    if 0 <= len(data) - size <= 1:
        # Uncompressed samples under the name of a compression.
        return _decode_native(data[:size], facts, first_bit=0, order="<"), photometric
    raise DecodeError(
        "The compressed picture is damaged, or its compression is not known here. Download the "
        "file to open it elsewhere."
    )


def _decode_rle(data: bytes, facts: PixelFacts) -> Pixels:
    plane = facts.rows * facts.columns
    if facts.bits_allocated == 1:
        # Packed as native 1-bit frames are, each frame on its own (PS3.5 Annex G.2).
        packed = decode_rle(data, samples=1, bytes_per_sample=1, plane_size=(plane + 7) // 8)
        return _unpack_1_bit(packed.tobytes(), facts, 0)
    size = facts.dtype.itemsize
    planes = decode_rle(
        data, samples=facts.samples_per_pixel, bytes_per_sample=size, plane_size=plane
    )
    values = planes.reshape(-1).view(facts.dtype.newbyteorder("<"))
    return _clean(_shape(values, facts, is_planar=True), facts)


def _decode_stream(
    data: bytes,
    stream: CodeStream,
    facts: PixelFacts,
    limits: PixelLimits,
    *,
    wants_rgb: bool,
) -> tuple[Pixels, str]:
    photometric = facts.photometric_interpretation
    _check_size(stream.rows, stream.columns, stream.samples, facts)
    is_ybr = stream.is_ybr
    if is_ybr is None:
        is_ybr = photometric.startswith("YBR")
    pixels = decode_codestream(data, stream, is_ybr=is_ybr, wants_rgb=wants_rgb)
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    _check_size(pixels.shape[0], pixels.shape[1], samples, facts)
    if samples == 3 and stream.codec in ("jpeg", "jpeg-lossless"):
        photometric = "RGB" if wants_rgb or not is_ybr else "YBR_FULL"
    elif samples == 3 and stream.is_ybr is False:
        photometric = "RGB"
    pixels = _pad(pixels, facts, photometric)
    if pixels.dtype.kind == "f":
        return pixels, photometric
    return _clean(_fit(pixels, facts), facts, is_right_aligned=True), photometric


def _check_size(rows: int, columns: int, samples: int, facts: PixelFacts) -> None:
    """Refuse a code stream of another size than the header's; an edge tile may be smaller."""
    is_tiled = facts.frames is not None and facts.frames.frame_count > 1
    if rows and (
        rows > facts.rows
        or columns > facts.columns
        or (not is_tiled and (rows, columns) != (facts.rows, facts.columns))
    ):
        raise DecodeError(
            f"The compressed picture measures {columns} x {rows} pixels, but its header says "
            f"{facts.columns} x {facts.rows}. Have the sending system correct it."
        )
    if samples and samples != facts.samples_per_pixel:
        raise DecodeError(
            f"The compressed picture has {samples} samples a pixel, but its header says "
            f"{facts.samples_per_pixel}. Have the sending system correct it."
        )


def _pad(pixels: Pixels, facts: PixelFacts, photometric: str) -> Pixels:
    """Complete the smaller tiles at the edge of a slide: white in colour, 0 in grey."""
    rows, columns = pixels.shape[:2]
    if (rows, columns) == (facts.rows, facts.columns):
        return pixels
    full = np.zeros((facts.rows, facts.columns, *pixels.shape[2:]), pixels.dtype)
    if pixels.ndim == 3:
        white = (1 << facts.bits_stored) - 1
        full[...] = white
        if photometric in YBR_FULL | YBR_PARTIAL:
            full[..., 1:] = 1 << (facts.bits_stored - 1)
    full[:rows, :columns] = pixels
    return full


def _fit(pixels: Pixels, facts: PixelFacts) -> Pixels:
    """Bring a decoder's integers to the stored type; the sign is settled by `_clean`."""
    if pixels.dtype == facts.dtype:
        return pixels
    if pixels.dtype.itemsize == facts.dtype.itemsize:
        return pixels.view(facts.dtype)
    if pixels.dtype.itemsize > facts.dtype.itemsize:
        least, greatest = int(pixels.min()), int(pixels.max())
        if least < -(1 << facts.bits_allocated - 1) or greatest >= 1 << facts.bits_allocated:
            raise DecodeError(
                "The compressed picture has more bits a pixel than its header says. Have the "
                "sending system correct it."
            )
    return pixels.astype(facts.dtype)


def _clean(values: Pixels, facts: PixelFacts, *, is_right_aligned: bool = False) -> Pixels:
    """Keep Bits Stored alone: clear the bits above, or fill them with the sign.

    Native samples end at High Bit; those of a code stream are right-aligned by its decoder.
    """
    stored = facts.bits_stored
    width = values.dtype.itemsize * 8
    if values.dtype.kind == "f" or (stored >= width and facts.high_bit == stored - 1):
        return values
    shift = 0 if is_right_aligned else facts.high_bit + 1 - stored
    if not shift and _is_clean(values, stored):
        return values
    if facts.is_signed:
        up = width - stored - shift
        cleaned = (values << up) >> (up + shift)
    else:
        cleaned = (values >> shift) & ((1 << stored) - 1)
    return cleaned


def _is_clean(values: Pixels, stored: int) -> bool:
    """Whether no sample uses a bit that it should not: a look is quicker than a copy."""
    if not values.size or stored >= values.dtype.itemsize * 8:
        return True
    if values.dtype.kind == "u":
        return bool(values.max() < 1 << stored)
    half = 1 << stored - 1
    return bool(values.max() < half and values.min() >= -half)


def _too_short() -> DecodeError:
    return DecodeError("The picture's pixel data is shorter than its header says. Send it again.")
