"""Draw an exact frame for people: window, overlays, viewport, words, and the form asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from archive import decoding
from archive.errors import InvalidInputError, UndecodableError
from archive.frame_entry import Entry
from archive.rendering import CONTENT_TYPES, Form, Rendering
from archive.stores import instances
from blobs import BlobMissingError
from imaging import render, voi
from imaging.burnin import Corner, burn_in
from imaging.encode import encode_gif, encode_jpeg, encode_png, encode_webp
from imaging.errors import ImagingError, InvalidViewError
from imaging.icc import read_profile, to_profile
from imaging.overlay import OverlayPlane, read_overlays
from imaging.palette import Palette, read_palette
from imaging.part10 import VIDEO
from imaging.pixels import PixelFacts
from imaging.render import Presentation
from imaging.softcopy import SUPPORTED, DisplayedArea, FrameState, SoftcopyState, read_softcopy
from imaging.softcopy_drawing import draw_state, presented
from imaging.softcopy_mask import Mask, subtracted
from imaging.video import Video, read_video
from imaging.viewport import view_of
from imaging.voi import LookupTables, Window
from worklist.models import DicomImage

Pixels = NDArray[Any]
T = TypeVar("T")

_NO_TABLES = LookupTables()
_KEPT_OVERLAY_BYTES = 32 * 1024**2


class _Kept(Generic[T]):
    """What was read from the files of the objects that were asked for last."""

    def __init__(self, most: int, size_of: Callable[[T], int] | None = None) -> None:
        self._values: LRUCache[str, T] = LRUCache(most, size_of)
        self._lock = threading.Lock()

    def of(self, image: DicomImage, read: Callable[[Any], T]) -> T:
        """Return what `read` makes of an open file; read once."""
        with self._lock:
            if image.sha256 in self._values:
                return self._values[image.sha256]
        try:
            with instances().open(image.storage_key) as handle:
                value = read(handle)
        except (ImagingError, BlobMissingError) as error:
            raise UndecodableError(str(error)) from error
        with self._lock:
            try:
                self._values[image.sha256] = value
            except ValueError:
                # Larger than all that is kept.
                return value
        return value


_palettes: _Kept[Palette | None] = _Kept(64)
_tables: _Kept[LookupTables] = _Kept(256)
_profiles: _Kept[bytes | None] = _Kept(64)
_videos: _Kept[Video] = _Kept(64)
_states: _Kept[SoftcopyState] = _Kept(64)
_overlays: _Kept[tuple[OverlayPlane, ...]] = _Kept(
    _KEPT_OVERLAY_BYTES, lambda planes: 1024 + sum(len(plane.bits or b"") for plane in planes)
)


def palette_of(image: DicomImage) -> Palette | None:
    """Return an object's palette.

    Raises
    ------
    UndecodableError
        When it cannot be read.
    """
    return _palettes.of(image, read_palette)


def tables_of(image: DicomImage) -> LookupTables:
    """Return an object's lookup tables and overlay groups; read once, and only where it has some.

    Raises
    ------
    UndecodableError
        When the stored file cannot be read.
    """
    # Rows of before this was noted say neither yes nor no.
    if image.value("LookupTables") is False:
        return _NO_TABLES
    return _tables.of(image, voi.read_lookup_tables)


def is_video(image: DicomImage) -> bool:
    """Whether an instance holds one bit stream for all of its frames."""
    return image.has_pixels and image.transfer_syntax_uid in VIDEO


def video_of(image: DicomImage) -> Video:
    """Return where the video of an instance lies in its file.

    Raises
    ------
    UndecodableError
        When it has none.
    """
    return _videos.of(image, read_video)


def state_of(state: DicomImage, image: DicomImage, frame_number: int) -> FrameState:
    """Return what a presentation state says of a frame.

    Parameters
    ----------
    state : a stored presentation state, scoped by `archive.access`

    Raises
    ------
    UndecodableError
        When it cannot be read or applied.
    InvalidInputError
        When it is for other images.
    """
    if state.sop_class_uid not in SUPPORTED:
        raise UndecodableError(
            "This object is no presentation state that can be applied here: those for grey, colour "
            "and pseudo-colour images can."
        )
    found = _states.of(state, read_softcopy).for_frame(image.sop_instance_uid, frame_number)
    if found is None:
        raise InvalidInputError("The presentation state is not for this image or frame.")
    return found


def presentation_of(image: DicomImage, frame_number: int) -> Presentation:
    """Return how a frame is shown where nobody chose otherwise.

    Raises
    ------
    UndecodableError
        When the stored file cannot be read.
    """
    return Presentation.of(
        image.display,
        image.photometric_interpretation,
        frame_index=frame_number - 1,
        tables=tables_of(image),
    )


def window_of(pixels: Pixels, presentation: Presentation) -> Window | None:
    """Return the window that is applied where nobody chose one; None for colour and VOI LUTs."""
    if pixels.ndim == 3 or presentation.voi_lut is not None:
        return None
    return presentation.window or voi.default_window(
        pixels,
        slope=presentation.slope,
        intercept=presentation.intercept,
        padding=presentation.padding,
        padding_limit=presentation.padding_limit,
        modality_lut=presentation.modality_lut,
    )


def draw(
    image: DicomImage,
    facts: PixelFacts,
    frame_number: int,
    pixels: Pixels,
    rendering: Rendering,
    state: FrameState | None = None,
    read: Callable[[int], Pixels] | None = None,
) -> Entry:
    """Draw an exact frame as 8-bit grey or RGB, and encode it.

    Parameters
    ----------
    image, facts : whose frame it is
    frame_number : from 1
    pixels : the exact frame
    rendering : of a drawn form
    state : what a presentation state says of the frame
    read : of a frame number, the exact frame: those that a state subtracts

    Raises
    ------
    UndecodableError
        When what belongs to the picture cannot be read.
    InvalidInputError
        When the viewport lies outside the picture.

    References
    ----------
    DICOM PS3.4 section N.2; PS3.18 section 8.3.5.1.
    """
    picture, window = shown(image, facts, frame_number, pixels, rendering, state, read)
    try:
        own = None
        if rendering.icc_profile != "no" and picture.ndim == 3:
            own = _profiles.of(image, read_profile)
        picture, profile = to_profile(picture, own, rendering.icc_profile)
    except ImagingError as error:
        raise UndecodableError(str(error)) from error
    return Entry(
        encode(picture, rendering, profile),
        {
            "content_type": CONTENT_TYPES[rendering.form],
            "rows": picture.shape[0],
            "columns": picture.shape[1],
            "samples": 3 if picture.ndim == 3 else 1,
            "dtype": "uint8",
            "window_center": window.center if window else None,
            "window_width": window.width if window else None,
            "note": size_note(state.area, rendering.pixels_per_mm) if state else None,
        },
    )


def size_note(area: DisplayedArea | None, pixels_per_mm: float | None) -> str | None:
    """Say why a state's true size cannot be kept; None where it can, or is not asked for."""
    if area is None or area.size_mode != "TRUE SIZE":
        return None
    if area.pixel_width_mm is None:
        return (
            "True size is asked for, but the presentation state has no Presentation Pixel Spacing."
        )
    if pixels_per_mm is None:
        return (
            "True size is asked for, but nobody said how large the screen's pixels are: "
            "give 'pixels_per_mm'."
        )
    return None


