"""WADO-RS: large values that metadata gives the addresses of (PS3.18 section 10.4.1.1.5)."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from archive import addressed, descriptions
from archive.access import Actor
from archive.addressed import Address
from archive.errors import NotFoundError
from fastapi_app.services.dicomweb import conditions, frames, streams, viewing
from fastapi_app.services.dicomweb.asking import Asked
from fastapi_app.services.dicomweb.media import OCTETS, Offer
from fastapi_app.services.dicomweb.streams import Part
from imaging import dicomjson
from imaging.elements import DOUBLE_PIXEL_DATA, FLOAT_PIXEL_DATA, PIXEL_DATA

_PIXELS = (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA)


def retrieve(asked: Asked, address: Address, path_text: str) -> Callable[[Actor], Response]:
    """Return the work of a retrieval of one value.

    Parameters
    ----------
    path_text : tags and numbers of items from 1, as ``54000100/1/54001010``
    """
    path = dicomjson.parse_path(path_text)
    if path is not None and len(path) == 1 and path[0] in _PIXELS:
        return frames.pixel_data(asked, address)

    def work(actor: Actor) -> Response:
        image = addressed.image(actor.scope, address)
        value = descriptions.value(image, path) if path is not None else None
        if value is None:
            raise NotFoundError("The instance has no such value.")
        media_type = value.media_type or OCTETS
        offers = [Offer(OCTETS), Offer(OCTETS, is_multipart=True)]
        if media_type != OCTETS:
            offers += [Offer(media_type), Offer(media_type, is_multipart=True)]
        choice = asked.choose(offers)
        viewing.note(actor, [image.series.study_id])
        tag = conditions.tag_of(image.sha256, path_text, choice.offer)
        unchanged = conditions.unchanged(asked, tag)
        if unchanged is not None:
            return unchanged
        headers = conditions.headers_of(tag)
        content, chosen = value.content, choice.offer.media_type
        if choice.offer.is_multipart:
            head = (chosen, len(content), "")
            parts = (Part(chosen, (content,), len(content)),)
            return streams.multipart(parts, chosen, lengths=[head], headers=headers)
        return _single(asked, content, chosen, tag, headers)

    return work


def _single(
    asked: Asked, content: bytes, media_type: str, tag: str, headers: dict[str, str]
) -> Response:
    headers["accept-ranges"] = "bytes"
    # What a stranger put into an object must not run as a page of ours.
    headers["content-disposition"] = "attachment"
    found = conditions.range_of(asked.headers, tag, len(content))
    if isinstance(found, Response):
        return found
    if found is None:
        return Response(content, media_type=media_type, headers=headers)
    start, end = found
    headers["content-range"] = f"bytes {start}-{end - 1}/{len(content)}"
    return Response(content[start:end], 206, media_type=media_type, headers=headers)
