"""The event socket in process: who may open it, what comes, when it ends.

Not here: a real server and another process (tests/doors/test_event_socket.py).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.db import DatabaseError, connections
from django.test import Client

from accounts.models import Role, User
from archive import outbox
from notifications import consumers, services
from notifications import relay as relay_module
from notifications.feed import Cursor
from notifications.models import Kind
from notifications.services import Message
from tests import factories
from worklist.models import Facility

pytestmark = pytest.mark.django_db(transaction=True)

HOST = "localhost:8000"
OWN = "http://localhost:8000"
Open = Callable[..., Awaitable[WebsocketCommunicator]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "POLL_S", 0.02)
    monkeypatch.setattr(relay_module, "RECHECK_S", 0.1)
    monkeypatch.setattr(relay_module, "_AFTER_FAILURE_S", 0.05)


@pytest.fixture(autouse=True)
async def _leave_no_connection() -> AsyncIterator[None]:
    """Close what the thread behind `sync_to_async` keeps, so that the database can be dropped."""
    yield
    await sync_to_async(connections.close_all)()


def cookie_of(user: User | None) -> str:
    client = Client()
    if user is not None:
        client.force_login(user)
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


def socket(cookie: str, *, origin: str | None = OWN) -> WebsocketCommunicator:
    from noctis_pro.asgi import application

    headers = [(b"host", HOST.encode()), (b"cookie", cookie.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return WebsocketCommunicator(application, "/ws/events/", headers=headers)


@pytest.fixture
async def open_socket() -> AsyncIterator[Open]:
    opened: list[WebsocketCommunicator] = []

    async def open_for(user: User) -> WebsocketCommunicator:
        cookie = await sync_to_async(cookie_of)(user)
        found = socket(cookie)
        is_open, _ = await found.connect(timeout=5)
        assert is_open
        opened.append(found)
        found.cookie = cookie
        found.hello = await found.receive_json_from(timeout=5)
        return found

    yield open_for
    for found in opened:
        await found.disconnect()
    await drained()


async def drained() -> None:
    """Wait until the relay has ended and closed its database connection."""
    found = relay_module.relay()
    for _ in range(500):
        if found._task is None:
            break
        await asyncio.sleep(0.01)
    assert found._task is None
    await asyncio.sleep(0.05)


async def closing_code(found: WebsocketCommunicator) -> int:
    while True:
        message = await found.receive_output(timeout=5)
        if message["type"] == "websocket.close":
            return int(message["code"])


@sync_to_async
def change(facility: Facility) -> UUID:
    study_id = uuid4()
    outbox.record(outbox.StudyChanged(facility_id=facility.pk, study_id=study_id))
    return study_id


async def next_of(found: WebsocketCommunicator, kind: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = await found.receive_json_from(timeout=5)
        if message["type"] == kind:
            return message


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example", "http://localhost:9000", "http://localhost"]
)
async def test_foreign_pages_are_refused(radiologist: User, origin: str | None) -> None:
    cookie = await sync_to_async(cookie_of)(radiologist)
    found = socket(cookie, origin=origin)
    is_open, _ = await found.connect(timeout=5)
    assert not is_open
    await found.disconnect()


@pytest.mark.parametrize("cookie", ["", "noctis_session=doesnotexist", "noctis_session="])
async def test_without_a_session_it_says_so(db: None, cookie: str) -> None:
    found = socket(cookie)
    is_open, _ = await found.connect(timeout=5)
    assert is_open
    assert await closing_code(found) == consumers.NO_SESSION
    await found.disconnect()


async def test_the_greeting(radiologist: User, facility: Facility, open_socket: Open) -> None:
    await sync_to_async(services.notify)(
        Message(Kind.STUDY_NEW, "k", "New", facility_id=facility.pk)
    )
    hello = (await open_socket(radiologist)).hello
    assert hello == {
        "type": "hello",
        "at": hello["at"],
        "user": {"id": str(radiologist.pk), "name": "rita"},
        "unread": 1,
        "facilities": [str(facility.pk)],
        "heartbeat_s": 20.0,
    }


async def test_each_hears_of_their_facilities_alone(
    radiologist: User,
    admin_user: User,
    facility: Facility,
    other_facility: Facility,
    open_socket: Open,
) -> None:
    stranger = await sync_to_async(factories.user)("sam", Role.RADIOLOGIST, [other_facility])
    ours, theirs, all_of_it = [
        await open_socket(user) for user in (radiologist, stranger, admin_user)
    ]
    assert all_of_it.hello["facilities"] is None
    north, south = await change(facility), await change(other_facility)
    assert (await next_of(ours, "study.changed"))["study_id"] == str(north)
    assert (await next_of(theirs, "study.changed"))["study_id"] == str(south)
    both = {(await next_of(all_of_it, "study.changed"))["study_id"] for _ in range(2)}
    assert both == {str(north), str(south)}
    assert await ours.receive_nothing(timeout=0.2)
    assert await theirs.receive_nothing(timeout=0.2)


async def test_refused_callers_are_for_administrators(
    radiologist: User, admin_user: User, open_socket: Open
) -> None:
    ours, admins = await open_socket(radiologist), await open_socket(admin_user)
    event = outbox.CallerRefused(knock_id=uuid4(), calling_ae_title="CT_2")
    await sync_to_async(outbox.record)(event)
    assert (await next_of(admins, "caller.refused"))["calling_ae_title"] == "CT_2"
    assert await ours.receive_nothing(timeout=0.2)


async def test_ones_bell_rings_on_every_page(
    radiologist: User, facility: Facility, open_socket: Open
) -> None:
    other = await sync_to_async(factories.user)("otto", Role.REFERRER, [facility])
    one, two = await open_socket(radiologist), await open_socket(radiologist)
    theirs = await open_socket(other)
    await sync_to_async(services.notify)(
        Message(Kind.STUDY_NEW, "k", "New CT study", facility_id=facility.pk)
    )
    for page in (one, two):
        message = await next_of(page, "notification.new")
        assert message["unread"] == 1
        assert message["notification"]["title"] == "New CT study"
    await sync_to_async(services.mark_all_read)(radiologist)
    for page in (one, two):
        assert (await next_of(page, "notification.unread"))["unread"] == 0
    assert await theirs.receive_nothing(timeout=0.2)


async def test_signing_out_ends_it(
    radiologist: User, facility: Facility, open_socket: Open
) -> None:
    found = await open_socket(radiologist)
    other = await open_socket(radiologist)

    def sign_out() -> None:
        client = Client()
        name, _, value = found.cookie.partition("=")
        client.cookies[name] = value
        client.logout()

    await sync_to_async(sign_out)()
    assert await closing_code(found) == consumers.NO_SESSION
    await change(facility)
    assert (await next_of(other, "study.changed"))["type"] == "study.changed"


@pytest.mark.parametrize("how", ["inactive", "password", "expired"])
async def test_what_ends_a_session_ends_it(radiologist: User, open_socket: Open, how: str) -> None:
    found = await open_socket(radiologist)

    def end() -> None:
        from django.contrib.sessions.models import Session
        from django.utils import timezone

        if how == "inactive":
            User.objects.update(is_active=False)
        elif how == "password":
            radiologist.set_password("another one entirely")
            radiologist.save()
        else:
            Session.objects.update(expire_date=timezone.now())

    await sync_to_async(end)()
    assert await closing_code(found) == consumers.NO_SESSION


async def test_a_change_of_facilities_counts_at_once(
    radiologist: User, facility: Facility, other_facility: Facility, open_socket: Open
) -> None:
    found = await open_socket(radiologist)
    await sync_to_async(radiologist.facilities.set)([other_facility])
    await asyncio.sleep(0.4)
    await change(facility)
    study_id = await change(other_facility)
    assert (await next_of(found, "study.changed"))["study_id"] == str(study_id)


async def test_a_stumbling_database_loses_nothing(
    radiologist: User, facility: Facility, open_socket: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await open_socket(radiologist)
    read = Cursor.read
    failures = iter(range(3))

    def stumble(cursor: Cursor) -> Any:
        events = read(cursor)
        if events and next(failures, None) is not None:
            raise DatabaseError("the connection is closed")
        return events

    monkeypatch.setattr(Cursor, "read", stumble)
    study_id = await change(facility)
    assert (await next_of(found, "study.changed"))["study_id"] == str(study_id)
    assert list(failures) == []
    assert await found.receive_nothing(timeout=0.2)


async def test_pings_are_answered_and_floods_are_not(radiologist: User, open_socket: Open) -> None:
    found = await open_socket(radiologist)
    for text in ("nonsense", "[]", '{"type": "subscribe", "facility": "all"}', "[" * 1000):
        await found.send_to(text_data=text)
    await found.send_json_to({"type": "ping"})
    assert (await next_of(found, "pong"))["at"].endswith("Z")
    for _ in range(60):
        await found.send_json_to({"type": "ping"})
    assert await closing_code(found) == consumers.TOO_MUCH


async def test_long_messages_close_it(radiologist: User, open_socket: Open) -> None:
    found = await open_socket(radiologist)
    await found.send_to(text_data="x" * 1025)
    assert await closing_code(found) == consumers.TOO_MUCH


async def test_heartbeats_come(
    radiologist: User, open_socket: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "HEARTBEAT_S", 0.1)
    found = await open_socket(radiologist)
    for _ in range(3):
        assert (await next_of(found, "heartbeat"))["at"]


async def test_one_task_serves_all_pages_and_ends_with_the_last(
    radiologist: User, facility: Facility, open_socket: Open
) -> None:
    pages = [await open_socket(radiologist) for _ in range(3)]
    task = relay_module.relay()._task
    assert task is not None
    assert [t for t in asyncio.all_tasks() if "Relay._run" in repr(t)] == [task]
    await pages[0].disconnect()
    await change(facility)
    await next_of(pages[1], "study.changed")
    for page in pages[1:]:
        await page.disconnect()
    await drained()
    again = await open_socket(radiologist)
    study_id = await change(facility)
    assert (await next_of(again, "study.changed"))["study_id"] == str(study_id)


async def test_a_page_that_comes_during_a_recheck_stays(
    radiologist: User, facility: Facility, open_socket: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await open_socket(radiologist)
    asking = threading.Event()
    identify = relay_module.identify

    def ask_slowly(keys: Any) -> Any:
        found = identify(keys)
        asking.set()
        time.sleep(0.3)
        return found

    monkeypatch.setattr(relay_module, "identify", ask_slowly)
    await sync_to_async(asking.wait, thread_sensitive=False)(5)
    second = await open_socket(radiologist)
    study_id = await change(facility)
    for page in (first, second):
        assert (await next_of(page, "study.changed"))["study_id"] == str(study_id)
