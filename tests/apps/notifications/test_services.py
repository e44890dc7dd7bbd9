"""Who is told what, once, and what they make of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Role, User
from archive import access, facilities, jobs, outbox, runner
from archive.access import actor_of
from archive.errors import ForbiddenError, InvalidInputError, NotFoundError
from archive.models import Job, Knock, OutboxEvent
from notifications import services, subscribers
from notifications.models import Kind, Notification
from notifications.services import Message, Together
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study

pytestmark = pytest.mark.django_db


def message(facility: Facility, **changes: object) -> Message:
    values = {"kind": Kind.STUDY_NEW, "key": "k", "title": "New CT study", **changes}
    return Message(facility_id=facility.pk, **values)  # type: ignore[arg-type]


def told(kind: Kind, facility: Facility | None) -> set[str]:
    pk = facility.pk if facility else None
    return {user.username for user in services.recipients(kind, pk)}


@pytest.fixture
def everybody(facility: Facility, other_facility: Facility) -> dict[str, User]:
    people = {role.value: factories.user(role.value, role, [facility]) for role in Role}
    people["admin"].facilities.clear()
    people["stranger"] = factories.user("stranger", Role.RADIOLOGIST, [other_facility])
    people["gone"] = factories.user("gone", Role.RADIOLOGIST, [facility])
    people["gone"].is_active = False
    people["gone"].save()
    return people


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.STUDY_NEW, {"admin", "radiologist", "technologist", "facility"}),
        (Kind.STUDY_CONFLICT, {"admin", "technologist", "facility"}),
        (Kind.STUDY_WARNING, {"admin", "radiologist", "technologist"}),
        (Kind.CALLER_REFUSED, {"admin"}),
    ],
)
def test_who_is_told(
    everybody: dict[str, User], facility: Facility, kind: Kind, expected: set[str]
) -> None:
    assert told(kind, facility) == expected


def test_wishes_overrule_what_is_usual(everybody: dict[str, User], facility: Facility) -> None:
    services.choose(everybody["radiologist"], {Kind.STUDY_NEW: False})
    services.choose(everybody["referrer"], {Kind.STUDY_NEW: True})
    services.choose(everybody["stranger"], {Kind.STUDY_NEW: True})
    assert told(Kind.STUDY_NEW, facility) == {"admin", "technologist", "facility", "referrer"}
    services.choose(everybody["radiologist"], {Kind.STUDY_NEW: True})
    assert "radiologist" in told(Kind.STUDY_NEW, facility)


def test_callers_are_for_administrators_whatever_one_wishes(
    everybody: dict[str, User], facility: Facility
) -> None:
    radiologist = everybody["radiologist"]
    with pytest.raises(ForbiddenError):
        services.choose(radiologist, {Kind.CALLER_REFUSED: True})
    radiologist.notification_preferences.create(kind=Kind.CALLER_REFUSED, is_in_app=True)
    assert told(Kind.CALLER_REFUSED, None) == {"admin"}
    assert told(Kind.CALLER_REFUSED, facility) == {"admin"}
    assert {choice.kind for choice in services.choices_of(radiologist)} == {
        Kind.STUDY_NEW,
        Kind.STUDY_CONFLICT,
        Kind.STUDY_WARNING,
    }
    assert {choice.kind for choice in services.choices_of(everybody["admin"])} == set(Kind)


def test_the_same_thing_is_told_once(everybody: dict[str, User], facility: Facility) -> None:
    first = services.notify(message(facility))
    assert len(first) == 4
    assert services.notify(message(facility)) == []
    assert len(services.notify(message(facility, key="other"))) == 4
    events = OutboxEvent.objects.filter(kind="notification.created")
    assert events.count() == Notification.objects.count() == 8
    newcomer = factories.user("nora", Role.RADIOLOGIST, [facility])
    assert [row.user for row in services.notify(message(facility))] == [newcomer]


def test_telling_costs_no_query_a_person_but_its_event(
    facility: Facility, everybody: dict[str, User]
) -> None:
    with CaptureQueriesContext(connection) as few:
        services.notify(message(facility, key="1"))
    for number in range(5):
        factories.user(f"more{number}", Role.RADIOLOGIST, [facility])
    with CaptureQueriesContext(connection) as many:
        services.notify(message(facility, key="2"))
    assert len(many) - len(few) == 5


def test_reading(radiologist: User, facility: Facility) -> None:
    for number in range(3):
        services.notify(message(facility, key=str(number)))
    assert services.unread_count(radiologist.pk) == 3
    first = services.listing(radiologist).items[0]
    services.mark_read(radiologist, first.pk)
    at = Notification.objects.get(pk=first.pk).read_at
    services.mark_read(radiologist, first.pk)
    assert Notification.objects.get(pk=first.pk).read_at == at
    assert services.unread_count(radiologist.pk) == 2
    assert OutboxEvent.objects.filter(kind="notification.read").count() == 1
    assert services.mark_all_read(radiologist) == 2
    assert services.mark_all_read(radiologist) == 0
    assert OutboxEvent.objects.filter(kind="notification.read").count() == 2
    assert services.unread_counts([radiologist.pk]) == {radiologist.pk: 0}


def test_only_ones_own_are_read(radiologist: User, facility: Facility) -> None:
    other = factories.user("otto", Role.RADIOLOGIST, [facility])
    services.notify(message(facility))
    theirs = Notification.objects.get(user=other)
    with pytest.raises(ForbiddenError):
        services.mark_read(radiologist, theirs.pk)
    with pytest.raises(NotFoundError):
        services.mark_read(radiologist, uuid4())
    services.mark_all_read(radiologist)
    assert services.unread_count(other.pk) == 1


def test_pages_hold_everything_once_even_at_one_moment(
    radiologist: User, facility: Facility
) -> None:
    for number in range(7):
        services.notify(message(facility, key=str(number)))
    Notification.objects.update(created_at=timezone.now())
    seen, cursor = [], ""
    for _ in range(4):
        page = services.listing(radiologist, limit=2, cursor=cursor)
        seen += [row.pk for row in page.items]
        cursor = page.cursor
    assert cursor == ""
    assert len(seen) == len(set(seen)) == 7
    with CaptureQueriesContext(connection) as queries:
        services.listing(radiologist, limit=100)
    assert len(queries) == 1


@pytest.mark.parametrize("cursor", ["x", "W10", "bm8", "WyIyMDI2LTAxLTAxIiwgIngiXQ", "é"])
def test_a_foreign_cursor_is_refused(radiologist: User, cursor: str) -> None:
    with pytest.raises(InvalidInputError):
        services.listing(radiologist, cursor=cursor)


def test_what_was_read_long_ago_goes(radiologist: User, facility: Facility) -> None:
    services.notify(message(facility, key="old"))
    services.notify(message(facility, key="unread"))
    long_ago = timezone.now() - timedelta(days=91)
    Notification.objects.filter(key="old").update(read_at=long_ago)
    Notification.objects.filter(key="unread").update(created_at=long_ago)
    services.notify(message(facility, key="new"))
    keys = set(Notification.objects.filter(user=radiologist).values_list("key", flat=True))
    assert keys == {"unread", "new"}


# Several in one line -----------------------------------------------------------------------------


def together(facility: Facility, key: str, **changes: object) -> Message:
    values = {
        "key": key,
        "since": timezone.now(),
        "together": Together(
            title=lambda count: f"{count} new studies from {facility.name}",
            body=f"The latest: {key}",
            url=lambda since: f"/worklist/?since={since:%Y-%m-%d}",
        ),
        **changes,
    }
    return message(facility, **values)


def test_a_flood_is_one_notification_that_counts(radiologist: User, facility: Facility) -> None:
    for number in range(37):
        services.notify(together(facility, str(number)))
    row = Notification.objects.get(user=radiologist)
    assert (row.count, row.title) == (37, "37 new studies from North Clinic")
    assert row.body == "The latest: 36"
    assert row.url == f"/worklist/?since={timezone.now():%Y-%m-%d}"
    assert services.unread_count(radiologist.pk) == 1
    assert OutboxEvent.objects.filter(kind="notification.created").count() == 1
    assert OutboxEvent.objects.filter(kind="notification.grown").count() == 36


def test_what_is_told_again_is_not_counted_again(radiologist: User, facility: Facility) -> None:
    for key in ("a", "b", "b", "a", "c", "c"):
        services.notify(together(facility, key))
    assert Notification.objects.get(user=radiologist).count == 3


def test_the_list_begins_with_the_first(radiologist: User, facility: Facility) -> None:
    began = [timezone.now() - timedelta(days=days) for days in (2, 9, 4)]
    for number, at in enumerate(began):
        services.notify(together(facility, str(number), since=at))
    row = Notification.objects.get(user=radiologist)
    assert row.since == began[1]
    assert row.url.endswith(f"{began[1]:%Y-%m-%d}")


def test_each_reader_has_a_count_of_their_own(radiologist: User, facility: Facility) -> None:
    other = factories.user("otto", Role.RADIOLOGIST, [facility])
    services.notify(together(facility, "1"))
    services.notify(together(facility, "2"))
    services.mark_all_read(radiologist)
    services.notify(together(facility, "3"))
    services.notify(together(facility, "4"))
    counts = Notification.objects.filter(user=radiologist).order_by("created_at")
    assert list(counts.values_list("count", flat=True)) == [2, 2]
    assert Notification.objects.get(user=other).count == 4
    assert services.unread_count(radiologist.pk) == services.unread_count(other.pk) == 1


def test_what_comes_later_of_another_kind_or_place_stands_alone(
    radiologist: User, facility: Facility, other_facility: Facility
) -> None:
    radiologist.facilities.add(other_facility)
    services.notify(together(facility, "1"))
    services.notify(together(facility, "2", kind=Kind.STUDY_WARNING))
    services.notify(together(other_facility, "3"))
    long_ago = timezone.now() - services.TOGETHER - timedelta(seconds=1)
    Notification.objects.update(last_at=long_ago)
    services.notify(together(facility, "4"))
    rows = Notification.objects.filter(user=radiologist)
    assert [row.count for row in rows] == [1, 1, 1, 1]


def test_who_does_not_want_to_hear_is_not_counted_for(
    radiologist: User, facility: Facility
) -> None:
    services.notify(together(facility, "1"))
    services.choose(radiologist, {Kind.STUDY_NEW: False})
    services.notify(together(facility, "2"))
    assert Notification.objects.get(user=radiologist).count == 1


def test_one_that_grew_stands_first(radiologist: User, facility: Facility) -> None:
    services.notify(together(facility, "1"))
    services.notify(message(facility, key="refused", kind=Kind.STUDY_CONFLICT))
    services.choose(radiologist, {Kind.STUDY_CONFLICT: True})
    services.notify(message(facility, key="between", kind=Kind.STUDY_CONFLICT))
    services.notify(together(facility, "2"))
    assert [row.count for row in services.listing(radiologist).items] == [2, 1]


def test_joining_costs_no_query_a_person_but_its_event(
    facility: Facility, everybody: dict[str, User]
) -> None:
    services.notify(together(facility, "1"))
    with CaptureQueriesContext(connection) as few:
        services.notify(together(facility, "2"))
    for number in range(5):
        factories.user(f"more{number}", Role.RADIOLOGIST, [facility])
    services.notify(together(facility, "3"))
    with CaptureQueriesContext(connection) as many:
        services.notify(together(facility, "4"))
    assert len(many) - len(few) == 5


# What events become -----------------------------------------------------------------------------


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "QUIET", timedelta())


def store(owner: Facility, count: int = 3, *, is_demo: bool = False) -> Study:
    first = make_instance()
    for _ in range(count):
        ds = make_instance(
            StudyInstanceUID=first.StudyInstanceUID, SeriesInstanceUID=first.SeriesInstanceUID
        )
        result = factories.store_bytes(to_bytes(ds), owner)
    if is_demo:
        for event in OutboxEvent.objects.filter(kind="instance.stored"):
            event.payload["is_demo"] = True
            event.save()
    return access.study_for(access.EVERYTHING, result.study_id)


def run_jobs(kind: str) -> int:
    """Dispatch, then run the jobs of `kind` now; returns how many there were."""
    runner.dispatch()
    rows = list(Job.objects.filter(kind=kind, state="queued"))
    for job in rows:
        jobs.run(job)
        job.refresh_from_db()
        assert job.state == "done", job.last_error
    return len(rows)


@pytest.mark.usefixtures("store", "_at_once")
def test_a_study_is_one_notification(radiologist: User, facility: Facility) -> None:
    study = store(facility, 3)
    assert run_jobs("notify.study") == 1
    (row,) = Notification.objects.filter(user=radiologist)
    assert row.title == "New CT study: Head"
    assert row.body == "North Clinic: 3 images in 1 series"
    assert row.url == f"/worklist/studies/{study.pk}/"
    assert "Test" not in row.title + row.body
    OutboxEvent.objects.update(dispatched_at=None)
    assert run_jobs("notify.study") == 1
    assert Notification.objects.filter(user=radiologist).count() == 1


@pytest.mark.usefixtures("store", "_at_once")
def test_many_studies_lead_to_the_list_of_them(
    radiologist: User, facility: Facility, client: Client
) -> None:
    before = [store(facility, 1)]
    Study.objects.update(first_received_at=timezone.now() - timedelta(hours=5))
    studies = [store(facility, 1) for _ in range(3)]
    for study in studies:
        subscribers.tell_of_study(str(study.pk))
    row = Notification.objects.get(user=radiologist)
    assert row.title == "3 new studies from North Clinic"
    assert row.body == "The latest: New CT study: Head"
    client.force_login(radiologist)
    page = client.get(row.url).content.decode()
    assert all(str(study.pk) in page for study in studies)
    assert not any(str(study.pk) in page for study in before)


@pytest.mark.usefixtures("store", "_at_once")
def test_many_warnings_lead_to_what_is_warned_of(
    radiologist: User, facility: Facility, client: Client
) -> None:
    fine, *bad = (store(facility, 1) for _ in range(3))
    Study.objects.filter(pk__in=[study.pk for study in bad]).update(warning="Not in HU.")
    for study in bad:
        subscribers.tell_of_warning(str(study.pk))
    row = Notification.objects.get(user=radiologist, kind=Kind.STUDY_WARNING)
    assert row.title == "2 warnings on studies of North Clinic"
    client.force_login(radiologist)
    page = client.get(row.url).content.decode()
    assert all(str(study.pk) in page for study in bad)
    assert str(fine.pk) not in page


@pytest.mark.usefixtures("store")
def test_a_study_that_still_comes_is_waited_for(radiologist: User, facility: Facility) -> None:
    study = store(facility, 1)
    runner.dispatch()
    subscribers.tell_of_study(str(study.pk))
    assert not Notification.objects.exists()
    (job,) = Job.objects.filter(kind="notify.study", state="queued")
    assert job.run_at - study.last_received_at == pytest.approx(
        subscribers.QUIET, abs=timedelta(seconds=1)
    )
    Study.objects.update(last_received_at=timezone.now() - subscribers.QUIET)
    subscribers.tell_of_study(str(study.pk))
    assert Notification.objects.filter(user=radiologist).count() == 1


@pytest.mark.usefixtures("store", "_at_once")
def test_the_demos_studies_are_nobodys_news(radiologist: User, facility: Facility) -> None:
    store(facility, 1, is_demo=True)
    assert run_jobs("notify.study") == 0


@pytest.mark.usefixtures("store", "_at_once")
def test_a_warning_is_told_once_for_each_text(radiologist: User, facility: Facility) -> None:
    study = store(facility, 1)
    Study.objects.update(warning="Values may not be Hounsfield units. Air measures 0 HU.")
    outbox.record(outbox.StudyChanged(facility_id=facility.pk, study_id=study.pk))
    assert run_jobs("notify.warning") == 1
    assert run_jobs("notify.study") == 1
    rows = Notification.objects.filter(user=radiologist, kind=Kind.STUDY_WARNING)
    assert rows.get().body.endswith("Air measures 0 HU.")
    Study.objects.update(warning="Something else.")
    outbox.record(outbox.StudyChanged(facility_id=facility.pk, study_id=study.pk))
    assert run_jobs("notify.warning") == 1
    assert rows.get().count == 2
    assert rows.get().body == "The latest: Something else."
    Study.objects.update(warning="")
    outbox.record(outbox.StudyChanged(facility_id=facility.pk, study_id=study.pk))
    assert run_jobs("notify.warning") == 0


@pytest.mark.usefixtures("store", "_at_once")
def test_conflicts_of_a_study_are_one_message(facility: Facility) -> None:
    technologist = factories.user("tina", Role.TECHNOLOGIST, [facility])
    ds = make_instance()
    factories.store_bytes(to_bytes(ds), facility)
    for name in ("Other^One", "Other^Two"):
        ds.PatientName = name
        factories.store_bytes(to_bytes(ds), facility)
    assert run_jobs("notify.conflict") == 1
    row = Notification.objects.get(user=technologist, kind=Kind.STUDY_CONFLICT)
    assert row.body.startswith("North Clinic: 2 images came again with other content.")
    assert "Other" not in row.body


@pytest.mark.usefixtures("_at_once")
def test_a_refused_caller_is_told_to_administrators(
    admin_user: User, radiologist: User, make_user: Callable[..., User]
) -> None:
    def knock() -> Knock:
        return facilities.remember_knock(
            calling_ae_title="CT_2",
            called_ae_title="NOCTIS_SCP",
            address="10.0.0.9",
            reason_code="calling-ae",
            reason="Nobody knows CT_2. Admit it to a facility.",
        )

    knock()
    assert run_jobs("notify.caller") == 1
    (row,) = Notification.objects.all()
    assert row.user == admin_user
    assert row.title == "CT_2 was refused"
    assert row.body == "Called from 10.0.0.9. Nobody knows CT_2. Admit it to a facility."
    assert row.url == "/worklist/knocks/"
    Notification.objects.all().delete()
    facilities.dismiss_knock(actor_of(admin_user), Knock.objects.get())
    OutboxEvent.objects.update(dispatched_at=None)
    run_jobs("notify.caller")
    assert not Notification.objects.exists()
