"""Commitment, the modality worklist and performed steps by web: the same services as by DIMSE."""

from __future__ import annotations

import json
from datetime import date, time
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, generate_uid

from accounts.models import Role, User
from archive import runner, stores
from archive.access import system_actor
from archive.models import CommitmentRequest, CommitmentState, Job
from fastapi_app.services.dicomweb import workflow
from imaging import dicomxml
from orders import services
from orders.models import Order, OrderStatus, PerformedStep, StepStatus
from orders.services import OrderDraft, StepDraft
from tests import factories, stow
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.orderly import item
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "/dicom-web"
CT = str(CTImageStorage)


@pytest.fixture
def modality(facility: Facility) -> User:
    return factories.user("ct_north", Role.TECHNOLOGIST, [facility])


@pytest.fixture
def caller(sidecar: Sidecar, modality: User) -> Caller:
    return sidecar.by_token(modality)


@pytest.fixture
def foreigner(sidecar: Sidecar, other_facility: Facility) -> Caller:
    return sidecar.by_token(factories.user("ct_south", Role.TECHNOLOGIST, [other_facility]))


def post(caller: Caller, path: str, content: Any, kind: str = stow.JSON) -> httpx.Response:
    if isinstance(content, Dataset):
        content = content.to_json_dict()
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return caller.post(f"{BASE}{path}", content=body, headers={"Content-Type": kind})


# Commitment ---------------------------------------------------------------------------------------


def stored(owner: Facility) -> tuple[str, str]:
    ds = make_instance(noise(8, 8))
    factories.store_bytes(to_bytes(ds), owner)
    return CT, str(ds.SOPInstanceUID)


def asking(*references: tuple[str, str]) -> Dataset:
    """PS3.18 annex J.1."""
    items = [item(ReferencedSOPClassUID=a, ReferencedSOPInstanceUID=b) for a, b in references]
    return item(ReferencedSOPSequence=items)


def test_what_is_whole_is_committed_at_once_and_the_rest_told(
    caller: Caller, facility: Facility, other_facility: Facility
) -> None:
    whole, damaged, foreign = stored(facility), stored(facility), stored(other_facility)
    image = DicomImage.objects.get(sop_instance_uid=damaged[1])
    path = stores.instances().path(image.storage_key)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    wrong_class = (str(MRImageStorage), whole[1])
    uid = generate_uid()
    answer = post(
        caller, f"/commitment-requests/{uid}", asking(whole, damaged, foreign, wrong_class)
    )
    assert answer.status_code == 200, answer.text
    assert stow.uids(answer, stow.STORED) == [whole[1]]
    told = zip(stow.uids(answer, stow.FAILED), stow.reasons(answer), strict=True)
    assert list(told) == [(damaged[1], 0x0110), (foreign[1], 0x0112), (whole[1], 0x0119)]
    again = caller.get(f"{BASE}/commitment-requests/{uid}")
    assert (again.status_code, again.json()) == (200, answer.json())
    xml = caller.get(f"{BASE}/commitment-requests/{uid}", headers={"Accept": stow.XML})
    assert ET.fromstring(xml.content)[0].get("keyword") == "FailedSOPSequence"  # noqa: S314
    # Nobody is called back: the result was fetched.
    assert not Job.objects.filter(kind="commitment.report").exists()


def test_many_instances_are_checked_later(
    caller: Caller, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow, "_CHECKED_AT_ONCE", 1)
    one, other = stored(facility), stored(facility)
    path = f"/commitment-requests/{generate_uid()}"
    answer = post(caller, path, dicomxml.of_model(asking(one, other).to_json_dict()), stow.XML)
    assert answer.status_code == 202
    assert int(answer.headers["retry-after"]) > 0
    assert caller.get(f"{BASE}{path}").status_code == 202
    runner.drain()
    answer = caller.get(f"{BASE}{path}")
    assert stow.uids(answer, stow.STORED) == [one[1], other[1]]
    assert CommitmentRequest.objects.get().state == CommitmentState.REPORTED


def test_commitment_requests_that_are_none(
    caller: Caller, foreigner: Caller, sidecar: Sidecar, facility: Facility
) -> None:
    one = stored(facility)
    path = f"/commitment-requests/{generate_uid()}"
    assert_problem(caller.get(f"{BASE}{path}"), 404)
    for model in (item(), asking(), asking((CT, "1.02")), asking(("x", one[1]))):
        assert_problem(post(caller, path, model), 400)
    by_study = item(ReferencedStudySequence=[item(StudyInstanceUID="1.2")])
    assert_problem(post(caller, path, by_study), 400, "0008,1199")
    assert_problem(post(caller, "/commitment-requests/1.02", asking(one)), 400, "UID")
    assert_problem(post(caller, path, asking(one), "text/plain"), 415)
    assert_problem(post(caller, path, b"{"), 400, "JSON")
    viewer = sidecar.by_token(factories.user("vera", Role.VIEWER, [facility]))
    assert_problem(post(viewer, path, asking(one)), 403)
    assert not CommitmentRequest.objects.exists()
    assert post(caller, path, asking(one)).status_code == 200
    assert_problem(post(caller, path, asking(one)), 409, "Transaction UID")
    assert_problem(foreigner.get(f"{BASE}{path}"), 403)


