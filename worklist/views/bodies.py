"""Bodies of requests that scripts of our own pages send."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest

from archive.errors import InvalidInputError, TooLargeError

_MOST_BYTES = 64 * 1024


def json_object(request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object in the body.

    Raises
    ------
    InvalidInputError
        When it is something else.
    """
    if len(request.body) > _MOST_BYTES:
        raise TooLargeError("This request is too long.")
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        raise InvalidInputError("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise InvalidInputError("The body is a JSON object.")
    return body
