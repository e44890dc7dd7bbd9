"""Structured reports as lines that people can read: headings, texts, codes, values, references."""

from collections.abc import Iterator
from dataclasses import dataclass

from imaging import sopclass
from imaging.bytesource import Source, opened
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits, Node
from imaging.errors import UnsupportedError
from imaging.values import Reader

# A report of a whole year's measurements has some thousand items; what nests or repeats beyond
# that is no report.
DEFAULT = HeaderLimits(header_bytes=32 * 2**20, inflated_bytes=64 * 2**20, elements=500_000)
MOST_ITEMS = 5000

_TEXT_BYTES = 256 * 1024
_ITEMS = 1

_CONTENT, _VALUE_TYPE, _RELATIONSHIP = 0x0040A730, 0x0040A040, 0x0040A010
_NAME, _CODE = 0x0040A043, 0x0040A168
_CODE_VALUE, _CODE_SCHEME, _CODE_MEANING = 0x00080100, 0x00080102, 0x00080104
_LONG_CODE_VALUE, _URN_CODE_VALUE = 0x00080119, 0x00080120
_TEXT, _DATE_TIME, _DATE, _TIME = 0x0040A160, 0x0040A120, 0x0040A121, 0x0040A122
_PERSON, _UID = 0x0040A123, 0x0040A124
_MEASURED, _NUMBER, _UNITS, _QUALIFIER = 0x0040A300, 0x0040A30A, 0x004008EA, 0x0040A301
_REFERENCED, _REFERENCED_CLASS, _REFERENCED_INSTANCE = 0x00081199, 0x00081150, 0x00081155
_FRAMES, _SEGMENTS = 0x00081160, 0x0062000B
_GRAPHIC_DATA, _GRAPHIC_TYPE = 0x00700022, 0x00700023
_RANGE_TYPE, _ITEM_IDENTIFIER = 0x0040A130, 0x0040DB73
_COMPLETION, _VERIFICATION = 0x0040A491, 0x0040A493
_VERIFIERS, _VERIFIER, _VERIFIED_AT = 0x0040A073, 0x0040A075, 0x0040A030
_VERIFIER_ORGANIZATION = 0x0040A027
_DAY, _CLOCK = 0x00080023, 0x00080033
_TEXTS = (
    _VALUE_TYPE, _RELATIONSHIP, _CODE_VALUE, _CODE_SCHEME, _CODE_MEANING, _LONG_CODE_VALUE,
    _URN_CODE_VALUE, _TEXT, _DATE_TIME, _DATE, _TIME, _PERSON, _UID, _NUMBER, _REFERENCED_CLASS,
    _REFERENCED_INSTANCE, _FRAMES, _SEGMENTS, _GRAPHIC_DATA, _GRAPHIC_TYPE, _RANGE_TYPE,
    _ITEM_IDENTIFIER, _COMPLETION, _VERIFICATION, _VERIFIER, _VERIFIED_AT, _VERIFIER_ORGANIZATION,
    _DAY, _CLOCK,
)  # fmt: skip
_SEQUENCES = (
    _CONTENT, _NAME, _CODE, _MEASURED, _UNITS, _QUALIFIER, _REFERENCED, _VERIFIERS,
)  # fmt: skip
_WANTED = dict.fromkeys(_TEXTS, _TEXT_BYTES) | dict.fromkeys(_SEQUENCES, _ITEMS)

# Numbers a point of each graphic takes.
_COORDINATES = {"SCOORD": 2, "SCOORD3D": 3}


@dataclass(frozen=True, slots=True)
class Code:
    """A concept: what it means, and its value in a coding scheme (PS3.3 section 8)."""

    meaning: str
    value: str = ""
    scheme: str = ""

    @property
    def words(self) -> str:
        """The meaning, or the value where a writer left the meaning out."""
        return self.meaning or self.value

    @property
    def origin(self) -> str:
        """Value and scheme, for those who look codes up."""
        return f"{self.value} ({self.scheme})" if self.scheme else self.value


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that an item is about; no frame numbers: all of it."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_numbers: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What the instance is."""
        return sopclass.class_name(self.sop_class_uid).removesuffix(" Storage") or "Object"


