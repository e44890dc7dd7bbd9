"""The DICOM JSON Model: data sets and answers of queries as JSON (PS3.18 annex F).

`of_data_set` describes a stored object without loading what is large: it reads the raw elements
that pydicom found and converts most of them itself, which takes a fifth of pydicom's own time.
"""

from __future__ import annotations

import base64
import math
import struct
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, BinaryIO

import pydicom
from pydicom import charset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from imaging.errors import NotDicomError

Json = dict[str, Any]
# From the top: tags and, between them, the numbers of items from 1.
Path = tuple[int, ...]
# Returns the address of a value that is left out, or None to have it in the document.
BulkUri = Callable[[Path], str]

SPECIFIC_CHARACTER_SET = "00080005"
UTF_8 = "ISO_IR 192"

# Of one value in bytes: more becomes bulk data. Private blobs are mostly beyond, small lookup
# tables within.
BULK_BYTES = 2048
_BULK_TEXT_BYTES = 64 * 1024
# pydicom leaves larger values in the file.
_DEFER_BYTES = 64 * 1024

_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_WITH_ADDRESS = _BINARY | {"DS", "FL", "FD", "IS", "LT", "SL", "SS", "ST", "SV"}
_WITH_ADDRESS |= {"UC", "UL", "US", "UT", "UV"}
_ONE_TEXT = frozenset({"LT", "ST", "UT", "UR"})
_CODED_TEXT = frozenset({"LO", "SH", "UC", "LT", "ST", "UT"})
# Characters after which escape sequences are forgotten (PS3.5 6.1.2.5.3).
_TEXT_ENDS = set(b"\r\n\t\f")
_NAME_ENDS = _TEXT_ENDS | set(b"\\^=")
_NUMBERS = {"SS": "h", "US": "H", "SL": "i", "UL": "I", "SV": "q", "UV": "Q", "FL": "f", "FD": "d"}
_UNDECLARED = ["undeclared"]
_PLAIN_ASCII = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
# Greater whole numbers lose digits in programs that read JSON numbers as doubles.
_SAFE_WHOLE = 2**53
_PN_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


# What pydicom raises for what it cannot read is not one class.
_PYDICOM_ERRORS = (
    InvalidDicomError,
    OSError,
    ValueError,
    TypeError,
    EOFError,
    AttributeError,
    LookupError,
    RecursionError,
    NotImplementedError,
    struct.error,
)


# Answers of queries ------------------------------------------------------------------------------


def of_texts(record: Mapping[str, Any]) -> Json:
    """Describe attributes that are known as text.

    Parameters
    ----------
    record : by keyword: text, its values parted by backslashes, or a sequence's items

    Returns
    -------
    The model, in the order of tags. Attributes without a value have a VR alone.

    References
    ----------
    DICOM PS3.18 section F.2.
    """
    found: Json = {}
    for keyword, value in record.items():
        known = _tag_of(keyword)
        if known is None:
            continue
        tag, vr = known
        if vr == "SQ":
            found[tag] = {"vr": vr, "Value": [of_texts(item) for item in value]}
        else:
            found[tag] = _with_values(vr, _values_of_text(vr, str(value)))
    return dict(sorted(found.items()))


@lru_cache(maxsize=4096)
def _tag_of(keyword: str) -> tuple[str, str] | None:
    tag = tag_for_keyword(keyword)
    return None if tag is None else (f"{tag:08X}", dictionary_VR(tag).split(" or ")[0])


def _values_of_text(vr: str, text: str) -> list[Any]:
    if not text:
        return []
    parts = [text] if vr in _ONE_TEXT else text.split("\\")
    return [_value_of_text(vr, part) for part in parts]


def _value_of_text(vr: str, text: str) -> Any:  # noqa: ANN401 - a value of JSON
    if vr in ("LT", "ST", "UT"):
        return text.rstrip(" \0") or None
    text = text.strip(" \0")
    if not text:
        return None
    if vr == "PN":
        return _name(text)
    if vr in ("IS", "DS") or vr in _NUMBERS:
        return _number(text)
    return text


