"""What a caller may send to the sidecar that is meant to exhaust it: heads, lists, encodings.

The process, the lawful caller beside each attack and the bound on memory are those of
`test_sidecar_attacks`; `pytest -rP` shows how much it grew.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import re
import socket
from collections.abc import Iterator

import pytest

from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.doors.test_sidecar_attacks import (  # noqa: F401 - fixtures
    Sidecar,
    attacked,
    quiet,
    sidecar,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MIB = 2**20
STUDIES = "/dicom-web/studies"
DICOM = "application/dicom"
# What a head may hold, and a little less.
HEAD = 60_000


def sent_until_closed(port: int, start: bytes, piece: bytes, most: int = 64 * MIB) -> int:
    """Send on and on; returns the bytes that went until the other side closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as attacker:
        attacker.sendall(start)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < most:
                attacker.sendall(piece)
                sent += len(piece)
    return sent


CHUNKED = (
    b"POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/json\r\n\r\n"
)
GET = b"GET /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /dicom-web/studies?PatientID=", b"x" * MIB),
        (GET + b"X: ", b"x" * MIB),
        (GET, b"X-Header: value\r\n" * 50_000),
        (CHUNKED + b"1;extension=", b"x" * MIB),
        (CHUNKED + b"0\r\nX: ", b"x" * MIB),
    ],
    ids=["address", "header", "headers", "chunk extension", "trailer"],
)
def test_a_head_without_end_is_cut_off(attacked: Sidecar, start: bytes, piece: bytes) -> None:  # noqa: F811
    # What lies in sockets' buffers is sent, but not read.
    assert sent_until_closed(attacked.port, start, piece) < 32 * MIB


def ask(
    target: Sidecar, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {**target.headers, **named})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers


def filled(entry: str) -> Iterator[str]:
    """Different entries of a list, as many as a head holds."""
    size = 0
    for number in range(10_000):
        text = entry.format(number)
        size += len(text) + 1
        if size > HEAD:
            return
        yield text


@pytest.fixture
def instance(sidecar: Sidecar) -> str:  # noqa: F811
    """The address of a stored instance."""
    data_set = make_instance(noise(256, 256))
    sidecar.store(to_bytes(data_set))
    return (
        f"{STUDIES}/{data_set.StudyInstanceUID}/series/{data_set.SeriesInstanceUID}"
        f"/instances/{data_set.SOPInstanceUID}"
    )


