"""What a caller with a token may send to the sidecar that is meant to harm.

One real process with the product's limits, but for the size of an instance. Under each attack a
lawful request is answered all the time, and the memory of the process and of its decoders grows by
no more than 256 MiB; `pytest -rP` shows how much it was.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import logging
import os
import re
import socket
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest
from pydicom.uid import generate_uid

from tests import product, serving
from tests.codestreams import compressed_instance, jpeg_2000, memory_bomb, noise
from tests.dicom import make_instance, to_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MOST_GROWTH_MIB = 256
MOST_INSTANCE_BYTES = 32 * 2**20
# Until then a lawful caller is answered, or it is not served.
PATIENCE_S = 5
API = "/api/v1/dicom"
MAKE_SITE = """
from accounts.models import ApiToken, Role
from tests import factories
place = factories.facility("NORTH", "North Clinic")
user = factories.user("tom", Role.TECHNOLOGIST, [place])
print(ApiToken.issue(user, expires_at=None)[1])
"""


@dataclass(frozen=True)
class Sidecar:
    """The process, and how to reach it."""

    pid: int
    port: int
    token: str
    data_dir: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def client(self, timeout_s: float = 60) -> httpx.Client:
        address = f"http://127.0.0.1:{self.port}{API}"
        return httpx.Client(base_url=address, headers=self.headers, timeout=timeout_s)

    def is_answering(self) -> bool:
        """Whether a lawful caller with a connection of its own is served in time."""
        with self.client(PATIENCE_S) as client:
            return client.get("/health").status_code == 200

    def memory_kib(self, what: str) -> int:
        """The memory of the process and its decoders: `VmRSS` now, `VmHWM` at most."""
        total = 0
        for pid in (self.pid, *product.descendants(self.pid)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
                total += int(found[1]) if found else 0
        return total

    def forget_peaks(self) -> None:
        for pid in (self.pid, *product.descendants(self.pid)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def left_over(self) -> list[Path]:
        return [p for p in (self.data_dir / "media/dicom/spool").glob("*") if p.is_file()]

    def store(self, raw: bytes) -> str:
        """Upload what must be taken; returns the image's id."""
        with self.client() as client:
            answer = client.post("/upload", files={"file": ("a.dcm", raw)})
            assert answer.status_code == 200, answer.text
            uid = answer.json()["study_instance_uid"]
            series = client.get(f"/studies/{uid}/series").json()
            series_id = (series["items"] if isinstance(series, dict) else series)[0]["id"]
            images = client.get(f"/series/{series_id}/images").json()
            return str((images["items"] if isinstance(images, dict) else images)[0]["id"])


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    settings = {"MAX_INSTANCE_BYTES": MOST_INSTANCE_BYTES}
    site = serving.new_site(
        tmp_path_factory.mktemp("attacked"),
        MAKE_SITE,
        DJANGO_SETTINGS_MODULE="tests.receiver_settings",
        NOCTIS_TEST_SETTINGS=json.dumps(settings),
        PYTHONPATH=str(product.PROJECT),
    )
    with site.serving() as here:
        found = Sidecar(here.process.pid, here.port, site.said[-1], site.data_dir)
        # Its decoders are part of it from the beginning.
        image = found.store(compressed_instance([jpeg_2000(noise(64, 64))], 64, 64))
        with found.client() as client:
            assert client.get(f"/image/{image}/frames/1.png").status_code == 200
        yield found
        assert "Traceback" not in here.log.read_text(), here.log.read_text()


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """A client that says each request would bury what the tests say."""
    logger = logging.getLogger("httpx")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(before)


