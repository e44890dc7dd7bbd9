"""Rows for tests, made through the product's own services."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from django.contrib.auth.hashers import make_password

from accounts.models import Role, User
from archive import facilities, ingest, spool
from archive.access import system_actor
from archive.ingest import IngestResult, Provenance
from worklist.models import Facility

PASSWORD = "correct horse battery staple"


def facility(code: str, name: str, *, ae_titles: Sequence[str] = ()) -> Facility:
    draft = facilities.FacilityDraft(code=code, name=name, ae_titles=ae_titles)
    return facilities.save_facility(system_actor("tests"), draft)


def user(username: str, role: Role = Role.VIEWER, members_of: Iterable[Facility] = ()) -> User:
    person = User.objects.create(username=username, role=role, password=_hashed_password())
    if role == Role.ADMIN:
        person.is_staff = person.is_superuser = True
        person.save()
    person.facilities.set(members_of)
    return person


@lru_cache
def _hashed_password() -> str:
    """Hash once: programs that make a site of their own hash as the product does."""
    return make_password(PASSWORD)


def store_file(path: Path, owner: Facility) -> IngestResult:
    """Ingest one real file as `owner`'s."""
    with path.open("rb") as handle, spool.spool_file(handle) as spooled:
        return ingest.ingest_instance(spooled, Provenance(facility=owner, source="tests"))


def store_bytes(content: bytes, owner: Facility) -> IngestResult:
    with spool.spool_chunks([content]) as spooled:
        return ingest.ingest_instance(spooled, Provenance(facility=owner, source="tests"))
