"""From stored values to grey: Modality LUT or rescale, window or VOI LUT, polarity."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from imaging.bytesource import Source, opened
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits, Node, Value
from imaging.errors import ImagingError
from imaging.values import Reader

Pixels = NDArray[Any]
WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

_FUNCTIONS: tuple[WindowFunction, ...] = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_MODALITY_LUT_SEQUENCE, _VOI_LUT_SEQUENCE = 0x00283000, 0x00283010
_LUT_DESCRIPTOR, _LUT_DATA, _LUT_EXPLANATION = 0x00283002, 0x00283006, 0x00283003
_PIXEL_REPRESENTATION = 0x00280103
_MODALITY_LUT_TYPE = 0x00283004
# Overlay Rows of each of the sixteen groups that may hold a plane (PS3.5 section 7.6).
_OVERLAY_ROWS = {group: group << 16 | 0x0010 for group in range(0x6000, 0x6020, 2)}
_WANTED = {
    _MODALITY_LUT_SEQUENCE: 0,
    _VOI_LUT_SEQUENCE: 0,
    _LUT_DESCRIPTOR: 64,
    _LUT_DATA: 2 * 65536,
    _LUT_EXPLANATION: 256,
    _MODALITY_LUT_TYPE: 256,
    _PIXEL_REPRESENTATION: 64,
} | dict.fromkeys(_OVERLAY_ROWS.values(), 64)
LUT_TAGS = {_LUT_DESCRIPTOR: 64, _LUT_DATA: 2 * 65536, _LUT_EXPLANATION: 256}
# Pixels that are looked at for a window of our own; more change no percentile visibly.
_SAMPLE = 65536


@dataclass(frozen=True, slots=True)
class Window:
    """A VOI window; see `Window.of` for the values that make sense.

    Parameters
    ----------
    center, width : in modality values (after rescale)
    function : VOI LUT Function (0028,1056)
    """

    center: float
    width: float
    function: WindowFunction = "LINEAR"

    @classmethod
    def of(
        cls, center: float | None, width: float | None, function: str | None = None
    ) -> "Window | None":
        """Build a window, or None if the values are absent or make none.

        Width is at least 1 for LINEAR and above 0 for the others (PS3.3 section C.11.2.1.2).
        """
        name: WindowFunction = next((known for known in _FUNCTIONS if known == function), "LINEAR")
        if center is None or width is None or not math.isfinite(center + width):
            return None
        if width < 1 if name == "LINEAR" else width <= 0:
            return None
        return cls(float(center), float(width), name)


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A Modality or VOI LUT.

    Parameters
    ----------
    first : input value of the first entry; inputs outside take the nearest end
    values : uint16, one output for each input from `first` on
    bits : significant bits of the outputs
    explanation : for people
    """

    first: int
    values: NDArray[np.uint16] = field(repr=False)
    bits: int
    explanation: str = ""

    def apply(self, inputs: Pixels) -> NDArray[np.uint16]:
        """Return the outputs for integer inputs (fractions are rounded)."""
        rounded = np.rint(inputs) if inputs.dtype.kind == "f" else inputs
        index = np.clip(rounded.astype(np.int64) - self.first, 0, len(self.values) - 1)
        return self.values[index]


@dataclass(frozen=True, slots=True)
class LookupTables:
    """The tables of one object: at most one Modality LUT, any number of VOI LUTs.

    Parameters
    ----------
    modality_type : Modality LUT Type (0028,3004), the unit of its outputs; US: unspecified
    overlays : groups of the object's overlay planes, from 0x6000 on
    """

    modality: LookupTable | None = None
    voi: tuple[LookupTable, ...] = ()
    modality_type: str | None = None
    overlays: tuple[int, ...] = ()


def read_lookup_tables(source: Source, *, limits: HeaderLimits | None = None) -> LookupTables:
    """Read an object's Modality LUT and VOI LUTs; a damaged table counts as absent.

    Which overlay planes it has is found on the way.

    Raises
    ------
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.3 sections C.9.2, C.11.1 and C.11.2.
    """
    with opened(source) as file:
        data_set = scan_data_set(file, _WANTED, limits=limits or HeaderLimits())
    root, reader = data_set.scan.root, data_set.reader
    is_signed = reader.integer(root, _PIXEL_REPRESENTATION, b"US") == 1
    items = _items(root, _MODALITY_LUT_SEQUENCE)
    modality = [read_table(item, reader, is_signed=is_signed) for item in items]
    # The input of a VOI LUT is the output of a Modality LUT, which has no sign.
    voi_signed = is_signed and not any(modality)
    voi = [
        read_table(item, reader, is_signed=voi_signed) for item in _items(root, _VOI_LUT_SEQUENCE)
    ]
    types = [reader.text(item, _MODALITY_LUT_TYPE) for item in items]
    found = ((table, kind) for table, kind in zip(modality, types, strict=True) if table)
    table, modality_type = next(found, (None, None))
    return LookupTables(
        modality=table,
        voi=tuple(table for table in voi if table),
        modality_type=modality_type,
        overlays=tuple(group for group, tag in _OVERLAY_ROWS.items() if tag in root),
    )


