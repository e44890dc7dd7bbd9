"""Sessions end where nobody is at the screen."""

from __future__ import annotations

import time

import pytest
from django.test import Client
from pytest_django import Settings

from accounts import sessions
from accounts.models import User
from fastapi_app import auth
from notifications import identity

pytestmark = pytest.mark.django_db

PAGE = "/worklist/studies/"
HERE = "/accounts/api/here/"
BY_SCRIPT = {"HTTP_SEC_FETCH_MODE": "cors"}


class Clock:
    """Stands for the time of day."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Clock:
    settings.IDLE_S = 600.0
    clock = Clock()
    monkeypatch.setattr(sessions, "time", clock)
    return clock


@pytest.fixture
def client(radiologist: User, clock: Clock) -> Client:
    client = Client()
    client.force_login(radiologist)
    return client


def is_in(client: Client) -> bool:
    return client.get(PAGE, **BY_SCRIPT).status_code == 200  # type: ignore[arg-type]


def test_a_session_nobody_uses_is_over_everywhere(client: Client, clock: Clock) -> None:
    key = client.session.session_key
    assert key is not None
    clock.now += 599
    assert is_in(client)
    assert auth._user_of_session(key) is not None
    assert identity.identify([key])
    clock.now += 2
    assert auth._user_of_session(key) is None
    assert identity.identify([key]) == {}
    assert not is_in(client)
    # It is gone, not only refused.
    clock.now -= 10
    assert not is_in(client)


def test_pages_by_themselves_keep_none_alive(client: Client, clock: Clock) -> None:
    for _ in range(7):
        clock.now += 100
        client.get("/worklist/api/state/", **BY_SCRIPT)  # type: ignore[arg-type]
        client.post("/accounts/api/theme/", "{}", "application/json", **BY_SCRIPT)  # type: ignore[arg-type]
    assert not is_in(client)


@pytest.mark.parametrize("use", ["page", "here", "program"])
def test_people_keep_it_alive(client: Client, clock: Clock, use: str) -> None:
    for _ in range(7):
        clock.now += 100
        if use == "here":
            answer = client.post(HERE, **BY_SCRIPT)  # type: ignore[arg-type]
            assert answer.status_code == 204
        elif use == "page":
            assert client.get(PAGE, HTTP_SEC_FETCH_MODE="navigate").status_code == 200
        else:
            assert client.get(PAGE).status_code == 200
    assert is_in(client)


def test_use_is_noted_once_a_minute(client: Client, clock: Clock) -> None:
    before = client.session["accounts.seen"]
    clock.now += 60
    client.post(HERE)
    assert client.session["accounts.seen"] == before
    clock.now += 1
    client.post(HERE)
    assert client.session["accounts.seen"] == clock.now


def test_nobody_is_not_here(db: None) -> None:
    assert Client().post(HERE).status_code == 401
