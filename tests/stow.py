"""Store requests by hand: bodies in parts, and what their answers say."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.sidecar import Caller

BOUNDARY = "frontier"
DICOM, JSON, XML = "application/dicom", "application/dicom+json", "application/dicom+xml"
STORED, FAILED, OTHER = "00081199", "00081198", "0008119A"
SOP_INSTANCE, REASON, COMMENT, URL = "00081155", "00081197", "00000902", "00081190"


def parts(*content: tuple[str, bytes] | tuple[str, bytes, str]) -> bytes:
    """A body: media type, content and, where there is one, Content-Location of each part."""
    written = b""
    for media_type, data, *location in content:
        written += f"--{BOUNDARY}\r\nContent-Type: {media_type}\r\n".encode()
        if location:
            written += f"Content-Location: {location[0]}\r\n".encode()
        written += b"\r\n" + data + b"\r\n"
    return written + f"--{BOUNDARY}--\r\n".encode()


def related(kind: str = DICOM) -> str:
    return f'multipart/related; type="{kind}"; boundary={BOUNDARY}'


def send(
    caller: Caller, *files: bytes, study: str = "", accept: str = JSON, **parameters: str
) -> httpx.Response:
    """Send whole instances."""
    path = f"/dicom-web/studies/{study}" if study else "/dicom-web/studies"
    body = parts(*((DICOM, file) for file in files))
    headers = {"Content-Type": related(), "Accept": accept}
    return caller.post(path, content=body, headers=headers, params=parameters)


def send_apart(
    caller: Caller, model: object, *bulk: tuple[str, bytes, str], kind: str = JSON
) -> httpx.Response:
    """Send metadata and bulk data."""
    metadata = model if isinstance(model, bytes) else json.dumps(model).encode()
    body = parts((kind, metadata), *bulk)
    headers = {"Content-Type": related(kind), "Accept": JSON}
    return caller.post("/dicom-web/studies", content=body, headers=headers)


def items(answer: httpx.Response, tag: str) -> list[dict[str, Any]]:
    """The items of one of the answer's sequences."""
    found: list[dict[str, Any]] = answer.json().get(tag, {}).get("Value", [])
    return found


def uids(answer: httpx.Response, tag: str) -> list[str]:
    return [item[SOP_INSTANCE]["Value"][0] for item in items(answer, tag)]


def reasons(answer: httpx.Response, tag: str = FAILED) -> list[int]:
    return [item[REASON]["Value"][0] for item in items(answer, tag)]


def comments(answer: httpx.Response, tag: str = FAILED) -> list[str]:
    return [item[COMMENT]["Value"][0] for item in items(answer, tag)]
