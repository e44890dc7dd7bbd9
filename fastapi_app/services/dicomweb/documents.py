"""Lists of DICOM JSON models as they leave: JSON or XML, compressed where the caller takes it."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence

import imagecodecs
from isal import igzip, isal_zlib
from starlette.responses import Response

from fastapi_app.services.dicomweb.asking import Asked
from fastapi_app.services.dicomweb.media import JSON, XML, Choice, Offer
from imaging import dicomxml
from imaging.dicomjson import Json

# The registered type first; plain application/json is what many clients ask for.
OFFERS = (
    Offer(JSON),
    Offer("application/json"),
    Offer(XML, is_multipart=True),
)
_COMPRESSED_FROM_BYTES = 1024
_OTHER_CODINGS = re.compile(r"\s*(zstd|br)\b")
_VARY = "Accept, Accept-Encoding, Authorization, Cookie"


def encoded(model: Json) -> bytes:
    """Return one model as JSON in UTF-8."""
    return json.dumps(model, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def answer(asked: Asked, models: Sequence[Json], headers: dict[str, str] | None = None) -> Response:
    """Return a list of models in the form that the caller takes.

    Raises
    ------
    HTTPException
        406.
    """
    choice = asked.choose(OFFERS)
    if choice.offer.is_multipart:
        return of_parts(asked, [dicomxml.of_model(model) for model in models], headers)
    return of_json(asked, choice, b"[" + b",".join(map(encoded, models)) + b"]", headers)


def of_json(
    asked: Asked, choice: Choice, content: bytes, headers: dict[str, str] | None = None
) -> Response:
    """Return a JSON document."""
    return _compressed(asked, content, choice.offer.media_type, headers)


def of_parts(
    asked: Asked, documents: Iterable[bytes], headers: dict[str, str] | None = None
) -> Response:
    """Return XML documents as parts of one message; no content where there are none."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: {XML}\r\n\r\n".encode()
    body = b"".join(head + document + b"\r\n" for document in documents)
    if not body:
        return Response(status_code=204, headers=_headers(headers))
    body += f"--{boundary}--\r\n".encode()
    media_type = f'multipart/related; type="{XML}"; boundary={boundary}'
    return _compressed(asked, body, media_type, headers)


def _headers(headers: dict[str, str] | None) -> dict[str, str]:
    return {"vary": _VARY, "cache-control": "private, no-cache", **(headers or {})}


def _compressed(
    asked: Asked, content: bytes, media_type: str, headers: dict[str, str] | None
) -> Response:
    given = _headers(headers)
    if len(content) >= _COMPRESSED_FROM_BYTES:
        coding = coding_for(asked.headers.get("accept-encoding", ""))
        if coding:
            content = compress(content, coding)
            given["content-encoding"] = coding
    return Response(content, media_type=media_type, headers=given)


def coding_for(accepted: str) -> str:
    """Return the best content coding that a caller takes (RFC 9110 12.5.3); empty: none."""
    qualities: dict[str, float] = {}
    for part in accepted[:1024].split(","):
        name, _, rest = part.strip().partition(";")
        text = rest.strip().removeprefix("q=").strip()
        try:
            qualities[name.strip().lower()] = float(text) if text else 1.0
        except ValueError:
            qualities[name.strip().lower()] = 0.0
    best, liking = "", 0.0
    for coding in ("zstd", "br", "gzip"):
        quality = qualities.get(coding, qualities.get("*", 0.0))
        if quality > liking:
            best, liking = coding, quality
    return best


def takes_gzip(accepted: str) -> bool:
    """Whether a caller takes gzip, be it not the best for it."""
    only = ",".join(part for part in accepted.split(",") if not _OTHER_CODINGS.match(part))
    return coding_for(only) != ""


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield pieces as one gzip stream."""
    packer = isal_zlib.compressobj(2, isal_zlib.DEFLATED, 31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield bytes(packed)
    yield bytes(packer.flush())


def compress(content: bytes, coding: str) -> bytes:
    """Return content in a coding, with little time spent: JSON shrinks to a tenth at any level."""
    if coding == "zstd":
        return bytes(imagecodecs.zstd_encode(content, level=3))
    if coding == "br":
        return bytes(imagecodecs.brotli_encode(content, level=4))
    return bytes(igzip.compress(content, compresslevel=2))
