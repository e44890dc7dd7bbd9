"""Queries by DICOM keys at the four levels of the information models (PS3.4 annex C).

C-FIND and QIDO-RS ask here. Answers come from the database alone, in bounded memory; a search that
finds nothing more for two seconds is refused, and one that compares parts of text, or whose answers
leave together, after two seconds in all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Exists, Model, OuterRef, Q, QuerySet, Sum
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from archive import database, names, query_columns
from archive.access import Scope
from archive.query_columns import COLUMNS, COUNTED, LEVELS, OF_PATIENT, Column, Kind
from archive.query_records import SIMPLE_VRS, Record, as_data_set, stored, text_of, text_test
from archive.timelimit import Patience, limited
from imaging import matching
from imaging.attributes import IMAGE, OF_LEVEL, PATIENT, SERIES, STUDY
from imaging.errors import InvalidQueryError
from imaging.plainkeys import PlainKeys
from worklist.models import DicomImage, Patient, Series, Study

SEARCH_S = database.READING_S
_CHUNK = 500
_FIRST_CHUNK = 64
# Matches whose keys are remembered; more are found again in the order of their keys.
_MOST_REMEMBERED = 5_000

_MODELS: Mapping[str, type[Model]] = {
    PATIENT: Patient,
    STUDY: Study,
    SERIES: Series,
    IMAGE: DicomImage,
}
# From the row of a level to the rows of the levels above.
PREFIXES: Mapping[str, Mapping[str, str]] = {
    PATIENT: {PATIENT: ""},
    STUDY: {PATIENT: "", STUDY: ""},
    SERIES: {PATIENT: "study__", STUDY: "study__", SERIES: ""},
    IMAGE: {PATIENT: "series__study__", STUDY: "series__study__", SERIES: "series__", IMAGE: ""},
}
PATIENT_OF = {PATIENT: "pk", STUDY: "patient_id", SERIES: "study__patient_id"}
PATIENT_OF[IMAGE] = "series__study__patient_id"
# By way of the study, which is found by its UID or its patient: an index of all instances of a
# facility must not come first.
_FACILITY_OF = {PATIENT: "facility", STUDY: "facility", SERIES: "study__facility"}
_FACILITY_OF[IMAGE] = "series__study__facility"
ORDERS = {PATIENT: ("patient_id", "pk"), STUDY: ("sort_at", "pk")}
STUDY_OF = {STUDY: "pk", SERIES: "study_id", IMAGE: "series__study_id"}
_UNIQUE = {
    PATIENT: "PatientID",
    STUDY: "StudyInstanceUID",
    SERIES: "SeriesInstanceUID",
    IMAGE: "SOPInstanceUID",
}
_CONTROL = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC"})


@dataclass(frozen=True, slots=True)
class DicomQuery:
    """What is asked.

    Attributes
    ----------
    level : PATIENT, STUDY, SERIES or IMAGE
    identifier : keys to match and to return, of the level and of those above; `search` wants a
        data set, `archive.plain_query` plain keys
    root : the information model's highest level
    is_relational : unique keys of the levels above may be missing
    options : how keys match
    retrieve_ae_title : where what is found can be retrieved from
    is_ordered : matches always come in the same order, so that a caller can page through them
    """

    level: str
    identifier: Dataset | PlainKeys
    root: str = PATIENT
    is_relational: bool = False
    options: matching.Options = matching.PLAIN
    retrieve_ae_title: str = ""
    is_ordered: bool = False

    def check(self) -> None:
        """Refuse what cannot be answered.

        Raises
        ------
        InvalidQueryError
            With a sentence that says what to send instead, and the key's tag.

        References
        ----------
        DICOM PS3.4 sections C.4.1.2.1 and C.4.1.3.1.
        """
        keys = self.identifier
        matching.check(keys.valued if isinstance(keys, PlainKeys) else keys)
        if self.is_relational:
            return
        for above in LEVELS[LEVELS.index(self.root) : LEVELS.index(self.level)]:
            keyword = _UNIQUE[above]
            tag = tag_for_keyword(keyword) or 0
            values = [v for v in matching.texts(self.identifier.get(tag)) if v]
            if not values:
                raise InvalidQueryError(
                    f"A query at {self.level} level needs a {keyword}; or negotiate relational "
                    "queries.",
                    tag,
                )
            if any(map(matching.is_wild, values)):
                raise InvalidQueryError(
                    f"{keyword} must be without wildcards in a query at {self.level} level.", tag
                )

    def patience(self) -> Patience:
        """Return how long the search may take.

        What compares rows one by one finds thousands of what nobody wanted for as long as it is
        let, and a page comes whole.
        """
        is_compared = any(
            (matching.is_wild(text) and text.strip("*"))
            or (self.options.is_fuzzy and key.VR == "PN")
            for key in _valued(self.identifier)
            for text in matching.texts(key)
        )
        return Patience(SEARCH_S, is_whole=self.is_ordered or is_compared)

    def unsupported(self) -> list[str]:
        """Return the keys that are neither matched nor returned."""
        known = query_columns.supported(self.level)
        return [
            element.keyword or str(element.tag)
            for element in self.identifier
            if element.keyword not in known and element.keyword not in _CONTROL
        ]


def _valued(identifier: Dataset | PlainKeys) -> Iterable[matching.Element]:
    """Return the keys with a value, but sequences."""
    if isinstance(identifier, PlainKeys):
        return identifier.valued
    return (element for element in identifier if element.VR != "SQ" and element.value)


def supported_keys(query: DicomQuery) -> Dataset:
    """Return the keys of a query that are answered."""
    known = query_columns.supported(query.level)
    found = Dataset()
    for element in _elements(query):
        if element.keyword in known:
            found.add(element)
    return found


def _elements(query: DicomQuery) -> Dataset:
    if not isinstance(query.identifier, Dataset):
        raise TypeError("Plain keys are for archive.plain_query.")
    return query.identifier


_SEVERAL = frozenset({"ModalitiesInStudy"})


@dataclass(slots=True)
class _Plan:
    """How a query is answered."""

    rows: QuerySet[Any]
    paths: list[str]
    # By keyword, the place of its value in a row and how it is held.
    places: dict[str, tuple[int, Column]] = field(default_factory=dict)
    stored: list[int] = field(default_factory=list)
    # An index has the rows of a facility in this order; the last is unique.
    order: tuple[str, ...] = ("pk",)
    is_newest_first: bool = False
    is_ordered: bool = False
    # A key decides; else everything in scope is found.
    is_narrowed: bool = False
    # Many have the name; and how many further conditions there are.
    has_names_of_many: bool = False
    selective: int = 0
    patience: Patience = field(default_factory=lambda: Patience(SEARCH_S))
    # Place of the row's key, of its patient's and of its study's.
    keys: dict[str, int] = field(default_factory=dict)
    # What the database did not decide: text keys by keyword, and all others.
    tests: list[tuple[str, Callable[[Any], bool]]] = field(default_factory=list)
    residual: Dataset = field(default_factory=Dataset)
    counted: set[str] = field(default_factory=set)
    wanted: set[str] = field(default_factory=set)

    def keep(self, key: DataElement, options: matching.Options) -> None:
        """Have a key decided row by row."""
        if key.VR in SIMPLE_VRS and key.keyword not in _SEVERAL:
            self.tests.append((key.keyword, text_test(matching.texts(key), key.VR, options)))
        else:
            self.residual.add(key)

    def place(self, path: str) -> int:
        if path not in self.paths:
            self.paths.append(path)
        return self.paths.index(path)


def search(scope: Scope, query: DicomQuery, patience: Patience | None = None) -> Iterator[Record]:
    """Find what matches, as it is found.

    Parameters
    ----------
    scope : whose data the caller may have
    query : checked before
    patience : what a search before this one has left of `query.patience`

    Returns
    -------
    For each match the attributes that the identifier names and that are known, by keyword: text
    with its values parted by backslashes, or the items of a sequence.

    Raises
    ------
    TooBroadError
        When the patience ends.

    References
    ----------
    DICOM PS3.4 section C.4.1.
    """
    patience = patience or query.patience()
    plan = _plan(scope, query, patience)
    for rows in _chunks(plan):
        counts = _counts(scope, query, plan, rows)
        for row in rows:
            patience.left()
            record = _record(query, plan, row, counts)
            if _is_match(query, plan, record):
                yield record
                patience.found()


def _is_match(query: DicomQuery, plan: _Plan, record: Record) -> bool:
    if not all(test(record.get(keyword, "")) for keyword, test in plan.tests):
        return False
    if not len(plan.residual):
        return True
    return matching.matches(as_data_set(record), plan.residual, query.options)


def _plan(scope: Scope, query: DicomQuery, patience: Patience) -> _Plan:
    level = query.level
    manager: Any = _MODELS[level]._default_manager
    rows: QuerySet[Any] = manager.all()
    plan = _Plan(
        rows=rows,
        paths=["pk"],
        order=ORDERS.get(level, ("pk",)),
        is_newest_first=level == STUDY,
        is_ordered=query.is_ordered,
        patience=patience,
    )
    plan.keys["pk"] = 0
    asked = {element.keyword: element for element in _elements(query) if element.keyword}
    plan.wanted = set(asked)
    for above in LEVELS[: LEVELS.index(level) + 1]:
        columns = OF_PATIENT if level == PATIENT else COLUMNS[above]
        prefix = "" if level == PATIENT else PREFIXES[level][above]
        for keyword in asked.keys() & columns.keys():
            plan.places[keyword] = (plan.place(prefix + columns[keyword].name), columns[keyword])
        if level != PATIENT and asked.keys() & set(OF_LEVEL[above]):
            plan.stored.append(plan.place(f"{prefix}attributes"))
        plan.counted |= asked.keys() & set(COUNTED[above])
    if level == PATIENT:
        plan.counted |= asked.keys() & set(OF_LEVEL[PATIENT])
    if plan.counted:
        plan.keys["patient"] = plan.place(PATIENT_OF[level])
        if level != PATIENT:
            plan.keys["study"] = plan.place(STUDY_OF[level])
    _narrow(scope, query, plan, asked)
    if (level == SERIES and "StudyInstanceUID" in asked) or (
        level == IMAGE and "SeriesInstanceUID" in asked
    ):
        number = "series_number" if level == SERIES else "instance_number"
        if matching.texts(asked[_UNIQUE[LEVELS[LEVELS.index(level) - 1]]]):
            plan.rows = plan.rows.order_by(number, "pk")
    return plan


def _narrow(scope: Scope, query: DicomQuery, plan: _Plan, asked: Mapping[str, DataElement]) -> None:
    level = query.level
    of_studies = Q()
    supported = query_columns.supported(level)
    for keyword, element in asked.items():
        texts = [] if element.VR == "SQ" else matching.texts(element)
        is_universal = not any(text.strip("*") for text in texts)
        if element.VR == "SQ":
            # Without keys inside it asks for all items and matches everything.
            is_universal = not element.value or not len(element.value[0])
        if keyword in _CONTROL or keyword in query_columns.CONSTANT or is_universal:
            continue
        if keyword in COUNTED[PATIENT]:
            continue
        plan.is_narrowed = True
        place = plan.places.get(keyword)
        found = query_columns.NOWHERE
        if keyword == "SOPClassesInStudy" and level != PATIENT:
            images = scope.filter(DicomImage.objects.filter(sop_class_uid__in=texts))
            having = images.values("series__study_id")
            found = query_columns.Condition(Q(**{f"{STUDY_OF[level]}__in": having}), is_exact=True)
        elif place is not None and place[1].kind is Kind.COUNT:
            continue
        elif place is not None and level == PATIENT and keyword == "PatientName":
            # Names as they are searched stand in the rows of studies.
            column = COLUMNS[PATIENT][keyword]
            found = query_columns.condition(column, "", element, query.options)
            if found.where is not None:
                of_studies &= _with_names(plan, found.where)
                found = query_columns.NOWHERE
        elif place is not None:
            prefix = plan.paths[place[0]].removesuffix(place[1].name)
            found = query_columns.condition(place[1], prefix, element, query.options)
        if found.where is not None:
            where = _with_names(plan, found.where)
            is_of_many = level == STUDY and _is_of_many(where)
            plan.has_names_of_many |= is_of_many
            plan.selective += not is_of_many
            plan.rows = plan.rows.filter(where)
        if not found.is_exact and keyword in supported:
            plan.keep(element, query.options)
    if level == PATIENT and _is_of_many(of_studies):
        # Looked for from the first patient on, a page of them is found at once; their keys together
        # would be those of every study, for each page again.
        plan.has_names_of_many = True
        named = Study.objects.filter(of_studies, patient=OuterRef("pk"))
        plan.rows = scope.filter(plan.rows.filter(Exists(named)), _FACILITY_OF[level])
        return
    if level == PATIENT and of_studies:
        # Patients of studies in scope are in scope; said twice, the worse index might be used.
        studies = scope.filter(Study.objects.filter(of_studies))
        plan.rows = plan.rows.filter(pk__in=studies.values("patient_id"))
        return
    if level == PATIENT:
        # Patients whose studies are all deleted are not there.
        plan.rows = plan.rows.filter(Exists(Study.objects.filter(patient=OuterRef("pk"))))
    plan.rows = scope.filter(plan.rows, _FACILITY_OF[level])


def _with_names(plan: _Plan, condition: Q) -> Q:
    with limited(plan.patience.left()):
        return names.narrowed(connection, condition)


def _is_of_many(condition: Q) -> bool:
    return connection.vendor == "sqlite" and names.is_of_many(condition)


def _chunks(plan: _Plan) -> Iterator[list[tuple[Any, ...]]]:
    """Read rows: few at once, more by their keys, very many in the order of their keys."""
    # Sorted here: told to sort, a database may walk its index of the order through all rows.
    is_sorted_here = plan.is_ordered and not plan.rows.ordered
    # Answers come as soon in the order of their dates.
    is_broad = plan.has_names_of_many and not plan.selective
    if is_broad or (is_sorted_here and not plan.is_narrowed):
        yield from _ordered_chunks(plan)
        return
    order = plan.order if is_sorted_here else ()
    places = [plan.place(name) for name in order]
    with limited(plan.patience.left()):
        rows = list(plan.rows.values_list(*plan.paths)[: _CHUNK + 1])
    if len(rows) <= _CHUNK:
        if is_sorted_here:
            rows.sort(key=itemgetter(*places), reverse=plan.is_newest_first)
        yield rows
        return
    with limited(plan.patience.left()):
        found = list(plan.rows.values_list("pk", *order)[: _MOST_REMEMBERED + 1])
    if is_sorted_here:
        found.sort(key=lambda row: row[1:], reverse=plan.is_newest_first)
    keys = [row[0] for row in found]
    every = plan.rows.model._default_manager
    if len(keys) <= _MOST_REMEMBERED:
        for start in range(0, len(keys), _CHUNK):
            some = keys[start : start + _CHUNK]
            with limited(plan.patience.left()):
                by_key = {row[0]: row for row in every.filter(pk__in=some).values_list(*plan.paths)}
            yield [by_key[key] for key in some if key in by_key]
        return
    yield from _ordered_chunks(plan)


def _ordered_chunks(plan: _Plan) -> Iterator[list[tuple[Any, ...]]]:
    """Read rows in the order of an index, each piece from where the last one ended."""
    sign, way = ("-", "lt") if plan.is_newest_first else ("", "gt")
    ordered = plan.rows.order_by(*(f"{sign}{name}" for name in plan.order))
    places = [plan.place(name) for name in plan.order]
    after = ordered
    # Who pages wants a page.
    size = _FIRST_CHUNK if plan.is_ordered else _CHUNK
    while True:
        with limited(plan.patience.left()):
            rows = list(after.values_list(*plan.paths)[:size])
        size = _CHUNK
        if not rows:
            return
        yield rows
        last = [rows[-1][place] for place in places]
        first, key = plan.order[0], plan.order[-1]
        beyond = Q(**{f"{key}__{way}": last[-1]})
        if first != key:
            # Said twice, so that the index is entered where the last piece ended.
            beyond |= Q(**{f"{first}__{way}": last[0]})
            beyond &= Q(**{f"{first}__{way}e": last[0]})
        after = ordered.filter(beyond)


_Counts = dict[str, dict[UUID, Any]]


def _counts(
    scope: Scope, query: DicomQuery, plan: _Plan, rows: Sequence[tuple[Any, ...]]
) -> _Counts:
    """Return what is not in the rows themselves, by keyword and key of patient or study."""
    if not plan.counted or not rows:
        return {}
    found: _Counts = {}
    patients = {row[plan.keys["patient"]] for row in rows}
    studies = scope.filter(Study.objects.filter(patient_id__in=patients)).order_by()
    with limited(plan.patience.left()):
        if plan.counted & set(COUNTED[PATIENT]):
            totals = studies.values_list("patient_id").annotate(
                Count("pk"), Sum("series_count"), Sum("instance_count")
            )
            for patient, *numbers in totals:
                for keyword, number in zip(COUNTED[PATIENT], numbers, strict=True):
                    found.setdefault(keyword, {})[patient] = str(number)
        if "SOPClassesInStudy" in plan.counted and "study" in plan.keys:
            mine = {row[plan.keys["study"]] for row in rows}
            pairs = (
                DicomImage.objects.filter(series__study__in=mine)
                .order_by()
                .values_list("series__study_id", "sop_class_uid")
                .distinct()
            )
            classes: dict[UUID, list[str]] = {}
            for study, sop_class in pairs:
                classes.setdefault(study, []).append(sop_class)
            found["SOPClassesInStudy"] = {k: "\\".join(sorted(v)) for k, v in classes.items()}
        if query.level == PATIENT and plan.counted & set(OF_LEVEL[PATIENT]):
            kept = studies.order_by("sort_at").values_list("patient_id", "attributes")
            for patient, attributes in kept:
                for keyword, value in stored(attributes).items():
                    found.setdefault(keyword, {})[patient] = value
    return found


def _record(
    query: DicomQuery,
    plan: _Plan,
    row: tuple[Any, ...],
    counts: Mapping[str, Mapping[UUID, Any]],
) -> Record:
    record: Record = {}
    for place in plan.stored:
        kept = stored(row[place])
        record.update((keyword, kept[keyword]) for keyword in kept if keyword in plan.wanted)
    for keyword, by_key in counts.items():
        of_study = keyword in COUNTED[STUDY]
        value = by_key.get(row[plan.keys["study" if of_study else "patient"]])
        if value is not None and keyword in plan.wanted:
            record[keyword] = value
    for keyword, (place, column) in plan.places.items():
        record[keyword] = text_of(row[place], column.kind)
    if query.retrieve_ae_title:
        record["RetrieveAETitle"] = query.retrieve_ae_title
    if "InstanceAvailability" in plan.wanted:
        record["InstanceAvailability"] = "ONLINE"
    return record
