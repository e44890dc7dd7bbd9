"""Read metadata as the web sends it: the DICOM JSON Model and the Native DICOM Model in XML.

Both become the JSON model first, so that one reader decides what is lawful. Bulk data stays where
it is: the reader only says which element wants it.
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from pydicom.dataset import Dataset

from imaging.errors import ImagingError, LimitError

MOST_BYTES = 16 * 2**20
# Objects and arrays of a document, and elements of one instance: in memory the smallest of the
# former take thirty times their bytes, the latter a kilobyte each.
_MOST_NODES = 400_000
_MOST_ELEMENTS = 100_000
_MOST_DEPTH = 64
_MOST_XML_DEPTH = 4 * _MOST_DEPTH
UTF_8 = "ISO_IR 192"
_SPECIFIC_CHARACTER_SET = "00080005"
_HEX = frozenset("0123456789ABCDEF")

_TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})

JsonObject = dict[str, Any]


class MetadataError(ImagingError):
    """What came is no metadata of DICOM; the message says where it goes wrong."""


@dataclass(slots=True)
class Metadata:
    """One instance without its bulk data.

    Attributes
    ----------
    data_set : everything that was inline; in Unicode, its character set UTF-8 where it needs more
        than ASCII
    meta : elements of group 0002 that came along, by tag
    bulk : address of the bulk data of top-level elements, by tag, with their VR
    """

    data_set: Dataset
    meta: JsonObject = field(default_factory=dict)
    bulk: dict[int, tuple[str, str]] = field(default_factory=dict)


def models_of_json(data: bytes) -> list[Any]:
    """Read an array of objects of the DICOM JSON Model, or a single one.

    Parameters
    ----------
    data : UTF-8

    Returns
    -------
    The objects, for `metadata_of`; nothing about them has been checked.

    Raises
    ------
    MetadataError
        When it is no such thing.
    LimitError
        When it is larger or deeper than this reader follows.

    References
    ----------
    DICOM PS3.18 annex F.
    """
    _check_size(data)
    if data.count(b"{") + data.count(b"[") > _MOST_NODES:
        raise LimitError(f"The JSON holds more than {_MOST_NODES} objects and arrays. Send fewer.")
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except RecursionError as error:
        raise LimitError("The JSON is nested too deep.") from error
    except ValueError as error:
        raise MetadataError(f"The metadata is no JSON: {error}.") from error
    return found if isinstance(found, list) else [found]


def models_of_xml(data: bytes) -> list[Any]:
    """Read a Native DICOM Model in XML as one object of the JSON model; see `models_of_json`.

    References
    ----------
    DICOM PS3.19 section A.1.
    """
    _check_size(data)
    return [_XmlReader().read(data)]


def _check_size(data: bytes) -> None:
    if len(data) > MOST_BYTES:
        raise LimitError(f"The metadata is larger than {MOST_BYTES} bytes. Send bulk data apart.")


def metadata_of(model: Any, fetch: Callable[[str], bytes]) -> Metadata:  # noqa: ANN401 - any JSON
    """Turn one object of the JSON model into a data set.

    Parameters
    ----------
    fetch : returns the bulk data at an address, for elements inside sequences

    Raises
    ------
    MetadataError
        When it is no such thing.
    LimitError
        When it is larger or deeper than this reader follows.

    References
    ----------
    DICOM PS3.18 section F.2.
    """
    if not isinstance(model, dict):
        raise MetadataError('An instance is a JSON object whose names are tags: {"00080018": ...}.')
    wanted: JsonObject = {}
    meta: JsonObject = {}
    bulk: dict[int, tuple[str, str]] = {}
    for name, element in model.items():
        tag = _tag(name)
        _check_element(name, element)
        if tag >> 16 in (0x0000, 0x0002):
            if tag >> 16 == 2:
                meta[name] = element
        elif "BulkDataURI" in element and element["vr"] in _TEXT_VRS:
            text = _fetched(fetch, element["vr"], str(element["BulkDataURI"]))
            wanted[name] = {"vr": element["vr"], "Value": [text]}
        elif "BulkDataURI" in element:
            bulk[tag] = (element["vr"], str(element["BulkDataURI"]))
        elif tag & 0xFFFF:
            wanted[name] = element
    _check_depth(wanted)
    try:
        data_set = Dataset.from_json(wanted, lambda _tag, vr, uri: _fetched(fetch, vr, uri))
        _use_utf_8(data_set, wanted)
    except ImagingError:
        raise
    except RecursionError as error:
        raise LimitError("The metadata is nested too deep.") from error
    except Exception as error:  # pydicom raises anything on bad input
        raise MetadataError(f"The metadata cannot be read: {_first_line(error)}.") from error
    return Metadata(data_set, meta, bulk)


def _fetched(fetch: Callable[[str], bytes], vr: str, uri: str) -> bytes | str:
    """Return bulk data as a value: what is text comes in UTF-8, as all of the metadata."""
    value = fetch(uri)
    if vr not in _TEXT_VRS:
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MetadataError(f"The text at {uri[:100]} is not in UTF-8.") from error


def _first_line(error: Exception) -> str:
    """Return what is wrong without repeating long values."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _tag(name: object) -> int:
    if not isinstance(name, str) or len(name) != 8 or not _HEX.issuperset(name.upper()):
        raise MetadataError("Names in DICOM JSON are tags of eight hexadecimal digits.")
    return int(name, 16)


