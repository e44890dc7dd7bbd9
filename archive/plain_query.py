"""Queries of plain keys for studies, series and instances: one statement, no data set a row.

The conditions are those of `archive.query_columns`, as `archive.dicom_query` uses them; what is
left out here is the price of the ORM and of pydicom, a hundred times that of the search. What this
does not answer (`None`), that does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, Q
from django.db.models.expressions import RawSQL

from archive import database, names, query_columns, query_counts, timelimit
from archive.access import Scope
from archive.dicom_query import (
    ORDERS,
    PATIENT_OF,
    PREFIXES,
    STUDY_OF,
    DicomQuery,
)
from archive.query_columns import COLUMNS, COUNTED, LEVELS, OF_PATIENT, Column, Condition, Kind
from archive.query_records import SIMPLE_VRS, text_of, text_test
from archive.timelimit import Patience
from imaging.attributes import IMAGE, OF_LEVEL, PATIENT, SERIES, STUDY
from imaging.plainkeys import Key, PlainKeys
from worklist.models import DicomImage, Patient, Series, Study

# More is found piece by piece, by `archive.dicom_query`.
MOST = 2000

_LEVEL_TAG, _RETRIEVE_TAG, _SERIES_TAG = 0x00080052, 0x00080054, 0x0020000E
_CONTROL = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC"})
_SELECTIVE = frozenset(
    {"AccessionNumber", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
)
# Table, alias and next level above of each.
_MODELS: dict[str, type[Model]] = {
    PATIENT: Patient,
    STUDY: Study,
    SERIES: Series,
    IMAGE: DicomImage,
}
_ALIASES = {PATIENT: "p", STUDY: "s", SERIES: "e", IMAGE: "i"}
_PARENTS = {
    IMAGE: (SERIES, "series_id"),
    SERIES: (STUDY, "study_id"),
    STUDY: (PATIENT, "patient_id"),
}
# How paths of `query_columns` lead up from a row.
_STEPS = {"patient": PATIENT, "study": STUDY, "series": SERIES}
_COMPARISONS = {"gte": ">=", "lte": "<=", "lt": "<"}
_PATTERNS = {"contains": "%{}%", "startswith": "{}%"}

Text = Callable[[Sequence[Any]], str]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes
    ----------
    elements : tag and VR of every element of the answers
    keywords : of the same
    rows : their values, as text with several values parted by backslashes
    """

    elements: tuple[tuple[int, str], ...]
    keywords: tuple[str, ...]
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """What is read for the same keys, whatever their values.

    Attributes
    ----------
    select : the statement up to its conditions; `order` ends it
    texts : the text of each answered element of a row
    places : by keyword, where it stands in `texts`
    sorting : columns by which matches are sorted where the caller wants an order
    """

    select: str
    order: str
    elements: tuple[tuple[int, str], ...]
    keywords: tuple[str, ...]
    texts: tuple[Text, ...]
    places: dict[str, int]
    # Columns that rows are sorted by here; told to sort, a database may walk an index of all rows.
    sorting: tuple[int, ...] = ()


class _NotPlainError(Exception):
    """The query is not for here."""


def search(
    connection: BaseDatabaseWrapper,
    scope: Scope,
    query: DicomQuery,
    patience: Patience | None = None,
) -> Found | None:
    """Find everything that matches, at once.

    Parameters
    ----------
    connection : from `archive.database.reading`
    scope : whose data the caller may have
    query : of plain keys, checked before
    patience : the search's; what is left of it is for who searches on

    Returns
    -------
    None where the query or the scope is not plain enough, or more than `MOST` rows are found.

    Raises
    ------
    TooBroadError
        When the patience ends.

    References
    ----------
    DICOM PS3.4 section C.4.1.
    """
    keys = query.identifier
    if not isinstance(keys, PlainKeys) or scope.study_ids:
        return None
    patience = patience or query.patience()
    try:
        layout = _layout(connection, query, keys)
        where, parameters, tests = _where(connection, scope, query, keys, patience)
    except _NotPlainError:
        return None
    with timelimit.limited_reading(connection, patience.left()):
        rows = database.execute(connection, f"{layout.select}{where}{layout.order}", parameters)
    if len(rows) > MOST:
        return None
    if layout.sorting:
        rows = sorted(rows, key=itemgetter(*layout.sorting), reverse=query.level == STUDY)
    texts = layout.texts
    found = [[text(row) for text in texts] for row in rows]
    if tests:
        places = [(layout.places[keyword], test) for keyword, test in tests]
        found = _tested(found, places, patience)
    return Found(layout.elements, layout.keywords, found)


