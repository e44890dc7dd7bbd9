"""Pieces of work of one request: their order, what waits for what, and whose error is whose."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

import pytest
from django.db import transaction

from archive import abreast, correlation
from archive.abreast import Abreast

WAIT_S = 20


class Piece:
    """A piece of work that ends when the test says so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> str:
        self.has_begun.set()
        assert self.may_end.wait(WAIT_S)
        return self.name


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_results_keep_their_order_whatever_ends_first() -> None:
    one, two = Piece("one"), Piece("two")
    with Abreast[str]() as storing:
        storing.begin(one)
        storing.add("no work")
        storing.begin(two)
        two.may_end.set()
        assert two.has_begun.wait(WAIT_S)
        assert list(storing.finished()) == []
        one.may_end.set()
        assert list(storing.all()) == ["one", "no work", "two"]


def test_pieces_of_one_key_are_done_one_after_the_other() -> None:
    first, second, other = Piece("first"), Piece("second"), Piece("other")
    with Abreast[str]() as storing:
        storing.begin(first, key="1.2")
        storing.begin(other, key="1.3")
        assert other.has_begun.wait(WAIT_S)
        waiting = in_thread(lambda: storing.begin(second, key="1.2"))
        assert not second.has_begun.wait(0.05)
        first.may_end.set()
        assert second.has_begun.wait(WAIT_S)
        waiting.join(WAIT_S)
        second.may_end.set()
        other.may_end.set()


@pytest.mark.parametrize("size", [1, abreast._MOST_BYTES // 2 + 1], ids=["many", "large"])
def test_what_is_in_hand_is_bounded(size: int) -> None:
    most = abreast._AT_ONCE if size == 1 else 1
    pieces = [Piece(str(number)) for number in range(most)]
    more = Piece("more")
    with Abreast[str]() as storing:
        for piece in pieces:
            storing.begin(piece, size_bytes=size)
        waiting = in_thread(lambda: storing.begin(more, size_bytes=size))
        assert not more.has_begun.wait(0.05)
        for piece in pieces:
            piece.may_end.set()
        assert more.has_begun.wait(WAIT_S)
        waiting.join(WAIT_S)
        more.may_end.set()
        assert list(storing.all()) == [piece.name for piece in (*pieces, more)]


def test_an_error_is_raised_in_its_turn_and_the_others_end_before_the_block_does() -> None:
    last = Piece("last")
    done: list[str] = []

    def fail() -> str:
        raise LookupError("broken")

    def work() -> str:
        done.append(last())
        return "last"

    def request() -> None:
        with Abreast[str]() as storing:
            storing.add("first")
            storing.begin(fail)
            storing.begin(work)
            results = storing.all()
            assert next(results) == "first"
            threading.Timer(0.02, last.may_end.set).start()
            next(results)

    with pytest.raises(LookupError, match="broken"):
        request()
    assert done == ["last"]


def test_a_piece_belongs_to_the_request_that_gave_it() -> None:
    def request() -> list[str]:
        correlation.begin_request("of-a-gateway")
        with Abreast[str]() as storing:
            storing.begin(lambda: correlation.current()["request_id"])
            return list(storing.all())

    assert contextvars.Context().run(request) == ["of-a-gateway"]


@pytest.mark.django_db
def test_within_a_transaction_the_caller_does_it_alone() -> None:
    with transaction.atomic(), Abreast[int]() as storing:
        storing.begin(threading.get_ident)
        assert list(storing.all()) == [threading.get_ident()]
