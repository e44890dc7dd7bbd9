"""Glue between the routes of films and videos and `archive.films`, `archive.videos`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path

from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from archive import drawing, ffmpeg, films, stores, videos
from archive.access import Actor
from archive.rendering import Form, Rendering, rendering_of
from fastapi_app import gate
from fastapi_app.services.dicom_processor import (
    IMMUTABLE,
    REVALIDATED,
    frame_headers,
    is_unchanged,
    respond,
    tag_of,
)
from worklist.models import DicomImage

_CHUNK_BYTES = 1024 * 1024


def film(
    text: str, parameters: Mapping[str, str], if_none_match: str | None
) -> Callable[[Actor], Response]:
    """Return the work of the film route: every frame in one GIF."""

    def work(actor: Actor) -> Response:
        image = gate.image_for(actor, text)
        rendering = rendering_of(Form.GIF, parameters)
        version = parameters.get("v", "")
        tag = tag_of(image, 0, rendering)
        if is_unchanged(tag, if_none_match):
            return respond(HTTPStatus.NOT_MODIFIED, frame_headers(image, tag, version, None), b"")
        made = films.gif(image, rendering)
        headers = frame_headers(image, tag, version, None)
        headers += [
            (b"content-type", made.content_type.encode()),
            (b"content-length", str(len(made.content)).encode()),
        ]
        return respond(HTTPStatus.OK, headers, made.content)

    return work


def video(
    text: str, parameters: Mapping[str, str], if_none_match: str | None, wanted: str | None
) -> Callable[[Actor], Response]:
    """Return the work of the video route: what browsers play, or the bit stream as it came.

    Parameters
    ----------
    wanted : the Range header (RFC 9110 14.2); players ask for parts
    """

    def work(actor: Actor) -> Response:
        image = gate.image_for(actor, text)
        version = parameters.get("v", "")
        if parameters.get("original", "") not in ("", "0"):
            return original_video(image, version, if_none_match, wanted)
        return playable_video(image, version, if_none_match, wanted)

    return work


def video_facts(text: str) -> Callable[[Actor], Response]:
    """Return the work of the route that says which frame of a video is shown when."""

    def work(actor: Actor) -> Response:
        image = gate.image_for(actor, text)
        drawing.video_of(image)
        made = videos.playable(image)
        facts = made.facts
        return JSONResponse(
            {
                "frame_count": facts.frame_count,
                "frame_rate": facts.rate,
                "Rows": facts.rows,
                "Columns": facts.columns,
                # When a player shows the first one: not every stored MP4 begins at 0.
                "start_s": facts.start_s,
                "duration_s": facts.times_s[-1] + 1 / facts.rate,
                # Every frame has the same time, unless they are told one by one.
                "times_s": None if facts.is_steady else facts.times_s,
                "stored_codec": videos.facts_of(image).codec,
                "is_converted": made.path is not None,
            },
            headers={"cache-control": REVALIDATED, "vary": "Cookie, Authorization"},
        )

    return work


def playable_video(
    image: DicomImage, version: str, if_none_match: str | None, wanted: str | None
) -> Response:
    """Answer with an MP4 that browsers play, or the asked part of it."""
    found = drawing.video_of(image)
    if found.media_type == "video/mp4" and not ffmpeg.is_installed():
        # Mostly H.264, which plays as it is.
        return original_video(image, version, if_none_match, wanted)
    tag = f'"p{videos.VERSION}{image.sha256[:32]}"'
    if is_unchanged(tag, if_none_match):
        return respond(HTTPStatus.NOT_MODIFIED, frame_headers(image, tag, version, None), b"")
    made = videos.playable(image)
    if made.path is None:
        return original_video(image, version, if_none_match, wanted)
    return mp4(made.path, tag, image, version)


def mp4(path: Path, tag: str, image: DicomImage, version: str) -> Response:
    """Answer with a file of ours; Range is honoured."""
    is_immutable = version.removesuffix("-m") == image.digest
    return FileResponse(
        path,
        media_type="video/mp4",
        headers={
            "etag": tag,
            "cache-control": IMMUTABLE if is_immutable else REVALIDATED,
            "vary": "Accept, Cookie, Authorization",
        },
    )


def original_video(
    image: DicomImage, version: str, if_none_match: str | None, wanted: str | None
) -> Response:
    """Answer with the bit stream as it came, or the asked part of it."""
    found = drawing.video_of(image)
    tag = f'"v{image.sha256[:32]}"'
    headers = frame_headers(image, tag, version, None)
    if is_unchanged(tag, if_none_match):
        return respond(HTTPStatus.NOT_MODIFIED, headers, b"")
    size = found.size_bytes
    first, last, status = 0, size - 1, HTTPStatus.OK
    match = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", wanted or "")
    if match is not None and (match[1] or match[2]):
        if match[1]:
            first, last = int(match[1]), min(int(match[2] or size), size - 1)
        else:
            first = max(size - int(match[2]), 0)
        if first > last:
            headers.append((b"content-range", f"bytes */{size}".encode()))
            return respond(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers, b"")
        status = HTTPStatus.PARTIAL_CONTENT
        headers.append((b"content-range", f"bytes {first}-{last}/{size}".encode()))
    headers += [
        (b"content-type", found.media_type.encode()),
        (b"content-length", str(last + 1 - first).encode()),
        (b"accept-ranges", b"bytes"),
    ]
    store = stores.instances()
    parts = found.parts(first, last, most_bytes=_CHUNK_BYTES)
    response = StreamingResponse(
        (store.read(image.storage_key, offset, length) for offset, length in parts),
        status_code=status,
    )
    response.raw_headers = headers
    return response


def film_mp4(
    image: DicomImage, rendering: Rendering, version: str, if_none_match: str | None
) -> Response:
    """Answer with all frames of an instance as an MP4."""
    tag = f'"{films.mp4_key(image, rendering)[:24]}"'
    if is_unchanged(tag, if_none_match):
        return respond(HTTPStatus.NOT_MODIFIED, frame_headers(image, tag, version, None), b"")
    return mp4(films.mp4(image, rendering), tag, image, version)


def film_as_mp4(
    text: str, parameters: Mapping[str, str], if_none_match: str | None, wanted: str | None
) -> Callable[[Actor], Response]:
    """Return the work of the route of films as MP4; a video is one already."""

    def work(actor: Actor) -> Response:
        image = gate.image_for(actor, text)
        version = parameters.get("v", "")
        if drawing.is_video(image):
            return playable_video(image, version, if_none_match, wanted)
        return film_mp4(image, rendering_of(Form.GIF, parameters), version, if_none_match)

    return work
