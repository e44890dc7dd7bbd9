"""Database queries that end in time, on either database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from archive import database
from archive.errors import TooBroadError

# Steps of SQLite's virtual machine between two looks at the clock: some ten thousand a millisecond.
_STEPS = 20_000
_CANCELLED = "57014"


class Patience:
    """What is left of the time that a search may take, whatever its statements are.

    A limit on each statement alone would not end a search: it may need one after the other.

    Parameters
    ----------
    seconds : without anything found; where `is_whole`, for the whole search
    is_whole : what is found gains no time
    """

    __slots__ = ("_is_whole", "_seconds", "_until")

    def __init__(self, seconds: float, *, is_whole: bool = False) -> None:
        self._seconds = seconds
        self._is_whole = is_whole
        self._until = monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left.

        Raises
        ------
        TooBroadError
            When there are none.
        """
        left = self._until - monotonic()
        if left <= 0:
            raise TooBroadError
        return left

    def found(self) -> None:
        """Begin anew, where the search goes on for as long as it finds something."""
        if not self._is_whole:
            self._until = monotonic() + self._seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time of the block: it is the caller's own."""
        began = monotonic()
        try:
            yield
        finally:
            self._until += monotonic() - began


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Use a shared connection whose statements end after `seconds`.

    Raises
    ------
    TooBroadError
        When one of them was ended.
    """
    with database.shared(), limited_own(seconds):
        yield


@contextmanager
def limited_own(seconds: float) -> Iterator[None]:
    """Have the statements of this thread's connection end after `seconds`.

    Raises
    ------
    TooBroadError
        When one of them was ended.
    """
    deadline = monotonic() + seconds
    try:
        if connection.vendor == "postgresql":
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")
                yield
            return
        connection.ensure_connection()
        with _watched(connection.connection, deadline):
            yield
    except OperationalError as error:
        if _was_ended(error):
            raise TooBroadError from error
        raise


@contextmanager
def limited_reading(reader: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
    """Use a connection of `database.reading` for one statement.

    Raises
    ------
    TooBroadError
        When it was ended.
    """
    try:
        if reader.vendor == "postgresql":
            yield
            return
        with _watched(reader.connection, monotonic() + seconds):
            yield
    except OperationalError as error:
        if _was_ended(error):
            raise TooBroadError from error
        raise


@contextmanager
def _watched(raw: sqlite3.Connection, deadline: float) -> Iterator[None]:
    raw.set_progress_handler(lambda: monotonic() > deadline, _STEPS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)


def _was_ended(error: OperationalError) -> bool:
    sqlstate = getattr(error.__cause__, "sqlstate", "")
    return "interrupted" in str(error) or sqlstate == _CANCELLED
