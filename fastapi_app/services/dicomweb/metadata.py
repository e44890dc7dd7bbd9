"""WADO-RS: metadata of a study, a series or one instance (PS3.18 section 10.4.1.1.2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from starlette.responses import Response

from archive import addressed, descriptions
from archive.access import Actor
from archive.addressed import Address
from archive.descriptions import Description
from fastapi_app.services.dicomweb import conditions, documents, streams, viewing
from fastapi_app.services.dicomweb.asking import Asked
from fastapi_app.services.dicomweb.media import XML, Choice
from fastapi_app.services.dicomweb.streams import Part
from imaging import dicomxml

# What is larger leaves in pieces and is compressed by gzip alone: the others want it whole.
_WHOLE_BYTES = 32 * 1024 * 1024


def retrieve(asked: Asked, address: Address) -> Callable[[Actor], Response]:
    """Return the work of a retrieval of metadata."""

    def work(actor: Actor) -> Response:
        choice = asked.choose(documents.OFFERS)
        if address.instance:
            image = addressed.image(actor.scope, address)
            series = [image.series]
        else:
            series = list(addressed.series(actor.scope, address))
        inventories = [descriptions.Inventory(one) for one in series]
        viewing.note(actor, (one.study_id for one in series))
        tag = conditions.tag_of(
            choice.offer,
            asked.base_url,
            address,
            documents.coding_for(asked.headers.get("accept-encoding", "")),
            *(one.digest for one in inventories),
        )
        unchanged = conditions.unchanged(asked, tag)
        if unchanged is not None:
            return unchanged
        found = [one.description() for one in inventories]
        headers = conditions.headers_of(tag)
        if address.instance:
            document = found[0].document(address.instance, asked.base_url)
            return _whole(asked, choice, [document], headers)
        if sum(one.size_bytes for one in found) <= _WHOLE_BYTES:
            every = [document for block in _blocks(found, asked) for document in block]
            return _whole(asked, choice, every, headers)
        return _streamed(asked, choice, found, headers)

    return work


def _blocks(found: Sequence[Description], asked: Asked) -> Iterator[list[bytes]]:
    for one in found:
        yield from one.documents(asked.base_url)


def _whole(
    asked: Asked, choice: Choice, every: Sequence[bytes], headers: dict[str, str]
) -> Response:
    if choice.offer.is_multipart:
        return documents.of_parts(asked, map(_as_xml, every), headers)
    return documents.of_json(asked, choice, b"[" + b",".join(every) + b"]", headers)


def _as_xml(document: bytes) -> bytes:
    return dicomxml.of_model(json.loads(document))


def _streamed(
    asked: Asked, choice: Choice, found: Sequence[Description], headers: dict[str, str]
) -> Response:
    if choice.offer.is_multipart:
        parts = (
            Part(XML, (_as_xml(document),)) for block in _blocks(found, asked) for document in block
        )
        return streams.multipart(parts, XML, headers=headers)
    pieces: Iterable[bytes] = _listed(_blocks(found, asked))
    if documents.takes_gzip(asked.headers.get("accept-encoding", "")):
        headers = headers | {"content-encoding": "gzip"}
        pieces = documents.gzipped(pieces)
    return streams.Stream(pieces, media_type=choice.offer.media_type, headers=headers)


def _listed(blocks: Iterable[list[bytes]]) -> Iterator[bytes]:
    start = b"["
    for block in blocks:
        yield start + b",".join(block)
        start = b","
    yield b"]"
