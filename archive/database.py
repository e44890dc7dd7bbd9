"""A few database connections that many threads share, each for as long as its work takes.

Django gives every thread a connection of its own and keeps it. The receiver has a thread for each
association, most of which wait for their sender: 128 of them would exceed what PostgreSQL allows.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError

# A connection that was not used for so long is tried before it is trusted.
_TRUSTED_S = 1.0
# One that was not used for so long is closed: others may want its place in the server.
_IDLE_S = 60.0
# Nothing that somebody waits for reads longer.
READING_S = 2.0
# In WAL mode a commit is then in the hands of the operating system when it returns: it outlives
# every process, and the next commit that waits for the disk takes it along. Moving the log into the
# database waits for the disk too: readers leave it to writers until the log is long.
_RELAXED_SQLITE = "PRAGMA synchronous=NORMAL;PRAGMA wal_autocheckpoint=4000;"


class ConnectionPool:
    """Connections that are lent to one thread at a time.

    Parameters
    ----------
    most : connections at once; further threads wait
    is_relaxed : commits do not wait for the disk; see `reading`
    """

    def __init__(self, most: int, *, is_relaxed: bool = False) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[tuple[BaseDatabaseWrapper, float]] = []
        self._lent: set[BaseDatabaseWrapper] = set()
        self._is_relaxed = is_relaxed

    @contextmanager
    def lent(self) -> Iterator[BaseDatabaseWrapper]:
        """Make a connection of the pool this thread's own until the block ends.

        Raises
        ------
        OperationalError
            When all of them are busy for longer than a sender waits.
        """
        own = _connection_of_this_thread()
        if own is not None and own in self._lent:
            yield own
            return
        lent = self.take()
        try:
            connections[DEFAULT_DB_ALIAS] = lent
            self._lent.add(lent)
            try:
                yield lent
            finally:
                if own is None:
                    del connections[DEFAULT_DB_ALIAS]
                else:
                    connections[DEFAULT_DB_ALIAS] = own
                self._lent.discard(lent)
        finally:
            self.give_back(lent)

    def take(self) -> BaseDatabaseWrapper:
        """Return a connection; `give_back` is due.

        Raises
        ------
        OperationalError
            When all of them are busy for longer than a sender waits.
        """
        if not self._places.acquire(timeout=settings.DATABASE_WAIT_S):
            raise OperationalError("Every shared connection to the database is busy.")
        try:
            return self._take()
        except BaseException:
            self._places.release()
            raise

    def give_back(self, lent: BaseDatabaseWrapper) -> None:
        """Take back what `take` returned."""
        try:
            if lent.errors_occurred:
                # Whatever it was, a fresh connection has the best chance next time.
                lent.close()
            now = time.monotonic()
            with self._lock:
                self._idle.append((lent, now))
                # The last that came back is the first that is lent: old ones stand in front.
                old = [one for one, since in self._idle if since < now - _IDLE_S]
                del self._idle[: len(old)]
            for connection in old:
                connection.close()
        finally:
            self._places.release()

    def _take(self) -> BaseDatabaseWrapper:
        with self._lock:
            found = self._idle.pop() if self._idle else None
        if found is None:
            return _new_connection(is_relaxed=self._is_relaxed)
        lent, since = found
        if time.monotonic() - since > _TRUSTED_S:
            lent.close_if_unusable_or_obsolete()
        return lent

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()


def _new_connection(*, is_relaxed: bool) -> BaseDatabaseWrapper:
    fresh: BaseDatabaseWrapper = connections.create_connection(DEFAULT_DB_ALIAS)
    fresh.inc_thread_sharing()
    options = dict(fresh.settings_dict["OPTIONS"])
    if fresh.vendor == "postgresql":
        # SQLite has its busy timeout: nobody waits longer than a sender does for another's row.
        more = f"-c lock_timeout={settings.DATABASE_WAIT_S}s"
        if is_relaxed:
            more += f" -c synchronous_commit=off -c statement_timeout={READING_S:.0f}s"
        options["options"] = f"{options.get('options', '')} {more}".strip()
    elif is_relaxed:
        options["init_command"] = f"{options.get('init_command', '')}{_RELAXED_SQLITE}"
    fresh.settings_dict = {**fresh.settings_dict, "OPTIONS": options}
    return fresh


_POOL = ConnectionPool(most=8)
_READERS = ConnectionPool(most=8, is_relaxed=True)
# A web server's threads, of which some decode or read files meanwhile. More wait for their turn.
_SERVING = ConnectionPool(most=20)


def _connection_of_this_thread() -> BaseDatabaseWrapper | None:
    """Return the connection that this thread has, without making one."""
    for connection in connections.all(initialized_only=True):
        if connection.alias == DEFAULT_DB_ALIAS:
            return connection
    return None


def is_in_transaction() -> bool:
    """Whether this thread has begun a transaction."""
    own = _connection_of_this_thread()
    return own is not None and own.in_atomic_block


@contextmanager
def shared() -> Iterator[None]:
    """Use a shared connection inside the block; a transaction that has begun goes on instead.

    Short work only: a handful of connections serve the whole process.
    """
    if is_in_transaction():
        yield
        return
    with _POOL.lent():
        yield


def is_on_server() -> bool:
    """Whether the database is a server, whose connections are few; those to a file cost nothing."""
    engine: str = settings.DATABASES[DEFAULT_DB_ALIAS]["ENGINE"]
    return not engine.endswith("sqlite3")


@contextmanager
def serving() -> Iterator[None]:
    """Use a shared connection for a piece of a request's work, in whatever thread that is done.

    Threads of web servers come and go. Each would open a connection to the server and leave it to
    the garbage collector. A transaction that has begun goes on instead.
    """
    if is_in_transaction():
        yield
        return
    with _SERVING.lent():
        yield


@contextmanager
def reading() -> Iterator[BaseDatabaseWrapper]:
    """Lend a connection for statements that read, and write down who reads (docs/adr/0026).

    Its commits outlive this process, but the last of them not a power cut (nor, on PostgreSQL, the
    server's own crash): nothing that a sender relies on is written here. The ORM does not use it.
    A transaction that this thread has begun goes on instead.

    PostgreSQL ends a statement after `READING_S`; SQLite's are `archive.timelimit`'s to end.
    """
    own = _connection_of_this_thread()
    if own is not None and own.in_atomic_block:
        yield own
        return
    lent = _READERS.take()
    try:
        if lent.connection is None:
            lent.connect()
        yield lent
    finally:
        _READERS.give_back(lent)


def mark(vendor: str) -> str:
    """Return what stands for a parameter in a statement for `execute`."""
    return "%s" if vendor == "postgresql" else "?"


def execute(
    connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Run one statement of those that come again and again; returns its rows.

    The driver below Django's connection gets it as it is: prepared once, and nothing is converted
    on its way.

    Raises
    ------
    django.db.Error
        As Django's own cursors.
    """
    with connection.wrap_database_errors:
        if connection.vendor != "postgresql":
            found: list[tuple[Any, ...]] = connection.connection.execute(
                statement, parameters
            ).fetchall()
            return found
        # Django's cursors write the parameters into the statement: it is planned each time.
        from psycopg import Cursor  # noqa: PLC0415 - on this database alone

        with Cursor(connection.connection) as cursor:
            cursor.execute(statement, parameters, prepare=True)
            return cursor.fetchall() if cursor.description else []


class Cursor(Protocol):
    """What drivers' cursors and Django's have in common."""

    rowcount: int

    def execute(self, sql: str, values: Sequence[Any], /) -> object:
        """Run one statement."""

    def executemany(self, sql: str, values: Sequence[Sequence[Any]], /) -> object:
        """Run one statement for many rows."""


@lru_cache(maxsize=64)
def dialect(sql: str, vendor: str) -> str:
    """Return a statement whose values are marked by `%s` as `written`'s cursor takes it."""
    return sql.replace("%s", mark(vendor))


@contextmanager
def written(connection: BaseDatabaseWrapper) -> Iterator[Cursor]:
    """Commit what the block writes, all of it or nothing.

    For the few statements that every instance costs: on SQLite the driver's own cursor and two
    statements of ours take a third of the time of Django's, whose errors they raise all the same.
    """
    if connection.vendor != "sqlite":
        with transaction.atomic(), connection.cursor() as cursor:
            yield cursor
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, contextlib.closing(connection.connection.cursor()) as raw:
        if connection.in_atomic_block:
            with transaction.atomic():
                yield raw
            return
        raw.execute("BEGIN IMMEDIATE")
        try:
            yield raw
            raw.execute("COMMIT")
        except BaseException:
            # Some errors have ended the transaction already.
            if connection.connection.in_transaction:
                raw.execute("ROLLBACK")
            raise


def close_shared() -> None:
    """Close the shared connections that nobody uses."""
    _POOL.close()
    _READERS.close()
    _SERVING.close()
