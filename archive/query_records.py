"""What a query finds, as rows hold it, as DICOM writes it, and whether text of it matches."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from archive.query_columns import Kind
from imaging import matching

# Attributes by keyword: text with its values parted by backslashes, or the items of a sequence.
Record = dict[str, Any]

# Compared as text, without making a data set of every row.
SIMPLE_VRS = frozenset({"PN", "LO", "SH", "CS", "AS"})


def text_test(wanted: Sequence[str], vr: str, options: matching.Options) -> Callable[[Any], bool]:
    """Return what decides about the text of an attribute, whose values backslashes part."""
    like = matching.is_like
    if vr == "PN":
        like = matching.is_fuzzy_name if options.is_fuzzy else matching.is_name
    return lambda text: any(
        like(key, value.strip()) for key in wanted if key for value in text.split("\\")
    )


def stored(attributes: str | None) -> dict[str, Any]:
    """Return the further attributes that a row keeps, by keyword."""
    found: dict[str, Any] = json.loads(attributes) if attributes else {}
    return found


def text_of(value: Any, kind: Kind) -> str:  # noqa: ANN401 - a column's value
    """Return a column's value as DICOM writes it."""
    if value is None or value == "":
        return ""
    if kind is Kind.DATE:
        return f"{value.year:04}{value.month:02}{value.day:02}"
    if kind is Kind.TIME:
        whole = f"{value.hour:02}{value.minute:02}{value.second:02}"
        return f"{whole}.{value.microsecond:06}" if value.microsecond else whole
    if kind is Kind.MODALITIES:
        return str(value).strip("\\")
    return str(value)


_ONE_TEXT = frozenset({"LT", "ST", "UT"})
_BINARY = frozenset({"US"})


def as_data_set(record: Record) -> Dataset:
    """Return a record as a data set."""
    found = Dataset()
    for keyword, value in record.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            continue
        vr = dictionary_VR(tag)
        given = value
        if vr == "SQ":
            given = Items([as_data_set(item) for item in value])
        elif vr in _BINARY:
            given = int(value) if value else None
        elif isinstance(value, str) and "\\" in value and vr not in _ONE_TEXT:
            given = [part.strip() for part in value.split("\\")]
        try:
            found.add(DataElement(tag, vr, given))
        except ValueError:
            # A stored number that is none: it is as good as unknown.
            found.add(DataElement(tag, vr, ""))
    return found
