"""Write an object in another transfer syntax, pixels exact, one frame in memory at a time."""

import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from imaging.bytesource import InflateSource
from imaging.elements import DOUBLE_PIXEL_DATA, FLOAT_PIXEL_DATA, PIXEL_DATA, HeaderLimits
from imaging.encoding import HTJ2K_LOSSLESS, JPEG_LOSSLESS, LOSSLESS, encode_frame
from imaging.errors import UnsupportedError
from imaging.header import DEFAULT, InstanceIndex, read_index
from imaging.part10 import (
    DEFLATED,
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    GE_PRIVATE,
    IMPLICIT_LITTLE_ENDIAN,
    VIDEO,
)
from imaging.pixelfacts import PixelColumns, PixelFacts
from imaging.rewrite import Change, Form, RewriteError, Rewriter, swap

Pixels = NDArray[Any]
# Gives the stored values of a frame (from 0) and the photometric interpretation that they have.
FrameDecoder = Callable[[int], tuple[Pixels, str]]

DEFLATED_EXPLICIT = "1.2.840.10008.1.2.1.99"
UNCOMPRESSED = (
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    DEFLATED_EXPLICIT,
    EXPLICIT_BIG_ENDIAN,
)
# Everything that `transcode` writes, the one that costs least first.
TARGETS = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, *LOSSLESS, *UNCOMPRESSED[2:])

_PHOTOMETRIC, _PLANAR, _HIGH_BIT = 0x00280004, 0x00280006, 0x00280102
_LOSSY = 0x00282110
_OFFSET_TABLES = (0x7FE00001, 0x7FE00002)
_PIXEL_ELEMENTS = (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA)
_PIXEL_DATA_PROVIDER = 0x00287FE0
_SPECTROSCOPY, _ENCAPSULATED_DOCUMENT = 0x56000020, 0x00420011
_WAVEFORM_SEQUENCE, _WAVEFORM_DATA = 0x54000100, 0x54001010
# Transfer syntaxes whose code streams may have lost something (PS3.5 Annex A.4).
_MAY_BE_LOSSY = frozenset(
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81, 91, 93, 203, 111, 112)
)
_IS_LOSSY = frozenset(("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"))
# The picture lies on a server that speaks JPIP; there is only its address.
_JPIP = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (94, 95, 204, 205))
# Decoders undo the transform of the first two; the others get a chroma sample for every pixel.
_AS_DECODED = {"YBR_RCT": "RGB", "YBR_ICT": "RGB", "YBR_FULL_422": "YBR_FULL"}
_COPY_BYTES = 4 * 1024 * 1024
_MOST_NATIVE_BYTES = 2**32 - 2


@dataclass(frozen=True, slots=True)
class OpenObject:
    """An object as it is: its data set, inflated where it is deflated, and what it says.

    Attributes
    ----------
    file : another than was given where the data set is deflated: to be closed by who opened it
    """

    file: BinaryIO
    index: InstanceIndex
    facts: PixelFacts
    form: Form
    is_swapped: bool


def transcode(
    file: BinaryIO,
    target_syntax: str,
    decode: FrameDecoder,
    *,
    limits: HeaderLimits = DEFAULT,
    is_without_bulk: bool = False,
) -> Iterator[bytes]:
    """Write the data set of a Part 10 file in another transfer syntax.

    Everything but the pixel data and what describes its encoding stays byte for byte. Pixels are
    exact; a picture that lost something when it was compressed is only ever decompressed, and goes
    on saying so in Lossy Image Compression.

    Parameters
    ----------
    file : open and seekable
    target_syntax : one of `TARGETS`
    decode : decodes frames of compressed pixel data; asked for one after the other, the first one
        twice at most
    is_without_bulk : leave out pixel data, waveforms and documents (PS3.4 table Z.1-1)

    Returns
    -------
    Pieces of the data set, without Part 10 header.

    Raises
    ------
    ImagingError
        When it cannot be done, with the reason; some of it may have been yielded.

    References
    ----------
    DICOM PS3.5 sections 7, 8, 10 and Annex A; PS3.3 section C.7.6.1.1.5.
    """
    if target_syntax not in TARGETS:
        raise UnsupportedError("Nothing here writes the encoding that the receiver takes.")
    source = open_object(file, limits)
    try:
        change, form = _plan(source, target_syntax, decode, is_without_bulk=is_without_bulk)
    except BaseException:
        if source.file is not file:
            source.file.close()
        raise
    source.file.seek(source.index.data_set_offset)
    pieces = Rewriter(source.file, source.form, form, change).pieces()
    if source.file is not file:
        pieces = _and_close(pieces, source.file)
    return deflated(pieces) if target_syntax == DEFLATED_EXPLICIT else pieces


