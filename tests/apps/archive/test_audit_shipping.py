"""Audit messages over TLS to a real rsyslog: all of them, in order, through outages."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from lxml import etree

from archive import alerts, audit, audit_shipping, seals, watch
from archive.access import EVERYTHING, Actor
from archive.models import Alert, AuditEvent, AuditShipment, Job
from tests.syslog import Receiver, certify, receiver

pytestmark = pytest.mark.django_db

CT = Actor(name="CT_NORTH", scope=EVERYTHING, address="192.0.2.7")
_SCHEMA = Path(__file__).parents[2] / "schemas" / "audit_message.rng"


@pytest.fixture(scope="module")
def rsyslog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with receiver(tmp_path_factory.mktemp("rsyslog")) as running:
        yield running


@pytest.fixture
def running(rsyslog: Receiver, settings: Any, tmp_path: Path) -> Receiver:
    settings.DATA_DIR, settings.SIGNING_KEY = tmp_path, ""
    settings.AUDIT_SYSLOG = rsyslog.url
    settings.AUDIT_SYSLOG_CA = rsyslog.folder / "ca.pem"
    settings.AUDIT_SYSLOG_CERT = settings.AUDIT_SYSLOG_KEY = None
    return rsyslog


def write(count: int) -> list[str]:
    """Write and seal events; returns their ids in order."""
    ids = [str(audit.record(CT, "query", number=n).pk) for n in range(count)]
    assert seals.seal()
    return ids


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def taken(running: Receiver, wanted: list[str]) -> list[str]:
    """Wait until the receiver has written these events; returns the order in which it has."""

    def order() -> list[str]:
        found = [line.partition('event="')[2].partition('"')[0] for line in running.messages]
        return [one for one in found if one in wanted]

    until(lambda: set(order()) == set(wanted))
    return order()


def test_messages_arrive_whole_and_in_order(
    running: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_shipping, "_BATCH", 3)
    ids = write(4) + write(4)
    audit_shipping.ship()
    assert taken(running, ids) == ids
    row = AuditShipment.objects.get()
    assert (row.sent_count, row.failing_since, row.sender) == (8, None, "")
    assert audit_shipping.waiting_count() == 0
    schema = etree.RelaxNG(etree.parse(str(_SCHEMA)))
    line = next(one for one in running.messages if ids[0] in one)
    assert line.startswith("<85>1 2")
    head, _, message = line.partition("\ufeff")
    assert head.split()[5] == "DICOM+RFC3881"
    schema.assertValid(etree.fromstring(message))
    audit_shipping.ship()
    assert taken(running, ids) == ids


def test_an_outage_loses_nothing_and_keeps_the_order(running: Receiver) -> None:
    before = write(3)
    audit_shipping.ship()
    taken(running, before)
    running.stop(signal.SIGKILL)
    try:
        during = write(3)
        audit_shipping.ship()
        row = AuditShipment.objects.get()
        assert row.failing_since is not None
        assert "refused" in row.last_error
        assert audit_shipping.waiting_count() == 3
        audit_shipping.request()
        # It is not asked again at once.
        assert not Job.objects.filter(kind="audit.ship").exists()
    finally:
        running.start()
    after = write(2)
    AuditShipment.objects.update(sender_until=timezone.now() - timedelta(seconds=1))
    audit_shipping.request()
    assert Job.objects.filter(kind="audit.ship").count() == 1
    audit_shipping.ship()
    assert taken(running, [*before, *during, *after]) == [*before, *during, *after]
    assert AuditShipment.objects.get().failing_since is None


def test_a_receiver_that_cannot_prove_who_it_is_gets_nothing(
    running: Receiver, settings: Any, tmp_path: Path
) -> None:
    settings.AUDIT_SYSLOG_CA = certify(tmp_path)[0]
    ids = write(1)
    audit_shipping.ship()
    assert "CERTIFICATE_VERIFY_FAILED" in AuditShipment.objects.get().last_error
    assert not any(ids[0] in line for line in running.messages)


def test_what_is_not_sealed_waits(running: Receiver) -> None:
    event = audit.record(CT, "query")
    audit_shipping.request()
    assert not Job.objects.filter(kind="audit.ship").exists()
    seals.seal()
    audit_shipping.request()
    assert Job.objects.filter(kind="audit.ship").exists()
    audit_shipping.ship()
    assert taken(running, [str(event.pk)])


def test_one_worker_at_a_time_sends(running: Receiver) -> None:
    write(1)
    AuditShipment.objects.create(
        receiver=running.url, sender="other", sender_until=timezone.now() + timedelta(minutes=1)
    )
    audit_shipping.ship()
    assert AuditShipment.objects.get().sent_count == 0
    AuditShipment.objects.update(sender_until=timezone.now() - timedelta(seconds=1))
    audit_shipping.ship()
    assert AuditShipment.objects.get().sent_count == 1


def test_without_a_receiver_nothing_is_queued(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT_SYSLOG, settings.DATA_DIR, settings.SIGNING_KEY = "", tmp_path, ""
    write(1)
    audit_shipping.request()
    audit_shipping.ship()
    assert not AuditShipment.objects.exists()
    assert not Job.objects.filter(kind="audit.ship").exists()


def test_a_long_outage_is_an_alert(running: Receiver) -> None:
    row = AuditShipment.objects.create(receiver=running.url, failing_since=timezone.now())
    check = watch.messages_wait
    alerts.settle("audit.waits", check())
    assert not Alert.objects.exists()
    row.failing_since, row.last_error = timezone.now() - timedelta(minutes=16), "no route"
    row.save()
    alerts.settle("audit.waits", check())
    assert "no route" in Alert.objects.get().text
    AuditShipment.objects.update(failing_since=None)
    alerts.settle("audit.waits", check())
    assert Alert.objects.get().cleared_at is not None
    assert not AuditEvent.objects.exists()