def _name(text: str) -> Json | None:
    groups = zip(_PN_GROUPS, text.split("="), strict=False)
    # An empty name in a list of names is null, as every empty value.
    return {name: part for name, group in groups if (part := group.strip())} or None


def _number(text: str) -> int | float | str:
    """Return a number; text that is none, or that a double would change, stays text."""
    try:
        whole = int(text)
    except ValueError:
        pass
    else:
        return whole if abs(whole) <= _SAFE_WHOLE else text
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _with_values(vr: str, values: Sequence[Any]) -> Json:
    """Return an attribute; what is wholly empty has no Value (PS3.18 F.2.5)."""
    if all(value is None for value in values):
        return {"vr": vr}
    return {"vr": vr, "Value": list(values)}


# Data sets ---------------------------------------------------------------------------------------


def read(file: BinaryIO, *, is_whole: bool = False) -> Dataset:
    """Read a stored object as far as it is described: up to its pixel data, large values left out.

    Parameters
    ----------
    is_whole : load large values, too

    Raises
    ------
    NotDicomError
        When pydicom cannot read it.
    """
    try:
        with warnings.catch_warnings():
            # The archive has looked at the object when it came; oddities were told then.
            warnings.simplefilter("ignore")
            return pydicom.dcmread(
                file,
                stop_before_pixels=True,
                defer_size=None if is_whole else _DEFER_BYTES,
                force=True,
            )
    except _PYDICOM_ERRORS as error:
        raise NotDicomError("The object's header cannot be read.") from error


