"""Attribute matching of queries: an item against an identifier (PS3.4 C.2.2.2).

Every service that is asked by keys (C-FIND, Modality Worklist, QIDO-RS) matches by these rules.
Whatever narrows a search beforehand, as an index of a database does, these decide.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items

from imaging.errors import InvalidQueryError

# Wildcards mean nothing in these (PS3.4 C.2.2.2.4); in AE they do, as in all text.
_EXACT_VRS = frozenset({"UI", "IS", "DS", "SL", "SS", "SV", "UL", "US", "UV", "FL", "FD", "AT"})
_NUMBER_VRS = _EXACT_VRS - {"UI", "AT"}
_RANGE_VRS = frozenset({"DA", "TM", "DT"})
# Not matched on, not returned: they say how the query is to be read.
_CONTROL = frozenset(
    filter(
        None,
        map(
            tag_for_keyword,
            ("SpecificCharacterSet", "TimezoneOffsetFromUTC", "QueryRetrieveLevel"),
        ),
    )
)
# Of characters: the longest text that an attribute of a query level holds.
_MOST_PATTERN = 1024
_MOST_DEPTH = 8

_DATE = re.compile(r"\d{8}")
_OLD_DATE = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})")
_TIME = re.compile(r"(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?")
_OLD_TIME = re.compile(r"(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?")
_DATETIME = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?"
    r"([+-]\d{4})?"
)
# A range of date-times: the hyphen that is followed by no bare offset.
_DATETIME_RANGE = re.compile(
    r"(?P<low>\d{4}[\d.]*(?:[+-]\d{4}(?=-))?)?-(?P<high>\d{4}[\d.]*(?:[+-]\d{4})?)?"
)


class Element(Protocol):
    """What is looked at of an element: pydicom's, or a key of `imaging.plainkeys`."""

    @property
    def tag(self) -> int:
        """Group and element."""

    @property
    def keyword(self) -> str:
        """As PS3.6 names it."""

    @property
    def VR(self) -> str:  # noqa: N802 - pydicom's name
        """Value Representation."""

    @property
    def value(self) -> Any:  # noqa: ANN401 - a DICOM value has the type of its VR
        """One value, several, or none."""


@dataclass(frozen=True, slots=True)
class Options:
    """What extended negotiation agreed on (PS3.4 C.5.1.1).

    Attributes
    ----------
    is_fuzzy : words of person names match by their beginning, in any order
    is_combined : a date and a time key form one range
    """

    is_fuzzy: bool = False
    is_combined: bool = False


PLAIN = Options()


def check(identifier: Iterable[Element], depth: int = 0) -> None:
    """Refuse an identifier whose keys cannot be read.

    Raises
    ------
    InvalidQueryError
        With a sentence that names the key and says how it is written.
    """
    if depth > _MOST_DEPTH:
        raise InvalidQueryError("The identifier nests too deep.", 0)
    for element in identifier:
        if element.VR == "SQ":
            if len(element.value) > 1:
                raise InvalidQueryError(
                    f"{_name(element)} holds {len(element.value)} items; a key has one.",
                    element.tag,
                )
            for item in element.value:
                check(item, depth + 1)
        elif element.VR in _RANGE_VRS:
            for value in texts(element):
                bounds(element.VR, value, element)
        elif element.VR in _NUMBER_VRS:
            _numbers(element)
        elif any(len(text) > _MOST_PATTERN for text in texts(element)):
            raise InvalidQueryError(f"{_name(element)} is too long for a key.", element.tag)


def matches(item: Dataset, identifier: Dataset, options: Options = PLAIN) -> bool:
    """Whether an item matches every key of an identifier.

    Parameters
    ----------
    item : what the archive knows; attributes that it lacks match universal keys alone
    identifier : keys; checked before

    References
    ----------
    DICOM PS3.4 sections C.2.2.2 and K.2.2.1.
    """
    joined = _joined(identifier) if options.is_combined else {}
    for date_tag, time_tag in joined.items():
        if not _matches_moment(item, identifier[date_tag], identifier[time_tag]):
            return False
    done = {*joined.keys(), *joined.values()}
    return all(
        _matches_element(item, element, options)
        for element in identifier
        if element.tag not in _CONTROL and element.tag not in done
    )


def response(item: Dataset, identifier: Dataset) -> Dataset:
    """Return what was asked for: every key of the identifier with the item's value, or empty.

    References
    ----------
    DICOM PS3.4 section C.4.1.1.3.2.
    """
    answer = Dataset()
    for element in identifier:
        if element.tag in _CONTROL:
            continue
        found = item.get(element.tag)
        if element.VR != "SQ":
            value = found.value if found is not None else None
            answer.add(
                DataElement(element.tag, found.VR if found is not None else element.VR, value)
            )
            continue
        asked = element.value[0] if element.value else Dataset()
        items = found.value if found is not None and found.VR == "SQ" else []
        # A sequence without keys asks for all of its items (PS3.4 C.2.2.2.6).
        chosen = [response(one, asked) if len(asked) else one for one in items]
        answer.add(DataElement(element.tag, "SQ", Items(chosen)))
    return answer


