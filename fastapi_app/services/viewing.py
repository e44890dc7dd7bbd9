"""Addresses of studies in the viewer, for programs that send their users there."""

from __future__ import annotations

from typing import Any

from archive import access, audit, query, viewer_links
from archive.access import Actor
from archive.errors import NotFoundError
from archive.query import StudyQuery
from fastapi_app import gate, paging
from fastapi_app.services import ordering
from orders import services as orders
from worklist.models import Study

Document = dict[str, Any]

# An address has room for so many.
_MOST_STUDIES = 20


def of_study(actor: Actor, text: str, origin: str) -> Document:
    """Return the address of one study."""
    return _document(actor, [gate.study_for(actor, text)], origin)


def of_order(actor: Actor, text: str, origin: str) -> Document:
    """Return the address of the studies that fulfil an order."""
    order = ordering.order_for(actor, text)
    studies = _studies(actor, StudyQuery(study_ids=tuple(orders.studies_of_order(order))))
    if not studies:
        raise NotFoundError("No study has come for this order yet.")
    return _document(actor, studies, origin) | {
        "order_id": str(order.pk),
        "accession_number": order.accession_number,
    }


def of_patient(actor: Actor, text: str, origin: str) -> Document:
    """Return the address of a patient's studies, the latest first."""
    patient = access.patient_for(actor.scope, paging.identifier(text, "patient"))
    studies = _studies(actor, StudyQuery(patient=patient.pk))
    if not studies:
        raise NotFoundError("No study of this patient has come yet.")
    return _document(actor, studies, origin) | {"patient_id": str(patient.pk)}


def _studies(actor: Actor, wanted: StudyQuery) -> list[Study]:
    return list(query.find_studies(actor.scope, wanted).items)


def _document(actor: Actor, studies: list[Study], origin: str) -> Document:
    shown = studies[:_MOST_STUDIES]
    link = viewer_links.link_to(shown, origin)
    said = {"expires_at": link.expires_at.isoformat()}
    audit.note_reads(actor, "study.link", [(study, said) for study in shown])
    return {
        "url": link.url,
        "expires_at": link.expires_at.isoformat(),
        "expires_in": link.expires_in_s,
        "study_instance_uid": shown[0].study_instance_uid,
        "study_instance_uids": [study.study_instance_uid for study in shown],
        "study_count": len(studies),
    }
