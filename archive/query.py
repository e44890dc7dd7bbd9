"""Lists of studies for every door: worklist page, REST, and later QIDO-RS and C-FIND."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from django.db import connection
from django.db.models import F, Func, OrderBy, Q, QuerySet

from archive import cursors, database, names, patients
from archive.access import Scope
from archive.catalogue import UNDATED, fold
from archive.errors import InvalidInputError
from archive.timelimit import limited_own
from worklist.models import Study

MOST_PER_PAGE = 500
COUNT_CAP = 10_000

SortKey = Literal["date", "name", "patient_id", "received", "modality", "accession", "images"]
_SORT_FIELDS: dict[str, str] = {
    "date": "sort_at",
    "received": "last_received_at",
    "name": "patient_name_folded",
    "patient_id": "patient_identifier",
    "modality": "modality",
    "accession": "accession_number",
    "images": "instance_count",
}
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_MOMENTS = {"sort_at", "last_received_at"}


@dataclass(frozen=True, slots=True)
class StudyQuery:
    """What to list. Text fields know `*` and `?`; without them a name matches any part of it.

    Other text fields then match by their beginning, or as a whole if `is_exact` (PS3.4 C.2.2.2.1).
    """

    patient_name: str = ""
    patient_id: str = ""
    accession_number: str = ""
    study_instance_uid: str = ""
    study_description: str = ""
    date_from: date | None = None
    date_to: date | None = None
    is_undated: bool = False
    received_from: datetime | None = None
    received_before: datetime | None = None
    has_warning: bool = False
    modalities: tuple[str, ...] = ()
    facility_ids: tuple[UUID, ...] = ()
    status: str = ""
    text: str = ""
    patient: UUID | None = None
    study_ids: tuple[UUID, ...] | None = None
    is_exact: bool = False
    sort: str = "date"
    descending: bool = True
    limit: int = 50
    cursor: str = ""
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of studies; `cursor` leads to the next one and is empty at the end."""

    items: list[Study]
    cursor: str


def find_studies(scope: Scope, query: StudyQuery) -> Page:
    """Return one page of the studies in scope; two queries at most (rows, facilities).

    Raises
    ------
    InvalidInputError
        For an unknown sort key, a limit out of range or a cursor that is not ours.
    TooBroadError
        When what is searched for is not found in time.
    """
    if query.sort not in _SORT_FIELDS:
        raise InvalidInputError(f"Sort by one of {', '.join(_SORT_FIELDS)}.")
    if not 1 <= query.limit <= MOST_PER_PAGE:
        raise InvalidInputError(f"'limit' is a number from 1 to {MOST_PER_PAGE}.")
    with _in_time(query):
        return _page(scope, query)


def beside(scope: Scope, query: StudyQuery, study: Study) -> tuple[Study | None, Study | None]:
    """Return the studies before and after one in a list, in the list's order.

    The study itself need not be in the list any more: who opens an unread one makes it opened.

    Raises
    ------
    InvalidInputError, TooBroadError
        As :func:`find_studies`.
    """
    cursor = _cursor(_SORT_FIELDS[query.sort], study)
    onward = replace(query, cursor=cursor, limit=1)
    back = replace(onward, descending=not query.descending)
    before, after = (next(iter(find_studies(scope, one).items), None) for one in (back, onward))
    return before, after


def _page(scope: Scope, query: StudyQuery) -> Page:
    column = _SORT_FIELDS[query.sort]
    rows, is_of_few_names = _filtered(scope, query)
    if query.cursor:
        rows = rows.filter(_after(column, query))
    items = list(
        rows.order_by(*_order(column, query, is_indexed=not is_of_few_names)).prefetch_related(
            "facility"
        )[: query.limit + 1]
    )
    more = len(items) > query.limit
    items = items[: query.limit]
    return Page(items=items, cursor=_cursor(column, items[-1]) if more else "")


def _in_time(query: StudyQuery) -> AbstractContextManager[None]:
    """Return what ends statements that look for text; lists by date have their indexes."""
    is_searched = any(
        (
            query.patient_name,
            query.patient_id,
            query.accession_number,
            query.study_description,
            query.text,
        )
    )
    return limited_own(database.READING_S) if is_searched else nullcontext()


def _order(column: str, query: StudyQuery, *, is_indexed: bool) -> list[OrderBy]:
    fields: list[F | Func] = [F(column), F("id")]
    if not is_indexed:
        # Told to sort by a column that has an index, SQLite would go through all studies in that
        # order instead of looking up the few.
        fields = [Func(field, template="+%(expressions)s") for field in fields]
    return [OrderBy(field, descending=query.descending) for field in fields]


def count_studies(scope: Scope, query: StudyQuery) -> int:
    """Count up to `COUNT_CAP`: an exact count of millions costs more than anybody reads.

    Raises
    ------
    TooBroadError
        When that takes too long.
    """
    with _in_time(query):
        rows = filtered(scope, replace(query, cursor=""))
        return rows.order_by().values("id")[:COUNT_CAP].count()


