"""Patients as other programs make them known and look them up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from archive import access, audit, registration
from archive.access import Actor
from archive.registration import PatientDraft, PatientQuery
from fastapi_app import paging
from worklist.models import Patient

Document = dict[str, Any]

LIST_PARAMETERS = ("PatientID", "mrn", "PatientName", "PatientBirthDate", "limit", "cursor")


class PatientBody(BaseModel):
    """A new patient."""

    model_config = ConfigDict(extra="forbid")

    first_name: str = Field(default="", max_length=64)
    last_name: str = Field(default="", max_length=64)
    mrn: str = Field(max_length=64, description="Medical record number: the Patient ID.")
    dob: date | None = Field(default=None, description="Date of birth, 1980-01-31.")
    sex: str = Field(default="", max_length=1, description="F, M or O.")
    issuer_of_patient_id: str = Field(default="", max_length=64)
    facility: str = Field(default="", max_length=64, description="Code; needed with several.")


EXAMPLE = {"first_name": "John", "last_name": "Doe", "mrn": "TEST001", "dob": "1980-01-01"}


def create(actor: Actor, body: PatientBody) -> tuple[Document, bool]:
    """Make a patient known; the flag says whether they are new."""
    facility = access.facility_for_upload(actor, body.facility or None)
    draft = PatientDraft(
        mrn=body.mrn,
        last_name=body.last_name,
        first_name=body.first_name,
        birth_date=body.dob,
        sex=body.sex,
        issuer_of_patient_id=body.issuer_of_patient_id,
    )
    patient, is_new = registration.register(actor, facility, draft)
    return document(patient), is_new


def find(actor: Actor, parameters: Mapping[str, str]) -> tuple[list[Document], str]:
    """Return a page of patients, and the parameters of the next one."""
    paging.check(parameters, LIST_PARAMETERS)
    page = registration.find_patients(
        actor.scope,
        PatientQuery(
            patient_id=parameters.get("PatientID") or parameters.get("mrn", ""),
            name=parameters.get("PatientName", ""),
            birth_date=paging.day(parameters, "PatientBirthDate"),
            before=paging.cursor(parameters),
            limit=paging.whole(parameters, "limit", 50),
        ),
    )
    audit.note_read(actor, "patients.search", count=len(page.items), by=sorted(parameters))
    items = [document(patient) for patient in page.items]
    return items, paging.following(parameters, page.cursor)


def patient(actor: Actor, text: str) -> Document:
    """Return one patient."""
    row = access.patient_for(actor.scope, paging.identifier(text, "patient"))
    audit.note_read(actor, "patient.look", row)
    return document(row)


def document(row: Patient) -> Document:
    """Return a patient as JSON."""
    last, _, rest = row.patient_name.partition("=")[0].partition("^")
    born = row.patient_birth_date.isoformat() if row.patient_birth_date else None
    return {
        "id": str(row.pk),
        "first_name": rest.partition("^")[0],
        "last_name": last,
        "mrn": row.patient_id,
        "dob": born,
        "PatientID": row.patient_id or None,
        "IssuerOfPatientID": row.issuer_of_patient_id or None,
        "PatientName": row.patient_name or None,
        "PatientBirthDate": born,
        "PatientSex": row.patient_sex or None,
        "facility": {"code": row.facility.code, "name": row.facility.name},
        "created_at": row.created_at.isoformat(),
        "studies_url": f"/api/v1/dicom/studies/patient/{row.pk}",
    }
