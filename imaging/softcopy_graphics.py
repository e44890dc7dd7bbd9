"""Graphic layers, vector graphics and texts of presentation states."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from imaging.burnin import drawable, font
from imaging.elements import Node, Value
from imaging.values import Reader
from imaging.viewport import View

Units = Literal["PIXEL", "DISPLAY"]
Points = NDArray[np.float64]
Colour = int | tuple[int, int, int]

_ANNOTATIONS, _LAYERS, _TEXTS, _GRAPHICS = 0x00700001, 0x00700060, 0x00700008, 0x00700009
_LAYER, _ORDER, _GREY, _LAB = 0x00700002, 0x00700062, 0x00700066, 0x00700401
_BOX_UNITS, _ANCHOR_UNITS, _GRAPHIC_UNITS = 0x00700003, 0x00700004, 0x00700005
_WORDS, _BOX_FIRST, _BOX_LAST, _JUSTIFIED = 0x00700006, 0x00700010, 0x00700011, 0x00700012
_ANCHOR, _ANCHOR_VISIBLE = 0x00700014, 0x00700015
_DATA, _TYPE, _FILLED = 0x00700022, 0x00700023, 0x00700024
_MOST_POINTS = 100_000
_MOST_OBJECTS = 5000

GRAPHIC_TAGS: dict[int, int] = (
    dict.fromkeys((_ANNOTATIONS, _LAYERS, _TEXTS, _GRAPHICS), 0)
    | dict.fromkeys((_LAYER, _ORDER, _GREY, _LAB, _TYPE, _FILLED, _JUSTIFIED), 256)
    | dict.fromkeys((_BOX_UNITS, _ANCHOR_UNITS, _GRAPHIC_UNITS, _ANCHOR_VISIBLE), 64)
    | dict.fromkeys((_BOX_FIRST, _BOX_LAST, _ANCHOR), 64)
    | {_WORDS: 4096, _DATA: 8 * _MOST_POINTS}
)


@dataclass(frozen=True, slots=True)
class Layer:
    """A graphic layer: later orders are drawn over earlier ones.

    Parameters
    ----------
    grey : P-value, 0 to 65535
    lab : CIELab scaled to 16 bits, for colour displays
    """

    name: str
    order: int = 0
    grey: int = 65535
    lab: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Graphic:
    """A shape; `points` has shape (n, 2), column and row, or shares of the displayed area."""

    layer: str
    kind: str
    units: Units
    points: Points
    is_filled: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Words in a box, or beside an anchor point."""

    layer: str
    words: tuple[str, ...]
    units: Units = "PIXEL"
    box: Points | None = None
    justified: str = "LEFT"
    anchor: Points | None = None
    anchor_units: Units = "PIXEL"
    has_line: bool = False


def read_layers(root: Node, reader: Reader) -> tuple[Layer, ...]:
    """Read the Graphic Layer Module (PS3.3 section C.10.7)."""
    layers = []
    for item in _items(root, _LAYERS):
        lab = reader.numbers(item, _LAB, b"US")
        grey = reader.integer(item, _GREY, b"US")
        layers.append(
            Layer(
                reader.text(item, _LAYER) or "",
                reader.integer(item, _ORDER) or 0,
                65535 if grey is None else grey,
                (lab[0], lab[1], lab[2]) if len(lab) == 3 else None,
            )
        )
    return tuple(sorted(layers, key=lambda layer: layer.order))


def read_graphics(
    root: Node, reader: Reader
) -> Iterator[tuple[Node, tuple[Graphic, ...], tuple[Text, ...]]]:
    """Read the Graphic Annotation Module (PS3.3 section C.10.5), item by item."""
    for item in _items(root, _ANNOTATIONS):
        layer = reader.text(item, _LAYER) or ""
        graphics = (_graphic(layer, node, reader) for node in _items(item, _GRAPHICS))
        texts = (_text(layer, node, reader) for node in _items(item, _TEXTS))
        yield (
            item,
            tuple(graphic for graphic in graphics if graphic)[:_MOST_OBJECTS],
            tuple(text for text in texts if text)[:_MOST_OBJECTS],
        )


