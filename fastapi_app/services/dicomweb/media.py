"""What a caller takes: the Accept header or the `accept` parameter, against what there is.

Pure functions; PS3.18 section 8.7 on top of RFC 9110 section 12.5.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

DICOM = "application/dicom"
JSON = "application/dicom+json"
XML = "application/dicom+xml"
OCTETS = "application/octet-stream"
ZIP = "application/zip"
ANY = "*/*"

# Browsers send some 200 bytes and ten ranges; nobody lawful needs these.
MOST_CHARACTERS = 8192
MOST_RANGES = 64

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf"({_WORD})/({_WORD})")
# Unquoted values with slashes, as `type=application/dicom`, are wrong and usual.
_PARAMETER = re.compile(rf'\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";,]*))\s*')
_QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")
_UTF_8 = frozenset({"", "utf-8", "utf8", "*"})


class MediaError(ValueError):
    """An Accept that cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One range of an Accept.

    Attributes
    ----------
    media_type : in lower case, such as ``image/*``
    parameters : by name in lower case, `q` left out
    quality : 0 to 1; 0: not this one
    """

    media_type: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    quality: float = 1.0

    @property
    def is_multipart(self) -> bool:
        """Whether it names a multipart type."""
        return self.media_type in ("multipart/related", "multipart/*")


@dataclass(frozen=True, slots=True)
class Offer:
    """Something that there is.

    Attributes
    ----------
    media_type : of the content, or of each part
    is_multipart : in parts of a multipart/related message
    """

    media_type: str
    is_multipart: bool = False

    def __str__(self) -> str:
        if self.is_multipart:
            return f'multipart/related; type="{self.media_type}"'
        return self.media_type


@dataclass(frozen=True, slots=True)
class Choice:
    """An offer that a caller takes, and what was said about it.

    Attributes
    ----------
    transfer_syntax : a UID, ``*`` for whatever is stored, or empty where nothing was said
    """

    offer: Offer
    transfer_syntax: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> list[MediaRange]:
    """Read the value of an Accept header; an empty one takes anything.

    Raises
    ------
    MediaError
        When it cannot be read, or is longer than anything lawful.

    References
    ----------
    RFC 9110 section 12.5.1.
    """
    if len(text) > MOST_CHARACTERS:
        raise MediaError(f"The Accept header is longer than {MOST_CHARACTERS} characters.")
    found: list[MediaRange] = []
    for part in _split(text, ","):
        if part.strip():
            if len(found) == MOST_RANGES:
                raise MediaError(f"The Accept header names more than {MOST_RANGES} media ranges.")
            found.append(_range(part.strip()))
    return found or [MediaRange(ANY)]


def parse_parameter(text: str) -> list[MediaRange]:
    """Read the value of the query parameter `accept`.

    A plus sign in an address means a blank; who writes ``application/dicom+json`` there unescaped
    means the plus sign.
    """
    return parse(re.sub(r"(?<=application/dicom) (?=json|xml)", "+", text))


def choices(ranges: Sequence[MediaRange], offers: Iterable[Offer]) -> list[Choice]:
    """Return what a caller takes of what there is, what it likes best first.

    Of several ranges that fit one offer only the most specific ones count; among equals the
    caller's order decides, then ours.

    References
    ----------
    RFC 9110 section 12.5.1; PS3.18 sections 8.7.4 and 8.7.5.
    """
    ranked: list[tuple[tuple[float, int, int, int], Choice]] = []
    for place, offer in enumerate(offers):
        fitting = [
            (rank, at, one) for at, one in enumerate(ranges) if (rank := _rank(one, offer)) >= 0
        ]
        best = max((rank for rank, _, _ in fitting), default=-1)
        for rank, at, one in fitting:
            if rank == best and one.quality > 0:
                # A range without anything specific leaves the order to us.
                told = at if rank > 0 else len(ranges)
                order = (-one.quality, told, -rank, place)
                syntax = one.parameters.get("transfer-syntax", "").strip()
                ranked.append((order, Choice(offer, syntax, one.parameters)))
    ranked.sort(key=lambda pair: pair[0])
    return [choice for _, choice in ranked]


def _rank(one: MediaRange, offer: Offer) -> int:
    """Say how specifically a range names an offer; -1: not at all."""
    if one.parameters.get("charset", "").lower() not in _UTF_8:
        return -1
    if one.media_type == ANY:
        return 0
    if one.is_multipart:
        inner = one.parameters.get("type", "").lower()
        return _rank_type(inner or ANY, offer.media_type) + 1 if offer.is_multipart else -1
    return -1 if offer.is_multipart else _rank_type(one.media_type, offer.media_type)


def _rank_type(wanted: str, there: str) -> int:
    if wanted == ANY:
        return 0
    if wanted == there:
        return 2
    kind, _, rest = wanted.partition("/")
    return 1 if rest == "*" and there.startswith(f"{kind}/") else -2


def _range(text: str) -> MediaRange:
    head, *rest = _split(text, ";")
    media_type = head.strip()
    if _TYPE.fullmatch(media_type) is None:
        raise MediaError("A media type in the Accept header is no media type, as image/png is.")
    parameters: dict[str, str] = {}
    quality = 1.0
    for one in rest:
        if not one.strip():
            continue
        found = _PARAMETER.fullmatch(one)
        if found is None:
            raise MediaError(
                "A parameter in the Accept header cannot be read: write name=value, or "
                'name="value".'
            )
        name, quoted, bare = found[1].lower(), found[2], found[3]
        value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
        if name == "q":
            if _QUALITY.fullmatch(value) is None:
                raise MediaError("'q' in the Accept header is a number from 0 to 1.")
            quality = float(value)
        else:
            parameters[name] = value
    return MediaRange(media_type.lower(), parameters, quality)


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark that stands outside of quotes."""
    if '"' not in text:
        return text.split(mark)
    parts, start, is_quoted, is_escaped = [], 0, False, False
    for at, letter in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif letter == "\\" and is_quoted:
            is_escaped = True
        elif letter == '"':
            is_quoted = not is_quoted
        elif letter == mark and not is_quoted:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return parts
