"""WADO-RS: retrieve studies, series, instances and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from archive.access import Actor
from archive.addressed import Address
from fastapi_app import gate
from fastapi_app.services.dicomweb import bulk, frames, metadata, objects, pictures
from fastapi_app.services.dicomweb.asking import Asked

router = APIRouter(tags=["DICOMweb: retrieve"])

_STUDY = "/studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_LEVELS = {"study": _STUDY, "series": _SERIES, "instance": _INSTANCE}

Make = Callable[[Asked, Address, dict[str, str]], Callable[[Actor], Response]]


def add(path: str, name: str, summary: str, make: Make, media_types: tuple[str, ...]) -> None:
    """Add a route of something that belongs to a study, a series or an instance."""

    async def answer(request: Request) -> Response:
        asked = Asked.of(request)
        names: dict[str, str] = request.path_params
        address = Address(names["study"], names.get("series", ""), names.get("instance", ""))
        return await gate.serve(request, make(asked, address, names))

    content: dict[str, Any] = {
        one: {"schema": {"type": "string", "format": "binary"}} for one in media_types
    }
    router.head(path, include_in_schema=False)(answer)
    router.get(
        path,
        summary=summary,
        operation_id=name,
        response_class=Response,
        responses={200: {"content": content}, 304: {"description": "Unchanged"}},
    )(answer)


_DICOM = 'multipart/related; type="application/dicom"'
_OCTETS = 'multipart/related; type="application/octet-stream"'
_OBJECTS = {
    "study": (_DICOM, "application/zip"),
    "series": (_DICOM, "application/zip"),
    "instance": (_DICOM, "application/dicom"),
}
_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif")
_FILM = ("video/mp4",)
_METADATA = ("application/dicom+json", 'multipart/related; type="application/dicom+xml"')

for _level, _path in _LEVELS.items():
    add(
        _path,
        f"wado_{_level}",
        f"The objects of a {_level}" if _level != "instance" else "One object",
        lambda asked, address, _: objects.retrieve(asked, address),
        _OBJECTS[_level],
    )
    add(
        f"{_path}/metadata",
        f"wado_{_level}_metadata",
        f"The metadata of a {_level}, large values by address",
        lambda asked, address, _: metadata.retrieve(asked, address),
        _METADATA,
    )
    add(
        f"{_path}/pixeldata",
        f"wado_{_level}_pixeldata",
        f"All frames of a {_level}",
        lambda asked, address, _: frames.pixel_data(asked, address),
        (_OCTETS,),
    )

    add(
        f"{_path}/rendered",
        f"wado_{_level}_rendered",
        f"Pictures of a {_level} for people: window, viewport, quality, annotation, iccprofile",
        lambda asked, address, _: pictures.rendered(asked, address),
        _PICTURES + (_FILM if _level == "instance" else ()),
    )
    add(
        f"{_path}/thumbnail",
        f"wado_{_level}_thumbnail",
        f"A small picture that stands for a {_level}",
        lambda asked, address, _: pictures.thumbnail(asked, address),
        _PICTURES,
    )

add(
    f"{_INSTANCE}/frames/{{frames}}/rendered",
    "wado_frames_rendered",
    "Pictures of frames by their numbers",
    lambda asked, address, names: pictures.rendered(asked, address, names["frames"]),
    _PICTURES,
)
add(
    f"{_INSTANCE}/frames/{{frames}}/thumbnail",
    "wado_frame_thumbnail",
    "A small picture of a frame",
    lambda asked, address, names: pictures.thumbnail(asked, address, names["frames"]),
    _PICTURES,
)
add(
    f"{_INSTANCE}/frames/{{frames}}",
    "wado_frames",
    "Frames by their numbers from 1, parted by commas; compressed ones as Accept says",
    lambda asked, address, names: frames.retrieve(asked, address, names["frames"]),
    (_OCTETS, 'multipart/related; type="image/jls"', 'multipart/related; type="image/jphc"'),
)
add(
    f"{_INSTANCE}/bulkdata/{{path:path}}",
    "wado_bulkdata",
    "A large value that the metadata gives the address of",
    lambda asked, address, names: bulk.retrieve(asked, address, names["path"]),
    ("application/octet-stream", _OCTETS),
)
