"""The one way out for pictures: exact frames, windowed pictures, previews, thumbnails.

Callers pass rows that :mod:`archive.access` has scoped. What was made once is kept under the digest
of the instance's content, so nothing here ever has to be made invalid.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from archive import decoding, drawing, ffmpeg, frame_cache, tiles
from archive.drawing import is_video, palette_of, tables_of
from archive.errors import InvalidInputError, NotFoundError, UndecodableError
from archive.frame_entry import Entry
from archive.rendering import CONTENT_TYPES, DRAWN, Form, Rendering
from imaging import render, sopclass
from imaging.encode import encode_png
from imaging.errors import ImagingError
from imaging.pixels import PixelColumns, PixelFacts, dtype_name, frame_range
from imaging.pixels import problem as problem_of
from imaging.voi import LookupTable
from worklist.models import DicomImage

__all__ = ["CONTENT_TYPES", "Form", "Rendered", "Rendering", "exact", "frame", "tables_of"]

Pixels = NDArray[Any]

# Part of every key of a drawn picture: a change of what is drawn makes other keys.
RENDERER_VERSION = 3
# The same for the forms that carry exact values, which change only if a decoder was wrong.
_EXACT_VERSION = 1
PREVIEW_MOST_BYTES = 96 * 1024  # 128 KiB as a data URI
_PREVIEW_STEPS = ((1024, 85), (768, 80), (640, 70), (512, 60), (384, 50), (256, 40), (128, 30))
# Frames beyond this are made one after the other, so that a few of them do not fill the memory.
_LARGE_BYTES = 32 * 1024**2


@dataclass(frozen=True, slots=True)
class Rendered:
    """A picture, ready to be sent.

    Attributes
    ----------
    rows, columns, samples, dtype : of the exact frame (of the picture, for windowed forms)
    least, greatest : stored values of the exact frame; None for windowed forms
    offset : to be taken off the values of `Form.RG16`
    window_center, window_width : that was applied; None for colour and VOI LUTs
    note : what a presentation state asked for and could not be done
    """

    content: bytes
    content_type: str
    rows: int = 0
    columns: int = 0
    samples: int = 0
    dtype: str = ""
    least: float | None = None
    greatest: float | None = None
    offset: int | None = None
    window_center: float | None = None
    window_width: float | None = None
    note: str | None = None


# Tables of slides have a hundred thousand entries: they are unpacked once.
_facts: LRUCache[str, PixelFacts] = LRUCache(512)
_facts_lock = threading.Lock()
# What is made in this process uses a core: more threads than cores would only share them.
_makers = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
_large = threading.BoundedSemaphore(1)
_films = threading.BoundedSemaphore(1)


def _turn(facts: PixelFacts) -> AbstractContextManager[object]:
    """Wait for one's turn with a large frame."""
    is_large = facts.frame_samples * facts.dtype.itemsize > _LARGE_BYTES
    return _large if is_large else nullcontext()


def key_of(
    image: DicomImage,
    frame_number: int,
    rendering: Rendering,
    *,
    state: DicomImage | None = None,
) -> str:
    """Return the name of a picture in the cache; see :func:`frame`."""
    if not rendering.is_drawn:
        return frame_cache.key_of(
            "exact", _EXACT_VERSION, image.sha256, frame_number, rendering.form
        )
    parts: list[object] = [RENDERER_VERSION, image.sha256, frame_number, rendering]
    if rendering.annotations:
        # A patient's name can be corrected; the words are no part of the object's content.
        parts.append(drawing.words_of(image, frame_number, rendering, None))
    if state is not None:
        parts.append(state.sha256)
    return frame_cache.key_of(*parts)


def peek(image: DicomImage, frame_number: int, rendering: Rendering) -> Rendered | None:
    """Return a picture that is in memory, without waiting for anything."""
    entry = frame_cache.rendered().peek(key_of(image, frame_number, rendering))
    return None if entry is None else _rendered(entry)


def frame(
    image: DicomImage,
    frame_number: int,
    rendering: Rendering,
    *,
    state: DicomImage | None = None,
) -> Rendered:
    """Return a frame of a stored instance in the form that is asked for.

    Parameters
    ----------
    image : scoped by `archive.access`
    frame_number : from 1
    state : a stored softcopy presentation state that is applied to a drawn form, scoped as well

    Raises
    ------
    NotFoundError
        When the image has no such frame.
    UndecodableError
        When it cannot be decoded, or has no such form.
    InvalidInputError
        When the viewport lies outside the picture, or the state is not for it.
    TransientError
        When every decoder is busy.

    References
    ----------
    DICOM PS3.3 C.7.6.3 (pixels), C.11 (windows).
    """
    check_frame_number(image, frame_number)
    if rendering.form is Form.RAW:
        # Kept in its file, or for a while in memory: another copy would save nothing.
        return _rendered(_make(image, frame_number, rendering))
    refusal_key = _refusal_key(image, frame_number, rendering.form)
    entry = frame_cache.rendered().get_or_make(
        key_of(image, frame_number, rendering, state=state),
        lambda: _make(image, frame_number, rendering, state),
        refusal_key=refusal_key if state is None else f"{refusal_key} {state.sha256}",
        # Drawing plain samples anew costs hardly more than a file, and people turn a window a lot.
        is_kept_below=rendering.window_center is None or is_compressed(image),
    )
    return _rendered(entry)


