"""Every element of an object as a line that people can read."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom._dicom_dict import DicomDictionary
from pydicom._uid_dict import UID_dictionary

from imaging.bytesource import Source, opened
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits, Node, Value
from imaging.values import Reader

DEFAULT = HeaderLimits()
MOST_LINES = 5000
_KEPT_BYTES = 2048
_LONGEST_TEXT = 1024
_MOST_NUMBERS = 64

_NUMBERS = frozenset(("US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"))
_BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
_AMBIGUOUS = {"US or SS": "US", "US or OW": "OW", "OB or OW": "OW", "US or SS or OW": "US"}


@dataclass(frozen=True, slots=True)
class TagLine:
    """One element.

    Parameters
    ----------
    tag : ``(gggg,eeee)`` in hexadecimal
    vr : as written, or as PS3.6 says where the object does not; ``UN`` if neither does
    keyword, name : of PS3.6; empty and ``Private`` for what it does not know
    value : as text; multiple values parted by a backslash
    depth : levels of sequences around it
    """

    tag: str
    vr: str
    keyword: str
    name: str
    value: str
    depth: int


class _Everything(Mapping[int, int]):
    """Wants every element, each with its first bytes."""

    def __contains__(self, tag: object) -> bool:
        return True

    def __getitem__(self, tag: int) -> int:
        return _KEPT_BYTES

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


def read_tags(
    source: Source, *, limits: HeaderLimits = DEFAULT, most_lines: int = MOST_LINES
) -> list[TagLine]:
    """List the elements of an object in file order; pixel data is stepped over.

    Parameters
    ----------
    most_lines : lines after which the list ends

    Raises
    ------
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.5 section 7, PS3.6 section 6.
    """
    with opened(source) as file:
        data_set = scan_data_set(file, _Everything(), limits=limits)
    lines: list[TagLine] = []
    # A stack instead of recursion: what the object nests costs no more than its lines.
    waiting = [_lines(data_set.scan.root, data_set.reader, 0)]
    while waiting and len(lines) < most_lines:
        step = next(waiting[-1], None)
        if step is None:
            waiting.pop()
            continue
        line, items = step
        lines.append(line)
        for number, item in reversed(list(enumerate(items, start=1))):
            waiting.append(_lines(item, data_set.reader, line.depth + 2))
            waiting.append(iter([(_item_line(number, line.depth + 1), [])]))
    return lines


_Step = tuple[TagLine, list[Node]]


def _item_line(number: int, depth: int) -> TagLine:
    return TagLine("(fffe,e000)", "", "Item", f"Item {number}", "", depth)


def _lines(node: Node, reader: Reader, depth: int) -> Iterator[_Step]:
    for tag, element in node.items():
        entry = DicomDictionary.get(tag)
        is_private = bool(tag & 0x10000)
        name = entry[2] if entry else ("Private" if is_private else "Unknown")
        keyword = entry[4] if entry else ""
        label = f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
        if not isinstance(element, Value):
            count = len(element)
            text = f"{count} item{'' if count == 1 else 's'}"
            yield TagLine(label, "SQ", keyword, name, text, depth), element
            continue
        vr = element.vr.decode("latin-1")
        if not vr or vr == "UN":
            known = entry[0] if entry else "UN"
            vr = _AMBIGUOUS.get(known, known)
        text = _text(node, tag, vr, element, reader)
        yield TagLine(label, vr, keyword, name, text, depth), []


def _text(node: Node, tag: int, vr: str, element: Value, reader: Reader) -> str:
    if not element.raw:
        return ""
    is_cut = len(element.raw) >= _KEPT_BYTES
    if vr in _NUMBERS:
        numbers = reader.numbers(node, tag, vr.encode())
        shown = "\\".join(f"{number:.10g}" for number in numbers[:_MOST_NUMBERS])
        return shown + ("\\…" if is_cut or len(numbers) > _MOST_NUMBERS else "")
    if vr == "AT":
        order = ">" if reader.is_big_endian else "<"
        pairs = struct.iter_unpack(f"{order}HH", element.raw[: len(element.raw) // 4 * 4])
        return "\\".join(f"({group:04x},{number:04x})" for group, number in pairs)
    if vr == "UI":
        uid = reader.uid(node, tag)
        known = UID_dictionary.get(uid)
        return f"{uid} ({known[0]})" if known else uid[:_LONGEST_TEXT]
    if vr in _BINARY:
        return _binary(element.raw, is_cut=is_cut)
    text = (reader.name(node, tag) if vr == "PN" else reader.text(node, tag)) or ""
    return text[:_LONGEST_TEXT] + ("…" if is_cut or len(text) > _LONGEST_TEXT else "")


def _binary(raw: bytes, *, is_cut: bool) -> str:
    """Show private text as what it is, and name the rest by its size."""
    stripped = raw.rstrip(b"\0 ")
    if stripped and not is_cut and stripped.isascii() and stripped.decode("ascii").isprintable():
        return stripped.decode("ascii")[:_LONGEST_TEXT]
    return f"binary, {'more than ' if is_cut else ''}{len(raw)} bytes"