def test_an_address_that_is_just_too_long_is_told_so(attacked: Sidecar) -> None:  # noqa: F811
    status, said, _ = ask(attacked, "GET", f"{STUDIES}?PatientID={'x' * 300_000}")
    assert status == 431
    assert b"64 KiB" in said


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"GARBAGE", b"400"), (b"GET /" + b"a" * 200_000 + b" HTTP/1.1", b"431")],
    ids=["no HTTP", "too long"],
)
def test_what_is_no_request_has_security_headers_too(
    attacked: Sidecar,  # noqa: F811
    request_line: bytes,
    status: bytes,
) -> None:
    with socket.create_connection(("127.0.0.1", attacked.port), timeout=10) as line:
        line.sendall(request_line + b"\r\nHost: localhost\r\n\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := line.recv(65536):
                answer += piece
    head, _, words = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    names = {one.split(b":")[0] for one in head.split(b"\r\n")}
    assert names >= {
        b"content-security-policy", b"x-content-type-options", b"x-frame-options",
        b"referrer-policy",
    }  # fmt: skip
    assert f"content-length: {len(words)}".encode() in head


@pytest.mark.parametrize("entry", ["a/b{0}", "*/*;q=0.{0}", 'a/b;p="{0}"', ",", ";;{0}"])
def test_long_lists_in_accept_are_answered(attacked: Sidecar, instance: str, entry: str) -> None:  # noqa: F811
    accept = ",".join(filled(entry))
    for path in (STUDIES, instance, f"{instance}/rendered"):
        status, _, _ = ask(attacked, "GET", path, Accept=accept)
        assert status in (200, 204, 400, 406), path
    status, _, _ = ask(attacked, "GET", f"{STUDIES}?accept={'a/b,' * 10_000}")
    assert status in (400, 406)


def test_many_ranges_get_no_more_than_the_file(attacked: Sidecar, instance: str) -> None:  # noqa: F811
    accept = f"{DICOM}; transfer-syntax=*"
    _, whole, _ = ask(attacked, "GET", instance, Accept=accept)
    for entry in ("{0}-{0}", "0-", "-{0}", "{0}-99999999"):
        status, found, _ = ask(
            attacked, "GET", instance, Accept=accept, Range=f"bytes={','.join(filled(entry))}"
        )
        assert status in (200, 206, 400, 416)
        assert len(found) <= len(whole)
    # One is served, so that a download can go on.
    status, found, _ = ask(attacked, "GET", instance, Accept=accept, Range="bytes=100-299")
    assert (status, found) == (206, whole[100:300])


def test_many_tags_in_if_none_match_are_compared_and_no_more(
    attacked: Sidecar,  # noqa: F811
    instance: str,
) -> None:
    tags = list(filled('"{0}"'))
    status, _, headers = ask(
        attacked, "GET", instance, Accept=DICOM, If_None_Match=", ".join(tags)[:HEAD]
    )
    assert status == 200
    known = ", ".join([*tags[:1000], headers["etag"]])
    assert ask(attacked, "GET", instance, Accept=DICOM, If_None_Match=known)[0] == 304
    for nonsense in ('"' * HEAD, "W/" * (HEAD // 2), "," * HEAD):
        status, _, _ = ask(attacked, "GET", instance, Accept=DICOM, If_None_Match=nonsense)
        assert status in (200, 400)


@pytest.mark.parametrize(
    "query",
    [
        "&".join(f"PatientID={number}" for number in range(4_000)),
        "&".join(f"k{number}=" for number in range(6_000)),
        "&" * HEAD,
        "includefield=" + ",".join(["all"] * 12_000),
        "StudyInstanceUID=" + ",".join(f"1.2.{number}" for number in range(6_000)),
        "PatientName=" + "*a" * (HEAD // 2),
        "PatientName=" + "%5C" * (HEAD // 3),
        "00081115." * 5_000 + "00080020=1",
        "RequestAttributesSequence." * 2_000 + "ScheduledProcedureStepID=1",
    ],
    ids=[
        "repeated",
        "unknown",
        "empty",
        "fields",
        "uids",
        "wildcards",
        "values",
        "nested",
        "nested matched",
    ],
)
def test_long_queries_are_answered(attacked: Sidecar, query: str) -> None:  # noqa: F811
    status, said, _ = ask(attacked, "GET", f"{STUDIES}?{query}")
    assert status in (200, 204, 400, 413), said


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_compressed_bodies_are_not_inflated(attacked: Sidecar, encoding: str) -> None:  # noqa: F811
    """64 MiB of nothing in 64 KiB."""
    body = gzip.compress(bytes(64 * MIB), 9)
    for path, kind in (
        (STUDIES, 'multipart/related; type="application/dicom"; boundary=x'),
        ("/api/v1/dicom/upload", "multipart/form-data; boundary=x"),
        ("/api/v1/auth/token", "application/json"),
    ):
        status, said, _ = ask(
            attacked, "POST", path, body, Content_Type=kind, Content_Encoding=encoding
        )
        assert status in (400, 413, 415, 422), (path, status, said)


BODY = b"0\r\n\r\nGET /api/v1/dicom/health HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 0\r\nContent-Length: 200\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"X: a\nTransfer-Encoding: chunked\r\n",
        b"X: \x00\r\n",
    ],
)
def test_a_request_is_not_hidden_in_another(attacked: Sidecar, headers: bytes) -> None:  # noqa: F811
    """What a proxy and this server could read differently is refused, or is one request."""
    token = attacked.headers["Authorization"].encode()
    with socket.create_connection(("127.0.0.1", attacked.port), timeout=10) as attacker:
        attacker.sendall(
            b"POST /api/v1/auth/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\n" + headers + b"\r\n" + BODY % token
        )
        attacker.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := attacker.recv(65536):
                answer += piece
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", answer)
    assert len(statuses) <= 1, answer
    assert b"healthy" not in answer
    assert all(status.startswith(b"4") for status in statuses), answer
