"""What a compressed frame says of its picture and of its own encoding, for frames without a header.

Where a frame comes with an attribute of its own, that counts; here is what fills the gaps.
"""

import struct
from dataclasses import dataclass

from imaging import codestream

_JPEG = "1.2.840.10008.1.2.4."
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_SOS = 0xDA


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """Facts of one code stream.

    Attributes
    ----------
    syntaxes : transfer syntaxes that it may stand under, the most exact one first
    bits : stored in a sample
    photometric : Photometric Interpretation under that transfer syntax
    """

    syntaxes: tuple[str, ...]
    rows: int
    columns: int
    samples: int
    bits: int
    is_signed: bool
    is_lossy: bool
    photometric: str


def read_stream(head: bytes) -> StreamFacts | None:
    """Read the first bytes of a frame; None where no codec of DICOM is recognised.

    References
    ----------
    ISO/IEC 10918-1 Annex B, 14495-1 Annex C, 15444-1 Annex A; DICOM PS3.5 section 8.2.
    """
    stream = codestream.inspect(head)
    if stream is None or not (stream.rows and stream.columns):
        return None
    if stream.codec in {"jpeg", "jpeg-lossless", "jpeg-ls"}:
        return _jpeg(head, stream)
    if stream.codec in {"jpeg2000", "htj2k"} and head.startswith(b"\xff\x4f\xff\x51"):
        return _jpeg2000(head, stream)
    return None


def _jpeg(head: bytes, stream: codestream.CodeStream) -> StreamFacts | None:
    found = _segments(head)
    frame = next((body for marker, body in found if marker in _SOF), b"")
    marker = next((marker for marker, _ in found if marker in _SOF), 0)
    scan = next((body for marker, body in found if marker == _SOS), b"")
    if len(frame) < 6 or len(scan) < 4:
        return None
    bits, is_lossy = frame[0], False
    names: tuple[str, ...]
    # Behind the components of the scan: Ss (the predictor of a lossless one, NEAR of JPEG-LS).
    selection = scan[1 + 2 * scan[0]] if len(scan) > 1 + 2 * scan[0] else 0
    if marker == 0xF7:
        is_lossy = selection != 0
        names = ("81",) if is_lossy else ("80", "81")
    elif marker == 0xC3:
        names = ("70", "57") if selection == 1 else ("57",)
    elif marker == 0xC0:
        is_lossy, names = True, ("50", "51")
    elif marker == 0xC1:
        is_lossy, names = True, ("51",)
    else:
        return None  # progressive and hierarchical processes are retired (PS3.5 A.4.1)
    photometric = "MONOCHROME2"
    if stream.samples == 3:
        photometric = "RGB"
        if stream.is_ybr is not False and is_lossy and marker != 0xF7:
            # Sampling factors of the first component: 2x1 and 2x2 are both called 4:2:2.
            photometric = "YBR_FULL" if frame[7:8] == b"\x11" else "YBR_FULL_422"
    return StreamFacts(
        tuple(_JPEG + name for name in names),
        stream.rows,
        stream.columns,
        stream.samples,
        bits,
        is_signed=False,
        is_lossy=is_lossy,
        photometric=photometric,
    )


def _segments(head: bytes) -> list[tuple[int, bytes]]:
    """Return marker and body of each segment up to the first scan."""
    found: list[tuple[int, bytes]] = []
    at = 2
    while at + 4 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", head, at + 2)
        found.append((marker, head[at + 4 : at + 2 + length]))
        if marker == _SOS:
            break
        at += 2 + length
    return found


def _jpeg2000(head: bytes, stream: codestream.CodeStream) -> StreamFacts | None:
    if len(head) < 43:
        return None
    depth = head[42]  # Ssiz of the first component: bit 7 says that it is signed
    is_reversible = has_transform = None
    at = 2
    while at + 4 <= len(head) and head[at] == 0xFF and head[at + 1] not in (0x90, 0x93):
        marker, length = struct.unpack_from(">HH", head, at)
        if marker == 0xFF52 and at + 14 <= len(head):
            has_transform, is_reversible = head[at + 8] == 1, head[at + 13] == 1
        at += 2 + length
    if is_reversible is None:
        return None
    names: tuple[str, ...]
    if stream.codec == "htj2k":
        names = ("201", "202", "203") if is_reversible else ("203",)
    else:
        names = ("90", "91") if is_reversible else ("91",)
    photometric = "MONOCHROME2"
    if stream.samples == 3:
        photometric = "RGB"
        if has_transform:
            photometric = "YBR_RCT" if is_reversible else "YBR_ICT"
    return StreamFacts(
        tuple(_JPEG + name for name in names),
        stream.rows,
        stream.columns,
        stream.samples,
        (depth & 0x7F) + 1,
        is_signed=bool(depth & 0x80),
        is_lossy=not is_reversible,
        photometric=photometric,
    )
