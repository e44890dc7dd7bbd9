"""Write the elements of a data set again in another encoding; values stay byte for byte.

The three uncompressed encodings differ in how an element begins and in byte order alone. Here
elements are read and written one by one, values as they are (swapped where the order changes), so
that no text is decoded and no number is formatted again.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

import numpy as np
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary

from imaging.elements import DOUBLE_PIXEL_DATA, FLOAT_PIXEL_DATA, KNOWN_VRS, PIXEL_DATA
from imaging.errors import ImagingError, UnsupportedError

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ICON_IMAGE_SEQUENCE = 0x00880200
_PADDING = 0xFFFCFFFC
_PIXEL_TAGS = frozenset((PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA))
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_WORD_BYTES = (
    dict.fromkeys(b"US SS OW AT".split(), 2)
    | dict.fromkeys(b"UL SL FL OF OL".split(), 4)
    | dict.fromkeys(b"FD OD SV UV OV".split(), 8)
)
_MOST_DEPTH = 64
_FLUSH_BYTES = 1024 * 1024
_MOST_VALUE_BYTES = 2**31


class RewriteError(UnsupportedError):
    """The data set cannot be written in another encoding; the message says why."""


@dataclass(frozen=True, slots=True)
class Form:
    """How elements are written (PS3.5 section 7)."""

    is_implicit: bool
    is_big_endian: bool = False

    @property
    def order(self) -> Literal["<", ">"]:
        """Of numbers, for `struct`."""
        return ">" if self.is_big_endian else "<"


# Elements of an item by tag: VR, and a little endian value or the items of a sequence.
Item = Mapping[int, tuple[bytes, "bytes | Sequence[Item]"]]


@dataclass(frozen=True, slots=True)
class Change:
    """What differs in the copy beside its form.

    Attributes
    ----------
    values : elements of the top level that are set: VR and little endian value by tag
    is_left_out : says of the tags of an element and its parent (0: top level) that it is not copied
    pixels : writes the pixel data element that replaces the one of the source; None: as it is
    items : by sequence of the top level, which of its items are copied (from 0); others keep all
    added : by sequence of the top level, items behind those of the source; without any there, the
        sequence is made
    """

    values: Mapping[int, tuple[bytes, bytes]] = field(default_factory=dict)
    is_left_out: Callable[[int, int], bool] = lambda _tag, _parent: False
    pixels: Callable[[], Iterator[bytes]] | None = None
    items: Mapping[int, frozenset[int]] = field(default_factory=dict)
    added: Mapping[int, Sequence[Item]] = field(default_factory=dict)


class Rewriter:
    """Writes one data set again.

    Parameters
    ----------
    file : at the start of the data set, not deflated
    source, target : forms
    change : see `Change`
    """

    def __init__(self, file: BinaryIO, source: Form, target: Form, change: Change) -> None:
        self._file = file
        self._target = target
        self._source = source
        self._change = change
        self._out = bytearray()
        self._is_signed = False
        self._has_fragments = False

    def pieces(self) -> Iterator[bytes]:
        """Yield the data set.

        Raises
        ------
        RewriteError
            If it is not built as the standard has it.

        References
        ----------
        DICOM PS3.5 section 7 and Annex A.
        """
        waiting = sorted({*self._change.values, *self._change.added})
        while (head := self._head(self._source)) is not None:
            tag, vr, length = head
            while waiting and waiting[0] < tag:
                self._put_new(waiting.pop(0))
            if waiting and waiting[0] == tag:
                waiting.pop(0)
                if tag not in self._change.added:
                    self._put_new(tag)
            if tag in _PIXEL_TAGS and self._change.pixels is not None:
                self._skip(length, self._source)
                behind = self._file.tell()
                yield bytes(self._out)
                self._out.clear()
                yield from self._change.pixels()
                self._file.seek(behind)
            elif tag in self._change.values or tag == _PADDING:
                self._skip(length, self._source)
            else:
                self._copy(tag, vr, length, self._source, self._target, parent=0, depth=0)
            if len(self._out) >= _FLUSH_BYTES:
                yield bytes(self._out)
                self._out.clear()
        for tag in waiting:
            self._put_new(tag)
        yield bytes(self._out)

    def _put_new(self, tag: int) -> None:
        if tag in self._change.added:
            self._put_sequence(tag, self._change.added[tag])
        else:
            self._put(tag, *self._change.values[tag])

    def _put_sequence(self, tag: int, items: Sequence[Item]) -> None:
        self._begin(tag, b"SQ", _UNDEFINED, self._target)
        self._put_items(items)
        self._delimiter(_SEQUENCE_END, 0, self._target)

    def _put_items(self, items: Sequence[Item]) -> None:
        for item in items:
            self._delimiter(_ITEM, _UNDEFINED, self._target)
            for tag, (vr, value) in sorted(item.items()):
                if isinstance(value, bytes):
                    self._put(tag, vr, value)
                else:
                    self._put_sequence(tag, value)
            self._delimiter(_ITEM_END, 0, self._target)

    def _put(self, tag: int, vr: bytes, value: bytes) -> None:
        self._begin(tag, vr, len(value), self._target)
        self._out += _swapped(value, vr) if self._target.is_big_endian else value

    def _head(self, form: Form) -> tuple[int, bytes, int] | None:
        """Read tag, VR (empty in implicit VR and delimiters) and length; None at the end."""
        head = self._file.read(8)
        if len(head) < 8:
            if head.strip(b"\0"):
                raise _damaged()
            return None
        group, element = struct.unpack_from(form.order + "HH", head)
        tag = group << 16 | element
        if form.is_implicit or group == 0xFFFE:
            return tag, b"", struct.unpack_from(form.order + "I", head, 4)[0]
        vr = head[4:6]
        if vr not in KNOWN_VRS:
            raise _damaged()
        if vr in _LONG_VRS:
            return tag, vr, struct.unpack(form.order + "I", self._read(4))[0]
        return tag, vr, struct.unpack_from(form.order + "H", head, 6)[0]

    def _read(self, length: int) -> bytes:
        if length > _MOST_VALUE_BYTES:
            raise _damaged()
        value = self._file.read(length)
        if len(value) < length:
            raise _damaged()
        return value

    def _begin(self, tag: int, vr: bytes, length: int, form: Form) -> None:
        head = struct.pack(form.order + "HH", tag >> 16, tag & 0xFFFF)
        if form.is_implicit:
            self._out += head + struct.pack("<I", length)
        elif vr in _LONG_VRS:
            self._out += head + vr + struct.pack(form.order + "xxI", length)
        elif length > 0xFFFF:
            # PS3.5 6.2.2: what does not fit its VR's length is UN.
            self._out += head + b"UN" + struct.pack(form.order + "xxI", length)
        else:
            self._out += head + vr + struct.pack(form.order + "H", length)

    def _delimiter(self, tag: int, length: int, form: Form) -> None:
        self._out += struct.pack(form.order + "HHI", tag >> 16, tag & 0xFFFF, length)

    def _copy(
        self,
        tag: int,
        vr: bytes,
        length: int,
        source: Form,
        target: Form,
        *,
        parent: int,
        depth: int,
    ) -> None:
        """Copy one element whose head was read."""
        if depth > _MOST_DEPTH:
            raise _damaged()
        written = vr or self._vr_of(tag)
        is_sequence = written == b"SQ" or (length == _UNDEFINED and vr not in (b"OB", b"OW"))
        if (
            not is_sequence
            and not parent
            and (tag in self._change.items or tag in self._change.added)
        ):
            raise RewriteError("A sequence that has to change is not written as one.")
        # Group lengths are retired (PS3.5 7.2), and no longer true.
        if tag & 0xFFFF == 0 or self._change.is_left_out(tag, parent):
            if is_sequence:
                start = len(self._out)
                self._copy_sequence(tag, vr, length, source, target, depth)
                del self._out[start:]
            else:
                self._skip(length, source)
            return
        if is_sequence:
            start = len(self._out)
            self._copy_sequence(tag, vr, length, source, target, depth, is_top=not parent)
            if tag == _ICON_IMAGE_SEQUENCE and self._has_fragments:
                del self._out[start:]
                self._has_fragments = False
            return
        if length == _UNDEFINED:
            if parent != _ICON_IMAGE_SEQUENCE:
                raise RewriteError("The object holds compressed data besides its picture.")
            # A compressed icon cannot stand in another encoding; the sequence is optional.
            self._skip(length, source)
            self._has_fragments = True
            return
        value = self._read(length)
        if tag == 0x00280103 and not parent:
            self._is_signed = value[:1] == b"\1" or value[-1:] == b"\1"
        if source.is_big_endian != target.is_big_endian:
            value = _swapped(value, written)
        self._begin(tag, written, len(value), target)
        self._out += value

    def _copy_sequence(
        self,
        tag: int,
        vr: bytes,
        length: int,
        source: Form,
        target: Form,
        depth: int,
        *,
        is_top: bool = False,
    ) -> None:
        """Copy a sequence; lengths inside change, so that delimiters end its parts."""
        if vr == b"UN":
            # PS3.5 6.2.2: an unknown sequence holds implicit VR little endian, whatever is outside.
            source = Form(is_implicit=True)
        self._begin(tag, b"SQ", _UNDEFINED, target)
        chosen = self._change.items.get(tag) if is_top else None
        count = 0
        end = None if length == _UNDEFINED else self._file.tell() + length
        while end is None or self._file.tell() < end:
            head = self._head(source)
            if head is None:
                raise _damaged()
            item, _, item_length = head
            if item == _SEQUENCE_END and end is None:
                break
            if item != _ITEM:
                raise _damaged()
            start = len(self._out)
            self._delimiter(_ITEM, _UNDEFINED, target)
            self._copy_item(item_length, source, target, parent=tag, depth=depth)
            self._delimiter(_ITEM_END, 0, target)
            if chosen is not None and count not in chosen:
                del self._out[start:]
            count += 1
        if is_top:
            self._put_items(self._change.added.get(tag, ()))
        self._delimiter(_SEQUENCE_END, 0, target)

    def _copy_item(
        self, length: int, source: Form, target: Form, *, parent: int, depth: int
    ) -> None:
        end = None if length == _UNDEFINED else self._file.tell() + length
        while end is None or self._file.tell() < end:
            head = self._head(source)
            if head is None:
                raise _damaged()
            tag, vr, size = head
            if tag == _ITEM_END and end is None:
                return
            if tag >> 16 == 0xFFFE:
                raise _damaged()
            self._copy(tag, vr, size, source, target, parent=parent, depth=depth + 1)

    def _skip(self, length: int, form: Form) -> None:
        if length == _UNDEFINED:
            self._skip_fragments(form)
        else:
            self._file.seek(length, 1)

    def _skip_fragments(self, form: Form) -> None:
        while True:
            head = self._head(form)
            if head is None:
                return
            tag, _, length = head
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM or length == _UNDEFINED:
                raise _damaged()
            self._file.seek(length, 1)

    def _vr_of(self, tag: int) -> bytes:
        """Return the VR of an element that was written without (PS3.5 Annex A.1)."""
        if tag >> 16 & 1:
            return b"LO" if 0x10 <= tag & 0xFFFF <= 0xFF else b"UN"
        vr = dictionary_vr(tag)
        if vr == "US or SS":
            return b"SS" if self._is_signed else b"US"
        if " or " in vr:
            return b"OW"
        return vr.encode("ascii")


def dictionary_vr(tag: int) -> str:
    """Return the VR of an attribute, "UN" where it is unknown (PS3.6)."""
    entry = DicomDictionary.get(tag)
    if entry is not None:
        return entry[0]
    if tag >> 24 in (0x50, 0x60):
        repeater = RepeatersDictionary.get(f"{tag >> 24:02X}xx{tag & 0xFFFF:04X}")
        if repeater is not None:
            return repeater[0]
    return "UN"


def word_bytes(vr: bytes) -> int:
    """Return how many bytes a number of a VR has; 1: it is text, or a string of bytes."""
    return _WORD_BYTES.get(vr, 1)


def _swapped(value: bytes, vr: bytes) -> bytes:
    return swap(value, word_bytes(vr))


def swap(value: bytes, size: int) -> bytes:
    """Turn the bytes of each word of `size` bytes round; an odd rest stays."""
    if size == 1 or len(value) % size:
        return value
    return np.frombuffer(value, f">u{size}").astype(f"<u{size}").tobytes()


def _damaged() -> ImagingError:
    return RewriteError("The data set is not built as the standard has it; it stays as it is.")
