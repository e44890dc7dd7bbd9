"""Orders: made, found, cancelled; each facility sees its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, time

import pytest
from django.utils import timezone

from accounts.models import Role, User
from archive.access import Actor, Scope, actor_of
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from archive.models import AuditEvent
from imaging.uid import is_valid_uid
from orders import services
from orders.models import Order, OrderStatus, ScheduledStep, StepStatus
from orders.services import OrderDraft, OrderQuery, StepDraft
from worklist.models import Facility, Patient


@pytest.fixture
def technologist(facility: Facility, make_user: Callable[..., User]) -> Actor:
    return actor_of(make_user("tess", Role.TECHNOLOGIST, [facility]))


def draft(**values: object) -> OrderDraft:
    return OrderDraft(
        **{  # type: ignore[arg-type]
            "patient_name": "Müller^Ånna",
            "patient_identifier": "P1",
            "order_category": "CT",
            "description": "CT head",
            **values,
        }
    )


def test_order_gets_its_numbers(facility: Facility, technologist: Actor) -> None:
    first = services.create_order(technologist, facility, draft())
    second = services.create_order(technologist, facility, draft())
    year = timezone.now().year
    assert [first.accession_number, second.accession_number] == [
        f"ACC-{year}-00001",
        f"ACC-{year}-00002",
    ]
    assert is_valid_uid(first.study_instance_uid)
    assert first.study_instance_uid != second.study_instance_uid
    assert first.status == OrderStatus.SCHEDULED
    step = first.steps.get()
    assert (step.modality, step.status, step.description) == ("CT", "SCHEDULED", "CT head")
    assert AuditEvent.objects.filter(verb="order.create", target_id=str(first.pk)).count() == 1


def test_number_that_a_worklist_file_brought_is_not_given_again(
    facility: Facility, technologist: Actor
) -> None:
    year = timezone.now().year
    taken = f"ACC-{year}-00001"
    services.create_order(technologist, facility, draft(accession_number=taken))
    made = services.create_order(technologist, facility, draft())
    assert made.accession_number == f"ACC-{year}-00002"


def test_known_patient_is_linked_and_lends_its_demographics(
    facility: Facility, technologist: Actor
) -> None:
    patient = Patient.objects.create(
        facility=facility, patient_id="P7", patient_name="Kim^Lee", patient_birth_date="1970-01-02"
    )
    by_id = services.create_order(technologist, facility, draft(patient_identifier="P7"))
    assert by_id.patient == patient
    patient.refresh_from_db()
    by_row = services.create_order(
        technologist, facility, OrderDraft(patient=patient, order_category="MR")
    )
    assert (by_row.patient_name, by_row.patient_identifier) == ("Kim^Lee", "P7")
    assert by_row.patient_birth_date == date(1970, 1, 2)


def test_patient_of_another_facility_is_not_linked(
    facility: Facility, other_facility: Facility, technologist: Actor
) -> None:
    foreign = Patient.objects.create(facility=other_facility, patient_id="P1")
    assert services.create_order(technologist, facility, draft()).patient is None
    with pytest.raises(ForbiddenError):
        services.create_order(technologist, facility, draft(patient=foreign))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"patient_name": ""}, "name and ID"),
        ({"patient_identifier": "A\\B"}, "backslash"),
        ({"accession_number": "x" * 17}, "16 characters"),
        ({"study_instance_uid": "1.02.3"}, "UID"),
        ({"status": "maybe"}, "status is one of"),
        ({"steps": [StepDraft(modality="", start_date=date(2026, 1, 1))]}, "modality"),
        (
            {
                "steps": [
                    StepDraft(
                        modality="CT",
                        start_date=date(2026, 1, 1),
                        scheduled_station_ae_title="A" * 17,
                    )
                ]
            },
            "AE title",
        ),
    ],
    ids=["no name", "backslash", "too long", "uid", "status", "no modality", "ae title"],
)
def test_unlawful_values_are_refused_in_words(
    facility: Facility, technologist: Actor, values: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        services.create_order(technologist, facility, draft(**values))
    assert not Order.objects.exists()


def test_a_study_uid_belongs_to_one_order(facility: Facility, technologist: Actor) -> None:
    services.create_order(technologist, facility, draft(study_instance_uid="1.2.3"))
    with pytest.raises(ConflictError):
        services.create_order(technologist, facility, draft(study_instance_uid="1.2.3"))


def test_only_who_may_and_only_for_their_facility(
    facility: Facility,
    other_facility: Facility,
    technologist: Actor,
    make_user: Callable[..., User],
) -> None:
    viewer = actor_of(make_user("vic", Role.VIEWER, [facility]))
    with pytest.raises(ForbiddenError):
        services.create_order(viewer, facility, draft())
    with pytest.raises(ForbiddenError):
        services.create_order(technologist, other_facility, draft())


def test_list_is_scoped_and_narrowed_with_two_queries(
    facility: Facility,
    other_facility: Facility,
    technologist: Actor,
    admin_user: User,
    django_assert_num_queries: Callable[..., object],
) -> None:
    made = [
        services.create_order(
            technologist,
            facility,
            draft(
                patient_identifier=f"P{number}",
                steps=[
                    StepDraft(
                        modality=modality, start_date=date(2026, 3, number), start_time=time(9)
                    )
                ],
            ),
        )
        for number, modality in ((1, "CT"), (2, "MR"), (3, "CT"))
    ]
    services.create_order(actor_of(admin_user), other_facility, draft())

    def ids(**query: object) -> list[object]:
        page = services.find_orders(technologist.scope, OrderQuery(**query))  # type: ignore[arg-type]
        return [order.pk for order in page.items]

    with django_assert_num_queries(2):
        found = services.find_orders(technologist.scope, OrderQuery()).items
        assert [step.modality for order in found for step in order.steps.all()] == [
            "CT",
            "MR",
            "CT",
        ]
        assert {order.facility.code for order in found} == {"NORTH"}
    assert ids() == [order.pk for order in reversed(made)]
    assert ids(modality="ct") == [made[2].pk, made[0].pk]
    assert ids(day_from=date(2026, 3, 2), day_to=date(2026, 3, 2)) == [made[1].pk]
    assert ids(words="muller anna p2") == [made[1].pk]
    assert ids(words=made[0].accession_number.lower()) == [made[0].pk]
    assert ids(status="completed") == []
    assert ids(limit=2) == [made[2].pk, made[1].pk]
    assert ids(limit=2, before=made[1].pk) == [made[0].pk]
    assert services.find_orders(Scope(frozenset()), OrderQuery()).items == []


def test_cancelling_takes_it_off_the_worklist_once(facility: Facility, technologist: Actor) -> None:
    order = services.create_order(technologist, facility, draft())
    services.cancel_order(technologist, order.pk)
    assert set(ScheduledStep.objects.values_list("status", flat=True)) == {StepStatus.CANCELLED}
    assert services.order_for(technologist.scope, order.pk).status == OrderStatus.CANCELLED
    with pytest.raises(ConflictError, match="cancelled already"):
        services.cancel_order(technologist, order.pk)


def test_foreign_and_unknown_orders(
    facility: Facility, other_facility: Facility, technologist: Actor, admin_user: User
) -> None:
    foreign = services.create_order(actor_of(admin_user), other_facility, draft())
    with pytest.raises(ForbiddenError):
        services.order_for(technologist.scope, foreign.pk)
    with pytest.raises(NotFoundError):
        services.order_for(technologist.scope, facility.pk)


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        (["SCHEDULED", "SCHEDULED"], "scheduled"),
        (["STARTED", "SCHEDULED"], "in_progress"),
        (["COMPLETED", "SCHEDULED"], "in_progress"),
        (["COMPLETED", "COMPLETED"], "completed"),
        (["COMPLETED", "DISCONTINUED"], "completed"),
        (["DISCONTINUED", "CANCELLED"], "discontinued"),
        (["CANCELLED", "CANCELLED"], "cancelled"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else value,
)
def test_order_is_what_its_steps_add_up_to(
    facility: Facility, technologist: Actor, steps: list[str], status: str
) -> None:
    planned = [StepDraft(modality="CT", start_date=date(2026, 1, 1), status=step) for step in steps]
    order = services.create_order(technologist, facility, draft(steps=planned))
    services.follow_steps(order)
    order.refresh_from_db()
    assert order.status == status
