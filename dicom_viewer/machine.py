"""What programs found in a study, for the viewer: a machine's word until a person says more."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import reverse

from archive import access, audit, findings
from archive.access import Actor
from archive.models import AnalysisRun, FindingDecision, FindingGraphic, MachineFinding
from worklist.models import Study

_MOST_RUNS = 100


def findings_on(actor: Actor, study_id: UUID) -> dict[str, Any]:
    """Return the analyses of a study that the actor may see, newest first, with what each found.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    study = access.study_for(actor.scope, study_id)
    audit.record(actor, "study.findings", study)
    rows = list(findings.runs_of(actor, study)[:_MOST_RUNS])
    return {
        "runs": [_run_document(row) for row in rows],
        "can_decide": actor.can_read,
        "page_url": reverse("worklist:finding-list", args=[study.pk]),
    }


def decide(
    actor: Actor, finding_id: UUID, decision: FindingDecision, comment: str | None
) -> dict[str, Any]:
    """Accept or reject a finding, or take that back; returns the finding as it stands then."""
    finding = findings.decide(actor, finding_id, decision, comment)
    return finding_document(finding, finding.run)


def marks_of(study: Study) -> dict[UUID, dict[str, Any]]:
    """Return, by image, what is to be said of the objects of a study that machines made."""
    return {
        key: {
            "finding_id": str(row.pk),
            "name": row.run.algorithm_name,
            "version": row.run.algorithm_version,
            "decision": row.decision,
            "decided_by": row.decided_by_name or None,
            "decided_at": row.decided_at.isoformat() if row.decided_at else None,
        }
        for key, row in findings.made_by_machines(study).items()
    }


def _run_document(run: AnalysisRun) -> dict[str, Any]:
    return {
        "id": str(run.pk),
        "name": run.algorithm_name,
        "version": run.algorithm_version,
        "manufacturer": run.manufacturer,
        "purpose": run.purpose,
        "state": run.state,
        "message": run.last_error,
        "at": (run.finished_at or run.created_at).isoformat(),
        "findings": [finding_document(row, run) for row in run.findings.all()],
    }


def finding_document(finding: MachineFinding, run: AnalysisRun) -> dict[str, Any]:
    """Return a finding as docs/api/viewer.md describes it."""
    image = finding.image
    return {
        "id": str(finding.pk),
        "url": reverse("dicom_viewer:finding", args=[finding.pk]),
        "label": finding.label,
        "value": finding.value,
        "unit": finding.unit,
        "text": finding.text,
        "machine": f"{run.algorithm_name} {run.algorithm_version}".strip(),
        "decision": finding.decision,
        "decided_by": finding.decided_by_name or None,
        "decided_at": finding.decided_at.isoformat() if finding.decided_at else None,
        "comment": finding.comment,
        "object": None
        if image is None
        else {
            "image_id": str(image.pk),
            "SeriesNumber": image.series.series_number,
            "SeriesDescription": image.series.series_description,
        },
        "drawing": _drawing_document(finding),
    }


def _drawing_document(finding: MachineFinding) -> dict[str, Any] | None:
    """Return what is drawn, in the form of `found`: what others measured."""
    if not finding.graphic:
        return None
    points = [list(point) for point in finding.points]
    graphic = str(finding.graphic)
    is_closed = graphic in (FindingGraphic.POLYGON, FindingGraphic.BOX)
    if graphic == FindingGraphic.BOX:
        (left, top), (right, bottom) = points
        points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    if is_closed:
        graphic = FindingGraphic.POLYLINE
    return {
        "SOPInstanceUID": finding.sop_instance_uid,
        "frame_number": finding.frame_number,
        "graphic": str(graphic),
        "points": points,
        "is_closed": is_closed,
    }
