"""Jobs and events: at least once, never twice at a time, failures kept with their reason."""

from __future__ import annotations

import contextvars
import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from archive import correlation, jobs, outbox, runner
from archive.arrivals import Arrival
from archive.errors import PermanentError
from archive.models import Job, JobState, OutboxEvent
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility

pytestmark = pytest.mark.django_db

ran: list[str] = []


@pytest.fixture(autouse=True)
def _handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    ran.clear()

    def _done(name: str) -> None:
        ran.append(name)

    def stumble(name: str) -> None:
        ran.append(name)
        raise ValueError("the disk was away")

    def refuse(name: str) -> None:
        raise PermanentError("never")

    monkeypatch.setitem(jobs._HANDLERS, "test.ok", _done)
    monkeypatch.setitem(jobs._HANDLERS, "test.stumble", stumble)
    monkeypatch.setitem(jobs._HANDLERS, "test.refuse", refuse)


def test_asking_twice_while_one_waits_asks_once() -> None:
    jobs.enqueue("test.ok", "a", name="1")
    jobs.enqueue("test.ok", "a", name="2")
    jobs.enqueue("test.ok", "b", name="3")
    assert runner.drain() == 2
    assert ran == ["1", "3"]
    jobs.enqueue("test.ok", "a", name="4")
    assert runner.drain() == 1


def test_a_job_that_is_not_due_waits() -> None:
    jobs.enqueue("test.ok", "later", delay_s=60, name="x")
    assert runner.drain() == 0
    Job.objects.update(run_at=timezone.now())
    assert runner.drain() == 1


def test_a_failure_is_tried_again_later_and_keeps_its_reason() -> None:
    jobs.enqueue("test.stumble", "a", name="x")
    runner.drain()
    job = Job.objects.get()
    assert job.state == JobState.QUEUED
    assert "the disk was away" in job.last_error
    assert job.run_at > timezone.now()
    for _ in range(jobs.MOST_ATTEMPTS - 1):
        Job.objects.update(run_at=timezone.now())
        runner.drain()
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert len(ran) == jobs.MOST_ATTEMPTS


def test_what_can_never_work_is_not_tried_again() -> None:
    jobs.enqueue("test.refuse", "a", name="x")
    runner.drain()
    assert Job.objects.get().state == JobState.FAILED


def test_an_unknown_kind_is_refused_where_it_is_asked() -> None:
    with pytest.raises(LookupError):
        jobs.enqueue("test.nobody", "a")


def test_a_killed_runners_job_is_taken_over() -> None:
    jobs.enqueue("test.ok", "a", name="x")
    taken = jobs.claim()
    assert taken is not None
    assert jobs.claim() is None
    assert jobs.rescue_stale() == 0
    Job.objects.update(claimed_at=timezone.now() - jobs.STALE_AFTER - dt.timedelta(seconds=1))
    assert jobs.rescue_stale() == 1
    assert runner.drain() == 1


