"""The headers of tus 1.0, read and written (https://tus.io/protocols/resumable-upload)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from starlette.exceptions import HTTPException
from starlette.responses import Response

from archive import resumable
from archive.access import Actor
from archive.errors import InvalidInputError, NotFoundError
from archive.models import ResumableUpload, UploadState
from archive.problems import Problem
from fastapi_app import errors
from orders import intake

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,termination,checksum,concatenation"
PIECE_TYPE = "application/offset+octet-stream"
PREFIX = "/api/v1/dicom/uploads"
_MISMATCH = 460
# What may be said of a file; `filetype` is what clients of tus send by themselves.
_FIELDS = ("filename", "facility", "order_id", "patient_id")
_LONGEST_METADATA = 8192
_LONGEST_VALUE = 1024
# What answers repeat as it was sent (tus: creation, concatenation).
_REPEATED = ("Upload-Metadata", "Upload-Concat")
_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)


def capabilities() -> Response:
    """Answer what this server speaks."""
    headers = {
        "tus-version": VERSION,
        "tus-extension": EXTENSIONS,
        "tus-max-size": str(settings.MAX_ARCHIVE_BYTES),
        "tus-checksum-algorithm": ",".join(resumable.CHECKSUMS),
    }
    return spoken(HTTPStatus.NO_CONTENT, headers)


def spoken(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer of the protocol without a body."""
    return Response(
        status_code=status,
        headers={"tus-resumable": VERSION, "cache-control": "no-store", **(headers or {})},
    )


def wrong_version(version: str | None) -> Response | None:
    """Return the answer for a client that speaks another version; None for ours."""
    if version == VERSION:
        return None
    return errors.answer(
        Problem(
            type="about:blank",
            title="Precondition Failed",
            status=HTTPStatus.PRECONDITION_FAILED,
            detail=f"Send the header 'Tus-Resumable: {VERSION}'.",
        ),
        {"tus-version": VERSION, "tus-resumable": VERSION},
    )


def mismatch(error: resumable.ChecksumError) -> Response:
    """Return the answer for a piece that is not what its checksum says."""
    problem = Problem(
        type="about:blank", title="Checksum Mismatch", status=_MISMATCH, detail=str(error)
    )
    return errors.answer(problem, {"tus-resumable": VERSION})


@dataclass(frozen=True, slots=True)
class Creation:
    """What a request to begin an upload says.

    Attributes
    ----------
    parts : of a final upload; None for others
    """

    length: int
    fields: Mapping[str, str]
    is_part: bool = False
    parts: tuple[UUID, ...] | None = None


def creation_of(headers: Mapping[str, str]) -> Creation:
    """Read a request to begin an upload.

    Raises
    ------
    InvalidInputError
        With the header that is missing or wrong.
    """
    fields = _metadata(headers.get("upload-metadata", ""))
    # Kept where the fields are: none of them has such a name.
    fields |= {name: headers[name.lower()] for name in _REPEATED if headers.get(name.lower())}
    joined = headers.get("upload-concat", "")
    if joined.startswith("final;"):
        return Creation(0, fields, parts=_parts(joined.removeprefix("final;")))
    if joined not in ("", "partial"):
        raise InvalidInputError("'Upload-Concat' is partial, or final; and the parts' addresses.")
    return Creation(_whole(headers, "upload-length"), fields, is_part=joined == "partial")


def _parts(text: str) -> tuple[UUID, ...]:
    ids = []
    for address in text.split():
        try:
            ids.append(UUID(address.rstrip("/").rpartition("/")[2]))
        except ValueError:
            raise NotFoundError("'Upload-Concat' names no upload of this site.") from None
    return tuple(ids)


def _metadata(text: str) -> dict[str, str]:
    """Read pairs of a key and its value in base64, parted by commas."""
    if len(text) > _LONGEST_METADATA:
        raise InvalidInputError("'Upload-Metadata' is too long.")
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, encoded = pair.partition(" ")
        if name not in _FIELDS:
            continue
        try:
            value = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise InvalidInputError("A value of 'Upload-Metadata' is no UTF-8 in base64.") from None
        if len(value) > _LONGEST_VALUE or "\0" in value:
            raise InvalidInputError("A value of 'Upload-Metadata' is too long, or no text.")
        found[name] = value
    return found


def _whole(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "")
    if not _WHOLE.fullmatch(text):
        raise InvalidInputError(f"Send '{name.title()}' as a whole number of bytes.")
    return int(text)


def offset_of(headers: Mapping[str, str]) -> int:
    """Return where a piece begins."""
    return _whole(headers, "upload-offset")


def checksum_of(headers: Mapping[str, str]) -> tuple[str, bytes] | None:
    """Return algorithm and digest of a piece, where they were sent.

    Raises
    ------
    InvalidInputError
    HTTPException
        For an algorithm that is not ours.
    """
    text = headers.get("upload-checksum")
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in resumable.CHECKSUMS:
        # Not 422: clients know this one as "choose another algorithm".
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, f"'Upload-Checksum' is by {', '.join(resumable.CHECKSUMS)}."
        )
    try:
        return algorithm, base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInputError("'Upload-Checksum' is no digest in base64.") from None


def begin(actor: Actor, wanted: Creation) -> ResumableUpload:
    """Begin an upload, or join its parts; a patient and an order are looked for now already."""
    destination = intake.destination_of(actor, wanted.fields)
    if wanted.parts is not None:
        return resumable.join(actor, destination.facility, wanted.parts, wanted.fields)
    return resumable.create(
        actor, destination.facility, wanted.length, wanted.fields, is_part=wanted.is_part
    )


def is_joined(row: ResumableUpload) -> bool:
    """Whether an upload was made of others; nothing is ever added to it."""
    return str(row.fields.get("Upload-Concat", "")).startswith("final;")


def repeated_headers(row: ResumableUpload) -> dict[str, str]:
    """Return what was said at the beginning, as it was said."""
    return {name.lower(): str(row.fields[name]) for name in _REPEATED if name in row.fields}


def state_headers(row: ResumableUpload) -> dict[str, str]:
    """Return what answers say of an upload."""
    headers = {"upload-offset": str(row.offset)}
    if row.state == UploadState.RECEIVING:
        at = row.expires_at.astimezone(timezone.get_fixed_timezone(0))
        headers["upload-expires"] = format_datetime(at).replace("+0000", "GMT")
    if row.is_part:
        headers["upload-concat"] = "partial"
    return headers


def document(row: ResumableUpload) -> dict[str, Any]:
    """Return an upload as JSON: how far it is, and what became of it."""
    return {
        "id": str(row.pk),
        "state": row.state,
        "offset": row.offset,
        "length": row.length,
        "filename": row.fields.get("filename"),
        "facility": {"code": row.facility.code, "name": row.facility.name},
        "expires_at": row.expires_at.isoformat(),
        **({"result": row.result} if row.result else {}),
    }
