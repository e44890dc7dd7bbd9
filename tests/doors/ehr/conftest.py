"""Callers of the EHR interface, and what they act on."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Role, User
from tests import factories
from tests.doors.ehr.offline import Sender
from tests.sidecar import Caller, Sidecar
from worklist.models import Facility


@pytest.fixture
def tech(facility: Facility) -> User:
    return factories.user("tess", Role.TECHNOLOGIST, [facility])


@pytest.fixture
def caller(sidecar: Sidecar, tech: User) -> Caller:
    return sidecar.by_token(tech)


@pytest.fixture
def stranger(sidecar: Sidecar, other_facility: Facility) -> Caller:
    return sidecar.by_token(factories.user("sven", Role.TECHNOLOGIST, [other_facility]))


@pytest.fixture
def admin(sidecar: Sidecar, admin_user: User) -> Caller:
    return sidecar.by_token(admin_user)


@pytest.fixture
def patient(caller: Caller) -> dict[str, Any]:
    body = {"first_name": "John", "last_name": "Doe", "mrn": "TEST001", "dob": "1980-01-01"}
    answer = caller.post("/api/v1/patients", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture
def order(caller: Caller, patient: dict[str, Any]) -> dict[str, Any]:
    body = {
        "patient_id": patient["id"],
        "order_type": "IMAGING",
        "order_category": "CT",
        "description": "CT Brain with Contrast",
        "status": "scheduled",
    }
    answer = caller.post("/api/v1/orders", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.fixture
def sender(caller: Caller, order: dict[str, Any]) -> Sender:
    return Sender(caller, order["id"])
