"""Glue between the picture routes and `archive.retrieve`: parameters, headers, conditions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import parse_qsl
from uuid import UUID

from anyio import to_thread
from starlette.responses import FileResponse, Response

from archive import audit, problems, retrieve, stores, thumbnails
from archive.access import Actor
from archive.errors import (
    ArchiveError,
    InvalidInputError,
    NotFoundError,
    PermanentError,
    UndecodableError,
)
from archive.rendering import CONTENT_TYPES, Form, Rendering, rendering_of
from archive.retrieve import Rendered
from blobs import BlobMissingError
from fastapi_app import gate
from worklist.models import DicomImage

_CHUNK_BYTES = 1024 * 1024
_AT_ONCE = 3
MOST_BATCH_FRAMES = 32
BATCH_TYPE = "application/vnd.noctis.frames"
_LENGTH = struct.Struct("<I")
IMMUTABLE = "private, max-age=31536000, immutable"
REVALIDATED = "private, no-cache"
_FRAME_PATH = re.compile(
    r"/api/v1/dicom/image/([0-9a-fA-F-]{36})/frames/([0-9]{1,9})\.(png|jpg|webp|gif|jphc|raw)"
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A frame that is asked for, read from an address."""

    image: UUID
    frame_number: int
    form: str
    rendering: Rendering
    version: str


@lru_cache(maxsize=8192)
def asked_by(path: str, query: bytes) -> Asked | None:
    """Return the frame that an address names; None for any other address, or a wrong one."""
    match = _FRAME_PATH.fullmatch(path)
    if match is None:
        return None
    try:
        parameters = dict(parse_qsl(query.decode("latin-1")))
        if "state" in parameters:
            return None
        rendering = rendering_of(match[3], parameters)
        version = parameters.get("v", "")
        return Asked(UUID(match[1]), int(match[2]), match[3], rendering, version)
    except (InvalidInputError, ValueError):
        return None


def tag_of(
    image: DicomImage,
    frame_number: int,
    rendering: Rendering,
    state: DicomImage | None = None,
) -> str:
    """Return the entity tag of a picture, from content and rendering: known before it is made."""
    return f'"{retrieve.key_of(image, frame_number, rendering, state=state)[:24]}"'


def is_unchanged(tag: str, if_none_match: str | None) -> bool:
    """Whether the caller has it (RFC 9110 13.1.2; the comparison is weak)."""
    if not if_none_match:
        return False
    known = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return tag in known or "*" in known


def frame_headers(
    image: DicomImage, tag: str, version: str, rendered: Rendered | None
) -> list[tuple[bytes, bytes]]:
    """Return the headers of a picture; `rendered` is None for 304."""
    is_immutable = version.removesuffix("-m") == image.digest
    headers = [
        (b"etag", tag.encode()),
        (b"cache-control", (IMMUTABLE if is_immutable else REVALIDATED).encode()),
        (b"vary", b"Cookie, Authorization"),
    ]
    if rendered is None:
        return headers
    headers += [
        (b"content-type", rendered.content_type.encode()),
        (b"content-length", str(len(rendered.content)).encode()),
        (b"x-frame-rows", str(rendered.rows).encode()),
        (b"x-frame-columns", str(rendered.columns).encode()),
        (b"x-frame-samples", str(rendered.samples).encode()),
        (b"x-frame-dtype", rendered.dtype.encode()),
    ]
    for name, value in (
        (b"x-frame-min", rendered.least),
        (b"x-frame-max", rendered.greatest),
        (b"x-frame-offset", rendered.offset),
        (b"x-window-center", rendered.window_center),
        (b"x-window-width", rendered.window_width),
    ):
        if value is not None:
            headers.append((name, f"{value:.10g}".encode()))
    if rendered.note:
        headers.append((b"x-presentation-note", rendered.note.encode("ascii")))
    return headers


