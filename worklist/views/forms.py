"""What people write into forms, read."""

from __future__ import annotations

from datetime import time
from uuid import UUID

from archive.errors import InvalidInputError


def read_uuid(text: str, what: str) -> UUID:
    """Read which row was chosen."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInputError(f"Choose a {what}.") from None


def read_time(text: str) -> time | None:
    """Read an hour; None where none is given."""
    if not text.strip():
        return None
    try:
        return time.fromisoformat(text.strip())
    except ValueError:
        raise InvalidInputError("Write an hour as 18:00.") from None
