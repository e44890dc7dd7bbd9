"""What is typed into the pages of orders, read into plain values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from uuid import UUID

from archive.errors import InvalidInputError
from orders.services import OrderDraft, OrderQuery, StepDraft

_TEXTS = (
    "patient_identifier",
    "accession_number",
    "description",
    "reason",
    "priority",
)


def read_draft(posted: Mapping[str, str]) -> OrderDraft:
    """Return what the form of a new order says.

    Raises
    ------
    InvalidInputError
        With a sentence that names the field.
    """
    modality = _text(posted, "modality").upper()
    description = _text(posted, "description")
    start = _day(posted, "start_date", "The day")
    if start is None:
        raise InvalidInputError("Say on which day it is to be done.")
    step = StepDraft(
        modality=modality,
        start_date=start,
        start_time=_time(posted, "start_time"),
        scheduled_station_ae_title=_text(posted, "station"),
        scheduled_performing_physician_name=name_of(_text(posted, "performing_physician")),
        description=description,
    )
    return OrderDraft(
        patient_name=name_of(_text(posted, "patient_name")),
        patient_birth_date=_day(posted, "patient_birth_date", "The date of birth"),
        patient_sex=_text(posted, "patient_sex"),
        order_category=modality,
        requesting_physician=name_of(_text(posted, "requesting_physician")),
        referring_physician_name=name_of(_text(posted, "referring_physician_name")),
        steps=[step],
        source="page",
        **{name: _text(posted, name) for name in _TEXTS},  # type: ignore[arg-type] # all are texts
    )


def name_of(text: str) -> str:
    """Return a name as DICOM writes it (PS3.5 6.2): `Lee, Kim Ann` is `Lee^Kim Ann`.

    Examples
    --------
    >>> name_of("Lee, Kim"), name_of("Lee^Kim"), name_of("Lee")
    ('Lee^Kim', 'Lee^Kim', 'Lee')
    """
    family, comma, given = text.partition(",")
    return f"{family.strip()}^{given.strip()}" if comma and "^" not in text else text


def read_query(asked: Mapping[str, str], current_facility: UUID | None) -> OrderQuery:
    """Return what the address of the list asks for; what cannot be read narrows nothing."""
    return OrderQuery(
        words=_text(asked, "q")[:200],
        status=_text(asked, "status"),
        modality=_text(asked, "modality")[:16],
        day_from=_day_or_none(asked, "from"),
        day_to=_day_or_none(asked, "to"),
        facility_id=_uuid_or_none(asked, "facility") or current_facility,
        before=_uuid_or_none(asked, "before"),
    )


def _text(values: Mapping[str, str], name: str) -> str:
    return values.get(name, "").strip()


def _day(values: Mapping[str, str], name: str, what: str) -> date | None:
    text = _text(values, name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidInputError(f"{what} {text[:20]!r} is no date: write 2026-01-31.") from None


def _time(values: Mapping[str, str], name: str) -> time | None:
    text = _text(values, name)
    try:
        return time.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidInputError(f"{text[:20]!r} is no time: write 09:30.") from None


def _day_or_none(values: Mapping[str, str], name: str) -> date | None:
    try:
        return _day(values, name, "")
    except InvalidInputError:
        return None


def _uuid_or_none(values: Mapping[str, str], name: str) -> UUID | None:
    try:
        return UUID(_text(values, name))
    except ValueError:
        return None