def _items(node: Node, tag: int) -> list[Node]:
    items = node.get(tag)
    return items if isinstance(items, list) else []


def _units(node: Node, tag: int, reader: Reader) -> Units:
    return "DISPLAY" if reader.text(node, tag) == "DISPLAY" else "PIXEL"


def _points(node: Node, tag: int, reader: Reader) -> Points | None:
    values = reader.numbers(node, tag, b"FL")
    points = np.array(values[: len(values) & ~1], np.float64).reshape(-1, 2)
    if not len(points) or not np.isfinite(points).all() or np.abs(points).max() > 1e6:
        return None
    return points


def _graphic(layer: str, node: Node, reader: Reader) -> Graphic | None:
    points = _points(node, _DATA, reader)
    if points is None:
        return None
    return Graphic(
        layer,
        reader.text(node, _TYPE) or "",
        _units(node, _GRAPHIC_UNITS, reader),
        points,
        reader.text(node, _FILLED) == "Y",
    )


def _lines(node: Node, reader: Reader) -> tuple[str, ...]:
    """Read words line by line; at the end of a line every character set is the first one again."""
    element = node.get(_WORDS)
    if not isinstance(element, Value):
        return ()
    parts = re.split(rb"\r\n|[\r\n\f]", element.raw)
    texts = (reader.text({_WORDS: Value(element.vr, part)}, _WORDS) for part in parts)
    return tuple(text for text in texts if text)


def _text(layer: str, node: Node, reader: Reader) -> Text | None:
    first, last = _points(node, _BOX_FIRST, reader), _points(node, _BOX_LAST, reader)
    words = _lines(node, reader)
    anchor = _points(node, _ANCHOR, reader)
    box = np.concatenate((first[:1], last[:1])) if first is not None and last is not None else None
    if not words or (box is None and anchor is None):
        return None
    return Text(
        layer,
        words,
        _units(node, _BOX_UNITS, reader),
        box,
        reader.text(node, _JUSTIFIED) or "LEFT",
        None if anchor is None else anchor[:1],
        _units(node, _ANCHOR_UNITS, reader),
        reader.text(node, _ANCHOR_VISIBLE) == "Y",
    )


def draw_graphic(
    pen: ImageDraw.ImageDraw, graphic: Graphic, view: View, colour: Colour, *, pixel_height: float
) -> None:
    """Draw a shape onto a picture that `view` made.

    Parameters
    ----------
    pixel_height : height of the image's pixels over their width: circles are round in millimetres
    """
    width = max(1, round(max(view.size) / 700))
    points = graphic.points
    if graphic.kind == "POINT":
        for x, y in _placed(points, graphic.units, view):
            pen.ellipse((x - 2 * width, y - 2 * width, x + 2 * width, y + 2 * width), fill=colour)
        return
    if graphic.kind == "CIRCLE" and len(points) >= 2:
        points = _circle(points, 1.0 if graphic.units == "DISPLAY" else pixel_height)
    elif graphic.kind == "ELLIPSE" and len(points) >= 4:
        points = _ellipse(points)
    elif graphic.kind == "INTERPOLATED" and len(points) > 2:
        points = _smooth(points)
    elif graphic.kind not in ("POLYLINE", "INTERPOLATED") or len(points) < 2:
        return
    corners = [(x, y) for x, y in _placed(points, graphic.units, view)]
    if graphic.is_filled and len(corners) > 2:
        pen.polygon(corners, fill=colour)
    pen.line(corners, fill=colour, width=width, joint="curve")


