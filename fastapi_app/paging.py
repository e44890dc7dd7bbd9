"""Lists page by page: what their addresses may say, and where the next page is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.responses import Response

from archive import cursors
from archive.errors import InvalidInputError, NotFoundError

_LONGEST_VALUE = 1024


def check(parameters: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse a parameter that is not known: a misspelt one would list everybody.

    Raises
    ------
    InvalidInputError
    """
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise InvalidInputError(
            f"Unknown parameter {unknown[0][:64]!r}. Known are {', '.join(known)}."
        )
    if any(len(value) > _LONGEST_VALUE or "\0" in value for value in parameters.values()):
        raise InvalidInputError("A parameter's value is too long, or no text.")


def whole(parameters: Mapping[str, str], name: str, default: int) -> int:
    """Return a whole number."""
    text = parameters.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,7}", text, re.ASCII):
        raise InvalidInputError(f"'{name}' is a whole number.")
    return int(text)


def cursor(parameters: Mapping[str, str]) -> UUID | None:
    """Return where the page begins."""
    text = parameters.get("cursor")
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise cursors.refusal() from None


def day(parameters: Mapping[str, str], name: str) -> date | None:
    """Return a date, `20260131` or `2026-01-31`."""
    text = parameters.get(name, "")
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"'{name}' is a date: 20260131 or 2026-01-31.") from None


def identifier(text: str, what: str) -> UUID:
    """Return an identifier of ours from an address; anything else names nothing."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError(f"There is no such {what}.") from None


def following(parameters: Mapping[str, str], cursor: UUID | str | None) -> str:
    """Return the parameters of the next page; empty at the end."""
    return urlencode({**parameters, "cursor": str(cursor)}) if cursor else ""


def answer(request: Request, items: list[dict[str, Any]], following: str) -> Response:
    """Return a page, with its `Link` to the next one."""
    headers = {}
    if following:
        headers["link"] = f'<{request.url.path}?{following}>; rel="next"'
    return JSONResponse(items, headers=headers)
