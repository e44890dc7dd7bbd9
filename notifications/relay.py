"""From the outbox to open pages: one task in each web process reads events and hands them on.

Every process reads the same table for its own sockets, so nothing passes between processes and
nothing is delivered twice, with one process or with many. The task starts with the first socket
(Daphne sends no lifespan events) and ends with the last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary

from django.db import Error as DatabaseFailure
from django.db import connections
from django.utils import timezone

from notifications.documents import moment
from notifications.feed import Addressed, Cursor, Message, translate
from notifications.identity import Identity, identify

logger = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S = 0.25
HEARTBEAT_S = 20.0
# Who listens is asked again this often: role, facilities, and whether the session still is.
RECHECK_S = 5.0
_AFTER_FAILURE_S = 1.0
_START_TIMEOUT_S = 10.0


class RelayNotReadyError(Exception):
    """The database did not answer in time, so nothing can be promised to a new page."""


class Listener(Protocol):
    """An open page, seen from the relay."""

    session_key: str
    identity: Identity | None

    async def deliver(self, messages: list[Message]) -> None:
        """Send messages that this page may have; a page that is gone is no error."""
        ...

    async def dismiss(self) -> None:
        """Close: the session is over."""
        ...

    async def interrupt(self) -> None:
        """Close: the page may come again at once."""
        ...


class Relay:
    """The task of one event loop, and the pages that listen to it."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        # The database is read in a thread of our own: a slow page must not hold events up.
        self._executor: ThreadPoolExecutor | None = None
        self._cursor: Cursor | None = None
        self._has_started = asyncio.Event()

    async def add(self, listener: Listener) -> None:
        """Let `listener` hear of everything that is committed from now on.

        Raises
        ------
        RelayNotReadyError
        """
        self._listeners.add(listener)
        if self._task is None:
            self._has_started.clear()
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="relay")
            self._task = asyncio.create_task(self._run(self._executor))
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await self._has_started.wait()
        except TimeoutError as error:
            self.remove(listener)
            raise RelayNotReadyError("The database does not answer.") from error

    def remove(self, listener: Listener) -> None:
        """Forget `listener`; the task ends when nobody listens."""
        self._listeners.discard(listener)

    async def _call(self, function: Callable[[], T]) -> T:
        """Run `function` in the thread that has the relay's database connection."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    async def _run(self, executor: ThreadPoolExecutor) -> None:
        next_heartbeat = time.monotonic() + HEARTBEAT_S
        next_recheck = time.monotonic() + RECHECK_S
        was_failing = False
        try:
            while self._listeners:
                now = time.monotonic()
                if now >= next_heartbeat:
                    next_heartbeat = now + HEARTBEAT_S - 2 * POLL_S
                    at = moment(timezone.now())
                    await self._deliver([Addressed.to_all({"type": "heartbeat", "at": at})])
                try:
                    if now >= next_recheck:
                        next_recheck = now + RECHECK_S
                        await self._recheck()
                    await self._deliver(await self._call(self._step))
                except DatabaseFailure as error:
                    if not was_failing:
                        logger.warning("Events wait: the database does not answer: %s", error)
                    was_failing = True
                    await self._call(connections.close_all)
                    await asyncio.sleep(_AFTER_FAILURE_S)
                    continue
                if was_failing:
                    logger.warning("Events go on: the database answers again.")
                    was_failing = False
                self._has_started.set()
                await asyncio.sleep(POLL_S)
        except Exception:
            logger.exception("The relay of events stopped; pages will connect again.")
            for listener in list(self._listeners):
                await listener.interrupt()
        finally:
            # No await from here on: whoever comes now finds no task and starts a new one.
            self._task = None
            self._executor = None
            self._cursor = None
            executor.submit(connections.close_all)
            executor.shutdown(wait=False)

    def _step(self) -> list[Addressed]:
        """Read what is new; the cursor moves on only when everything was read."""
        if self._cursor is None:
            self._cursor = Cursor.at_end()
            return []
        trial = self._cursor.copy()
        messages = translate(trial.read())
        self._cursor = trial
        return messages

    async def _recheck(self) -> None:
        """Ask again who the listeners are, and dismiss those whose session is over."""
        # Whoever comes while this asks has just been asked, and is not among the answers.
        asked = list(self._listeners)
        found = await self._call(lambda: identify({listener.session_key for listener in asked}))
        for listener in asked:
            if listener not in self._listeners:
                continue
            identity = found.get(listener.session_key)
            before = listener.identity
            if identity is None or before is None or identity.user_id != before.user_id:
                self.remove(listener)
                await listener.dismiss()
            else:
                listener.identity = replace(identity, ae_title=before.ae_title)

    async def _deliver(self, messages: list[Addressed]) -> None:
        if not messages:
            return
        sends = []
        for listener in self._listeners:
            identity = listener.identity
            if identity is None:
                continue
            its = [m.message for m in messages if m.is_for(identity)]
            if its:
                sends.append(listener.deliver(its))
        # One page that does not take its messages must not hold up the others.
        await asyncio.gather(*sends)


_RELAYS: WeakKeyDictionary[asyncio.AbstractEventLoop, Relay] = WeakKeyDictionary()


def relay() -> Relay:
    """Return the relay of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _RELAYS:
        _RELAYS[loop] = Relay()
    return _RELAYS[loop]