@dataclass(frozen=True, slots=True)
class Item:
    """One content item.

    Parameters
    ----------
    position : its place in the tree as the standard counts: ``1.2.1``
    depth : levels above it; the root has 0
    relationship : to the item above, as written: ``CONTAINS``, ``HAS PROPERTIES`` ...
    value_type : as written: ``CONTAINER``, ``TEXT``, ``NUM`` ...
    text : the value in words; paragraphs are parted by line ends
    unit : of a number; empty where it has none
    code : of a value that is a concept
    """

    position: str
    depth: int
    relationship: str
    value_type: str
    name: Code | None = None
    text: str = ""
    unit: str = ""
    code: Code | None = None
    references: tuple[Reference, ...] = ()

    @property
    def is_heading(self) -> bool:
        """Whether it holds others under its name."""
        return self.value_type == "CONTAINER"


@dataclass(frozen=True, slots=True)
class Verifier:
    """Who answers for the report."""

    name: str
    organization: str
    at: str


@dataclass(frozen=True, slots=True)
class Report:
    """A report; `items` are in reading order.

    Parameters
    ----------
    is_partial, is_verified : as its flags say; None where they say nothing
    is_cut : whether there are more items than are given
    """

    title: Code | None
    items: tuple[Item, ...]
    day: str
    is_partial: bool | None
    is_verified: bool | None
    verifiers: tuple[Verifier, ...]
    is_cut: bool
    warnings: tuple[str, ...]


def read_report(
    source: Source, *, limits: HeaderLimits = DEFAULT, most_items: int = MOST_ITEMS
) -> Report:
    """Read the content tree of a structured report, whatever its class.

    Parameters
    ----------
    most_items : items after which the report is cut

    Raises
    ------
    UnsupportedError
        When the object has no content tree.
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.3 C.17.3, C.18.
    """
    with opened(source) as file:
        data_set = scan_data_set(file, _WANTED, limits=limits)
    root, reader = data_set.scan.root, data_set.reader
    if _CONTENT not in root and _VALUE_TYPE not in root:
        raise UnsupportedError(
            "The object has no content that could be read as a report. Download the file to open "
            "it elsewhere."
        )
    items: list[Item] = []
    walk = _walk(root, reader)
    is_cut = False
    for item in walk:
        if len(items) == most_items:
            is_cut = True
            break
        items.append(item)
    completion, verification = reader.text(root, _COMPLETION), reader.text(root, _VERIFICATION)
    day, clock = reader.date(root, _DAY), reader.time(root, _CLOCK)
    return Report(
        title=_code(root, _NAME, reader),
        items=tuple(items),
        day=f"{day} {clock:%H:%M}" if day and clock else f"{day or ''}",
        is_partial=completion == "PARTIAL" if completion else None,
        is_verified=verification == "VERIFIED" if verification else None,
        verifiers=tuple(
            Verifier(
                name=reader.name(node, _VERIFIER) or "",
                organization=reader.text(node, _VERIFIER_ORGANIZATION) or "",
                at=_moment(reader.text(node, _VERIFIED_AT) or ""),
            )
            for node in _nodes(root, _VERIFIERS)
        ),
        is_cut=is_cut,
        warnings=tuple(data_set.scan.warnings),
    )


def _walk(root: Node, reader: Reader) -> Iterator[Item]:
    """Go through the tree in reading order; a stack instead of recursion bounds hostile nesting."""
    waiting = [(root, "1", 0)]
    while waiting:
        node, position, depth = waiting.pop()
        yield _item(node, position, depth, reader)
        children = _nodes(node, _CONTENT)[: MOST_ITEMS + 1]
        waiting += [
            (children[number - 1], f"{position}.{number}", depth + 1)
            for number in range(len(children), 0, -1)
        ]


def _item(node: Node, position: str, depth: int, reader: Reader) -> Item:
    value_type = (reader.text(node, _VALUE_TYPE) or "").upper()
    code = _code(node, _CODE, reader) if value_type == "CODE" else None
    text, unit = _value(node, value_type, reader)
    return Item(
        position=position,
        depth=depth,
        relationship=reader.text(node, _RELATIONSHIP) or "",
        value_type=value_type,
        name=_code(node, _NAME, reader),
        text=code.words if code else text,
        unit=unit,
        code=code,
        references=tuple(_references(node, reader)),
    )


