"""The socket of an open page: docs/api/events.md."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.utils import timezone

from notifications.documents import moment
from notifications.feed import Message
from notifications.identity import Identity, identify
from notifications.origin import is_own_origin
from notifications.relay import HEARTBEAT_S, RelayNotReadyError, relay
from notifications.services import unread_count

logger = logging.getLogger(__name__)

NO_SESSION, TOO_SLOW, TOO_MUCH, TRY_LATER = 4401, 4408, 4429, 1013
_MOST_MESSAGES_A_MINUTE = 60
_MOST_CHARACTERS = 1024
_SEND_TIMEOUT_S = 10.0


class SocketConsumer(AsyncWebsocketConsumer):  # type: ignore[misc] # the library is untyped
    """What every socket of the relay does: it writes, counts what comes, and closes."""

    # Events come from the relay of this process; nothing goes through a channel layer.
    channel_layer_alias = None

    def __init__(self) -> None:
        super().__init__()
        self.session_key = ""
        self.identity: Identity | None = None
        self.is_open = False
        self._left = float(_MOST_MESSAGES_A_MINUTE)
        self._counted_at = time.monotonic()

    async def dismiss(self) -> None:
        """Close: there is no session, or it is over."""
        await self.shut(NO_SESSION)

    async def interrupt(self) -> None:
        """Close: this process has a problem; the other end may come again."""
        await self.shut(TRY_LATER)

    async def count(self, received: str | bytes) -> bool:
        """Count a message that came; returns whether it may be answered, and closes on floods."""
        now = time.monotonic()
        earned = (now - self._counted_at) / 60 * _MOST_MESSAGES_A_MINUTE
        self._left = min(self._left + earned, float(_MOST_MESSAGES_A_MINUTE)) - 1
        self._counted_at = now
        if self._left < 0 or len(received) > _MOST_CHARACTERS:
            await self.shut(TOO_MUCH)
            return False
        return True

    async def disconnect(self, code: int) -> None:
        """Listen no more."""
        self.is_open = False
        relay().remove(self)

    async def write(self, message: dict[str, Any]) -> None:
        """Send a message; an end that is gone or does not take it is let go."""
        if not self.is_open:
            return
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                await self.send(text_data=json.dumps(message, ensure_ascii=False))
        except TimeoutError:
            logger.info("A page does not take its events; its socket is closed.")
            await self.shut(TOO_SLOW)
        except (OSError, RuntimeError) as error:
            # Servers differ in how they say that the other end has gone.
            logger.debug("A page has gone: %s", error)
            self.is_open = False
            relay().remove(self)

    async def shut(self, code: int) -> None:
        """Close, and listen no more."""
        relay().remove(self)
        if self.is_open:
            self.is_open = False
            await self.close(code)


class EventConsumer(SocketConsumer):
    """Hands on what the relay has for this person; takes nothing but pings."""

    def __init__(self) -> None:
        super().__init__()
        # What came before the greeting went out.
        self._held: list[Message] | None = []

    async def connect(self) -> None:
        """Refuse foreign pages, dismiss people without a session, greet the others."""
        if not is_own_origin(self.scope["headers"]):
            # Closing before accepting answers 403.
            await self.close()
            return
        await self.accept()
        self.is_open = True
        self.session_key = self.scope["session"].session_key or ""
        identity = await _identity_of(self.session_key)
        if identity is None:
            await self.dismiss()
            return
        self.identity = identity
        try:
            # First listen, then greet: whatever the page loads after the greeting, nothing is
            # missed between the two.
            await relay().add(self)
        except RelayNotReadyError:
            await self.interrupt()
            return
        await self._greet(identity)

    async def _greet(self, identity: Identity) -> None:
        unread = await database_sync_to_async(unread_count)(identity.user_id)
        facilities = identity.scope.facility_ids
        await self.write(
            {
                "type": "hello",
                "at": moment(timezone.now()),
                "user": {"id": str(identity.user_id), "name": identity.name},
                "unread": unread,
                "facilities": None if facilities is None else sorted(map(str, facilities)),
                "heartbeat_s": HEARTBEAT_S,
            }
        )
        held, self._held = self._held or [], None
        await self.deliver(held)

    async def deliver(self, messages: list[Message]) -> None:
        """Send messages; a page that is gone or does not take them is let go."""
        if self._held is not None:
            self._held.extend(messages)
            return
        for message in messages:
            await self.write(message)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer pings, ignore the rest, close on floods."""
        may_be_answered = await self.count(text_data or bytes_data or "")
        if may_be_answered and self._held is None and _is_ping(text_data):
            await self.write({"type": "pong", "at": moment(timezone.now())})


async def _identity_of(session_key: str) -> Identity | None:
    if not session_key or " " in session_key:
        # A blank is in no session's key: it marks those of programs.
        return None
    found: dict[str, Identity] = await database_sync_to_async(identify)([session_key])
    return found.get(session_key)


def _is_ping(text: str | None) -> bool:
    try:
        message = json.loads(text or "")
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("type") == "ping"
