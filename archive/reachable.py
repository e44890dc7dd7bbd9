"""What this site needs and reaches by the network: its receiver, the bucket of its objects.

What does not answer at one look may be starting again. How long it has not is kept in the database,
since each look may be another worker's.
"""

from __future__ import annotations

import socket
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from archive.heartbeat import FAILING
from archive.models import Heartbeat

_CONNECT_TIMEOUT_S = 1.0


def receiver_address() -> tuple[str, int]:
    """Return where this machine reaches the receiver."""
    host = settings.DICOM_SCP_HOST
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - bind addresses
    return anywhere.get(host, host), settings.DICOM_SCP_PORT


def receiver_trouble(timeout_s: float = _CONNECT_TIMEOUT_S) -> str:
    """Return why the receiver cannot be reached; empty when it answers."""
    try:
        with socket.create_connection(receiver_address(), timeout=timeout_s):
            return ""
    except OSError as error:
        host, port = receiver_address()
        return f"The receiver does not answer on {host}:{port} ({error.strerror or error})."


def failing_for(what: str, *, is_failing: bool) -> timedelta:
    """Note whether something answers; return for how long it has not, as far as anybody looked."""
    name = f"{FAILING} {what}"
    if not is_failing:
        Heartbeat.objects.filter(name=name).delete()
        return timedelta()
    row, _ = Heartbeat.objects.get_or_create(name=name, defaults={"kind": FAILING})
    return timezone.now() - row.at
