"""Read measurements that objects of any maker hold: structured reports and presentation states."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from imaging.bytesource import Source, opened
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits, Node
from imaging.measured import CORNER, Found, Point, PointMm, Value
from imaging.softcopy import FrameState, Reference, read_softcopy
from imaging.softcopy_graphics import Graphic
from imaging.values import Reader

LIMITS = HeaderLimits(header_bytes=32 * 2**20, inflated_bytes=64 * 2**20, elements=500_000)
MOST_DRAWINGS = 5000
_MOST_ITEMS = 100_000
_MOST_POINTS = 10_000

_CONTENT, _VALUE_TYPE, _RELATIONSHIP = 0x0040A730, 0x0040A040, 0x0040A010
_NAME, _CODE, _UNITS, _MEASURED, _NUMBER = (
    0x0040A043, 0x0040A168, 0x004008EA, 0x0040A300, 0x0040A30A,
)  # fmt: skip
_TEXT, _UID, _PERSON = 0x0040A160, 0x0040A124, 0x0040A123
_CODE_VALUE, _SCHEME, _MEANING = 0x00080100, 0x00080102, 0x00080104
_REFERENCED, _REFERENCED_INSTANCE, _FRAMES = 0x00081199, 0x00081155, 0x00081160
_DATA, _TYPE, _FRAME_OF_REFERENCE = 0x00700022, 0x00700023, 0x30060024
_MANUFACTURER, _DAY, _CLOCK, _CREATED, _CREATED_AT, _CREATOR, _LABEL = (
    0x00080070, 0x00080023, 0x00080033, 0x00700082, 0x00700083, 0x00700084, 0x00700080,
)  # fmt: skip
_WANTED = (
    dict.fromkeys((_CONTENT, _NAME, _CODE, _UNITS, _MEASURED, _REFERENCED), 1)
    | dict.fromkeys(
        (_VALUE_TYPE, _RELATIONSHIP, _NUMBER, _UID, _CODE_VALUE, _SCHEME, _MEANING, _TYPE), 256
    )
    | dict.fromkeys((_REFERENCED_INSTANCE, _FRAME_OF_REFERENCE, _MANUFACTURER, _PERSON), 512)
    | dict.fromkeys((_DAY, _CLOCK, _CREATED, _CREATED_AT, _CREATOR, _LABEL), 512)
    | {_TEXT: 16 * 1024, _FRAMES: 2**16, _DATA: 16 * _MOST_POINTS}
)

# What programs make up to tell drawings apart.
_IS_TOKEN = re.compile(r"(?=.*[0-9])[a-z0-9]{8,}")
_TRACKING_IDENTIFIER, _TRACKING_UID, _OBSERVER = "112039", "112040", "121008"
_FINDINGS = frozenset({"121071"})
_TEXTS = frozenset({"121106", "125309"})
# What the writers of the field say where the standard has a code: a unit, by its UCUM code.
_UNIT_NAMES = {
    "1": "", "{pixels}": "px", "{pixels2}": "px2", "[hnsf'U]": "HU", "hnsf'U": "HU",
    "[hnsf'u]": "HU",    "g/ml{SUVbw}": "SUV", "{SUVbw}g/ml": "SUV", "mm²": "mm2", "°": "deg",
}  # fmt: skip
_DERIVED = {
    "373098007": "Mean", "R-00317": "Mean", "386136009": "SD", "R-10047": "SD",
    "255605001": "Min", "R-404FB": "Min", "56851009": "Max", "G-A437": "Max",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one object holds.

    Attributes
    ----------
    manufacturer, author, at : as the object names them; empty where it does not
    skipped : drawings that cannot be placed on a picture
    """

    drawings: tuple[Found, ...]
    manufacturer: str
    author: str
    at: str
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class _Around:
    """What an item stands in: its measurement group and, in it, its number."""

    group: Node
    number: Node | None = None


def read_report(source: Source, *, limits: HeaderLimits = LIMITS) -> Sheet:
    """Read what a structured report measured, where it says on which picture.

    Templates differ: coordinates stand beside their numbers (PS3.16 TID 1410) or below them
    (TID 300, as Cornerstone and older workstations write), their image below them or beside.

    Raises
    ------
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.3 C.18.6, C.18.9; PS3.16 TID 1500, 1501, 1410, 300.
    """
    with opened(source) as file:
        data_set = scan_data_set(file, _WANTED, limits=limits)
    root, reader = data_set.scan.root, data_set.reader
    found: list[Found] = []
    author, skipped, seen = "", 0, 0
    # A stack instead of recursion bounds hostile nesting; reversed, so that reading order stays.
    waiting: list[tuple[Node, _Around]] = [(root, _Around(root))]
    while waiting and len(found) < MOST_DRAWINGS and seen < _MOST_ITEMS:
        node, around = waiting.pop()
        seen += 1
        kind = (reader.text(node, _VALUE_TYPE) or "").upper()
        if reader.text(node, _RELATIONSHIP) == "HAS PROPERTIES":
            continue  # where words stand, a colour: of a drawing, and none itself
        if kind in ("SCOORD", "SCOORD3D"):
            drawing = _drawing(node, kind, around, reader)
            if drawing is None:
                skipped += 1
            else:
                found.append(drawing)
        elif kind == "PNAME" and not author and _code(node, _NAME, reader)[0] == _OBSERVER:
            author = reader.name(node, _PERSON) or ""
        if kind == "CONTAINER":
            around = _Around(node)
        elif kind == "NUM":
            around = replace(around, number=node)
        waiting += [(child, around) for child in reversed(_items(node, _CONTENT))]
    return Sheet(
        _numbered(found),
        reader.text(root, _MANUFACTURER) or "",
        author,
        _moment(root, reader, _DAY, _CLOCK),
        skipped,
    )


