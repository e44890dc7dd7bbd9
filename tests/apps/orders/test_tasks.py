"""The page of tasks: who may see and do what, and what people do there becomes of work items."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver
from pydicom.dataset import Dataset

from accounts.models import Role, User
from archive.access import actor_of, system_actor
from imaging.ups import State
from orders import subscriptions, workitems
from orders.models import Workitem
from tests.apps.worklist.rows import make_study
from tests.workitems import completed, scheduled
from worklist.models import Facility


def make_task(owner: Facility, **keywords: Any) -> Workitem:
    made, _ = workitems.create(system_actor("tests"), owner, "", scheduled(**keywords))
    return made


@pytest.fixture
def tess(facility: Facility, make_user: Callable[..., User]) -> User:
    return make_user("tess", Role.TECHNOLOGIST, [facility])


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def technologist(tess: User) -> Client:
    return signed_in(tess)


@pytest.fixture
def colleague(facility: Facility, make_user: Callable[..., User]) -> Client:
    return signed_in(make_user("theo", Role.TECHNOLOGIST, [facility]))


def post(client: Client, task: Workitem, what: str, **typed: str) -> str:
    """Press a button; returns what the next page says."""
    answer = client.post(f"/tasks/{task.pk}/{what}/", typed, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_every_address_asks_who_is_there(
    facility: Facility, other_facility: Facility, technologist: Client
) -> None:
    foreign = make_task(other_facility)
    table = {"task-list": ("/tasks/", "get", None)} | {
        f"task-{what}": (f"/tasks/{foreign.pk}/{what}/", "post", 403)
        for what in ("claim", "progress", "complete", "cancel")
    }
    named = get_resolver("orders.task_urls").reverse_dict
    assert {name for name in named if isinstance(name, str)} == table.keys()
    typed = {"percent": "1", "reason": "none"}
    for address, method, status in table.values():
        nobody = getattr(Client(), method)(address)
        assert nobody.status_code == 302
        assert nobody["Location"].startswith("/accounts/login/")
        answer = getattr(technologist, method)(address, typed)
        assert answer.status_code == (status or 200), address
        if status is not None:
            unknown = re.sub(r"[0-9a-f-]{36}", str(uuid4()), address)
            assert getattr(technologist, method)(unknown, typed).status_code == 404
    foreign.refresh_from_db()
    assert foreign.state == "SCHEDULED"


def test_the_list_shows_ones_own_and_narrows(
    facility: Facility, other_facility: Facility, technologist: Client
) -> None:
    mine = make_task(facility, ProcedureStepLabel="Segment <b>lungs</b>", PatientID="P1")
    other = make_task(facility, PatientName="Berg^Ida", ProcedureStepLabel="Count ribs")
    theirs = make_task(other_facility)
    page = technologist.get("/tasks/").content.decode()
    assert "Segment &lt;b&gt;lungs" in page
    assert "2026-03-01 09:30" in page
    assert str(theirs.pk) not in page
    for words, found, missing in (
        ("berg", other, mine),
        ("P1", mine, other),
        ("ribs", other, mine),
    ):
        narrowed = technologist.get("/tasks/", {"q": words}).content.decode()
        assert str(found.pk) in narrowed
        assert str(missing.pk) not in narrowed
    assert "No task is like that" in technologist.get("/tasks/", {"q": "x9"}).content.decode()
    workitems.request_cancel(system_actor("tests"), other.pk, Dataset(), "tests")
    assert str(other.pk) not in technologist.get("/tasks/").content.decode()
    for state in ("CANCELED", "all"):
        assert str(other.pk) in technologist.get("/tasks/", {"state": state}).content.decode()
    assert technologist.get("/tasks/", {"state": "odd"}).status_code == 422


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("open", "Nothing is to be done"),
        ("mine", "You have claimed nothing"),
        ("COMPLETED", "Nothing here"),
    ],
)
def test_an_empty_list_says_what_to_do(technologist: Client, state: str, words: str) -> None:
    assert words in technologist.get("/tasks/", {"state": state}).content.decode()


def test_a_task_leads_to_its_study(facility: Facility, technologist: Client) -> None:
    study = make_study(facility, 1)
    make_task(facility, StudyInstanceUID=study.study_instance_uid)
    page = technologist.get("/tasks/").content.decode()
    assert f'href="/worklist/studies/{study.pk}/"' in page


def test_more_tasks_take_no_more_queries(facility: Facility, technologist: Client) -> None:
    study = make_study(facility, 1)
    counts = []
    for _ in range(2):
        for _ in range(3):
            make_task(facility, StudyInstanceUID=study.study_instance_uid)
        technologist.get("/tasks/")
        with CaptureQueriesContext(connection) as queries:
            technologist.get("/tasks/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_person_claims_works_and_completes(
    facility: Facility, technologist: Client, colleague: Client, tess: User
) -> None:
    task = make_task(facility)
    assert "The task is yours." in post(technologist, task, "claim")
    assert "somebody has claimed it" in post(colleague, task, "claim")
    assert colleague.post(f"/tasks/{task.pk}/progress/", {"percent": "5"}).status_code == 403
    assert colleague.post(f"/tasks/{task.pk}/complete/").status_code == 403
    assert "0 to 100" in post(technologist, task, "progress", percent="101")
    page = post(technologist, task, "progress", percent="40")
    assert 'value="40"' in page
    assert "40 %" in page
    assert str(task.pk) in technologist.get("/tasks/", {"state": "mine"}).content.decode()
    assert str(task.pk) not in colleague.get("/tasks/", {"state": "mine"}).content.decode()
    assert "The task is completed." in post(technologist, task, "complete")
    task.refresh_from_db()
    assert (task.state, task.performer) == ("COMPLETED", "tess")
    # It holds what programs expect of a completed item.
    data_set = workitems.attributes_of(task)
    (performed,) = data_set.UnifiedProcedureStepPerformedProcedureSequence
    begun, ended = (
        performed.PerformedProcedureStepStartDateTime,
        performed.PerformedProcedureStepEndDateTime,
    )
    assert begun <= ended
    assert performed.PerformedWorkitemCodeSequence[0].CodeMeaning == "Segment the lungs"
    assert "nothing changes" in post(technologist, task, "complete")


@pytest.mark.parametrize("words", ["\0", "\ud800", "%_*?[", "x" * 500])
def test_odd_words_find_nothing_and_harm_nothing(
    facility: Facility, technologist: Client, words: str
) -> None:
    task = make_task(facility)
    typed = {"q": words.encode("utf-8", "surrogatepass")}
    assert technologist.get("/tasks/", typed).status_code == 200
    answer = technologist.post(
        f"/tasks/{task.pk}/cancel/", {"reason": words.encode("utf-8", "surrogatepass")}
    )
    assert answer.status_code == 302


def test_a_person_cancels_with_a_reason(facility: Facility, technologist: Client) -> None:
    unclaimed, mine = make_task(facility), make_task(facility)
    assert "Say why" in post(technologist, unclaimed, "cancel", reason="  ")
    assert "The task is cancelled." in post(technologist, unclaimed, "cancel", reason="Done before")
    post(technologist, mine, "claim")
    post(technologist, mine, "progress", percent="30")
    assert "The task is cancelled." in post(technologist, mine, "cancel", reason="Wrong series")
    for task, reason in ((unclaimed, "Done before"), (mine, "Wrong series")):
        task.refresh_from_db()
        assert (task.state, task.cancel_reason) == ("CANCELED", reason)
        (progress,) = workitems.attributes_of(task).ProcedureStepProgressInformationSequence
        assert progress.ReasonForCancellation == reason
    assert progress.ProcedureStepProgress == 30
    assert "Wrong series" in technologist.get("/tasks/", {"state": "CANCELED"}).content.decode()


def test_anothers_task_is_cancelled_by_asking(
    facility: Facility, technologist: Client, colleague: Client
) -> None:
    task = make_task(facility)
    post(technologist, task, "claim")
    page = post(colleague, task, "cancel", reason="Not needed")
    assert "The performer was asked to cancel." in page
    assert "theo asks to cancel: Not needed" in technologist.get("/tasks/").content.decode()
    task.refresh_from_db()
    assert task.state == "IN PROGRESS"


def test_a_program_that_listens_to_nothing_cannot_be_asked(
    facility: Facility, technologist: Client, tess: User
) -> None:
    task = make_task(facility)
    program = actor_of(tess)
    workitems.change_state(program, task.pk, State.IN_PROGRESS, "1.2.3")
    assert "cannot be told" in post(technologist, task, "cancel", reason="Not needed")
    # Nor does the page go on with what the account's program has claimed.
    assert technologist.post(f"/tasks/{task.pk}/complete/").status_code == 403
    subscriptions.subscribe(program, task, "GPU1", wants_lock=False)
    assert "was asked" in post(technologist, task, "cancel", reason="Not needed")
    workitems.update(program, task.pk, completed(), "1.2.3")
    workitems.change_state(program, task.pk, State.COMPLETED, "1.2.3")
    assert "completed" in post(technologist, task, "cancel", reason="Not needed")


def test_who_only_looks_gets_no_buttons(facility: Facility, make_user: Callable[..., User]) -> None:
    viewer = signed_in(make_user("vic", Role.VIEWER, [facility]))
    task = make_task(facility)
    page = viewer.get("/tasks/").content.decode()
    assert "Segment the lungs" in page
    assert "/claim/" not in page
    for what in ("claim", "progress", "complete", "cancel"):
        answer = viewer.post(f"/tasks/{task.pk}/{what}/", {"percent": "1", "reason": "x"})
        assert answer.status_code == 403


def test_a_script_gets_words_and_the_list_alone(facility: Facility, technologist: Client) -> None:
    task = make_task(facility)
    headers = {"accept": "application/json"}
    answer = technologist.post(f"/tasks/{task.pk}/claim/", headers=headers)
    assert answer.json() == {"message": "The task is yours."}
    again = technologist.post(f"/tasks/{task.pk}/claim/", headers=headers)
    assert again.status_code == 409
    part = technologist.get("/tasks/", {"part": "list"}).content.decode()
    assert str(task.pk) in part
    assert "<html" not in part


def test_a_form_leads_back_to_its_own_site_alone(facility: Facility, technologist: Client) -> None:
    first, second = make_task(facility), make_task(facility)
    own = technologist.post(f"/tasks/{first.pk}/claim/", {"next": "/tasks/?state=mine"})
    assert own["Location"] == "/tasks/?state=mine"
    foreign = technologist.post(f"/tasks/{second.pk}/claim/", {"next": "https://evil.example/"})
    assert foreign["Location"] == "/tasks/"


def test_a_waiting_item_says_what_for(facility: Facility, technologist: Client) -> None:
    make_task(facility, InputReadinessState="INCOMPLETE")
    assert "Waits for its input" in technologist.get("/tasks/").content.decode()


def test_the_administration_shows_no_lock(facility: Facility, tess: User, admin_user: User) -> None:
    task = make_task(facility)
    workitems.change_state(actor_of(tess), task.pk, State.IN_PROGRESS, "1.2.3.777")
    admin = signed_in(admin_user)
    listed = admin.get("/admin/orders/workitem/").content.decode()
    assert "Segment the lungs" in listed
    answer = admin.get(f"/admin/orders/workitem/{task.pk}/change/")
    assert answer.status_code == 200
    assert task.sop_instance_uid in answer.content.decode()
    assert "1.2.3.777" not in answer.content.decode()
