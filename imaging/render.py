"""Pictures for people and for the wire: windowed PNG and JPEG, thumbnails, exact 16-bit forms."""

from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging.encode import encode_jpeg, encode_png
from imaging.errors import UnsupportedError
from imaging.voi import (
    LookupTable,
    LookupTables,
    Window,
    default_window,
    file_windows,
    frame_display,
    windowed,
)

Pixels = NDArray[Any]

THUMBNAIL_SIZE = 256
_LARGEST_WIDTH = 8192
_SIGNED_OFFSET = 32768


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a frame is shown where nobody has chosen otherwise.

    Parameters
    ----------
    slope, intercept : of the rescale; `modality_lut` takes their place
    window : the object's own first window; None: chosen from the pixels
    voi_lut : the object's own first VOI LUT, used where it has no window
    is_inverted : small values are bright
    padding : Pixel Padding Value
    padding_limit : Pixel Padding Range Limit, the other end of a range that begins at `padding`
    pixel_height : height of a pixel over its width, 1 for square ones
    presentation_lut : of a presentation state
    """

    slope: float = 1.0
    intercept: float = 0.0
    window: Window | None = None
    modality_lut: LookupTable | None = None
    voi_lut: LookupTable | None = None
    is_inverted: bool = False
    padding: int | None = None
    padding_limit: int | None = None
    pixel_height: float = 1.0
    presentation_lut: LookupTable | None = None

    @classmethod
    def of(
        cls,
        display: dict[str, Any],
        photometric_interpretation: str | None,
        *,
        frame_index: int = 0,
        tables: LookupTables | None = None,
    ) -> "Presentation":
        """Read the presentation of a frame from an instance index.

        Parameters
        ----------
        display : the display facts of the index
        tables : of the object (`read_lookup_tables`), if it may have some

        References
        ----------
        DICOM PS3.3 sections C.7.6.3.1.2, C.7.6.3.1.7, C.11.1, C.11.2 and C.11.6.
        """
        facts = frame_display(display, frame_index)
        windows = file_windows(display, frame_index)
        # For MONOCHROME1 the shape is INVERSE by rule (PS3.3 section C.11.6.1): it says the same.
        is_inverted = (
            photometric_interpretation == "MONOCHROME1"
            or facts.get("PresentationLUTShape") == "INVERSE"
        )
        slope, intercept = facts.get("RescaleSlope"), facts.get("RescaleIntercept")
        return cls(
            slope=slope or 1.0,
            intercept=intercept or 0.0,
            window=windows[0] if windows else None,
            modality_lut=tables.modality if tables else None,
            voi_lut=tables.voi[0] if tables and tables.voi and not windows else None,
            is_inverted=is_inverted,
            padding=facts.get("PixelPaddingValue"),
            padding_limit=facts.get("PixelPaddingRangeLimit"),
            pixel_height=pixel_height(facts),
        )


def pixel_height(display: dict[str, Any]) -> float:
    """Return the height of a pixel over its width; 1 if unknown or absurd.

    References
    ----------
    DICOM PS3.3 sections C.7.6.3.1.7 (Pixel Aspect Ratio: vertical, horizontal) and 10.7.1.3.
    """
    for key in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        pair = display.get(key)
        if pair and len(pair) == 2 and min(pair) > 0:
            ratio = float(pair[0]) / float(pair[1])
            return ratio if 0.05 <= ratio <= 20 else 1.0
    return 1.0


def to_eight_bit(
    frame: Pixels, presentation: Presentation, *, window: Window | None = None, invert: bool = False
) -> NDArray[np.uint8]:
    """Return a frame as it is shown: 8-bit grey, or RGB untouched but for `invert`.

    Parameters
    ----------
    frame : an exact frame
    window : chosen by a person; else the presentation's, else one from the pixels
    invert : reverse black and white once more
    """
    if frame.ndim == 3:
        return 255 - frame if invert else frame
    shown = window or presentation.window
    voi_lut = None if window else presentation.voi_lut
    if shown is None:
        shown = (
            Window(0.5, 1.0)
            if voi_lut is not None
            else default_window(
                frame,
                slope=presentation.slope,
                intercept=presentation.intercept,
                padding=presentation.padding,
                padding_limit=presentation.padding_limit,
                modality_lut=presentation.modality_lut,
            )
        )
    return windowed(
        frame,
        shown,
        slope=presentation.slope,
        intercept=presentation.intercept,
        modality_lut=presentation.modality_lut,
        voi_lut=voi_lut,
        is_inverted=presentation.is_inverted != invert,
        presentation_lut=presentation.presentation_lut,
    )


def render_png(
    frame: Pixels,
    presentation: Presentation,
    *,
    window: Window | None = None,
    width: int | None = None,
    invert: bool = False,
) -> bytes:
    """Return an 8-bit PNG of a frame; see `to_eight_bit`.

    Parameters
    ----------
    width : of the picture in pixels, the height follows; None: the frame's own size
    """
    return encode_png(
        resized(to_eight_bit(frame, presentation, window=window, invert=invert), width)
    )


def render_jpeg(
    frame: Pixels,
    presentation: Presentation,
    *,
    window: Window | None = None,
    width: int | None = None,
    invert: bool = False,
    quality: int = 85,
) -> bytes:
    """Return an 8-bit JPEG of a frame, chroma at full resolution; see `render_png`.

    Parameters
    ----------
    quality : 1 to 100
    """
    image = resized(to_eight_bit(frame, presentation, window=window, invert=invert), width)
    return encode_jpeg(image, quality=quality)


def thumbnail(frame: Pixels, presentation: Presentation, *, size: int = THUMBNAIL_SIZE) -> bytes:
    """Return a PNG of at most `size` pixels a side, shown with square pixels.

    A frame whose pixels are not square is stretched along their longer side, so that a circle
    stays round.
    """
    return encode_png(shrunk(to_eight_bit(frame, presentation), presentation, size=size))


def shrunk(
    image: NDArray[np.uint8], presentation: Presentation, *, size: int = THUMBNAIL_SIZE
) -> NDArray[np.uint8]:
    """Return a picture of at most `size` pixels a side with square pixels; see `thumbnail`."""
    rows, columns = image.shape[0] * presentation.pixel_height, float(image.shape[1])
    scale = min(1.0, size / max(rows, columns))
    shape = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return _resample(image, shape)


def resized(image: NDArray[np.uint8], width: int | None) -> NDArray[np.uint8]:
    """Return a picture `width` pixels wide, its height follows; None: as it is."""
    if width is None or width == image.shape[1]:
        return image
    width = min(max(width, 1), _LARGEST_WIDTH)
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return _resample(image, (width, min(height, _LARGEST_WIDTH)))


def _resample(image: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize to (width, height); shrinking averages, so thin lines and grain do not flicker."""
    if shape == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR))