@pytest.fixture
def attacked(sidecar: Sidecar, request: pytest.FixtureRequest) -> Iterator[Sidecar]:
    """The sidecar, and a lawful caller beside whatever the test does to it."""
    before = sidecar.memory_kib("VmRSS")
    sidecar.forget_peaks()
    is_over, answers = threading.Event(), list[bool]()

    def call() -> None:
        while not is_over.wait(0.1):
            try:
                answers.append(sidecar.is_answering())
            except httpx.HTTPError as error:
                print(repr(error))
                answers.append(False)

    lawful = threading.Thread(target=call)
    lawful.start()
    yield sidecar
    is_over.set()
    lawful.join()
    growth_mib = (sidecar.memory_kib("VmHWM") - before) / 1024
    print(f"{request.node.name}: grew by {growth_mib:.0f} MiB, {len(answers)} lawful requests")
    assert sidecar.is_answering()
    assert all(answers)
    assert growth_mib <= MOST_GROWTH_MIB
    assert sidecar.left_over() == []


def part10(body: bytes, transfer_syntax: bytes) -> bytes:
    """A file whose data set is `body`."""
    elements = b""
    for number, vr, value in (
        (0x0001, b"OB\0\0", b"\0\1"),
        (0x0002, b"UI", b"1.2.840.10008.5.1.4.1.1.2"),
        (0x0003, b"UI", str(generate_uid()).encode()),
        (0x0010, b"UI", transfer_syntax),
        (0x0012, b"UI", b"1.2.3.4"),
    ):
        padded = value + b"\0" * (len(value) % 2)
        form = "<I" if len(vr) == 4 else "<H"
        elements += struct.pack("<HH", 2, number) + vr + struct.pack(form, len(padded)) + padded
    length = struct.pack("<HH", 2, 0) + b"UL\4\0" + struct.pack("<I", len(elements))
    return bytes(128) + b"DICM" + length + elements + body


@cache
def deflate_bomb() -> bytes:
    """384 MiB, were anybody to hold it."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -15)
    body = b""
    for number in range(6):
        head = struct.pack("<HH", 0x0009, 0x1000 + number) + b"OB\0\0" + struct.pack("<I", 1 << 26)
        body += squeeze.compress(head) + squeeze.compress(bytes(1 << 26))
    return part10(body + squeeze.flush(), b"1.2.840.10008.1.2.1.99")


def nested(depth: int) -> bytes:
    opening = struct.pack("<HH", 0x0008, 0x1140) + b"SQ\0\0\xff\xff\xff\xff"
    opening += b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return part10(opening * depth, b"1.2.840.10008.1.2.1")


def lying_length() -> bytes:
    head = struct.pack("<HH", 0x0009, 0x1001) + b"OB\0\0" + struct.pack("<I", 0xFFFFFFF0)
    return part10(head + b"short", b"1.2.840.10008.1.2.1")


@cache
def zip_bomb() -> bytes:
    """384 MiB as well."""
    held = io.BytesIO()
    with (
        zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.dcm", "w", force_zip64=True) as member,
    ):
        for _ in range(384):
            member.write(bytes(2**20))
    return held.getvalue()


@pytest.mark.parametrize("path", ["upload", "read-tags", "parse"])
@pytest.mark.parametrize(
    "make",
    [deflate_bomb, lambda: nested(50_000), lying_length],
    ids=["deflate bomb", "nested sequences", "lying length"],
)
def test_files_that_are_bombs_are_refused(
    attacked: Sidecar, make: Callable[[], bytes], path: str
) -> None:
    with attacked.client() as client:
        answer = client.post(f"/{path}", files={"file": ("a.dcm", make())})
    assert answer.status_code in (413, 415, 422), answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize("path", ["upload", "upload-multiple"])
def test_a_zip_bomb_is_refused(attacked: Sidecar, path: str) -> None:
    name = "file" if path == "upload" else "files"
    with attacked.client() as client:
        answer = client.post(f"/{path}", files={name: ("a.zip", zip_bomb())})
    if answer.status_code == 200:
        # Of several files each has its own result.
        assert answer.json()["successful"] == 0
    else:
        assert answer.status_code in (413, 415, 422), answer.text


@pytest.mark.parametrize("path", ["upload", "read-tags"])
def test_a_body_without_end_is_cut_off(attacked: Sidecar, path: str) -> None:
    """Chunked, so that nothing says how long it is: twelve times the limit, if one lets it."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    connection = http.client.HTTPConnection("127.0.0.1", attacked.port, timeout=60)
    headers = {**attacked.headers, "Content-Type": "multipart/form-data; boundary=x"}
    chunk = part10(b"", b"1.2.840.10008.1.2.1") + os.urandom(2**20)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield head
        while sent < 12 * MOST_INSTANCE_BYTES:
            sent += len(chunk)
            yield chunk

    with contextlib.closing(connection):
        with contextlib.suppress(ConnectionError):
            connection.request("POST", f"{API}/{path}", endless(), headers, encode_chunked=True)
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            assert connection.getresponse().status in (413, 422)
    assert attacked.is_answering()