@contextmanager
def film_pictures(
    image: DicomImage, rendering: Rendering, *, most_samples: int
) -> Iterator[Iterator[NDArray[np.uint8]]]:
    """Give every frame as a film shows it, one after the other; one film is made at a time.

    Where nobody chose a window and the file has none, the middle frame's is every frame's: a film
    must not flicker.

    Raises
    ------
    InvalidInputError
        When all of them would have more samples than `most_samples`.
    """
    facts = facts_of(image)
    count = max(1, image.number_of_frames)
    viewport = rendering.viewport
    columns = min(rendering.width or facts.columns, facts.columns)
    samples = columns * max(1, round(facts.rows * columns / max(1, facts.columns)))
    if viewport is not None:
        samples = viewport.width * viewport.height
    if samples * count > most_samples:
        raise InvalidInputError(
            f"A film of {count} frames of this size is too large. Ask for a smaller 'viewport' or "
            "'width', or for single frames."
        )
    with _turn(facts):
        middle = middle_frame(image)
        presentation = drawing.presentation_of(image, middle)
        if rendering.window_center is None and presentation.window is None:
            window = drawing.window_of(_stored(image, facts, middle), presentation)
            if window is not None:
                rendering = replace(
                    rendering,
                    window_center=window.center,
                    window_width=window.width,
                    window_function=window.function,
                )

        def draw(number: int) -> NDArray[np.uint8]:
            pixels = _stored(image, facts, number)
            with _makers:
                return drawing.shown(image, facts, number, pixels, rendering)[0]

        with _films:
            yield (draw(number) for number in range(1, count + 1))


def exact(image: DicomImage, frame_number: int) -> Pixels:
    """Return the exact frame of a stored instance: what a viewer windows.

    Stored values as `imaging.pixels.exact_frame` gives them; where the object has a Modality LUT,
    uint16 values after it. `values` describes both.

    Raises
    ------
    NotFoundError, UndecodableError, TransientError
        See :func:`frame`.
    """
    check_frame_number(image, frame_number)
    return _through_modality_lut(image, _stored(image, facts_of(image), frame_number))


def values(image: DicomImage) -> dict[str, Any]:
    """Return what an image's display and pixel attributes become where a Modality LUT was applied.

    Returns
    -------
    By keyword, nothing for other images: Bits Allocated, Bits Stored and Pixel Representation of
    the exact frames, an identity for their rescale, the LUT's unit as Rescale Type, Pixel Padding
    Value after the LUT, and ``frames`` with the same rescale.

    Raises
    ------
    UndecodableError
        When the stored file cannot be read.

    References
    ----------
    DICOM PS3.3 section C.11.1: a Modality LUT takes the place of a rescale.
    """
    tables = tables_of(image)
    table = tables.modality
    if table is None or facts_of(image).is_colour:
        return {}
    rescale = {"RescaleSlope": 1.0, "RescaleIntercept": 0.0}
    padding = image.value("PixelPaddingValue")
    frames = image.value("frames")
    return {
        **rescale,
        "RescaleType": tables.modality_type,
        "BitsAllocated": 16,
        "BitsStored": table.bits,
        "PixelRepresentation": 0,
        "PixelPaddingValue": None if padding is None else int(table.apply(np.array(padding))),
        "frames": frames and [{**frame, **rescale} for frame in frames],
    }


def hidden(image: DicomImage) -> list[str]:
    """Return the keywords of what an image carries and no picture of it here shows.

    Raises
    ------
    UndecodableError
        When the stored file cannot be read.
    """
    return ["OverlayData"] if tables_of(image).overlays else []


def voi_luts(image: DicomImage) -> tuple[LookupTable, ...]:
    """Return the VOI LUTs that an image offers beside its windows; none for colour.

    Their inputs are what `exact` gives, after the rescale where there is one.

    Raises
    ------
    UndecodableError
        When the stored file cannot be read.

    References
    ----------
    DICOM PS3.3 section C.11.2.1.1.
    """
    tables = tables_of(image)
    return () if not tables.voi or facts_of(image).is_colour else tables.voi