def _tested(
    rows: list[list[str]], tests: Sequence[tuple[int, Callable[[Any], bool]]], patience: Patience
) -> list[list[str]]:
    kept: list[list[str]] = []
    for row in rows:
        patience.left()
        if all(test(row[place]) for place, test in tests):
            kept.append(row)
    return kept


# What is read ------------------------------------------------------------------------------------


def _layout(connection: BaseDatabaseWrapper, query: DicomQuery, keys: PlainKeys) -> _Layout:
    of_series = keys.get(_SERIES_TAG)
    made = _make_layout(
        connection.vendor,
        query.level,
        tuple((key.tag, key.VR, key.keyword) for key in keys),
        query.retrieve_ae_title,
        # As `archive.dicom_query` orders them.
        is_ordered=query.level == SERIES
        or (query.level == IMAGE and of_series is not None and bool(of_series.value)),
        is_sorted=query.is_ordered,
    )
    if made is None:
        raise _NotPlainError
    return made


@lru_cache(maxsize=512)
def _make_layout(
    vendor: str,
    level: str,
    asked: tuple[tuple[int, str, str], ...],
    retrieve_ae_title: str,
    *,
    is_ordered: bool,
    is_sorted: bool,
) -> _Layout | None:
    columns: list[str] = []
    answers: list[tuple[int, str, str, Text]] = [
        (_LEVEL_TAG, "CS", "QueryRetrieveLevel", _constant(level)),
        (_RETRIEVE_TAG, "AE", "RetrieveAETitle", _constant(retrieve_ae_title)),
    ]
    for tag, vr, keyword in asked:
        if keyword in _CONTROL or keyword == "RetrieveAETitle":
            continue
        if keyword not in query_columns.supported(level):
            continue
        text = _text(vendor, level, keyword, columns)
        if text is None:
            return None
        answers.append((tag, vr, keyword, text))
    answers.sort(key=lambda answer: answer[0])
    sorting: list[int] = []
    if is_sorted and not is_ordered:
        for name in ORDERS.get(level, ("pk",)):
            columns.append(_column(level, "id" if name == "pk" else name))
            sorting.append(len(columns) - 1)
    number = "series_number" if level == SERIES else "instance_number"
    order = f" ORDER BY {_column(level, number)}, {_column(level, 'id')}" if is_ordered else ""
    return _Layout(
        select=f"SELECT {', '.join(columns) or 1} FROM {_tables(level, columns)} WHERE ",  # noqa: S608
        order=f"{order} LIMIT {MOST + 1}",
        elements=tuple((tag, vr) for tag, vr, _, _ in answers),
        keywords=tuple(keyword for _, _, keyword, _ in answers),
        texts=tuple(text for _, _, _, text in answers),
        places={answer[2]: at for at, answer in enumerate(answers)},
        sorting=tuple(sorting),
    )


def _text(vendor: str, level: str, keyword: str, columns: list[str]) -> Text | None:
    """Return where an attribute's text comes from; `columns` gets what it needs."""
    if keyword == "InstanceAvailability":
        return _constant("ONLINE")
    counted = query_counts.column(
        vendor,
        keyword,
        patient=_column(level, "id" if level == PATIENT else PATIENT_OF[level]),
        study=""
        if level == PATIENT
        else _column(level, "id" if level == STUDY else STUDY_OF[level]),
    )
    if counted is not None:
        place = _placed(columns, counted)
        return lambda row: query_counts.text_of_count(keyword, row[place])
    if level == PATIENT:
        return _text_of_patient(vendor, keyword, columns)
    for above in LEVELS[: LEVELS.index(level) + 1]:
        column = COLUMNS[above].get(keyword)
        if column is None and keyword not in OF_LEVEL[above]:
            continue
        prefix = PREFIXES[level][above]
        if column is None:
            return _of_attributes(_placed(columns, _column(level, f"{prefix}attributes")), keyword)
        return _of_column(_placed(columns, _selected(vendor, level, column, prefix)), column.kind)
    return None


