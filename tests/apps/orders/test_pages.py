"""The pages of orders: who may see and do what, what a form answers, links both ways."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import get_resolver

from accounts.models import Role, User
from archive.access import system_actor
from archive.models import AuditEvent
from orders import services
from orders.models import MatchState, Order, StudyMatch
from orders.services import OrderDraft, StepDraft
from tests.apps.worklist.rows import make_study
from worklist.models import Facility

FORM = {
    "patient_name": "Lee, Kim Ann",
    "patient_identifier": "P1",
    "patient_birth_date": "1970-01-02",
    "patient_sex": "F",
    "modality": "ct",
    "description": "CT head",
    "start_date": "2026-03-01",
    "start_time": "09:30",
    "station": "CT_NORTH",
    "priority": "HIGH",
    "reason": "Trauma",
    "requesting_physician": "House, Gregory",
    "referring_physician_name": "",
    "performing_physician": "",
    "accession_number": "",
}


def make_order(owner: Facility, **values: Any) -> Order:
    draft = {"patient_name": "Lee^Kim", "patient_identifier": "P1", "description": "CT <b>head</b>"}
    steps = [StepDraft(modality="CT", start_date=date(2026, 3, 1))]
    return services.create_order(
        system_actor("tests"), owner, OrderDraft(steps=steps, **(draft | values))
    )


@pytest.fixture
def technologist(facility: Facility, make_user: Callable[..., User]) -> Client:
    client = Client()
    client.force_login(make_user("tess", Role.TECHNOLOGIST, [facility]))
    return client


@pytest.fixture
def viewer(facility: Facility, make_user: Callable[..., User]) -> Client:
    client = Client()
    client.force_login(make_user("vic", Role.VIEWER, [facility]))
    return client


def test_every_address_asks_who_is_there(
    facility: Facility, other_facility: Facility, technologist: Client
) -> None:
    foreign = make_order(other_facility)
    match = StudyMatch.objects.create(
        order=foreign, study=make_study(other_facility, 1), state=MatchState.SUGGESTED, how="x"
    )
    # Address, method, status for another facility's object; None where there is no object.
    table = {
        "order-list": ("/orders/", "get", None),
        "order-new": ("/orders/new/", "get", None),
        "order-detail": (f"/orders/{foreign.pk}/", "get", 403),
        "order-cancel": (f"/orders/{foreign.pk}/cancel/", "post", 403),
        "match-decide": (f"/orders/matches/{match.pk}/", "post", 403),
    }
    named = get_resolver("orders.urls").reverse_dict
    assert {name for name in named if isinstance(name, str)} == table.keys()
    for address, method, status in table.values():
        nobody = getattr(Client(), method)(address)
        assert nobody.status_code == 302
        assert nobody["Location"].startswith("/accounts/login/")
        answer = getattr(technologist, method)(address, {"answer": "yes"})
        assert answer.status_code == (status or 200), address
        if status is not None:
            unknown = re.sub(r"[0-9a-f-]{36}", str(uuid4()), address)
            assert getattr(technologist, method)(unknown).status_code == 404
    match.refresh_from_db()
    foreign.refresh_from_db()
    assert (match.state, foreign.status) == (MatchState.SUGGESTED, "scheduled")


def test_an_order_is_made_and_shown(facility: Facility, technologist: Client) -> None:
    answer = technologist.post("/orders/new/", FORM, follow=True)
    order = Order.objects.get()
    assert answer.redirect_chain == [(f"/orders/{order.pk}/", 302)]
    page = answer.content.decode()
    for words in (order.accession_number, "Lee, Kim Ann", "1970-01-02", "CT_NORTH", "Trauma",
                  "2026-03-01 09:30", "House, Gregory", "North Clinic", "Scheduled"):  # fmt: skip
        assert words in page
    assert (order.facility, order.patient_name) == (facility, "Lee^Kim Ann")
    assert order.steps.get().modality == "CT"
    listed = technologist.get("/orders/").content.decode()
    assert order.accession_number in listed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patient_identifier": ""}, "name and ID"),
        ({"start_date": "tomorrow"}, "is no date"),
        ({"start_date": ""}, "on which day"),
        ({"start_time": "9 am"}, "is no time"),
        ({"station": "A" * 17}, "AE title"),
        ({"modality": ""}, "modality"),
    ],
    ids=["no id", "no date", "empty date", "no time", "ae title", "no modality"],
)
def test_a_form_comes_back_with_the_reason_and_what_was_typed(
    facility: Facility, technologist: Client, changes: dict[str, str], words: str
) -> None:
    answer = technologist.post("/orders/new/", FORM | changes)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert words in page
    assert "Lee, Kim Ann" in page
    assert not Order.objects.exists()


def test_an_order_for_another_facility_is_refused(
    facility: Facility, other_facility: Facility, technologist: Client
) -> None:
    assert technologist.post("/orders/new/", FORM | {"facility": "SOUTH"}).status_code == 403
    assert not Order.objects.exists()


def test_who_only_looks_gets_no_form_and_no_buttons(facility: Facility, viewer: Client) -> None:
    order = make_order(facility)
    assert viewer.get("/orders/new/").status_code == 403
    assert viewer.post("/orders/new/", FORM).status_code == 403
    assert viewer.post(f"/orders/{order.pk}/cancel/").status_code == 403
    page = viewer.get(f"/orders/{order.pk}/").content.decode()
    assert "Cancel the order" not in page
    assert "New order" not in viewer.get("/orders/").content.decode()
    order.refresh_from_db()
    assert order.status == "scheduled"


def test_list_shows_ones_own_and_narrows(
    facility: Facility, other_facility: Facility, technologist: Client
) -> None:
    mine, mri = make_order(facility), make_order(facility, patient_name="Berg^Ida")
    theirs = make_order(other_facility)
    page = technologist.get("/orders/").content.decode()
    assert str(mine.pk) in page
    assert str(theirs.pk) not in page
    assert "CT &lt;b&gt;head" in page
    narrowed = technologist.get("/orders/", {"q": "berg"}).content.decode()
    assert str(mri.pk) in narrowed
    assert str(mine.pk) not in narrowed
    none = technologist.get("/orders/", {"q": "nobody", "from": "odd"}).content.decode()
    assert "No order is like that" in none
    assert "No orders yet" not in none


def test_an_empty_list_says_what_orders_are_for(facility: Facility, technologist: Client) -> None:
    assert "No orders yet" in technologist.get("/orders/").content.decode()


def test_cancelling_twice_says_so(facility: Facility, technologist: Client) -> None:
    order = make_order(facility)
    first = technologist.post(f"/orders/{order.pk}/cancel/", follow=True).content.decode()
    assert "is cancelled." in first
    second = technologist.post(f"/orders/{order.pk}/cancel/", follow=True).content.decode()
    assert "cancelled already" in second


@pytest.mark.parametrize(("answer", "state"), [("yes", "linked"), ("no", "rejected")])
def test_a_suggestion_is_marked_asked_and_decided(
    facility: Facility, technologist: Client, answer: str, state: str
) -> None:
    order, study = make_order(facility), make_study(facility, 1)
    match = StudyMatch.objects.create(
        order=order, study=study, state=MatchState.SUGGESTED, how="patient, modality and date"
    )
    question = "An order may belong to this study"
    assert question in technologist.get("/worklist/studies/").content.decode()
    study_page = f"/worklist/studies/{study.pk}/"
    asked = technologist.get(study_page).content.decode()
    assert f'href="/orders/{order.pk}/"' in asked
    assert "Yes, it belongs" in asked
    assert f'href="{study_page}"' in technologist.get(f"/orders/{order.pk}/").content.decode()
    decided = technologist.post(
        f"/orders/matches/{match.pk}/", {"answer": answer, "next": study_page}
    )
    assert (decided.status_code, decided["Location"]) == (302, study_page)
    match.refresh_from_db()
    assert match.state == state
    assert question not in technologist.get("/worklist/studies/").content.decode()
    assert (f'href="/orders/{order.pk}/"' in technologist.get(study_page).content.decode()) == (
        answer == "yes"
    )


def test_deciding_leads_nowhere_else(facility: Facility, technologist: Client) -> None:
    match = StudyMatch.objects.create(
        order=make_order(facility), study=make_study(facility, 1), state="suggested", how="x"
    )
    answer = technologist.post(
        f"/orders/matches/{match.pk}/", {"answer": "no", "next": "https://evil.example/"}
    )
    assert answer["Location"] == f"/orders/{match.order_id}/"


def test_looking_is_recorded(facility: Facility, technologist: Client) -> None:
    order = make_order(facility)
    technologist.get(f"/orders/{order.pk}/")
    event = AuditEvent.objects.get(verb="order.look")
    assert (event.target_id, event.actor) == (str(order.pk), "tess")


@pytest.mark.parametrize("model", ["order", "scheduledstep", "performedstep", "studymatch"])
def test_administration_lists_them(
    facility: Facility, admin_user: User, client: Client, model: str
) -> None:
    order = make_order(facility)
    StudyMatch.objects.create(
        order=order, study=make_study(facility, 1), state=MatchState.SUGGESTED, how="x"
    )
    client.force_login(admin_user)
    answer = client.get(f"/admin/orders/{model}/")
    assert answer.status_code == 200
    assert (str(order.pk) in answer.content.decode()) == (model != "performedstep")