def _items(root: Node, tag: int) -> list[Node]:
    items = root.get(tag)
    return items if isinstance(items, list) else []


def read_table(item: Node, reader: Reader, *, is_signed: bool = False) -> LookupTable | None:
    """Read the table of one item of a LUT sequence; None if it is damaged.

    Parameters
    ----------
    is_signed : whether the table's inputs are

    References
    ----------
    DICOM PS3.3 sections C.11.1.1.1 and C.11.2.1.1.
    """
    descriptor = reader.numbers(item, _LUT_DESCRIPTOR, b"SS" if is_signed else b"US")
    data = item.get(_LUT_DATA)
    if len(descriptor) < 3 or not isinstance(data, Value):
        return None
    entries = int(descriptor[0]) % 65536 or 65536
    first, bits = int(descriptor[1]), int(descriptor[2])
    if is_signed and first >= 2**15:
        first -= 2**16
    order = ">" if reader.is_big_endian else "<"
    if len(data.raw) < 2 * entries:
        values = np.frombuffer(data.raw, np.uint8).astype(np.uint16)[:entries]
    else:
        values = np.frombuffer(data.raw, order + "u2", entries).astype(np.uint16)
    if not len(values):
        return None
    # Bits beyond what the values use would darken the picture: GE writes 16 for 12-bit tables.
    bits = min(max(bits, 1), 16)
    used = max(int(values.max()).bit_length(), 1)
    return LookupTable(
        first, values, used if used < bits else bits, reader.text(item, _LUT_EXPLANATION) or ""
    )


def rescale(stored: Pixels, slope: float, intercept: float) -> NDArray[np.float64]:
    """Apply the Modality LUT rescale.

    Parameters
    ----------
    stored : any shape, stored pixel values
    slope, intercept : (0028,1053), (0028,1052); output unit is Rescale Type, HU for CT

    Returns
    -------
    the same shape, modality values

    Raises
    ------
    ImagingError
        If `slope` is 0 or either is not finite.

    References
    ----------
    DICOM PS3.3 section C.11.1.1.2.
    """
    if not slope or not math.isfinite(slope) or not math.isfinite(intercept):
        raise ImagingError(
            "The picture's rescale values make no sense (slope 0, or not a number). Its values "
            "cannot be measured."
        )
    return stored.astype(np.float64) * slope + intercept


def apply_window(values: Pixels, window: Window, *, top: float = 255.0) -> NDArray[np.float64]:
    """Apply a window function.

    Parameters
    ----------
    values : any shape, modality values
    top : greatest output

    Returns
    -------
    the same shape, 0 to `top`, not rounded

    References
    ----------
    DICOM PS3.3 sections C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2.
    """
    x = values.astype(np.float64)
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        # Beyond 700 the exponential leaves float64; the result is 0 or `top` long before.
        exponent = np.clip(-4.0 * (x - center) / width, -700.0, 700.0)
        return top / (1.0 + np.exp(exponent))
    if window.function == "LINEAR_EXACT":
        share = (x - center) / width + 0.5
    elif width == 1:
        share = np.where(x <= center - 0.5, 0.0, 1.0)
    else:
        share = (x - (center - 0.5)) / (width - 1) + 0.5
    return np.clip(share, 0.0, 1.0) * top


