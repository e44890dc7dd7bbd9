"""Measurements as DICOM objects know them: what was drawn on which frame, by whom, and its values.

Points are (column, row) with 0, 0 in the centre of the first pixel, as everywhere here. Objects
count from the upper left corner of that pixel (PS3.3 C.18.6.1.2, C.10.5.1.2): writers add
`CORNER`, readers take it off.
"""

from dataclasses import dataclass

CORNER = 0.5

Point = tuple[float, float]
PointMm = tuple[float, float, float]

# Kinds whose points are two opposite corners of a box along the picture's rows and columns.
BOXES = frozenset({"ellipse", "rectangle", "circle"})
# Regions told by the corners of an outline, which ends where it began.
OUTLINES = frozenset({"freehand", "spline", "livewire"})


@dataclass(frozen=True, slots=True)
class Value:
    """One number of a measurement.

    Attributes
    ----------
    name : as people call it: ``Length``, ``Area``, ``Mean``
    unit : ``mm``, ``mm2``, ``px``, ``px2``, ``deg``, ``HU``, ``SUV`` or what the object says
    """

    name: str
    number: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One drawing of ours, ready to be written.

    Attributes
    ----------
    tracking_uid : the same for every version of the drawing (PS3.16 TID 1501)
    frame_number : from 1; None where the image has one frame alone
    unit_source : where the millimetres come from, as `PixelSpacing`; empty: said nowhere
    """

    tracking_uid: str
    kind: str
    sop_instance_uid: str
    frame_number: int | None
    points: tuple[Point, ...]
    label: str = ""
    values: tuple[Value, ...] = ()
    unit_source: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One drawing that an object of any maker holds.

    Attributes
    ----------
    graphic : ``polyline``, ``ellipse`` (ends of the major, then of the minor axis), ``circle``
        (centre, edge), ``point`` or ``text`` (where the words stand)
    points : empty where `points_mm` alone are known
    points_mm : in the patient, of `frame_of_reference_uid`
    frame_numbers : empty: every frame
    """

    graphic: str
    sop_instance_uid: str
    frame_numbers: tuple[int, ...]
    points: tuple[Point, ...]
    points_mm: tuple[PointMm, ...] = ()
    frame_of_reference_uid: str = ""
    is_closed: bool = False
    label: str = ""
    values: tuple[Value, ...] = ()
    tracking_uid: str = ""
    position: str = ""


def box(points: tuple[Point, ...]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the points."""
    columns, rows = [point[0] for point in points], [point[1] for point in points]
    return min(columns), min(rows), max(columns), max(rows)


def outline(drawn: Drawn) -> tuple[str, tuple[Point, ...]]:
    """Return the graphic type and points by which objects tell a drawing.

    Returns
    -------
    ``POINT``, ``POLYLINE`` or ``ELLIPSE`` (ends of the major, then of the minor axis), and points
    counted as ours.

    References
    ----------
    DICOM PS3.3 C.18.6.1.2, C.10.5.1.2.
    """
    if drawn.kind == "circle" and len(drawn.points) == 2:
        # The centre and a point of the edge.
        (column, row), edge = drawn.points
        radius = ((edge[0] - column) ** 2 + (edge[1] - row) ** 2) ** 0.5
        return "ELLIPSE", (
            (column - radius, row),
            (column + radius, row),
            (column, row - radius),
            (column, row + radius),
        )
    if drawn.kind in BOXES:
        left, top, right, bottom = box(drawn.points)
        if drawn.kind == "rectangle":
            corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
            return "POLYLINE", corners
        middle = ((left + right) / 2, (top + bottom) / 2)
        across = ((left, middle[1]), (right, middle[1]))
        down = ((middle[0], top), (middle[0], bottom))
        return "ELLIPSE", (*across, *down) if right - left >= bottom - top else (*down, *across)
    if len(drawn.points) == 1:
        return "POINT", drawn.points
    if drawn.kind in OUTLINES:
        line = closed_curve(drawn.points) if drawn.kind == "spline" else drawn.points
        return "POLYLINE", (*line, line[0])
    if drawn.kind == "bidirectional":
        # The value is the long axis's.
        return "POLYLINE", drawn.points[:2]
    return "POLYLINE", drawn.points


def closed_curve(points: tuple[Point, ...], parts: int = 12) -> tuple[Point, ...]:
    """Return the corners of a closed uniform Catmull-Rom curve through the points.

    Parameters
    ----------
    parts : straight parts of each span between two points

    References
    ----------
    Catmull, Rom: A class of local interpolating splines (1974).
    """
    count = len(points)
    found: list[Point] = []
    for index in range(count):
        spans = [points[(index + step) % count] for step in (-1, 0, 1, 2)]
        for part in range(parts):
            t = part / parts
            column, row = (
                0.5
                * (
                    2 * b
                    + (c - a) * t
                    + (2 * a - 5 * b + 4 * c - d) * t**2
                    + (3 * b - a - 3 * c + d) * t**3
                )
                for a, b, c, d in (tuple(point[axis] for point in spans) for axis in (0, 1))
            )
            found.append((column, row))
    return tuple(found)


def words(value: Value) -> str:
    """Write a value as people read it beside a drawing."""
    units = {"mm2": "mm²", "px2": "px²", "deg": "°"}
    unit = units.get(value.unit, value.unit)
    number = f"{value.number:.1f}" if abs(value.number) < 1e6 else f"{value.number:.4g}"
    return f"{number}{'' if unit == '°' else ' '}{unit}".strip()
