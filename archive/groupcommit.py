"""One transaction for everybody who waits: leader and followers.

A commit waits for the disk. Whoever comes first commits for all that have come by then, in one
transaction; those who come meanwhile are the next group. Without company nobody waits longer than
alone, and no thread stands between the caller and its commit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

Outcomes = Sequence[R | BaseException]


class _Waiting(Generic[T, R]):
    """A caller with its item, until it has an outcome or becomes the leader."""

    __slots__ = ("bell", "item", "outcome")

    def __init__(self, item: T) -> None:
        self.item = item
        self.outcome: tuple[R | BaseException] | None = None
        self.bell = threading.Lock()
        self.bell.acquire()


class GroupCommit(Generic[T, R]):
    """Commits items of concurrent callers together.

    Parameters
    ----------
    commit : writes some items and returns an outcome for each, in their order: a result, or the
        error of that item alone
    hopeless : errors that whoever waits at that moment gets too: waiting longer would not help
    most : items in one group
    """

    def __init__(
        self,
        commit: Callable[[Sequence[T]], Outcomes[R]],
        *,
        hopeless: type[Exception],
        most: int = 64,
    ) -> None:
        self._commit = commit
        self._hopeless = hopeless
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting[T, R]] = deque()
        self._has_leader = False

    def submit(self, item: T) -> R:
        """Commit `item`, alone or with others, and return its result; or raise its error."""
        me: _Waiting[T, R] = _Waiting(item)
        with self._lock:
            self._waiting.append(me)
            leads, self._has_leader = not self._has_leader, True
        if not leads:
            me.bell.acquire()
        if me.outcome is None:
            # The first of those who wait, so that its own item is in the group.
            self._lead()
        assert me.outcome is not None  # noqa: S101 - for the type checker
        (outcome,) = me.outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _lead(self) -> None:
        """Commit one group and hand the lead on."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        outcomes: Outcomes[R]
        try:
            outcomes = self._commit([waiting.item for waiting in group])
        except BaseException as error:  # noqa: BLE001 - raised again by every caller
            outcomes = [error] * len(group)
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.outcome = (outcome,)
        hopeless = next((error for error in outcomes if isinstance(error, self._hopeless)), None)
        with self._lock:
            if hopeless is not None:
                for waiting in self._waiting:
                    waiting.outcome = (hopeless,)
                group += self._waiting
                self._waiting.clear()
            heir = self._waiting[0] if self._waiting else None
            self._has_leader = heir is not None
        for waiting in group[1:]:
            waiting.bell.release()
        if heir is not None:
            heir.bell.release()
