"""Studies as rows alone, for lists that need many of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from archive.catalogue import UNDATED, fold
from worklist.models import Facility, Patient, Study


def make_study(facility: Facility, number: int, **values: Any) -> Study:
    name = values.pop("patient_name", f"Name{number}^Given")
    identifier = values.pop("patient_identifier", f"P{number}")
    patient = Patient.objects.create(
        facility=facility, patient_id=f"{identifier}-{number}", patient_name=name
    )
    day = values.pop("study_date", date(2026, 1, 2))
    codes = values.pop("modalities", "\\CT\\")
    return Study.objects.create(
        facility=facility,
        patient=patient,
        study_instance_uid=f"1.2.826.0.1.{number}.{facility.pk.int}"[:64],
        study_date=day,
        sort_at=datetime.combine(day, datetime.min.time(), tzinfo=UTC) if day else UNDATED,
        patient_name=name,
        patient_name_folded=fold(name),
        patient_identifier=identifier,
        modalities=codes,
        modality=values.pop("modality", codes.strip("\\").split("\\")[0]),
        series_count=1,
        instance_count=1,
        **values,
    )