def _plan(
    source: OpenObject, target: str, decode: FrameDecoder, *, is_without_bulk: bool
) -> tuple[Change, Form]:
    """Say what changes, and in which form it is written."""
    if is_without_bulk:
        # Without pixel data nothing is encapsulated: such an object is in explicit little endian.
        return Change(is_left_out=is_bulk), form_of(
            EXPLICIT_LITTLE_ENDIAN if target in LOSSLESS else target
        )
    _check(source, target)
    form = form_of(target)
    return _pixel_change(source, target, form, decode), form


def _and_close(pieces: Iterator[bytes], file: BinaryIO) -> Iterator[bytes]:
    with file:
        yield from pieces


def is_bulk(tag: int, parent: int) -> bool:
    """Whether an element is left out of an instance without bulk data.

    References
    ----------
    DICOM PS3.4 section Z.1.3.
    """
    if parent:
        return (parent, tag) == (_WAVEFORM_SEQUENCE, _WAVEFORM_DATA)
    if tag in _PIXEL_ELEMENTS or tag in _OFFSET_TABLES:
        return True
    if tag in (_PIXEL_DATA_PROVIDER, _SPECTROSCOPY, _ENCAPSULATED_DOCUMENT):
        return True
    repeating, element = tag >> 24, tag & 0xFFFF
    return (repeating == 0x60 and element == 0x3000) or (
        repeating == 0x50 and element in (0x3000, 0x200C)
    )


def form_of(syntax: str) -> Form:
    """Return how a transfer syntax writes the elements of a data set."""
    return Form(
        is_implicit=syntax in (IMPLICIT_LITTLE_ENDIAN, GE_PRIVATE),
        is_big_endian=syntax == EXPLICIT_BIG_ENDIAN,
    )


def open_object(file: BinaryIO, limits: HeaderLimits = DEFAULT) -> OpenObject:
    """Read what an object says, and inflate it where it is deflated.

    Raises
    ------
    ImagingError
        See `imaging.header.read_index`.
    """
    index = read_index(file, limits=limits, require_identity=False)
    syntax = index.transfer_syntax_uid
    if syntax in DEFLATED:
        file = _inflated(file, index.data_set_offset, limits)
        bare = read_index(
            file, limits=limits, require_identity=False, transfer_syntax=EXPLICIT_LITTLE_ENDIAN
        )
        index = replace(bare, transfer_syntax_uid=syntax, data_set_offset=0)
        syntax = EXPLICIT_LITTLE_ENDIAN
    facts = PixelFacts.of(cast("PixelColumns", index), index.frames)
    is_swapped = index.frames is not None and index.frames.is_big_endian
    return OpenObject(file, index, facts, form_of(syntax), is_swapped)


def _inflated(file: BinaryIO, offset: int, limits: HeaderLimits) -> BinaryIO:
    """Inflate a data set into a temporary file."""
    source = InflateSource(file, offset, limits.inflated_bytes)
    out = cast("BinaryIO", tempfile.SpooledTemporaryFile(_COPY_BYTES))  # noqa: SIM115 - returned
    at = 0
    while piece := source.peek(at, _COPY_BYTES):
        out.write(piece)
        at += len(piece)
    out.seek(0)
    return out


def _is_native(source: OpenObject) -> bool:
    frames = source.index.frames
    return frames is None or frames.kind == "native"


