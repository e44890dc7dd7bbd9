"""A made picture, and its form on disk and in Redis: checked when it is read."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

from isal import isal_zlib

# head length, CRC-32 of head and body, body length
_HEAD = struct.Struct("<IIQ")
_MAGIC = b"NFC1"


@dataclass(frozen=True, slots=True)
class Entry:
    """A made picture: bytes, and facts about them that JSON can hold."""

    content: bytes
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, roughly."""
        return len(self.content) + 1024


def pack(entry: Entry) -> bytes:
    """Return an entry as bytes, with a checksum."""
    facts = json.dumps(entry.facts).encode()
    check = isal_zlib.crc32(entry.content, isal_zlib.crc32(facts))
    return b"".join(
        (_MAGIC, _HEAD.pack(len(facts), check, len(entry.content)), facts, entry.content)
    )


def unpack(raw: bytes) -> Entry | None:
    """Return the entry that `pack` wrote; None for anything else, cut off or changed."""
    start = len(_MAGIC) + _HEAD.size
    if len(raw) < start or not raw.startswith(_MAGIC):
        return None
    facts_length, check, length = _HEAD.unpack_from(raw, len(_MAGIC))
    facts, content = raw[start : start + facts_length], raw[start + facts_length :]
    if len(content) != length or isal_zlib.crc32(content, isal_zlib.crc32(facts)) != check:
        return None
    return Entry(content, json.loads(facts))