def draw_text(
    pen: ImageDraw.ImageDraw, text: Text, view: View, colour: Colour, shade: Colour
) -> None:
    """Draw words onto a picture that `view` made, with an edge of `shade`."""
    columns, rows = view.size
    size = max(9, min(columns, rows) // 40)
    lines = [drawable(line) for line in text.words]
    anchor = None if text.anchor is None else _placed(text.anchor, text.anchor_units, view)[0]
    if text.box is not None:
        corners = _placed(text.box, text.units, view)
        left, top = corners.min(axis=0)
        right, bottom = corners.max(axis=0)
        room = int((bottom - top) / (1.25 * max(1, len(lines))))
        size = min(max(size, 9), room) if room >= 9 else size
        x = {"CENTER": (left + right) / 2, "RIGHT": right}.get(text.justified, left)
        side = {"CENTER": "m", "RIGHT": "r"}.get(text.justified, "l")
        if text.has_line and anchor is not None:
            near = (min(max(anchor[0], left), right), min(max(anchor[1], top), bottom))
            pen.line([near, (anchor[0], anchor[1])], fill=colour, width=max(1, size // 12))
    elif anchor is not None:
        x, top, side = anchor[0], anchor[1], "l"
    else:
        return
    # Words that would leave the picture are moved back into it.
    longest = max((font(size).getlength(line) for line in lines), default=0.0)
    before = {"m": longest / 2, "r": longest}.get(side, 0.0)
    x = max(min(x, columns - 2 - longest + before), before + 2)
    top = max(min(top, rows - 2 - 1.25 * size * len(lines)), 2)
    for number, line in enumerate(lines):
        pen.text(
            (x, top + round(1.25 * size) * number),
            line,
            font=font(size),
            fill=colour,
            stroke_width=1,
            stroke_fill=shade,
            anchor=f"{side}a",
        )


def _placed(points: Points, units: Units, view: View) -> Points:
    if units == "DISPLAY":
        return points * np.array(view.size, np.float64)
    return view.place(points)


def _circle(points: Points, pixel_height: float) -> Points:
    center, edge = points[:2]
    wide, high = edge[0] - center[0], (edge[1] - center[1]) * pixel_height
    radius = math.hypot(wide, high)
    angle = np.linspace(0, 2 * math.pi, 181)
    return np.stack(
        (
            center[0] + radius * np.cos(angle),
            center[1] + radius / pixel_height * np.sin(angle),
        ),
        axis=1,
    )


def _ellipse(points: Points) -> Points:
    """Return the outline between the ends of the major, then of the minor axis."""
    first, second = (points[1] - points[0]) / 2, (points[3] - points[2]) / 2
    center = (points[0] + points[1]) / 2
    angle = np.linspace(0, 2 * math.pi, 181)[:, np.newaxis]
    return np.asarray(center + np.cos(angle) * first + np.sin(angle) * second)


def _smooth(points: Points) -> Points:
    """Return a curve through points (Catmull-Rom)."""
    is_closed = bool((points[0] == points[-1]).all())
    before = points[-2] if is_closed else points[0]
    after = points[1] if is_closed else points[-1]
    padded = np.concatenate((before[None], points, after[None]))
    steps = np.linspace(0, 1, 12, endpoint=False)[:, None]
    parts = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        parts.append(
            p1
            + (p2 - p0) / 2 * steps
            + (2 * p0 - 5 * p1 + 4 * p2 - p3) / 2 * steps**2
            + (3 * p1 - p0 - 3 * p2 + p3) / 2 * steps**3
        )
    return np.concatenate((*parts, points[-1:]))


def colours_of(layers: Sequence[Layer], *, to_rgb: Any, in_colour: bool) -> dict[str, Colour]:  # noqa: ANN401
    """Return the colour of each layer: grey, or RGB for a colour picture."""
    colours: dict[str, Colour] = {}
    for layer in layers:
        grey = layer.grey >> 8
        if not in_colour:
            colours[layer.name] = grey
        else:
            colours[layer.name] = to_rgb(layer.lab) if layer.lab else (grey, grey, grey)
    return colours
