"""Caps, the reserve, and who makes room."""

from __future__ import annotations

import threading

import pytest

from dimse import census
from dimse.census import Census, Guest, Limits

LIMITS = Limits(total=6, reserve=2, per_address=5, per_ae_title=3, pending=2)


@pytest.fixture
def evicted() -> list[str]:
    return []


def guest(evicted: list[str], title: str, address: str = "10.0.0.1", idle_s: float = 0) -> Guest:
    someone = Guest(address, title, lambda: evicted.append(title), lambda: None)
    someone.last_progress -= idle_s
    return someone


def test_one_title_has_its_cap(evicted: list[str]) -> None:
    here = Census(LIMITS)
    for _ in range(3):
        assert here.enter(guest(evicted, "A")) == ""
    assert here.enter(guest(evicted, "A")) == "A has 3 associations already."
    assert here.enter(guest(evicted, "B")) == ""
    assert evicted == []


def test_one_address_has_its_cap(evicted: list[str]) -> None:
    here = Census(LIMITS)
    for title in "ABCDE":
        assert here.enter(guest(evicted, title)) == ""
    assert "10.0.0.1 has 5" in here.enter(guest(evicted, "F"))
    assert here.enter(guest(evicted, "F", "10.0.0.2")) == ""


def test_the_last_places_are_for_those_who_have_none(evicted: list[str]) -> None:
    here = Census(LIMITS)
    for title in "ABCD":
        assert here.enter(guest(evicted, title, title)) == ""
    assert "As many" in here.enter(guest(evicted, "A", "A"))
    assert here.enter(guest(evicted, "E", "E")) == ""
    assert here.enter(guest(evicted, "F", "F")) == ""
    assert "As many" in here.enter(guest(evicted, "G", "G"))


def test_who_stood_still_for_longest_makes_room(evicted: list[str]) -> None:
    here = Census(LIMITS)
    guests = [guest(evicted, "A", idle_s=idle_s) for idle_s in (0, 9, 5)]
    for someone in guests:
        here.enter(someone)
    assert here.enter(guest(evicted, "A")) == ""
    assert guests[1] not in here.guests
    assert len(here.guests) == 3
    assert evicted == ["A"]
    here.leave(guests[1])  # its thread ends later
    assert len(here.guests) == 3


def test_who_is_served_does_not_make_room(evicted: list[str]) -> None:
    here = Census(LIMITS)
    for _ in range(3):
        someone = guest(evicted, "A", idle_s=99)
        someone.is_served = True
        here.enter(someone)
    assert here.enter(guest(evicted, "A")) != ""
    assert evicted == []


def test_progress_keeps_the_place(evicted: list[str]) -> None:
    here = Census(LIMITS)
    for _ in range(3):
        someone = guest(evicted, "A", idle_s=99)
        someone.touch()
        here.enter(someone)
    assert here.enter(guest(evicted, "A")) != ""


def test_leaving_frees_the_place(evicted: list[str]) -> None:
    here = Census(LIMITS)
    guests = [guest(evicted, "A") for _ in range(3)]
    for someone in guests:
        here.enter(someone)
    here.leave(guests[0])
    assert here.enter(guest(evicted, "A")) == ""


def test_the_oldest_unnamed_connection_is_dropped() -> None:
    here, dropped = Census(LIMITS), []
    for name in ("first", "second", "third"):
        here.wait(name, lambda name=name: dropped.append(name))
    assert dropped == ["first"]
    here.settle("second")
    here.wait("fourth", lambda: dropped.append("fourth"))
    assert dropped == ["first"]


def test_many_threads_never_exceed_the_cap() -> None:
    here = Census(Limits(total=40, reserve=0, per_address=20, per_ae_title=10, pending=1))
    most = []

    def come_and_go() -> None:
        for _ in range(200):
            someone = Guest("10.0.0.1", "A", lambda: None, lambda: None)
            if not here.enter(someone):
                most.append(len(here.guests))
                here.leave(someone)

    threads = [threading.Thread(target=come_and_go) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 10
    assert here.guests == []
    assert census.STALE_S > 0