def _matches_element(item: Dataset, key: DataElement, options: Options) -> bool:
    if key.VR == "SQ":
        return _matches_sequence(item, key, options)
    wanted = texts(key)
    if not any(wanted):
        return True
    found = item.get(key.tag)
    if key.VR in _NUMBER_VRS:
        return not _numbers(key).isdisjoint(_numbers(found))
    values = texts(found)
    if key.VR in _RANGE_VRS:
        return any(
            _is_between(key.VR, value, bounds(key.VR, text, key))
            for text in wanted
            for value in values
            if value
        )
    test = _test_of(key.VR, options)
    # Several values: any of them (PS3.4 C.2.2.2.2 for UIDs; others by the same rule). An attribute
    # that is empty matches `*` alone.
    return any(test(text, value) for text in wanted for value in values or [""])


def _matches_sequence(item: Dataset, key: DataElement, options: Options) -> bool:
    asked = key.value[0] if key.value else None
    if asked is None or _is_universal(asked):
        return True
    found = item.get(key.tag)
    items = found.value if found is not None and found.VR == "SQ" else []
    return any(matches(one, asked, options) for one in items)


def _is_universal(identifier: Dataset) -> bool:
    return all(
        (not element.value or _is_universal(element.value[0]))
        if element.VR == "SQ"
        else not any(texts(element))
        for element in identifier
    )


def _test_of(vr: str, options: Options) -> Callable[[str, str], bool]:
    if vr in _EXACT_VRS:
        return lambda wanted, value: wanted == value
    if vr == "PN":
        return is_fuzzy_name if options.is_fuzzy else is_name
    return is_like


def is_like(wanted: str, value: str) -> bool:
    """Whether text matches a key in which `*` stands for any characters and `?` for one.

    In time that grows with the product of both lengths at most, whatever the key.

    References
    ----------
    DICOM PS3.4 section C.2.2.2.4.
    """
    at = start = 0
    star: int | None = None
    while start < len(value):
        if at < len(wanted) and wanted[at] == "*":
            star, resume = at, start
            at += 1
        elif at < len(wanted) and wanted[at] in ("?", value[start]):
            at += 1
            start += 1
        elif star is not None:
            # What the last star stands for is one character longer.
            resume += 1
            at, start = star + 1, resume
        else:
            return False
    return not wanted[at:].strip("*")


def is_wild(text: str) -> bool:
    """Whether a key of text holds wildcards."""
    return "*" in text or "?" in text


# Person names ------------------------------------------------------------------------------------


def fold(text: str) -> str:
    """Return text without accents and case (PS3.4 C.2.2.2.1 lets person names be matched so).

    Examples
    --------
    >>> fold("Müller^Ånna")
    'muller^anna'
    """
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()


def _group(text: str) -> str:
    """Return a component group as it is compared: folded, without empty components at its end."""
    return "^".join(part.strip() for part in fold(text).split("^")).rstrip("^ ")


def is_name(wanted: str, value: str) -> bool:
    """Whether a person name matches a key, component group by component group.

    A key with several groups (alphabetic, ideographic, phonetic, separated by `=`) wants each of
    those that it fills; a key of one group is content with any.

    References
    ----------
    DICOM PS3.4 section C.2.2.2.1, PS3.5 section 6.2.1.
    """
    keys = [_group(part) for part in wanted.split("=")]
    groups = [_group(part) for part in value.split("=")]
    if len(keys) == 1:
        return any(is_like(keys[0], group) for group in groups)
    groups += [""] * (len(keys) - len(groups))
    return all(is_like(key, group) for key, group in zip(keys, groups, strict=False) if key)


def is_fuzzy_name(wanted: str, value: str) -> bool:
    """Whether every word of a key begins a word of the name, in whatever order.

    References
    ----------
    DICOM PS3.4 section C.2.2.2.1.1, which leaves the manner to the implementation.
    """
    found = words(value)
    return all(
        any(is_like(key if is_wild(key) else f"{key}*", word) for word in found)
        for key in words(wanted)
    )


def words(name: str) -> list[str]:
    """Return the words of a name, folded."""
    return re.split(r"[\s^=,]+", fold(name).strip(" ^=,"))


# Dates and times ---------------------------------------------------------------------------------

Bounds = tuple[str, str]
_LEAST, _GREATEST = "", "\U0010ffff"