@pytest.mark.parametrize("length", [2**50, 2**20], ids=["absurd", "longer than what comes"])
def test_a_content_length_that_lies_holds_up_nobody(attacked: Sidecar, length: int) -> None:
    request = (
        f"POST {API}/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {attacked.token}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {length}\r\n\r\n--x\r\n"
    )
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            waiting = stack.enter_context(
                socket.create_connection(("127.0.0.1", attacked.port), timeout=10)
            )
            waiting.sendall(request.encode())
        assert attacked.is_answering()


@pytest.mark.parametrize(
    ("pixels", "rows", "columns"),
    [
        ([memory_bomb(2048, 2048)], 2048, 2048),
        ([memory_bomb(65535, 65535)], 65535, 65535),
        ([jpeg_2000(noise(8, 8))], 65535, 65535),
    ],
    ids=["precincts", "absurd and told", "absurd and not so"],
)
def test_absurd_dimensions_are_refused_with_a_reason(
    attacked: Sidecar, pixels: list[bytes], rows: int, columns: int
) -> None:
    image = attacked.store(compressed_instance(pixels, rows, columns))
    with attacked.client() as client:
        for form in ("png", "raw"):
            answer = client.get(f"/image/{image}/frames/1.{form}")
            assert answer.status_code == 422, answer.text
            assert answer.json()["detail"]


def test_plain_pixels_that_are_not_there_are_refused(attacked: Sidecar) -> None:
    data_set = make_instance(noise(8, 8))
    data_set.Rows = data_set.Columns = 65535
    with attacked.client() as client:
        stored = client.post("/upload", files={"file": ("a.dcm", to_bytes(data_set))})
        assert stored.status_code in (200, 422), stored.text
        if stored.status_code == 200:
            uid = stored.json()["study_instance_uid"]
            series = client.get(f"/studies/{uid}/series").json()
            images = client.get(f"/series/{series[0]['id']}/images").json()
            answer = client.get(f"/image/{images[0]['id']}/frames/1.png")
            assert answer.status_code == 422, answer.text


def test_a_crowd_of_silent_and_dribbling_callers_shuts_nobody_out(attacked: Sidecar) -> None:
    """200 that say nothing, 200 that begin, 50 that send a byte now and then."""
    address = ("127.0.0.1", attacked.port)
    is_over = threading.Event()
    with contextlib.ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(450)
        ]
        for begun in crowd[200:400]:
            begun.sendall(b"GET /api/v1/dicom/health HTTP/1.1\r\nHost: x\r\n")

        def dribble() -> None:
            with contextlib.suppress(OSError):
                for byte in b"POST /api/v1/dicom/upload HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 500:
                    for one in crowd[400:]:
                        one.sendall(bytes([byte]))
                    if is_over.wait(0.02):
                        return

        dribbling = threading.Thread(target=dribble)
        dribbling.start()
        for _ in range(20):
            assert attacked.is_answering()
        is_over.set()
        dribbling.join()
