"""Patients and orders by HTTP: made, found, followed, taken back; who may is at the end."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from accounts.models import Role, User
from archive.access import scope_of
from archive.models import AuditEvent
from orders import arrivals, modality_worklist, services
from orders.models import Order, ScheduledStep
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import Facility, Patient, Study

pytestmark = pytest.mark.django_db(transaction=True)
UNKNOWN = "0197f0c4-0000-7000-8000-000000000000"
JOHN = {"first_name": "John", "last_name": "Doe", "mrn": "TEST001", "dob": "1980-01-01"}


# Patients ------------------------------------------------------------------------------------


def test_a_patient_is_registered_and_found(caller: Caller, patient: dict[str, Any]) -> None:
    expected = {
        "first_name": "John",
        "last_name": "Doe",
        "mrn": "TEST001",
        "dob": "1980-01-01",
        "PatientID": "TEST001",
        "PatientName": "Doe^John",
        "PatientBirthDate": "1980-01-01",
        "facility": {"code": "NORTH", "name": "North Clinic"},
    }
    assert expected.items() <= patient.items()
    assert caller.get(f"/api/v1/patients/{patient['id']}").json() == patient
    for query in (
        "mrn=TEST001", "PatientID=TEST001", "PatientName=doe", "PatientName=JOHN+doe",
        "PatientBirthDate=19800101", "PatientBirthDate=1980-01-01", "",
    ):  # fmt: skip
        assert caller.get(f"/api/v1/patients?{query}").json() == [patient], query
    for query in ("mrn=TEST00", "PatientName=Smith", "PatientBirthDate=1980-01-02"):
        assert caller.get(f"/api/v1/patients?{query}").json() == [], query
    assert AuditEvent.objects.filter(verb="patient.register", actor="tess").count() == 1


def test_the_same_person_again_changes_nothing(caller: Caller, patient: dict[str, Any]) -> None:
    again = caller.post("/api/v1/patients", json=JOHN)
    assert (again.status_code, again.json()) == (200, patient)
    without_date = {**JOHN, "dob": None}
    assert caller.post("/api/v1/patients", json=without_date).status_code == 200
    for other in ({"first_name": "Jane"}, {"last_name": "Smith"}, {"dob": "1981-01-01"}):
        assert_problem(caller.post("/api/v1/patients", json=JOHN | other), 409, "another person")
    assert Patient.objects.count() == 1
    issuer = {"issuer_of_patient_id": "EAST", "first_name": "Jane"}
    assert caller.post("/api/v1/patients", json=JOHN | issuer).status_code == 201


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mrn": ""}, "'mrn'"),
        ({"mrn": "A\\B"}, "backslash"),
        ({"mrn": "x" * 65}, "mrn"),
        ({"first_name": "", "last_name": " "}, "name"),
        ({"last_name": "Doe^John"}, "'last_name'"),
        ({"last_name": "D\ne"}, "control"),
        ({"last_name": "x" * 60, "first_name": "y" * 60}, "64"),
        ({"dob": "yesterday"}, "dob"),
        ({"dob": "2999-01-01"}, "future"),
        ({"sex": "X"}, "'sex'"),
        ({"colour": "red"}, "colour"),
        ({"mrn": 17}, "mrn"),
    ],
)
def test_a_patient_that_dicom_does_not_allow_is_refused(
    caller: Caller, change: dict[str, Any], words: str
) -> None:
    assert_problem(caller.post("/api/v1/patients", json=JOHN | change), 422, words)
    assert Patient.objects.count() == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"17", b"{", b'{"mrn": "\\u0000"}', b'{"mrn": "\\ud800"}', b"[" * 50_000, b"\xff"],
    ids=["nothing", "list", "number", "cut off", "nul", "surrogate", "deep", "no text"],
)
def test_a_body_that_is_no_object_is_refused(caller: Caller, content: bytes) -> None:
    for path in ("patients", "orders"):
        assert_problem(caller.post(f"/api/v1/{path}", content=content), 422)


def test_a_large_body_is_refused(caller: Caller) -> None:
    assert_problem(caller.post("/api/v1/patients", content=b" " * 70_000), 413)


def test_patients_come_page_by_page(caller: Caller) -> None:
    for number in range(5):
        body = JOHN | {"mrn": f"P{number}"}
        assert caller.post("/api/v1/patients", json=body).status_code == 201
    seen, path, pages = [], "/api/v1/patients?limit=2&PatientName=doe", 0
    while path:
        answer = caller.get(path)
        seen += [row["mrn"] for row in answer.json()]
        path = answer.links.get("next", {}).get("url", "")
        pages += 1
    assert (seen, pages) == (["P4", "P3", "P2", "P1", "P0"], 3)
    for bad in ("limit=0", "limit=101", "limit=x", "cursor=x", "PatientBirthDate=x", "name=x"):
        assert_problem(caller.get(f"/api/v1/patients?{bad}"), 422)


# Orders --------------------------------------------------------------------------------------


def test_an_order_has_its_numbers_and_is_on_the_worklist(
    caller: Caller, order: dict[str, Any], patient: dict[str, Any], tech: User
) -> None:
    assert re.fullmatch(r"ACC-\d{4}-\d{5}", order["accession_number"])
    expected = {
        "patient_id": patient["id"],
        "order_type": "IMAGING",
        "order_category": "CT",
        "description": "CT Brain with Contrast",
        "status": "scheduled",
        "PatientID": "TEST001",
        "PatientName": "Doe^John",
    }
    assert expected.items() <= order.items()
    whole = caller.get(f"/api/v1/orders/{order['id']}").json()
    assert whole == order | {"study_instance_uids": []}
    keys = Dataset()
    keys.AccessionNumber = order["accession_number"]
    keys.StudyInstanceUID = keys.PatientName = keys.PatientBirthDate = ""
    step = Dataset()
    step.Modality = "CT"
    step.ScheduledProcedureStepDescription = ""
    keys.ScheduledProcedureStepSequence = Sequence([step])
    (item,) = modality_worklist.find(scope_of(tech), keys)
    assert item.StudyInstanceUID == order["study_instance_uid"]
    assert (item.PatientName, item.PatientBirthDate) == ("Doe^John", "19800101")
    planned = item.ScheduledProcedureStepSequence[0]
    assert planned.ScheduledProcedureStepDescription == "CT Brain with Contrast"


def test_orders_are_found(caller: Caller, order: dict[str, Any], patient: dict[str, Any]) -> None:
    body = {"patient_id": patient["id"], "order_category": "MR", "accession_number": "EXT-7"}
    other = caller.post("/api/v1/orders", json=body).json()
    assert other["accession_number"] == "EXT-7"

    def found(query: str) -> list[str]:
        answer = caller.get(f"/api/v1/orders?{query}")
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()]

    assert found("") == [other["id"], order["id"]]
    assert found(f"AccessionNumber={order['accession_number']}") == [order["id"]]
    assert found("AccessionNumber=ACC") == []
    assert found(f"patient_id={patient['id']}&Modality=MR") == [other["id"]]
    assert found(f"patient_id={UNKNOWN}") == []
    assert found("status=open&limit=1") == [other["id"]]
    first = caller.get("/api/v1/orders?limit=1")
    assert [row["id"] for row in caller.get(first.links["next"]["url"]).json()] == [order["id"]]
    for bad in ("limit=0", "limit=101", "status=lost", "cursor=x", "AccessionNumbr=1"):
        assert_problem(caller.get(f"/api/v1/orders?{bad}"), 422)


def test_an_order_has_a_moment_and_a_station(caller: Caller, patient: dict[str, Any]) -> None:
    body = {
        "patient_id": patient["id"],
        "order_category": "ct",
        "scheduled_at": "2026-03-04T05:06:07",
        "scheduled_station_ae_title": "CT_NORTH",
        "status": "completed",
    }
    order = caller.post("/api/v1/orders", json=body).json()
    assert order["status"] == "completed"
    assert order["steps"] == [
        {
            "ScheduledProcedureStepID": "SPS1",
            "Modality": "CT",
            "ScheduledProcedureStepStartDate": "2026-03-04",
            "ScheduledProcedureStepStartTime": "05:06:00",
            "ScheduledStationAETitle": "CT_NORTH",
            "ScheduledProcedureStepStatus": "COMPLETED",
        }
    ]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"patient_id": "17"}, 422, "patient_id"),
        ({"patient_id": UNKNOWN}, 404, "patient"),
        ({"patient_id": None}, 422, "patient_id"),
        ({"status": "lost"}, 422, "'status'"),
        ({"description": "x" * 65}, 422, "description"),
        ({"description": "a\\b"}, 422, "backslash"),
        ({"order_category": "C\tT"}, 422, "control"),
        ({"scheduled_station_ae_title": "\\"}, 422, ""),
        ({"scheduled_at": "soon"}, 422, "scheduled_at"),
        ({"scheduled_at": "0001-01-01T00:00:00+14:00"}, 422, "calendar"),
        ({"colour": "red"}, 422, "colour"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    caller: Caller, patient: dict[str, Any], change: dict[str, Any], status: int, words: str
) -> None:
    body = {"patient_id": patient["id"], "order_category": "CT"} | change
    assert_problem(caller.post("/api/v1/orders", json=body), status, words)
    assert Order.objects.count() == 0


def test_an_order_is_taken_off_the_worklist(caller: Caller, order: dict[str, Any]) -> None:
    path = f"/api/v1/orders/{order['id']}/cancel"
    answer = caller.post(path)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert ScheduledStep.objects.get().status == "CANCELLED"
    assert_problem(caller.post(path), 409, "already")


def test_an_order_follows_the_study_that_arrives(
    caller: Caller, order: dict[str, Any], facility: Facility
) -> None:
    ds = make_instance(noise(4, 4), PatientID="TEST001", AccessionNumber=order["accession_number"])
    study_id = factories.store_bytes(to_bytes(ds), facility).study_id
    arrivals.match_study(str(study_id))
    whole = caller.get(f"/api/v1/orders/{order['id']}").json()
    assert whole["study_instance_uid"] == ds.StudyInstanceUID
    assert whole["study_instance_uids"] == [ds.StudyInstanceUID]
    assert whole["status"] == "in_progress"
    services.set_step_status(list(ScheduledStep.objects.all()), "COMPLETED")
    assert caller.get(f"/api/v1/orders/{order['id']}").json()["status"] == "completed"


# Uploads for an order --------------------------------------------------------------------------


def send(caller: Caller, ds: Dataset, **fields: str) -> Any:
    files = {"file": ("a.dcm", to_bytes(ds))}
    return caller.post("/api/v1/dicom/upload", files=files, data=fields)


def test_an_upload_for_an_order_is_its_study(
    caller: Caller, order: dict[str, Any], patient: dict[str, Any]
) -> None:
    ds = make_instance(noise(4, 4), PatientID="TEST001", AccessionNumber="")
    answer = send(caller, ds, order_id=order["id"], patient_id=patient["id"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["order_id"] == order["id"]
    assert answer.json()["warning"] is None
    assert caller.get(f"/api/v1/orders/{order['id']}").json()["study_instance_uids"] == [
        ds.StudyInstanceUID
    ]
    for path in (f"order/{order['id']}", f"patient/{patient['id']}"):
        (study,) = caller.get(f"/api/v1/dicom/studies/{path}").json()
        assert (study["StudyInstanceUID"], study["PatientID"]) == (ds.StudyInstanceUID, "TEST001")
    again = send(caller, ds, order_id=order["id"])
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")


def test_a_study_of_another_patient_id_says_so(
    caller: Caller, order: dict[str, Any], patient: dict[str, Any]
) -> None:
    ds = make_instance(noise(4, 4), PatientID="OUTSIDE")
    answer = send(caller, ds, order_id=order["id"]).json()
    assert "TEST001" in answer["warning"]
    assert "OUTSIDE" in answer["warning"]
    assert Study.objects.get().warning == answer["warning"]
    assert Order.objects.get().patient_id == Patient.objects.get(patient_id="TEST001").pk
    assert caller.get(f"/api/v1/dicom/studies/patient/{patient['id']}").json() == []
    many = caller.post(
        "/api/v1/dicom/upload-multiple",
        files=[("files", ("b.dcm", to_bytes(make_instance(noise(4, 4), PatientID="OTHER"))))],
        data={"patient_id": patient["id"]},
    ).json()
    assert (many["successful"], many["failed"]) == (0, 1)
    assert "another Patient ID" in many["results"][0]["detail"]


def test_a_study_fulfils_one_order(
    caller: Caller, order: dict[str, Any], patient: dict[str, Any]
) -> None:
    ds = make_instance(noise(4, 4), PatientID="TEST001")
    assert send(caller, ds, order_id=order["id"]).status_code == 200
    second = caller.post("/api/v1/orders", json={"patient_id": patient["id"]}).json()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ds.SOPInstanceUID[:60]}.1"
    assert_problem(send(caller, ds, order_id=second["id"]), 409, "another order")
    assert Study.objects.get().instance_count == 1


# Who may -------------------------------------------------------------------------------------


def test_orders_and_patients_are_for_their_facility(
    sidecar: Sidecar, caller: Caller, stranger: Caller, admin: Caller, patient: dict[str, Any],
    order: dict[str, Any],
) -> None:  # fmt: skip
    ds = make_instance(noise(4, 4), PatientID="TEST001")
    assert send(caller, ds, order_id=order["id"]).status_code == 200
    paths = [
        ("GET", "/api/v1/patients/{patient}"),
        ("GET", "/api/v1/orders/{order}"),
        ("GET", "/api/v1/dicom/studies/patient/{patient}"),
        ("GET", "/api/v1/dicom/studies/order/{order}"),
        ("GET", "/api/v1/dicom/viewer/url/patient/{patient}"),
        ("GET", "/api/v1/dicom/viewer/url/order/{order}"),
        ("POST", "/api/v1/orders/{order}/cancel"),
    ]
    for method, path in paths:
        mine = path.format(patient=patient["id"], order=order["id"])
        assert_problem(sidecar.nobody.request(method, mine), 401)
        assert_problem(stranger.request(method, mine), 403, "not yours")
        assert caller.request(method, mine).status_code == 200, path
        for name in (UNKNOWN, "17", "%2e%2e", "1.2.3"):
            none = path.format(patient=name, order=name)
            assert_problem(caller.request(method, none), 404)
            assert_problem(sidecar.nobody.request(method, none), 401)
    assert admin.get(f"/api/v1/orders/{order['id']}").status_code == 200
    for path in ("/api/v1/patients", "/api/v1/orders"):
        assert stranger.get(path).json() == []
        assert_problem(sidecar.nobody.get(path), 401)
        assert_problem(sidecar.nobody.post(path, json={}), 401)
    theirs = {"patient_id": patient["id"], "order_category": "CT"}
    assert_problem(stranger.post("/api/v1/orders", json=theirs), 403)
    assert_problem(send(stranger, ds, order_id=order["id"]), 403)
    assert_problem(stranger.post("/api/v1/patients", json=JOHN | {"facility": "NORTH"}), 403)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REFERRER])
def test_who_may_only_look(
    sidecar: Sidecar, facility: Facility, order: dict[str, Any], patient: dict[str, Any], role: Role
) -> None:
    looker = sidecar.by_token(factories.user("vera", role, [facility]))
    assert looker.get(f"/api/v1/orders/{order['id']}").status_code == 200
    assert_problem(looker.post("/api/v1/patients", json=JOHN), 403, "role")
    body = {"patient_id": patient["id"]}
    assert_problem(looker.post("/api/v1/orders", json=body), 403, "role")
    assert_problem(looker.post(f"/api/v1/orders/{order['id']}/cancel"), 403, "role")
    assert_problem(looker.get("/api/v1/dicom/upload-logs"), 403, "role")


def test_dates_of_birth_are_dates(patient: dict[str, Any]) -> None:
    assert Patient.objects.get().patient_birth_date == date(1980, 1, 1)
