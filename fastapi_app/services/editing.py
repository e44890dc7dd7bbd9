"""A file with other values: changed on its way through, never in the archive."""

from __future__ import annotations

import json
import threading
from typing import Any, BinaryIO

from django.utils import timezone
from django.utils.crypto import salted_hmac

from archive import audit
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError, TooLargeError
from fastapi_app.services import refusals
from imaging import edit, header
from imaging.edit import Edited
from imaging.errors import ImagingError

# A file is changed in memory, and so many at once, whoever asks.
MOST_BYTES = 512 * 2**20
_MOST_TAGS = 200
_turns = threading.BoundedSemaphore(2)


def modify(actor: Actor, stream: BinaryIO, text: str | None) -> Edited:
    """Return a new file with other values.

    Parameters
    ----------
    text : JSON object of values by keyword

    Raises
    ------
    ForbiddenError, InvalidInputError, NotDicomError, TooLargeError
    """
    if not actor.can_upload:
        raise ForbiddenError("Your role does not change files. Ask an administrator.")
    values = _values(text)
    if stream.seek(0, 2) > MOST_BYTES:
        raise TooLargeError(f"A file of more than {MOST_BYTES} bytes is not changed here.")
    stream.seek(0)
    try:
        # Bounds depth and size before a library reads it that does not.
        index = header.read_index(stream)
        stream.seek(0)
        with _turns:
            made = edit.edit(stream, values, _namer(values), timezone.now())
    except ImagingError as error:
        raise refusals.refusal(error) from error
    audit.record(
        actor,
        "file.modify",
        keywords=sorted(values),
        source=index.sop_instance_uid,
        made=made.sop_instance_uid,
    )
    return made


def _values(text: str | None) -> dict[str, Any]:
    try:
        values = json.loads(text or "")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not 0 < len(values) <= _MOST_TAGS:
        raise InvalidInputError(
            "Send the new values in the field 'tags' as a JSON object, such as "
            '{"PatientID": "TEST001"}.'
        )
    return values


def _namer(values: dict[str, Any]) -> edit.NewUid:
    """Return what makes UIDs: the same change of the same file gives the same (PS3.5 B.2)."""
    whose = {name: values[name] for name in sorted(edit.IDENTITY & set(values))}
    everything = json.dumps(values, sort_keys=True)
    identity = json.dumps(whose, sort_keys=True)

    def new_uid(old: str) -> str:
        # Files of a study agree in the person, though not in each value.
        about = identity if whose else everything
        digest = salted_hmac("archive.edit.uid", f"{about} {old}", algorithm="sha256").digest()
        return f"2.25.{int.from_bytes(digest[:16], 'big')}"

    return new_uid