def windowed(
    frame: Pixels,
    window: Window,
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    modality_lut: LookupTable | None = None,
    voi_lut: LookupTable | None = None,
    is_inverted: bool = False,
    presentation_lut: LookupTable | None = None,
) -> NDArray[np.uint8]:
    """Turn stored values into 8-bit grey.

    Parameters
    ----------
    frame : shape (rows, columns), an exact grey frame
    window : not used if `voi_lut` is given
    modality_lut : takes the place of slope and intercept
    is_inverted : small values are bright: MONOCHROME1, or Presentation LUT Shape INVERSE
    presentation_lut : applied last, over the whole range of what comes before

    Returns
    -------
    shape (rows, columns), 0 black to 255 white; fractions rounded half up

    Notes
    -----
    Integer frames go through a table over the values they hold, made with the same float64 formula,
    so both ways give the same greys.
    """

    def grey(stored: Pixels) -> NDArray[np.uint8]:
        if modality_lut is not None:
            values: Pixels = modality_lut.apply(stored)
        else:
            values = rescale(stored, slope, intercept)
        if voi_lut is not None:
            share = voi_lut.apply(values).astype(np.float64) * (255.0 / ((1 << voi_lut.bits) - 1))
        else:
            share = apply_window(values, window)
        if presentation_lut is not None:
            entries = presentation_lut.values
            index = np.rint(np.clip(share, 0.0, 255.0) * ((len(entries) - 1) / 255.0))
            top = (1 << presentation_lut.bits) - 1
            share = entries[index.astype(np.intp)].astype(np.float64) * (255.0 / top)
        if is_inverted:
            share = 255.0 - share
        return np.floor(np.clip(share, 0.0, 255.0) + 0.5).astype(np.uint8)

    if frame.dtype.kind == "f":
        # Not-a-number is no grey: it is drawn black.
        is_number = ~np.isnan(frame)
        largest = float(np.finfo(np.float32).max)
        finite = np.clip(np.where(is_number, frame, 0), -largest, largest)
        return np.where(is_number, grey(finite), np.uint8(0))
    least, greatest = int(frame.min()), int(frame.max())
    if greatest - least > max(65535, frame.size):
        return grey(frame)
    table = grey(np.arange(least, greatest + 1))
    index: Pixels = frame
    if least and frame.dtype.itemsize <= 2:
        # Modulo arithmetic in the frame's own width: exact, and quicker than widening it.
        unsigned = frame.view(f"u{frame.dtype.itemsize}")
        index = unsigned - unsigned.dtype.type(least % (1 << 8 * frame.dtype.itemsize))
    elif least:
        index = frame.astype(np.int64) - least
    return np.take(table, index)


def default_window(
    frame: Pixels,
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    padding: int | None = None,
    padding_limit: int | None = None,
    modality_lut: LookupTable | None = None,
) -> Window:
    """Choose a window from the pixels: the 1st to the 99th percentile without padding.

    Parameters
    ----------
    frame : shape (rows, columns), an exact grey frame
    padding : Pixel Padding Value, which is left out
    padding_limit : Pixel Padding Range Limit: all values from one to the other are left out

    Returns
    -------
    A LINEAR_EXACT window in modality values that shows the chosen stored values from black to
    white; full range for 8-bit unsigned values, which are meant to be shown as they are.
    """
    if frame.dtype == np.uint8 and modality_lut is None and slope == 1 and intercept == 0:
        # Two values are a mask; anything else is meant to be shown as it is.
        is_mask = int(frame.max()) <= 1
        return Window(0.5, 1.0, "LINEAR_EXACT") if is_mask else Window(127.5, 255.0, "LINEAR_EXACT")
    flat = frame.reshape(-1)
    flat = flat[:: max(1, flat.size // _SAMPLE)]
    if frame.dtype.kind == "f":
        flat = flat[np.isfinite(flat)]
    elif padding is not None:
        other = padding if padding_limit is None else padding_limit
        shown = flat[(flat < min(padding, other)) | (flat > max(padding, other))]
        flat = shown if shown.size else flat
    if not flat.size:
        return Window(0.5, 1.0, "LINEAR_EXACT")
    values: Pixels
    if modality_lut is not None:
        values = modality_lut.apply(flat)
    else:
        values = rescale(flat, slope, intercept)
    low, high = (float(value) for value in np.percentile(values, (1.0, 99.0)))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return Window((low + high) / 2, high - low, "LINEAR_EXACT")


def file_windows(display: dict[str, Any], frame_index: int = 0) -> list[Window]:
    """Return the windows that the object itself offers for a frame, unusable ones left out.

    Parameters
    ----------
    display : the display facts of an instance index
    """
    facts = frame_display(display, frame_index)
    centers: Sequence[float] = facts.get("WindowCenter") or ()
    widths: Sequence[float] = facts.get("WindowWidth") or ()
    function = display.get("VOILUTFunction")
    windows = [
        Window.of(center, width, function) for center, width in zip(centers, widths, strict=False)
    ]
    return [window for window in windows if window is not None]


def frame_display(display: dict[str, Any], frame_index: int) -> dict[str, Any]:
    """Return the display facts of one frame: the image's, overruled by what the frame says."""
    frames = display.get("frames")
    if not frames or not 0 <= frame_index < len(frames):
        return display
    own: dict[str, Any] = frames[frame_index]
    return display | {key: value for key, value in own.items() if value is not None}
