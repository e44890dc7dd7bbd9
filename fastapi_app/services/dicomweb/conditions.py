"""Entity tags and ranges of DICOMweb's answers (RFC 9110 sections 13 and 14)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from starlette.responses import Response

from fastapi_app.services.dicom_processor import is_unchanged
from fastapi_app.services.dicomweb.asking import Asked

VARY = "Accept, Accept-Encoding, Authorization, Cookie"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def tag_of(*parts: object) -> str:
    """Return the entity tag of what `parts` name: content and form."""
    text = "\0".join(str(part) for part in parts)
    return f'"{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"'


def headers_of(tag: str, **others: str) -> dict[str, str]:
    """Return what every answer with a tag carries: kept by the caller, asked for again."""
    named = {name.replace("_", "-"): value for name, value in others.items()}
    return {"etag": tag, "cache-control": "private, no-cache", "vary": VARY, **named}


def unchanged(asked: Asked, tag: str) -> Response | None:
    """Return 304 where the caller has it already."""
    if is_unchanged(tag, asked.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers_of(tag))
    return None


def range_of(headers: Mapping[str, str], tag: str, size: int) -> tuple[int, int] | Response | None:
    """Return which bytes are asked for: from, to (not included); None for all of them.

    Several ranges, and what cannot be read, are answered with the whole, which RFC 9110 allows; a
    range outside is answered with 416.
    """
    text = headers.get("range", "")
    condition = headers.get("if-range")
    found = _RANGE.fullmatch(text.strip())
    if found is None or (condition and condition != tag):
        return None
    first, last = found.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    elif last:
        start, end = max(0, size - int(last)), size
    else:
        return None
    if start >= size or start == end:
        return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
    return start, end
