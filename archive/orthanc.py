"""The Orthanc beside this archive: asked by its REST interface, at the address of `ORTHANC_URL`."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

from django.conf import settings

from archive.errors import PermanentError, TransientError

_MOST_BYTES = 64 * 1024**2
_QUIET_S = 30.0


class OrthancSilentError(TransientError):
    """It does not answer, or not now."""


class OrthancRefusesError(PermanentError):
    """It does not take what was sent."""


def ask(
    method: str,
    path: str,
    *,
    document: object = None,
    file: tuple[BinaryIO, int] | None = None,
    timeout_s: float = _QUIET_S,
) -> Any:  # noqa: ANN401 - JSON
    """Send a request and return the answer's JSON; None for 404.

    Parameters
    ----------
    document : sent as JSON
    file : sent as it is, with its size in bytes

    Raises
    ------
    OrthancSilentError, OrthancRefusesError
    """
    url, headers = _address(path)
    body: Any = None
    if document is not None:
        body = json.dumps(document).encode()
        headers["Content-Type"] = "application/json"
    elif file is not None:
        body = file[0]
        headers |= {"Content-Type": "application/dicom", "Content-Length": str(file[1])}
    request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310 - http(s) by Config
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - as above
            return json.loads(answer.read(_MOST_BYTES) or b"null")
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return None
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise OrthancSilentError(f"Orthanc answers {error.code} to {path}.") from error
        raise OrthancRefusesError(f"Orthanc answers {error.code} to {path}.") from error
    except (OSError, HTTPException, ValueError) as error:
        raise OrthancSilentError(f"The Orthanc at ORTHANC_URL does not answer: {error}") from error


def _address(path: str) -> tuple[str, dict[str, str]]:
    """Return where to ask, and who asks: user and password of the setting leave the address."""
    parts = urlsplit(settings.ORTHANC_URL)
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, f"{parts.path.rstrip('/')}{path}", "", "")), headers