def _value(node: Node, value_type: str, reader: Reader) -> tuple[str, str]:
    """Return the value of an item as text, and its unit."""
    if value_type == "NUM":
        return _measured(node, reader)
    text = ""
    if value_type == "TEXT":
        text = reader.paragraphs(node, _TEXT)
    elif value_type == "PNAME":
        text = reader.name(node, _PERSON) or ""
    elif value_type == "UIDREF":
        text = reader.uid(node, _UID)
    elif value_type in {"DATETIME", "DATE", "TIME"}:
        tag = {"DATETIME": _DATE_TIME, "DATE": _DATE, "TIME": _TIME}[value_type]
        raw = reader.text(node, tag) or ""
        text = _clock(raw) if value_type == "TIME" else _moment(raw)
    elif value_type in _COORDINATES:
        text = _graphic(node, _COORDINATES[value_type], reader)
    elif value_type == "TCOORD":
        text = (reader.text(node, _RANGE_TYPE) or "").lower()
    elif not value_type and _ITEM_IDENTIFIER in node:
        numbers = reader.numbers(node, _ITEM_IDENTIFIER, b"UL")
        text = f"see item {'.'.join(str(int(number)) for number in numbers)}"
    return text, ""


def _measured(node: Node, reader: Reader) -> tuple[str, str]:
    measured = _nodes(node, _MEASURED)
    if not measured:
        qualifier = _code(node, _QUALIFIER, reader)
        return (qualifier.words if qualifier else "not measured"), ""
    first = measured[0]
    unit = _code(first, _UNITS, reader)
    text = reader.text(first, _NUMBER) or "no value"
    return text.replace("\\", ", "), _unit(unit)


def _unit(unit: Code | None) -> str:
    """Write a unit of UCUM as people write it: its "1" is no unit, its braces are a remark."""
    if unit is None or unit.value == "1":
        return ""
    if unit.value.startswith("{") or unit.scheme != "UCUM":
        return unit.words if not unit.words.startswith("{") else unit.words.strip("{}")
    return unit.value or unit.meaning


def _graphic(node: Node, size: int, reader: Reader) -> str:
    kind = (reader.text(node, _GRAPHIC_TYPE) or "graphic").lower()
    count = len(reader.numbers(node, _GRAPHIC_DATA, b"FL")) // size
    return f"{kind}, {count} point{'' if count == 1 else 's'}"


def _references(node: Node, reader: Reader) -> Iterator[Reference]:
    for item in _nodes(node, _REFERENCED):
        uid = reader.uid(item, _REFERENCED_INSTANCE)
        if uid:
            frames = reader.numbers(item, _FRAMES, b"IS")
            yield Reference(
                sop_class_uid=reader.uid(item, _REFERENCED_CLASS),
                sop_instance_uid=uid,
                frame_numbers=tuple(int(number) for number in frames if 1 <= number < 2**31),
            )


def _code(node: Node, tag: int, reader: Reader) -> Code | None:
    nodes = _nodes(node, tag)
    if not nodes:
        return None
    first = nodes[0]
    value = next(
        (
            text
            for key in (_CODE_VALUE, _LONG_CODE_VALUE, _URN_CODE_VALUE)
            if (text := reader.text(first, key))
        ),
        "",
    )
    return Code(
        meaning=reader.text(first, _CODE_MEANING) or "",
        value=value,
        scheme=reader.text(first, _CODE_SCHEME) or "",
    )


def _nodes(node: Node, tag: int) -> list[Node]:
    found = node.get(tag)
    return found if isinstance(found, list) else []


def _moment(text: str) -> str:
    """Write a DT or DA value as people write dates; what is none stays as it is (PS3.5 6.2)."""
    if len(text) < 8 or not text[:8].isdigit():
        return text
    day = f"{text[:4]}-{text[4:6]}-{text[6:8]}"
    return f"{day} {_clock(text[8:])}".strip()


def _clock(text: str) -> str:
    digits, _, zone = text.replace("-", "+-").partition("+")
    digits = digits.partition(".")[0]
    if not digits.isdigit() or len(digits) not in {2, 4, 6}:
        return text
    clock = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
    sign = "" if not zone else zone if zone.startswith("-") else f"+{zone}"
    return f"{clock} {sign}".strip()