def read_state(source: Source) -> Sheet:
    """Read the graphics and texts of a presentation state.

    Raises
    ------
    UnsupportedError, NotDicomError, TruncatedError, LimitError, DecodeError
        See `imaging.softcopy.read_softcopy`.

    References
    ----------
    DICOM PS3.3 C.10.5.
    """
    with opened(source) as file:
        state = read_softcopy(file)
        file.seek(0)
        data_set = scan_data_set(file, _WANTED, limits=LIMITS)
    root, reader = data_set.scan.root, data_set.reader
    found: list[Found] = []
    skipped = 0
    for references, graphics, texts in state.annotations:
        for reference in references:
            view = state.for_frame(
                reference.sop_instance_uid, next(iter(reference.frame_numbers), 1)
            )
            words = [
                (text.anchor, text.anchor_units, text.words)
                if text.anchor is not None
                else (text.box, text.units, text.words)
                for text in texts
            ]
            drawn = [_graphic(one, reference, view) for one in graphics] + [
                _text(points, units, lines, reference, view) for points, units, lines in words
            ]
            skipped += drawn.count(None)
            found += [one for one in drawn if one is not None]
            if len(found) >= MOST_DRAWINGS:
                break
    return Sheet(
        _numbered(found[:MOST_DRAWINGS]),
        reader.text(root, _MANUFACTURER) or "",
        reader.name(root, _CREATOR) or "",
        _moment(root, reader, _CREATED, _CREATED_AT),
        skipped,
    )


def _numbered(found: Sequence[Found]) -> tuple[Found, ...]:
    return tuple(replace(one, position=str(number)) for number, one in enumerate(found, start=1))


def _items(node: Node, tag: int) -> list[Node]:
    items = node.get(tag)
    return items if isinstance(items, list) else []


def _code(node: Node, tag: int, reader: Reader) -> tuple[str, str]:
    """Return value and meaning of a code."""
    for item in _items(node, tag)[:1]:
        return reader.text(item, _CODE_VALUE) or "", reader.text(item, _MEANING) or ""
    return "", ""


def _moment(root: Node, reader: Reader, day_tag: int, clock_tag: int) -> str:
    day, clock = reader.date(root, day_tag), reader.time(root, clock_tag)
    return f"{day} {clock:%H:%M}" if day and clock else f"{day or ''}"


# Structured reports --------------------------------------------------------------------------


def _drawing(node: Node, kind: str, around: _Around, reader: Reader) -> Found | None:
    numbers = reader.numbers(node, _DATA, b"FL")
    size = 3 if kind == "SCOORD3D" else 2
    count = len(numbers) // size
    graphic = (reader.text(node, _TYPE) or "").upper()
    shape = _shape(graphic, count)
    if shape is None or count > _MOST_POINTS:
        return None
    rows = [tuple(numbers[at * size : (at + 1) * size]) for at in range(count)]
    points: tuple[Point, ...] = ()
    points_mm: tuple[PointMm, ...] = ()
    uid, frames = _picture(node, reader)
    if size == 2:
        if not uid:
            # Some writers name the image once, beside the coordinates.
            uid, frames = _picture(around.group, reader)
        if not uid:
            return None
        points = tuple((row[0] - CORNER, row[1] - CORNER) for row in rows)
    else:
        points_mm = tuple((row[0], row[1], row[2]) for row in rows)
    return Found(
        graphic=shape,
        sop_instance_uid=uid,
        frame_numbers=frames,
        points=points,
        points_mm=points_mm,
        frame_of_reference_uid=reader.uid(node, _FRAME_OF_REFERENCE),
        is_closed=graphic == "POLYGON"
        or (shape == "polyline" and count > 2 and rows[0] == rows[-1]),
        label=_label(around.group, reader),
        values=tuple(_values(around, reader)),
        tracking_uid=_tracking(around.group, reader),
    )


def _shape(graphic: str, count: int) -> str | None:
    """Return how a graphic is drawn; None for what has too few points or is none of a plane."""
    least = {"POINT": 1, "MULTIPOINT": 1, "POLYLINE": 2, "POLYGON": 3, "CIRCLE": 2, "ELLIPSE": 4}
    if graphic not in least or count < least[graphic]:
        return None
    names = {"POINT": "point", "MULTIPOINT": "point", "CIRCLE": "circle", "ELLIPSE": "ellipse"}
    return names.get(graphic, "polyline")


