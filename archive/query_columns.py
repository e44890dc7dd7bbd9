"""Where the attributes of the Query/Retrieve information models are kept, and their conditions.

A condition narrows a search in the database to a superset of what matches, by an index where there
is one; `imaging.matching` decides about the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.models import Q

from imaging import matching
from imaging.attributes import IMAGE, OF_LEVEL, PATIENT, SERIES, STUDY

LEVELS = (PATIENT, STUDY, SERIES, IMAGE)


class Kind(Enum):
    """How a column holds its attribute."""

    TEXT = "text"
    NAME = "name"
    UID = "uid"
    DATE = "date"
    TIME = "time"
    NUMBER = "number"
    MODALITIES = "modalities"
    # Counted, not compared (PS3.4 tables C.6-1 to C.6-4 want no matching on them).
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the row of a level.

    Attributes
    ----------
    folded : another column with the name as it is searched
    """

    name: str
    kind: Kind
    folded: str = ""


_STUDY_PATIENT = {
    "PatientName": Column("patient_name", Kind.NAME, folded="patient_name_folded"),
    "PatientID": Column("patient_identifier", Kind.TEXT),
    "IssuerOfPatientID": Column("patient__issuer_of_patient_id", Kind.TEXT),
    "PatientBirthDate": Column("patient_birth_date", Kind.DATE),
    "PatientSex": Column("patient_sex", Kind.TEXT),
}
# As the rows of patients hold them.
OF_PATIENT: Mapping[str, Column] = {
    "PatientName": Column("patient_name", Kind.NAME),
    "PatientID": Column("patient_id", Kind.TEXT),
    "IssuerOfPatientID": Column("issuer_of_patient_id", Kind.TEXT),
    "PatientBirthDate": Column("patient_birth_date", Kind.DATE),
    "PatientSex": Column("patient_sex", Kind.TEXT),
}
# As the rows of studies, series and instances hold those of each level.
COLUMNS: Mapping[str, Mapping[str, Column]] = {
    PATIENT: _STUDY_PATIENT,
    STUDY: {
        "StudyInstanceUID": Column("study_instance_uid", Kind.UID),
        "StudyID": Column("study_id", Kind.TEXT),
        "StudyDate": Column("study_date", Kind.DATE),
        "StudyTime": Column("study_time", Kind.TIME),
        "AccessionNumber": Column("accession_number", Kind.TEXT),
        "StudyDescription": Column("study_description", Kind.TEXT),
        "ReferringPhysicianName": Column("referring_physician_name", Kind.NAME),
        "PatientAge": Column("patient_age", Kind.TEXT),
        "ModalitiesInStudy": Column("modalities", Kind.MODALITIES),
        "NumberOfStudyRelatedSeries": Column("series_count", Kind.COUNT),
        "NumberOfStudyRelatedInstances": Column("instance_count", Kind.COUNT),
    },
    SERIES: {
        "SeriesInstanceUID": Column("series_instance_uid", Kind.UID),
        "SeriesNumber": Column("series_number", Kind.NUMBER),
        "SeriesDescription": Column("series_description", Kind.TEXT),
        "Modality": Column("modality", Kind.TEXT),
        "BodyPartExamined": Column("body_part_examined", Kind.TEXT),
        "Laterality": Column("laterality", Kind.TEXT),
        "ProtocolName": Column("protocol_name", Kind.TEXT),
        "SeriesDate": Column("series_date", Kind.DATE),
        "SeriesTime": Column("series_time", Kind.TIME),
        "FrameOfReferenceUID": Column("frame_of_reference_uid", Kind.UID),
        "Manufacturer": Column("manufacturer", Kind.TEXT),
        "StationName": Column("station_name", Kind.TEXT),
        "InstitutionName": Column("institution_name", Kind.TEXT),
        "NumberOfSeriesRelatedInstances": Column("instance_count", Kind.COUNT),
    },
    IMAGE: {
        "SOPInstanceUID": Column("sop_instance_uid", Kind.UID),
        "SOPClassUID": Column("sop_class_uid", Kind.UID),
        "InstanceNumber": Column("instance_number", Kind.NUMBER),
        "AvailableTransferSyntaxUID": Column("transfer_syntax_uid", Kind.UID),
        "Rows": Column("rows", Kind.NUMBER),
        "Columns": Column("columns", Kind.NUMBER),
        "NumberOfFrames": Column("number_of_frames", Kind.COUNT),
        "SamplesPerPixel": Column("samples_per_pixel", Kind.NUMBER),
        "PhotometricInterpretation": Column("photometric_interpretation", Kind.TEXT),
        "BitsAllocated": Column("bits_allocated", Kind.NUMBER),
        "BitsStored": Column("bits_stored", Kind.NUMBER),
    },
}
# Found by further queries, for many rows at once.
COUNTED: Mapping[str, tuple[str, ...]] = {
    PATIENT: (
        "NumberOfPatientRelatedStudies",
        "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
    ),
    STUDY: ("SOPClassesInStudy",),
    SERIES: (),
    IMAGE: (),
}
# The same of everything here.
CONSTANT = ("RetrieveAETitle", "InstanceAvailability")


@lru_cache
def supported(level: str) -> frozenset[str]:
    """Return the keywords that a query at a level may ask for: of the level and those above."""
    found: set[str] = set(CONSTANT)
    for one in LEVELS[: LEVELS.index(level) + 1]:
        found |= {*COLUMNS[one], *OF_LEVEL[one], *COUNTED[one]}
    return frozenset(found)


