"""Bodies in several parts (multipart/related, RFC 2387), read as they come.

The delimiters are python-multipart's work; here are the limits, the part headers, what may stand
before the first part, and the certainty that the last part was whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from archive.errors import InvalidInputError

MOST_PARTS = 100_000
_MOST_PART_HEADERS = 32
_MOST_HEADER_BYTES = 8192
# Before the first delimiter old mailers write a sentence for people.
_MOST_PREAMBLE_BYTES = 8192


class BrokenBodyError(InvalidInputError):
    """The body is not in parts as its header says; parts that were whole are good."""


class Part(Protocol):
    """Where the content of one part goes."""

    def write(self, piece: memoryview) -> None:
        """Take the next bytes."""

    def finish(self) -> None:
        """Take note that the part is whole."""

    def discard(self) -> None:
        """Forget it: it never became whole."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """A Content-Type: `type/subtype` in lower case, and its parameters by lower-case name."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)

    def parameter(self, name: str) -> str:
        """Return a parameter; empty where there is none."""
        return self.parameters.get(name, "")


def media_type(value: str | None) -> MediaType:
    """Read a Content-Type header; an empty name where there is none.

    Examples
    --------
    >>> media_type('Multipart/Related; type="application/dicom"; boundary=a').parameter("type")
    'application/dicom'
    """
    name, parameters = parse_options_header(value)
    return MediaType(
        name.decode("latin-1").strip().lower(),
        {
            key.decode("latin-1").strip().lower(): text.decode("latin-1").strip()
            for key, text in parameters.items()
        },
    )


class Reader:
    """Takes a body apart.

    Parameters
    ----------
    boundary : of the Content-Type
    open_part : called with the headers of each part (names in lower case); returns where its
        content goes

    Raises
    ------
    BrokenBodyError
        From `feed` and `close`: what is there is not what RFC 2046 describes.

    References
    ----------
    RFC 2046 section 5.1; DICOM PS3.18 section 8.6.1.2.
    """

    def __init__(self, boundary: str, open_part: Callable[[dict[str, str]], Part]) -> None:
        if not 1 <= len(boundary) <= 70 or not boundary.isascii() or not boundary.isprintable():
            raise BrokenBodyError(
                "The Content-Type names no usable boundary: 1 to 70 plain characters."
            )
        self._delimiter = b"--" + boundary.encode("ascii")
        self._open_part = open_part
        self._part: Part | None = None
        self._count = 0
        self._preamble: bytearray | None = bytearray()
        self._field = bytearray()
        self._value = bytearray()
        self._headers: dict[str, str] = {}
        self._is_over = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_to_field,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_to_part,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
            max_header_count=_MOST_PART_HEADERS,
            max_header_size=_MOST_HEADER_BYTES,
        )

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._preamble is not None:
            chunk = self._after_preamble(chunk)
        if not chunk or self._is_over:
            return  # what follows the last delimiter is for nobody (RFC 2046 5.1.1)
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise BrokenBodyError(
                f"The body is not in parts as its boundary says: {error}."
            ) from error

    def close(self) -> None:
        """Take note that the body is over.

        Raises
        ------
        BrokenBodyError
            When the closing delimiter did not come: the body was cut off.
        """
        self.discard()
        if not self._is_over:
            raise BrokenBodyError(
                "The body ends without its closing boundary: it was cut off. Send it again."
            )

    def discard(self) -> None:
        """Forget the part that was not whole; harmless at any time."""
        part, self._part = self._part, None
        if part is not None:
            part.discard()

    def _after_preamble(self, chunk: bytes) -> bytes:
        """Return what begins with the first delimiter; nothing until it has come."""
        assert self._preamble is not None  # noqa: S101 - the caller looked
        self._preamble += chunk
        at = 0
        while (at := self._preamble.find(self._delimiter, at)) >= 0:
            if at == 0 or self._preamble[at - 1 : at] == b"\n":
                rest = bytes(self._preamble[at:])
                self._preamble = None
                return rest
            at += 1
        if len(self._preamble) > _MOST_PREAMBLE_BYTES:
            raise BrokenBodyError("The body does not begin with the boundary of its Content-Type.")
        return b""

    def _begin_part(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise BrokenBodyError(f"The body has more than {MOST_PARTS} parts. Send fewer at once.")
        self._headers = {}

    def _add_to_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        name = self._field.decode("latin-1").lower()
        self._headers[name] = self._value.decode("latin-1").strip()
        self._field.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        self._part = self._open_part(self._headers)

    def _add_to_part(self, data: bytes, start: int, end: int) -> None:
        if self._part is not None:
            self._part.write(memoryview(data)[start:end])

    def _end_part(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.finish()

    def _end(self) -> None:
        self._is_over = True