def bounds(vr: str, text: str, key: Element) -> Bounds:
    """Return what a date or time key spans, in digits that compare as text; both ends count."""
    try:
        low, high = _split(vr, text)
        return (
            _digits(vr, low, last=False) if low else _LEAST,
            _digits(vr, high, last=True) if high else _GREATEST,
        )
    except ValueError as error:
        example = {"DA": "20260131-20260228", "TM": "0800-1200", "DT": "20260131-202602"}[vr]
        raise InvalidQueryError(
            f"{_name(key)} cannot be read. Write it as {example}.", key.tag
        ) from error


def _split(vr: str, text: str) -> tuple[str, str]:
    text = text.strip()
    if vr == "DT":
        if _DATETIME.fullmatch(text):
            return text, text
        found = _DATETIME_RANGE.fullmatch(text)
        if found is None:
            raise ValueError(text)
        return found["low"] or "", found["high"] or ""
    low, hyphen, high = text.partition("-")
    return (low.strip(), high.strip()) if hyphen else (low, low)


def _digits(vr: str, text: str, *, last: bool) -> str:
    """Return all digits of a moment, those that are missing filled to its first or last instant."""
    if vr == "DA":
        old = _OLD_DATE.fullmatch(text)
        text = "".join(old.groups()) if old else text
        if not _DATE.fullmatch(text):
            raise ValueError(text)
        return text
    pattern = _TIME if vr == "TM" else _DATETIME
    found = pattern.fullmatch(text) or (_OLD_TIME.fullmatch(text) if vr == "TM" else None)
    if found is None:
        raise ValueError(text)
    widths: tuple[int, ...] = (2, 2, 2)
    lasts: tuple[str, ...] = ("23", "59", "59")
    if vr == "TM":
        *whole, fraction = found.groups()
    else:
        # Archives keep what scanners write: local time without offset. An offset in the key is read
        # and has no say, as PS3.4 C.2.2.2.5 allows where the item has none.
        *whole, fraction, _ = found.groups()
        widths, lasts = (4, 2, 2, 2, 2, 2), ("9999", "12", "31", "23", "59", "59")
    filled = [
        part or (final if last else "0" * width)
        for part, width, final in zip(whole, widths, lasts, strict=True)
    ]
    return "".join(filled) + (fraction or "").ljust(6, "9" if last and not fraction else "0")


def _is_between(vr: str, value: str, bounds: Bounds) -> bool:
    try:
        low, high = _digits(vr, value, last=False), _digits(vr, value, last=True)
    except ValueError:
        # What was stored is no date: no range holds it.
        return False
    return low <= bounds[1] and high >= bounds[0]


def _joined(identifier: Dataset) -> dict[int, int]:
    """Return date keys that have their time key beside them, as Study Date and Study Time."""
    pairs = {}
    for element in identifier:
        if element.VR == "DA" and element.keyword.endswith("Date") and any(texts(element)):
            time_tag = tag_for_keyword(element.keyword.removesuffix("Date") + "Time")
            if time_tag is not None and any(texts(identifier.get(time_tag))):
                pairs[int(element.tag)] = time_tag
    return pairs


def _matches_moment(item: Dataset, date: DataElement, time: DataElement) -> bool:
    """Match a date and a time as one moment (PS3.4 C.2.2.2.5.4)."""
    date_value = next(iter(texts(item.get(date.tag))), "")
    if not date_value:
        return False
    time_value = next(iter(texts(item.get(time.tag))), "") or "000000"
    try:
        moment = _digits("DA", date_value, last=False) + _digits("TM", time_value, last=False)
    except ValueError:
        return False
    low_date, high_date = bounds("DA", texts(date)[0], date)
    low_time, high_time = bounds("TM", texts(time)[0], time)
    low = low_date + (low_time or "0" * 12) if low_date else _LEAST
    open_time = high_time if high_time != _GREATEST else "9" * 12
    high = high_date + open_time if high_date != _GREATEST else _GREATEST
    return low <= moment <= high


# Values ------------------------------------------------------------------------------------------


def texts(element: Element | None) -> list[str]:
    """Return the values of an element as text without padding; none where it is empty."""
    if element is None or element.value is None:
        return []
    value: Any = element.value
    many: Iterable[Any] = value if isinstance(value, MultiValue | list | tuple) else [value]
    found = [str(one).rstrip(" \0") for one in many if one is not None]
    # Leading blanks mean something in the long texts alone.
    if element.VR not in {"LT", "ST", "UT", "UC"}:
        found = [text.strip() for text in found]
    return found


def _numbers(element: Element | None) -> set[float]:
    try:
        return {float(text) for text in texts(element) if text}
    except ValueError as error:
        if element is None:
            raise
        raise InvalidQueryError(f"{_name(element)} must be a number.", element.tag) from error


def _name(element: Element) -> str:
    return element.keyword or str(element.tag)