def _check(source: OpenObject, target: str) -> None:
    """Refuse what must not or cannot be converted."""
    syntax, facts = source.index.transfer_syntax_uid, source.facts
    if syntax in VIDEO | _JPIP:
        raise UnsupportedError("A video or a streamed picture cannot be converted.")
    if source.index.has_pixels and source.index.frames is None:
        raise UnsupportedError("The frames of the picture cannot be told apart.")
    if target in LOSSLESS:
        if not source.index.has_pixels:
            raise UnsupportedError("What holds no picture cannot be compressed as one.")
        if source.index.lossy or syntax in _MAY_BE_LOSSY:
            raise UnsupportedError(
                "A picture that was compressed with loss is not compressed again."
            )
        if reason := lossless_problem(facts):
            raise UnsupportedError(reason)
    elif target == EXPLICIT_BIG_ENDIAN and facts.bits_allocated == 12:
        raise UnsupportedError("Packed samples of 12 bits are not written in big endian.")
    elif not _is_native(source) and facts.bits_allocated not in (1, 8, 16, 32, 64):
        raise UnsupportedError("Compressed pictures of this bit depth cannot be converted.")


def lossless_problem(facts: PixelFacts) -> str:
    """Return why frames cannot be compressed without loss; empty where they can."""
    if facts.high_bit + 1 != facts.bits_stored or facts.frames is None:
        return "The picture's bits lie where this encoding cannot hold them."
    if facts.frames.sample_kind != "integer" or facts.bits_allocated not in (8, 16):
        return "The picture's samples cannot be compressed in this encoding."
    return ""


def _pixel_change(source: OpenObject, target: str, form: Form, decode: FrameDecoder) -> Change:
    """Say what becomes of the pixel data and of what describes it."""
    if not source.index.has_pixels:
        return Change()
    if _is_native(source) and target not in LOSSLESS:
        return Change(pixels=lambda: _native(source, form))
    frames = _frames(source, decode)
    found = next(frames, None)
    if found is None:
        raise UnsupportedError("The frames of the picture cannot be told apart.")
    first, as_decoded = found
    photometric = as_decoded
    values: dict[int, tuple[bytes, bytes]] = {}
    if source.facts.samples_per_pixel == 3:
        values[_PLANAR] = (b"US", struct.pack("<H", 0))
    if source.index.lossy or source.index.transfer_syntax_uid in _IS_LOSSY:
        values[_LOSSY] = (b"CS", b"01")

    def again() -> Iterator[Pixels]:
        yield first
        for pixels, found in frames:
            if found != as_decoded:
                raise UnsupportedError("The frames of the picture differ in their colours.")
            yield pixels

    if target in (JPEG_LOSSLESS, HTJ2K_LOSSLESS) and photometric.startswith("YBR"):
        # Decoders would take its components for RGB.
        raise UnsupportedError("This encoding is not written for luminance and chrominance.")
    if target == HTJ2K_LOSSLESS and photometric == "RGB":
        photometric = "YBR_RCT"
    pixels: Callable[[], Iterator[bytes]]
    if target in LOSSLESS:
        # What cannot be encoded shows with the first frame, before anything is written.
        encode_frame(first, target, bits_stored=source.facts.bits_stored)
        pixels = partial(_encapsulated, again(), source.facts, target, form)
    else:
        pixels = partial(_decoded, again(), source.facts, form)
    if photometric != source.facts.photometric_interpretation:
        values[_PHOTOMETRIC] = (b"CS", _even(photometric.encode("ascii"), b" "))
    return Change(
        values=values,
        is_left_out=lambda tag, parent: not parent and tag in _OFFSET_TABLES,
        pixels=pixels,
    )


def _frames(source: OpenObject, decode: FrameDecoder) -> Iterator[tuple[Pixels, str]]:
    """Yield the stored values of every frame."""
    from imaging.pixels import stored_frame  # noqa: PLC0415 - decoders load only where needed

    table = source.facts.frames
    count = len(table) if table is not None else 0
    for number in range(count):
        if _is_native(source):
            pixels, photometric = stored_frame(source.file, source.facts, number)
        else:
            pixels, photometric = decode(number)
        yield pixels, _AS_DECODED.get(photometric, photometric)


