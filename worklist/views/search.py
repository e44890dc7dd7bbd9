"""What a person typed in the worklist's search and filters, read into a `StudyQuery`.

One language in two places: the search box takes tokens (``mod:CT date:7d name:mueller``), the
filter row has a field for each of them. Tokens win over fields and become fields, so that the
address of a list always has the same shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from urllib.parse import urlencode

from django.utils.translation import gettext_noop

from archive.query import StudyQuery
from worklist.models import Facility, StudyStatus

ROWS_PER_PAGE = 60

_FIELDS = {
    "name": gettext_noop("Patient"),
    "id": gettext_noop("ID"),
    "acc": gettext_noop("Accession"),
    "desc": gettext_noop("Description"),
    "date": gettext_noop("Date"),
    "mod": gettext_noop("Modality"),
    "facility": gettext_noop("Facility"),
    "status": gettext_noop("Status"),
    "received": gettext_noop("Received"),
    "has": gettext_noop("Has"),
}
_ALIASES = {
    "patient": "name",
    "pid": "id",
    "mrn": "id",
    "accession": "acc",
    "description": "desc",
    "modality": "mod",
    "fac": "facility",
    "is": "status",
}
_TOKEN = re.compile(r'(?P<key>[A-Za-z]+):(?:"(?P<quoted>[^"]*)"|(?P<plain>\S*))')
_DAYS_BACK = re.compile(r"(\d{1,5})d")
_PART_OF_DATE = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[tT]\d{2}:\d{2}[zZ]?")
_NO_DATE = "none"
_WARNING = "warning"
_MODALITY = re.compile(r"[A-Z0-9_]{1,16}")
_LONGEST = 200

SORTS = ("date", "received", "name", "patient_id", "modality", "accession", "images")
_DESCENDING_AT_FIRST = {"date", "received", "images"}


@dataclass(frozen=True, slots=True)
class Chip:
    """An active filter: what it says, the token it is, the address without it."""

    name: str
    value: str
    token: str
    without: str


@dataclass(frozen=True, slots=True)
class Search:
    """A list that somebody asked for."""

    query: StudyQuery
    fields: dict[str, str]
    chips: list[Chip]
    notes: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The query string that names this list, without paging."""
        return urlencode(self.fields)

    @property
    def is_filtered(self) -> bool:
        """Whether anything narrows the list."""
        return bool(self.chips)

    def sorted_by(self, key: str) -> str:
        """Return the query string of the same list sorted by `key`; twice turns it round."""
        descending = key in _DESCENDING_AT_FIRST
        if self.query.sort == key:
            descending = not self.query.descending
        return urlencode({**self.fields, "sort": key, "dir": "desc" if descending else "asc"})


