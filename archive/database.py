"""A few database connections that many threads share, each for as long as its work takes.

Django gives every thread a connection of its own and keeps it. The receiver has a thread for each
association, most of which wait for their sender: 128 of them would exceed what PostgreSQL allows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import OperationalError

# A connection that was not used for so long is tried before it is trusted.
_TRUSTED_S = 1.0


class ConnectionPool:
    """Connections that are lent to one thread at a time.

    Parameters
    ----------
    most : connections at once; further threads wait
    """

    def __init__(self, most: int) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[tuple[BaseDatabaseWrapper, float]] = []
        self._lent: set[BaseDatabaseWrapper] = set()

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
        if not self._places.acquire(timeout=settings.DATABASE_WAIT_S):
            raise OperationalError("Every shared connection to the database is busy.")
        try:
            lent = self._take()
            connections[DEFAULT_DB_ALIAS] = lent
            self._lent.add(lent)
            try:
                yield lent
            finally:
                if lent.errors_occurred:
                    # Whatever it was, a fresh connection has the best chance next time.
                    lent.close()
                if own is None:
                    del connections[DEFAULT_DB_ALIAS]
                else:
                    connections[DEFAULT_DB_ALIAS] = own
                self._lent.discard(lent)
                with self._lock:
                    self._idle.append((lent, time.monotonic()))
        finally:
            self._places.release()

    def _take(self) -> BaseDatabaseWrapper:
        with self._lock:
            found = self._idle.pop() if self._idle else None
        if found is None:
            return _new_connection()
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


def _new_connection() -> BaseDatabaseWrapper:
    fresh: BaseDatabaseWrapper = connections.create_connection(DEFAULT_DB_ALIAS)
    fresh.inc_thread_sharing()
    if fresh.vendor == "postgresql":
        # SQLite has its busy timeout: nobody waits longer than a sender does for another's row.
        options = dict(fresh.settings_dict["OPTIONS"])
        given = options.get("options", "")
        options["options"] = f"{given} -c lock_timeout={settings.DATABASE_WAIT_S}s".strip()
        fresh.settings_dict = {**fresh.settings_dict, "OPTIONS": options}
    return fresh


_POOL = ConnectionPool(most=8)


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


def close_shared() -> None:
    """Close the shared connections that nobody uses."""
    _POOL.close()