def pack_rg16(frame: Pixels) -> tuple[bytes, int]:
    """Pack an exact grey frame into an RGB PNG that a browser decodes without loss.

    Returns
    -------
    The PNG, with R the high and G the low byte of ``value + offset``, and the offset.

    Raises
    ------
    UnsupportedError
        If the frame is colour or float, or its values span more than 16 bits.
    """
    if frame.ndim != 2 or frame.dtype.kind == "f":
        raise UnsupportedError("Colour and decimal frames have no 16-bit form. Ask for raw or PNG.")
    if frame.dtype.kind == "u" and frame.dtype.itemsize <= 2:
        offset = 0
    elif frame.dtype.itemsize <= 2:
        offset = _SIGNED_OFFSET
    else:
        offset = -int(frame.min())
        if int(frame.max()) + offset > 0xFFFF:
            raise UnsupportedError("The frame's values need more than 16 bits. Ask for raw.")
    values = frame.astype(np.int64) + offset
    packed = np.zeros((*frame.shape, 3), np.uint8)
    packed[..., 0] = values >> 8
    packed[..., 1] = values & 0xFF
    return encode_png(packed), offset


def can_encode_htj2k(dtype: str) -> bool:
    """Say whether frames of a sample type travel as HTJ2K: integers of up to 16 bits."""
    return dtype in ("uint8", "int8", "uint16", "int16")


def encode_htj2k(frame: Pixels) -> bytes:
    """Encode an exact frame without loss as an HTJ2K code stream, lowest resolution first (RPCL).

    Raises
    ------
    UnsupportedError
        If its samples are floats or wider than 16 bits.

    References
    ----------
    ISO/IEC 15444-15; DICOM PS3.5 section A.4.4, transfer syntax 1.2.840.10008.1.2.4.201.
    """
    if not can_encode_htj2k(frame.dtype.name):
        raise UnsupportedError("Frames wider than 16 bits do not travel as HTJ2K. Ask for raw.")
    return bytes(imagecodecs.htj2k_encode(np.ascontiguousarray(frame), reversible=True))
