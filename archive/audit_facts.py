"""What an event of the audit trail is about, as others name it: patient, study, facility."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from archive import trail
from archive.audit_codes import EventKind, kind_of
from archive.models import AuditEvent
from worklist.models import Patient

# A syslog receiver has to take 2 KiB and should take 8 KiB (RFC 5425 4.3.1).
_MOST_DETAIL = 3000


@dataclass(frozen=True, slots=True)
class Facts:
    """An event with what belongs to it.

    Attributes
    ----------
    facility : code of the facility whose data it is
    patient_id, patient_name, study_instance_uid, accession_number : empty where nobody's, or where
        it has been destroyed since
    """

    event: AuditEvent
    kind: EventKind
    facility: str = ""
    patient_id: str = ""
    patient_name: str = ""
    study_instance_uid: str = ""
    accession_number: str = ""

    @property
    def outcome(self) -> str:
        """As EventOutcomeIndicator: 0 success, 4 minor failure (refused)."""
        return "0" if self.event.is_success else "4"

    @property
    def detail(self) -> str:
        """What else is known, as JSON; empty where nothing is."""
        if not self.event.detail:
            return ""
        text = json.dumps(self.event.detail, ensure_ascii=False, sort_keys=True)
        return text if len(text) <= _MOST_DETAIL else json.dumps({"cut": text[:_MOST_DETAIL]})


def facts_of(events: Sequence[AuditEvent]) -> list[Facts]:
    """Return the events with what belongs to them; some queries, however many they are."""
    patients = _patients_of(events)
    found = []
    for entry in trail.entries(list(events)):
        event, study = entry.event, entry.study
        patient = patients.get(event.target_id)
        found.append(
            Facts(
                event=event,
                kind=kind_of(event.verb),
                facility=entry.facility.code if entry.facility else "",
                patient_id=study.patient_identifier if study else _text(patient, "patient_id"),
                patient_name=study.patient_name if study else _text(patient, "patient_name"),
                study_instance_uid=study.study_instance_uid if study else "",
                accession_number=study.accession_number if study else "",
            )
        )
    return found


def _text(patient: Patient | None, name: str) -> str:
    return str(getattr(patient, name)) if patient is not None else ""


def _patients_of(events: Sequence[AuditEvent]) -> dict[str, Patient]:
    ids = set()
    for event in events:
        if event.target_kind == "patient":
            try:
                ids.add(UUID(event.target_id))
            except ValueError:
                continue  # somebody has meddled with it: it goes out as it is
    return {str(key): row for key, row in Patient.objects.in_bulk(list(ids)).items()}


def our_host() -> str:
    """Return what this machine is called."""
    return socket.gethostname()


def our_ae_title() -> str:
    """Return what equipment calls us."""
    return str(settings.DICOM_SCP_AE_TITLE)