# Worklist -----------------------------------------------------------------------------------------


@pytest.fixture
def orders(facility: Facility, other_facility: Facility) -> dict[str, Order]:
    """Two of the facility, one of another."""
    made = {}
    for accession, owner, modality, name, day in (
        ("A1", facility, "CT", "Müller^Jörg", date(2026, 3, 1)),
        ("A2", facility, "MR", "Ito^Yuki", date(2026, 3, 2)),
        ("A3", other_facility, "CT", "Doe^Jane", date(2026, 3, 1)),
    ):
        step = StepDraft(
            modality=modality,
            start_date=day,
            start_time=time(10, 15),
            scheduled_station_ae_title="CT_NORTH",
            description="Head",
        )
        draft = OrderDraft(
            accession_number=accession,
            patient_name=name,
            patient_identifier=f"P{accession}",
            description="Head",
            steps=[step],
        )
        made[accession] = services.create_order(system_actor("tests"), owner, draft)
    return made


def accessions(caller: Caller, **keys: str) -> list[str]:
    answer = caller.get(f"{BASE}/modality-scheduled-procedure-steps", params=keys)
    assert answer.status_code == 200, answer.text
    return [model["00080050"]["Value"][0] for model in answer.json()]


def test_a_modality_finds_what_it_is_to_do(caller: Caller, orders: dict[str, Order]) -> None:
    assert accessions(caller) == ["A1", "A2"]
    assert accessions(caller, PatientName="MÜLLER*") == ["A1"]
    assert accessions(caller, **{"ScheduledProcedureStepSequence.Modality": "MR"}) == ["A2"]
    assert accessions(caller, **{"00400100.00400002": "20260301"}) == ["A1"]
    assert accessions(caller, **{"00400100.00400002": "20260301-"}) == ["A1", "A2"]
    assert accessions(caller, PatientName="jor", fuzzymatching="true") in (["A1"], [])
    assert accessions(caller, AccessionNumber="A3") == []
    assert accessions(caller, limit="1") == ["A1"]
    assert accessions(caller, limit="1", offset="1") == ["A2"]
    limited = caller.get(f"{BASE}/modality-scheduled-procedure-steps", params={"limit": "1"})
    assert "additional results" in limited.headers["warning"]


def test_an_item_has_what_a_modality_needs(caller: Caller, orders: dict[str, Order]) -> None:
    path = f"{BASE}/modality-scheduled-procedure-steps"
    answer = caller.get(path, params={"AccessionNumber": "A1"})
    found = Dataset.from_json(answer.json()[0])
    assert found.PatientName == "Müller^Jörg"
    assert found.PatientID == "PA1"
    assert found.StudyInstanceUID == orders["A1"].study_instance_uid
    step = found.ScheduledProcedureStepSequence[0]
    assert (step.Modality, step.ScheduledProcedureStepStartDate) == ("CT", "20260301")
    assert step.ScheduledProcedureStepStartTime == "101500"
    assert step.ScheduledStationAETitle == "CT_NORTH"
    more = caller.get(path, params={"AccessionNumber": "A1", "includefield": "Occupation"})
    assert "00102180" in more.json()[0]
    assert "00102180" not in answer.json()[0]


def test_worklist_queries_that_are_none(caller: Caller, orders: dict[str, Order]) -> None:
    path = f"{BASE}/modality-scheduled-procedure-steps"
    for wrong in ("Nonsense=1", "limit=x", "StudyInstanceUID=1.02", "00400100.00400002=tomorrow"):
        assert_problem(caller.get(f"{path}?{wrong}"), 400)
    assert_problem(caller.get(path, headers={"Accept": "image/png"}), 406)


# Performed steps ----------------------------------------------------------------------------------


def begun(order: Order | None = None, **changes: Any) -> Dataset:
    scheduled = item(StudyInstanceUID=generate_uid())
    if order is not None:
        step = order.steps.get()
        scheduled = item(
            StudyInstanceUID=order.study_instance_uid,
            AccessionNumber=order.accession_number,
            ScheduledProcedureStepID=step.scheduled_procedure_step_id,
        )
    values: dict[str, Any] = {
        "ScheduledStepAttributesSequence": [scheduled],
        "PatientName": "Müller^Jörg",
        "PatientID": "PA1",
        "PerformedProcedureStepID": "PPS1",
        "PerformedStationAETitle": "CT_NORTH",
        "PerformedProcedureStepStartDate": "20260301",
        "PerformedProcedureStepStartTime": "101500",
        "PerformedProcedureStepStatus": "IN PROGRESS",
        "Modality": "CT",
    }
    return item(**values | changes)


