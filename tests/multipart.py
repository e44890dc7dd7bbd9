"""Read multipart/related answers strictly: by their boundary and their lengths, nothing guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Received:
    """One part."""

    headers: dict[str, str]
    content: bytes

    @property
    def media_type(self) -> str:
        return self.headers["content-type"].partition(";")[0]

    @property
    def transfer_syntax(self) -> str:
        return self.headers["content-type"].partition("transfer-syntax=")[2]


def parts(answer: Any) -> list[Received]:
    """The parts of an answer with `headers` and `content`; its own length and type hold."""
    content_type = answer.headers["content-type"]
    found = re.fullmatch(
        r'multipart/related; type="([^"]+)"; boundary=([0-9a-f]{32})', content_type
    )
    assert found is not None, content_type
    mark = b"--" + found[2].encode()
    body = answer.content
    if "content-length" in answer.headers and "content-encoding" not in answer.headers:
        assert int(answer.headers["content-length"]) == len(body)
    assert body.endswith(mark + b"--\r\n")
    received = []
    for piece in body[: -len(mark) - 4].split(mark + b"\r\n")[1:]:
        head, _, content = piece.partition(b"\r\n\r\n")
        assert content.endswith(b"\r\n")
        headers = {}
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        part = Received(headers, content[:-2])
        if "content-length" in headers:
            assert int(headers["content-length"]) == len(part.content)
        received.append(part)
    return received
