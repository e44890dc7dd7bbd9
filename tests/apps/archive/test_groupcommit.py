"""Leader and followers: who commits for whom, and whose error is whose."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from archive.groupcommit import GroupCommit


class TakesNothingError(Exception):
    """Nobody's item can be committed now."""


class Disk:
    """Doubles numbers; each group waits until the test lets it pass."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def commit(self, items: Sequence[int]) -> list[int | BaseException]:
        self.groups.append(list(items))
        self.begun.release()
        assert self.gate.acquire(timeout=10)
        if 666 in items:
            raise RuntimeError("broken")
        return [self._one(item) for item in items]

    @staticmethod
    def _one(item: int) -> int | BaseException:
        if item < 0:
            return ValueError(item)
        return TakesNothingError() if item == 0 else 2 * item


class Crowd:
    """Callers of one group commit, each in a thread."""

    def __init__(self, executor: ThreadPoolExecutor, most: int = 64) -> None:
        self.disk = Disk()
        self._executor = executor
        self._group: GroupCommit[int, int] = GroupCommit(
            self.disk.commit, hopeless=TakesNothingError, most=most
        )

    def come(self, item: int) -> Future[int]:
        """Let a caller come and wait; returns when it does."""
        before = len(self._group._waiting)
        future = self._executor.submit(self._group.submit, item)
        while len(self._group._waiting) == before and not self.disk.begun.acquire(timeout=0.001):
            assert not future.done()
        return future

    def pass_all(self) -> None:
        for _ in range(20):
            self.disk.gate.release()


@pytest.fixture
def executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(20)


def test_alone_nobody_waits(executor: ThreadPoolExecutor) -> None:
    crowd = Crowd(executor)
    crowd.pass_all()
    assert crowd._group.submit(4) == 8
    assert crowd._group.submit(5) == 10
    assert crowd.disk.groups == [[4], [5]]


def test_who_comes_meanwhile_is_the_next_group(executor: ThreadPoolExecutor) -> None:
    crowd = Crowd(executor)
    futures = [crowd.come(item) for item in range(1, 9)]
    crowd.pass_all()
    assert [future.result(10) for future in futures] == [2 * item for item in range(1, 9)]
    assert crowd.disk.groups == [[1], [2, 3, 4, 5, 6, 7, 8]]


def test_groups_are_bounded(executor: ThreadPoolExecutor) -> None:
    crowd = Crowd(executor, most=3)
    futures = [crowd.come(item) for item in range(1, 9)]
    crowd.pass_all()
    assert [future.result(10) for future in futures] == [2 * item for item in range(1, 9)]
    assert crowd.disk.groups == [[1], [2, 3, 4], [5, 6, 7], [8]]


def test_an_error_is_that_items_alone(executor: ThreadPoolExecutor) -> None:
    crowd = Crowd(executor)
    futures = [crowd.come(item) for item in (1, -2, 3, -4)]
    crowd.pass_all()
    assert [futures[0].result(10), futures[2].result(10)] == [2, 6]
    for failed, item in ((futures[1], -2), (futures[3], -4)):
        with pytest.raises(ValueError, match=str(item)):
            failed.result(10)


def test_a_hopeless_error_keeps_nobody_waiting(executor: ThreadPoolExecutor) -> None:
    crowd = Crowd(executor, most=1)
    futures = [crowd.come(item) for item in (0, 1, 2)]
    crowd.disk.gate.release()
    for future in futures:
        with pytest.raises(TakesNothingError):
            future.result(10)
    assert crowd.disk.groups == [[0]]
    crowd.pass_all()
    assert crowd._group.submit(7) == 14


def test_a_broken_commit_fails_its_group_and_no_other(executor: ThreadPoolExecutor) -> None:
    crowd = Crowd(executor)
    futures = [crowd.come(item) for item in (1, 666, 3)]
    crowd.pass_all()
    assert futures[0].result(10) == 2
    for future in futures[1:]:
        with pytest.raises(RuntimeError, match="broken"):
            future.result(10)
    assert crowd._group.submit(7) == 14