def _text_of_patient(vendor: str, keyword: str, columns: list[str]) -> Text:
    """Return where a text comes from that a patient's own row has, or its studies."""
    column = OF_PATIENT.get(keyword)
    if column is not None:
        return _of_column(_placed(columns, _selected(vendor, PATIENT, column)), column.kind)
    place = _placed(columns, query_counts.patient_attributes(vendor, _column(PATIENT, "id")))
    read = query_counts.text_of_patient(keyword)
    return lambda row: read(row[place])


def _selected(vendor: str, level: str, column: Column, prefix: str = "") -> str:
    selected = _column(level, f"{prefix}{column.name}")
    # An expression has no type: SQLite's driver makes no object of it.
    has_type = vendor == "sqlite" and column.kind in (Kind.DATE, Kind.TIME)
    return f"+{selected}" if has_type else selected


def _placed(columns: list[str], selected: str) -> int:
    if selected not in columns:
        columns.append(selected)
    return columns.index(selected)


def _tables(level: str, columns: Sequence[str]) -> str:
    """Return the joined tables; that of patients only where it is read."""
    joined = f'"{_MODELS[level]._meta.db_table}" {_ALIASES[level]}'
    while level in _PARENTS:
        parent, key = _PARENTS[level]
        mine, theirs = _ALIASES[level], _ALIASES[parent]
        if parent == PATIENT and not any(column.startswith(f"{theirs}.") for column in columns):
            break
        table = _MODELS[parent]._meta.db_table
        joined += f' JOIN "{table}" {theirs} ON {mine}."{key}" = {theirs}."id"'
        level = parent
    return joined


def _column(level: str, path: str) -> str:
    """Return the column that a path of `query_columns` from a row of `level` leads to."""
    *steps, name = path.split("__")
    for step in steps:
        level = _STEPS[step]
    field: Any = _MODELS[level]._meta.get_field(name)
    return f'{_ALIASES[level]}."{field.column}"'


def _constant(text: str) -> Text:
    return lambda _: text


def _of_column(place: int, kind: Kind) -> Text:
    return lambda row: _plain_text(row[place], kind)


def _plain_text(value: Any, kind: Kind) -> str:  # noqa: ANN401 - a column's value
    if type(value) is not str:
        return text_of(value, kind)
    if kind is Kind.DATE:
        return value.replace("-", "")
    if kind is Kind.TIME:
        return value.replace(":", "")
    return value.strip("\\") if kind is Kind.MODALITIES else value


def _of_attributes(place: int, keyword: str) -> Text:
    return lambda row: str(_attributes(row[place]).get(keyword, ""))


@lru_cache(maxsize=8)
def _attributes(text: str | None) -> dict[str, Any]:
    # For each attribute of a row again.
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


# Conditions --------------------------------------------------------------------------------------

Test = tuple[str, Callable[[Any], bool]]


class _Conditions:
    """Conditions of one statement, and their parameters.

    Parameters
    ----------
    connection : whose database they are for
    level : whose rows the paths begin at
    """

    def __init__(self, connection: BaseDatabaseWrapper, level: str) -> None:
        self._ops = connection.ops
        self._is_postgresql = connection.vendor == "postgresql"
        self._mark = database.mark(connection.vendor)
        self._level = level
        self.parameters: list[Any] = []

    def _bind(self, value: object) -> str:
        if isinstance(value, datetime):
            value = self._ops.adapt_datetimefield_value(value)
        elif isinstance(value, date):
            value = self._ops.adapt_datefield_value(value)
        elif isinstance(value, UUID) and not self._is_postgresql:
            value = value.hex
        self.parameters.append(value)
        return self._mark

    def among(self, column: str, values: Iterable[object]) -> str:
        """Return the condition that a column has one of some values."""
        marks = ", ".join(self._bind(value) for value in values)
        return f"{column} IN ({marks})" if marks else "1 = 0"

    def of(self, condition: Q) -> str:
        """Return a condition as Django's ORM would write it."""
        children: list[Any] = condition.children
        parts = [
            self.of(child) if isinstance(child, Q) else self._of_lookup(*child)
            for child in children
        ]
        if condition.negated or condition.connector not in (Q.AND, Q.OR) or not parts:
            raise _NotPlainError
        return f"({f' {condition.connector} '.join(parts)})"

    def of_studies(self, condition: Q) -> str:
        """Return the condition that one of a patient's studies fulfils another one."""
        mine, self._level = self._level, STUDY
        try:
            where = self.of(condition)
        finally:
            self._level = mine
        return (
            f'p."id" IN (SELECT s."patient_id" FROM "{Study._meta.db_table}" s '  # noqa: S608
            f'WHERE s."deletion_id" IS NULL AND {where})'
        )

    def _of_lookup(self, path: str, value: Any) -> str:  # noqa: ANN401 - a lookup's
        path, _, lookup = path.rpartition("__")
        if lookup == "in" and isinstance(value, RawSQL):
            marks = [self._bind(one) for one in value.params]
            return f"{self._column(path)} IN ({value.sql % tuple(marks)})"
        if lookup == "in":
            return self.among(self._column(path), value)
        column = self._column(path)
        if lookup in _COMPARISONS:
            return f"{column} {_COMPARISONS[lookup]} {self._bind(value)}"
        if lookup == "isnull" and value is False:
            return f"{column} IS NOT NULL"
        if lookup not in _PATTERNS:
            raise _NotPlainError
        pattern = _PATTERNS[lookup].format(self._ops.prep_for_like_query(value))
        # PostgreSQL's LIKE has the backslash as its escape by itself.
        escape = "" if self._is_postgresql else r" ESCAPE '\'"
        return f"{column} LIKE {self._bind(pattern)}{escape}"

    def _column(self, path: str) -> str:
        return _column(self._level, "id" if path == "pk" else path)


