"""A request body that is one data set: DICOM JSON or Native DICOM Model in XML, single part."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from django.conf import settings
from pydicom.dataset import Dataset
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from fastapi_app import limits
from fastapi_app.services.dicomweb.asking import bad_request
from fastapi_app.services.dicomweb.media import JSON, XML
from fastapi_app.services.dicomweb.related import media_type
from imaging import metadata
from imaging.errors import ImagingError

MOST_BYTES = 8 * 2**20
_READERS = {
    JSON: metadata.models_of_json,
    "application/json": metadata.models_of_json,
    XML: metadata.models_of_xml,
    "application/xml": metadata.models_of_xml,
    "text/xml": metadata.models_of_xml,
}


async def read(request: Request) -> tuple[str, bytes]:
    """Return media type and body of a request that was admitted.

    Raises
    ------
    HTTPException
        415 for another media type, 408 when the body stalls.
    TooLargeError
        Past the limit.
    """
    kind = media_type(request.headers.get("content-type")).name
    if kind not in _READERS:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send the data set as {JSON} or {XML}."
        )
    try:
        async with asyncio.timeout(settings.HTTP_BODY_TIMEOUT_S):
            return kind, await limits.bounded(request, MOST_BYTES).body()
    except (TimeoutError, ClientDisconnect) as error:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT, "The body did not come to its end. Send it again."
        ) from error


async def read_optional(request: Request) -> tuple[str, bytes]:
    """Return media type and body, which may be missing altogether; see :func:`read`."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return JSON, b""
    return await read(request)


def data_set_of(kind: str, body: bytes) -> Dataset:
    """Read a body that `read` returned; call it in a thread.

    Raises
    ------
    HTTPException
        400 with what is wrong.
    """
    try:
        models = _READERS[kind](body)
        if len(models) != 1:
            raise bad_request(f"The body holds {len(models)} data sets; send one.")
        found = metadata.metadata_of(models[0], _nothing_apart)
    except ImagingError as error:
        raise bad_request(str(error)) from error
    if found.bulk:
        _nothing_apart("")
    return found.data_set


def _nothing_apart(_uri: str) -> bytes:
    raise bad_request("Values stand in the data set itself here: bulk data is not fetched.")
