"""Storage commitment as a service: what is promised, who is told, what happens when nobody hears.

The receiver's side, N-ACTION and its own association, is in tests/doors/dimse/test_commitment.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pydicom.uid import CTImageStorage, MRImageStorage, generate_uid

from archive import commitment, completeness, destinations, jobs, runner, stores
from archive.access import Actor, Scope, system_actor
from archive.destinations import DestinationDraft
from archive.errors import ConflictError, InvalidInputError
from archive.models import AuditEvent, CommitmentRequest, CommitmentState, Job, JobState
from tests import factories
from tests.dcmtk import free_port
from tests.dicom import make_instance, to_bytes
from tests.reports import Inbox, listening
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db
__all__ = ["listening"]

CT = str(CTImageStorage)


def caller(facility: Facility, name: str = "CT_NORTH") -> Actor:
    return Actor(name=name, scope=Scope(frozenset({facility.pk})), address="10.0.0.7")


def stored(facility: Facility) -> tuple[str, str]:
    ds = make_instance()
    factories.store_bytes(to_bytes(ds), facility)
    return CT, str(ds.SOPInstanceUID)


def register(port: int, facility: Facility | None = None) -> None:
    draft = DestinationDraft("CT_NORTH", "127.0.0.1", port, facility=facility)
    destinations.save_destination(system_actor("tests"), draft)


def ask(facility: Facility, *references: tuple[str, str]) -> CommitmentRequest:
    return commitment.receive(caller(facility), facility, generate_uid(), references)


def drain_now() -> None:
    """Do also what waits for its time."""
    runner.drain()
    for job in Job.objects.filter(state=JobState.QUEUED):
        jobs.hasten(job.kind, job.key)
    runner.drain()


def test_what_is_whole_is_committed_and_the_caller_told(
    store: Path, facility: Facility, listening: Callable[[], Inbox]
) -> None:
    inbox = listening()
    register(inbox.port)
    one, other = stored(facility), stored(facility)
    request = ask(facility, one, other)
    drain_now()
    told = inbox.take()
    assert told.event_type == 1
    assert told.instance == "1.2.840.10008.1.20.1.1"
    # PS3.4 J.5: we call, and keep the SCP role.
    assert told.roles == (False, True)
    assert told.data_set.TransactionUID == request.transaction_uid
    assert [i.ReferencedSOPInstanceUID for i in told.data_set.ReferencedSOPSequence] == [
        one[1],
        other[1],
    ]
    assert "FailedSOPSequence" not in told.data_set
    request.refresh_from_db()
    assert (request.state, request.attempts) == (CommitmentState.REPORTED, 1)
    verbs = set(AuditEvent.objects.filter(verb__startswith="commit").values_list("verb", flat=True))
    assert verbs == {"commitment.request", "commitment.report"}


def test_each_failure_has_its_reason(
    store: Path,
    facility: Facility,
    other_facility: Facility,
    listening: Callable[[], Inbox],
) -> None:
    inbox = listening()
    register(inbox.port)
    whole, flipped, lost, theirs = (stored(facility) for _ in range(4))
    theirs = stored(other_facility)
    path = stores.instances().path(DicomImage.objects.get(sop_instance_uid=flipped[1]).storage_key)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    stores.instances().path(DicomImage.objects.get(sop_instance_uid=lost[1]).storage_key).unlink()
    unknown, misnamed = (CT, generate_uid()), (str(MRImageStorage), whole[1])
    ask(facility, whole, flipped, lost, theirs, unknown, misnamed)
    drain_now()
    told = inbox.take()
    assert told.event_type == 2
    assert [i.ReferencedSOPInstanceUID for i in told.data_set.ReferencedSOPSequence] == [whole[1]]
    reasons = [
        (i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID, i.FailureReason)
        for i in told.data_set.FailedSOPSequence
    ]
    assert reasons == [
        (*flipped, 0x0110),
        (*lost, 0x0110),
        # Another facility's instance is not there for the caller.
        (*theirs, 0x0112),
        (*unknown, 0x0112),
        (*misnamed, 0x0119),
    ]


def test_a_caller_that_cannot_be_reached_is_called_again(
    store: Path, facility: Facility, listening: Callable[..., Inbox]
) -> None:
    port = free_port()
    register(port)
    request = ask(facility, stored(facility))
    drain_now()
    request.refresh_from_db()
    assert request.state == CommitmentState.CHECKED
    assert request.last_error.startswith("Nothing listens at 127.0.0.1")
    job = Job.objects.get(kind=commitment.REPORT_JOB, state=JobState.QUEUED)
    assert timedelta(seconds=5) < job.run_at - timezone.now() < timedelta(seconds=11)
    inbox = listening(port)
    drain_now()
    assert inbox.take().event_type == 1
    request.refresh_from_db()
    assert (request.state, request.attempts) == (CommitmentState.REPORTED, 2)
    assert request.last_error == ""


def test_an_error_answer_counts_as_untold(
    store: Path, facility: Facility, listening: Callable[[], Inbox]
) -> None:
    inbox = listening()
    inbox.status = 0x0110
    register(inbox.port)
    request = ask(facility, stored(facility))
    drain_now()
    inbox.take()
    request.refresh_from_db()
    assert request.state == CommitmentState.CHECKED
    assert "(0x0110)" in request.last_error


def test_a_caller_without_an_address_waits_for_one(
    store: Path, facility: Facility, other_facility: Facility, listening: Callable[[], Inbox]
) -> None:
    inbox = listening()
    # Another facility's destination of the same name is not the caller.
    register(inbox.port, other_facility)
    request = ask(facility, stored(facility))
    drain_now()
    request.refresh_from_db()
    assert request.last_error.startswith("CT_NORTH is no destination here. Register")
    assert inbox.is_empty
    register(inbox.port, facility)
    drain_now()
    assert inbox.take().event_type == 1


def test_after_the_last_attempt_it_is_given_up_and_can_be_started_again(
    store: Path, facility: Facility, admin_user: object, listening: Callable[..., Inbox]
) -> None:
    port = free_port()
    register(port)
    request = ask(facility, stored(facility))
    runner.drain()
    CommitmentRequest.objects.update(attempts=commitment.MOST_ATTEMPTS - 1)
    drain_now()
    request.refresh_from_db()
    assert request.state == CommitmentState.FAILED
    assert not Job.objects.filter(kind=commitment.REPORT_JOB, state=JobState.QUEUED).exists()
    inbox = listening(port)
    assert commitment.try_again(system_actor("tests"), [request.pk]) == 1
    drain_now()
    assert inbox.take().event_type == 1


def test_starting_again_does_not_wait_for_an_old_pause(
    store: Path, facility: Facility, listening: Callable[..., Inbox], settings: Any
) -> None:
    settings.COMMITMENT_SAME_ASSOCIATION_S = 0
    port = free_port()
    register(port)
    request = ask(facility, stored(facility))
    runner.drain()
    request.refresh_from_db()
    assert request.attempts == 1
    inbox = listening(port)
    commitment.try_again(system_actor("tests"), [request.pk])
    runner.drain()
    assert inbox.take().event_type == 1


def test_only_one_tells_and_a_dead_one_is_replaced(store: Path, facility: Facility) -> None:
    request = ask(facility, stored(facility))
    assert commitment.claim(request.pk) is None  # not checked yet
    commitment.check(str(request.pk))
    assert commitment.claim(request.pk) is not None
    assert commitment.claim(request.pk) is None
    CommitmentRequest.objects.update(reporting_since=timezone.now() - timedelta(minutes=3))
    assert commitment.claim(request.pk) is not None


def test_the_job_comes_back_while_another_one_tells(store: Path, facility: Facility) -> None:
    request = ask(facility, stored(facility))
    commitment.check(str(request.pk))
    assert commitment.claim(request.pk) is not None
    Job.objects.all().delete()
    commitment.report(str(request.pk))
    job = Job.objects.get(kind=commitment.REPORT_JOB)
    assert job.run_at > timezone.now() + timedelta(minutes=2)


def test_a_request_again_is_checked_again(store: Path, facility: Facility) -> None:
    reference = CT, generate_uid()
    uid = generate_uid()
    first = commitment.receive(caller(facility), facility, uid, [reference])
    commitment.check(str(first.pk))
    again = commitment.receive(caller(facility), facility, uid, [reference])
    assert again.pk == first.pk
    assert again.state == CommitmentState.RECEIVED
    with pytest.raises(ConflictError, match="another request"):
        commitment.receive(caller(facility), facility, uid, [(CT, generate_uid())])


def test_it_knows_the_study_that_it_is_about(store: Path, facility: Facility) -> None:
    study = generate_uid()
    references = []
    for _ in range(2):
        ds = make_instance(StudyInstanceUID=study)
        factories.store_bytes(to_bytes(ds), facility)
        references.append((CT, str(ds.SOPInstanceUID)))
    of_one = ask(facility, *references, (CT, generate_uid()))
    of_two = ask(facility, references[0], stored(facility))
    runner.drain()
    of_one.refresh_from_db()
    of_two.refresh_from_db()
    assert of_one.study_instance_uid == study
    assert of_two.study_instance_uid == ""


@pytest.mark.parametrize(
    ("transaction_uid", "references", "words"),
    [
        ("", [(CT, "1.2.3")], "Transaction UID"),
        ("1.02", [(CT, "1.2.3")], "Transaction UID"),
        ("1.2", [], "empty"),
        ("1.2", [(CT, "")], "lawful"),
        ("1.2", [("x", "1.2.3")], "lawful"),
    ],
    ids=["no-transaction", "bad-transaction", "no-references", "no-instance", "bad-class"],
)
def test_what_cannot_be_asked(
    facility: Facility, transaction_uid: str, references: list[tuple[str, str]], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        commitment.receive(caller(facility), facility, transaction_uid, references)
    assert not CommitmentRequest.objects.exists()


def test_what_a_caller_asked_about_belongs_to_its_study(store: Path, facility: Facility) -> None:
    """Images 1, 2 and 5 are here; the caller names these, and one more that never came."""
    study, series = generate_uid(), generate_uid()
    references = [(CT, generate_uid())]
    for number in (1, 2, 5):
        ds = make_instance(
            StudyInstanceUID=study, SeriesInstanceUID=series, SeriesNumber=3, InstanceNumber=number
        )
        factories.store_bytes(to_bytes(ds), facility)
        references.append((CT, str(ds.SOPInstanceUID)))
    runner.drain()
    ask(facility, *references)
    Study.objects.update(last_received_at=timezone.now() - timedelta(minutes=1))
    drain_now()
    found = completeness.of(Study.objects.get())
    assert found is not None
    # The gap in the numbers is not counted beside what the list says.
    assert (found.here, found.missing, found.expected) == (3, 1, 4)
    assert found.words == ["1 of 4 images that storage commitment names has not come."]
    assert found.sources == ["storage commitment"]
