"""Read text, dates and numbers of raw elements; the unreadable becomes None or U+FFFD."""

import datetime as dt
import math
import re
import struct
from collections.abc import Sequence

from pydicom.charset import CODES_TO_ENCODINGS, python_encoding

from imaging.elements import Node, Value

SPECIFIC_CHARACTER_SET = 0x00080005

_NAME_DELIMITERS = b"\r\n\t\f^="
_TEXT_DELIMITERS = b"\r\n\t\f\\"
_FRAGMENT = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_SELF_ESCAPING = frozenset(("iso2022_jp", "iso2022_jp_2"))
_TERM = re.compile(r"ISO[ _-]*(2022)?[ _-]*IR[ _-]*(\d+)", re.IGNORECASE)
# PS3.5 section 6.2 allows no control characters in the one-line text VRs; line ends and tabs there
# would break logs, headers and tables.
# Marks that turn the direction of writing would show a name, and what stands beside it, reversed:
# they are no part of it.
_CONTROLS: dict[int, str] = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ") | dict.fromkeys(
    [*range(0x202A, 0x202F), *range(0x2066, 0x206A)], ""
)
_DATE = re.compile(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.(\d{1,6}))?)?)?")
_BINARY = {
    b"US": ("H", 2),
    b"SS": ("h", 2),
    b"UL": ("I", 4),
    b"SL": ("i", 4),
    b"UV": ("Q", 8),
    b"SV": ("q", 8),
    b"FL": ("f", 4),
    b"FD": ("d", 8),
}
_TEXT_NUMBERS = frozenset((b"DS", b"IS", b"LO", b"SH", b"CS", b"UT", b"LT", b"ST"))


class Reader:
    """Reads the values of one object, with its character sets and byte order.

    Parameters
    ----------
    root : the object's wanted elements; Specific Character Set is among them if it has one
    """

    def __init__(self, root: Node, *, is_big_endian: bool) -> None:
        self.is_big_endian = is_big_endian
        self._order = ">" if is_big_endian else "<"
        self._encodings = _encodings(root)

    def text(self, node: Node, tag: int, *, is_name: bool = False) -> str | None:
        """Return one text value without padding, or None if it is absent or empty."""
        element = node.get(tag)
        if not isinstance(element, Value) or not element.raw:
            return None
        raw = element.raw.strip(b"\0 ")
        if not raw:
            return None
        # Without an escape every repertoire of PS3.3 C.12.1.1.2 reads these bytes alike.
        text = raw.decode("ascii") if raw.isascii() and b"\x1b" not in raw else None
        if text is None:
            text = self._decode(raw, _NAME_DELIMITERS if is_name else _TEXT_DELIMITERS)
        return text if text.isprintable() else text.translate(_CONTROLS).strip() or None

    def paragraphs(self, node: Node, tag: int) -> str:
        """Return a text of VR LT, ST or UT with line feeds as its line ends; empty if absent."""
        element = node.get(tag)
        if not isinstance(element, Value):
            return ""
        text = self._decode(element.raw.rstrip(b"\0 "), _TEXT_DELIMITERS)
        lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").split("\n")
        return "\n".join(line.translate(_CONTROLS).rstrip() for line in lines).strip("\n")

    def name(self, node: Node, tag: int) -> str | None:
        """Return a person name: groups parted by ``=``, components by ``^``, empty ends removed."""
        text = self.text(node, tag, is_name=True)
        if text is None:
            return None
        groups = [group.strip().rstrip("^").rstrip() for group in text.split("=")]
        return "=".join(groups).rstrip("=") or None

    def texts(self, node: Node, tag: int) -> list[str]:
        """Return the values of a multi-valued text element."""
        text = self.text(node, tag)
        return [] if text is None else [part.strip() for part in text.split("\\")]

    def uid(self, node: Node, tag: int) -> str:
        """Return a UID as it is written, padding removed; empty if absent."""
        element = node.get(tag)
        if not isinstance(element, Value):
            return ""
        return element.raw.rstrip(b"\0 ").lstrip(b" ").decode("latin-1")

    def numbers(self, node: Node, tag: int, default_vr: bytes = b"DS") -> list[float]:
        """Return the finite numbers of an element; empty if any of them cannot be read."""
        element = node.get(tag)
        if not isinstance(element, Value) or not element.raw:
            return []
        vr = element.vr if element.vr in _BINARY or element.vr in _TEXT_NUMBERS else default_vr
        numbers: Sequence[float]
        if vr in _BINARY:
            code, size = _BINARY[vr]
            count = len(element.raw) // size
            numbers = struct.unpack_from(f"{self._order}{count}{code}", element.raw)
        else:
            try:
                numbers = [float(part) for part in element.raw.strip(b"\0 ").split(b"\\")]
            except ValueError:
                return []
        return list(numbers) if all(map(math.isfinite, numbers)) else []

    def number(self, node: Node, tag: int, default_vr: bytes = b"DS") -> float | None:
        """Return the first number of an element."""
        numbers = self.numbers(node, tag, default_vr)
        return numbers[0] if numbers else None

    def integer(self, node: Node, tag: int, default_vr: bytes = b"IS") -> int | None:
        """Return the first number of an element if it is an integer of at most 32 bits."""
        element = node.get(tag)
        if isinstance(element, Value):
            # What nearly every integer of an image is.
            if element.vr == b"US" and len(element.raw) == 2:
                return int.from_bytes(element.raw, "big" if self.is_big_endian else "little")
            if element.vr == b"IS" and len(element.raw) < 10:
                digits = element.raw.strip(b"\0 ")
                if digits.isdigit():
                    return int(digits)
        number = self.number(node, tag, default_vr)
        if number is None or number != int(number) or abs(number) >= 2**31:
            return None
        return int(number)

    def date(self, node: Node, tag: int) -> dt.date | None:
        """Return a date, the old form with dots included; None for anything else.

        References
        ----------
        DICOM PS3.5 section 6.2, VR DA.
        """
        return parse_date(self.text(node, tag))

    def time(self, node: Node, tag: int) -> dt.time | None:
        """Return a time of day, the old form with colons included; None for anything else.

        References
        ----------
        DICOM PS3.5 section 6.2, VR TM.
        """
        return parse_time(self.text(node, tag))

    def _decode(self, raw: bytes, delimiters: bytes) -> str:
        if not self._encodings:
            # No character set is declared: UTF-8 is recognised by itself, else ISO 8859-1 is
            # what the devices that forget to declare one mostly send.
            try:
                return raw.decode("utf-8")
            except UnicodeDecodeError:
                return raw.decode("latin-1")
        first = self._encodings[0]
        if b"\x1b" not in raw:
            return raw.decode(first, "replace")
        return "".join(
            _decode_fragment(fragment, first, delimiters) for fragment in _FRAGMENT.findall(raw)
        )


