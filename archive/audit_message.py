"""Events of the audit trail as DICOM's audit messages (PS3.15 A.5)."""

from __future__ import annotations

import base64
from datetime import UTC
from xml.etree import ElementTree as ET

from archive.audit_codes import EXPORT, IMPORT, INSTANCES_TRANSFERRED, Code
from archive.audit_facts import Facts, our_ae_title, our_host

_APPLICATION = Code("110150", "Application")
_SOURCE = Code("110153", "Source Role ID")
_DESTINATION = Code("110152", "Destination Role ID")
_STUDY_UID = Code("110180", "Study Instance UID")
_PATIENT_NUMBER = Code("2", "Patient Number", "RFC-3881")
_SEARCH_CRITERIA = Code("10", "Search Criteria", "RFC-3881")
_URI = Code("12", "URI", "RFC-3881")
_IP_ADDRESS, _MACHINE_NAME = "2", "1"


def audit_message(facts: Facts) -> str:
    """Return an event as XML by the schema of PS3.15 A.5.1, in one line without declaration.

    Parameters
    ----------
    facts : the event and what belongs to it
    """
    event, kind = facts.event, facts.kind
    root = ET.Element("AuditMessage")
    identification = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=kind.action,
        EventDateTime=event.at.astimezone(UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=facts.outcome,
    )
    _coded(identification, "EventID", kind.event)
    for one in kind.types:
        _coded(identification, "EventTypeCode", one)
    _participants(root, facts)
    source = ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=our_host())
    if facts.facility:
        source.set("AuditEnterpriseSiteID", facts.facility)
    ET.SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})
    _objects(root, facts)
    return ET.tostring(root, encoding="unicode")


def _participants(root: ET.Element, facts: Facts) -> None:
    event = facts.event
    they, we = None, _APPLICATION
    if facts.kind.event in (INSTANCES_TRANSFERRED, EXPORT):
        they, we = _DESTINATION, _SOURCE
    elif facts.kind.event is IMPORT:
        they, we = _SOURCE, _DESTINATION
    person = ET.SubElement(
        root, "ActiveParticipant", UserID=_clean(event.actor) or "unknown", UserIsRequestor="true"
    )
    if event.user_id is not None:
        person.set("AlternativeUserID", str(event.user_id))
    if event.address:
        person.set("NetworkAccessPointID", event.address)
        person.set("NetworkAccessPointTypeCode", _IP_ADDRESS)
    if they is not None:
        _coded(person, "RoleIDCode", they)
    archive = ET.SubElement(
        root,
        "ActiveParticipant",
        UserID=our_host(),
        AlternativeUserID=f"AETITLES={our_ae_title()}",
        UserName="NoctisPro",
        UserIsRequestor="false",
        NetworkAccessPointID=our_host(),
        NetworkAccessPointTypeCode=_MACHINE_NAME,
    )
    _coded(archive, "RoleIDCode", we)


def _objects(root: ET.Element, facts: Facts) -> None:
    event = facts.event
    if facts.kind.is_query:
        query = _object(root, "query", _SEARCH_CRITERIA, kind="2", role="24")
        ET.SubElement(query, "ParticipantObjectQuery").text = _base64(facts.detail or "{}")
    elif facts.study_instance_uid:
        study = _object(root, facts.study_instance_uid, _STUDY_UID, kind="2", role="3")
        ET.SubElement(study, "ParticipantObjectName").text = "Study"
        _detail(study, facts)
        if facts.accession_number:
            about = ET.SubElement(study, "ParticipantObjectDescription")
            ET.SubElement(about, "Accession", Number=_clean(facts.accession_number))
    elif event.target_kind and not facts.patient_id:
        other = _object(root, _clean(event.target_id) or "unknown", _URI, kind="2", role="4")
        ET.SubElement(other, "ParticipantObjectName").text = _clean(event.target_kind)
        _detail(other, facts)
    if facts.patient_id:
        patient = _object(root, _clean(facts.patient_id), _PATIENT_NUMBER, kind="1", role="1")
        ET.SubElement(patient, "ParticipantObjectName").text = _clean(facts.patient_name)
        if event.target_kind == "patient":
            _detail(patient, facts)


def _object(root: ET.Element, key: str, scheme: Code, *, kind: str, role: str) -> ET.Element:
    element = ET.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=key,
        ParticipantObjectTypeCode=kind,
        ParticipantObjectTypeCodeRole=role,
    )
    _coded(element, "ParticipantObjectIDTypeCode", scheme)
    return element


def _detail(element: ET.Element, facts: Facts) -> None:
    if facts.detail:
        ET.SubElement(
            element, "ParticipantObjectDetail", type="detail", value=_base64(facts.detail)
        )


def _coded(parent: ET.Element, name: str, code: Code) -> None:
    ET.SubElement(
        parent,
        name,
        {
            "csd-code": _clean(code.value),
            "codeSystemName": code.scheme,
            "originalText": _clean(code.meaning),
        },
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _clean(text: str) -> str:
    """Return what XML 1.0 can say: callers choose their own names."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
