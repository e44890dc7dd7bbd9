"""Programs that run elsewhere and are asked by HTTP: registered by administrators (ADR 0110)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac

from archive import audit, outward, registrations, webhooks
from archive.access import Actor
from archive.analysis_catalogue import Program
from archive.errors import InvalidInputError, NotFoundError
from archive.models import AnalysisRun, RemoteProgram
from worklist.models import Facility

PREFIX = "http:"
_LONGEST = {"name": 64, "version": 32, "manufacturer": 64, "purpose": 255}


@dataclass(frozen=True, slots=True)
class RemoteDraft:
    """What an administrator says of a program elsewhere.

    Attributes
    ----------
    facility : whose studies it may be given; None for every facility's
    """

    name: str
    url: str
    version: str = ""
    manufacturer: str = ""
    purpose: str = ""
    facility: Facility | None = None


def listing(actor: Actor) -> QuerySet[RemoteProgram]:
    """Return every registered program."""
    return registrations.listing(actor, RemoteProgram)


def program_for(actor: Actor, key: UUID) -> RemoteProgram:
    """Return one program."""
    row = registrations.find(actor, RemoteProgram, key)
    if row is None:
        raise NotFoundError("There is no such program; it may have been removed.")
    return row


def programs(facility_id: UUID | None = None) -> dict[str, Program]:
    """Return the programs that are switched on, by key.

    Parameters
    ----------
    facility_id : only those that may be given this facility's studies
    """
    rows: Iterable[RemoteProgram] = RemoteProgram.objects.filter(is_active=True)
    return {
        key_of(row): Program(
            key=key_of(row),
            target="",
            name=row.name,
            version=row.version,
            manufacturer=row.manufacturer,
            purpose=row.purpose,
        )
        for row in rows
        if facility_id is None or row.facility_id in (None, facility_id)
    }


def key_of(row: RemoteProgram) -> str:
    """Return how rules and runs name a program."""
    return f"{PREFIX}{row.pk.hex}"


def row_of(run: AnalysisRun) -> RemoteProgram | None:
    """Return the program of a run, if it is registered and switched on, and may have the study."""
    key = UUID(hex=run.program.removeprefix(PREFIX))
    row = RemoteProgram.objects.filter(pk=key, is_active=True).first()
    if row is None or row.facility_id not in (None, run.study.facility_id):
        return None
    return row


def secret_of(row: RemoteProgram) -> bytes:
    """Return what both sides sign with; it follows from the site's own secret and is not stored."""
    name = f"{row.pk.hex}:{row.secret_number}"
    return salted_hmac("archive.remote_programs", name, algorithm="sha256").digest()


def add(actor: Actor, draft: RemoteDraft) -> RemoteProgram:
    """Register a program, switched off until somebody switches it on.

    Raises
    ------
    InvalidInputError
        With a sentence that says what to change.
    """
    registrations.require_administrator(actor)
    said = {name: getattr(draft, name).strip() for name in _LONGEST}
    if not said["name"]:
        raise InvalidInputError("Give the program a name: people see it beside what it finds.")
    for name, most in _LONGEST.items():
        if len(said[name]) > most:
            raise InvalidInputError(f"The {name} has at most {most} characters.")
    url = draft.url.strip()
    try:
        outward.allowed_addresses(outward.check_url(url))
    except (outward.NotAllowedError, outward.SilentError) as error:
        raise InvalidInputError(str(error)) from error
    with transaction.atomic():
        row = RemoteProgram.objects.create(
            **said, url=url, facility=draft.facility, created_by=actor.name
        )
        audit.record(actor, "analysis.program.add", row, url=url)
    return row


def switch(actor: Actor, row: RemoteProgram, *, is_active: bool) -> None:
    """Let a program be asked, or not any more; what it works on is then given up."""
    registrations.switch(actor, row, "analysis.program", {"url": row.url}, is_active=is_active)


def change_secret(actor: Actor, row: RemoteProgram) -> str:
    """Make another secret, and return it as the service reads it; the old one is good no more."""
    registrations.require_administrator(actor)
    with transaction.atomic():
        row.secret_number += 1
        row.save(update_fields=["secret_number"])
        audit.record(actor, "analysis.program.secret", row)
    return webhooks.secret_text(secret_of(row))


def remove(actor: Actor, row: RemoteProgram) -> None:
    """Forget a program; what it found stays."""
    registrations.remove(actor, row, "analysis.program", {"url": row.url})