def _decode_fragment(fragment: bytes, first: str, delimiters: bytes) -> str:
    """Decode what follows one escape sequence (PS3.5 section 6.1.2.5)."""
    if not fragment.startswith(b"\x1b"):
        return fragment.decode(first, "replace")
    size = 4 if fragment.startswith((b"\x1b$(", b"\x1b$)")) else 3
    encoding = CODES_TO_ENCODINGS.get(fragment[:size])
    if encoding is None:
        return fragment[size:].decode(first, "replace")
    if encoding in _SELF_ESCAPING:
        return fragment.decode(encoding, "replace")
    body = fragment[size:]
    # A delimiter switches back to the first character set (PS3.5 section 6.1.2.5.3).
    end = next((at for at, byte in enumerate(body) if byte in delimiters), len(body))
    return body[:end].decode(encoding, "replace") + body[end:].decode(first, "replace")


def _encodings(root: Node) -> list[str]:
    """Return Python's names of the declared character sets; empty if none is declared or known."""
    element = root.get(SPECIFIC_CHARACTER_SET)
    if not isinstance(element, Value):
        return []
    terms = element.raw.decode("latin-1").strip("\0 ").split("\\")
    if terms in ([""], ["ISO_IR 6"]):
        return []
    known = [_encoding(term.strip()) for term in terms]
    return [name for name in known if name] if known[0] else []


def _encoding(term: str) -> str | None:
    if not term:
        return "iso8859"
    spelled = _TERM.fullmatch(term)
    if spelled is not None:
        # Writers confuse blanks, hyphens and underscores in the defined terms of PS3.3 C.12.1.1.2.
        term = f"ISO {spelled[1]} IR {spelled[2]}" if spelled[1] else f"ISO_IR {spelled[2]}"
    return python_encoding.get(term)


def parse_date(text: str | None) -> dt.date | None:
    """Read a DA value."""
    match = _DATE.fullmatch(text) if text else None
    if match is None:
        return None
    try:
        return dt.date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def parse_time(text: str | None) -> dt.time | None:
    """Read a TM value; a leap second becomes the second before."""
    match = _TIME.fullmatch(text) if text else None
    if match is None:
        return None
    fraction = int((match[4] or "").ljust(6, "0"))
    second = min(int(match[3] or 0), 59) if int(match[3] or 0) <= 60 else 60
    try:
        return dt.time(int(match[1]), int(match[2] or 0), second, fraction)
    except ValueError:
        return None