def version_of(image: DicomImage) -> str:
    """Return what addresses of an image's exact frames carry, so that they may be kept for good.

    Browsers may still keep frames of before the Modality LUT was applied under the bare digest.
    """
    return f"{image.digest}-m" if values(image) else image.digest


def preview(image: DicomImage, frame_number: int) -> Rendered:
    """Return a small windowed JPEG: what a viewer draws before the exact frame is there.

    It has at most `PREVIEW_MOST_BYTES`; `window_center` and `window_width` say what was applied.

    Raises
    ------
    NotFoundError, UndecodableError, TransientError
        See :func:`frame`.
    """
    check_frame_number(image, frame_number)
    entry = frame_cache.rendered().get_or_make(
        frame_cache.key_of(RENDERER_VERSION, image.sha256, frame_number, "preview"),
        lambda: _make_preview(image, frame_number),
        refusal_key=_refusal_key(image, frame_number, Form.JPEG),
    )
    return _rendered(entry)


def reason_picture(words: str, rendering: Rendering) -> bytes:
    """Return a picture that says why there is none, in the form that was asked for.

    Parameters
    ----------
    words : a sentence for people
    rendering : of a drawn form
    """
    viewport = rendering.viewport
    width = rendering.width or (viewport.width if viewport else tiles.REASON_WIDTH)
    return drawing.encode(tiles.draw_reason(words, width), rendering, None)


def thumbnail(image: DicomImage) -> Rendered:
    """Return a PNG of at most 256 pixels a side: the middle frame, or a tile that names the kind.

    An instance without pixels, and one that cannot be decoded, gets a tile with words on it.
    """
    entry = frame_cache.rendered().get_or_make(
        frame_cache.key_of(thumbnail_version(image), image.sha256, "thumbnail"),
        lambda: _make_thumbnail(image),
    )
    return _rendered(entry)


def thumbnail_version(image: DicomImage) -> str:
    """Return what changes when an instance's thumbnail becomes another one."""
    # Of a video there is a picture once the program for it is installed, and until then words.
    is_shown = is_video(image) and ffmpeg.is_installed()
    return f"{RENDERER_VERSION}v" if is_shown else str(RENDERER_VERSION)


def problem(image: DicomImage) -> str:
    """Return why no frame of an instance with pixels can be shown, by its header; else nothing."""
    if not image.has_pixels or is_video(image):
        # What is wrong with a video shows when it is played: a program may have to be installed.
        return ""
    try:
        return problem_of(facts_of(image), decoding.limits()) or ""
    except UndecodableError as error:
        return str(error)


def transport(image: DicomImage) -> Literal["jphc", "raw"] | None:
    """Return how the exact frames of an instance travel; None for videos and without pictures."""
    if not image.has_pixels or is_video(image) or problem(image):
        return None
    facts = facts_of(image)
    try:
        if values(image):
            return "jphc"
    except UndecodableError:
        return None
    name = "uint8" if facts.is_colour else facts.dtype.name
    return "jphc" if render.can_encode_htj2k(name) else "raw"


def is_compressed(image: DicomImage) -> bool:
    """Whether its frames cost a decoder's time."""
    if is_video(image):
        return True
    table = facts_of(image).frames
    return table is not None and (table.kind != "native" or table.is_inflated)


def middle_frame(image: DicomImage) -> int:
    """Return the number of the frame that stands for all: contrast and motion are in the middle."""
    return (image.number_of_frames or 1) // 2 + 1 if image.number_of_frames > 1 else 1


def check_frame_number(image: DicomImage, frame_number: int) -> None:
    """Refuse a frame that the image does not have.

    Raises
    ------
    UndecodableError
        When it has no pixels at all.
    NotFoundError
        When it has fewer frames.
    """
    if not image.has_pixels:
        what = sopclass.plain_name(image.sop_class_uid)
        if sopclass.is_image_class(image.sop_class_uid):
            raise UndecodableError(f"This file ({what}) has no pixel data. Have it sent again.")
        raise UndecodableError(f"This instance holds no picture ({what}).")
    if not 1 <= frame_number <= max(1, image.number_of_frames):
        raise NotFoundError(
            f"The image has no frame {frame_number}: its frames are 1 to {image.number_of_frames}."
        )


def facts_of(image: DicomImage) -> PixelFacts:
    """Return what decoding the instance needs.

    Raises
    ------
    UndecodableError
        When the stored table of frames is damaged.
    """
    with _facts_lock:
        known = _facts.get(image.sha256)
    if known is not None:
        return known
    try:
        # A row holds no None where an index may: it fits, but for the protocol's wider type.
        facts = PixelFacts.of(cast("PixelColumns", image), image.frame_table)
    except ImagingError as error:
        raise UndecodableError(str(error)) from error
    with _facts_lock:
        _facts[image.sha256] = facts
    return facts


