"""Rows as JSON: the shapes of docs/api/viewer.md, except the manifest's."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from archive.sentences import said
from dicom_viewer.models import Annotation, Measurement, ViewerSession, WindowLevelPreset
from imaging.hanging import Place, Protocol, Stage, sentence


def drawing_document(row: Measurement | Annotation) -> dict[str, Any]:
    """Return one measurement or annotation."""
    measured: dict[str, Any] = {
        "value": None,
        "second_value": None,
        "unit": None,
        "unit_source": "none",
        "statistics": None,
    }
    if isinstance(row, Measurement):
        measured = {
            "value": row.value,
            "second_value": row.second_value,
            "unit": row.unit or None,
            "unit_source": row.unit_source,
            "statistics": row.statistics,
        }
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "SeriesInstanceUID": row.series_instance_uid,
        "SOPInstanceUID": row.sop_instance_uid,
        "frame_number": row.frame_number,
        "FrameOfReferenceUID": row.frame_of_reference_uid or None,
        "points": row.points,
        "points_mm": row.points_mm,
        "plane": row.plane,
        "label": row.label,
        **measured,
        "author": {
            "id": str(row.author_id) if row.author_id else None,
            "name": row.author_name,
        },
        "updated_by": {"name": row.updated_by_name},
        "version": row.version,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }


def protocol_document(protocol: Protocol, *, is_active: bool = True) -> dict[str, Any]:
    """Return a hanging protocol: what importing takes, and how it reads."""
    return {
        "id": protocol.key or None,
        "name": protocol.name,
        "priority": protocol.priority,
        "is_site": not protocol.is_own and not protocol.is_built_in,
        "is_built_in": protocol.is_built_in,
        "is_active": is_active,
        "Modality": protocol.modality,
        "BodyPartExamined": protocol.body_part,
        "StudyDescription": protocol.description,
        "Laterality": protocol.laterality,
        "ViewPosition": protocol.view,
        "priors": protocol.priors,
        "stages": [stage_document(stage) for stage in protocol.stages],
        "sentence": sentence(protocol, said),
    }


def stage_document(stage: Stage) -> dict[str, Any]:
    """Return one stage of a hanging protocol."""
    return {
        "name": stage.name,
        "rows": stage.rows,
        "columns": stage.columns,
        "fit": stage.fit,
        "links": asdict(stage.links) if stage.links else None,
        "least": stage.least,
        "places": [_place_document(place) for place in stage.places],
    }


def _place_document(place: Place) -> dict[str, Any]:
    center, width = place.window or (None, None)
    return {
        "prior": place.prior,
        "Modality": place.modality,
        "SeriesDescription": place.description,
        "Laterality": place.laterality,
        "ViewPosition": place.view,
        "window_center": center,
        "window_width": width,
        "show": place.show,
    }


def preset_document(row: WindowLevelPreset) -> dict[str, Any]:
    """Return one window preset."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "Modality": row.modality,
        "window_center": row.window_center,
        "window_width": row.window_width,
        "key": row.key or None,
        "is_site": row.user_id is None,
    }


def session_document(row: ViewerSession | None) -> dict[str, Any] | None:
    """Return where reading stopped, or None where it never began."""
    return row.state if row is not None else None
