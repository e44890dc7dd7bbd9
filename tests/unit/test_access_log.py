"""What servers log of addresses: no patient's name, and no link that opens an image."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from daphne.access import AccessLogGenerator

from fastapi_app import access_log

ADDRESS = "/api/v1/radiology/images/1/content/?link=SECRET&PatientName=Doe"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What uvicorn's access log says."""
    logger = logging.getLogger("uvicorn.access")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    yield stream
    logger.setLevel(before)
    logger.removeHandler(handler)


def test_uvicorn_logs_no_queries(logged: io.StringIO) -> None:
    for _ in range(2):
        access_log.hide_queries()
    # The words are uvicorn's own.
    words = '%s - "%s %s HTTP/%s" %d'
    logging.getLogger("uvicorn.access").info(words, "10.0.0.7:1", "GET", ADDRESS, "1.1", 200)
    line = logged.getvalue().strip()
    assert line == '10.0.0.7:1 - "GET /api/v1/radiology/images/1/content/ HTTP/1.1" 200'


def test_daphne_logs_no_queries() -> None:
    for _ in range(2):
        access_log.hide_queries()
    stream = io.StringIO()
    details = {"client": "10.0.0.7:1", "method": "GET", "path": ADDRESS, "status": 200, "size": 5}
    AccessLogGenerator(stream)("http", "complete", details)
    AccessLogGenerator(stream)("websocket", "connected", {"client": "x", "path": ADDRESS})
    lines = stream.getvalue().splitlines()
    assert '"GET /api/v1/radiology/images/1/content/" 200 5' in lines[0]
    assert '"WSCONNECT /api/v1/radiology/images/1/content/"' in lines[1]
