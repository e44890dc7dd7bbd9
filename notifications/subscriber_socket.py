"""The socket of a program that subscribed to work items (PS3.18 section 8.10): docs/api/events.md.

It carries event reports as DICOM JSON and nothing else. Whoever opens it signs in as for DICOMweb,
and hears what the same account subscribed to under this AE title.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.http import parse_cookie

from accounts.auth import user_of_basic
from archive.errors import TooManyAttemptsError
from imaging import aetitle, ups
from imaging.errors import ImagingError
from notifications.consumers import SocketConsumer
from notifications.feed import Message
from notifications.identity import Identity, identify, key_of_account, key_of_token
from notifications.origin import has_origin, is_lawful_host, is_own_origin
from notifications.relay import RelayNotReadyError, relay

_LONGEST_CREDENTIAL = 8192


class SubscriberConsumer(SocketConsumer):
    """Hands on the event reports that the relay has for this account and AE title."""

    def __init__(self) -> None:
        super().__init__()
        self._message_id = 0

    async def connect(self) -> None:
        """Refuse foreign pages, strangers and titles that are none; listen for the others."""
        headers = list(self.scope["headers"])
        address = (self.scope.get("client") or [None])[0]
        identity = None
        if is_lawful_host(headers) and (not has_origin(headers) or is_own_origin(headers)):
            identity = await database_sync_to_async(self._recognise)(headers, address)
        if identity is None:
            # Closing before accepting answers 403.
            await self.close()
            return
        self.identity = identity
        try:
            # First listen, then accept: whoever subscribes once it is open misses nothing.
            await relay().add(self)
        except RelayNotReadyError:
            await self.close()
            return
        await self.accept()
        self.is_open = True

    def _recognise(
        self, headers: list[tuple[bytes, bytes]], address: str | None
    ) -> Identity | None:
        """Return who opens the socket; remembers what is asked again while it is open."""
        try:
            title = aetitle.validate(self.scope["url_route"]["kwargs"]["ae_title"])
            self.session_key = _key_of(headers, address)
        except (ImagingError, TooManyAttemptsError):
            return None
        found = identify([self.session_key]).get(self.session_key) if self.session_key else None
        return None if found is None else replace(found, ae_title=title)

    async def deliver(self, messages: list[Message]) -> None:
        """Send event reports."""
        for message in messages:
            self._message_id += 1
            await self.write(
                ups.event_report(
                    message["type"],
                    message["uid"],
                    message["information"],
                    message_id=self._message_id,
                )
            )

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take nothing; floods end the connection."""
        await self.count(text_data or bytes_data or "")


def _key_of(headers: list[tuple[bytes, bytes]], address: str | None) -> str:
    """Return what says who sends a request; empty: nothing that is known.

    A cookie counts from our own pages alone: browsers send it by themselves.
    """
    values = {name.lower(): value.decode("latin-1") for name, value in headers}
    authorization = values.get(b"authorization", "")
    if len(authorization) > _LONGEST_CREDENTIAL:
        return ""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return key_of_token(value.strip())
    if scheme.lower() == "basic":
        user = user_of_basic(value, address=address)
        return key_of_account(user) if user is not None else ""
    if authorization or not is_own_origin(headers):
        return ""
    cookies: dict[str, Any] = parse_cookie(values.get(b"cookie", "")[:_LONGEST_CREDENTIAL])
    key = str(cookies.get(settings.SESSION_COOKIE_NAME, ""))
    return "" if " " in key else key
