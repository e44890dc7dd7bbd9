"""Long answers over real sockets: whole or visibly broken, whoever stalls, leaves or is killed.

One sidecar with two processes of uvicorn, and a study of 24 MiB. What is made ahead and how patient
it is stands in `test_streams`.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import product, serving, stow
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
SLICES, SIDE = 24, 724
MIB = 2**20
# More than this is a fault, not patience.
PATIENCE_S = 60
MAKE_SITE = f"""
from accounts.models import ApiToken, Role
from tests import factories
from tests.codestreams import compressed_instance, jpeg_2000, noise
from tests.dicom import make_instance, to_bytes
place = factories.facility("NORTH", "North Clinic")
user = factories.user("tina", Role.TECHNOLOGIST, [place])
first = make_instance(noise({SIDE}, {SIDE}))
for number in range({SLICES}):
    one = make_instance(noise({SIDE}, {SIDE}, number), StudyInstanceUID=first.StudyInstanceUID,
                        SeriesInstanceUID=first.SeriesInstanceUID, InstanceNumber=number + 1)
    factories.store_bytes(to_bytes(one), place)
codes = [jpeg_2000(noise(700, 700, seed)) for seed in range(6)]
coded = factories.store_bytes(compressed_instance(codes, 700, 700), place)
print(ApiToken.issue(user, expires_at=None)[1], first.StudyInstanceUID, coded.image_id)
"""


@dataclass(frozen=True)
class Sidecar:
    """uvicorn's parent and how to reach its children."""

    process: subprocess.Popen[bytes]
    port: int
    token: str
    study: str
    coded: str
    log: Path

    def workers(self) -> list[int]:
        """The processes that serve, without the decoders that they start."""
        found = []
        for pid in product.descendants(self.process.pid, deep=False):
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def decoders(self) -> set[int]:
        found = set()
        for pid in product.descendants(self.process.pid):
            with contextlib.suppress(OSError):
                if b"decode_worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.add(pid)
        return found

    def kill_workers(self) -> None:
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)

    def memory_mib(self) -> float:
        total = 0
        for pid in self.workers():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                found = re.search(r"VmRSS:\s+(\d+)", status)
                total += int(found[1]) if found else 0
        return total / 1024

    def connection(self, buffer_bytes: int = 0) -> http.client.HTTPConnection:
        """A connection; of a caller that takes little at a time where that is wanted."""
        made = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        if buffer_bytes:
            made.sock = socket.socket()
            made.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            made.sock.settimeout(PATIENCE_S)
            made.sock.connect(("127.0.0.1", self.port))
        return made

    def ask(
        self, path: str, accept: str = AS_STORED, *, buffer_bytes: int = 0
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        made = self.connection(buffer_bytes)
        headers = {"Authorization": f"Bearer {self.token}", "Accept": accept}
        made.request("GET", path, headers=headers)
        return made, made.getresponse()

    def works(self) -> bool:
        """Whether a request that came while a process was gone is answered by the next one."""
        made, answer = self.ask("/api/v1/dicom/health")
        with contextlib.closing(made):
            return answer.status == 200 and bool(answer.read())


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    site = serving.new_site(tmp_path_factory.mktemp("transfers"), MAKE_SITE)
    with site.serving((*serving.SIDECAR, "--workers", "2")) as here:
        found = Sidecar(here.process, here.port, *site.said[-3:], here.log)
        eventually(lambda: here.log.read_text().count("startup complete") >= 2, found)
        yield found
        assert "Traceback" not in here.log.read_text(), here.log.read_text()


def eventually(is_so: Callable[[], bool], sidecar: Sidecar) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert sidecar.process.poll() is None, sidecar.log.read_text()
        assert time.monotonic() < deadline, sidecar.log.read_text()
        time.sleep(0.05)


def contents(answer: http.client.HTTPResponse, body: bytes) -> list[str]:
    """The digests of the parts, boundaries and lengths checked."""
    assert int(answer.headers["content-length"]) == len(body)
    mark = b"--" + answer.headers["content-type"].partition("boundary=")[2].encode()
    assert body.endswith(mark + b"--\r\n")
    found = []
    for piece in body[: -len(mark) - 4].split(mark + b"\r\n")[1:]:
        head, _, content = piece.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None
        assert int(length[1]) == len(content) - 2
        found.append(hashlib.sha256(content[:-2]).hexdigest())
    return found


@pytest.fixture(scope="module")
def study(sidecar: Sidecar) -> list[str]:
    """The digests of the study's files, by requests of one file each."""
    base = f"/dicom-web/studies/{sidecar.study}"
    made, answer = sidecar.ask(f"{base}/instances?limit=100", "application/dicom+json")
    found = []
    with contextlib.closing(made):
        listed = json.loads(answer.read())
    for one in sorted(listed, key=lambda one: one["00200013"]["Value"][0]):
        path = one["00081190"]["Value"][0].partition(str(sidecar.port))[2]
        made, answer = sidecar.ask(path, "application/dicom; transfer-syntax=*")
        with contextlib.closing(made):
            found.append(hashlib.sha256(answer.read()).hexdigest())
    assert len(set(found)) == SLICES
    return found


def test_a_study_comes_whole_again_and_again_by_one_connection(
    sidecar: Sidecar, study: list[str]
) -> None:
    with contextlib.closing(sidecar.connection()) as made:
        headers = {"Authorization": f"Bearer {sidecar.token}", "Accept": AS_STORED}
        for _ in range(3):
            made.request("GET", f"/dicom-web/studies/{sidecar.study}", headers=headers)
            answer = made.getresponse()
            assert contents(answer, answer.read()) == study
            made.request("GET", "/api/v1/dicom/health", headers=headers)
            assert made.getresponse().read().startswith(b"{")


def test_callers_that_take_little_cost_little_and_get_all(
    sidecar: Sidecar, study: list[str]
) -> None:
    """Fifteen at a time, with 360 MiB to come; of the sixteenth place others live meanwhile."""
    path = f"/dicom-web/studies/{sidecar.study}"
    before = sidecar.memory_mib()
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(15):
            made, answer = sidecar.ask(path, buffer_bytes=32 * 1024)
            stack.callback(made.close)
            slow.append((answer, [answer.read(1024)]))
        for _ in range(20):
            assert sidecar.works()
        for answer, got in slow:
            got.append(answer.read(4 * MIB))
        growth = sidecar.memory_mib() - before
        print(f"grew by {growth:.0f} MiB")
        assert growth < 96
        for answer, got in slow[:3]:
            got.append(answer.read())
            assert contents(answer, b"".join(got)) == study


def test_callers_that_leave_disturb_nobody(sidecar: Sidecar, study: list[str]) -> None:
    path = f"/dicom-web/studies/{sidecar.study}"
    for _ in range(20):
        made, answer = sidecar.ask(path)
        answer.read(MIB)
        made.close()
    made, answer = sidecar.ask(path)
    with contextlib.closing(made):
        assert contents(answer, answer.read()) == study


@pytest.mark.parametrize("accept", [AS_STORED, "application/zip"], ids=["parts", "archive"])
def test_a_killed_process_leaves_a_broken_answer_not_a_short_one(
    sidecar: Sidecar, accept: str
) -> None:
    path = f"/dicom-web/studies/{sidecar.study}"
    made, answer = sidecar.ask(path, f"{accept}; transfer-syntax=*", buffer_bytes=32 * 1024)
    with contextlib.closing(made):
        assert answer.status == 200
        got = len(answer.read(MIB))
        sidecar.kill_workers()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            got += len(answer.read())
    assert got < SLICES * MIB
    # The next request finds a process that was started meanwhile.
    assert sidecar.works()


def test_a_store_request_that_is_killed_can_be_sent_again(sidecar: Sidecar) -> None:
    first = make_instance(noise(SIDE, SIDE))
    uid = first.StudyInstanceUID
    files = [
        to_bytes(make_instance(noise(SIDE, SIDE, seed), StudyInstanceUID=uid)) for seed in range(6)
    ]
    body = stow.parts(*((stow.DICOM, file) for file in files))
    headers = {
        "Authorization": f"Bearer {sidecar.token}",
        "Content-Type": stow.related(),
        "Accept": stow.JSON,
    }
    path = f"/dicom-web/studies/{uid}"
    with contextlib.closing(sidecar.connection()) as made:
        made.putrequest("POST", "/dicom-web/studies")
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            made.putheader(name, value)
        made.endheaders(body[: len(body) * 2 // 3])

        def has_begun() -> bool:
            other, answer = sidecar.ask(f"{path}/instances", stow.JSON)
            with contextlib.closing(other):
                return answer.status == 200 and answer.read().count(b"00080018") >= 2

        eventually(has_begun, sidecar)
        sidecar.kill_workers()
        with contextlib.suppress(ConnectionError):
            made.send(body[len(body) * 2 // 3 :])
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            made.getresponse()
    with contextlib.closing(sidecar.connection()) as made:
        made.request("POST", "/dicom-web/studies", body, headers)
        answer = made.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        assert said.count(b"00081155") >= len(files)
    made, answer = sidecar.ask(path)
    with contextlib.closing(made):
        found = contents(answer, answer.read())
    assert sorted(found) == sorted({*found})
    assert len(found) == len(files)


def test_killed_decoders_cost_no_picture(sidecar: Sidecar) -> None:
    wanted = "&".join(f"f={sidecar.coded}:{number}" for number in range(1, 7))
    killed: set[int] = set()
    is_over = threading.Event()

    def kill() -> None:
        while not is_over.is_set() and len(killed) < 2:
            for pid in list(sidecar.decoders() - killed)[: 2 - len(killed)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        made, answer = sidecar.ask(f"/api/v1/dicom/frames?{wanted}&format=raw", "*/*")
        with contextlib.closing(made):
            found = records(answer.read())
    finally:
        is_over.set()
        killer.join()
    assert killed
    assert [head["status"] for head, _ in found] == [200] * 6, [head for head, _ in found]
    for seed, (_, content) in enumerate(found):
        assert content == noise(700, 700, seed).tobytes()