def shown(
    image: DicomImage,
    facts: PixelFacts,
    frame_number: int,
    pixels: Pixels,
    rendering: Rendering,
    state: FrameState | None = None,
    read: Callable[[int], Pixels] | None = None,
) -> tuple[NDArray[np.uint8], Window | None]:
    """Return the picture that is to be encoded, and the window that was applied; see `draw`."""
    presentation = presentation_of(image, frame_number)
    if state is not None:
        mask = None if pixels.ndim == 3 else state.mask_of(frame_number)
        if mask is not None:
            pixels = _subtracted(image, frame_number, pixels, mask, state, read)
            # These are modality values, and none of them is padding.
            state = replace(state, slope=1.0, intercept=0.0, modality_lut=None)
            presentation = replace(presentation, padding=None, padding_limit=None)
        presentation = presented(presentation, state, pixels, facts)
    if rendering.voi_lut is not None and pixels.ndim == 2:
        presentation = _with_voi_lut(image, presentation, rendering.voi_lut)
    function = rendering.window_function or image.value("VOILUTFunction")
    window = Window.of(rendering.window_center, rendering.window_width, function) or window_of(
        pixels, presentation
    )
    picture = render.to_eight_bit(pixels, presentation, window=window, invert=rendering.invert)
    try:
        if state is not None:
            picture = _with_state(image, facts, frame_number, picture, rendering, state)
        else:
            if rendering.overlays:
                picture = with_overlays(image, facts, frame_number, picture)
            if rendering.viewport is not None:
                height = presentation.pixel_height
                view = view_of(picture.shape, rendering.viewport, pixel_height=height)
                picture = view.apply(picture)
            elif rendering.width is not None:
                picture = render.resized(picture, rendering.width)
    except InvalidViewError as error:
        raise InvalidInputError(str(error)) from error
    if rendering.annotations:
        picture = burn_in(picture, words_of(image, frame_number, rendering, window))
    return picture, window


def _with_voi_lut(image: DicomImage, presentation: Presentation, number: int) -> Presentation:
    tables = tables_of(image).voi
    if number >= len(tables):
        raise InvalidInputError(f"The image has {len(tables)} VOI LUTs, none of number {number}.")
    return replace(presentation, window=None, voi_lut=tables[number])


def _subtracted(
    image: DicomImage,
    frame_number: int,
    pixels: Pixels,
    mask: Mask,
    state: FrameState,
    read: Callable[[int], Pixels] | None,
) -> Pixels:
    def one(number: int) -> Pixels:
        return pixels if number == frame_number or read is None else read(number)

    try:
        return subtracted(
            mask,
            frame_number,
            image.number_of_frames,
            one,
            slope=state.slope,
            intercept=state.intercept,
            modality_lut=state.modality_lut,
        )
    except ImagingError as error:
        raise UndecodableError(str(error)) from error