def _check_element(name: str, element: Any) -> None:  # noqa: ANN401 - any JSON
    if not isinstance(element, dict) or not isinstance(element.get("vr"), str):
        raise MetadataError(f"Element {name} has no 'vr'.")
    if len(element["vr"]) != 2:
        raise MetadataError(f"Element {name} has a 'vr' that is none.")
    if sum(key in element for key in ("Value", "BulkDataURI", "InlineBinary")) > 1:
        raise MetadataError(f"Element {name} has more than one value.")
    if "InlineBinary" in element:
        try:
            text = "".join(element["InlineBinary"].split())
            base64.b64decode(text, validate=True)
        except (AttributeError, ValueError):
            raise MetadataError(f"The 'InlineBinary' of element {name} is no base64.") from None
        element["InlineBinary"] = text
    if not isinstance(element.get("Value", []), list):
        raise MetadataError(f"The 'Value' of element {name} is no array.")


def _check_depth(model: JsonObject) -> None:
    """Walk the sequences without recursion and check every element in them."""
    count, depth = len(model), 0
    level = list(_items(model))
    while level:
        depth += 1
        if depth > _MOST_DEPTH:
            raise LimitError(f"The metadata nests sequences deeper than {_MOST_DEPTH}.")
        below: list[JsonObject] = []
        for item in level:
            count += len(item) + 1
            for name, element in item.items():
                _tag(name)
                _check_element(name, element)
            below.extend(_items(item))
        level = below
    if count > _MOST_ELEMENTS:
        raise LimitError(f"The metadata holds more than {_MOST_ELEMENTS} elements and items.")


def _items(model: JsonObject) -> Iterator[JsonObject]:
    for name, element in model.items():
        if element["vr"] != "SQ":
            continue
        for item in element.get("Value", ()):
            if item is None:
                continue  # an empty item (PS3.18 F.2.5)
            if not isinstance(item, dict):
                raise MetadataError(f"An item of sequence {name} is no object.")
            yield item


def _use_utf_8(data_set: Dataset, model: JsonObject) -> None:
    """Name the character set in which the text is written: it came as Unicode (PS3.18 F.2.1)."""
    text = json.dumps(model, ensure_ascii=False)
    if text.isascii():
        return
    data_set.SpecificCharacterSet = UTF_8
    for item in _walk(data_set):
        if "SpecificCharacterSet" in item:
            del item.SpecificCharacterSet


def _walk(data_set: Dataset) -> Iterator[Dataset]:
    waiting = [data_set]
    while waiting:
        for element in waiting.pop():
            if element.VR == "SQ":
                for item in element.value:
                    yield item
                    waiting.append(item)


