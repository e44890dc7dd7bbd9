"""Where we may send: registered AEs, and the echo that shows whether one can be reached.

Sending is the business of `dimse`, which stands above this package. The setting `DICOM_SCU_ECHO`
names the function that does it, so that a job can call it without importing it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from archive import audit, jobs
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError, NotFoundError
from archive.models import Destination, Job, JobState
from worklist.models import Facility

ECHO_JOB = "destination.echo"
# A host name of RFC 1123, or an address; nothing that a command line or a URL could be hidden in.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,253}[A-Za-z0-9])?")


class EchoResult(Protocol):
    """What a C-ECHO found."""

    @property
    def is_success(self) -> bool:
        """Whether it was answered with success."""

    @property
    def message(self) -> str:
        """What happened and, where it failed, what to do."""


@dataclass(frozen=True, slots=True)
class DestinationDraft:
    """What an administrator says about a destination."""

    ae_title: str
    host: str
    port: int
    uses_tls: bool = False
    facility: Facility | None = None
    # None: as it is; a new one does not.
    wants_availability: bool | None = None


def save_destination(actor: Actor, draft: DestinationDraft) -> Destination:
    """Create a destination, or update the one with this AE title.

    Raises
    ------
    InvalidInputError
        For a bad AE title, host or port.
    """
    title = draft.ae_title.strip()
    host = draft.host.strip()
    if not _HOST.fullmatch(host):
        raise InvalidInputError("Write the host as a name or an address, such as 10.1.0.7.")
    if not 1 <= draft.port <= 65535:
        raise InvalidInputError("A port is a number from 1 to 65535; most DICOM nodes use 104.")
    destination = Destination.objects.filter(ae_title=title).first() or Destination(ae_title=title)
    destination.host = host
    destination.port = draft.port
    destination.uses_tls = draft.uses_tls
    destination.facility = draft.facility
    if draft.wants_availability is not None:
        destination.wants_availability = draft.wants_availability
    try:
        destination.full_clean()
    except ValidationError as error:
        raise InvalidInputError(" ".join(error.messages)) from error
    with transaction.atomic():
        destination.save()
        audit.record(
            actor,
            "destination.save",
            destination,
            ae_title=title,
            host=host,
            port=draft.port,
            uses_tls=draft.uses_tls,
            wants_availability=destination.wants_availability,
        )
    return destination


def remove_destination(actor: Actor, destination: Destination) -> None:
    """Forget a destination: nothing is sent there any more."""
    with transaction.atomic():
        audit.record(actor, "destination.remove", destination, ae_title=destination.ae_title)
        destination.delete()


def of_facility(facility: Facility) -> QuerySet[Destination]:
    """Return the destinations that stand at a facility."""
    return Destination.objects.filter(facility=facility)


def everywhere() -> QuerySet[Destination]:
    """Return every destination, with its facility."""
    return Destination.objects.select_related("facility").order_by("ae_title")


def destination_for(actor: Actor, destination_id: UUID) -> Destination:
    """Return a destination that the actor may see: an administrator any, a member their own."""
    destination = Destination.objects.filter(pk=destination_id).first()
    if destination is None:
        raise NotFoundError("There is no such destination; it may have been removed.")
    owner = destination.facility_id
    if not actor.is_administrator and (owner is None or not actor.scope.includes(owner)):
        raise ForbiddenError("This destination belongs to a facility that is not yours.")
    return destination


def request_echo(actor: Actor, destination: Destination) -> None:
    """Have a worker send a C-ECHO; its result appears on the row."""
    with transaction.atomic():
        jobs.enqueue(ECHO_JOB, str(destination.pk), destination_id=str(destination.pk))
        audit.record(actor, "destination.echo", destination, ae_title=destination.ae_title)


def is_echo_pending(destination: Destination) -> bool:
    """Whether an echo is still to come."""
    return Job.objects.filter(
        kind=ECHO_JOB,
        key=str(destination.pk),
        state__in=(JobState.QUEUED, JobState.RUNNING),
    ).exists()


@jobs.handler(ECHO_JOB)
def send_echo(destination_id: str) -> None:
    """Send a C-ECHO (PS3.4 A.4) to a registered destination and keep what it found."""
    destination = Destination.objects.filter(pk=UUID(destination_id)).first()
    if destination is None:
        return  # removed meanwhile: there is nobody left to tell
    echo = cast("Callable[[Destination], EchoResult]", import_string(settings.DICOM_SCU_ECHO))
    result = echo(destination)
    Destination.objects.filter(pk=destination.pk).update(
        last_echo_at=timezone.now(),
        last_echo_is_ok=result.is_success,
        last_echo_message=result.message[:255],
    )
