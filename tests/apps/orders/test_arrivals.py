"""An arriving study finds its order: surely, as a suggestion, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pydicom.uid import generate_uid

from accounts.models import Role, User
from archive import access, deletions, removal, runner
from archive.access import Actor, actor_of, system_actor
from archive.errors import ConflictError, ForbiddenError
from archive.models import AuditEvent, Job, OutboxEvent
from orders import arrivals, services
from orders.models import MatchState, Order, OrderStatus, StepStatus, StudyMatch
from orders.services import OrderDraft, StepDraft
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study


@pytest.fixture
def technologist(facility: Facility, make_user: Callable[..., User]) -> Actor:
    return actor_of(make_user("tess", Role.TECHNOLOGIST, [facility]))


def order(owner: Facility, **values: Any) -> Order:
    steps = values.pop("steps", [StepDraft(modality="CT", start_date=date(2026, 3, 1))])
    draft = {"patient_name": "Kim^Lee", "patient_identifier": "P1", "order_category": "CT"}
    return services.create_order(
        system_actor("tests"), owner, OrderDraft(steps=steps, **(draft | values))
    )


def arrive(owner: Facility, **keywords: Any) -> Study:
    """Store one instance of a new study and let the worker do what is due."""
    values = {"PatientID": "P1", "Modality": "CT", "StudyDate": "20260301", "AccessionNumber": ""}
    study_uid = keywords.pop("StudyInstanceUID", None) or generate_uid()
    content = to_bytes(make_instance(**(values | keywords), StudyInstanceUID=study_uid))
    factories.store_bytes(content, owner)
    runner.drain()
    return access.study_for(access.EVERYTHING, study_uid)


def linked(study: Study) -> list[Order]:
    return [match.order for match in arrivals.matches_of(study) if match.state == "linked"]


def settle(study: Study) -> None:
    """Let the quiet time be over."""
    Study._default_manager.filter(pk=study.pk).update(
        last_received_at=timezone.now() - timedelta(hours=1)
    )
    arrivals.settle_study(str(study.pk))


def test_by_accession_number(store: Path, facility: Facility, other_facility: Facility) -> None:
    mine = order(facility, accession_number="A1")
    theirs = order(other_facility, accession_number="A1")
    study = arrive(facility, AccessionNumber="A1")
    assert linked(study) == [mine]
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert mine.study_instance_uid == study.study_instance_uid
    assert mine.patient_id == study.patient_id
    assert (mine.status, theirs.status) == (OrderStatus.IN_PROGRESS, OrderStatus.SCHEDULED)
    assert mine.steps.get().status == StepStatus.STARTED
    assert AuditEvent.objects.filter(verb="order.link").count() == 1


def test_doing_it_again_changes_nothing(store: Path, facility: Facility) -> None:
    order(facility, accession_number="A1")
    study = arrive(facility, AccessionNumber="A1")
    before = list(StudyMatch.objects.values())
    events = OutboxEvent.objects.count()
    for _ in range(2):
        arrivals.match_study(str(study.pk))
    assert list(StudyMatch.objects.values()) == before
    assert OutboxEvent.objects.count() == events


def test_by_study_uid_when_there_is_no_accession_number(store: Path, facility: Facility) -> None:
    mine = order(facility, study_instance_uid="1.2.3.9")
    assert linked(arrive(facility, StudyInstanceUID="1.2.3.9")) == [mine]


def test_another_patient_under_the_number_is_for_a_person(
    store: Path, facility: Facility, technologist: Actor
) -> None:
    mine = order(facility, accession_number="A1", patient_identifier="P9")
    study = arrive(facility, AccessionNumber="A1")
    match = StudyMatch.objects.get()
    assert (match.state, match.how) == (
        MatchState.SUGGESTED,
        "accession number, but another Patient ID",
    )
    assert arrivals.with_suggestions([study.pk]) == {study.pk}
    arrivals.decide(technologist, match.pk, is_match=True)
    assert linked(study) == [mine]
    assert arrivals.with_suggestions([study.pk]) == set()
    match.refresh_from_db()
    assert match.decided_by_id == technologist.user_id


@pytest.mark.parametrize(
    ("keywords", "is_suggested"),
    [
        ({}, True),
        ({"PatientID": "P2"}, False),
        ({"Modality": "MR"}, False),
        ({"StudyDate": "20260302"}, False),
        ({"PatientID": ""}, False),
    ],
    ids=["all same", "patient", "modality", "date", "no patient"],
)
def test_patient_modality_and_date_suggest(
    store: Path, facility: Facility, keywords: dict[str, str], is_suggested: bool
) -> None:
    mine = order(facility)
    study = arrive(facility, **keywords)
    found = arrivals.matches_of(study)
    assert [(match.order, match.state) for match in found] == (
        [(mine, MatchState.SUGGESTED)] if is_suggested else []
    )
    mine.refresh_from_db()
    assert mine.status == OrderStatus.SCHEDULED


def test_a_rejected_suggestion_stays_away(
    store: Path, facility: Facility, technologist: Actor
) -> None:
    order(facility)
    study = arrive(facility)
    match = StudyMatch.objects.get()
    arrivals.decide(technologist, match.pk, is_match=False)
    arrivals.match_study(str(study.pk))
    assert arrivals.matches_of(study) == []
    with pytest.raises(ConflictError):
        arrivals.decide(technologist, match.pk, is_match=True)


def test_one_confirmed_suggestion_ends_the_others(
    store: Path, facility: Facility, technologist: Actor
) -> None:
    first, second = order(facility), order(facility)
    study = arrive(facility)
    suggestions = {match.order_id: match.pk for match in arrivals.matches_of(study)}
    assert suggestions.keys() == {first.pk, second.pk}
    arrivals.decide(technologist, suggestions[second.pk], is_match=True)
    assert [match.order for match in arrivals.matches_of(study)] == [second]
    with pytest.raises(ConflictError):
        arrivals.link_study(technologist, first, study)


def test_others_do_not_decide(
    store: Path,
    facility: Facility,
    other_facility: Facility,
    make_user: Callable[..., User],
) -> None:
    order(facility)
    arrive(facility)
    match = StudyMatch.objects.get()
    foreign = actor_of(make_user("sam", Role.TECHNOLOGIST, [other_facility]))
    viewer = actor_of(make_user("vic", Role.VIEWER, [facility]))
    for actor in (foreign, viewer):
        with pytest.raises(ForbiddenError):
            arrivals.decide(actor, match.pk, is_match=True)


def test_a_study_of_another_facility_is_not_linked(
    store: Path, facility: Facility, other_facility: Facility, admin_user: User
) -> None:
    study = arrive(other_facility)
    with pytest.raises(ForbiddenError):
        arrivals.link_study(actor_of(admin_user), order(facility), study)


def test_order_is_complete_when_the_study_is_quiet(store: Path, facility: Facility) -> None:
    mine = order(facility, accession_number="A1")
    study = arrive(facility, AccessionNumber="A1")
    # More may still come: the job waits for its time.
    arrivals.settle_study(str(study.pk))
    mine.refresh_from_db()
    assert mine.status == OrderStatus.IN_PROGRESS
    assert Job.objects.filter(kind=arrivals.SETTLE_JOB, state="queued").count() == 1
    settle(study)
    mine.refresh_from_db()
    assert mine.status == OrderStatus.COMPLETED


def test_equipment_that_reports_its_steps_says_when_it_is_done(
    store: Path, facility: Facility
) -> None:
    from orders.models import PerformedStep

    mine = order(facility, accession_number="A1")
    performed = PerformedStep.objects.create(
        facility=facility, sop_instance_uid="1.2.3", status="IN PROGRESS", order=mine
    )
    performed.steps.set(mine.steps.all())
    study = arrive(facility, AccessionNumber="A1")
    settle(study)
    mine.refresh_from_db()
    assert mine.status == OrderStatus.IN_PROGRESS


def test_a_demo_goes_with_its_orders(store: Path, facility: Facility) -> None:
    order(facility, accession_number="A1")
    arrive(facility, AccessionNumber="A1")
    Facility.objects.update(is_demo=True)
    facility.refresh_from_db()
    removal.destroy_demo_facility(system_actor("tests"), facility)
    assert not Order.objects.exists()
    assert not StudyMatch.objects.exists()


def test_a_deleted_study_is_not_matched_nor_shown(
    store: Path, facility: Facility, admin_user: User
) -> None:
    study = arrive(facility)
    deletions.delete_study(actor_of(admin_user), study.pk, "sent twice")
    order(facility)
    arrivals.match_study(str(study.pk))
    arrivals.settle_study(str(study.pk))
    assert not StudyMatch.objects.exists()