def read(
    params: Mapping[str, str],
    *,
    today: date,
    facilities: Sequence[Facility],
    zone: tzinfo = UTC,
) -> Search:
    """Read the parameters of a list's address; what cannot be used is said in `notes`.

    Parameters
    ----------
    params : q, name, id, acc, desc, date, mod, facility, status, received, has, sort, dir, cursor
    today : the day in the reader's zone
    facilities : those that the reader may choose from
    zone : the reader's, in which days of arrival begin and end
    """
    notes: list[str] = []
    values = _canonical(params, notes)
    is_undated = values.get("date", "").lower() == _NO_DATE
    date_from, date_to = (None, None) if is_undated else _dates(values, today, notes)
    received_from, received_before = _received(values, today, zone, notes)
    chosen = _facilities(values, facilities, notes)
    modalities = _modalities(values, notes)
    if "status" in values and values["status"] not in StudyStatus.values:
        notes.append(f"There is no status “{values.pop('status')}”. Use unread, opened or read.")
    if "has" in values and values["has"] != _WARNING:
        notes.append(f"Nothing is known of “{values.pop('has')[:40]}”. There is has:{_WARNING}.")
    sort = params.get("sort", "")
    if sort and sort not in SORTS:
        notes.append(f"Studies cannot be sorted by “{sort[:40]}”.")
        sort = ""
    sort = sort or "date"
    way = params.get("dir", "")
    descending = way == "desc" if way in {"asc", "desc"} else sort in _DESCENDING_AT_FIRST
    fields = dict(values)
    if params.get("sort") in SORTS:
        fields |= {"sort": sort, "dir": "desc" if descending else "asc"}
    query = StudyQuery(
        text=values.get("q", ""),
        patient_name=values.get("name", ""),
        patient_id=values.get("id", ""),
        accession_number=values.get("acc", ""),
        study_description=values.get("desc", ""),
        date_from=date_from,
        date_to=date_to,
        is_undated=is_undated,
        received_from=received_from,
        received_before=received_before,
        has_warning="has" in values,
        modalities=modalities,
        facility_ids=tuple(facility.pk for facility in chosen),
        status=values.get("status", ""),
        sort=sort,
        descending=descending,
        limit=ROWS_PER_PAGE,
        cursor=params.get("cursor", ""),
    )
    return Search(query=query, fields=fields, chips=_chips(fields, zone), notes=notes)


def _canonical(params: Mapping[str, str], notes: list[str]) -> dict[str, str]:
    """Return the fields that have a value, tokens of the search box among them."""
    values = {
        key: " ".join(params.get(key, "").replace("\0", "").split())[:_LONGEST] for key in _FIELDS
    }
    text = params.get("q", "").replace("\0", "")[:_LONGEST]
    rest: list[str] = []
    end = 0
    for found in _TOKEN.finditer(text):
        key = found["key"].lower()
        key = _ALIASES.get(key, key)
        value = found["quoted"] if found["quoted"] is not None else found["plain"]
        if key not in _FIELDS:
            notes.append(f"“{found['key']}:” is no filter. There are {', '.join(_FIELDS)}.")
            continue
        rest.append(text[end : found.start()])
        end = found.end()
        values[key] = " ".join(value.split())
    rest.append(text[end:])
    values = {"q": " ".join(" ".join(rest).split()), **values}
    for key in ("mod", "facility"):
        values[key] = values[key].upper()
    for key in ("status", "has"):
        values[key] = values[key].lower()
    return {key: value for key, value in values.items() if value}


def _dates(
    values: dict[str, str], today: date, notes: list[str]
) -> tuple[date | None, date | None]:
    text = values.get("date", "").lower()
    if not text:
        return None, None
    try:
        return parse_dates(text, today)
    except ValueError:
        values.pop("date")
        notes.append(
            f"“{text[:40]}” is no date. Write today, 7d, 2026, 2026-01, 2026-01-31, "
            f"2026-01-01..2026-01-31 or {_NO_DATE}."
        )
        return None, None


def _received(
    values: dict[str, str], today: date, zone: tzinfo, notes: list[str]
) -> tuple[datetime | None, datetime | None]:
    text = values.get("received", "")
    if not text:
        return None, None
    try:
        return parse_moments(text, today, zone)
    except (ValueError, OverflowError):
        values.pop("received")
        notes.append(
            f"“{text[:40]}” is no time of arrival. Write today, 7d, 2026-01-31 or "
            "2026-01-31T08:30.. for all since then."
        )
        return None, None


