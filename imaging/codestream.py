"""Read what a compressed frame says of itself, before a decoder touches it."""

import itertools
import struct
from dataclasses import dataclass
from typing import Literal

_JPEG = dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55)), "jpeg")
_LOSSLESS = dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in (57, 70)), "jpeg-lossless")
_JPEG_LS = dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in (80, 81)), "jpeg-ls")
_JPEG_2000 = dict.fromkeys(
    (f"1.2.840.10008.1.2.4.{number}" for number in range(90, 94)), "jpeg2000"
)
_HTJ2K = dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in range(201, 204)), "htj2k")
_JPEG_XL = dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in range(110, 113)), "jpegxl")
_RLE = {"1.2.840.10008.1.2.5": "rle"}
_CODEC_OF = _JPEG | _LOSSLESS | _JPEG_LS | _JPEG_2000 | _HTJ2K | _JPEG_XL | _RLE
# Their frames are no code streams: whatever they begin with is chance.
_ANY_BYTES = frozenset(("1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.1.98"))
_RLE_HEAD = struct.Struct("<16I")

Codec = Literal["jpeg", "jpeg-lossless", "jpeg-ls", "jpeg2000", "htj2k", "jpegxl"]

_SOF_LOSSLESS = frozenset((0xC3, 0xC7, 0xCB, 0xCF))
_SOF_JPEG_LS = 0xF7
_SOF = frozenset((0xC0, 0xC1, 0xC2, 0xC5, 0xC6, 0xC9, 0xCA, 0xCD, 0xCE)) | _SOF_LOSSLESS
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))


@dataclass(frozen=True, slots=True)
class CodeStream:
    """The head of a code stream.

    Parameters
    ----------
    rows, columns, samples : 0 where the head does not tell
    is_ybr : its samples are luminance and chrominance that the decoder may turn into RGB; None: it
        does not say
    """

    codec: Codec
    rows: int = 0
    columns: int = 0
    samples: int = 0
    is_ybr: bool | None = None


def inspect(data: bytes) -> CodeStream | None:
    """Recognise a code stream by its first bytes; None if it is none that is known.

    The bytes are believed before the transfer syntax: files whose label is wrong exist.

    References
    ----------
    ISO/IEC 10918-1 Annex B, 14495-1 Annex C, 15444-1 Annexes A and I, 15444-15, 18181-1 and -2.
    """
    if data.startswith(b"\xff\xd8"):
        return _inspect_jpeg(data)
    if data.startswith(b"\xff\x4f\xff\x51"):
        return _inspect_jpeg2000(data, 0)
    if data.startswith(b"\x00\x00\x00\x0cjP  "):
        return _inspect_jpeg2000(data, max(data.find(b"\xff\x4f\xff\x51"), 0))
    if data.startswith(b"\xff\x0a"):
        return _inspect_jpegxl(data)
    if data.startswith(b"\x00\x00\x00\x0cJXL "):
        return _inspect_jpegxl(_jpegxl_codestream(data))
    return None


def looks_like_rle(data: bytes) -> bool:
    """Whether a frame begins with the header of a DICOM RLE frame (PS3.5 section G.5)."""
    if len(data) <= _RLE_HEAD.size:
        return False
    count, *offsets = _RLE_HEAD.unpack_from(data)
    used = offsets[:count]
    return (
        1 <= count <= 15
        and used[0] == _RLE_HEAD.size
        and all(a < b for a, b in itertools.pairwise(used))
        and used[-1] <= len(data)
        and not any(offsets[count:])
    )


def mislabelled(data: bytes, transfer_syntax_uid: str) -> str | None:
    """Return what a frame's bytes are, as a word, if its transfer syntax names another codec.

    None where they agree, and where the bytes are none that is known.
    """
    if transfer_syntax_uid in _ANY_BYTES:
        return None
    named = _CODEC_OF.get(transfer_syntax_uid)
    stream = inspect(data)
    found: str | None = stream.codec if stream else "rle" if looks_like_rle(data) else None
    if found is None or named == found:
        return None
    return found


def _inspect_jpeg(data: bytes) -> CodeStream | None:
    """Walk the marker segments up to the frame header."""
    at = 2
    is_ybr: bool | None = None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length]
        if marker == 0xE0 and body.startswith(b"JFIF\0") and is_ybr is None:
            is_ybr = True
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) > 11:
            is_ybr = {0: False, 1: True}.get(body[11], is_ybr)
        elif marker in _SOF or marker == _SOF_JPEG_LS:
            if len(body) < 6:
                return None
            _, rows, columns, samples = struct.unpack_from(">BHHB", body)
            if is_ybr is None and body[6 : 6 + 3 * samples : 3] == b"RGB":
                is_ybr = False
            codec: Codec = "jpeg"
            if marker == _SOF_JPEG_LS:
                codec, is_ybr = "jpeg-ls", None
            elif marker in _SOF_LOSSLESS:
                codec = "jpeg-lossless"
            return CodeStream(codec, rows, columns, samples, is_ybr)
        at += 2 + length
    return None


def _inspect_jpeg2000(data: bytes, start: int) -> CodeStream | None:
    """Read SIZ, and from COD whether a component transform is undone by the decoder."""
    if len(data) < start + 42:
        return None
    capabilities, right, lower, left, upper = struct.unpack_from(">HIIII", data, start + 6)
    (samples,) = struct.unpack_from(">H", data, start + 40)
    at = start + 2
    is_transformed = False
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0x90, 0x93):
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == 0xFF52 and at + 9 <= len(data):
            is_transformed = data[at + 8] == 1
        at += 2 + length
    return CodeStream(
        "htj2k" if capabilities & 0x4000 else "jpeg2000",
        lower - upper,
        right - left,
        samples,
        # RCT and ICT are undone by every decoder; the result is RGB.
        False if is_transformed else None,
    )


def _jpegxl_codestream(data: bytes) -> bytes:
    """Return the beginning of the code stream inside a JPEG XL container."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if kind == b"jxlc":
            return data[at + head : at + head + 64]
        if kind == b"jxlp":
            return data[at + head + 4 : at + head + 68]
        if length < head:
            break
        at += length
    return b""


def _inspect_jpegxl(data: bytes) -> CodeStream:
    """Read the SizeHeader (ISO/IEC 18181-1 section D.2), least significant bit first."""
    bits = int.from_bytes(data[2:18], "little")
    used = 0

    def take(count: int) -> int:
        nonlocal used
        value = bits >> used & (1 << count) - 1
        used += count
        return value

    def take_size(is_small: int) -> int:
        if is_small:
            return (take(5) + 1) * 8
        return take((9, 13, 18, 30)[take(2)]) + 1

    if not data.startswith(b"\xff\x0a"):
        return CodeStream("jpegxl")
    is_small = take(1)
    rows = take_size(is_small)
    ratio = take(3)
    if ratio == 0:
        columns = take_size(is_small)
    else:
        up, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        columns = rows * up // down
    return CodeStream("jpegxl", rows, columns, 0, is_ybr=False)