def _where(
    connection: BaseDatabaseWrapper,
    scope: Scope,
    query: DicomQuery,
    keys: PlainKeys,
    patience: Patience,
) -> tuple[str, list[Any], list[Test]]:
    """Return the conditions, their parameters, and what decides about the rows that they find."""
    level = query.level
    conditions = _Conditions(connection, level)
    has_studies = (
        f'EXISTS (SELECT 1 FROM "{Study._meta.db_table}" x '  # noqa: S608 - our names
        'WHERE x."patient_id" = p."id" AND x."deletion_id" IS NULL)'
    )
    # Patients whose studies are all deleted are not there.
    parts = [has_studies if level == PATIENT else f'{_ALIASES[level]}."deletion_id" IS NULL']
    tests: list[Test] = []
    for key in keys.valued:
        if key.keyword in _CONTROL or key.keyword in query_columns.CONSTANT:
            continue
        # A key that is empty, or wild and nothing else, says nothing.
        if not any(text.strip("*") for text in key.value):
            continue
        found = _condition(query, key)
        if found is None:
            continue
        if found.where is not None:
            with timelimit.limited_reading(connection, patience.left()):
                where = names.narrowed(connection, found.where)
            of_study = level == PATIENT and key.keyword == "PatientName"
            is_many = connection.vendor == "sqlite" and names.is_of_many(where)
            if is_many and (level == STUDY or of_study):
                # Answers come as soon in the order of their dates, or of their IDs.
                raise _NotPlainError
            parts.append(conditions.of_studies(where) if of_study else conditions.of(where))
        if not found.is_exact:
            tests.append((key.keyword, text_test(key.value, key.VR, query.options)))
    if scope.facility_ids is not None:
        whose = _ALIASES[PATIENT if level == PATIENT else STUDY]
        mine = conditions.among(f'{whose}."facility_id"', scope.facility_ids)
        # A key that names one or few has the better index. Without statistics, PostgreSQL would
        # read the facility's as well, which holds every study: a truth value has no index.
        has_better = any(key.keyword in _SELECTIVE for key in keys.valued)
        parts.append(f"({mine}) IS TRUE" if has_better else mine)
    return " AND ".join(parts), conditions.parameters, tests


def _condition(query: DicomQuery, key: Key) -> Condition | None:
    """Return the condition of a key that is not universal; None: it is not matched on."""
    if key.keyword not in query_columns.supported(query.level):
        return None
    if key.keyword in COUNTED[PATIENT]:
        return None
    found = query_columns.NOWHERE
    for level in LEVELS[: LEVELS.index(query.level) + 1]:
        # Names as they are searched stand in the rows of studies.
        is_own = query.level == PATIENT and key.keyword != "PatientName"
        column = (OF_PATIENT if is_own else COLUMNS[level]).get(key.keyword)
        if column is None:
            continue
        if column.kind is Kind.COUNT:
            return None
        found = query_columns.condition(column, PREFIXES[query.level][level], key, query.options)
    if not found.is_exact and key.VR not in SIMPLE_VRS:
        raise _NotPlainError
    return found
