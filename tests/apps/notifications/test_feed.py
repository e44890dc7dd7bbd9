"""Reading the outbox: nothing missed when numbers commit late, nothing told twice or to others."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from archive import outbox
from archive.access import EVERYTHING, Scope
from archive.models import OutboxEvent
from notifications import feed, services
from notifications.feed import Addressed, Cursor, translate
from notifications.identity import Identity
from notifications.models import Kind
from notifications.services import Message, Together
from worklist.models import Facility

pytestmark = pytest.mark.django_db


def stored(facility: Facility, study_id: UUID, *, is_new: bool = False) -> OutboxEvent:
    return outbox.record(
        outbox.InstanceStored(
            facility_id=facility.pk,
            study_id=study_id,
            series_id=uuid4(),
            image_id=uuid4(),
            modality="CT",
            is_new_study=is_new,
        )
    )


def late(pk: int, facility: Facility) -> OutboxEvent:
    """An event that takes a number now gone by, as a slow transaction on PostgreSQL does."""
    payload = {"study_id": str(uuid4())}
    return OutboxEvent.objects.create(
        pk=pk, kind="study.changed", payload=payload, facility=facility
    )


def numbers(events: list[OutboxEvent]) -> list[int]:
    return [event.pk for event in events]


def test_what_was_before_is_not_told(facility: Facility) -> None:
    for _ in range(3):
        stored(facility, uuid4())
    cursor = Cursor.at_end()
    assert cursor.read() == []
    event = stored(facility, uuid4())
    assert numbers(cursor.read()) == [event.pk]
    assert cursor.read() == []


def test_a_number_that_commits_late_is_told(facility: Facility) -> None:
    stored(facility, uuid4())
    cursor = Cursor.at_end()
    base = cursor.last_id
    OutboxEvent.objects.create(pk=base + 3, kind="study.changed", payload={}, facility=facility)
    assert numbers(cursor.read()) == [base + 3]
    late(base + 1, facility)
    assert numbers(cursor.read()) == [base + 1]
    late(base + 2, facility)
    assert numbers(cursor.read()) == [base + 2]
    assert cursor.read() == []
    assert not {base + 1, base + 2} & set(cursor.gaps)


def test_a_number_being_committed_at_the_start_is_told(facility: Facility) -> None:
    base = stored(facility, uuid4()).pk
    OutboxEvent.objects.create(pk=base + 2, kind="study.changed", payload={}, facility=facility)
    cursor = Cursor.at_end()
    late(base + 1, facility)
    assert numbers(cursor.read()) == [base + 1]


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has one writer: its numbers commit in order"
)
@pytest.mark.django_db(transaction=True)
def test_two_transactions_that_commit_out_of_order(facility: Facility) -> None:
    stored(facility, uuid4())
    cursor = Cursor.at_end()
    has_number, may_commit = threading.Event(), threading.Event()
    slow: list[int] = []

    def store_slowly() -> None:
        try:
            with transaction.atomic():
                slow.append(stored(facility, uuid4()).pk)
                has_number.set()
                may_commit.wait(10)
        finally:
            connection.close()

    thread = threading.Thread(target=store_slowly)
    thread.start()
    assert has_number.wait(10)
    quick = stored(facility, uuid4()).pk
    assert quick > slow[0]
    assert numbers(cursor.read()) == [quick]
    may_commit.set()
    thread.join()
    assert numbers(cursor.read()) == slow


def test_numbers_that_never_come_are_given_up(
    facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(facility, uuid4())
    cursor = Cursor.at_end()
    OutboxEvent.objects.create(
        pk=cursor.last_id + 5000, kind="study.changed", payload={}, facility=facility
    )
    cursor.read()
    assert 0 < len(cursor.gaps) <= 900
    cursor.read()
    monkeypatch.setattr(feed.time, "monotonic", lambda: 1e12)
    cursor.read()
    assert cursor.gaps == {}


def test_a_copy_moves_alone(facility: Facility) -> None:
    cursor = Cursor.at_end()
    stored(facility, uuid4())
    assert len(cursor.copy().read()) == 1
    assert len(cursor.read()) == 1


def by_type(messages: list[Addressed]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in messages:
        found.setdefault(entry.message["type"], []).append(entry.message)
    return found


def test_many_images_of_a_study_are_one_message(facility: Facility) -> None:
    study_id = uuid4()
    events = [stored(facility, study_id, is_new=number == 0) for number in range(500)]
    with CaptureQueriesContext(connection) as queries:
        found = by_type(translate(events))
    assert len(queries) <= 1
    (new,) = found["study.new"]
    (changed,) = found["study.changed"]
    assert new == {
        "type": "study.new",
        "at": new["at"],
        "study_id": str(study_id),
        "facility": str(facility.pk),
        "is_demo": False,
    }
    assert changed["reason"] == "images"
    assert changed["study_id"] == str(study_id)


def test_messages_of_every_kind(facility: Facility, radiologist: User) -> None:
    study_id, knock_id, conflict_id = uuid4(), uuid4(), uuid4()
    outbox.record(outbox.StudyChanged(facility_id=facility.pk, study_id=study_id))
    outbox.record(
        outbox.InstanceConflicted(
            facility_id=facility.pk, study_id=study_id, conflict_id=conflict_id
        )
    )
    outbox.record(
        outbox.CallerSeen(
            facility_id=facility.pk, ae_title="CT_NORTH", service="echo", address="10.0.0.1"
        )
    )
    outbox.record(outbox.CallerRefused(knock_id=knock_id, calling_ae_title="CT_2"))
    sent = outbox.TransmissionChanged(
        facility_id=facility.pk, study_id=study_id, transmission_id=knock_id
    )
    outbox.record(sent)
    services.notify(Message(Kind.STUDY_NEW, "k", "New CT study", facility_id=facility.pk))
    services.mark_all_read(radiologist)
    for _ in range(3):
        outbox.record(outbox.MeasurementChanged(facility_id=facility.pk, study_id=study_id))
    messages = translate(OutboxEvent.objects.order_by("id"))
    found = by_type(messages)
    assert set(found) == {
        "measurement.changed",
        "study.changed",
        "conflict.new",
        "caller.seen",
        "caller.refused",
        "transmission.changed",
        "notification.new",
        "notification.unread",
    }
    assert found["study.changed"][0]["reason"] == "details"
    (drawn,) = found["measurement.changed"]
    assert (drawn["study_id"], drawn["facility"]) == (str(study_id), str(facility.pk))
    assert found["conflict.new"][0]["conflict_id"] == str(conflict_id)
    assert found["caller.seen"][0]["ae_title"] == "CT_NORTH"
    assert found["caller.refused"][0]["knock_id"] == str(knock_id)
    assert found["transmission.changed"][0]["transmission_id"] == str(knock_id)
    assert found["notification.new"][0]["notification"]["title"] == "New CT study"
    assert found["notification.new"][0]["unread"] == 0
    for entry in messages:
        assert entry.message["at"].endswith("Z")


def test_a_notification_that_grew_is_told_as_it_stands(
    facility: Facility, radiologist: User
) -> None:
    together = Together(lambda n: f"{n} new studies from North Clinic", "", lambda _: "/worklist/")

    def tell(key: str) -> None:
        services.notify(
            Message(Kind.STUDY_NEW, key, "New CT study", facility_id=facility.pk, together=together)
        )

    tell("1")
    last = OutboxEvent.objects.order_by("-id")[0].pk
    tell("2")
    tell("3")
    events = OutboxEvent.objects.filter(pk__gt=last).order_by("id")
    assert events.count() == 2
    (only,) = translate(events)
    assert only.user_id == radiologist.pk
    assert only.message["type"] == "notification.changed"
    assert only.message["unread"] == 1
    told = only.message["notification"]
    assert (told["count"], told["title"]) == (3, "3 new studies from North Clinic")


def identity(
    *, facilities: set[UUID] | None, user_id: UUID | None = None, is_administrator: bool = False
) -> Identity:
    scope = EVERYTHING if facilities is None else Scope(frozenset(facilities))
    return Identity(user_id or uuid4(), "name", scope, is_administrator)


def test_each_message_reaches_its_people_alone(
    facility: Facility, other_facility: Facility, radiologist: User
) -> None:
    member = identity(facilities={facility.pk}, user_id=radiologist.pk)
    stranger = identity(facilities={other_facility.pk})
    nobody = identity(facilities=set())
    admin = identity(facilities=None, is_administrator=True)
    of_facility = Addressed({}, facility_id=facility.pk)
    of_person = Addressed({}, user_id=radiologist.pk)
    of_admins = Addressed({})
    of_all = Addressed.to_all({})

    def heard(by: Identity) -> list[bool]:
        return [m.is_for(by) for m in (of_facility, of_person, of_admins, of_all)]

    assert heard(member) == [True, True, False, True]
    assert heard(stranger) == [False, False, False, True]
    assert heard(nobody) == [False, False, False, True]
    assert heard(admin) == [True, False, True, True]


def test_an_event_that_cannot_be_told_holds_up_nothing(
    facility: Facility, caplog: pytest.LogCaptureFixture
) -> None:
    OutboxEvent.objects.create(kind="study.changed", payload={}, facility=facility)
    OutboxEvent.objects.create(kind="of.the.future", payload={}, facility=facility)
    stored(facility, uuid4())
    messages = translate(OutboxEvent.objects.order_by("id"))
    assert [m.message["type"] for m in messages] == ["study.changed"]
    assert "cannot be told" in caplog.text


def test_event_reports_go_to_the_account_the_title_and_the_facility_alone(
    facility: Facility, other_facility: Facility, radiologist: User, admin_user: User
) -> None:
    reports: list[tuple[str, dict[str, Any]]] = [("1", {}), ("1", {})]
    cursor = Cursor.at_end()
    outbox.record(
        outbox.WorkitemChanged(
            facility_id=facility.pk,
            workitem_id=uuid4(),
            sop_instance_uid="1.2.3",
            reports=reports,
            subscribers=[(str(radiologist.pk), "GPU1")],
        )
    )
    messages = translate(cursor.read())

    def heard(user: User, title: str, *places: Facility) -> list[str]:
        scope = Scope(frozenset(place.pk for place in places))
        identity = Identity(user.pk, "x", scope, is_administrator=False, ae_title=title)
        return [one.message["type"] for one in messages if one.is_for(identity)]

    # Equal reports are two events.
    assert heard(radiologist, "GPU1", facility) == ["1", "1"]
    assert heard(radiologist, "GPU2", facility) == []
    assert heard(admin_user, "GPU1", facility) == []
    assert heard(radiologist, "GPU1", other_facility) == []
    # Pages hear that something changed, and nothing of the reports.
    assert heard(admin_user, "", facility) == ["workitem.changed"]
    assert heard(admin_user, "", other_facility) == []
    everyone = Addressed.to_all({"type": "heartbeat"})
    subscriber = Identity(radiologist.pk, "x", EVERYTHING, is_administrator=False, ae_title="GPU1")
    assert not everyone.is_for(subscriber)