def of_data_set(
    dataset: Dataset,
    bulk_uri: BulkUri,
    *,
    bulk_bytes: int = BULK_BYTES,
    extra: Mapping[str, Json] | None = None,
) -> Json:
    """Describe a data set in UTF-8; large values become addresses.

    Parameters
    ----------
    dataset : from `read`; group 2 and group lengths are left out
    bulk_uri : says where a value that is left out can be fetched
    bulk_bytes : binary values up to this are in the document
    extra : attributes that the data set does not hold, such as its pixel data

    References
    ----------
    DICOM PS3.18 section F.2.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _Writer(bulk_uri, bulk_bytes).data_set(dataset, (), _UNDECLARED)
    if extra:
        found = dict(sorted({**found, **extra}.items()))
    return found


class _Writer:
    """Describes one data set with all its items."""

    def __init__(self, bulk_uri: BulkUri, bulk_bytes: int) -> None:
        self._bulk_uri = bulk_uri
        self._bulk_bytes = bulk_bytes

    def data_set(self, dataset: Dataset, path: Path, outer: list[str]) -> Json:
        encodings = _encodings_of(dataset, outer)
        found: Json = {}
        for tag in sorted(dataset.keys()):
            if tag.element == 0 or tag.group in (0, 2):
                continue
            name = f"{int(tag):08X}"
            if name == SPECIFIC_CHARACTER_SET:
                # The document is in UTF-8, whatever the object is in (PS3.18 F.2.1).
                found[name] = {"vr": "CS", "Value": [UTF_8]}
                continue
            found[name] = self._attribute(dataset, tag, (*path, int(tag)), encodings)
        return found

    def _attribute(self, dataset: Dataset, tag: Any, path: Path, encodings: list[str]) -> Json:  # noqa: ANN401
        raw = dataset.get_item(tag, keep_deferred=True)
        if isinstance(raw, RawDataElement):
            found = self._raw(raw, path, encodings)
            if found is not None:
                return found
        try:
            element = dataset[tag]
        except _PYDICOM_ERRORS:
            return self._as_unknown(raw, path)
        return self._element(element, path, encodings)

    def _raw(self, raw: RawDataElement, path: Path, encodings: list[str]) -> Json | None:
        """Describe an element from its bytes; None for what pydicom must convert."""
        vr = raw.VR if raw.VR not in (None, "UN") else _vr_of(raw)
        if raw.value is None and raw.length:
            return self._address(vr or "UN", path)
        if vr is None or vr == "SQ" or " or " in vr:
            return None
        return self._bytes(vr, raw.value or b"", path, encodings, little=raw.is_little_endian)

    def _bytes(
        self, vr: str, value: bytes, path: Path, encodings: list[str], *, little: bool
    ) -> Json:
        if vr in _BINARY:
            if len(value) > self._bulk_bytes:
                return self._address(vr, path)
            return _inline(vr, value if little else _swapped(vr, value))
        if not value:
            return {"vr": vr}
        if vr in _WITH_ADDRESS and len(value) > _BULK_TEXT_BYTES:
            return self._address(vr, path)
        if vr in _NUMBERS:
            return _with_values(vr, _unpacked(vr, value, little=little))
        if vr == "AT":
            return _with_values(vr, _tags(value, little=little))
        if vr == "PN":
            return _with_values(vr, [_name(part) for part in _names(value, encodings)])
        text = _decoded(value, encodings) if vr in _CODED_TEXT else value.decode("latin-1")
        return _with_values(vr, _values_of_text(vr, text.rstrip("\0")))

    def _element(self, element: DataElement, path: Path, encodings: list[str]) -> Json:
        """Describe what pydicom has converted: sequences and what implicit VR leaves open."""
        vr = str(element.VR).split(" or ")[0]
        value = element.value
        if vr == "SQ":
            items = [
                self.data_set(item, (*path, number), encodings)
                for number, item in enumerate(value or [], start=1)
            ]
            return {"vr": vr, "Value": items} if items else {"vr": vr}
        if isinstance(value, bytes):
            if len(value) > self._bulk_bytes:
                return self._address(vr if vr in _WITH_ADDRESS else "UN", path)
            return _inline(vr if vr in _BINARY else "UN", value)
        many: Iterable[Any] = value if isinstance(value, MultiValue | list) else [value]
        if vr == "AT":
            return _with_values(vr, [None if one is None else f"{int(one):08X}" for one in many])
        if vr in _BINARY or vr in ("FL", "FD"):
            return _with_values(vr, [None if one is None else _finite(one) for one in many])
        return _with_values(
            vr, [None if one is None else _value_of_text(vr, str(one)) for one in many]
        )

    def _as_unknown(self, raw: Any, path: Path) -> Json:  # noqa: ANN401 - whatever pydicom kept
        value = getattr(raw, "value", None)
        if isinstance(value, bytes) and len(value) <= self._bulk_bytes:
            return _inline("UN", value)
        return self._address("UN", path)

    def _address(self, vr: str, path: Path) -> Json:
        return {"vr": vr if vr in _WITH_ADDRESS else "UN", "BulkDataURI": self._bulk_uri(path)}


def value_bytes(dataset: Dataset, path: Path) -> bytes | None:
    """Return the bytes of a value that `of_data_set` gave an address.

    Parameters
    ----------
    dataset : from `read`, whole
    path : of the element

    Returns
    -------
    The value as explicit VR little endian has it, text in UTF-8; None where there is none.

    References
    ----------
    DICOM PS3.18 section 10.4.1.1.5.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _value_bytes(dataset, path, _UNDECLARED)
        except _PYDICOM_ERRORS:
            return None


def _value_bytes(dataset: Dataset, path: Path, outer: list[str]) -> bytes | None:
    encodings = _encodings_of(dataset, outer)
    tag, *rest = path
    if tag not in dataset:
        return None
    if rest:
        items = dataset[tag].value
        number, *inner = rest
        if dataset[tag].VR != "SQ" or not 1 <= number <= len(items):
            return None
        return _value_bytes(items[number - 1], tuple(inner), encodings)
    raw: Any = dataset.get_item(tag)
    if not isinstance(raw, RawDataElement):
        # pydicom converted it while it read, as it does in items of unknown length.
        converted: Any = dataset[tag].value
        return converted if isinstance(converted, bytes) else str(converted).encode()
    value = raw.value or b""
    vr = raw.VR if raw.VR not in (None, "UN") else _vr_of(raw) or "UN"
    if vr in _CODED_TEXT:
        return _decoded(value, encodings).rstrip("\0").encode()
    if raw.is_little_endian:
        return value
    return _swapped(vr, value)


def path_text(path: Path) -> str:
    """Return a path as an address has it: ``54000100/1/54001010``."""
    return "/".join(str(n) if at % 2 else f"{n:08X}" for at, n in enumerate(path))


