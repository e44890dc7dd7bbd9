"""Identifiers as nearly every query sends them: a flat list of text, read in microseconds.

What is odd in any way (sequences, private elements, numbers to compare, code extensions) is left to
`imaging.identifier`, which is the oracle of the tests here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_keyword, dictionary_VR

from imaging.part10 import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN

_MOST_BYTES = 64 * 1024
_CHARACTER_SET = 0x00080005
_IMPLICIT = struct.Struct("<HHI").unpack_from
_EXPLICIT = struct.Struct("<HH2sH").unpack_from
_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST"})
_OTHER_VRS = frozenset({"AE", "AS", "CS", "DA", "DT", "TM", "UI"})
# Read only where they are empty.
_NUMBER_VRS = frozenset({"DS", "IS", "US"})
_VRS = {vr.encode(): vr for vr in _TEXT_VRS | _OTHER_VRS | _NUMBER_VRS}
_ONE_VALUE_VRS = frozenset({"LT", "ST"})
UTF_8 = "ISO_IR 192"
# Repertoires in which every byte below 128 is the ASCII character, whatever stands before it.
CODECS: Mapping[str, str] = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    **{
        term: python_encoding[term]
        for term in (
            "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127",
            "ISO_IR 126", "ISO_IR 138", "ISO_IR 148", "ISO_IR 192",
        )
    },
}  # fmt: skip


class Key(NamedTuple):
    """One element: what `imaging.matching` needs of pydicom's.

    Attributes
    ----------
    VR : Value Representation
    value : its values without padding; empty: the key is universal
    """

    tag: int
    keyword: str
    VR: str
    value: tuple[str, ...]


class PlainKeys:
    """The elements of an identifier, in the order of their tags.

    Parameters
    ----------
    keys : by tag
    character_set : the one value of (0008,0005); empty: the default repertoire
    """

    __slots__ = ("_by_tag", "character_set", "valued")

    def __init__(self, keys: Mapping[int, Key], character_set: str) -> None:
        self._by_tag = keys
        self.character_set = character_set
        # Those that are not universal.
        self.valued = [key for key in keys.values() if key.value]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._by_tag.values())

    def get(self, tag: int) -> Key | None:
        """Return an element, if it is there."""
        return self._by_tag.get(tag)


@lru_cache(maxsize=4096)
def empty(tag: int) -> Key | None:
    """Return an element without a value, where it is one that is read here."""
    try:
        vr, keyword = dictionary_VR(tag), dictionary_keyword(tag)
    except KeyError:
        return None
    known = vr in _TEXT_VRS or vr in _OTHER_VRS or vr in _NUMBER_VRS
    return Key(tag, keyword, vr, ()) if known and keyword else None


def is_plain(vr: str, text: str) -> bool:
    """Whether a key's text means what it says, without what pydicom makes of it.

    Parameters
    ----------
    vr : of an element from `empty`
    text : of one value or several, as PS3.18 section 8.3.4.1 has it in an address
    """
    if vr == "PN":
        return "=" not in text and "^" not in text[-1:]
    return not text or vr not in _NUMBER_VRS


def read(data: bytes, transfer_syntax: str) -> PlainKeys | None:
    """Read an identifier that is flat and plain.

    Parameters
    ----------
    data : as sent
    transfer_syntax : of its presentation context

    Returns
    -------
    None where it is not: `imaging.identifier.read` reads it, or says what is wrong with it.

    References
    ----------
    DICOM PS3.5 sections 6.2 and 7.1.
    """
    is_explicit = transfer_syntax == EXPLICIT_LITTLE_ENDIAN
    if not is_explicit and transfer_syntax != IMPLICIT_LITTLE_ENDIAN:
        return None
    end, offset, last = len(data), 0, -1
    if end > _MOST_BYTES:
        return None
    raw: list[tuple[Key, bytes]] = []
    while offset < end:
        if offset + 8 > end:
            return None
        written = ""
        if is_explicit:
            group, element, vr, length = _EXPLICIT(data, offset)
            written = _VRS.get(vr, "?")
        else:
            group, element, length = _IMPLICIT(data, offset)
        offset += 8
        tag = group << 16 | element
        if tag <= last or offset + length > end:
            return None
        last = tag
        if element:
            key = empty(tag)
            if key is None or (written and written != key.VR):
                return None
            raw.append((key, data[offset : offset + length]))
        # Else a group length: they are retired, and say nothing.
        offset += length
    return _decoded(raw)


def _decoded(raw: list[tuple[Key, bytes]]) -> PlainKeys | None:
    found: dict[int, Key] = {}
    character_set, codec = "", "ascii"
    for key, value in raw:
        if not value:
            found[key.tag] = key
            continue
        vr = key.VR
        if b"\x1b" in value or vr in _NUMBER_VRS:
            return None
        try:
            text = value.decode(codec if vr in _TEXT_VRS else "ascii")
        except UnicodeDecodeError:
            return None
        if vr == "PN" and "=" in text:
            return None
        if vr in _ONE_VALUE_VRS:
            parts = [text.rstrip(" \0")]
        else:
            parts = [part.rstrip(" \0").strip() for part in text.split("\\")]
        if key.tag == _CHARACTER_SET:
            if len(parts) > 1 or parts[0] not in CODECS:
                return None
            character_set, codec = parts[0], CODECS[parts[0]]
        found[key.tag] = key._replace(value=tuple(parts)) if any(parts) else key
    return PlainKeys(found, character_set)
