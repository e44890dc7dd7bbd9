"""Sheets of pictures for paper: a heading, tiles with captions, a foot, as PDF, PNG or JPEG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imaging.burnin import drawable, font
from imaging.edges import Edges
from imaging.errors import InvalidViewError
from imaging.measured import Point

SheetForm = Literal["pdf", "png", "jpg"]
Orientation = tuple[int, int, int, int]

UPRIGHT: Orientation = (1, 0, 0, 1)
# The quarter turns and mirrorings of a picture: (column, row) to (right, down).
ORIENTATIONS: frozenset[Orientation] = frozenset(
    (a, b, c, d)
    for a, b, c, d in (
        *((x, 0, 0, y) for x in (1, -1) for y in (1, -1)),
        *((0, x, y, 0) for x in (1, -1) for y in (1, -1)),
    )
)
# Width and height in mm, upright.
PAPERS: dict[str, tuple[float, float]] = {
    "A3": (297.0, 420.0),
    "A4": (210.0, 297.0),
    "letter": (215.9, 279.4),
}
MEDIA_TYPES: dict[SheetForm, str] = {
    "pdf": "application/pdf",
    "png": "image/png",
    "jpg": "image/jpeg",
}
DPI = 200
_MARGIN_MM, _GAP_MM = 10.0, 3.0
_TEXT_MM, _SMALL_MM = 3.4, 2.6
_RULE_MM = 100.0
_INK, _DIM, _PAPER = (0, 0, 0), (90, 90, 90), (255, 255, 255)
_LINE, _EDGE = (255, 215, 94), (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Stroke:
    """What is drawn on a picture; points are (column, row) of its pixels."""

    points: tuple[Point, ...]
    is_closed: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of a sheet.

    Attributes
    ----------
    pixels : shape (rows, columns) or (rows, columns, 3), uint8
    spacing_mm : between rows, between columns; None where nobody knows
    pixel_height : of a pixel over its width, where there is no spacing
    marks : what the picture is not; drawn into its upper left corner
    edges : letters of the patient's sides at its left, upper, right and lower edge
    """

    pixels: NDArray[np.uint8]
    caption: str
    spacing_mm: tuple[float, float] | None = None
    orientation: Orientation = UPRIGHT
    strokes: tuple[Stroke, ...] = ()
    pixel_height: float = 1.0
    marks: tuple[str, ...] = ()
    edges: Edges | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a sheet is laid out.

    Attributes
    ----------
    is_true_size : a millimetre of the patient is one on paper; one picture a page
    """

    rows: int = 1
    columns: int = 1
    paper: str = "A4"
    is_landscape: bool = False
    is_true_size: bool = False


def draw_sheet(
    tiles: Sequence[Tile], heading: Sequence[str], foot: str, layout: Layout, form: SheetForm
) -> bytes:
    """Draw pictures onto pages.

    Parameters
    ----------
    heading : lines that stand above the pictures of every page
    foot : stands below them, before the number of the page
    form : a PDF has as many pages as it takes; a picture is one page

    Raises
    ------
    InvalidViewError
        When the pictures do not fit, or their true size is not known.
    """
    per_page = layout.rows * layout.columns
    count = -(-len(tiles) // per_page)
    if not tiles:
        raise InvalidViewError("Name at least one image to print.")
    if form != "pdf" and count > 1:
        raise InvalidViewError(
            f"{len(tiles)} pictures take {count} pages: choose PDF, or more rows and columns."
        )
    pages = [
        _page(
            tiles[number * per_page : (number + 1) * per_page],
            heading,
            f"{foot} · page {number + 1} of {count}" if count > 1 else foot,
            layout,
        )
        for number in range(count)
    ]
    out = io.BytesIO()
    if form == "pdf":
        pages[0].save(
            out, "PDF", resolution=DPI, save_all=True, append_images=pages[1:], quality=95
        )
    elif form == "png":
        pages[0].save(out, "PNG", dpi=(DPI, DPI))
    else:
        pages[0].save(out, "JPEG", quality=95, dpi=(DPI, DPI), subsampling=0)
    return out.getvalue()


def _px(mm: float) -> int:
    return round(mm / 25.4 * DPI)


def _page(tiles: Sequence[Tile], heading: Sequence[str], foot: str, layout: Layout) -> Image.Image:
    width_mm, height_mm = PAPERS[layout.paper]
    if layout.is_landscape:
        width_mm, height_mm = height_mm, width_mm
    page = Image.new("RGB", (_px(width_mm), _px(height_mm)), _PAPER)
    pen = ImageDraw.Draw(page)
    margin, gap = _px(_MARGIN_MM), _px(_GAP_MM)
    line, small = _px(_TEXT_MM), _px(_SMALL_MM)
    y = margin
    for number, text in enumerate(heading):
        size = line if number == 0 else small
        pen.text((margin, y), drawable(text), font=font(size), fill=_INK)
        y += round(size * 1.35)
    bottom = page.height - margin - round(small * (3.2 if layout.is_true_size else 1.6))
    if layout.is_true_size:
        _rule(pen, margin, bottom + small // 2, small)
    pen.text((margin, page.height - margin - small), drawable(foot), font=font(small), fill=_DIM)
    y += gap
    wide = (page.width - 2 * margin - gap * (layout.columns - 1)) // layout.columns
    high = (bottom - y - gap * (layout.rows - 1)) // layout.rows
    for number, tile in enumerate(tiles):
        row, column = divmod(number, layout.columns)
        place = (margin + column * (wide + gap), y + row * (high + gap))
        _put(page, tile, place, (wide, high - round(small * 1.6)), layout=layout)
    return page


def _rule(pen: ImageDraw.ImageDraw, x: int, y: int, size: int) -> None:
    """Draw a line of 100 mm: printers scale pages, and only a ruler tells."""
    end = x + _px(_RULE_MM)
    pen.line([(x, y), (end, y)], fill=_INK, width=2)
    for at in (x, end):
        pen.line([(at, y - size // 2), (at, y + size // 2)], fill=_INK, width=2)
    words = "100 mm: if a ruler says otherwise, print at 100 %"
    pen.text((end + size, y), words, font=font(size), fill=_INK, anchor="lm")


def _put(
    page: Image.Image, tile: Tile, place: tuple[int, int], room: tuple[int, int], *, layout: Layout
) -> None:
    rows, columns = tile.pixels.shape[:2]
    down_mm, across_mm = tile.spacing_mm or (tile.pixel_height, 1.0)
    size_mm = (columns * across_mm, rows * down_mm)
    is_turned = tile.orientation[0] == 0
    shown_mm = (size_mm[1], size_mm[0]) if is_turned else size_mm
    if layout.is_true_size:
        if tile.spacing_mm is None:
            raise InvalidViewError(
                "The true size of a picture is not known: it has no pixel spacing. "
                "Print it to fit the page."
            )
        target = (_px(shown_mm[0]), _px(shown_mm[1]))
        if target[0] > room[0] or target[1] > room[1]:
            raise InvalidViewError(
                f"In true size a picture is {shown_mm[0]:.0f} x {shown_mm[1]:.0f} mm and does not "
                "fit. Choose larger paper, turn it, or print one picture a page."
            )
        scale = "scale 1 : 1"
    else:
        factor = min(room[0] / shown_mm[0], room[1] / shown_mm[1])
        target = (max(1, round(shown_mm[0] * factor)), max(1, round(shown_mm[1] * factor)))
        # Millimetres of the patient to one on paper.
        ratio = shown_mm[0] / (target[0] / DPI * 25.4)
        scale = f"scale 1 : {ratio:.2f}" if tile.spacing_mm else "no scale known"
    picture = Image.fromarray(oriented(tile.pixels, tile.orientation)).convert("RGB")
    picture = picture.resize(target, Image.Resampling.LANCZOS)
    _draw_strokes(picture, tile)
    _draw_marks(picture, tile)
    x = place[0] + (room[0] - target[0]) // 2
    y = place[1] + (room[1] - target[1]) // 2
    page.paste(picture, (x, y))
    small = _px(_SMALL_MM)
    pen = ImageDraw.Draw(page)
    words = _fitting(f"{tile.caption} · {scale}", room[0], small)
    pen.text((place[0], place[1] + room[1] + small // 4), words, font=font(small), fill=_INK)


def _fitting(text: str, width: int, size: int) -> str:
    line = drawable(text)
    while len(line) > 4 and font(size).getlength(line) > width:
        line = f"{line[:-2].rstrip('…')}…"
    return line


def oriented(pixels: NDArray[np.uint8], orientation: Orientation) -> NDArray[np.uint8]:
    """Turn and mirror a picture as it lies on the screen."""
    a, b, c, d = orientation
    if a == 0:
        pixels = np.swapaxes(pixels, 0, 1)
        a, d = b, c
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _draw_marks(picture: Image.Image, tile: Tile) -> None:
    """Draw what must be seen of a picture, and where the patient's sides are."""
    pen, size, gap = ImageDraw.Draw(picture), _px(_SMALL_MM), _px(0.6)
    wide, high = picture.size
    look = {"font": font(size), "fill": _PAPER, "stroke_width": 2, "stroke_fill": _EDGE}
    places = (
        ((gap, high / 2), "lm"),
        ((wide / 2, gap), "ma"),
        ((wide - gap, high / 2), "rm"),
        ((wide / 2, high - gap), "md"),
    )
    for (place, anchor), letters in zip(places, tile.edges or (), strict=False):
        pen.text(place, drawable(letters), anchor=anchor, **look)
    for number, words in enumerate(tile.marks):
        place = (gap, gap + number * round(size * 1.35))
        pen.text(place, drawable(words), anchor="la", **(look | {"fill": _LINE}))