def _picture(node: Node, reader: Reader) -> tuple[str, tuple[int, ...]]:
    """Return the image below an item, by UID, and its frames."""
    for child in _items(node, _CONTENT):
        if (reader.text(child, _VALUE_TYPE) or "").upper() != "IMAGE":
            continue
        for reference in _items(child, _REFERENCED)[:1]:
            frames = reader.numbers(reference, _FRAMES, b"IS")
            numbers = tuple(int(number) for number in frames if 1 <= number < 2**31)
            return reader.uid(reference, _REFERENCED_INSTANCE), numbers
    return "", ()


def _label(group: Node, reader: Reader) -> str:
    """Return what a group is called: its comment, its finding, else its tracking identifier."""
    names = {"text": "", "finding": "", "tracking": ""}
    for child in _items(group, _CONTENT):
        code, _ = _code(child, _NAME, reader)
        if code in _TEXTS:
            names["text"] = names["text"] or reader.paragraphs(child, _TEXT)
        elif code in _FINDINGS:
            value, meaning = _code(child, _CODE, reader)
            # Cornerstone writes free text as the meaning of a code of its own.
            names["finding"] = names["finding"] or meaning or value
        elif code == _TRACKING_IDENTIFIER:
            names["tracking"] = reader.paragraphs(child, _TEXT)
    tracking = names["tracking"]
    # "Cornerstone3DTools@^0.1.0:Length" and UIDs are for programs.
    if "@" in tracking or tracking.replace(".", "").isdigit():
        tracking = tracking.rpartition(":")[2] if ":" in tracking else ""
    # dwv keeps patterns such as {length}, which its own pages fill in.
    if tracking.startswith("{") or _IS_TOKEN.fullmatch(tracking):
        tracking = ""
    for name in ("text", "finding"):
        if names[name].startswith("{") and names[name].endswith("}"):
            names[name] = ""
    return (names["text"] or names["finding"] or tracking)[:1024]


def _tracking(group: Node, reader: Reader) -> str:
    for child in _items(group, _CONTENT):
        if _code(child, _NAME, reader)[0] == _TRACKING_UID:
            return reader.uid(child, _UID)
    return ""


def _values(around: _Around, reader: Reader) -> Iterator[Value]:
    if around.number is not None:
        numbers = [around.number]
    else:
        numbers = [
            child
            for child in _items(around.group, _CONTENT)
            if (reader.text(child, _VALUE_TYPE) or "").upper() == "NUM"
        ]
    for node in numbers[:20]:
        for measured in _items(node, _MEASURED)[:1]:
            number = reader.number(measured, _NUMBER)
            if number is None:
                continue
            code, unit = _code(measured, _UNITS, reader)
            name = _derived(node, reader) or _code(node, _NAME, reader)[1]
            yield Value(name, number, _UNIT_NAMES.get(code, code or unit).strip("{}"))


def _derived(node: Node, reader: Reader) -> str:
    """Return the name of a statistic, by the number's own concept or its derivation."""
    own = _DERIVED.get(_code(node, _NAME, reader)[0])
    if own:
        return own
    for child in _items(node, _CONTENT):
        derived = _DERIVED.get(_code(child, _CODE, reader)[0])
        if derived:
            return derived
    return ""


# Presentation states -------------------------------------------------------------------------


def _graphic(graphic: Graphic, reference: Reference, view: FrameState | None) -> Found | None:
    shape = (
        "polyline" if graphic.kind == "INTERPOLATED" else _shape(graphic.kind, len(graphic.points))
    )
    points = _in_pixels(graphic.points.tolist(), graphic.units, view)
    if shape is None or points is None:
        return None
    return Found(
        graphic=shape,
        sop_instance_uid=reference.sop_instance_uid,
        frame_numbers=reference.frame_numbers,
        points=points,
        is_closed=shape == "polyline" and len(points) > 2 and points[0] == points[-1],
    )


def _text(
    points: object,
    units: str,
    lines: Sequence[str],
    reference: Reference,
    view: FrameState | None,
) -> Found | None:
    listed: list[list[float]] = points.tolist() if hasattr(points, "tolist") else []
    placed = _in_pixels(listed[:1], units, view)
    if not placed:
        return None
    return Found(
        graphic="text",
        sop_instance_uid=reference.sop_instance_uid,
        frame_numbers=reference.frame_numbers,
        points=placed,
        label=" ".join(lines)[:1024],
    )


def _in_pixels(
    points: Sequence[Sequence[float]], units: str, view: FrameState | None
) -> tuple[Point, ...] | None:
    """Return points as ours; shares of the displayed area only where that is not turned."""
    if units == "PIXEL":
        return tuple((column - CORNER, row - CORNER) for column, row in points)
    area = view.area if view is not None else None
    if area is None or view is None or view.turns or view.is_flipped:
        return None
    return tuple(
        (area.left + x * area.width - CORNER, area.top + y * area.height - CORNER)
        for x, y in points
    )
