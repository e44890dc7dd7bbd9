"""Examples of the interface's description: what is sent, what comes back, and what is refused.

Answers were given by a running archive (`examples.json`); a test asks for each of them again and
compares its form.
"""

from __future__ import annotations

import json
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from archive import problems

_FILE = Path(__file__).with_name("examples.json")
_ID = "0197f0c4-0001-7000-8000-000000000000"
_NAMES: dict[str, Any] = {
    "study": "2.25.1000", "series": "2.25.1001", "image": "2.25.1002", "instance": "2.25.1002",
    "number": 1, "frames": "1,2", "path": "7FE00010", "patient": _ID, "order": _ID, "upload": _ID,
    "run": _ID, "reconstruction": _ID, "image_uuid": "550e8400-e29b-41d4-a716-446655440000",
    "transaction": "2.25.2000", "step": "2.25.2001", "workitem": "2.25.2002", "aetitle": "READER_1",
}  # fmt: skip
_BODIES: dict[str, Any] = {
    "POST /api/v1/auth/token": {"username": "anna", "password": "a long password"},
    "POST /api/v1/analyses/{run}/results": {"findings": [{"label": "Node"}]},
    "POST /api/v1/dicom/studies/{study}/reconstructions": {
        "series_id": "2.25.1001", "plane": "sagittal", "mode": "mip", "thickness_mm": 3.0,
        "output": "jpeg",
    },
}  # fmt: skip
_FIELDS: dict[str, Any] = {
    "facility": "NORTH", "patient_id": _ID, "order_id": _ID,
    "image_uuid": "550e8400-e29b-41d4-a716-446655440000",
}  # fmt: skip
_REFUSALS: dict[HTTPStatus, str] = {
    HTTPStatus.UNAUTHORIZED: "Sign in first, or send a token: 'Authorization: Bearer <token>' or "
    "HTTP Basic.",
    HTTPStatus.FORBIDDEN: "This study belongs to a facility that is not yours.",
    HTTPStatus.NOT_FOUND: "There is no such study.",
    HTTPStatus.CONFLICT: "The file carries another Patient ID than the patient who was named. "
    "Nothing was stored of it.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is larger than 65536 bytes. Send fewer "
    "files.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Not DICOM (JPEG).",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unknown parameter 'colour'. Known are PatientID, limit, "
    "cursor.",
    HTTPStatus.TOO_MANY_REQUESTS: "More than 60000 requests a minute. Wait 2 s and go on more "
    "slowly.",
}
_OF_BODIES = (
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


@cache
def answers() -> dict[str, Any]:
    """Return an answer an operation, by method and path."""
    found: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return found


def components() -> dict[str, Any]:
    """Return the refusals that operations refer to, and the document that each of them is."""
    schema = {
        "type": "object",
        "description": "A problem document (RFC 9457); `detail` says what to do.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
        },
    }
    return {
        "schemas": {"Problem": schema},
        "responses": {
            f"Problem{status.value}": _refusal(status, words) for status, words in _REFUSALS.items()
        },
    }


def _refusal(status: HTTPStatus, words: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": status.phrase,
        "content": {
            problems.CONTENT_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": dict(problems.problem(status, words)),
            }
        },
    }
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        found["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        }
    return found


def exemplify(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add examples to an operation: of its address, its body, its answer and its refusals.

    Parameters
    ----------
    path, method : as the document writes them
    operation : changed in place
    """
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and parameter["name"] in _NAMES:
            parameter["example"] = _NAMES[parameter["name"]]
    contents = operation.get("requestBody", {}).get("content", {})
    for name, field in (
        contents.get("multipart/form-data", {}).get("schema", {}).get("properties", {}).items()
    ):
        if name in _FIELDS:
            field["example"] = _FIELDS[name]
    body = _BODIES.get(f"{method.upper()} {path}")
    if body is not None:
        contents["application/json"]["example"] = body
    answer = answers().get(f"{method.upper()} {path}")
    if answer is not None:
        status = next(code for code in operation["responses"] if code.startswith("2"))
        content = operation["responses"][status].setdefault("content", {})
        content.setdefault("application/json", {})["example"] = answer
    takes_body = "requestBody" in operation
    statuses = [
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        *([HTTPStatus.NOT_FOUND] if "{" in path else []),
        *(_OF_BODIES if takes_body else ()),
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
    ]
    for one in statuses:
        operation["responses"].setdefault(
            str(one.value), {"$ref": f"#/components/responses/Problem{one.value}"}
        )