def _native(source: OpenObject, form: Form) -> Iterator[bytes]:
    """Yield native pixel data as it is, its words turned round where the byte order changes."""
    facts, table = source.facts, source.facts.frames
    if table is None:
        raise RewriteError("The object has no pixel data.")
    size = max(1, facts.bits_allocated // 8)
    if table.is_words:
        size = max(size, 2)
    # 8-bit samples in big endian words stay words; elsewhere they are a string of bytes.
    is_words = size > 1 or (form.is_implicit or table.is_words)
    tag = {"float": FLOAT_PIXEL_DATA, "double": DOUBLE_PIXEL_DATA}.get(
        table.sample_kind, PIXEL_DATA
    )
    vr = {"float": b"OF", "double": b"OD"}.get(table.sample_kind, b"OW" if is_words else b"OB")
    yield element_head(tag, vr, table.length + table.length % 2, form)
    source.file.seek(table.offset)
    left = table.length
    step = _COPY_BYTES
    while left:
        piece = source.file.read(min(step, left))
        if not piece:
            raise RewriteError("The pixel data is shorter than its header says.")
        left -= len(piece)
        yield swap(piece, size) if source.is_swapped != form.is_big_endian else piece
    if table.length % 2:
        yield b"\0"
    source.file.seek(table.offset + table.length)


def _decoded(frames: Iterator[Pixels], facts: PixelFacts, form: Form) -> Iterator[bytes]:
    """Yield decoded frames as native pixel data (PS3.5 8.1.1)."""
    count = len(facts.frames) if facts.frames is not None else 0
    length = (count * facts.frame_samples * facts.bits_allocated + 7) // 8
    if length > _MOST_NATIVE_BYTES:
        raise UnsupportedError("The picture is too large for an uncompressed encoding.")
    vr = b"OW" if facts.bits_allocated > 8 or form.is_implicit else b"OB"
    yield element_head(PIXEL_DATA, vr, length + length % 2, form)
    if facts.bits_allocated == 1:
        yield from _packed_bits(frames)
    else:
        for pixels in frames:
            yield _octets(pixels, facts, form)
    if length % 2:
        yield b"\0"


def _octets(pixels: Pixels, facts: PixelFacts, form: Form) -> bytes:
    values = pixels.astype(facts.dtype, copy=False)
    shift = facts.high_bit + 1 - facts.bits_stored
    if shift > 0:
        values = values << shift
    octets = values.astype(facts.dtype.newbyteorder(form.order), copy=False).tobytes()
    if len(octets) != facts.frame_samples * facts.bits_allocated // 8:
        raise UnsupportedError("A frame of the picture has another size than its header says.")
    return octets


def _packed_bits(frames: Iterator[Pixels]) -> Iterator[bytes]:
    """Pack 1-bit samples; a frame may begin in the middle of a byte (PS3.5 8.1.1)."""
    rest = np.empty(0, np.uint8)
    for pixels in frames:
        bits = np.concatenate((rest, pixels.reshape(-1)))
        whole = len(bits) // 8 * 8
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
        rest = bits[whole:]
    yield np.packbits(rest, bitorder="little").tobytes()


def _encapsulated(
    frames: Iterator[Pixels], facts: PixelFacts, target: str, form: Form
) -> Iterator[bytes]:
    """Yield compressed frames, one fragment each, with an empty offset table (PS3.5 A.4)."""
    yield element_head(PIXEL_DATA, b"OB", 0xFFFFFFFF, form) + struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    for pixels in frames:
        stream = encode_frame(pixels, target, bits_stored=facts.bits_stored)
        yield struct.pack("<HHI", 0xFFFE, 0xE000, len(stream)) + stream
    yield struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def element_head(tag: int, vr: bytes, length: int, form: Form) -> bytes:
    """Return what stands before the value of pixel data; its VRs have the long form."""
    head = struct.pack(form.order + "HH", tag >> 16, tag & 0xFFFF)
    if form.is_implicit:
        return head + struct.pack("<I", length)
    return head + vr + struct.pack(form.order + "xxI", length)


def deflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Deflate a data set (PS3.5 section A.5)."""
    packer = zlib.compressobj(wbits=-15)
    length = 0
    for piece in pieces:
        packed = packer.compress(piece)
        length += len(packed)
        yield packed
    rest = packer.flush()
    yield rest + b"\0" * ((length + len(rest)) % 2)


def _even(value: bytes, padding: bytes) -> bytes:
    return value + padding * (len(value) % 2)
