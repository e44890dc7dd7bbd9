"""JSON bodies of the EHR interface: read after the caller is known, checked by a model."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from archive.errors import InvalidInputError
from fastapi_app import gate, limits

T = TypeVar("T", bound=BaseModel)

MOST_BYTES = 64 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


async def read(request: Request, model: type[T]) -> T:
    """Return the body of a request whose sender may come in.

    FastAPI would read it before it is known who asks, and tell strangers what is wrong with it.

    Raises
    ------
    NotSignedInError, TooLargeError
    InvalidInputError
        When it is no JSON object.
    RequestValidationError
        When it is not what the model says.
    """
    await gate.admit(request)
    raw = await limits.bounded(request, MOST_BYTES).body()
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("Send a JSON object (application/json).") from error
    if not isinstance(document, dict):
        raise InvalidInputError("Send a JSON object (application/json).")
    text = json.dumps(document, ensure_ascii=False)
    if "\\u0000" in text or (not text.isascii() and _SURROGATE.search(text)):
        raise InvalidInputError("The body holds a character that is no text (NUL or a surrogate).")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        complaints = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(complaints) from error


def described(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of the body."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}
