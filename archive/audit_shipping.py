"""Sending the audit trail to a receiver of audit messages: syslog over TLS (RFC 5424, RFC 5425).

The trail itself is the queue: it is durable and its seals have an order. What has been sent is one
row. Nothing is added to an access for it, and an outage of any length loses nothing.

Syslog has no acknowledgement. A batch counts as taken when the receiver, after we have said that
nothing more comes, has read to the end and closed the connection; when that does not happen, the
whole batch goes again. A receiver may therefore get an event twice, never not at all unless it
loses what it has read; the event's id, in the structured data, tells them apart.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import threading
from datetime import UTC, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from archive import heartbeat, jobs, runner
from archive.audit_facts import Facts, facts_of, our_host
from archive.audit_message import audit_message
from archive.models import AuditEvent, AuditSeal, AuditShipment

logger = logging.getLogger(__name__)

# Facility 10 (security), severity 5 (notice).
_PRIORITY = 85
_MESSAGE_ID = "DICOM+RFC3881"  # PS3.15 A.6
# An enterprise number of documentation (RFC 5612): this project has none of its own.
_ENTERPRISE = 32473
_BATCH = 500
_TIMEOUT_S = 10.0
_LEASE = timedelta(minutes=2)
_AFTER_FAILURE = timedelta(seconds=30)


@runner.pulse
def request() -> None:
    """Queue a shipment when there are sealed events that were not sent."""
    receiver = settings.AUDIT_SYSLOG
    if not receiver:
        return
    row = AuditShipment.objects.filter(receiver=receiver).first()
    now = timezone.now()
    if row is not None:
        if row.sender_until is not None and row.sender_until > now:
            return
        if not _waiting(row).exists():
            return
    elif not AuditSeal.objects.exists():
        return
    jobs.enqueue("audit.ship", "syslog")


@jobs.handler("audit.ship")
def ship() -> None:
    """Send what waits, in order, as long as it is taken; a failure waits for the next try."""
    receiver = settings.AUDIT_SYSLOG
    if not receiver:
        return
    row, _ = AuditShipment.objects.get_or_create(receiver=receiver)
    me = f"{heartbeat.process_name()}:{threading.get_ident()}"
    while _lease(row, me):
        events = list(_waiting(row).order_by("seal_number", "id")[:_BATCH])
        if not events:
            _release(row, me)
            return
        try:
            send(receiver, [frame(facts) for facts in facts_of(events)])
        except (OSError, ValueError) as error:
            _note_failure(row, me, str(error) or type(error).__name__)
            return
        _note_sent(row, me, events)


def waiting_count() -> int:
    """Return how many sealed events wait to be sent; 0 where nothing is to be sent."""
    if not settings.AUDIT_SYSLOG:
        return 0
    row = AuditShipment.objects.filter(receiver=settings.AUDIT_SYSLOG).first()
    return _waiting(row or AuditShipment()).count()


def shipment() -> AuditShipment | None:
    """Return how far it has come, for the receiver that is set."""
    return AuditShipment.objects.filter(receiver=settings.AUDIT_SYSLOG).first()


def _waiting(row: AuditShipment) -> QuerySet[AuditEvent]:
    later = Q(seal_number__gt=row.seal_number)
    if row.event_id is not None:
        later |= Q(seal_number=row.seal_number, id__gt=row.event_id)
    return AuditEvent.objects.filter(later)


def _lease(row: AuditShipment, me: str) -> bool:
    """Be the one who sends, for a while; another worker takes over from one that died."""
    now = timezone.now()
    free = Q(sender_until=None) | Q(sender_until__lt=now) | Q(sender=me)
    changed = AuditShipment.objects.filter(free, receiver=row.receiver).update(
        sender=me, sender_until=now + _LEASE
    )
    if changed:
        row.refresh_from_db()
    return bool(changed)


def _mine(row: AuditShipment, me: str) -> QuerySet[AuditShipment]:
    return AuditShipment.objects.filter(receiver=row.receiver, sender=me)


def _release(row: AuditShipment, me: str) -> None:
    _mine(row, me).update(sender="", sender_until=None)


def _note_sent(row: AuditShipment, me: str, events: list[AuditEvent]) -> None:
    last = events[-1]
    _mine(row, me).update(
        seal_number=last.seal_number,
        event_id=last.pk,
        sent_count=row.sent_count + len(events),
        sent_at=timezone.now(),
        failing_since=None,
        last_error="",
    )
    if row.failing_since is not None:
        logger.info("Audit messages are taken again by %s", row.receiver)


def _note_failure(row: AuditShipment, me: str, error: str) -> None:
    if row.failing_since is None:
        logger.warning("Audit messages wait: %s takes none: %s", row.receiver, error)
    now = timezone.now()
    # The lease is the pause: the next pulse after it tries again.
    _mine(row, me).update(
        failing_since=row.failing_since or now,
        last_error=error[:255],
        sender="",
        sender_until=now + _AFTER_FAILURE,
    )


def frame(facts: Facts) -> bytes:
    """Return an event as one octet-counted frame (RFC 5425 4.3) with a message of RFC 5424."""
    event = facts.event
    at = event.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = f'[noctis@{_ENTERPRISE} event="{event.pk}" seal="{event.seal_number or 0}"]'
    head = f"<{_PRIORITY}>1 {at} {our_host()} noctispro {os.getpid()} {_MESSAGE_ID} {data} "
    # UTF-8 begins with its mark (RFC 5424 6.4).
    message = head.encode("ascii", "replace") + b"\xef\xbb\xbf" + audit_message(facts).encode()
    return b"%d %s" % (len(message), message)


def send(receiver: str, frames: list[bytes]) -> None:
    """Send frames over one connection, and see it closed by the receiver after the last.

    Parameters
    ----------
    receiver : `tls://host:port`

    Raises
    ------
    OSError
        When it cannot be reached, is not who it should be, or did not read to the end.
    """
    address = urlsplit(receiver)
    host, port = address.hostname or "", address.port or 6514
    context = _context()
    with (
        socket.create_connection((host, port), timeout=_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        for one in frames:
            connection.sendall(one)
        _wait_for_end(connection)


def _wait_for_end(connection: ssl.SSLSocket) -> None:
    """Say that this was all, and wait until the receiver has read it."""
    try:
        plain = connection.unwrap()
    except ssl.SSLError as error:
        # Many close without TLS's own good-bye; what counts is that they did not reset.
        if not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
            raise
        return
    with contextlib.closing(plain):
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(4096):
            pass


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.AUDIT_SYSLOG_CA)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.AUDIT_SYSLOG_CERT:
        context.load_cert_chain(settings.AUDIT_SYSLOG_CERT, settings.AUDIT_SYSLOG_KEY)
    return context
