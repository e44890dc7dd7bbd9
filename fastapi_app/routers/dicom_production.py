"""Pictures for viewers: binary, kept by content, immutable where the address carries the digest."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from archive.rendering import CONTENT_TYPES, Form
from fastapi_app import gate
from fastapi_app.services import dicom_processor, films

router = APIRouter(prefix="/api/v1/dicom", tags=["pictures"])


def _parameter(name: str, kind: str, description: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": {"type": kind},
    }


_VERSION = _parameter("v", "string", "The image's digest: the answer may then be kept for good.")
_WINDOWED = [
    _parameter("wc", "number", "Window centre in modality values; default: the file's own."),
    _parameter("ww", "number", "Window width; given together with wc."),
    _parameter("width", "integer", "Of the picture in pixels; the height follows."),
    _parameter("invert", "boolean", "Reverse black and white."),
    _parameter("overlays", "boolean", "Draw the object's overlay planes; 1 by default."),
    _parameter("window", "string", "center,width,function as in DICOM PS3.18 8.3.5.1.4."),
    _parameter("viewport", "string", "vw,vh or vw,vh,sx,sy,sw,sh as in PS3.18 8.3.5.1.3."),
    _parameter("annotation", "string", "patient, technique or both: drawn into the corners."),
    _parameter("state", "string", "A softcopy presentation state that is applied; id or UID."),
    _parameter("pixels_per_mm", "number", "Of the screen, for states that ask for true size."),
    _parameter("iccprofile", "string", "no, yes, srgb, adobergb, rommrgb or displayp3."),
]
_QUALITY = _parameter("quality", "integer", "1 to 100, 85 by default.")
_PARAMETERS: dict[Form, list[dict[str, Any]]] = {
    Form.PNG: [
        *_WINDOWED,
        _parameter("mode", "string", "rg16: the exact 16-bit frame, high byte in R, low in G."),
    ],
    Form.JPEG: [*_WINDOWED, _QUALITY],
    Form.WEBP: [*_WINDOWED, _QUALITY],
    Form.GIF: [*_WINDOWED],
    Form.HTJ2K: [],
    Form.RAW: [],
}
_SUMMARIES = {
    Form.PNG: "A frame as 8-bit windowed PNG, or exact as RG16",
    Form.JPEG: "A frame as 8-bit windowed JPEG",
    Form.WEBP: "A frame as 8-bit windowed WebP, without loss at quality 100",
    Form.GIF: "A frame as 8-bit windowed GIF",
    Form.HTJ2K: "The exact frame as lossless HTJ2K code stream",
    Form.RAW: "The exact frame, little endian, samples interleaved",
}


def _binary(content_type: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string", "format": "binary"}
    return {200: {"content": {content_type: {"schema": schema}}}, 304: {"description": "Unchanged"}}


def _add_frame_route(form: Form) -> None:
    async def frame(request: Request, image: str, number: str) -> Response:
        work = dicom_processor.frame(
            image,
            number,
            form,
            request.query_params,
            request.headers.get("if-none-match"),
            is_for_eyes=dicom_processor.is_for_eyes(request.headers.get("accept")),
        )
        return await gate.serve(request, work)

    path = f"/image/{{image}}/frames/{{number}}.{form}"
    router.head(path, include_in_schema=False)(frame)
    router.get(
        path,
        summary=_SUMMARIES[form],
        name=f"frame-{form}",
        operation_id=f"frame_{form}",
        response_class=Response,
        responses=_binary(CONTENT_TYPES[form]),
        openapi_extra={"parameters": [*_PARAMETERS[form], _VERSION]},
    )(frame)


for _form in _PARAMETERS:
    _add_frame_route(_form)


@router.get(
    "/image/{image}/film.gif",
    summary="All frames of a multi-frame image as one GIF, at the speed that the file names",
    operation_id="image_film",
    response_class=Response,
    responses=_binary("image/gif"),
    openapi_extra={"parameters": [*_WINDOWED, _VERSION]},
)
async def image_film(request: Request, image: str) -> Response:
    """Answer with every frame."""
    work = films.film(image, request.query_params, request.headers.get("if-none-match"))
    return await gate.serve(request, work)


@router.get(
    "/image/{image}/film.mp4",
    summary="All frames of a multi-frame image as MP4 (H.264), at the speed that the file names",
    operation_id="image_film_mp4",
    response_class=Response,
    responses=_binary("video/mp4"),
    openapi_extra={"parameters": [*_WINDOWED, _VERSION]},
)
async def image_film_mp4(request: Request, image: str) -> Response:
    """Answer with every frame; Range is honoured."""
    work = films.film_as_mp4(
        image,
        request.query_params,
        request.headers.get("if-none-match"),
        request.headers.get("range"),
    )
    return await gate.serve(request, work)


@router.get(
    "/image/{image}/video",
    summary="A video as MP4 that browsers play, or its bit stream as it came; Range is honoured",
    operation_id="image_video",
    response_class=Response,
    responses=_binary("video/mp4"),
    openapi_extra={
        "parameters": [_parameter("original", "boolean", "The bit stream as it came."), _VERSION]
    },
)
async def image_video(request: Request, image: str) -> Response:
    """Answer with the video, or with the asked part of it."""
    work = films.video(
        image,
        request.query_params,
        request.headers.get("if-none-match"),
        request.headers.get("range"),
    )
    return await gate.serve(request, work)


@router.get(
    "/image/{image}/video/facts",
    summary="How many frames the video has that /video gives, and when each of them is shown",
    operation_id="image_video_facts",
    response_class=JSONResponse,
)
async def image_video_facts(request: Request, image: str) -> Response:
    """Answer with its frames, its rate and its size."""
    return await gate.serve(request, films.video_facts(image))


@router.head("/image/{image}/thumbnail", include_in_schema=False)
@router.get(
    "/image/{image}/thumbnail",
    summary="A PNG of at most 256 pixels a side; a tile with words where there is no picture",
    operation_id="image_thumbnail",
    response_class=Response,
    responses=_binary("image/png"),
    openapi_extra={"parameters": [_VERSION]},
)
async def image_thumbnail(request: Request, image: str) -> Response:
    """Answer with the middle frame, small."""
    work = dicom_processor.image_thumbnail(
        image, request.query_params.get("v", ""), request.headers.get("if-none-match")
    )
    return await gate.serve(request, work)


@router.head("/studies/{study}/thumbnail", include_in_schema=False)
@router.get(
    "/studies/{study}/thumbnail",
    summary="The thumbnail of the image that stands for a study",
    operation_id="study_thumbnail",
    response_class=Response,
    responses=_binary("image/png"),
)
async def study_thumbnail(request: Request, study: str) -> Response:
    """Answer with the middle image of the main series, small."""
    work = dicom_processor.study_thumbnail(study, request.headers.get("if-none-match"))
    return await gate.serve(request, work)


@router.head("/image/{image}/file", include_in_schema=False)
@router.get(
    "/image/{image}/file",
    summary="The stored DICOM file (PS3.10), with a preamble of zeros",
    operation_id="image_file",
    response_class=Response,
    responses=_binary("application/dicom"),
    openapi_extra={"parameters": [_VERSION]},
)
async def image_file(request: Request, image: str) -> Response:
    """Answer with the file as it came, its digest checked."""
    work = dicom_processor.file(
        image, request.query_params.get("v", ""), request.headers.get("if-none-match")
    )
    return await gate.serve(request, work)


@router.get(
    "/frames",
    summary="Up to 32 frames in one answer, each after its head, in the asked order",
    operation_id="frames",
    response_class=Response,
    responses=_binary(dicom_processor.BATCH_TYPE),
    openapi_extra={
        "parameters": [
            {
                **_parameter(
                    "f", "array", "An image's id, a colon, a frame number.", required=True
                ),
                "schema": {"type": "array", "items": {"type": "string"}, "maxItems": 32},
            },
            _parameter("format", "string", "jphc (default), raw, png, jpg, webp, gif or rg16."),
            *_WINDOWED,
        ]
    },
)
async def frames(request: Request) -> Response:
    """Answer with records of length, JSON head, length, body; docs/api/viewer.md describes them."""
    parameters = request.query_params
    work = dicom_processor.batch(
        parameters.getlist("f"), parameters.get("format", Form.HTJ2K), parameters
    )
    wanted = await gate.serve(request, work)
    return StreamingResponse(
        dicom_processor.records(wanted),
        media_type=dicom_processor.BATCH_TYPE,
        headers={"cache-control": "private, no-store", "vary": "Cookie, Authorization"},
    )
