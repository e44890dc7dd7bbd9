"""The site's alerts as notifications for administrators, and as mail."""

from __future__ import annotations

import socket
from hashlib import sha256
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse

from archive import jobs
from archive.models import Alert
from archive.runner import Payloads, subscriber
from notifications.models import Kind
from notifications.services import Message, notify, recipients


@subscriber("alert.changed")
def announce(payloads: Payloads) -> None:
    """Queue a notification and a mail for each alert that was raised or is over."""
    for payload in payloads:
        alert_id, is_open = payload["alert_id"], payload["is_open"]
        if is_open:
            jobs.enqueue("notify.alert", alert_id, alert_id=alert_id)
        # A job for each: one address that is refused does not bring the others a second mail.
        for address in addresses():
            digest = sha256(address.encode()).hexdigest()[:16]
            key = f"{alert_id} {'open' if is_open else 'over'} {digest}"
            jobs.enqueue(
                "notify.alert_mail", key, alert_id=alert_id, address=address, is_open=is_open
            )


@jobs.handler("notify.alert")
def tell(alert_id: str) -> None:
    """Tell administrators on their pages; again when it has become urgent."""
    alert = Alert.objects.filter(pk=UUID(alert_id)).first()
    if alert is None or alert.cleared_at is not None:
        return
    notify(
        Message(
            kind=Kind.SITE_ALERT,
            key=f"{alert_id} {alert.level}",
            title=alert.text,
            body=alert.remedy,
            url=reverse("worklist:site-health"),
        )
    )


@jobs.handler("notify.alert_mail")
def mail(alert_id: str, address: str, *, is_open: bool) -> None:
    """Mail it to somebody; what fails is tried again by the runner."""
    alert = Alert.objects.filter(pk=UUID(alert_id)).first()
    if alert is None:
        return
    site = socket.gethostname()
    if is_open:
        subject = f"[NoctisPro {site}] {alert.get_level_display()}: {alert.text}"
        body = (
            f"{alert.text}\n\nWhat to do: {alert.remedy}\n\n"
            f"Since {alert.since:%Y-%m-%d %H:%M} UTC, on {site}. The page “Health” shows all."
        )
    else:
        subject = f"[NoctisPro {site}] Over: {alert.text}"
        body = f"This is over:\n\n{alert.text}\n\nIt began {alert.since:%Y-%m-%d %H:%M} UTC."
    EmailMessage(
        " ".join(subject.split()),
        f"{body}\n",
        to=[address],
        headers={"Auto-Submitted": "auto-generated"},
    ).send()


def addresses() -> list[str]:
    """Return who gets mail: those of NOCTIS_ALERT_MAIL, else administrators who want to know.

    Nobody, where no mail server is named.
    """
    if not settings.EMAIL_HOST:
        return []
    if settings.ALERT_MAIL_TO:
        return list(settings.ALERT_MAIL_TO)
    found = {user.email for user in recipients(Kind.SITE_ALERT, None) if user.email}
    return sorted(found)
