"""Which identities of a facility are one person: suggested, linked and unlinked by a person.

A link is a row of its own. No study, no patient and no byte changes by it: lists of a person's
studies go over all linked identities, and unlinking puts everything back. Identity never leaves its
facility.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from archive import audit
from archive.access import Actor, patient_for
from archive.catalogue import fold
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from archive.models import PatientLink
from worklist.models import Patient

LEAST_REASON = 3
MOST_SUGGESTIONS = 100
# The latest patients that are looked at, and how many of one birth date.
_MOST_LOOKED_AT = 2000
_MOST_OF_A_DAY = 50
_LEAST_RATIO = 0.85
_MOST_STEPS = 50


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Two identities that may be one person; `into` is the one that was there first."""

    patient: Patient
    into: Patient
    patient_studies: int
    into_studies: int


def group_ids(patient_id: UUID) -> set[UUID]:
    """Return the patient and every identity that is linked with it, directly or by way of others.

    One query where nothing is linked.
    """
    group, fresh = {patient_id}, {patient_id}
    for _ in range(_MOST_STEPS):
        links = PatientLink.objects.filter(
            Q(patient__in=fresh) | Q(into__in=fresh), undone_at=None
        ).values_list("patient_id", "into_id")
        fresh = {end for link in links for end in link} - group
        if not fresh:
            break
        group |= fresh
    return group


def link(actor: Actor, patient_id: UUID, into_id: UUID, reason: str) -> PatientLink:
    """Say that two identities of a facility are one person.

    Raises
    ------
    ConflictError
        When they are linked already.
    InvalidInputError
        When they belong to two facilities, are the same, or there is no reason.
    """
    why = _checked(actor, reason)
    patient, into = patient_for(actor.scope, patient_id), patient_for(actor.scope, into_id)
    if patient.facility_id != into.facility_id:
        raise InvalidInputError("They belong to two facilities: identity ends at the facility.")
    if patient.pk == into.pk:
        raise InvalidInputError("Name two different patients.")
    with transaction.atomic():
        # The group's patients are locked in one order: two administrators cannot make a ring.
        ends = sorted({patient.pk, into.pk})
        list(Patient.objects.select_for_update().filter(pk__in=ends).order_by("pk"))
        if into.pk in group_ids(patient.pk):
            raise ConflictError("These two are linked already.")
        child, parent = _ends(patient, into)
        made = PatientLink.objects.create(
            patient=child, into=parent, reason=why, made_by=actor.name[:150]
        )
        audit.record(actor, "patient.link", patient, into=str(into.pk), reason=why)
    return made


def unlink(actor: Actor, link_id: UUID) -> PatientLink:
    """Take a link back; the two are not suggested again."""
    _administrators_only(actor)
    with transaction.atomic():
        rows = PatientLink.objects.select_for_update(of=("self",)).select_related("patient")
        found = rows.filter(pk=link_id).first()
        if found is None:
            raise NotFoundError("There is no such link.")
        if found.undone_at is not None:
            raise ConflictError("This link was taken back already.")
        found.undone_at, found.undone_by = timezone.now(), actor.name[:150]
        found.save(update_fields=["undone_at", "undone_by"])
        audit.record(actor, "patient.unlink", found.patient, into=str(found.into_id))
    return found


def keep_apart(actor: Actor, patient_id: UUID, into_id: UUID) -> PatientLink:
    """Say that two identities are two people: they are not suggested again."""
    _administrators_only(actor)
    patient, into = patient_for(actor.scope, patient_id), patient_for(actor.scope, into_id)
    if patient.pk == into.pk:
        raise InvalidInputError("Name two different patients.")
    now = timezone.now()
    with transaction.atomic():
        made = PatientLink.objects.create(
            patient=patient,
            into=into,
            reason="Two people",
            made_by=actor.name[:150],
            made_at=now,
            undone_at=now,
            undone_by=actor.name[:150],
        )
        audit.record(actor, "patient.keep_apart", patient, into=str(into.pk))
    return made


def find(actor: Actor, facility_id: UUID, patient_identifier: str) -> Patient:
    """Return a facility's only patient with this Patient ID."""
    _administrators_only(actor)
    found = list(
        actor.scope.filter(
            Patient.objects.filter(facility=facility_id, patient_id=patient_identifier.strip())
        )[:2]
    )
    if not patient_identifier.strip() or not found:
        raise NotFoundError("This facility has no patient with that Patient ID.")
    if len(found) > 1:
        raise ConflictError(
            "Several issuers have given this Patient ID. Link them where they are suggested."
        )
    return found[0]


def listing(actor: Actor, *, is_undone: bool) -> QuerySet[PatientLink]:
    """Return links, or what was taken back and kept apart, newest first."""
    _administrators_only(actor)
    rows = PatientLink.objects.select_related("patient__facility", "into")
    rows = rows.exclude(undone_at=None) if is_undone else rows.filter(undone_at=None)
    return actor.scope.filter(rows, "patient__facility").order_by("-made_at")


