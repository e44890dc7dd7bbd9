"""Draw an image as a presentation state wants it shown."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imaging.errors import InvalidViewError
from imaging.pixelfacts import PixelFacts
from imaging.render import Presentation
from imaging.softcopy import FrameState, lab_to_rgb
from imaging.softcopy_graphics import Colour, colours_of, draw_graphic, draw_text
from imaging.viewport import LARGEST_SIDE, View, Viewport
from imaging.voi import Window

Picture = NDArray[np.uint8]


def presented(
    presentation: Presentation, state: FrameState, pixels: NDArray[Any], facts: PixelFacts
) -> Presentation:
    """Return the presentation of a grey frame that a state asks for; the image's own is replaced.

    Parameters
    ----------
    pixels : the exact frame
    facts : of the image

    References
    ----------
    DICOM PS3.4 section N.2.1: an absent Modality LUT is an identity; without a VOI LUT the full
    range is shown.
    """
    window = state.window
    if window is None and state.voi_lut is None and pixels.ndim == 2:
        window = _full_range(state, pixels, facts)
    return replace(
        presentation,
        slope=state.slope,
        intercept=state.intercept,
        modality_lut=state.modality_lut,
        window=window,
        voi_lut=None if state.window else state.voi_lut,
        is_inverted=state.is_inverted,
        presentation_lut=state.presentation_lut,
    )


def _full_range(state: FrameState, pixels: NDArray[Any], facts: PixelFacts) -> Window:
    if state.modality_lut is not None:
        low, high = 0.0, float((1 << state.modality_lut.bits) - 1)
    elif pixels.dtype.kind == "f":
        low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
    else:
        span = 1 << facts.bits_stored
        low, high = (-span / 2, span / 2 - 1) if facts.is_signed else (0.0, span - 1.0)
        low, high = sorted(
            (low * state.slope + state.intercept, high * state.slope + state.intercept)
        )
    return Window((low + high) / 2, max(high - low, 1e-9), "LINEAR_EXACT")


def draw_state(
    picture: Picture,
    state: FrameState,
    frame_number: int,
    *,
    viewport: Viewport | None = None,
    width: int | None = None,
    pixel_height: float = 1.0,
    pixels_per_mm: float | None = None,
    planes: Iterable[tuple[NDArray[np.bool_], str]] = (),
) -> Picture:
    """Apply a state's shutter, overlays, displayed area, turning and graphics.

    Parameters
    ----------
    picture : the windowed frame, shape (rows, columns) or (rows, columns, 3)
    frame_number : from 1
    viewport, width : that the result is to fit; None both: as the state says
    pixel_height : of the image, where the state says nothing
    pixels_per_mm : of the screen, for a state that asks for true size; None: one for one
    planes : overlay masks of the shape of the frame, and their layers

    Raises
    ------
    InvalidViewError
        If the area is too large, or the viewport names a region.

    References
    ----------
    DICOM PS3.4 section N.2; PS3.3 sections C.7.6.11, C.10.4 to C.10.7 and C.10.6.
    """
    if viewport is not None and viewport.has_region:
        raise InvalidViewError(
            "With a presentation state the region is the state's: give 'viewport' two numbers."
        )
    if state.palette is not None and picture.ndim == 2:
        entries = len(state.palette.colours)
        index = np.rint(picture.astype(np.float64) * ((entries - 1) / 255)).astype(np.intp)
        picture = state.palette.colours[index]
    if picture.ndim == 2 and any(layer.lab for layer in state.layers):
        picture = np.repeat(picture[..., np.newaxis], 3, axis=2)
    in_colour = picture.ndim == 3
    colours = colours_of(state.layers, to_rgb=lab_to_rgb, in_colour=in_colour)
    white: Colour = (255, 255, 255) if in_colour else 255
    black: Colour = (0, 0, 0) if in_colour else 0
    height = pixel_height
    if state.area is not None and state.area.pixel_height:
        height = state.area.pixel_height
    shape = (picture.shape[0], picture.shape[1])
    picture = picture.copy()
    order = {layer.name: number for number, layer in enumerate(state.layers)}
    for mask, name in sorted(planes, key=lambda plane: order.get(plane[1], 0)):
        picture[mask] = colours.get(name, white)
    shade = 0
    if state.shutter is not None:
        shade = state.shutter.grey >> 8
        picture[state.shutter.covered(shape, frame_number, pixel_height=height)] = shade
    view = _view(shape, state, viewport, width, height, pixels_per_mm)
    shown = np.ascontiguousarray(view.apply(picture))
    if not state.graphics and not state.texts:
        return shown
    image = Image.fromarray(shown)
    pen = ImageDraw.Draw(image)
    for graphic in sorted(state.graphics, key=lambda graphic: order.get(graphic.layer, 0)):
        colour = colours.get(graphic.layer, white)
        draw_graphic(pen, graphic, view, colour, pixel_height=height)
    for text in sorted(state.texts, key=lambda text: order.get(text.layer, 0)):
        draw_text(pen, text, view, colours.get(text.layer, white), black)
    return np.asarray(image)


def _view(
    shape: tuple[int, int],
    state: FrameState,
    viewport: Viewport | None,
    width: int | None,
    pixel_height: float,
    pixels_per_mm: float | None,
) -> View:
    rows, columns = shape
    area = state.area
    if area is None:
        view = View(0, 0, columns, rows, state.turns, state.is_flipped)
    else:
        if max(area.width, area.height) > LARGEST_SIDE:
            raise InvalidViewError("The displayed area of the presentation state is too large.")
        left, top, wide, high = area.left, area.top, area.width, area.height
        if (left, top, left + wide, top + high) == (-1, -1, columns, rows):
            # Softneta counts from 0: all of the image is meant, not a black edge beside it.
            left, top, wide, high = 0, 0, columns, rows
        view = View(left, top, wide, high, state.turns, state.is_flipped)
    if viewport is not None:
        return view.fitted(viewport.width, viewport.height, pixel_height=pixel_height)
    if width is not None:
        return view.fitted(width, LARGEST_SIDE, pixel_height=pixel_height)
    scale = (area.scale(pixels_per_mm) if area is not None else None) or 1.0
    sides = (view.width * scale, view.height * pixel_height * scale)
    wide, high = sides if state.turns % 2 == 0 else sides[::-1]
    return view.fitted(
        min(max(1, round(wide)), LARGEST_SIDE),
        min(max(1, round(high)), LARGEST_SIDE),
        pixel_height=pixel_height,
    )
