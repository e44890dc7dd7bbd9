"""Patients that other programs make known before any image of them arrives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from archive import audit
from archive.access import Actor, Scope
from archive.catalogue import fold
from archive.errors import ConflictError, ForbiddenError, InvalidInputError
from worklist.models import Facility, Patient

PAGE_SIZE = 100
# PS3.5 6.2: LO has 64 characters, and so has each group of a PN.
_LONGEST = 64
_SEXES = ("", "F", "M", "O")


@dataclass(frozen=True, slots=True)
class PatientDraft:
    """A person as another program knows them.

    Attributes
    ----------
    mrn : medical record number; Patient ID (0010,0020)
    sex : Patient's Sex (0010,0040): F, M, O or nothing
    """

    mrn: str
    last_name: str
    first_name: str = ""
    birth_date: date | None = None
    sex: str = ""
    issuer_of_patient_id: str = ""


@dataclass(frozen=True, slots=True)
class PatientQuery:
    """Which patients to list.

    Attributes
    ----------
    name : its words each stand in the name, in any case
    before : the last patient of the page before
    """

    patient_id: str = ""
    name: str = ""
    birth_date: date | None = None
    before: UUID | None = None
    limit: int = PAGE_SIZE


@dataclass(frozen=True, slots=True)
class PatientPage:
    """A page of patients, the latest first; `cursor` is None at the end."""

    items: list[Patient]
    cursor: UUID | None


def register(actor: Actor, facility: Facility, draft: PatientDraft) -> tuple[Patient, bool]:
    """Make a patient of a facility known; the same person again changes nothing.

    Returns
    -------
    the patient, and whether they are new

    Raises
    ------
    ForbiddenError
        When the actor may not, or not for this facility.
    InvalidInputError
        For values that DICOM does not allow; the message names the field.
    ConflictError
        When the facility knows somebody else by this Patient ID.
    """
    if not actor.can_upload:
        raise ForbiddenError("Your role does not register patients. Ask an administrator.")
    if not actor.scope.includes(facility.pk):
        raise ForbiddenError("You do not belong to this facility.")
    identity, values = _checked(draft)
    with transaction.atomic():
        patient, is_new = Patient.objects.get_or_create(
            facility=facility, **identity, defaults=values
        )
        if not is_new and not _is_same(patient, draft, values["patient_name"]):
            raise ConflictError(
                "This facility knows another person by this medical record number. Compare name "
                "and date of birth; nothing was changed."
            )
        if is_new:
            audit.record(actor, "patient.register", patient)
    return patient, is_new


def _checked(draft: PatientDraft) -> tuple[dict[str, str], dict[str, str | date | None]]:
    mrn = _text("mrn", draft.mrn)
    if not mrn:
        raise InvalidInputError("A patient needs a medical record number: 'mrn'.")
    last, first = _text("last_name", draft.last_name), _text("first_name", draft.first_name)
    for name, value in (("last_name", last), ("first_name", first)):
        if "^" in value or "=" in value:
            raise InvalidInputError(f"'{name}' holds ^ or =, which part a name in DICOM.")
    if not last and not first:
        raise InvalidInputError("A patient needs a name: 'last_name' and 'first_name'.")
    full = f"{last}^{first}".rstrip("^")
    if len(full) > _LONGEST:
        raise InvalidInputError(f"The name has more than {_LONGEST} characters.")
    sex = draft.sex.strip().upper()
    if sex not in _SEXES:
        raise InvalidInputError("'sex' is F, M, O or nothing.")
    if draft.birth_date is not None and draft.birth_date > timezone.localdate():
        raise InvalidInputError("'dob' lies in the future.")
    identity = {
        "patient_id": mrn,
        "issuer_of_patient_id": _text("issuer_of_patient_id", draft.issuer_of_patient_id),
    }
    values = {
        "patient_name": full,
        "patient_birth_date": draft.birth_date,
        "patient_sex": sex,
    }
    return identity, values


def _text(name: str, value: str) -> str:
    text = value.strip()
    if len(text) > _LONGEST:
        raise InvalidInputError(f"'{name}' has more than {_LONGEST} characters.")
    if "\\" in text or not text.isprintable():
        raise InvalidInputError(f"'{name}' holds a backslash or a control character.")
    return text


def _is_same(patient: Patient, draft: PatientDraft, name: str | date | None) -> bool:
    """Whether a draft does not contradict what is known of a patient."""
    born = (patient.patient_birth_date, draft.birth_date)
    if None not in born and born[0] != born[1]:
        return False
    known = fold(patient.patient_name.partition("=")[0])
    return not known or known == fold(str(name))


def find_patients(scope: Scope, query: PatientQuery) -> PatientPage:
    """Return one page of the patients in scope; one query, and one for their facilities.

    Raises
    ------
    InvalidInputError
        For a limit out of range.
    """
    if not 1 <= query.limit <= PAGE_SIZE:
        raise InvalidInputError(f"'limit' is a number from 1 to {PAGE_SIZE}.")
    rows = scope.filter(Patient.objects.select_related("facility")).order_by("-id")
    if query.patient_id:
        rows = rows.filter(patient_id=query.patient_id)
    if query.birth_date is not None:
        rows = rows.filter(patient_birth_date=query.birth_date)
    for word in query.name.replace("^", " ").split():
        rows = rows.filter(patient_name__icontains=word)
    if query.before is not None:
        rows = rows.filter(pk__lt=query.before)
    found = list(rows[: query.limit + 1])
    more = len(found) > query.limit
    return PatientPage(found[: query.limit], found[query.limit - 1].pk if more else None)
