"""The files of one request, several at a time: their waits for the disk and the commit are shared.

Results come in the order in which the pieces of work were given, whatever ends first.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from django.db import connections

from archive import database

T = TypeVar("T")

# Enough that the disk always has a file to wait for; what they hold in memory grows with it.
_AT_ONCE = 8
# What one request may have in hand beside a single file that is larger.
_MOST_BYTES = 32 * 1024**2
# Of all requests of this process: what they hold in memory is bounded.
_MOST_IN_HAND = 32

_threads = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="abreast")
_in_hand = threading.BoundedSemaphore(_MOST_IN_HAND)


class Abreast(Generic[T]):
    """Does pieces of work in threads, a few at a time; the end of the block waits for them.

    Within a transaction of the caller each piece is done at once, in the caller's own thread: other
    threads would not see what it has written.
    """

    def __init__(self) -> None:
        self._results: deque[Future[T]] = deque()
        self._busy: list[_Piece[T]] = []
        self._is_alone = database.is_in_transaction()

    def __enter__(self) -> Abreast[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        wait([piece.future for piece in self._busy])

    def begin(self, work: Callable[[], T], *, key: str = "", size_bytes: int = 0) -> None:
        """Begin a piece as soon as there is room for it.

        Parameters
        ----------
        work : what it raises is raised by `finished` or `all`, in its turn
        key : pieces of the same key are done one after the other, in their order; empty: of none
        size_bytes : what it holds on to
        """
        if self._is_alone:
            self._results.append(_done(work))
            return
        self._make_room(key, size_bytes)
        _in_hand.acquire()
        try:
            future = _threads.submit(copy_context().run, _in_thread, work)
        except BaseException:
            _in_hand.release()
            raise
        self._busy.append(_Piece(future, key, size_bytes))
        self._results.append(future)

    def add(self, result: T) -> None:
        """Put in a result that needs no work; it keeps its place among the others."""
        self._results.append(_done(lambda: result))

    def finished(self) -> Iterator[T]:
        """Yield the results that are there, up to the first that is not."""
        while self._results and self._results[0].done():
            yield self._results.popleft().result()

    def all(self) -> Iterator[T]:
        """Yield all results, each as soon as it is there."""
        while self._results:
            yield self._results.popleft().result()

    def _make_room(self, key: str, size_bytes: int) -> None:
        """Wait until a further piece may begin."""
        while True:
            self._busy = [piece for piece in self._busy if not piece.future.done()]
            same = next((piece for piece in self._busy if key and piece.key == key), None)
            held = sum(piece.size_bytes for piece in self._busy) + size_bytes
            is_room = len(self._busy) < _AT_ONCE and held <= _MOST_BYTES
            if same is None and (is_room or not self._busy):
                return
            wait([(same or self._busy[0]).future])


@dataclass(frozen=True, slots=True)
class _Piece(Generic[T]):
    future: Future[T]
    key: str
    size_bytes: int


def _in_thread(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        # As a rule there is none: who stores borrows connections. Kept, it would be one a thread.
        connections.close_all()
        _in_hand.release()


def _done(work: Callable[[], T]) -> Future[T]:
    """Do a piece of work here."""
    future: Future[T] = Future()
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 - raised again when its turn comes
        future.set_exception(error)
    return future
