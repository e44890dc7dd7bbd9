"""The site's alerts reach administrators: on their pages, and by a real mail server."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from accounts.models import Role, User
from archive import alerts, jobs, runner
from archive.alerts import Finding, Verdict
from archive.models import AlertLevel, Job, JobState
from notifications.models import Notification, NotificationPreference
from tests import factories
from tests.services.servers import free_port

pytestmark = pytest.mark.django_db

WRONG = Finding("store", Verdict.WRONG, AlertLevel.DANGER, "The disk is nearly full.", "Make room.")
WELL = Finding("store", Verdict.WELL)


class _Inbox:
    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refused = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the library's name
        if self.refused > 0:
            self.refused -= 1
            return "451 Try again later"
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        assert envelope.rcpt_tos == [mail["To"]]
        self.mails.append(mail)
        return "250 Taken"


@pytest.fixture(scope="module")
def mail_server() -> Iterator[tuple[_Inbox, int]]:
    inbox = _Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield inbox, controller.port
    finally:
        controller.stop()


@pytest.fixture
def inbox(mail_server: tuple[_Inbox, int], settings: Any) -> _Inbox:
    inbox, port = mail_server
    inbox.mails.clear()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.DEFAULT_FROM_EMAIL = "pacs@example.org"
    settings.ALERT_MAIL_TO = []
    return inbox


@pytest.fixture
def administrator() -> User:
    ada = factories.user("ada", Role.ADMIN)
    ada.email = "ada@example.org"
    ada.save()
    factories.user("rita", Role.RADIOLOGIST)
    return ada


def settle(finding: Finding) -> None:
    alerts.settle("disk.free", [finding])
    runner.drain()


def test_administrators_are_told_once(administrator: User) -> None:
    for _ in range(3):
        settle(WRONG)
    (told,) = Notification.objects.all()
    assert (told.user, told.title, told.body) == (administrator, WRONG.text, WRONG.remedy)
    assert told.url == "/worklist/health/"
    settle(WELL)
    settle(WRONG)
    assert Notification.objects.count() == 2


def test_alerts_and_their_end_are_mailed(administrator: User, inbox: _Inbox) -> None:
    settle(WRONG)
    settle(WRONG)
    settle(WELL)
    raised, over = inbox.mails
    assert raised["To"] == "ada@example.org"
    assert raised["From"] == "pacs@example.org"
    assert raised["Auto-Submitted"] == "auto-generated"
    assert raised["Subject"].endswith("Now: The disk is nearly full.")
    assert "What to do: Make room." in raised.get_content()
    assert "Over: The disk is nearly full." in over["Subject"]


def test_mail_goes_to_whom_the_site_names(
    administrator: User, inbox: _Inbox, settings: Any
) -> None:
    settings.ALERT_MAIL_TO = ["it@example.org", "night@example.org"]
    settle(WRONG)
    assert sorted(mail["To"] for mail in inbox.mails) == settings.ALERT_MAIL_TO


def test_who_does_not_want_to_know_gets_no_mail(administrator: User, inbox: _Inbox) -> None:
    NotificationPreference.objects.create(user=administrator, kind="site.alert", is_in_app=False)
    settle(WRONG)
    assert inbox.mails == []
    assert not Notification.objects.exists()


def test_a_mail_server_that_is_busy_is_asked_again(
    administrator: User, inbox: _Inbox, settings: Any
) -> None:
    settings.ALERT_MAIL_TO = ["it@example.org"]
    inbox.refused = 1
    settle(WRONG)
    waiting = Job.objects.get(kind="notify.alert_mail", state=JobState.QUEUED)
    assert inbox.mails == []
    assert "Try again later" in waiting.last_error
    Job.objects.update(run_at=waiting.created_at)
    claimed = jobs.claim()
    assert claimed is not None
    assert jobs.run(claimed)
    assert len(inbox.mails) == 1


def test_without_a_mail_server_nothing_is_mailed(administrator: User, settings: Any) -> None:
    settings.EMAIL_HOST = ""
    settle(WRONG)
    assert not Job.objects.filter(kind="notify.alert_mail").exists()
    assert Notification.objects.count() == 1