def parse_path(text: str) -> Path | None:
    """Read what `path_text` wrote; None for anything else.

    Examples
    --------
    >>> parse_path("00880200/1/7FE00010")
    (8913408, 1, 2145386512)
    """
    parts = text.split("/")
    if len(parts) % 2 == 0 or len(parts) > 17:
        return None
    found = []
    for at, part in enumerate(parts):
        if at % 2:
            if not (part.isascii() and part.isdecimal() and len(part) <= 6):
                return None
            found.append(int(part))
        else:
            if len(part) != 8 or not all(c in "0123456789abcdefABCDEF" for c in part):
                return None
            found.append(int(part, 16))
    return tuple(found)


def _encodings_of(dataset: Dataset, outer: list[str]) -> list[str]:
    """Return Python's names for the character sets of a data set; an item may have its own."""
    raw = dataset.get_item(0x00080005) if 0x00080005 in dataset else None
    if raw is None:
        return outer
    value: Any = raw.value
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        value = [part.strip(" \0") for part in value.split("\\")]
    names = [str(one) for one in value or []]
    if all(name in _PLAIN_ASCII for name in names):
        # Many objects hold other letters without saying so.
        return _UNDECLARED
    try:
        return charset.convert_encodings(names)
    except (LookupError, ValueError):
        return _UNDECLARED


def _decoded(value: bytes, encodings: list[str]) -> str:
    if encodings is _UNDECLARED:
        return _guessed(value)
    if value.isascii() and b"\x1b" not in value and encodings[0] != "shift_jis":
        return value.decode("ascii")
    return charset.decode_bytes(value, encodings, _TEXT_ENDS)


def _guessed(value: bytes) -> str:
    """Decode what says nothing about its letters, or says ASCII and is not; as `imaging.values`."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _names(value: bytes, encodings: list[str]) -> list[str]:
    """Decode person names group by group: an escape sequence ends with its group."""
    if encodings is _UNDECLARED:
        return _guessed(value).rstrip(" \0").split("\\")
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii").rstrip(" \0").split("\\")
    whole = charset.decode_bytes(value, encodings, _NAME_ENDS)
    return whole.rstrip(" \0").split("\\")


def _vr_of(raw: RawDataElement) -> str | None:
    """Return the VR that the dictionary gives; None where pydicom must look further."""
    tag = raw.tag
    if tag.is_private:
        return "LO" if tag.is_private_creator else None
    if raw.VR == "UN":
        return None
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


def _unpacked(vr: str, value: bytes, *, little: bool) -> list[Any]:
    code = _NUMBERS[vr]
    size = struct.calcsize(code)
    count = len(value) // size
    values = struct.unpack_from(f"{'<' if little else '>'}{count}{code}", value)
    if vr in ("FL", "FD"):
        return [_finite(one) for one in values]
    if vr in ("SV", "UV"):
        return [one if abs(one) <= _SAFE_WHOLE else str(one) for one in values]
    return list(values)


def _finite(value: Any) -> Any:  # noqa: ANN401 - a number
    """Return a number that JSON has; the others as text (it has no NaN)."""
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _tags(value: bytes, *, little: bool) -> list[str]:
    numbers = struct.unpack_from(f"{'<' if little else '>'}{len(value) // 2}H", value)
    pairs = zip(numbers[::2], numbers[1::2], strict=False)
    return [f"{group:04X}{element:04X}" for group, element in pairs]


_WORDS = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
_WORDS |= {vr: struct.calcsize(code) for vr, code in _NUMBERS.items()}


def _swapped(vr: str, value: bytes) -> bytes:
    """Return big endian words in the order that binary values have in documents: little endian."""
    size = _WORDS.get(vr, 1)
    if size == 1 or len(value) % size:
        return value
    swapped = bytearray(len(value))
    for at in range(size):
        swapped[at::size] = value[size - 1 - at :: size]
    return bytes(swapped)


def _inline(vr: str, value: bytes) -> Json:
    if not value:
        return {"vr": vr}
    return {"vr": vr, "InlineBinary": base64.b64encode(value).decode("ascii")}
