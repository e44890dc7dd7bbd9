"""The audit trail: one event per access to patient data; if it cannot be written, no access."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.utils import timezone
from uuid_utils.compat import uuid7

from archive import database
from archive.access import Actor
from archive.models import AuditEvent

# Events that one statement writes.
_MOST_AT_ONCE = 500
_as_json = json.JSONEncoder().encode


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
    return AuditEvent.objects.create(
        **_values(actor, verb, target, is_success=is_success, detail=detail)
    )


def record_read(
    connection: BaseDatabaseWrapper,
    actor: Actor,
    verb: str,
    target: Model | None = None,
    *,
    is_success: bool = True,
    **detail: Any,  # noqa: ANN401 - JSON values
) -> None:
    """Write one event of an access that changes nothing; it is committed when this returns.

    The commit does not wait for the disk (docs/adr/0026): a query costs less than that.

    Parameters
    ----------
    connection : from `archive.database.reading`
    actor, verb, target, detail : as for `record`
    """
    _insert(connection, [_values(actor, verb, target, is_success=is_success, detail=detail)])


def record_reads(
    connection: BaseDatabaseWrapper,
    actor: Actor,
    verb: str,
    targets: Iterable[tuple[Model, Mapping[str, Any]]],
) -> None:
    """Write one event for each target, with its detail, as `record_read` does."""
    events = [
        _values(actor, verb, target, is_success=True, detail=detail) for target, detail in targets
    ]
    for start in range(0, len(events), _MOST_AT_ONCE):
        _insert(connection, events[start : start + _MOST_AT_ONCE])


def note_read(
    actor: Actor,
    verb: str,
    target: Model | None = None,
    **detail: Any,  # noqa: ANN401 - JSON values
) -> None:
    """Write one event as `record_read` does, on a connection that is borrowed for it."""
    with database.reading() as connection:
        record_read(connection, actor, verb, target, **detail)


def note_reads(actor: Actor, verb: str, targets: Iterable[tuple[Model, Mapping[str, Any]]]) -> None:
    """Write one event for each target as `record_reads` does, on a borrowed connection."""
    with database.reading() as connection:
        record_reads(connection, actor, verb, targets)


def _insert(connection: BaseDatabaseWrapper, events: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows with one statement of the driver's: a fifth of what the ORM takes."""
    is_postgresql = connection.vendor == "postgresql"
    parameters: list[Any] = []
    for event in events:
        at, user_id = timezone.now(), event["user_id"]
        facility_id = event["facility_id"]
        parameters += (
            uuid7() if is_postgresql else uuid7().hex,
            at if is_postgresql else at.replace(tzinfo=None).isoformat(" "),
            user_id if is_postgresql or user_id is None else user_id.hex,
            event["actor"],
            event["address"],
            event["verb"],
            event["target_kind"],
            event["target_id"],
            facility_id if is_postgresql or facility_id is None else facility_id.hex,
            event["is_success"],
            _as_json(event["detail"]),
            None,
        )
    statement = _statement(len(events), is_postgresql=is_postgresql)
    database.execute(connection, statement, parameters)


@lru_cache
def _statement(count: int, *, is_postgresql: bool) -> str:
    quoted = ", ".join(f'"{field.column}"' for field in AuditEvent._meta.concrete_fields)
    mark = database.mark("postgresql" if is_postgresql else "sqlite")
    row = f"({', '.join([mark] * len(AuditEvent._meta.concrete_fields))})"
    table = AuditEvent._meta.db_table
    return f'INSERT INTO "{table}" ({quoted}) VALUES {", ".join([row] * count)}'  # noqa: S608


def _values(
    actor: Actor, verb: str, target: Model | None, *, is_success: bool, detail: Mapping[str, Any]
) -> dict[str, Any]:
    # A target's facility is the event's.
    return {
        "user_id": actor.user_id,
        "actor": _storable(actor.name[:150]),
        "address": actor.address,
        "verb": verb,
        "target_kind": target._meta.model_name or "" if target is not None else "",
        "target_id": str(target.pk) if target is not None else "",
        "facility_id": getattr(target, "facility_id", None),
        "is_success": is_success,
        "detail": _storable(detail),
    }


def _storable(value: Any) -> Any:  # noqa: ANN401 - JSON values
    """Return a value without the character 0, which PostgreSQL takes neither in text nor in JSON.

    Callers name themselves and what they look for: that must not make an event fail.
    """
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, Mapping):
        return {key: _storable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(part) for part in value]
    return value