class _XmlReader:
    """Builds the JSON model while the parser walks; a document type is refused at once."""

    def __init__(self) -> None:
        self._model: JsonObject = {}
        # Open data sets, innermost last; an element's items go on top.
        self._data_sets: list[JsonObject] = []
        self._elements: list[JsonObject] = []
        self._names: list[str] = []
        self._text: list[str] = []
        self._person: dict[str, dict[str, str]] = {}
        self._blocks: dict[tuple[int, int, str], int] = {}
        self._count = 0

    def read(self, data: bytes) -> JsonObject:
        """Return the document as an object of the JSON model."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse_document_type
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise MetadataError(f"The metadata is no XML: {error}.") from error
        return self._model

    def _refuse_document_type(self, *_: object) -> None:
        raise MetadataError("The XML names a document type; the Native DICOM Model has none.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        parent = self._names[-1] if self._names else ""
        self._names.append(local)
        self._count += 1
        if len(self._names) > _MOST_XML_DEPTH:
            raise LimitError(f"The XML nests deeper than {_MOST_XML_DEPTH}.")
        if self._count > _MOST_NODES:
            raise LimitError(f"The XML holds more than {_MOST_NODES} elements. Send fewer.")
        self._text.clear()
        if not parent:
            if local != "NativeDicomModel":
                raise MetadataError("The XML is no NativeDicomModel (PS3.19 A.1).")
            self._data_sets.append(self._model)
        elif local == "DicomAttribute" and parent in {"NativeDicomModel", "Item"}:
            element: JsonObject = {"vr": attributes.get("vr", "")}
            self._elements.append(element)
            self._data_sets[-1][self._tag(attributes)] = element
        elif local == "Item" and parent == "DicomAttribute":
            item: JsonObject = {}
            self._elements[-1].setdefault("Value", []).append(item)
            self._data_sets.append(item)
        elif local == "BulkData" and parent == "DicomAttribute":
            uri = attributes.get("uri") or attributes.get("uuid") or attributes.get("URI") or ""
            self._elements[-1]["BulkDataURI"] = uri
        elif local == "PersonName":
            self._person = {}
        elif parent == "PersonName":
            self._person[local] = {}

    def _end(self, name: str) -> None:
        local = name.rpartition(":")[2]
        self._names.pop()
        parent = self._names[-1] if self._names else ""
        text = "".join(self._text)
        if local == "DicomAttribute":
            self._elements.pop()
        elif local in {"Item", "NativeDicomModel"}:
            self._data_sets.pop()
        elif local == "Value" and parent == "DicomAttribute":
            self._add(_value_of(text, self._elements[-1]["vr"]))
        elif local == "InlineBinary" and parent == "DicomAttribute":
            self._elements[-1]["InlineBinary"] = text.strip()
        elif local == "PersonName" and parent == "DicomAttribute":
            self._add({group: _joined(parts) for group, parts in self._person.items()})
        elif parent in self._person:
            self._person[parent][local] = text
        self._text.clear()

    def _add(self, value: object) -> None:
        self._elements[-1].setdefault("Value", []).append(value)

    def _tag(self, attributes: dict[str, str]) -> str:
        """Return the tag; a private one whose block is left open (00) gets a block of its own."""
        tag = _tag(attributes.get("tag", ""))
        creator = attributes.get("privateCreator")
        group, number = tag >> 16, tag & 0xFFFF
        if not creator or not group & 1 or number >= 0x1000:
            return f"{tag:08X}"
        where = (id(self._data_sets[-1]), group, creator)
        if where not in self._blocks:
            self._blocks[where] = self._block(group, creator)
        return f"{group:04X}{self._blocks[where]:02X}{number & 0xFF:02X}"

    def _block(self, group: int, creator: str) -> int:
        """Return the block that a creator has reserved, or reserve the next one (PS3.5 7.8.1)."""
        data_set = self._data_sets[-1]
        for block in range(0x10, 0x100):
            known = data_set.get(f"{group:04X}{block:04X}")
            if known is None:
                data_set[f"{group:04X}{block:04X}"] = {"vr": "LO", "Value": [creator]}
            if known is None or known.get("Value") == [creator]:
                return block
        raise MetadataError(f"Group {group:04X} has no block left for private elements.")


_WHOLE = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_REAL = frozenset({"DS", "FL", "FD"})


def _value_of(text: str, vr: str) -> object:
    """Return an XML value as the JSON model has it: numbers as numbers."""
    if not text:
        return None
    try:
        if vr in _WHOLE:
            return int(text)
        if vr in _REAL:
            # Decimal strings keep their digits: DS takes text as well.
            return text.strip() if vr == "DS" else float(text)
    except ValueError:
        raise MetadataError(f"A value of type {vr} is no number.") from None
    return text


def _joined(parts: dict[str, str]) -> str:
    """Return the components of a name as one PN group."""
    order = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
    return "^".join(parts.get(name, "") for name in order).rstrip("^")