def test_a_rolled_back_transaction_queues_nothing(facility: Facility) -> None:
    before = OutboxEvent.objects.count()

    def ask_and_fail() -> None:
        with transaction.atomic():
            jobs.enqueue("test.ok", "a", name="x")
            outbox.record(outbox.StudyChanged(facility_id=facility.pk, study_id=uuid4()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask_and_fail()
    assert Job.objects.count() == 0
    assert OutboxEvent.objects.count() == before


def test_events_reach_their_subscribers_once(
    facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    OutboxEvent.objects.all().delete()
    got: list[dict[str, str]] = []
    monkeypatch.setitem(runner._SUBSCRIBERS, "study.changed", [got.extend])
    study = uuid4()
    outbox.record(outbox.StudyChanged(facility_id=facility.pk, study_id=study))
    assert runner.dispatch() == 1
    assert runner.dispatch() == 0
    assert got == [{"study_id": str(study), "facility_id": str(facility.pk)}]


def test_events_that_follow_closely_are_dispatched_together(
    facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    monkeypatch.setitem(
        runner._SUBSCRIBERS, "instance.stored", [lambda payloads: groups.append(len(payloads))]
    )

    def happen(count: int) -> None:
        for _ in range(count):
            outbox.record(
                outbox.InstanceStored(
                    facility.pk, uuid4(), uuid4(), uuid4(), modality="CT", is_new_study=False
                )
            )

    runner.drain()
    happen(1)
    runner.drain(gather_s=0)
    for _ in range(3):
        happen(1)
        runner.drain(gather_s=600)
    assert groups == [1]
    monkeypatch.setattr(runner, "BATCH", 2)
    happen(2)
    runner._last_dispatch[0] -= 601
    # They have waited: a full batch is followed by the next at once.
    runner.drain(gather_s=600)
    assert groups == [1, 2, 2, 1]


@pytest.mark.django_db(transaction=True)
def test_two_runners_never_do_the_same_job() -> None:
    for number in range(20):
        jobs.enqueue("test.ok", str(number), name=str(number))

    def drain() -> None:
        try:
            runner.drain()
        finally:
            connection.close()

    threads = [threading.Thread(target=drain) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran, key=int) == [str(n) for n in range(20)]


def test_a_job_belongs_to_the_request_or_association_that_it_follows_from(
    store: Path, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, dict[str, str]] = {}

    def look(study_id: str, *, again: bool = True) -> None:
        found[study_id] = correlation.current()
        if again:
            jobs.enqueue("test.look", f"{study_id} again", study_id=study_id, again=False)

    def ask(payloads: list[dict[str, Any]]) -> None:
        for study_id in {payload["study_id"] for payload in payloads}:
            jobs.enqueue("test.look", study_id, study_id=study_id)

    def stored(begin: Callable[[str], object], name: str) -> str:
        def work() -> str:
            begin(name)
            # The first of a series goes another way into the database than those that follow.
            study = make_instance()
            results = [
                factories.store_bytes(
                    to_bytes(
                        make_instance(
                            StudyInstanceUID=study.StudyInstanceUID,
                            SeriesInstanceUID=study.SeriesInstanceUID,
                        )
                    ),
                    facility,
                )
                for _ in range(2)
            ]
            return str(results[0].study_id)

        return contextvars.Context().run(work)

    monkeypatch.setitem(jobs._HANDLERS, "test.look", look)
    monkeypatch.setitem(runner._SUBSCRIBERS, outbox.InstanceStored.kind, [ask])
    by_web = stored(correlation.begin_request, "gateway-0001")
    by_dicom = stored(correlation.begin_association, "CT@192.0.2.7#1-1")
    by_nobody = stored(str, "")
    events = OutboxEvent.objects.filter(kind=outbox.InstanceStored.kind).order_by("id")
    assert [event.origin for event in events] == [
        *[{"request_id": "gateway-0001"}] * 2,
        *[{"association_id": "CT@192.0.2.7#1-1"}] * 2,
        *[None] * 2,
    ]

    def dispatch() -> None:
        correlation.begin_request("somebody-else-0001")
        runner.drain()
        assert correlation.current() == {"request_id": "somebody-else-0001"}

    contextvars.Context().run(dispatch)

    pks = {job.key: job.pk for job in Job.objects.filter(kind="test.look")}

    def said(study_id: str) -> dict[str, str]:
        return {"job_id": f"test.look {pks[f'{study_id} again']}"}

    assert found == {
        by_web: {**said(by_web), "request_id": "gateway-0001"},
        by_dicom: {**said(by_dicom), "association_id": "CT@192.0.2.7#1-1"},
        by_nobody: said(by_nobody),
    }


def test_who_commits_for_others_does_not_claim_their_instances() -> None:
    def arrival(name: str) -> Arrival:
        correlation.begin_request(name)
        return Arrival(index=None, facility=None, placed=None)  # type: ignore[arg-type]

    mine = contextvars.Context().run(arrival, "request-of-one")
    theirs = contextvars.Context().run(arrival, "request-of-another")
    assert [a.origin for a in (mine, theirs)] == [
        {"request_id": "request-of-one"},
        {"request_id": "request-of-another"},
    ]