def ended(**changes: Any) -> Dataset:
    image = item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=generate_uid())
    series = item(SeriesInstanceUID=generate_uid(), ReferencedImageSequence=[image])
    values: dict[str, Any] = {
        "PerformedProcedureStepStatus": "COMPLETED",
        "PerformedProcedureStepEndDate": "20260301",
        "PerformedProcedureStepEndTime": "103000",
        "PerformedSeriesSequence": [series],
    }
    return item(**values | changes)


def test_a_step_is_begun_changed_and_ended_and_its_order_follows(
    caller: Caller, orders: dict[str, Order], facility: Facility
) -> None:
    uid = generate_uid()
    path = f"/modality-performed-procedure-steps/{uid}"
    answer = post(caller, path, begun(orders["A1"]))
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["location"].endswith(path)
    step = PerformedStep.objects.get()
    assert (step.facility, step.sop_instance_uid) == (facility, uid)
    assert orders["A1"].steps.get().status == StepStatus.STARTED
    changed = post(caller, f"{path}?update", item(PerformedProcedureStepDescription="Schädel"))
    assert (changed.status_code, "warning" in changed.headers) == (200, False)
    done = post(caller, f"{path}?update=", dicomxml.of_model(ended().to_json_dict()), stow.XML)
    assert done.status_code == 200
    orders["A1"].refresh_from_db()
    assert orders["A1"].status == OrderStatus.COMPLETED
    got = Dataset.from_json(caller.get(f"{BASE}{path}").json())
    assert got.PerformedProcedureStepStatus == "COMPLETED"
    assert got.PerformedProcedureStepDescription == "Schädel"
    assert got.PatientName == "Müller^Jörg"
    assert_problem(post(caller, f"{path}?update", ended()), 409)


def test_what_may_not_change_stays_and_is_told(caller: Caller) -> None:
    path = f"/modality-performed-procedure-steps/{generate_uid()}"
    assert post(caller, path, begun()).status_code == 201
    answer = post(caller, f"{path}?update", item(PatientID="P9"))
    assert answer.status_code == 200
    assert "PatientID" in answer.headers["warning"]
    got = caller.get(f"{BASE}{path}").json()
    assert got["00100020"]["Value"] == ["PA1"]


def test_performed_steps_that_are_none(
    caller: Caller, foreigner: Caller, sidecar: Sidecar, facility: Facility
) -> None:
    path = f"/modality-performed-procedure-steps/{generate_uid()}"
    assert_problem(post(caller, path, item()), 400)
    done = begun(PerformedProcedureStepStatus="COMPLETED")
    assert_problem(post(caller, path, done), 400, "IN PROGRESS")
    assert_problem(post(caller, "/modality-performed-procedure-steps/1.02", begun()), 400)
    assert_problem(post(caller, f"{path}?update", ended()), 404)
    assert_problem(caller.get(f"{BASE}{path}"), 404)
    viewer = sidecar.by_token(factories.user("vera", Role.VIEWER, [facility]))
    assert_problem(post(viewer, path, begun()), 403)
    assert not PerformedStep.objects.exists()
    assert post(caller, path, begun()).status_code == 201
    assert_problem(post(caller, path, begun()), 409, "exists already")
    assert_problem(post(foreigner, f"{path}?update", ended()), 403)
    assert_problem(foreigner.get(f"{BASE}{path}"), 403)
    assert_problem(post(viewer, f"{path}?update", ended()), 403)
    assert PerformedStep.objects.get().status == "IN PROGRESS"


# Capabilities -------------------------------------------------------------------------------------


def test_the_service_describes_itself_as_wadl_and_json(caller: Caller) -> None:
    answer = caller.request("OPTIONS", BASE)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.sun.wadl+xml"
    root = ET.fromstring(answer.content)  # noqa: S314 - our own answer
    space = "{http://wadl.dev.java.net/2009/02}"
    assert root.tag == f"{space}application"
    (resources,) = root
    assert resources.get("base") == "http://testserver/dicom-web"
    names = {one.get("id") for one in root.iter(f"{space}method")}
    assert {"qido_studies", "stow_study", "delete_instance", "request_commitment"} <= names
    studies = next(one for one in resources if one.get("path") == "studies")
    stow_method = next(one for one in studies if one.get("id") == "stow_studies")
    takes = {one.get("mediaType") for one in stow_method.iter(f"{space}representation")}
    assert 'multipart/related; type="application/dicom"' in takes
    plain = caller.get(BASE, headers={"Accept": "application/json"}).json()
    assert "studies" in [one["path"] for one in plain["resource"]["resources"]]


def test_each_address_describes_itself(caller: Caller) -> None:
    answer = caller.request("OPTIONS", f"{BASE}/studies/1.2.3", headers={"Accept": "*/*"})
    assert answer.status_code == 200
    assert {"DELETE", "POST", "OPTIONS"} <= set(answer.headers["allow"].split(", "))
    assert b"stow_study" in answer.content
    assert b"request_commitment" not in answer.content
    wanted = {"Accept": "text/css"}
    assert_problem(caller.request("OPTIONS", BASE, headers=wanted), 406)
    assert_problem(caller.request("OPTIONS", f"{BASE}/nothing"), 404)