def parse_moments(text: str, today: date, zone: tzinfo) -> tuple[datetime | None, datetime | None]:
    """Read days as `parse_dates` does, and moments: from the first on, until before the second.

    A moment is in `zone`, or in UTC with a Z behind it. Both ends come back in UTC.

    Raises
    ------
    ValueError, OverflowError
        When it is none of them.
    """
    ends = text.split("..", 1)
    if any(_MOMENT.fullmatch(end) for end in ends):
        if len(ends) == 1:
            minute = _moment(text, zone)
            return minute, minute + timedelta(minutes=1)
        begin, before = (_moment(end, zone) if end else None for end in ends)
        return begin, before
    first, last = parse_dates(text.lower(), today)
    return (
        datetime.combine(first, time(), tzinfo=zone).astimezone(UTC) if first else None,
        datetime.combine(last + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
        if last
        else None,
    )


def _moment(text: str, zone: tzinfo) -> datetime:
    at = datetime.fromisoformat(text.upper())
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def parse_dates(text: str, today: date) -> tuple[date | None, date | None]:
    """Read a day, a part of a year, a number of days back or a range.

    Raises
    ------
    ValueError
        When it is none of them.
    """
    if text == "today":
        return today, today
    if text == "yesterday":
        day = today - timedelta(days=1)
        return day, day
    if back := _DAYS_BACK.fullmatch(text):
        # Seven days are today and the six before it. Clocks of scanners run ahead: no upper end.
        return today - timedelta(days=max(int(back[1]) - 1, 0)), None
    if ".." in text:
        first, last = text.split("..", 1)
        begin = _span(first)[0] if first else None
        end = _span(last)[1] if last else None
        if begin is None and end is None:
            raise ValueError(text)
        return begin, end
    return _span(text)


def _span(text: str) -> tuple[date, date]:
    """Return the first and the last day of a year, a month or a day."""
    found = _PART_OF_DATE.fullmatch(text)
    if not found:
        raise ValueError(text)
    year, month, day = (int(part) if part else None for part in found.groups())
    if year is None:
        raise ValueError(text)
    if month is None:
        return date(year, 1, 1), date(year, 12, 31)
    if day is None:
        following = date(year + month // 12, month % 12 + 1, 1)
        return date(year, month, 1), following - timedelta(days=1)
    only = date(year, month, day)
    return only, only


def _facilities(
    values: dict[str, str], facilities: Sequence[Facility], notes: list[str]
) -> list[Facility]:
    wanted = values.get("facility")
    if not wanted:
        return []
    found = [facility for facility in facilities if facility.code.upper() == wanted]
    if not found:
        notes.append(f"You have no facility with the code “{values.pop('facility')[:40]}”.")
        return []
    values["facility"] = found[0].code
    return found


def _modalities(values: dict[str, str], notes: list[str]) -> tuple[str, ...]:
    codes = [code for code in re.split(r"[,\s\\/]+", values.get("mod", "")) if code]
    bad = [code for code in codes if not _MODALITY.fullmatch(code)]
    if bad:
        notes.append(f"“{bad[0][:40]}” is no modality. Write codes such as CT or CT,MR.")
    good = tuple(dict.fromkeys(code for code in codes if code not in bad))
    if good:
        values["mod"] = ",".join(good)
    else:
        values.pop("mod", None)
    return good


def _local(text: str, zone: tzinfo) -> str:
    """Write the moments of an address in the reader's zone."""
    ends = [
        f"{_moment(end, zone).astimezone(zone):%Y-%m-%d %H:%M}" if _MOMENT.fullmatch(end) else end
        for end in text.split("..", 1)
    ]
    if len(ends) == 1:
        return ends[0]
    first, last = ends
    return f"since {first}" if not last else f"before {last}" if not first else f"{first} – {last}"


def _chips(fields: Mapping[str, str], zone: tzinfo) -> list[Chip]:
    names = {"q": "Text", **_FIELDS}
    chips = []
    for key, value in fields.items():
        if key not in names:
            continue
        shown = f'"{value}"' if " " in value and key != "q" else value
        without = urlencode({other: text for other, text in fields.items() if other != key})
        said = value
        if key == "received" and "T" in value.upper():
            said = _local(value, zone)
        elif key == "date" and value.lower() == _NO_DATE:
            said = "no date"
        chips.append(
            Chip(names[key], said, shown if key == "q" else f"{key}:{shown}", f"?{without}")
        )
    return chips