# Conditions --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of the database on one key.

    Attributes
    ----------
    where : None: the database does not narrow
    is_exact : it finds what matches and nothing else
    """

    where: Q | None
    is_exact: bool


NOWHERE = Condition(None, is_exact=False)
_NEVER = Q(pk__in=[])
# After every character that a name can hold.
_LAST = "\U0010ffff"


def condition(
    column: Column, prefix: str, key: matching.Element, options: matching.Options
) -> Condition:
    """Return the condition of a key that is not universal.

    Parameters
    ----------
    prefix : lookup path to the row with the column, such as ``study__``
    """
    values = [text for text in matching.texts(key) if text]
    path = prefix + column.name
    if column.kind is Kind.UID:
        return Condition(Q(**{f"{path}__in": values}), is_exact=True)
    if column.kind is Kind.TEXT:
        if any(matching.is_wild(text) for text in values):
            return Condition(_any(_like(path, text) for text in values), is_exact=False)
        return Condition(Q(**{f"{path}__in": values}), is_exact=True)
    if column.kind is Kind.NUMBER:
        return Condition(_numbers(path, values), is_exact=True)
    if column.kind is Kind.DATE and not options.is_combined:
        return _dates(path, prefix, key, values)
    if column.kind is Kind.MODALITIES and not any(map(matching.is_wild, values)):
        # SQLite compares LIKE without case.
        return Condition(
            _any(Q(**{f"{path}__contains": f"\\{text}\\"}) for text in values), is_exact=False
        )
    if column.kind is Kind.NAME and column.folded:
        of_name = _fuzzy_name if options.is_fuzzy else _name
        return Condition(_any(of_name(prefix + column.folded, v) for v in values), is_exact=False)
    return NOWHERE


def _any(conditions: Any) -> Q | None:  # noqa: ANN401 - an iterable of Q or None
    """Join by OR; one that does not narrow leaves nothing narrowed."""
    found: Q | None = None
    for one in conditions:
        if one is None:
            return None
        found = one if found is None else found | one
    return found


def _begins(path: str, text: str) -> Q:
    if connection.vendor == "postgresql":
        return Q(**{f"{path}__startswith": text})
    # LIKE never uses an index of SQLite here.
    return Q(**{f"{path}__gte": text, f"{path}__lt": text + _LAST})


def _like(path: str, pattern: str) -> Q | None:
    first, *rest = re.split(r"[*?]+", pattern)
    found = _begins(path, first) if first else None
    for part in rest:
        if part:
            more = Q(**{f"{path}__contains": part})
            found = more if found is None else found & more
    return found


def _name(path: str, key: str) -> Q | None:
    """Narrow by the folded name, whose groups and components are parted by blanks."""
    groups = [group for group in key.split("=") if group.strip(" *?^")]
    found: Q | None = None
    for at, group in enumerate(groups):
        parts = [part.strip(" ^") for part in re.split(r"[*?]+", matching.fold(group))]
        words = [" ".join(part.replace("^", " ").split()) for part in parts]
        is_first = at == 0 and (key.startswith(group) or _is_latin(group))
        more = _in_order(path, words, is_first=is_first and "=" not in key[: key.find(group)])
        if more is not None:
            found = more if found is None else found & more
    return found


def _is_latin(text: str) -> bool:
    return all(letter < "\u0370" for letter in text)


def _in_order(path: str, parts: Sequence[str], *, is_first: bool) -> Q | None:
    found: Q | None = None
    for at, part in enumerate(parts):
        if not part:
            continue
        # Ideographic and phonetic groups stand behind the alphabetic one.
        at_start = at == 0 and is_first and _is_latin(part)
        more = _begins(path, part) if at_start else Q(**{f"{path}__contains": part})
        found = more if found is None else found & more
    return found


def _fuzzy_name(path: str, key: str) -> Q | None:
    found: Q | None = None
    for word in matching.words(key):
        longest = max(re.split(r"[*?]+", word), key=len)
        if longest:
            more = Q(**{f"{path}__contains": longest})
            found = more if found is None else found & more
    return found


def _numbers(path: str, values: Sequence[str]) -> Q:
    wanted = {float(text) for text in values}
    whole = [int(number) for number in wanted if number == int(number) and abs(number) < 2**31]
    return Q(**{f"{path}__in": whole}) if whole else _NEVER


def _dates(path: str, prefix: str, key: matching.Element, values: Sequence[str]) -> Condition:
    found: Q | None = None
    for text in values:
        low, high = matching.bounds("DA", text, key)
        try:
            first = date.fromisoformat(low) if low else None
            last = date.fromisoformat(high) if high.isdigit() else None
        except ValueError:
            # Eight digits, but no day of the calendar: text is compared.
            return NOWHERE
        one = Q(**{f"{path}__isnull": False})
        if first:
            one &= Q(**{f"{path}__gte": first})
        if last:
            one &= Q(**{f"{path}__lte": last})
        if path == f"{prefix}study_date":
            # The moment that studies are listed by begins with their date, and has an index.
            one &= _moments(f"{prefix}sort_at", first, last)
        found = one if found is None else found | one
    return Condition(found, is_exact=True)


def _moments(path: str, first: date | None, last: date | None) -> Q:
    found = Q()
    if first:
        found &= Q(**{f"{path}__gte": datetime.combine(first, time(), tzinfo=UTC)})
    if last and last < date.max:
        end = datetime.combine(last + timedelta(days=1), time(), tzinfo=UTC)
        found &= Q(**{f"{path}__lt": end})
    return found