def suggestions(actor: Actor) -> list[Suggestion]:
    """Return identities that may be one person: same facility and birth date, similar name.

    Those of the latest patients, and never two that somebody has linked or kept apart before.
    """
    _administrators_only(actor)
    named = actor.scope.filter(Patient.objects.exclude(patient_birth_date=None))
    latest = named.exclude(patient_name="").order_by("-pk")
    days = set(latest.values_list("facility_id", "patient_birth_date")[:_MOST_LOOKED_AT])
    born = named.filter(patient_birth_date__in={day for _, day in days}).order_by("pk")
    groups: dict[tuple[object, object], list[Patient]] = defaultdict(list)
    for patient in born.select_related("facility").iterator():
        key = (patient.facility_id, patient.patient_birth_date)
        if key in days and len(groups[key]) < _MOST_OF_A_DAY:
            groups[key].append(patient)
    pairs = [
        (patient, into)
        for patients in groups.values()
        for at, patient in enumerate(patients)
        for into in patients[:at]
        if _may_be_one(patient, into)
    ]
    pairs = _undecided(pairs)[:MOST_SUGGESTIONS]
    studies = _study_counts({end.pk for pair in pairs for end in pair})
    return [
        Suggestion(patient, into, studies.get(patient.pk, 0), studies.get(into.pk, 0))
        for patient, into in pairs
    ]


def _may_be_one(one: Patient, other: Patient) -> bool:
    if {one.patient_sex, other.patient_sex} == {"F", "M"}:
        return False
    return is_similar(one.patient_name, other.patient_name)


def is_similar(one: str, other: str) -> bool:
    """Whether two person names (PS3.5 6.2.1) may be one person's.

    Examples
    --------
    >>> is_similar("Müller^Anna", "MUELLER^ANNA MARIA"), is_similar("Meier^Jan", "Meier^Eva")
    (True, False)
    """
    first, second = _words(one), _words(other)
    if not first or not second:
        return False
    fewer, more = sorted((first, second), key=len)
    if len(fewer) > 1 and set(fewer) <= set(more):
        return True
    ratio = SequenceMatcher(None, " ".join(sorted(first)), " ".join(sorted(second))).ratio()
    return ratio >= _LEAST_RATIO


def _words(name: str) -> list[str]:
    """Return the words of a name's first group, spelt as one that has no umlauts."""
    bare = fold(name.partition("=")[0])
    for spelling, letter in (("ae", "a"), ("oe", "o"), ("ue", "u")):
        bare = bare.replace(spelling, letter)
    return bare.replace("-", " ").split()


def _undecided(pairs: list[tuple[Patient, Patient]]) -> list[tuple[Patient, Patient]]:
    """Leave out the pairs that somebody has decided about, and those linked by way of others."""
    ids = {end.pk for pair in pairs for end in pair}
    decided: set[frozenset[UUID]] = set()
    joined = {pk: pk for pk in ids}
    rows = PatientLink.objects.filter(Q(patient__in=ids) | Q(into__in=ids))
    for patient_id, into_id, undone_at in rows.values_list("patient_id", "into_id", "undone_at"):
        decided.add(frozenset((patient_id, into_id)))
        if undone_at is None:
            _join(joined, patient_id, into_id)
    return [
        (one, other)
        for one, other in pairs
        if frozenset((one.pk, other.pk)) not in decided
        and _end(joined, one.pk) != _end(joined, other.pk)
    ]


def _join(joined: dict[UUID, UUID], one: UUID, other: UUID) -> None:
    joined[_end(joined, one)] = _end(joined, other)


def _end(joined: dict[UUID, UUID], pk: UUID) -> UUID:
    while joined.setdefault(pk, pk) != pk:
        pk = joined[pk]
    return pk


def _study_counts(ids: Iterable[UUID]) -> dict[UUID, int]:
    rows = Patient.objects.filter(pk__in=list(ids)).annotate(
        n=Count("studies", filter=Q(studies__deletion_id=None))
    )
    return dict(rows.values_list("pk", "n"))


def _ends(patient: Patient, into: Patient) -> tuple[Patient, Patient]:
    """Return which of the two gets the link: a patient has one at most.

    The two themselves wherever that is possible, so that taking another link back leaves this one.
    """
    taken = set(
        PatientLink.objects.filter(patient__in=(patient, into), undone_at=None).values_list(
            "patient_id", flat=True
        )
    )
    if patient.pk not in taken:
        return patient, into
    return (into, patient) if into.pk not in taken else (_root(patient), into)


def _root(patient: Patient) -> Patient:
    """Follow the links of a patient to their end."""
    for _ in range(_MOST_STEPS):
        up = PatientLink.objects.filter(patient=patient, undone_at=None).select_related("into")
        found = up.first()
        if found is None:
            break
        patient = found.into
    return patient


def _checked(actor: Actor, reason: str) -> str:
    _administrators_only(actor)
    why = " ".join(reason.split())[:255]
    if len(why) < LEAST_REASON:
        raise InvalidInputError("Say why they are one person: the reason is kept with the link.")
    return why


def _administrators_only(actor: Actor) -> None:
    if not actor.is_administrator:
        raise ForbiddenError("Only administrators link patients.")
