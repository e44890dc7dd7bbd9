"""Images that were made offline: metadata, binary, acknowledgement; and the way to them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.conf import settings
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.responses import Response

from archive import image_links
from archive.errors import InvalidInputError
from fastapi_app import bodies, gate, limits
from fastapi_app.services import radiology
from fastapi_app.services.radiology import EXAMPLE, AcknowledgeBody, AnnouncementBody

router = APIRouter(prefix="/api/v1/radiology", tags=["Offline images"])

# Of the form around a file.
_MOST_FORM_BYTES = 64 * 1024
_MOST_FIELDS = 10
_BINARY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image_uuid": {"type": "string", "format": "uuid"},
                        "file": {"type": "string", "format": "binary"},
                        "upload": {
                            "type": "string",
                            "description": "Instead of the file: the address of a complete upload "
                            "in pieces, begun with Upload-Concat: partial.",
                        },
                    },
                    "required": ["image_uuid"],
                }
            }
        },
    }
}


@router.post(
    "/offline-images/upload-metadata/",
    summary="Announce an image",
    openapi_extra=bodies.described(AnnouncementBody, EXAMPLE),
)
async def upload_metadata(request: Request) -> Response:
    """Answer `METADATA_UPLOADED`, or how far the same image is already."""
    body = await bodies.read(request, AnnouncementBody)
    return JSONResponse(await gate.serve(request, lambda actor: radiology.announce(actor, body)))


@router.post(
    "/offline-images/upload-binary/",
    summary="Store the file of an announced image",
    openapi_extra=_BINARY,
)
async def upload_binary(request: Request) -> Response:
    """Answer `BINARY_UPLOADED` when the file is durable and is what was announced."""
    await gate.admit(request)
    bounded = limits.bounded(request, settings.MAX_INSTANCE_BYTES + _MOST_FORM_BYTES)
    async with bounded.form(max_files=1, max_fields=_MOST_FIELDS) as form:
        image_uuid, file = form.get("image_uuid"), form.get("file")
        if not isinstance(image_uuid, str):
            raise InvalidInputError("Send the image's UUID in the field 'image_uuid'.")
        upload = form.get("upload")
        if isinstance(upload, str):
            return JSONResponse(
                await gate.serve(
                    request, lambda actor: radiology.store_uploaded(actor, image_uuid, upload)
                )
            )
        if not isinstance(file, UploadFile):
            raise InvalidInputError("Send the file in the multipart field 'file'.")
        stream = file.file
        return JSONResponse(
            await gate.serve(request, lambda actor: radiology.store(actor, image_uuid, stream))
        )


@router.post(
    "/offline-images/acknowledge/",
    summary="Ask whether an image is safe here",
    openapi_extra=bodies.described(AcknowledgeBody, {"image_uuid": EXAMPLE["image_uuid"]}),
)
async def acknowledge(request: Request) -> Response:
    """Answer `ACK_RECEIVED` with a signed receipt; only then may the sender's copy go."""
    body = await bodies.read(request, AcknowledgeBody)
    return JSONResponse(await gate.serve(request, lambda actor: radiology.acknowledge(actor, body)))


@router.get("/offline-images/{image_uuid}/", summary="How far an image is")
async def get_offline_image(request: Request, image_uuid: str) -> Response:
    """Answer what the last step answered."""
    return JSONResponse(await gate.serve(request, lambda actor: radiology.state(actor, image_uuid)))


@router.get("/receipt-keys/", summary="The public keys by which receipts are checked")
async def receipt_keys(request: Request) -> Response:
    """Answer with every key that this archive signs with, or has signed with."""
    return JSONResponse(await gate.serve(request, lambda _: radiology.keys()))


@router.get("/studies/{study}/viewer-url/", summary="Where a study opens in the viewer")
async def viewer_url(request: Request, study: str) -> Response:
    """Answer with an address and until when it is good; whoever opens it signs in."""
    origin = gate.origin_of(request)
    return JSONResponse(
        await gate.serve(request, lambda actor: radiology.viewer_url(actor, study, origin))
    )


@router.get("/studies/{study}/images/", summary="The images of a study, by series")
async def study_images(request: Request, study: str) -> Response:
    """Answer with series in order of their number, and images in order of theirs."""
    return JSONResponse(await gate.serve(request, lambda actor: radiology.images(actor, study)))


@router.get("/images/{image}/url/", summary="Where the file of an image is fetched")
async def image_url(request: Request, image: str) -> Response:
    """Answer with an address that needs nothing else, and until when it is good."""
    origin = gate.origin_of(request)
    return JSONResponse(
        await gate.serve(request, lambda actor: radiology.image_url(actor, image, origin))
    )


@router.get(
    "/images/{image}/content/",
    summary="The file of an image: DICOM, or the JPEG or PNG that it came as",
    response_class=Response,
    responses={
        HTTPStatus.OK.value: {
            "content": {"application/dicom": {"schema": {"type": "string", "format": "binary"}}}
        }
    },
    openapi_extra={
        "parameters": [
            {
                "name": image_links.PARAMETER,
                "in": "query",
                "description": "From `url/`; else the caller's own identity counts.",
                "schema": {"type": "string"},
            }
        ]
    },
)
async def image_content(request: Request, image: str) -> Response:
    """Answer with the file, byte for byte."""
    link = request.query_params.get(image_links.PARAMETER)
    if link is None:
        return await gate.serve(request, lambda actor: radiology.content(actor, image))
    return await gate.serve_linked(
        request,
        lambda address: radiology.owner_of_link(link, image, address),
        lambda actor: radiology.content(actor, image),
    )
