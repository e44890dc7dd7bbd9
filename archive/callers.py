"""Who calls by DIMSE: the AE titles of facilities, and what is remembered of their calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts import auth
from accounts.models import User
from archive import access, audit, outbox
from archive.access import Actor, Scope
from archive.errors import ForbiddenError
from worklist.models import Facility, FacilityAE


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one AE title did lately; `None` and empty say that it did not.

    Attributes
    ----------
    ae_title : the calling AE title, of a facility's equipment
    facility_id : the facility's
    address : where it called from
    associated_at, echoed_at, stored_at : the latest of each
    certificate : SHA-256 fingerprint of what it presented last; empty: a call without one
    error, error_at : what went wrong last, in words
    """

    ae_title: str
    facility_id: UUID
    address: str
    associated_at: datetime | None = None
    echoed_at: datetime | None = None
    stored_at: datetime | None = None
    certificate: str = ""
    error: str = ""
    error_at: datetime | None = None


def entry_of(ae_title: str) -> FacilityAE | None:
    """Return the equipment that calls itself `ae_title` with its facility, active or not.

    AE titles are compared to the letter (PS3.5 6.2, VR AE), without surrounding spaces.
    """
    return FacilityAE.objects.select_related("facility").filter(ae_title=ae_title).first()


def person_at(
    facility: Facility, username: str, password: str | None, *, address: str, ae_title: str
) -> User:
    """Return the person at a facility's equipment, and write down that it is used in their name.

    Parameters
    ----------
    password : None: the name is enough

    Raises
    ------
    ForbiddenError
        When the account is not known, not theirs, off, or of no member of the facility; the
        message does not say which.
    TooManyAttemptsError
        As in the web's sign-in: ten wrong passwords in a minute.
    """
    if "\0" in username:
        found = None  # PostgreSQL knows no such text
    elif password is None:
        found = User.objects.filter(username=username, is_active=True).first()
    else:
        found = auth.user_of_program(username, password, address=address)
    shown = "".join(c if c.isprintable() else "?" for c in username[:64])
    is_known = found is not None and access.scope_of(found).includes(facility.pk)
    actor = (
        access.actor_of(found, address=address)
        if found is not None and is_known
        else Actor(name=shown, scope=Scope(frozenset()), address=address)
    )
    audit.record(
        actor,
        "association.sign_in",
        facility,
        is_success=is_known,
        ae_title=ae_title,
        is_proven=password is not None,
    )
    if found is None or not is_known:
        raise ForbiddenError(
            f"The user {shown} is not known, not a member of {facility.name}, or the password "
            "is wrong."
        )
    return found


def record(sightings: Iterable[Sighting]) -> None:
    """Write what was seen on the facilities' AE titles and tell the pages, in one transaction."""
    with transaction.atomic():
        for sighting in sightings:
            values: dict[str, Any] = {
                name: value
                for name, value in (
                    ("last_association_at", sighting.associated_at),
                    ("last_echo_at", sighting.echoed_at),
                    ("last_store_at", sighting.stored_at),
                    ("last_error_at", sighting.error_at),
                )
                if value is not None
            }
            if sighting.associated_at is not None:
                values["last_address"] = sighting.address
                values["last_certificate"] = sighting.certificate
            if sighting.error_at is not None:
                values["last_error"] = sighting.error[:255]
            row = FacilityAE.objects.filter(
                ae_title=sighting.ae_title, facility=sighting.facility_id
            )
            if not values or not row.update(**values):
                continue
            for service, at in (
                ("association", sighting.associated_at),
                ("echo", sighting.echoed_at),
            ):
                if at is not None:
                    outbox.record(
                        outbox.CallerSeen(
                            facility_id=sighting.facility_id,
                            ae_title=sighting.ae_title,
                            service=service,
                            address=sighting.address,
                        )
                    )
