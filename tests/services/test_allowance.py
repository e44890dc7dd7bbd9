"""Shares of requests that all processes of a site count together, in a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from archive.allowance import Allowance
from archive.errors import TooManyAttemptsError
from tests.services import servers

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with servers.redis() as url:
        yield url


def taken(process: Allowance, caller: str, most: int, tries: int) -> int:
    """Return how many requests out of some are let pass."""
    refusals = []
    for _ in range(tries):
        try:
            process.take(caller, most, "Too much.")
        except TooManyAttemptsError as error:
            refusals.append(error)
    assert all(1 <= error.retry_after_s <= 60 for error in refusals)
    assert all(str(error).startswith("Too much. Wait") for error in refusals)
    return tries - len(refusals)


def caller(request: pytest.FixtureRequest) -> str:
    """A caller whom no other test and no second try has counted."""
    return f"{request.node.name} {id(request)}"


def test_two_processes_count_together(
    settings: Settings, address: str, request: pytest.FixtureRequest
) -> None:
    settings.REDIS_URL = address
    one, other, who = Allowance(), Allowance(), caller(request)
    assert taken(one, who, 5, 3) == 3
    assert taken(other, who, 5, 9) == 2
    assert taken(one, who, 5, 9) == 0
    assert taken(other, f"{who} else", 5, 5) == 5


def test_a_process_works_off_what_it_took(
    settings: Settings, address: str, request: pytest.FixtureRequest
) -> None:
    settings.REDIS_URL = address
    one, other, who = Allowance(), Allowance(), caller(request)
    # A sixtieth of a minute's share is taken with the first request: the other one misses it.
    assert taken(one, who, 6000, 1) == 1
    passed = taken(other, who, 6000, 8000)
    assert 5900 <= passed < 8000  # the rest, and what refills meanwhile


def test_without_redis_each_counts_for_itself(
    settings: Settings, request: pytest.FixtureRequest
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    one, who = Allowance(), caller(request)
    assert taken(one, who, 5, 9) == 5
    settings.REDIS_URL = ""
    assert taken(Allowance(), who, 5, 9) == 5
