"""Where the next page begins: what callers hand back and need not understand."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from uuid import UUID

from archive.errors import InvalidInputError

# What we hand out has a third of it: nothing deeper than a list comes to be parsed.
_LONGEST = 1024


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
    if len(cursor) > _LONGEST:
        raise refusal()
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        value, key = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        return value, UUID(key)
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
        raise refusal() from error


def moment(value: object) -> datetime:
    """Return the moment that a cursor's value is, in UTC.

    Raises
    ------
    InvalidInputError
        Also for one that a database could not compare: without zone, or before the year 1 in UTC.
    """
    try:
        found = datetime.fromisoformat(str(value))
        if found.tzinfo is None:
            raise refusal()
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise refusal() from error


def count(value: object) -> int:
    """Return the whole number that a cursor's value is, if a column can hold it.

    Raises
    ------
    InvalidInputError
    """
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise refusal()
    return value


def refusal() -> InvalidInputError:
    """Return the error for a cursor that cannot be used."""
    return InvalidInputError("This 'cursor' is not one of ours. Start without it.")
