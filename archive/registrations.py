"""What administrators register for analyses, services and programs alike: found, switched, removed.

Whatever is registered is off until somebody switches it on, and each change is in the audit trail.
"""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from archive import audit
from archive.access import Actor
from archive.errors import ForbiddenError
from archive.models import AnalysisService, RemoteProgram

Registered = TypeVar("Registered", AnalysisService, RemoteProgram)


def require_administrator(actor: Actor) -> None:
    """Refuse everybody else.

    Raises
    ------
    ForbiddenError
        With a sentence for the person.
    """
    if not actor.is_administrator:
        raise ForbiddenError("Analyses are set up by administrators. Ask one of them.")


def listing(actor: Actor, kind: type[Registered]) -> QuerySet[Registered]:
    """Return all that is registered of a kind."""
    require_administrator(actor)
    return kind._default_manager.select_related("facility")


def find(actor: Actor, kind: type[Registered], key: UUID) -> Registered | None:
    """Return one by its key, if there is one."""
    return listing(actor, kind).filter(pk=key).first()


def switch(
    actor: Actor, row: Registered, verb: str, said: dict[str, Any], *, is_active: bool
) -> None:
    """Switch on or off; `said` goes into the audit trail's `verb`.on or `verb`.off."""
    require_administrator(actor)
    with transaction.atomic():
        row.is_active = is_active
        row.save(update_fields=["is_active"])
        audit.record(actor, f"{verb}.{'on' if is_active else 'off'}", row, **said)


def remove(actor: Actor, row: Registered, verb: str, said: dict[str, Any]) -> None:
    """Forget what was registered; what it found stays."""
    require_administrator(actor)
    with transaction.atomic():
        audit.record(actor, f"{verb}.remove", row, **said)
        row.delete()