def respond(status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> Response:
    """Return a response with exactly these headers."""
    response = Response(content, status_code=status)
    response.raw_headers = headers
    return response


def is_for_eyes(accept: str | None) -> bool:
    """Whether a person looks at the answer: an element of a page names image types, a program not.

    Such a caller is shown why there is no picture, by a picture.
    """
    return "image/" in (accept or "") and "json" not in (accept or "")


def frame(
    text: str,
    number: str,
    form: str,
    parameters: Mapping[str, str],
    if_none_match: str | None,
    *,
    is_for_eyes: bool = False,
) -> Callable[[Actor], Response]:
    """Return the work of a frame route.

    Parameters
    ----------
    text, number, form : the image, the frame number and the form, as the address has them
    is_for_eyes : a frame that cannot be shown gives a picture of the reason, not a document
    """

    def work(actor: Actor) -> Response:
        image = gate.image_for(actor, text)
        rendering = rendering_of(form, parameters)
        frame_number = _frame_number(number)
        retrieve.check_frame_number(image, frame_number)
        version = parameters.get("v", "")
        state = None
        if rendering.is_drawn and (named := parameters.get("state", "")):
            state = gate.image_for(actor, named)
        tag = tag_of(image, frame_number, rendering, state)
        if is_unchanged(tag, if_none_match):
            return respond(HTTPStatus.NOT_MODIFIED, frame_headers(image, tag, version, None), b"")
        try:
            rendered = retrieve.frame(image, frame_number, rendering, state=state)
        except UndecodableError as error:
            if not is_for_eyes or not rendering.is_drawn:
                raise
            return Response(
                retrieve.reason_picture(str(error), rendering),
                status_code=problems.problem_of(error)["status"],
                media_type=CONTENT_TYPES[rendering.form],
                headers={"cache-control": "no-store", "vary": "Accept, Cookie, Authorization"},
            )
        headers = frame_headers(image, tag, version, rendered)
        return respond(HTTPStatus.OK, headers, rendered.content)

    return work


def _frame_number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise NotFoundError("Frames are named by their number, from 1.")
    return int(text)


def _thumbnail(image: DicomImage, version: str, if_none_match: str | None) -> Response:
    # What a tile says may change when a decoder learns more; its picture may not.
    tag = f'"t{retrieve.thumbnail_version(image)}{image.digest}{"p" if image.problem else ""}"'
    if is_unchanged(tag, if_none_match):
        return respond(HTTPStatus.NOT_MODIFIED, frame_headers(image, tag, version, None), b"")
    picture = retrieve.thumbnail(image)
    headers = frame_headers(image, tag, version, None)
    headers += [
        (b"content-type", picture.content_type.encode()),
        (b"content-length", str(len(picture.content)).encode()),
    ]
    return respond(HTTPStatus.OK, headers, picture.content)


def image_thumbnail(
    text: str, version: str, if_none_match: str | None
) -> Callable[[Actor], Response]:
    """Return the work of an image's thumbnail route."""
    return lambda actor: _thumbnail(gate.image_for(actor, text), version, if_none_match)


def study_thumbnail(text: str, if_none_match: str | None) -> Callable[[Actor], Response]:
    """Return the work of a study's thumbnail route."""

    def work(actor: Actor) -> Response:
        study = gate.study_for(actor, text)
        image = thumbnails.image_of_study(study)
        if image is None:
            raise NotFoundError("The study has no images yet.")
        return _thumbnail(image, "", if_none_match)

    return work


def file(text: str, version: str, if_none_match: str | None) -> Callable[[Actor], Response]:
    """Return the work of the download route: the stored file, checked before it leaves."""

    def work(actor: Actor) -> Response:
        image = gate.image_for(actor, text)
        tag = f'"{image.sha256[:32]}"'
        if is_unchanged(tag, if_none_match):
            return respond(HTTPStatus.NOT_MODIFIED, frame_headers(image, tag, version, None), b"")
        store = stores.instances()
        try:
            with store.open(image.storage_key) as handle:
                digest = hashlib.sha256()
                while chunk := handle.read(_CHUNK_BYTES):
                    digest.update(chunk)
        except BlobMissingError as error:
            raise PermanentError(str(error)) from error
        if digest.hexdigest() != image.sha256:
            raise PermanentError(
                "The stored file has changed since it came and is not given out. Tell your "
                "administrator to run verify_storage."
            )
        audit.note_read(actor, "image.download", image)
        return FileResponse(
            store.path(image.storage_key),
            media_type="application/dicom",
            filename=f"{image.sop_instance_uid}.dcm",
            headers={
                "etag": tag,
                "cache-control": IMMUTABLE if version == image.digest else REVALIDATED,
                "vary": "Cookie, Authorization",
            },
        )

    return work


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One frame of a batch, as it was asked for."""

    key: UUID
    image: DicomImage | Exception
    frame_number: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch request asks for, looked up."""

    items: list[BatchItem]
    rendering: Rendering


def batch(wanted: list[str], form: str, parameters: Mapping[str, str]) -> Callable[[Actor], Batch]:
    """Return the work that looks a batch's images up.

    Parameters
    ----------
    wanted : `{image}:{frame number}` each
    form : of every frame
    """

    def work(actor: Actor) -> Batch:
        if form not in tuple(Form):
            raise InvalidInputError(f"'format' is one of {', '.join(Form)}.")
        if not 1 <= len(wanted) <= MOST_BATCH_FRAMES:
            raise InvalidInputError(
                f"Ask for 1 to {MOST_BATCH_FRAMES} frames: f=<image>:<frame>, repeated."
            )
        rendering = rendering_of(form, parameters)
        pairs = [_pair(text) for text in wanted]
        found = gate.images_for(actor, list(dict.fromkeys(key for key, _ in pairs)))
        return Batch([BatchItem(key, found[key], number) for key, number in pairs], rendering)

    return work


def _pair(text: str) -> tuple[UUID, int]:
    match = re.fullmatch(r"([0-9a-fA-F-]{32,36}):([0-9]{1,9})", text)
    try:
        if match is not None:
            return UUID(match[1]), int(match[2])
    except ValueError:
        pass
    raise InvalidInputError("Each 'f' is an image's id, a colon and a frame number.")


async def records(wanted: Batch) -> AsyncIterator[bytes]:
    """Yield a batch's records in the asked order, each as soon as it is ready.

    A few are made at the same time; when the caller goes away the rest is not begun.
    """
    free = asyncio.Semaphore(_AT_ONCE)

    async def make(item: BatchItem) -> bytes:
        async with free:
            return await to_thread.run_sync(_record, item, wanted.rendering)

    tasks = [asyncio.create_task(make(item)) for item in wanted.items]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()


def _found(item: BatchItem) -> DicomImage:
    if isinstance(item.image, Exception):
        raise item.image
    return item.image


def _record(item: BatchItem, rendering: Rendering) -> bytes:
    head: dict[str, object] = {"image": str(item.key), "frame": item.frame_number}
    content = b""
    try:
        with gate.database():
            rendered = retrieve.frame(_found(item), item.frame_number, rendering)
        content = rendered.content
        head |= {
            "status": int(HTTPStatus.OK),
            "content_type": rendered.content_type,
            "rows": rendered.rows,
            "columns": rendered.columns,
            "samples": rendered.samples,
            "dtype": rendered.dtype,
            "min": rendered.least,
            "max": rendered.greatest,
        }
        if rendered.offset is not None:
            head["offset"] = rendered.offset
    except ArchiveError as error:
        problem = problems.problem_of(error)
        head |= {"status": problem["status"], "detail": problem["detail"]}
    except Exception:
        # The edge of one record: the others of the batch are still good.
        logger.exception("Frame %d of image %s failed.", item.frame_number, item.key)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        head |= {"status": int(status), "detail": "Something failed on our side. Try again."}
    encoded = json.dumps(head).encode()
    return b"".join((_LENGTH.pack(len(encoded)), encoded, _LENGTH.pack(len(content)), content))
