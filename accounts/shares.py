"""How much one person, and one address of strangers, may ask for in a minute, at every door."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings

from archive.allowance import allowance


def count_person(user_id: UUID) -> None:
    """Count a request of a program or page of a person's, or of a link's visitor.

    Raises
    ------
    TooManyAttemptsError
        When a minute's share is used up.
    """
    most: int = settings.API_REQUESTS_PER_MINUTE
    allowance.take(f"user {user_id}", most, f"More than {most} requests a minute.")


def count_stranger(address: str | None) -> None:
    """Count a request whose token, session or password was wrong.

    Each costs a look into the database, which nobody shall have without an end.

    Raises
    ------
    TooManyAttemptsError
        When the address has used up a minute's share of them.
    """
    most: int = settings.API_REFUSALS_PER_MINUTE
    allowance.take(f"stranger {address}", most, f"More than {most} refused requests a minute.")
