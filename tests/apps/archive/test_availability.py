"""Instance Availability Notification: who is told of which study, when, and how often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pydicom.uid import CTImageStorage, generate_uid

from archive import availability, destinations, jobs, runner
from archive.access import system_actor
from archive.destinations import DestinationDraft
from archive.models import AvailabilityNotice, Job, JobState, NoticeState
from tests import factories
from tests.dcmtk import free_port
from tests.dicom import make_instance, to_bytes
from tests.reports import Inbox, listening
from worklist.models import Facility, Study

pytestmark = pytest.mark.django_db
__all__ = ["listening"]


@pytest.fixture(autouse=True)
def quiet_at_once(settings: Any) -> None:
    settings.STUDY_QUIET_AFTER_S = 0


def register(name: str, port: int, facility: Facility | None = None, **draft: Any) -> None:
    draft = {"wants_availability": True, **draft}
    destinations.save_destination(
        system_actor("tests"), DestinationDraft(name, "127.0.0.1", port, facility=facility, **draft)
    )


def store_some(facility: Facility, study: str, series: str, count: int = 1) -> list[str]:
    uids = []
    for _ in range(count):
        ds = make_instance(StudyInstanceUID=study, SeriesInstanceUID=series)
        factories.store_bytes(to_bytes(ds), facility)
        uids.append(str(ds.SOPInstanceUID))
    return uids


def test_a_study_that_has_come_is_told_of_once(
    store: Path, facility: Facility, listening: Callable[[], Inbox]
) -> None:
    inbox = listening()
    register("RIS", inbox.port)
    study, one, other = generate_uid(), generate_uid(), generate_uid()
    uids = store_some(facility, study, one, 2) + store_some(facility, study, other)
    runner.drain()
    told = inbox.take()
    assert told.calling == "NOCTIS_SCU"
    data_set = told.data_set
    assert data_set.StudyInstanceUID == study
    assert len(data_set.ReferencedPerformedProcedureStepSequence) == 0
    series = {
        i.SeriesInstanceUID: i.ReferencedSOPSequence for i in data_set.ReferencedSeriesSequence
    }
    assert {uid: len(items) for uid, items in series.items()} == {one: 2, other: 1}
    items = [item for found in series.values() for item in found]
    assert {item.ReferencedSOPInstanceUID for item in items} == set(uids)
    assert {
        (item.ReferencedSOPClassUID, item.InstanceAvailability, item.RetrieveAETitle)
        for item in items
    } == {(CTImageStorage, "ONLINE", "NOCTIS_SCP")}
    notice = AvailabilityNotice.objects.get()
    assert notice.state == NoticeState.SENT
    assert told.instance == notice.sop_instance_uid
    availability.announce(str(notice.study_id))
    runner.drain()
    assert inbox.is_empty
    # More of it comes: told again, of all of it.
    store_some(facility, study, other)
    runner.drain()
    assert (
        sum(len(i.ReferencedSOPSequence) for i in inbox.take().data_set.ReferencedSeriesSequence)
        == 4
    )


def test_who_did_not_ask_or_may_not_know_is_not_told(
    store: Path, facility: Facility, other_facility: Facility, listening: Callable[[], Inbox]
) -> None:
    wants_none, elsewhere, ours = listening(), listening(), listening()
    register("SILENT", wants_none.port, wants_availability=False)
    register("SOUTH_RIS", elsewhere.port, other_facility)
    register("NORTH_RIS", ours.port, facility)
    store_some(facility, generate_uid(), generate_uid())
    runner.drain()
    assert ours.take().data_set.StudyInstanceUID
    assert wants_none.is_empty
    assert elsewhere.is_empty


def test_a_study_that_still_grows_waits(store: Path, facility: Facility, settings: Any) -> None:
    register("RIS", free_port())
    store_some(facility, generate_uid(), generate_uid())
    settings.STUDY_QUIET_AFTER_S = 600
    runner.drain()
    Job.objects.filter(kind=availability.ANNOUNCE_JOB).delete()
    availability.announce(str(Study.objects.get().pk))
    assert not AvailabilityNotice.objects.exists()
    waiting = Job.objects.get(kind=availability.ANNOUNCE_JOB, state=JobState.QUEUED)
    assert (waiting.run_at - timezone.now()).total_seconds() > 500


def test_nobody_asks_no_work(store: Path, facility: Facility) -> None:
    store_some(facility, generate_uid(), generate_uid())
    runner.drain()
    assert not Job.objects.filter(kind=availability.ANNOUNCE_JOB).exists()


def test_a_destination_that_is_away_is_told_later(
    store: Path, facility: Facility, listening: Callable[..., Inbox]
) -> None:
    port = free_port()
    register("RIS", port)
    store_some(facility, generate_uid(), generate_uid())
    runner.drain()
    notice = AvailabilityNotice.objects.get()
    assert (notice.state, notice.attempts) == (NoticeState.WAITING, 1)
    assert notice.last_error.startswith("Nothing listens")
    inbox = listening(port)
    # Its answer to the last attempt was lost: it has the notification already.
    inbox.status = 0x0111
    jobs.hasten(availability.SEND_JOB, str(notice.pk))
    runner.drain()
    inbox.take()
    notice.refresh_from_db()
    assert (notice.state, notice.attempts, notice.last_error) == (NoticeState.SENT, 2, "")


def test_what_was_given_up_can_be_sent_again(
    store: Path, facility: Facility, listening: Callable[..., Inbox]
) -> None:
    inbox = listening()
    inbox.status = 0x0110
    register("RIS", inbox.port)
    store_some(facility, generate_uid(), generate_uid())
    runner.drain()
    inbox.take()
    notice = AvailabilityNotice.objects.get()
    assert "(0x0110)" in notice.last_error
    AvailabilityNotice.objects.update(attempts=availability.MOST_ATTEMPTS - 1)
    jobs.hasten(availability.SEND_JOB, str(notice.pk))
    runner.drain()
    inbox.take()
    notice.refresh_from_db()
    assert notice.state == NoticeState.FAILED
    inbox.status = 0
    assert availability.try_again(system_actor("tests"), [notice.pk]) == 1
    runner.drain()
    notice.refresh_from_db()
    assert notice.state == NoticeState.SENT


def test_performed_steps_are_named(
    store: Path,
    facility: Facility,
    listening: Callable[[], Inbox],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox = listening()
    register("RIS", inbox.port)
    mpps = ("1.2.840.10008.3.1.2.3.3", generate_uid())
    monkeypatch.setattr(availability, "_PERFORMED_STEPS", [])
    availability.performed_steps_provider(lambda _: [mpps])
    store_some(facility, generate_uid(), generate_uid())
    runner.drain()
    (item,) = inbox.take().data_set.ReferencedPerformedProcedureStepSequence
    assert (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) == mpps
