"""Where the next page begins: what callers hand back and need not understand."""

from __future__ import annotations

import base64
import binascii
import json
from uuid import UUID

from archive.errors import InvalidInputError


def pack(value: object, key: UUID) -> str:
    """Return the cursor behind a row: what the list is sorted by, and the row's id."""
    text = json.dumps([value, str(key)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unpack(cursor: str) -> tuple[object, UUID]:
    """Return what `pack` was given.

    Raises
    ------
    InvalidInputError
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        value, key = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        return value, UUID(key)
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise refusal() from error


def refusal() -> InvalidInputError:
    """Return the error for a cursor that cannot be used."""
    return InvalidInputError("This 'cursor' is not one of ours. Start without it.")