def _with_state(
    image: DicomImage,
    facts: PixelFacts,
    frame_number: int,
    picture: NDArray[np.uint8],
    rendering: Rendering,
    state: FrameState,
) -> NDArray[np.uint8]:
    """Apply what a presentation state says of place, shutter and graphics."""
    planes: list[tuple[NDArray[np.bool_], str]] = []
    own = {plane.group for plane in state.overlays}
    layers = dict(state.activations)
    shape = (picture.shape[0], picture.shape[1])
    for plane in state.overlays:
        is_shutter = state.shutter is not None and plane is state.shutter.bitmap
        mask = None if is_shutter else plane.mask(frame_number, shape)
        if mask is not None and plane.layer:
            planes.append((mask, plane.layer))
    if layers.keys() - own and tables_of(image).overlays:
        cells = cells_of(image, facts, frame_number)
        for plane in _overlays.of(image, read_overlays):
            mask = plane.mask(frame_number, shape, cells) if plane.group in layers else None
            if mask is not None and plane.group not in own:
                planes.append((mask, layers[plane.group]))
    return draw_state(
        picture,
        state,
        frame_number,
        viewport=rendering.viewport,
        width=rendering.width,
        pixel_height=presentation_of(image, frame_number).pixel_height,
        pixels_per_mm=rendering.pixels_per_mm,
        planes=planes if rendering.overlays else (),
    )


def encode(picture: NDArray[np.uint8], rendering: Rendering, profile: bytes | None) -> bytes:
    """Encode a picture in one of the drawn forms."""
    if rendering.form is Form.JPEG:
        return encode_jpeg(picture, quality=rendering.quality, profile=profile)
    if rendering.form is Form.WEBP:
        return encode_webp(picture, quality=rendering.quality, profile=profile)
    if rendering.form is Form.GIF:
        return encode_gif([picture])
    return encode_png(picture, profile=profile)


def with_overlays(
    image: DicomImage, facts: PixelFacts, frame_number: int, picture: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Draw the overlay planes of an object into a picture of one of its frames, in white.

    Parameters
    ----------
    picture : of the size of the frame

    Raises
    ------
    UndecodableError
        When the planes cannot be read.
    """
    if not tables_of(image).overlays:
        return picture
    mask: NDArray[np.bool_] | None = None
    shape = (picture.shape[0], picture.shape[1])
    for plane in _overlays.of(image, read_overlays):
        own = plane.mask(frame_number, shape, cells_of(image, facts, frame_number))
        if own is not None:
            mask = own if mask is None else mask | own
    if mask is None:
        return picture
    picture = picture.copy()
    picture[mask] = 255
    return picture


def cells_of(
    image: DicomImage, facts: PixelFacts, frame_number: int
) -> Callable[[], NDArray[Any]] | None:
    """Return what reads a frame's pixel cells with all their bits; None where there are none."""
    if facts.samples_per_pixel != 1 or facts.bits_allocated not in (8, 16, 32):
        return None
    # All bits of a cell are stored ones: none is cleared.
    whole = replace(
        facts,
        bits_stored=facts.bits_allocated,
        high_bit=facts.bits_allocated - 1,
        is_signed=False,
        photometric_interpretation="MONOCHROME2",
    )
    return lambda: decoding.decode_exact(image, whole, frame_number - 1)


def words_of(
    image: DicomImage, frame_number: int, rendering: Rendering, window: Window | None
) -> dict[Corner, list[str]]:
    """Return what is drawn into the corners of a picture."""
    words: dict[Corner, list[str]] = {}
    series, study = image.series, image.series.study
    if "patient" in rendering.annotations:
        born = study.patient_birth_date
        words["top left"] = [
            readable_name(study.patient_name),
            study.patient_identifier,
            " ".join(
                part for part in (born.isoformat() if born else "", study.patient_sex) if part
            ),
        ]
        taken = study.study_date
        words["top right"] = [
            series.institution_name,
            taken.isoformat() if taken else "",
            study.accession_number,
        ]
    if "technique" in rendering.annotations:
        facts = {"KVP": "kV", "SliceThickness": "mm"}
        values = ((image.value(key), unit) for key, unit in facts.items())
        number = f"Image {image.instance_number}" if image.instance_number is not None else ""
        frames = image.number_of_frames
        side = " ".join(
            part for key in ("ImageLaterality", "ViewPosition") if (part := image.value(key))
        )
        words["bottom left"] = [
            " ".join(part for part in (series.modality, series.series_description) if part),
            ", ".join(f"{value:g} {unit}" for value, unit in values if value),
            side,
        ]
        words["bottom right"] = [
            f"{number} ({frame_number}/{frames})" if frames > 1 else number,
            f"C {window.center:g} W {window.width:g}" if window else "",
        ]
    return words


def readable_name(name: str) -> str:
    """Return a person's name as people read it: the first group of components that is there.

    References
    ----------
    DICOM PS3.5 section 6.2.1.
    """
    group = next((group for group in name.split("=") if group.strip("^ ")), "")
    family, *rest = group.split("^")
    given = " ".join(part for part in rest if part.strip())
    return ", ".join(part for part in (family.strip(), given.strip()) if part)