def _refusal_key(image: DicomImage, frame_number: int, form: Form) -> str:
    """Return under what a refusal is remembered: windowed forms fail alike."""
    kind = "windowed" if form in DRAWN else form
    return f"{image.sha256} {frame_number} {kind}"


def _through_modality_lut(image: DicomImage, pixels: Pixels) -> Pixels:
    """Return modality values where a LUT makes them; a viewer has only a slope and an intercept."""
    table = tables_of(image).modality
    return pixels if table is None or pixels.ndim == 3 else table.apply(pixels)


def _stored(image: DicomImage, facts: PixelFacts, frame_number: int) -> Pixels:
    """Decode, or find decoded what costs a decoder its time."""

    def make() -> Entry:
        palette = palette_of(image) if facts.is_palette else None
        pixels = np.ascontiguousarray(
            decoding.decode_exact(image, facts, frame_number - 1, palette=palette)
        )
        # The bytes object is the one copy; the array that is handed out views it.
        return Entry(pixels.tobytes(), {"dtype": pixels.dtype.str, "shape": pixels.shape})

    if not is_compressed(image) or is_video(image):
        # Frames of videos are kept where they are decoded, several at once.
        palette = palette_of(image) if facts.is_palette else None
        return decoding.decode_exact(image, facts, frame_number - 1, palette=palette)
    key = frame_cache.key_of(image.sha256, frame_number)
    entry = frame_cache.decoded().get_or_make(key, make)
    return np.frombuffer(entry.content, entry.facts["dtype"]).reshape(entry.facts["shape"])


def _make(
    image: DicomImage,
    frame_number: int,
    rendering: Rendering,
    state: DicomImage | None = None,
) -> Entry:
    facts = facts_of(image)
    said = None
    if state is not None and rendering.is_drawn:
        said = drawing.state_of(state, image, frame_number)
    with _turn(facts):
        pixels = _stored(image, facts, frame_number)
        with _makers:
            if rendering.is_drawn:
                return drawing.draw(
                    image,
                    facts,
                    frame_number,
                    pixels,
                    rendering,
                    said,
                    lambda number: _stored(image, facts, number),
                )
            return _as_exact(_through_modality_lut(image, pixels), rendering.form)


def _as_exact(pixels: Pixels, form: Form) -> Entry:
    """Encode without loss."""
    least, greatest = frame_range(pixels)
    facts: dict[str, Any] = {
        "content_type": CONTENT_TYPES[form],
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "samples": 3 if pixels.ndim == 3 else 1,
        "dtype": dtype_name(pixels),
        "least": least,
        "greatest": greatest,
    }
    try:
        if form is Form.HTJ2K:
            return Entry(render.encode_htj2k(pixels), facts)
        if form is Form.RG16:
            content, facts["offset"] = render.pack_rg16(pixels)
            return Entry(content, facts)
    except ImagingError as error:
        raise UndecodableError(str(error)) from error
    little_endian = pixels.dtype.newbyteorder("<")
    return Entry(pixels.astype(little_endian, copy=False).tobytes(), facts)


def _make_preview(image: DicomImage, frame_number: int) -> Entry:
    facts = facts_of(image)
    with _turn(facts):
        pixels = _stored(image, facts, frame_number)
        with _makers:
            for width, quality in _PREVIEW_STEPS:
                rendering = Rendering(
                    form=Form.JPEG,
                    width=min(width, pixels.shape[1]),
                    quality=quality,
                    # The viewer draws none either: what comes after the preview must not differ.
                    overlays=False,
                )
                entry = drawing.draw(image, facts, frame_number, pixels, rendering)
                if len(entry.content) <= PREVIEW_MOST_BYTES:
                    break
    return entry


def _make_thumbnail(image: DicomImage) -> Entry:
    modality = image.series.modality
    if not image.has_pixels:
        name = sopclass.plain_name(image.sop_class_uid)
        content = tiles.draw(modality or "DICOM", name)
    else:
        number = middle_frame(image)
        facts = facts_of(image)
        try:
            with _turn(facts):
                pixels = _stored(image, facts, number)
                with _makers:
                    presentation = drawing.presentation_of(image, number)
                    picture = drawing.with_overlays(
                        image, facts, number, render.to_eight_bit(pixels, presentation)
                    )
                    content = encode_png(render.shrunk(picture, presentation))
            return Entry(content, {"content_type": "image/png"})
        except (UndecodableError, NotFoundError):
            content = tiles.draw(modality or "DICOM", "cannot be shown")
    return Entry(content, {"content_type": "image/png"})


def _rendered(entry: Entry) -> Rendered:
    return Rendered(content=entry.content, **entry.facts)
