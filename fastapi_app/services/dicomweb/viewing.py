"""A look at a study goes into the audit trail before anything of it is given out."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from archive import access
from archive.access import Actor
from fastapi_app import gate


def note(actor: Actor, study_ids: Iterable[UUID]) -> None:
    """Write that a person looks at studies, each once in ten minutes; see `gate.note_view`."""
    for study_id in dict.fromkeys(study_ids):
        if not gate.has_viewed(actor, study_id):
            gate.note_view(actor, access.study_for(actor.scope, study_id))
