"""Who may write and work by DICOMweb: every route that is no search and no retrieval."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from accounts.models import Role, User
from archive.models import AuditEvent, Deletion
from fastapi_app import main
from tests import factories, stow
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "/dicom-web"
ROUTES = {
    ("OPTIONS", BASE),
    ("POST", f"{BASE}/studies"),
    ("POST", f"{BASE}/studies/{{study}}"),
    ("DELETE", f"{BASE}/studies/{{study}}"),
    ("DELETE", f"{BASE}/studies/{{study}}/series/{{series}}"),
    ("DELETE", f"{BASE}/studies/{{study}}/series/{{series}}/instances/{{instance}}"),
    ("POST", f"{BASE}/commitment-requests/{{transaction}}"),
    ("GET", f"{BASE}/commitment-requests/{{transaction}}"),
    ("POST", f"{BASE}/modality-performed-procedure-steps/{{step}}"),
    ("GET", f"{BASE}/modality-performed-procedure-steps/{{step}}"),
    ("GET", f"{BASE}/modality-scheduled-procedure-steps"),
    ("POST", f"{BASE}/workitems"),
    ("GET", f"{BASE}/workitems"),
    ("GET", f"{BASE}/workitems/{{workitem}}"),
    ("POST", f"{BASE}/workitems/{{workitem}}"),
    ("PUT", f"{BASE}/workitems/{{workitem}}/state"),
    ("POST", f"{BASE}/workitems/{{workitem}}/cancelrequest"),
    ("POST", f"{BASE}/workitems/{{workitem}}/subscribers/{{aetitle}}"),
    ("DELETE", f"{BASE}/workitems/{{workitem}}/subscribers/{{aetitle}}"),
    ("POST", f"{BASE}/workitems/{{workitem}}/subscribers/{{aetitle}}/suspend"),
}


def test_the_table_names_every_route_and_none_is_for_strangers(sidecar: Sidecar) -> None:
    documented = main.api.openapi()["paths"]
    found = {
        (method.upper(), path)
        for path, operations in documented.items()
        for method in operations
        if path.startswith(BASE) and (method not in {"get", "head"} or "/studies" not in path)
    }
    assert found - ROUTES <= {("GET", f"{BASE}/{level}") for level in ("series", "instances")}
    assert found >= ROUTES
    for method, path in ROUTES:
        assert_problem(sidecar.nobody.request(method, path), 401)


@pytest.fixture
def held(store: Path, facility: Facility) -> list[Dataset]:
    """One study of two series, of two instances and of one."""
    first = make_instance(noise(8, 8))
    same = {"StudyInstanceUID": first.StudyInstanceUID}
    series = {**same, "SeriesInstanceUID": first.SeriesInstanceUID}
    several = [first, make_instance(noise(8, 8), **series), make_instance(noise(8, 8), **same)]
    for ds in several:
        factories.store_bytes(to_bytes(ds), facility)
    return several


def path_of(ds: Dataset, level: str = "instance") -> str:
    path = f"{BASE}/studies/{ds.StudyInstanceUID}"
    if level in {"series", "instance"}:
        path += f"/series/{ds.SeriesInstanceUID}"
    return path + f"/instances/{ds.SOPInstanceUID}" * (level == "instance")


@pytest.fixture
def admin(sidecar: Sidecar, admin_user: User) -> Caller:
    return sidecar.by_token(admin_user)


def test_administrators_delete_by_address_with_a_reason(admin: Caller, held: list[Dataset]) -> None:
    first, second, other = held
    assert_problem(admin.request("DELETE", path_of(first)), 422, "reason")
    answer = admin.request("DELETE", path_of(first), params={"reason": "wrong patient"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert set(DicomImage.objects.values_list("sop_instance_uid", flat=True)) == {
        second.SOPInstanceUID,
        other.SOPInstanceUID,
    }
    headers = {"X-Reason": "wrong series"}
    assert admin.request("DELETE", path_of(other, "series"), headers=headers).status_code == 204
    assert DicomImage.objects.get().sop_instance_uid == second.SOPInstanceUID
    answer = admin.request("DELETE", path_of(first, "study"), params={"reason": "all of it"})
    assert answer.status_code == 204
    assert not Study.objects.exists()
    reasons = set(Deletion.objects.values_list("reason", flat=True))
    assert reasons == {"wrong patient", "wrong series", "all of it"}
    assert AuditEvent.objects.filter(verb="study.delete").count() == 3
    # It is gone: for deleting, too, and for sending again.
    assert_problem(admin.request("DELETE", path_of(first), params={"reason": "once more"}), 404)


def test_an_address_must_be_right_in_every_part(admin: Caller, held: list[Dataset]) -> None:
    first, _, other = held
    crossed = path_of(first, "series") + f"/instances/{other.SOPInstanceUID}"
    assert_problem(admin.request("DELETE", crossed, params={"reason": "a mistake"}), 404)
    assert_problem(admin.request("DELETE", f"{BASE}/studies/x?reason=none"), 404)
    assert DicomImage.objects.count() == 3


def test_nobody_else_deletes(
    sidecar: Sidecar, held: list[Dataset], facility: Facility, other_facility: Facility
) -> None:
    for name, role in (("rob", Role.RADIOLOGIST), ("tina", Role.TECHNOLOGIST)):
        for place in (facility, other_facility):
            person = factories.user(f"{name}_{place.code}", role, [place])
            answer = sidecar.by_token(person).request(
                "DELETE", path_of(held[0], "study"), params={"reason": "not mine"}
            )
            assert_problem(answer, 403)
    assert Study.objects.count() == 1


def test_what_several_facilities_have_is_deleted_of_the_named_one(
    admin: Caller, held: list[Dataset], facility: Facility, other_facility: Facility
) -> None:
    factories.store_bytes(to_bytes(held[0]), other_facility)
    path = path_of(held[0], "study")
    assert_problem(admin.request("DELETE", path, params={"reason": "twice"}), 409, "facility")
    answer = admin.request("DELETE", path, params={"reason": "twice", "facility": "south"})
    assert answer.status_code == 204
    assert Study.objects.get().facility == facility


def test_what_was_deleted_is_not_stored_again(
    admin: Caller, sidecar: Sidecar, held: list[Dataset], facility: Facility
) -> None:
    path = path_of(held[0], "study")
    assert admin.request("DELETE", path, params={"reason": "wrong"}).status_code == 204
    sender = sidecar.by_token(factories.user("tina", Role.TECHNOLOGIST, [facility]))
    assert stow.send(sender, to_bytes(held[0])).status_code == 409
