"""Database queries that end in time, on either database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from archive import database
from archive.errors import TooBroadError

# Steps of SQLite's virtual machine between two looks at the clock: some ten thousand a millisecond.
_STEPS = 20_000
_CANCELLED = "57014"


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Use a shared connection whose statements end after `seconds`.

    Raises
    ------
    TooBroadError
        When one of them was ended.
    """
    with database.shared():
        deadline = time.monotonic() + seconds
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
        with _watched(reader.connection, time.monotonic() + seconds):
            yield
    except OperationalError as error:
        if _was_ended(error):
            raise TooBroadError from error
        raise


@contextmanager
def _watched(raw: sqlite3.Connection, deadline: float) -> Iterator[None]:
    raw.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)


def _was_ended(error: OperationalError) -> bool:
    sqlstate = getattr(error.__cause__, "sqlstate", "")
    return "interrupted" in str(error) or sqlstate == _CANCELLED