def _draw_strokes(picture: Image.Image, tile: Tile) -> None:
    if not tile.strokes:
        return
    rows, columns = tile.pixels.shape[:2]
    a, b, c, d = tile.orientation
    wide, high = (rows, columns) if a == 0 else (columns, rows)
    center = ((columns - 1) / 2, (rows - 1) / 2)
    factors = (picture.width / wide, picture.height / high)

    def placed(point: Point) -> tuple[float, float]:
        x, y = point[0] - center[0], point[1] - center[1]
        right, down = a * x + b * y, c * x + d * y
        return ((right + wide / 2) * factors[0], (down + high / 2) * factors[1])

    pen = ImageDraw.Draw(picture)
    width = max(2, _px(0.35))
    size = _px(_SMALL_MM)
    for stroke in tile.strokes:
        points = [placed(point) for point in stroke.points]
        if len(points) == 1:
            (x, y), arm = points[0], _px(1.5)
            for line in ([(x - arm, y), (x + arm, y)], [(x, y - arm), (x, y + arm)]):
                pen.line(line, fill=_EDGE, width=width + 2)
                pen.line(line, fill=_LINE, width=width)
        else:
            line = [*points, points[0]] if stroke.is_closed else points
            pen.line(line, fill=_EDGE, width=width + 2)
            pen.line(line, fill=_LINE, width=width)
        if stroke.text:
            words = drawable(stroke.text)
            x = min(
                max(x for x, _ in points) + size / 2,
                picture.width - font(size).getlength(words) - 4,
            )
            y = min(max(*(y for _, y in points), 2), picture.height - size - 4)
            pen.text(
                (max(x, 2), y),
                words,
                font=font(size),
                fill=_LINE,
                stroke_width=2,
                stroke_fill=_EDGE,
            )
