"""The examples of the interface's description are answers as they really come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import User
from archive import runner
from fastapi_app import examples
from fastapi_app.main import api
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.doors.ehr.test_resumable import begin
from tests.factories import PASSWORD
from tests.sidecar import Caller, Sidecar

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1/dicom"
OFFLINE = "/api/v1/radiology/offline-images"
IMAGE_UUID = "550e8400-e29b-41d4-a716-446655440000"


def form_of(value: Any) -> Any:
    """Return names and kinds; what is empty has any."""
    if isinstance(value, dict):
        return {name: form_of(one) for name, one in sorted(value.items())}
    if isinstance(value, list):
        return [form_of(value[0])] if value else None
    if value is None:
        return None
    return "number" if isinstance(value, int | float) else type(value).__name__


def differences(told: Any, came: Any, where: str = "") -> Iterator[str]:
    if told is None or came is None or told == came:
        return
    if isinstance(told, dict) and isinstance(came, dict):
        for name in sorted(told.keys() | came.keys()):
            if name not in told or name not in came:
                yield f"{where}.{name} is {'told' if name in told else 'not told'}"
            else:
                yield from differences(told[name], came[name], f"{where}.{name}")
    elif isinstance(told, list) and isinstance(came, list):
        yield from differences(told[0], came[0], f"{where}[]")
    else:
        yield f"{where} is told as {told} and comes as {came}"


def asked(
    caller: Caller, admin: Caller, nobody: Caller, patient: dict[str, Any], order: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Ask for every answer of which there is an example."""
    ds = make_instance(
        noise(8, 8),
        PatientID="TEST001",
        PatientName="Doe^John",
        AccessionNumber=order["accession_number"],
    )
    content = to_bytes(ds)
    file = {"file": ("a.dcm", content)}
    study, series, image = ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID
    yield (
        f"POST {API}/upload",
        caller.post(f"{API}/upload", files=file, data={"order_id": order["id"]}),
    )
    both = [("files", ("a.dcm", content)), ("files", ("b.dcm", b"x"))]
    yield f"POST {API}/upload-multiple", caller.post(f"{API}/upload-multiple", files=both)
    for name in ("read-tags", "parse"):
        yield f"POST {API}/{name}", caller.post(f"{API}/{name}", files=file)
    names = {
        "{study}": study, "{series}": series, "{image}": image, "{patient}": patient["id"],
        "{order}": order["id"], "{image_uuid}": IMAGE_UUID,
    }  # fmt: skip
    other = caller.post(
        "/api/v1/orders", json={"patient_id": patient["id"], "order_category": "CT"}
    )
    yield "POST /api/v1/orders", other
    cancel = f"/api/v1/orders/{other.json()['id']}/cancel"
    yield "POST /api/v1/orders/{order}/cancel", caller.post(cancel)
    person = {"first_name": "John", "last_name": "Doe", "mrn": "TEST001", "dob": "1980-01-01"}
    yield "POST /api/v1/patients", caller.post("/api/v1/patients", json=person)
    third = caller.post(
        "/api/v1/orders", json={"patient_id": patient["id"], "order_category": "CT"}
    )
    offline = make_instance(noise(8, 8), PatientID="TEST001")
    body = to_bytes(offline)
    announced = {
        "image_uuid": IMAGE_UUID,
        "radiology_order_id": third.json()["id"],
        "filename": "chest_xray.dcm",
        "file_size": len(body),
        "mime_type": "application/dicom",
        "checksum": hashlib.sha256(body).hexdigest(),
        "image_metadata": {
            "study_uid": offline.StudyInstanceUID,
            "series_uid": offline.SeriesInstanceUID,
            "image_uid": offline.SOPInstanceUID,
        },
    }
    which = {"image_uuid": IMAGE_UUID}
    path = f"{OFFLINE}/upload-metadata/"
    yield f"POST {path}", caller.post(path, json=announced)
    path = f"{OFFLINE}/upload-binary/"
    yield f"POST {path}", caller.post(path, data=which, files={"file": ("f", body)})
    path = f"{OFFLINE}/acknowledge/"
    yield f"POST {path}", caller.post(path, json=which)
    where = begin(caller, len(content), content).headers["location"]
    runner.drain()
    yield f"GET {API}/uploads/{{upload}}", caller.get(where)
    sign_in = {"username": "tess", "password": PASSWORD}
    yield "POST /api/v1/auth/token", nobody.post("/api/v1/auth/token", json=sign_in)
    for key in examples.answers():
        method, path = key.split(" ")
        if method == "GET" and "{upload}" not in path:
            for name, value in names.items():
                path = path.replace(name, value)
            yield key, caller.get(path)
    reason = {"params": {"reason": "Sent twice"}}
    yield (
        f"DELETE {API}/studies/{{study}}",
        admin.request("DELETE", f"{API}/studies/{study}", **reason),
    )
    yield (
        f"POST {API}/studies/{{study}}/restore",
        admin.post(f"{API}/studies/{study}/restore"),
    )


def test_every_example_is_an_answer_as_it_comes(
    caller: Caller, admin: Caller, sidecar: Sidecar, tech: User, patient: dict[str, Any],
    order: dict[str, Any],
) -> None:  # fmt: skip
    told, wrong, seen = examples.answers(), [], set()
    for key, answer in asked(caller, admin, sidecar.nobody, patient, order):
        assert answer.status_code < 300, (key, answer.text)
        seen.add(key)
        kept = form_of(told[key]), form_of(answer.json())
        wrong += [f"{key} {one}" for one in differences(*kept)]
    assert wrong == []
    assert seen == set(told)


def test_every_operation_has_its_examples() -> None:
    missing = []
    for path, operations in api.openapi()["paths"].items():
        for method, operation in operations.items():
            key = f"{method.upper()} {path}"
            missing += [
                (key, one["name"])
                for one in operation.get("parameters", ())
                if one["in"] == "path" and "example" not in one
            ]
            if not path.startswith("/api/v1"):
                continue
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None and "example" not in body:
                missing.append((key, "body"))
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/json")
                # Those of the viewer's own doors and of analyses are told in docs/api.
                is_told = any(word in path for word in ("/reconstructions", "video", "/analyses"))
                if status.startswith("2") and content is not None and "example" not in content:
                    missing += [] if is_told else [(key, status)]
    assert missing == []


def test_refusals_are_problem_documents_with_an_example() -> None:
    document = api.openapi()
    known = document["components"]["responses"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if (name := answer.get("$ref", "").rpartition("/")[2]) != "":
                    (content,) = known[name]["content"].values()
                    assert content["example"]["status"] == int(status), path
