"""Events of the audit trail as FHIR R4 AuditEvent resources.

Agents, patient and object are given as IHE's Basic Audit Log Patterns do (ITI BALP): who asks is
the source, this archive the destination, a patient is an entity of type Person and role Patient.
The event's type is DICOM's, since most accesses are no FHIR interactions.
"""

from __future__ import annotations

import base64
from datetime import UTC
from typing import Any

from archive.audit_codes import OUR_CODES, Code
from archive.audit_facts import Facts, our_ae_title, our_host

_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_HL7 = "http://terminology.hl7.org/CodeSystem"
_OURS = "urn:noctispro:audit"


def audit_event(facts: Facts) -> dict[str, Any]:
    """Return an event as JSON of FHIR R4."""
    event, kind = facts.event, facts.kind
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": str(event.pk),
        "type": _coding(kind.event),
        "subtype": [_coding(one) for one in kind.types],
        "action": kind.action,
        "recorded": event.at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "outcome": facts.outcome,
        "agent": [_who(facts), _us()],
        "source": {
            "observer": {"display": our_host()},
            "type": [
                {
                    "system": f"{_HL7}/security-source-type",
                    "code": "4",
                    "display": "Application Server",
                }
            ],
        },
    }
    if facts.facility:
        resource["source"]["site"] = facts.facility
    if entities := _entities(facts):
        resource["entity"] = entities
    return resource


def _coding(code: Code) -> dict[str, str]:
    system = _OURS if code.scheme == OUR_CODES else _DICOM
    return {"system": system, "code": code.value, "display": code.meaning}


def _role(value: str, meaning: str) -> dict[str, Any]:
    return {"coding": [_coding(Code(value, meaning))]}


def _who(facts: Facts) -> dict[str, Any]:
    event = facts.event
    found: dict[str, Any] = {
        "type": _role("110153", "Source Role ID"),
        "who": {"identifier": {"value": _string(event.actor)}, "display": _string(event.actor)},
        "requestor": True,
    }
    if event.user_id is not None:
        found["altId"] = str(event.user_id)
    if event.address:
        found["network"] = {"address": event.address, "type": "2"}
    return found


def _us() -> dict[str, Any]:
    return {
        "type": _role("110152", "Destination Role ID"),
        "who": {"display": "NoctisPro"},
        "altId": our_ae_title(),
        "requestor": False,
        "network": {"address": our_host(), "type": "1"},
    }


def _entities(facts: Facts) -> list[dict[str, Any]]:
    event, found = facts.event, []
    if facts.patient_id:
        identifier = {"value": _string(facts.patient_id)}
        if facts.facility:
            identifier["system"] = f"urn:noctispro:facility:{facts.facility}"
        patient: dict[str, Any] = {
            "what": {"type": "Patient", "identifier": identifier},
            **_typed("1", "Person", "1", "Patient"),
        }
        if facts.patient_name:
            patient["name"] = _string(facts.patient_name)
        if event.target_kind == "patient":
            patient.update(_detail(facts))
        found.append(patient)
    if facts.kind.is_query:
        query = base64.b64encode((facts.detail or "{}").encode()).decode()
        found.append({**_typed("2", "System Object", "24", "Query"), "query": query})
    elif facts.study_instance_uid:
        uid = f"urn:oid:{facts.study_instance_uid}"
        what = {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": uid}}
        study = {"what": what, **_typed("2", "System Object", "4", "Domain Resource")}
        found.append({**study, **_detail(facts)})
    elif event.target_kind and not facts.patient_id:
        what = {"identifier": {"value": _string(event.target_id)}, "display": event.target_kind}
        other = {"what": what, **_typed("2", "System Object", "4", "Domain Resource")}
        found.append({**other, **_detail(facts)})
    return found


def _typed(kind: str, kind_name: str, role: str, role_name: str) -> dict[str, Any]:
    return {
        "type": {"system": f"{_HL7}/audit-entity-type", "code": kind, "display": kind_name},
        "role": {"system": f"{_HL7}/object-role", "code": role, "display": role_name},
    }


def _detail(facts: Facts) -> dict[str, Any]:
    if not facts.detail:
        return {}
    return {"detail": [{"type": "detail", "valueString": facts.detail}]}


def _string(text: str) -> str:
    """Return what FHIR's strings may hold: not empty, no control characters."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean.strip() or "unknown"
