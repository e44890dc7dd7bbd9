"""Walk the elements of a data set without recursion, whatever nesting or lengths it claims.

One scanner for explicit and implicit VR, either byte order, defined and undefined lengths. It
keeps the values it is asked for and steps over everything else, so a hostile object costs no more
than the limits allow. pydicom, which recurses and believes lengths, never sees an object that this
scanner has refused.
"""

import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydicom._dicom_dict import DicomDictionary

from imaging.bytesource import ByteSource
from imaging.errors import LimitError, NotDicomError, TruncatedError


class Value(NamedTuple):
    """The raw bytes of one element and its VR as written (empty in implicit VR)."""

    vr: bytes
    raw: bytes


Node = dict[int, "Value | list[Node]"]
# A named tuple's own constructor takes three times as long.
_new = tuple.__new__

_UNDEFINED = 0xFFFFFFFF
_NO_END = 1 << 62


def _vrs(codes: bytes) -> frozenset[bytes]:
    return frozenset(codes.split())


_LONG_VRS = _vrs(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV")
_SHORT_VRS = _vrs(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US")
KNOWN_VRS = _LONG_VRS | _SHORT_VRS
_SEQUENCE_TAGS = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA = 0x7FE00010, 0x7FE00008, 0x7FE00009
_PIXEL_TAGS = frozenset((PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA))

_EXPLICIT = (struct.Struct("<HH2sH").unpack_from, struct.Struct(">HH2sH").unpack_from)
_IMPLICIT = (struct.Struct("<HHI").unpack_from, struct.Struct(">HHI").unpack_from)
_LONG = (struct.Struct("<I").unpack_from, struct.Struct(">I").unpack_from)


@dataclass(frozen=True, slots=True)
class HeaderLimits:
    """What one object may cost while its header is read.

    Parameters
    ----------
    header_bytes : bytes of header that are read (bulk values that are stepped over do not count)
    inflated_bytes : bytes that a deflated data set may inflate to, pixel data included
    depth : levels of nested sequences
    elements : elements, items and fragments together
    """

    header_bytes: int = 64 * 2**20
    inflated_bytes: int = 256 * 2**20
    depth: int = 64
    elements: int = 2_000_000


@dataclass(slots=True)
class PixelElement:
    """Pixel Data, Float Pixel Data or Double Float Pixel Data as it lies in the data set.

    Parameters
    ----------
    length : of the value in bytes; None: encapsulated
    fragment_offsets, fragment_lengths : of each fragment value, the Basic Offset Table left out
    offset_table : value of the Basic Offset Table item
    first_item : offset of the first fragment's item tag, from which offset tables count (PS3.5
        section A.4)
    """

    tag: int
    vr: bytes
    offset: int
    length: int | None
    fragment_offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    fragment_lengths: "array[int]" = field(default_factory=lambda: array("Q"))
    offset_table: bytes = b""
    first_item: int = 0
    is_closed: bool = True


@dataclass(slots=True)
class Scan:
    """What a walk over a data set found; `root` holds the wanted elements."""

    root: Node = field(default_factory=dict)
    pixels: PixelElement | None = None
    repeated: set[int] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Level:
    """A container that is being walked: data set, sequence, item, or run of fragments."""

    is_sequence: bool
    end: int
    is_undefined: bool
    is_implicit: bool
    is_big_endian: bool
    node: Node | None
    items: "list[Node] | None" = None
    is_guess: bool = False
    is_fragments: bool = False


class Scanner:
    """Walks one data set from `position` to its end.

    Parameters
    ----------
    wanted : tags whose values, or whose items if they are sequences, are kept at every level of
        kept items, each with the bytes of its value that are kept
    """

    def __init__(
        self, source: ByteSource, *, wanted: Mapping[int, int], limits: HeaderLimits
    ) -> None:
        self._source = source
        self._wanted = wanted
        self._limits = limits
        self._count = 0
        self._stack: list[_Level] = []
        self._sequences = 0
        self.result = Scan()

    def scan(self, position: int, *, is_implicit: bool, is_big_endian: bool) -> Scan:
        """Walk the data set.

        Raises
        ------
        TruncatedError
            If a value or a container runs past the end.
        NotDicomError
            If the structure cannot be followed.
        LimitError
            If nesting, elements or bytes exceed the limits.

        References
        ----------
        DICOM PS3.5 sections 7.1 and 7.5.
        """
        root = _Level(
            is_sequence=False,
            end=_NO_END,
            is_undefined=True,
            is_implicit=is_implicit,
            is_big_endian=is_big_endian,
            node=self.result.root,
        )
        self._stack = [root]
        while position >= 0:
            try:
                position = self._walk(position)
            except LimitError:
                raise
            except NotDicomError as error:
                position = self._recover(error)
        return self.result

    def _recover(self, error: NotDicomError) -> int:
        """Give up the innermost container whose extent is known, and go on behind it."""
        while len(self._stack) > 1:
            level = self._pop()
            if not level.is_undefined and not self._source.runs_past_end(level.end):
                if not level.is_guess:
                    self._warn("A sequence of the object is damaged and was passed over.")
                return level.end
        if self.result.pixels is None or isinstance(error, TruncatedError):
            raise error
        self._warn("What follows the pixel data cannot be read and was passed over.")
        return -1

    def _warn(self, sentence: str) -> None:
        if sentence not in self.result.warnings:
            self.result.warnings.append(sentence)

    def _pop(self) -> _Level:
        level = self._stack.pop()
        if level.is_sequence:
            self._sequences -= 1
        return level

    def _count_one(self) -> None:
        self._count += 1
        if self._count > self._limits.elements:
            raise LimitError(
                f"The object has more than {self._limits.elements} elements. "
                "Raise the element limit if such objects are wanted."
            )

    def _walk(self, position: int) -> int:  # noqa: C901, PLR0912, PLR0915 (one loop, for speed)
        """Walk to the end and return -1; the stack says where in the nesting the walk is."""
        source, wanted, result = self._source, self._wanted, self.result
        largest = self._limits.elements
        level = self._stack[-1]
        base, buffer = position, source.window(position, 12)
        available = base + len(buffer)
        count = self._count
        while True:
            end = level.end
            if position >= end:
                if position > end or level.is_undefined:
                    raise NotDicomError(
                        "A sequence of the object has no end or reaches out of its place: the file "
                        "is damaged. Send it again."
                    )
                self._pop()
                level = self._stack[-1]
                continue
            if position + 12 > available:
                base, buffer = position, source.window(position, 12)
                available = base + len(buffer)
                if len(buffer) < 8:
                    self._count = count
                    return self._finish(position, len(buffer))
            order = level.is_big_endian
            if not (level.is_sequence or level.is_implicit):
                # Short elements that lie in the window, which most are: 0.7 us each.
                node, read_head = level.node, _EXPLICIT[order]
                at, stop = position - base, min(available, end) - base
                while at + 12 <= stop:
                    group, element, vr, length = read_head(buffer, at)
                    after = at + 8 + length
                    if vr not in _SHORT_VRS or after > stop or group == 0xFFFE:
                        break
                    count += 1
                    tag = group << 16 | element
                    if tag in wanted and node is not None:
                        raw = buffer[at + 8 : after]
                        if length > wanted[tag]:
                            raw = raw[: wanted[tag]]
                        if tag in node and node is result.root and node[tag] != (vr, raw):
                            result.repeated.add(tag)
                        node[tag] = _new(Value, (vr, raw))
                    at = after
                if base + at != position:
                    position = base + at
                    continue
            at = position - base
            count += 1
            if count > largest:
                self._count = count
                self._count_one()
            if level.is_sequence:
                self._count = count
                position = self._step_in_sequence(level, position, buffer, at)
                level = self._stack[-1]
                continue

            if level.is_implicit:
                group, element, length = _IMPLICIT[order](buffer, at)
                vr, value = b"", position + 8
            else:
                group, element, vr, length = _EXPLICIT[order](buffer, at)
                if vr in _SHORT_VRS:
                    value = position + 8
                elif group == 0xFFFE:
                    length = _LONG[order](buffer, at + 4)[0]
                    value = position + 8
                elif vr in _LONG_VRS:
                    if at + 12 > len(buffer):
                        raise self._cut_off()
                    length = _LONG[order](buffer, at + 8)[0]
                    value = position + 12
                else:
                    is_letters, length, value = self._odd_vr(position, buffer, at, vr, level)
                    if not is_letters:
                        level.is_implicit = True
                        continue
            tag = group << 16 | element

            if group == 0xFFFE:
                position = self._step_on_delimiter(level, tag, position)
                level = self._stack[-1]
                continue
            if tag in _PIXEL_TAGS and len(self._stack) == 1:
                self._count = count
                position = self._step_over_pixels(tag, vr, value, length, is_big_endian=order)
                count = self._count
                continue
            if length == _UNDEFINED:
                self._open(level, tag, vr, value, _UNDEFINED)
                level = self._stack[-1]
                position = value
                continue
            position = value + length
            if position > end:
                raise NotDicomError(
                    "An element of the object reaches out of its sequence: the file is damaged. "
                    "Send it again."
                )
            if length and (
                vr == b"SQ"
                or ((not vr or vr == b"UN") and self._looks_nested(level, tag, vr, value, length))
            ):
                if source.runs_past_end(position):
                    raise self._cut_off()
                self._open(level, tag, vr, value, length)
                level = self._stack[-1]
                position = value
            elif tag in wanted and level.node is not None:
                kept = min(length, wanted[tag])
                if value + kept > available:
                    base, buffer = value, source.window(value, kept)
                    available = base + len(buffer)
                    if len(buffer) < kept:
                        raise self._cut_off()
                raw = buffer[value - base : value - base + kept]
                if tag in level.node and level.node is result.root and level.node[tag] != (vr, raw):
                    result.repeated.add(tag)
                level.node[tag] = Value(vr, raw)

    def _finish(self, position: int, left: int) -> int:
        """End the walk where the bytes end, if that is a lawful place."""
        if len(self._stack) > 1 or self._source.runs_past_end(position):
            raise self._cut_off()
        if left:
            if self.result.pixels is None:
                raise self._cut_off()
            self._warn("What follows the pixel data cannot be read and was passed over.")
        return -1

    def _cut_off(self) -> TruncatedError:
        return TruncatedError(
            "The object is cut off: it announces more bytes than it has. Send it again."
        )

    def _odd_vr(
        self, position: int, buffer: bytes, at: int, vr: bytes, level: _Level
    ) -> tuple[bool, int, int]:
        """Read a length after VR letters that PS3.5 does not know."""
        if not all(0x20 <= letter < 0x7F for letter in vr):
            # Siemens and others write implicit VR items inside explicit data sets.
            if len(self._stack) > 1:
                return False, 0, 0
            raise NotDicomError(
                "The object cannot be followed: an element has no readable type. The file is "
                "damaged, or it is not DICOM."
            )
        # New VRs have two reserved zero bytes and a long length (PS3.5 section 7.1.2); broken
        # short ones do not have zeros there unless they are empty, where both readings agree
        # only on the short one if another tag follows at once.
        length: int
        if buffer[at + 6 : at + 8] == b"\0\0" and at + 12 <= len(buffer):
            (length,) = _LONG[level.is_big_endian](buffer, at + 8)
            return True, length, position + 12
        length = _EXPLICIT[level.is_big_endian](buffer, at)[3]
        return True, length, position + 8

    def _looks_nested(self, level: _Level, tag: int, vr: bytes, value: int, length: int) -> bool:
        """Say whether an element without a VR holds items: by dictionary or by its first bytes."""
        if not vr and tag in _SEQUENCE_TAGS:
            return True
        if length < 8 or not (vr or tag & 0x10000 or tag not in DicomDictionary):
            return False
        head = self._source.peek(value, 8)
        is_big_endian = level.is_big_endian and not vr
        return len(head) == 8 and _IMPLICIT[is_big_endian](head, 0)[:2] == (0xFFFE, 0xE000)

    def _open(self, level: _Level, tag: int, vr: bytes, value: int, length: int) -> None:
        """Begin a sequence, or a run of fragments inside an item (an icon's pixel data)."""
        if self._sequences >= self._limits.depth:
            raise LimitError(
                f"The object nests sequences more than {self._limits.depth} levels deep. No "
                "lawful object does; it was refused to protect the programs that read it."
            )
        if length == _UNDEFINED and vr not in (b"", b"SQ", b"UN", b"OB", b"OW"):
            raise NotDicomError(
                "An element of the object has no length: the file is damaged. Send it again."
            )
        is_undefined = length == _UNDEFINED
        kept: list[Node] | None = None
        if tag in self._wanted and level.node is not None:
            kept = []
            level.node[tag] = kept
        is_unknown = vr == b"UN"
        self._sequences += 1
        self._stack.append(
            _Level(
                is_sequence=True,
                end=level.end if is_undefined else value + length,
                is_undefined=is_undefined,
                # PS3.5 section 6.2.2: what is inside UN is implicit VR little endian.
                is_implicit=level.is_implicit or is_unknown,
                is_big_endian=level.is_big_endian and not is_unknown,
                node=None,
                items=kept,
                is_guess=is_unknown or (not vr and tag not in _SEQUENCE_TAGS),
                is_fragments=vr in (b"OB", b"OW"),
            )
        )

    def _step_in_sequence(self, level: _Level, position: int, buffer: bytes, at: int) -> int:
        """Begin the next item, or end the sequence."""
        length: int
        group, element, length = _IMPLICIT[level.is_big_endian](buffer, at)
        tag = group << 16 | element
        if tag == _ITEM:
            if level.is_fragments:
                return position + 8 + length
            node: Node | None = None
            if level.items is not None:
                node = {}
                level.items.append(node)
            is_undefined = length == _UNDEFINED
            end = level.end if is_undefined else position + 8 + length
            if end > level.end:
                raise NotDicomError(
                    "An item of the object reaches out of its sequence: the file is damaged. "
                    "Send it again."
                )
            if not is_undefined and self._source.runs_past_end(end):
                raise self._cut_off()
            self._stack.append(
                _Level(
                    is_sequence=False,
                    end=end,
                    is_undefined=is_undefined,
                    is_implicit=level.is_implicit,
                    is_big_endian=level.is_big_endian,
                    node=node,
                    is_guess=level.is_guess,
                )
            )
            return position + 8
        if tag == _SEQUENCE_END:
            if level.is_undefined:
                self._pop()
            return position + 8
        if tag == _ITEM_END:
            return position + 8
        if level.is_undefined and not level.is_guess:
            # A missing sequence delimiter: the next element of the outer level stands here.
            self._warn("A sequence of the object is not closed.")
            self._pop()
            return position
        raise NotDicomError(
            "A sequence of the object holds something that is not an item: the file is damaged. "
            "Send it again."
        )

    def _step_on_delimiter(self, level: _Level, tag: int, position: int) -> int:
        """Handle a delimiter among elements: the end of an item, or one that is out of place."""
        if len(self._stack) == 1:
            self._warn("The object holds a delimiter that closes nothing.")
            return position + 8
        if tag == _ITEM_END:
            if level.is_undefined:
                self._pop()
            return position + 8
        if level.is_undefined:
            # An item delimiter is missing: the sequence delimiter, or the next item, ends it.
            self._warn("An item of the object is not closed.")
            self._pop()
            return position
        raise NotDicomError(
            "An item of the object is closed before its end: the file is damaged. Send it again."
        )

    def _step_over_pixels(
        self, tag: int, vr: bytes, value: int, length: int, *, is_big_endian: bool
    ) -> int:
        """Note where the pixel data lies and step over it."""
        if length != _UNDEFINED:
            self.result.pixels = PixelElement(tag, vr, value, length)
            if self._source.runs_past_end(value + length):
                raise TruncatedError(
                    "The picture is cut off: its pixel data ends before its announced length. "
                    "Send it again."
                )
            return value + length
        pixels = PixelElement(tag, vr, value, None)
        self.result.pixels = pixels
        position, is_first = value, True
        while True:
            self._count_one()
            head = self._source.peek(position, 8)
            if len(head) < 8:
                pixels.is_closed = False
                if head or self._source.runs_past_end(position) or is_first:
                    raise self._pixels_cut_off()
                return position
            group, element, size = _IMPLICIT[is_big_endian](head, 0)
            item = group << 16 | element
            if item == _SEQUENCE_END:
                return position + 8
            if item != _ITEM or size == _UNDEFINED:
                raise TruncatedError(
                    "The compressed pixel data cannot be followed: the file is damaged. Send it "
                    "again."
                )
            if self._source.runs_past_end(position + 8 + size):
                raise self._pixels_cut_off()
            if is_first:
                if size > self._limits.header_bytes:
                    raise LimitError("The table of frame offsets is larger than the header limit.")
                pixels.offset_table = self._source.peek(position + 8, size)
                pixels.first_item = position + 8 + size
                is_first = False
            else:
                pixels.fragment_offsets.append(position + 8)
                pixels.fragment_lengths.append(size)
            position += 8 + size

    def _pixels_cut_off(self) -> TruncatedError:
        return TruncatedError(
            "The picture is cut off: its compressed pixel data has no end. Send it again."
        )
