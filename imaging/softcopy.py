"""Softcopy presentation states: how somebody wanted an image to be shown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imaging.bytesource import Source, opened
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits, Node
from imaging.errors import UnsupportedError
from imaging.overlay import OverlayPlane, read_overlays
from imaging.palette import Palette, read_palette
from imaging.shutter import Shutter, read_shutter, shutter_tags
from imaging.softcopy_graphics import (
    GRAPHIC_TAGS,
    Graphic,
    Layer,
    Text,
    read_graphics,
    read_layers,
)
from imaging.softcopy_mask import MASK_TAGS, Mask, read_masks
from imaging.values import Reader
from imaging.voi import LUT_TAGS, LookupTable, Window, read_table

GRAYSCALE, COLOUR, PSEUDO_COLOUR = (f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in (1, 2, 3))
SUPPORTED = frozenset((GRAYSCALE, COLOUR, PSEUDO_COLOUR))

_SOP_CLASS = 0x00080016
_REFERENCED_SERIES, _REFERENCED_IMAGES = 0x00081115, 0x00081140
_REFERENCED_INSTANCE, _REFERENCED_FRAMES = 0x00081155, 0x00081160
_SOFTCOPY_VOI, _VOI_LUT = 0x00283110, 0x00283010
_CENTER, _WIDTH, _FUNCTION = 0x00281050, 0x00281051, 0x00281056
_MODALITY_LUT, _INTERCEPT, _SLOPE = 0x00283000, 0x00281052, 0x00281053
_PRESENTATION_LUT, _PRESENTATION_SHAPE = 0x20500010, 0x20500020
_AREAS, _TOP_LEFT, _BOTTOM_RIGHT = 0x0070005A, 0x00700052, 0x00700053
_SIZE_MODE, _SPACING, _ASPECT, _RATIO = 0x00700100, 0x00700101, 0x00700102, 0x00700103
_ROTATION, _FLIP = 0x00700042, 0x00700041
_ACTIVATIONS = {group << 16 | 0x1001: group for group in range(0x6000, 0x6020, 2)}

_WANTED = (
    dict.fromkeys(
        (_REFERENCED_SERIES, _REFERENCED_IMAGES, _SOFTCOPY_VOI, _VOI_LUT, _MODALITY_LUT),
        0,
    )
    | dict.fromkeys((_PRESENTATION_LUT, _AREAS), 0)
    | dict.fromkeys((_SOP_CLASS, _REFERENCED_INSTANCE, _FUNCTION, _PRESENTATION_SHAPE), 256)
    | dict.fromkeys((_CENTER, _WIDTH, _INTERCEPT, _SLOPE, _SIZE_MODE, _SPACING, _ASPECT), 1024)
    | dict.fromkeys((_RATIO, _TOP_LEFT, _BOTTOM_RIGHT, _ROTATION, _FLIP, *_ACTIVATIONS), 256)
    | {_REFERENCED_FRAMES: 2**20}
    | LUT_TAGS
    | shutter_tags()
    | GRAPHIC_TAGS
    | MASK_TAGS
)


SizeMode = Literal["SCALE TO FIT", "TRUE SIZE", "MAGNIFY"]


@dataclass(frozen=True, slots=True)
class DisplayedArea:
    """The part of an image that is shown.

    Parameters
    ----------
    left, top, width, height : in pixels of the image, from 0; may reach beyond it
    magnification : pixels of the result for one of the image; None: as large as there is room
    pixel_height : height of a pixel over its width; None: the image's own
    size_mode : Presentation Size Mode; one that cannot be read is SCALE TO FIT
    pixel_width_mm : of a pixel of the image when it is shown in true size; None: not said

    References
    ----------
    DICOM PS3.3 section C.10.4.
    """

    left: float
    top: float
    width: float
    height: float
    magnification: float | None = None
    pixel_height: float | None = None
    size_mode: SizeMode = "SCALE TO FIT"
    pixel_width_mm: float | None = None

    def scale(self, pixels_per_mm: float | None) -> float | None:
        """Return how many pixels of the result one of the image is wide; None: as it fits.

        Parameters
        ----------
        pixels_per_mm : of the screen that the result is shown on; None: not known
        """
        if self.size_mode != "TRUE SIZE":
            return self.magnification
        if self.pixel_width_mm is None or pixels_per_mm is None:
            return None
        return self.pixel_width_mm * pixels_per_mm


@dataclass(frozen=True, slots=True)
class Reference:
    """An image that a state is for; no frame numbers: all of its frames."""

    sop_instance_uid: str
    frame_numbers: tuple[int, ...] = ()

    def names(self, sop_instance_uid: str, frame_number: int) -> bool:
        """Whether a frame is meant."""
        return self.sop_instance_uid == sop_instance_uid and (
            not self.frame_numbers or frame_number in self.frame_numbers
        )


@dataclass(frozen=True, slots=True)
class FrameState:
    """What a state says of one frame.

    Parameters
    ----------
    slope, intercept : of the rescale; `modality_lut` takes their place
    window, voi_lut : None both: the full range
    is_inverted : Presentation LUT Shape INVERSE
    presentation_lut : after window or VOI LUT
    palette : of a pseudo-colour state
    turns : quarter turns clockwise; then `is_flipped` left to right
    masks : of an image of several frames; the first one that is for a frame counts
    activations : group of the image's overlay planes that are shown, to the layer
    """

    is_colour: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: LookupTable | None = None
    window: Window | None = None
    voi_lut: LookupTable | None = None
    is_inverted: bool = False
    presentation_lut: LookupTable | None = None
    palette: Palette | None = None
    area: DisplayedArea | None = None
    turns: int = 0
    is_flipped: bool = False
    shutter: Shutter | None = None
    overlays: tuple[OverlayPlane, ...] = ()
    activations: tuple[tuple[int, str], ...] = ()
    layers: tuple[Layer, ...] = ()
    graphics: tuple[Graphic, ...] = ()
    texts: tuple[Text, ...] = ()
    masks: tuple[Mask, ...] = ()

    def mask_of(self, frame_number: int) -> Mask | None:
        """Return what is subtracted from a frame; None where nothing is."""
        return next((mask for mask in self.masks if mask.is_for(frame_number)), None)


@dataclass(frozen=True, slots=True)
class SoftcopyState:
    """A presentation state; `for_frame` says what it means for one frame."""

    references: tuple[Reference, ...]
    base: FrameState
    _windows: tuple[tuple[tuple[Reference, ...], Window | None, LookupTable | None], ...] = field(
        repr=False
    )
    _areas: tuple[tuple[tuple[Reference, ...], DisplayedArea], ...] = field(repr=False)
    _drawn: tuple[tuple[tuple[Reference, ...], tuple[Graphic, ...], tuple[Text, ...]], ...] = field(
        repr=False
    )

    @property
    def is_by_frame(self) -> bool:
        """Whether it may say something else of one frame of an image than of another."""
        lists = [*(listed for listed, *_ in self._windows), *(listed for listed, _ in self._areas)]
        lists += [listed for listed, *_ in self._drawn]
        return any(reference.frame_numbers for listed in lists for reference in listed)

    @property
    def annotations(
        self,
    ) -> Iterator[tuple[tuple[Reference, ...], tuple[Graphic, ...], tuple[Text, ...]]]:
        """What is drawn, with the images it is drawn on: all that the state is for, or some."""
        for listed, graphics, texts in self._drawn:
            yield listed or self.references, graphics, texts

    def for_frame(self, sop_instance_uid: str, frame_number: int) -> FrameState | None:
        """Return what the state says of a frame; None if it is not for it.

        Parameters
        ----------
        frame_number : from 1
        """

        def applies(references: Iterable[Reference]) -> bool:
            listed = tuple(references)
            return not listed or any(
                reference.names(sop_instance_uid, frame_number) for reference in listed
            )

        if self.references and not applies(self.references):
            return None
        window, voi_lut = next(
            ((window, lut) for listed, window, lut in self._windows if applies(listed)),
            (None, None),
        )
        area = next((area for listed, area in self._areas if applies(listed)), None)
        drawn = [(graphics, texts) for listed, graphics, texts in self._drawn if applies(listed)]
        return replace(
            self.base,
            window=window,
            voi_lut=voi_lut,
            area=area,
            graphics=tuple(graphic for graphics, _ in drawn for graphic in graphics),
            texts=tuple(text for _, texts in drawn for text in texts),
        )


def read_softcopy(source: Source, *, limits: HeaderLimits | None = None) -> SoftcopyState:
    """Read a Grayscale, Color or Pseudo-Color Softcopy Presentation State.

    Raises
    ------
    UnsupportedError
        If it is another kind of object or of presentation state.
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.
    DecodeError
        If its palette is damaged.

    References
    ----------
    DICOM PS3.3 sections A.33, C.10.4 to C.10.7, C.10.13, C.11.6, C.11.8, C.11.11; PS3.4 Annex N.
    """
    with opened(source) as file:
        data_set = scan_data_set(file, _WANTED, limits=limits or HeaderLimits())
        root, reader = data_set.scan.root, data_set.reader
        sop_class = reader.uid(root, _SOP_CLASS)
        if sop_class not in SUPPORTED:
            raise UnsupportedError(
                "This object is no presentation state that can be applied here: those for grey, "
                "colour and pseudo-colour images can."
            )
        overlays = read_overlays(file, limits=limits)
        palette = read_palette(file, limits=limits) if sop_class == PSEUDO_COLOUR else None
    references = tuple(
        reference
        for series in _items(root, _REFERENCED_SERIES)
        for reference in _references(series, reader)
    )
    modality = next((read_table(item, reader) for item in _items(root, _MODALITY_LUT)), None)
    presentation = next(
        (read_table(item, reader) for item in _items(root, _PRESENTATION_LUT)), None
    )
    activations = tuple(
        (group, layer)
        for tag, group in _ACTIVATIONS.items()
        if (layer := reader.text(root, tag) or "")
    )
    base = FrameState(
        is_colour=sop_class == COLOUR,
        slope=reader.number(root, _SLOPE) or 1.0,
        intercept=reader.number(root, _INTERCEPT) or 0.0,
        modality_lut=modality,
        is_inverted=reader.text(root, _PRESENTATION_SHAPE) == "INVERSE",
        presentation_lut=presentation,
        palette=palette,
        turns=(reader.integer(root, _ROTATION, b"US") or 0) // 90 % 4,
        is_flipped=reader.text(root, _FLIP) == "Y",
        shutter=read_shutter(root, reader, overlays),
        overlays=overlays,
        activations=activations,
        layers=read_layers(root, reader),
        masks=read_masks(root, reader),
    )
    return SoftcopyState(
        references,
        base,
        tuple(_window(item, reader) for item in _items(root, _SOFTCOPY_VOI)),
        tuple(
            (tuple(_references(item, reader)), area)
            for item in _items(root, _AREAS)
            if (area := _area(item, reader)) is not None
        ),
        tuple(
            (tuple(_references(item, reader)), graphics, texts)
            for item, graphics, texts in read_graphics(root, reader)
        ),
    )


def _items(node: Node, tag: int) -> list[Node]:
    items = node.get(tag)
    return items if isinstance(items, list) else []


def _references(node: Node, reader: Reader) -> list[Reference]:
    return [
        Reference(
            reader.uid(item, _REFERENCED_INSTANCE),
            tuple(int(number) for number in reader.numbers(item, _REFERENCED_FRAMES, b"IS")),
        )
        for item in _items(node, _REFERENCED_IMAGES)
    ]


def _window(
    item: Node, reader: Reader
) -> tuple[tuple[Reference, ...], Window | None, LookupTable | None]:
    centers, widths = reader.numbers(item, _CENTER), reader.numbers(item, _WIDTH)
    window = None
    if centers and widths:
        window = Window.of(centers[0], widths[0], reader.text(item, _FUNCTION))
    table = next((read_table(table, reader) for table in _items(item, _VOI_LUT)), None)
    return tuple(_references(item, reader)), window, table


def _area(item: Node, reader: Reader) -> DisplayedArea | None:
    """Read a displayed area; its corners are those of the result, so they may be crossed."""
    first = reader.numbers(item, _TOP_LEFT, b"SL")
    last = reader.numbers(item, _BOTTOM_RIGHT, b"SL")
    if len(first) != 2 or len(last) != 2:
        return None
    left, right = sorted((first[0], last[0]))
    top, bottom = sorted((first[1], last[1]))
    pixel_height = pixel_width_mm = None
    for tag, vr in ((_SPACING, b"DS"), (_ASPECT, b"IS")):
        pair = reader.numbers(item, tag, vr)
        if len(pair) == 2 and min(pair) > 0 and 0.05 <= pair[0] / pair[1] <= 20:
            pixel_height = pair[0] / pair[1]
            pixel_width_mm = pair[1] if tag == _SPACING else None
            break
    mode, magnification = reader.text(item, _SIZE_MODE), None
    if mode == "MAGNIFY":
        ratio = reader.number(item, _RATIO, b"FL")
        magnification = ratio if ratio and 0.01 <= ratio <= 100 else None
    size_mode: SizeMode = "SCALE TO FIT"
    if mode == "TRUE SIZE":
        size_mode = "TRUE SIZE"
    elif magnification is not None:
        size_mode = "MAGNIFY"
    return DisplayedArea(
        left - 1,
        top - 1,
        right - left + 1,
        bottom - top + 1,
        magnification,
        pixel_height,
        size_mode,
        pixel_width_mm,
    )


def lab_to_rgb(lab: Iterable[float]) -> tuple[int, int, int]:
    """Convert a colour as presentation states give it to sRGB.

    Parameters
    ----------
    lab : L*, a*, b* scaled to 16 bits (PS3.3 section C.10.7.1.1), D50
    """
    raw_light, raw_a, raw_b = lab
    light = raw_light / 65535 * 100
    a, b = raw_a / 257 - 128, raw_b / 257 - 128
    y = (light + 16) / 116
    scaled = np.array([y + a / 500, y, y - b / 200])
    xyz: NDArray[np.float64] = np.where(
        scaled > 6 / 29, scaled**3, 3 * (6 / 29) ** 2 * (scaled - 4 / 29)
    ) * (0.9642, 1.0, 0.8249)
    linear = _TO_LINEAR_SRGB @ xyz
    gamma = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    )
    red, green, blue = (int(value) for value in np.clip(np.rint(gamma * 255), 0, 255))
    return red, green, blue


# From D50 (Bradford) to linear sRGB.
_TO_LINEAR_SRGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
