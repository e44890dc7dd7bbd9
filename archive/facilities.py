"""Facilities, their AE titles, and the callers that are not yet known."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, F, QuerySet
from django.utils import timezone

from accounts.models import User
from archive import audit, outbox
from archive.access import Actor, Scope
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from archive.models import Knock, KnockState
from worklist.models import DicomImage, Facility, FacilityAE


@dataclass(frozen=True, slots=True)
class FacilityDraft:
    """What an administrator says about a facility."""

    code: str
    name: str
    ae_titles: Sequence[str] = ()
    address_ranges: Sequence[str] = ()
    is_demo: bool = False


def save_facility(actor: Actor, draft: FacilityDraft) -> Facility:
    """Create a facility, or update the one with this code; AE titles are added, never taken away.

    Raises
    ------
    InvalidInputError
        For a bad code, AE title or network.
    ConflictError
        When an AE title belongs to another facility.
    """
    try:
        with transaction.atomic():
            facility = Facility.objects.filter(code__iexact=draft.code).first()
            facility = facility or Facility(code=draft.code, is_demo=draft.is_demo)
            facility.name = draft.name
            if draft.address_ranges:
                facility.address_ranges = list(draft.address_ranges)
            facility.full_clean()
            facility.save()
            for title in draft.ae_titles:
                add_ae_title(actor, facility, title)
            audit.record(actor, "facility.save", facility, ae_titles=list(draft.ae_titles))
    except ValidationError as error:
        raise InvalidInputError(" ".join(error.messages)) from error
    return facility


def change_facility(
    actor: Actor,
    facility: Facility,
    *,
    name: str,
    address_ranges: Sequence[str],
    is_active: bool,
    user_identity: str,
    requires_tls: bool,
) -> Facility:
    """Set what an administrator may change about a facility; its code stays for good.

    Raises
    ------
    InvalidInputError
        For an empty name, a bad network or an unknown kind of identity.
    """
    facility.name = name.strip()
    facility.address_ranges = [entry.strip() for entry in address_ranges if entry.strip()]
    facility.is_active = is_active
    facility.user_identity = user_identity
    facility.requires_tls = requires_tls
    try:
        facility.full_clean()
    except ValidationError as error:
        raise InvalidInputError(" ".join(error.messages)) from error
    with transaction.atomic():
        facility.save(
            update_fields=["name", "address_ranges", "is_active", "user_identity", "requires_tls"]
        )
        _settle_knocks(facility)
        audit.record(
            actor,
            "facility.change",
            facility,
            address_ranges=facility.address_ranges,
            is_active=is_active,
            user_identity=user_identity,
            requires_tls=requires_tls,
        )
    return facility


def add_ae_title(
    actor: Actor, facility: Facility, title: str, *, description: str = ""
) -> FacilityAE:
    """Let equipment that calls itself `title` send to `facility`; harmless when it already may."""
    title = title.strip()
    known = FacilityAE.objects.select_related("facility").filter(ae_title=title).first()
    if known is not None:
        if known.facility_id != facility.pk:
            raise ConflictError(
                f"The AE title {title} belongs to {known.facility.name}. "
                "Give the equipment another one, or remove it there first."
            )
        return known
    entry = FacilityAE(facility=facility, ae_title=title, description=description.strip())
    try:
        entry.full_clean()
    except ValidationError as error:
        raise InvalidInputError(" ".join(error.messages)) from error
    with transaction.atomic():
        entry.save()
        _settle_knocks(facility)
        audit.record(actor, "facility.ae_title.add", facility, ae_title=title)
    return entry


def _settle_knocks(facility: Facility) -> None:
    """Take from the list of waiting callers those that `facility` lets in now."""
    if not facility.is_active:
        return
    entries = {entry.ae_title: entry for entry in FacilityAE.objects.filter(facility=facility)}
    waiting = open_knocks().filter(calling_ae_title__in=entries).exclude(reason_code="called-ae")
    settled = [
        knock.pk for knock in waiting if _lets_in(facility, entries[knock.calling_ae_title], knock)
    ]
    Knock.objects.filter(pk__in=settled).update(state=KnockState.ADMITTED, admitted_to=facility)


def _lets_in(facility: Facility, entry: FacilityAE, knock: Knock) -> bool:
    """Whether what a caller was refused for is put right, as far as its settings decide."""
    if knock.reason_code == "certificate":
        return not entry.certificate or entry.certificate == knock.certificate
    if knock.reason_code == "plain":
        return not facility.requires_tls
    if knock.reason_code == "identity":
        return not facility.user_identity
    return facility.allows_address(knock.address)


def bind_certificate(actor: Actor, facility: Facility, entry_id: UUID, name: str) -> FacilityAE:
    """Let only the holder of a certificate call by an AE title of `facility`.

    Parameters
    ----------
    name : SHA-256 fingerprint or subject; empty: any caller on its networks again

    Raises
    ------
    InvalidInputError
        For a name that can be neither.
    NotFoundError
        When the facility has no such AE title.
    """
    entry = FacilityAE.objects.filter(pk=entry_id, facility=facility).first()
    if entry is None:
        raise NotFoundError(f"{facility.name} has no such AE title; it may be gone already.")
    entry.certificate = name.strip()
    try:
        entry.full_clean()
    except ValidationError as error:
        raise InvalidInputError(" ".join(error.messages)) from error
    with transaction.atomic():
        entry.save(update_fields=["certificate"])
        _settle_knocks(facility)
        audit.record(
            actor,
            "facility.ae_title.bind",
            facility,
            ae_title=entry.ae_title,
            certificate=entry.certificate,
        )
    return entry


def remove_ae_title(actor: Actor, facility: Facility, entry_id: UUID) -> None:
    """Take an AE title from `facility`: its next call is refused. What it sent stays."""
    with transaction.atomic():
        entry = FacilityAE.objects.filter(pk=entry_id, facility=facility).first()
        if entry is None:
            raise NotFoundError(f"{facility.name} has no such AE title; it may be gone already.")
        entry.delete()
        audit.record(actor, "facility.ae_title.remove", facility, ae_title=entry.ae_title)


def add_member(actor: Actor, facility: Facility, username: str) -> User:
    """Let a person see the studies of `facility`; harmless when they already do."""
    member = User.objects.filter(username=username.strip()).first()
    if member is None:
        raise NotFoundError(f"There is no user named {username.strip() or '(empty)'}.")
    with transaction.atomic():
        member.facilities.add(facility)
        audit.record(actor, "facility.member.add", facility, user=member.username)
    return member


def remove_member(actor: Actor, facility: Facility, user_id: UUID) -> None:
    """Let a person no longer see the studies of `facility`; harmless when they do not."""
    with transaction.atomic():
        member = User.objects.filter(pk=user_id).first()
        if member is None:
            raise NotFoundError("There is no such user; the account may be gone already.")
        member.facilities.remove(facility)
        audit.record(actor, "facility.member.remove", facility, user=member.username)


def listing(scope: Scope) -> QuerySet[Facility]:
    """Return the facilities in scope with their AE titles, by name."""
    return scope.filter(Facility.objects.all(), "pk").prefetch_related("ae_titles").order_by("name")


def instances_since(facility_ids: Iterable[UUID], moment: datetime) -> dict[UUID, int]:
    """Count what each facility stored since `moment`.

    The rows' keys are UUIDs of version 7, so that the primary key alone bounds the search by time
    (RFC 9562 5.7): no facility's whole history is read.
    """
    first = UUID(int=int(moment.timestamp() * 1000) << 80)
    counts = (
        DicomImage.objects.filter(pk__gte=first, facility__in=list(facility_ids))
        .order_by()
        .values("facility")
        .annotate(count=Count("pk"))
    )
    return {row["facility"]: row["count"] for row in counts}


def remember_knock(
    *,
    calling_ae_title: str,
    called_ae_title: str,
    address: str,
    reason_code: str,
    reason: str,
    proposed: Sequence[str] = (),
    implementation: str = "",
    certificate: str = "",
) -> Knock:
    """Keep a refused caller for the knock list; the same one again only counts up."""
    now = timezone.now()
    with transaction.atomic():
        knock, is_new = Knock.objects.get_or_create(
            calling_ae_title=calling_ae_title[:64],
            called_ae_title=called_ae_title[:64],
            address=address,
            reason_code=reason_code,
            defaults={
                "reason": reason[:255],
                "proposed": list(proposed)[:64],
                "implementation": implementation[:64],
                "certificate": certificate,
                "first_at": now,
                "last_at": now,
            },
        )
        if not is_new:
            Knock.objects.filter(pk=knock.pk).update(
                count=F("count") + 1,
                last_at=now,
                reason=reason[:255],
                proposed=list(proposed)[:64],
                certificate=certificate,
            )
            knock.certificate = certificate
            # Admitted once and refused again, because the AE title or the network was taken away:
            # somebody has to decide anew. A dismissed caller stays dismissed.
            if knock.state == KnockState.ADMITTED and not _may_call(knock):
                Knock.objects.filter(pk=knock.pk).update(state=KnockState.OPEN, admitted_to=None)
        if is_new or knock.last_at < now - timedelta(minutes=1):
            outbox.record(
                outbox.CallerRefused(knock_id=knock.pk, calling_ae_title=knock.calling_ae_title)
            )
    return knock


def _may_call(knock: Knock) -> bool:
    entry = (
        FacilityAE.objects.select_related("facility")
        .filter(ae_title=knock.calling_ae_title, facility__is_active=True)
        .first()
    )
    return entry is not None and _lets_in(entry.facility, entry, knock)


def knocks(state: KnockState) -> QuerySet[Knock]:
    """Return refused callers by what was decided, the latest first; for administrators."""
    return Knock.objects.filter(state=state).select_related("admitted_to").order_by("-last_at")


def open_knocks() -> QuerySet[Knock]:
    """Return the callers that wait for a decision, the latest first; for administrators."""
    return knocks(KnockState.OPEN)


def owners_of(ae_titles: Iterable[str]) -> dict[str, Facility]:
    """Return the facility of each of these AE titles that belongs to one."""
    entries = FacilityAE.objects.select_related("facility").filter(ae_title__in=set(ae_titles))
    return {entry.ae_title: entry.facility for entry in entries}


def knock_for(actor: Actor, knock_id: UUID) -> Knock:
    """Return a knock by its id."""
    if not actor.is_administrator:
        raise ForbiddenError("Only administrators see callers that were refused.")
    knock = Knock.objects.filter(pk=knock_id).first()
    if knock is None:
        raise NotFoundError("There is no such caller on the list; it may have been dealt with.")
    return knock


def admit_knock(actor: Actor, knock: Knock, facility: Facility) -> FacilityAE:
    """Let a refused caller in as `facility`'s; it may send from its next call on.

    Its AE title becomes one of the facility's. Where its address was outside the facility's
    networks, the address is added to them; where it presented another certificate than the one it
    is bound to, it is bound to the new one.

    Raises
    ------
    ForbiddenError
        When the actor is no administrator.
    ConflictError
        When the AE title belongs to another facility.
    InvalidInputError
        When admitting cannot help: the caller used a wrong name for us, or the facility is off.
    """
    if not actor.is_administrator:
        raise ForbiddenError("Only administrators admit callers.")
    if knock.reason_code == "called-ae":
        raise InvalidInputError(
            "This caller used a wrong called AE title: correct it on the equipment."
        )
    if not facility.is_active:
        raise InvalidInputError(
            f"{facility.name} is switched off, so nobody may send to it. Switch it on first."
        )
    if knock.reason_code in {"plain", "identity"} or (
        knock.reason_code == "certificate" and not knock.certificate
    ):
        raise InvalidInputError(
            "This caller has to be put right on the equipment, or asked for less in the settings "
            f"of {facility.name}."
        )
    with transaction.atomic():
        entry = add_ae_title(actor, facility, knock.calling_ae_title)
        if knock.reason_code == "certificate":
            entry = bind_certificate(actor, facility, entry.pk, knock.certificate)
        if not facility.allows_address(knock.address):
            network = str(ipaddress.ip_network(knock.address))
            facility.address_ranges = [*facility.address_ranges, network]
            facility.save(update_fields=["address_ranges"])
        _settle_knocks(facility)
        # A caller that was dismissed before is not among the waiting ones.
        Knock.objects.filter(pk=knock.pk).update(state=KnockState.ADMITTED, admitted_to=facility)
        audit.record(
            actor, "knock.admit", facility, ae_title=knock.calling_ae_title, caller=knock.address
        )
    return entry


def dismiss_knock(actor: Actor, knock: Knock) -> None:
    """Hide a refused caller from the list; it stays refused."""
    if not actor.is_administrator:
        raise ForbiddenError("Only administrators dismiss callers.")
    with transaction.atomic():
        Knock.objects.filter(pk=knock.pk).update(state=KnockState.DISMISSED)
        audit.record(actor, "knock.dismiss", None, ae_title=knock.calling_ae_title)


def facility_by_code(code: str) -> Facility:
    """Return the facility with this code."""
    facility = Facility.objects.filter(code__iexact=code).first()
    if facility is None:
        raise NotFoundError(f"There is no facility with the code {code}.")
    return facility