def filtered(scope: Scope, query: StudyQuery) -> QuerySet[Study]:
    """Return the matching studies in scope, unordered."""
    return _filtered(scope, query)[0]


def _filtered(scope: Scope, query: StudyQuery) -> tuple[QuerySet[Study], bool]:
    """Return the matching studies, and whether they are looked up by the few names that match."""
    is_of_few_names = False
    rows = scope.filter(Study.objects.all())
    if query.facility_ids:
        rows = rows.filter(facility__in=query.facility_ids)
    if query.study_ids is not None:
        rows = rows.filter(pk__in=query.study_ids)
    if query.patient:
        rows = rows.filter(patient_id__in=patients.group_ids(query.patient))
    rows = _within(rows, query)
    if query.has_warning:
        rows = rows.exclude(warning="")
    if query.status:
        rows = rows.filter(status=query.status)
    if query.study_instance_uid:
        rows = rows.filter(study_instance_uid=query.study_instance_uid)
    for column, pattern in (
        ("patient_identifier", query.patient_id),
        ("accession_number", query.accession_number),
        ("study_description", query.study_description),
    ):
        if pattern:
            rows = rows.filter(_matches(column, pattern, is_exact=query.is_exact))
    for word in _name_words(query.patient_name):
        wanted = _matches_name(word)
        narrowed = names.narrowed(connection, wanted)
        is_of_few_names |= names.is_of_names(narrowed)
        rows = rows.filter(narrowed)
    if query.modalities:
        any_of = Q()
        for code in query.modalities:
            any_of |= Q(modality=code) | Q(modalities__contains=f"\\{code}\\")
        rows = rows.filter(any_of)
    for word in query.text.split():
        rows = rows.filter(
            _matches_name(word)
            | Q(patient_identifier__istartswith=word)
            | Q(accession_number__istartswith=word)
            | Q(study_description__icontains=word)
            | Q(study_instance_uid=word)
        )
    return rows, is_of_few_names


def _within(rows: QuerySet[Study], query: StudyQuery) -> QuerySet[Study]:
    """Narrow to when studies were made and came."""
    if query.date_from:
        rows = rows.filter(study_date__gte=query.date_from)
    if query.date_to:
        rows = rows.filter(study_date__lte=query.date_to)
    if query.is_undated:
        # The moment that studies are listed by has an index.
        rows = rows.filter(study_date=None, sort_at=UNDATED)
    if query.received_from:
        rows = rows.filter(first_received_at__gte=query.received_from)
    if query.received_before:
        rows = rows.filter(first_received_at__lt=query.received_before)
    return rows


def _matches(column: str, pattern: str, *, is_exact: bool = False) -> Q:
    """Match with `*` and `?` as the only wild characters (PS3.4 C.2.2.2.4)."""
    if _is_wild(pattern):
        return Q(**{f"{column}__iregex": f"^{_expression(pattern)}$"})
    if is_exact:
        return Q(**{column: pattern})
    return Q(**{f"{column}__istartswith": pattern})


def _name_words(name: str) -> list[str]:
    return name.replace("^", " ").replace("=", " ").split()


def _matches_name(word: str) -> Q:
    """Match a word of a name: any part of it, or the whole word where the pattern is wild.

    Who writes "mueller" or "Müller" means both; records have either.
    """
    spelt_out = word.casefold().translate(_UMLAUTS)
    bare = fold(word)
    for spelling, letter in (("ae", "a"), ("oe", "o"), ("ue", "u")):
        bare = bare.replace(spelling, letter)
    any_of = Q()
    for spelling in {fold(word), fold(spelt_out), bare}:
        if _is_wild(spelling):
            word_of_it = Q(patient_name_folded__iregex=f"(^| ){_expression(spelling)}( |$)")
            for part in re.split(r"[*?]+", spelling):
                if part:
                    word_of_it &= Q(patient_name_folded__contains=part)
            any_of |= word_of_it
        else:
            any_of |= Q(patient_name_folded__contains=spelling)
    return any_of


def _is_wild(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def _expression(pattern: str) -> str:
    return "".join(".*" if c == "*" else "." if c == "?" else _escape(c) for c in pattern)


def _escape(character: str) -> str:
    return character if character.isalnum() or character == " " else f"\\{character}"


def _cursor(column: str, last: Study) -> str:
    value = getattr(last, column)
    if isinstance(value, datetime):
        value = value.isoformat()
    return cursors.pack(value, last.pk)


def _after(column: str, query: StudyQuery) -> Q:
    key: Any
    key, identity = cursors.unpack(query.cursor)
    if column in _MOMENTS:
        key = cursors.moment(key)
    elif column == "instance_count":
        key = cursors.count(key)
    elif not isinstance(key, str) or "\0" in key:
        raise cursors.refusal()
    way = "lt" if query.descending else "gt"
    return Q(**{f"{column}__{way}": key}) | Q(**{column: key, f"id__{way}": identity})
