"""Forwarding: rules, queue, retries; sent to dcmtk's storescp, a real receiver."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Role
from archive import access, destinations, routing, rules, runner
from archive.access import Actor
from archive.destinations import DestinationDraft
from archive.errors import ConflictError, ForbiddenError, InvalidInputError
from archive.models import AuditEvent, Destination, Job, JobState, OutboxEvent, Transmission
from archive.rules import RuleDraft
from tests import factories
from tests.dcmtk import free_port, storescp
from tests.dicom import make_instance, to_bytes
from tests.pdu import read_part10
from worklist.models import Facility, Study

__all__ = ["storescp"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def north() -> Facility:
    return factories.facility("NORTH", "North Clinic")


@pytest.fixture
def admin() -> Actor:
    return access.actor_of(factories.user("root", Role.ADMIN))


@pytest.fixture(autouse=True)
def at_once(settings: Any) -> None:
    settings.FORWARD_WHEN_QUIET_S = 0


def destination(
    port: int, ae_title: str = "PACS2", facility: Facility | None = None
) -> Destination:
    draft = DestinationDraft(ae_title, "127.0.0.1", port, facility=facility)
    return destinations.save_destination(access.system_actor("tests"), draft)


def store(owner: Facility, count: int = 1, **values: Any) -> Study:
    first = make_instance(**values)
    for number in range(count):
        ds = (
            first
            if not number
            else make_instance(
                StudyInstanceUID=first.StudyInstanceUID,
                SeriesInstanceUID=first.SeriesInstanceUID,
                **values,
            )
        )
        factories.store_bytes(to_bytes(ds), owner)
    return Study.objects.get(study_instance_uid=first.StudyInstanceUID)


def add(admin: Actor, where: Destination, **conditions: Any) -> Any:
    rule = rules.add_rule(admin, RuleDraft(where, **conditions))
    rules.switch_rule(admin, rule, is_active=True)
    return rule


def received(peer: SimpleNamespace) -> set[str]:
    return {read_part10(path.read_bytes()).sop_instance for path in peer.folder.iterdir()}


def uids(study: Study) -> set[str]:
    return {i.sop_instance_uid for i in routing.retrieval.of_study(study)}


# --- rules


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({}, True),
        ({"modality": "CT"}, True),
        ({"modality": "MR"}, False),
        ({"description_contains": "HEAD"}, True),
        ({"description_contains": "knee"}, False),
        ({"station_name": "CT7"}, True),
        ({"station_name": "CT8"}, False),
        ({"modality": "CT", "station_name": "CT7", "description_contains": "ad"}, True),
        ({"modality": "MR", "station_name": "CT7"}, False),
    ],
)
def test_conditions(
    admin: Actor,
    north: Facility,
    conditions: dict[str, str],
    fits: bool,
) -> None:
    study = store(north, Modality="CT", StudyDescription="Head", StationName="CT7")
    rule = add(admin, destination(free_port()), **conditions)
    assert list(rules.active_rules_of(study)) == ([rule] if fits else [])
    assert rules.preview(admin, rule).studies == int(fits)


def test_a_rule_of_another_facility_does_not_fit(admin: Actor, north: Facility) -> None:
    study = store(north)
    south = factories.facility("SOUTH", "South Clinic")
    where = destination(free_port())
    ours = add(admin, where, facility=north)
    add(admin, where, facility=south)
    assert list(rules.active_rules_of(study)) == [ours]


@pytest.mark.parametrize(
    ("at", "fits"),
    [
        ("17:59", False),
        ("18:00", True),
        ("23:59", True),
        ("00:30", True),
        ("06:59", True),
        ("07:00", False),
        ("12:00", False),
    ],
)
def test_hours_go_past_midnight_in_the_rules_own_zone(
    admin: Actor,
    at: str,
    fits: bool,
) -> None:
    rule = rules.draft_rule(
        RuleDraft(
            destination(free_port()),
            hours_from=time(18),
            hours_to=time(7),
            time_zone="Africa/Nairobi",
        )
    )
    local = datetime.combine(datetime(2026, 3, 4, tzinfo=UTC), time.fromisoformat(at))
    moment = (local - timedelta(hours=3)).replace(tzinfo=UTC)
    assert rules.is_in_hours(rule, moment) is fits


def test_a_rule_reads_as_a_sentence(admin: Actor, north: Facility) -> None:
    draft = RuleDraft(
        destination(free_port()), north, "ct", "head", "CT7", "CT_NORTH", time(18), time(7), "UTC"
    )
    assert rules.sentence(rules.draft_rule(draft)) == (
        "CT studies of North Clinic, whose description contains “head”, from station CT7, sent by "
        "CT_NORTH, that come between 18:00 and 07:00 (UTC), go to PACS2."
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hours_from": time(18)}, "both hours"),
        ({"hours_from": time(18), "hours_to": time(18)}, "the same"),
        ({"source_ae_title": "A\\B"}, "backslash"),
        ({"description_contains": "x" * 65}, "at most 64"),
        ({"time_zone": "../etc/passwd"}, "time zone"),
    ],
    ids=["half", "empty", "ae-title", "long", "zone"],
)
def test_rules_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        rules.draft_rule(RuleDraft(destination(free_port()), **values))


def test_only_administrators_make_rules(north: Facility) -> None:
    member = access.actor_of(factories.user("anna", Role.RADIOLOGIST, [north]))
    with pytest.raises(ForbiddenError):
        rules.add_rule(member, RuleDraft(destination(free_port())))


def test_a_preview_counts_the_last_days_and_sends_nothing(admin: Actor, north: Facility) -> None:
    store(north, 2)
    old = store(north)
    Study.objects.filter(pk=old.pk).update(first_received_at=timezone.now() - timedelta(days=31))
    rule = rules.draft_rule(RuleDraft(destination(free_port())))
    found = rules.preview(admin, rule)
    assert (found.studies, found.images) == (1, 2)
    assert not Transmission.objects.exists()


# --- from arrival to arrival


@pytest.mark.peers
def test_what_arrives_is_forwarded_once_and_additions_follow(
    admin: Actor, north: Facility, storescp: Callable[..., SimpleNamespace]
) -> None:
    peer = storescp("+B", "+xa")
    before = store(north)
    add(admin, destination(peer.port))
    study = store(north, 3)
    runner.drain()
    assert received(peer) == uids(study)
    entry = Transmission.objects.get()
    assert (entry.state, entry.sent_count, entry.image_count) == ("sent", 3, 3)
    assert entry.reason == "Rule: Studies of every facility go to PACS2."
    assert entry.study_id != before.pk
    # Queued, begun, arrived: open pages hear of each.
    told = OutboxEvent.objects.filter(kind="transmission.changed", facility_id=north.pk)
    assert [event.payload["transmission_id"] for event in told] == [str(entry.pk)] * 3

    routing.look(str(study.pk))  # asked again: nothing new
    assert Transmission.objects.count() == 1

    later = make_instance(StudyInstanceUID=study.study_instance_uid)
    factories.store_bytes(to_bytes(later), north)
    runner.drain()
    assert Transmission.objects.count() == 2
    newest = Transmission.objects.first()
    assert newest is not None
    assert (newest.state, newest.sent_count) == ("sent", 1)
    assert received(peer) == uids(study)
    verbs = AuditEvent.objects.filter(target_id=str(study.pk)).values_list("verb", flat=True)
    assert (
        sorted(v for v in verbs if "forward" in v)
        == ["study.forward"] * 2 + ["study.forwarded"] * 2
    )


def test_a_study_is_asked_about_when_it_is_quiet(
    admin: Actor, north: Facility, settings: Any
) -> None:
    settings.FORWARD_WHEN_QUIET_S = 30
    add(admin, destination(free_port()))
    study = store(north)
    routing.look(str(study.pk))
    assert not Transmission.objects.exists()
    job = Job.objects.get(kind=routing.LOOK_JOB, state=JobState.QUEUED)
    assert timedelta(seconds=20) < job.run_at - timezone.now() <= timedelta(seconds=30)
    Study.objects.filter(pk=study.pk).update(
        last_received_at=timezone.now() - timedelta(seconds=31)
    )
    routing.look(str(study.pk))
    assert Transmission.objects.count() == 1


def test_rules_that_are_off_queue_nothing(admin: Actor, north: Facility) -> None:
    rule = add(admin, destination(free_port()))
    rules.switch_rule(admin, rule, is_active=False)
    study = store(north)
    runner.drain()
    routing.look(str(study.pk))
    assert not Transmission.objects.exists()


# --- by hand


@pytest.mark.peers
def test_a_person_sends_a_study(north: Facility, storescp: Callable[..., SimpleNamespace]) -> None:
    peer = storescp("+B", "+xa")
    anna = access.actor_of(factories.user("anna", Role.RADIOLOGIST, [north]))
    study = store(north, 2)
    where = destination(peer.port)
    entry = routing.send_by_hand(anna, study, where)
    with pytest.raises(ConflictError, match="on its way"):
        routing.send_by_hand(anna, study, where)
    runner.drain()
    entry.refresh_from_db()
    assert (entry.state, entry.reason) == ("sent", "anna sent it by hand.")
    assert received(peer) == uids(study)
    assert routing.send_by_hand(anna, study, where).state == "waiting"


def test_nobody_sends_where_they_may_not(north: Facility) -> None:
    south = factories.facility("SOUTH", "South Clinic")
    study = store(north)
    anna = access.actor_of(factories.user("anna", Role.RADIOLOGIST, [north]))
    with pytest.raises(ForbiddenError):
        routing.send_by_hand(anna, study, destination(free_port(), facility=south))
    viewer = access.actor_of(factories.user("vera", Role.VIEWER, [north]))
    with pytest.raises(ForbiddenError):
        routing.send_by_hand(viewer, study, destination(free_port(), "THIRD"))
    entry = routing.send_by_hand(anna, study, destination(free_port(), "FOURTH", north))
    other = access.actor_of(factories.user("otto", Role.RADIOLOGIST, [south]))
    with pytest.raises(ForbiddenError):
        routing.entry_for(other, entry.pk)
    assert list(routing.queue(other)) == []


# --- when it does not work


def send(entry: Transmission) -> Transmission:
    """Do what the job does, as if its time had come."""
    Transmission.objects.filter(pk=entry.pk).update(next_at=timezone.now())
    routing.send(str(entry.pk))
    entry.refresh_from_db()
    return entry


@pytest.mark.peers
def test_an_unreachable_destination_is_tried_again_with_longer_pauses(
    admin: Actor, north: Facility, storescp: Callable[..., SimpleNamespace]
) -> None:
    study = store(north, 3)
    where = destination(free_port())
    entry = routing.send_by_hand(admin, study, where)
    pauses = []
    for attempt in (1, 2, 3):
        send(entry)
        assert (entry.state, entry.attempts) == ("waiting", attempt)
        pauses.append(round((entry.next_at - timezone.now()).total_seconds(), -1))
    assert pauses == [30, 60, 120]
    assert entry.last_error.startswith("Nothing listens at 127.0.0.1")
    assert entry.sent_count == 0

    peer = storescp("+B", "+xa")
    destination(peer.port)  # its port is put right
    routing.retry(admin, entry)
    runner.drain()
    entry.refresh_from_db()
    assert (entry.state, entry.sent_count, entry.last_error) == ("sent", 3, "")
    assert received(peer) == uids(study)


def test_after_the_last_try_it_stays_failed_with_its_reason(admin: Actor, north: Facility) -> None:
    entry = routing.send_by_hand(admin, store(north), destination(free_port()))
    Transmission.objects.filter(pk=entry.pk).update(attempts=routing.MOST_ATTEMPTS - 1)
    send(entry)
    assert entry.state == "failed"
    assert entry.finished_at is not None
    assert "Nothing listens" in entry.last_error
    failed = AuditEvent.objects.get(verb="study.forwarded")
    assert not failed.is_success
    routing.retry(admin, entry)
    entry.refresh_from_db()
    assert (entry.state, entry.attempts) == ("waiting", 0)


@pytest.mark.peers
def test_one_refused_image_does_not_hold_up_the_others(
    admin: Actor, north: Facility, storescp: Callable[..., SimpleNamespace]
) -> None:
    peer = storescp("+xe")
    first = make_instance()
    factories.store_bytes(to_bytes(first), north)
    strange = make_instance(
        StudyInstanceUID=first.StudyInstanceUID, SOPClassUID="1.3.6.1.4.1.99999.7.1"
    )
    factories.store_bytes(to_bytes(strange), north)
    study = Study.objects.get()
    entry = send(routing.send_by_hand(admin, study, destination(peer.port)))
    assert received(peer) == {first.SOPInstanceUID}
    assert (entry.state, entry.sent_count, len(entry.unsent_ids)) == ("waiting", 1, 1)
    assert entry.last_error == "The receiver does not take this kind of instance."
    send(entry)
    assert (entry.sent_count, entry.attempts) == (1, 2)


@pytest.mark.peers
def test_slices_go_on_where_the_last_one_ended(
    admin: Actor,
    north: Facility,
    storescp: Callable[..., SimpleNamespace],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routing, "_SLICE_IMAGES", 2)
    peer = storescp("+B", "+xa")
    study = store(north, 5)
    entry = send(routing.send_by_hand(admin, study, destination(peer.port)))
    assert (entry.state, entry.sent_count) == ("sending", 2)
    assert len(received(peer)) == 2
    # The worker was killed here: its job is done again, by whoever comes.
    send(entry)
    assert entry.sent_count == 4
    send(entry)
    assert (entry.state, entry.sent_count) == ("sent", 5)
    assert received(peer) == uids(study)


def test_what_is_cancelled_stays_so(admin: Actor, north: Facility) -> None:
    entry = routing.send_by_hand(admin, store(north), destination(free_port()))
    routing.cancel(admin, entry)
    send(entry)
    assert (entry.state, entry.attempts) == ("cancelled", 0)
    with pytest.raises(ConflictError):
        routing.cancel(admin, entry)


def test_a_rule_that_two_workers_ask_queues_once(admin: Actor, north: Facility) -> None:
    rule = add(admin, destination(free_port()))
    study = store(north)
    for _ in range(2):
        routing._queue_by_rule(study, rule)
    entry = Transmission.objects.get()
    values = {
        "study": study,
        "destination": entry.destination,
        "received_through": entry.received_through,
    }
    assert Job.objects.filter(kind=routing.SEND_JOB).count() == 1
    with pytest.raises(Exception, match=r"(?i)unique"):
        Transmission.objects.create(rule=rule, **values)
