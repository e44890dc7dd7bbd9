"""The audit trail: one event per access to patient data; if it cannot be written, no access."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from archive.access import Actor
from archive.models import AuditEvent


def record(
    actor: Actor,
    verb: str,
    target: Model | None = None,
    *,
    is_success: bool = True,
    **detail: Any,  # noqa: ANN401 - JSON values
) -> AuditEvent:
    """Write one event in the present transaction; a database error refuses the access itself.

    Parameters
    ----------
    actor : who
    verb : what, as `study.open`
    target : which row; its facility is taken from it where it has one
    detail : further facts, JSON-able, without names of patients
    """
    facility_id = getattr(target, "facility_id", None)
    return AuditEvent.objects.create(
        user_id=actor.user_id,
        actor=actor.name[:150],
        address=actor.address,
        verb=verb,
        target_kind=target._meta.model_name or "" if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        facility_id=facility_id,
        is_success=is_success,
        detail=detail,
    )
