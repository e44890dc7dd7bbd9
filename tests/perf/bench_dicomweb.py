"""DICOMweb, measured beside Orthanc with its plugin: `make bench-dicomweb`. One JSON object a line.

    python -m tests.perf.bench_dicomweb [--studies 1000] [-n 100] [--rounds 9] [--without-peer]

One archive on SQLite is served by the sidecar (one process) and by the embedded default's web
process; Orthanc holds the same instances. All are asked by turns, search after search and study
after study, so that whatever else the machine does meets all of them: only ratios travel.

Both are filled by STOW-RS, a hundred instances of a kilobyte a request; the first lines say how
long that took. To measure searches alone, filled without waiting for a disk:

    python -m tests.perf.bench_dicomweb --studies 20000 --only qido -n 1 --folder /dev/shm
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pydicom

from tests.dicom import make_instance, to_bytes
from tests.perf.bench_ingest import say
from tests.perf.bench_render import slices
from tests.perf.targets import cpu_of, has_orthanc
from tests.product import PROJECT, descendants, environment, free_port

_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_BOUNDARY = "noctis-bench"
_PARTS_A_REQUEST = 100


@dataclass
class Target:
    """A server of DICOMweb."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    headers: Mapping[str, str]

    def __post_init__(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.name
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            assert time.monotonic() < deadline, self.name
            time.sleep(0.05)
        self.client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def cpu_s(self) -> float:
        """Return the processor time that it and its children have taken."""
        return sum(cpu_of(pid) for pid in (self.process.pid, *descendants(self.process.pid)))

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """Send a request and return the answer's body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.client.request(method, path, body, {**self.headers, **named})
        answer = self.client.getresponse()
        content = answer.read()
        assert answer.status in (200, 204), (self.name, path, answer.status, content[:300])
        return content

    def fetch(self, path: str) -> int:
        """Take an answer as fast as it comes; returns its bytes."""
        self.client.request("GET", path, headers={**self.headers, "Accept": _AS_STORED})
        answer = self.client.getresponse()
        assert answer.status == 200, (self.name, answer.status)
        buffer, size = memoryview(bytearray(2**20)), 0
        while count := answer.readinto(buffer):
            size += count
        return size

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=30)


def _ours(folder: Path) -> Iterator[Target]:
    """Start both ways in which we serve, over one archive."""
    environ = environment(folder, LOG_LEVEL="WARNING")

    def manage(*words: str, given: str = "") -> str:
        command = [sys.executable, "manage.py", *words]
        options = {"input": given, "capture_output": True, "text": True, "check": True}
        return subprocess.run(command, cwd=PROJECT, env=environ, **options).stdout  # noqa: PLW1510

    manage("migrate", "--verbosity", "0")
    password = secrets.token_urlsafe(24)
    manage("add_user", "bench", "--role", "admin", "--password-stdin", given=password)
    headers = {"Authorization": f"Bearer {manage('add_token', 'bench').split()[-1]}"}
    commands = {
        "sidecar": "uvicorn fastapi_app.main:app --no-access-log --log-level warning --port",
        "embedded": "uvicorn noctis_pro.asgi:application --lifespan off --no-access-log"
        " --log-level warning --port",
    }
    for name, words in commands.items():
        port = free_port()
        command = [sys.executable, "-m", *words.split(), str(port)]
        yield Target(name, port, subprocess.Popen(command, cwd=PROJECT, env=environ), headers)


def _orthanc(folder: Path) -> Target:
    port = free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": port,
        "DicomPort": free_port(),
        "AuthenticationEnabled": False,
        # It is filled sooner; what is measured reads.
        "SyncStorageArea": False,
        "KeepAlive": True,
        "Plugins": [str(_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", path], stdout=log, stderr=log)
    return Target("orthanc", port, process, {})


def store(target: Target, files: Sequence[bytes]) -> None:
    """Store files by STOW-RS."""
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
    for start in range(0, len(files), _PARTS_A_REQUEST):
        parts = [head + one + b"\r\n" for one in files[start : start + _PARTS_A_REQUEST]]
        body = b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])
        target.ask(
            "POST",
            "/dicom-web/studies",
            body,
            Content_Type=kind,
            Accept="application/dicom+json",
        )


def many_studies(count: int) -> list[bytes]:
    """Make instances of a kilobyte, each a study of its own, two a patient."""
    # Every value is as long in each: one file is written, the others are put together from it.
    first = _values(0)
    made = make_instance(np.zeros((8, 8), np.uint16), **first)
    template = to_bytes(made)
    found = []
    for number in range(count):
        content = template
        for keyword, value in _values(number).items():
            content = content.replace(first[keyword].encode(), value.encode())
        found.append(content)
    return found


def _values(number: int) -> dict[str, str]:
    root = f"1.2.826.0.1.3680043.8.498.1{number:07}"
    return {
        "StudyInstanceUID": f"{root}.1.0",
        "SeriesInstanceUID": f"{root}.2.0",
        "SOPInstanceUID": f"{root}.3.0",
        "PatientID": f"BENCH{number // 2:05}",
        "PatientName": f"Family{number // 2 % 50:03}^Given{number // 2:05}",
        "AccessionNumber": f"A{number:07}",
        "StudyDate": f"2026{1 + number % 12:02}{1 + number % 28:02}",
        "Modality": ("CT", "MR", "US")[number % 3],
    }


SEARCHES: dict[str, Callable[[int], dict[str, str]]] = {
    "accession number": lambda number: {"AccessionNumber": f"A{number:07}"},
    "Patient ID": lambda number: {"PatientID": f"BENCH{number // 2:05}"},
    "beginning of a name": lambda number: {"PatientName": f"Family{number // 2 % 50:03}*"},
    "name with wildcards": lambda number: {"PatientName": f"*Given{number // 2:05}"},
    "one day": lambda number: {"StudyDate": f"2026{1 + number % 12:02}{1 + number % 28:02}"},
    "five days and a modality": lambda number: {
        "StudyDate": f"2026{1 + number % 12:02}01-2026{1 + number % 12:02}05",
        "ModalitiesInStudy": "CT",
    },
    "first page of 50": lambda _: {"limit": "50"},
    "no match": lambda number: {"AccessionNumber": f"NONE{number}"},
}


def compare(
    targets: Sequence[Target],
    measured: str,
    asks: Sequence[Callable[[Target], int]],
    *,
    size_bytes: int = 0,
) -> None:
    """Ask all by turns and print the medians, and the ratios of ours to the last of them."""
    times: dict[str, list[float]] = {target.name: [] for target in targets}
    spent = {target.name: -target.cpu_s() for target in targets}
    sizes: dict[str, int] = {}
    for turn, ask in enumerate(asks):
        for target in targets if turn % 2 == 0 else targets[::-1]:
            began = time.perf_counter()
            sizes[target.name] = ask(target)
            times[target.name].append(time.perf_counter() - began)
    for target in targets:
        spent[target.name] += target.cpu_s()
        middle = statistics.median(times[target.name])
        facts = {"mb_s": round(size_bytes / middle / 1e6)} if size_bytes else {}
        say(
            measured=measured,
            target=target.name,
            median_ms=round(middle * 1000, 2),
            least_ms=round(min(times[target.name]) * 1000, 2),
            cpu_ms=round(spent[target.name] * 1000 / len(asks), 2),
            answer_bytes=sizes[target.name],
            **facts,
        )
    peer = targets[-1]
    for target in targets[:-1]:
        pairs = zip(times[target.name], times[peer.name], strict=True)
        ratios = [theirs / mine for mine, theirs in pairs]
        say(
            measured=measured,
            ratio=f"{peer.name} / {target.name}, time",
            of_medians=round(
                statistics.median(times[peer.name]) / statistics.median(times[target.name]), 2
            ),
            median=round(statistics.median(ratios), 2),
            least=round(min(ratios), 2),
            most=round(max(ratios), 2),
        )


def _search(words: Mapping[str, str]) -> Callable[[Target], int]:
    path = f"/dicom-web/studies?{urlencode(words)}"
    return lambda target: len(target.ask("GET", path, Accept="application/dicom+json"))


def measure(targets: Sequence[Target], wanted: argparse.Namespace, study: str, size: int) -> None:
    """Run every comparison."""
    if "qido" in wanted.only:
        for name, words in SEARCHES.items():
            numbers = [at * 37 % wanted.studies for at in range(1 + wanted.asked)]
            for target in targets:
                _search(words(numbers[-1]))(target)
            asks = [_search(words(number)) for number in numbers[:-1]]
            compare(targets, f"QIDO-RS, {name}", asks)
    if "wado" in wanted.only:
        path = f"/dicom-web/studies/{study}"
        for target in targets:
            got = target.fetch(path)
            assert got >= size, (target.name, got, size)
        asks_study = [lambda target: target.fetch(path)] * wanted.rounds
        compare(targets, f"WADO-RS, {wanted.n} slices as stored", asks_study, size_bytes=size)
        accept = {"Accept": "application/dicom+json"}
        asks_text = [lambda target: len(target.ask("GET", f"{path}/metadata", **accept))]
        compare(targets, f"WADO-RS, metadata of {wanted.n}", asks_text * wanted.rounds)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure DICOMweb.")
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--asked", type=int, default=60, help="searches of each kind")
    parser.add_argument("-n", type=int, default=100, help="slices of the study that is fetched")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="*", default=["qido", "wado"])
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--folder", help="where both archives are made, such as /dev/shm")
    wanted = parser.parse_args(words)
    files = slices(wanted.n)
    study = str(pydicom.dcmread(BytesIO(files[0]), stop_before_pixels=True).StudyInstanceUID)
    folder = Path(tempfile.mkdtemp(prefix="noctis-bench-", dir=wanted.folder))
    targets: list[Target] = []
    try:
        (folder / "ours").mkdir()
        targets.extend(_ours(folder / "ours"))
        stored_by = [targets[0]]
        if has_orthanc() and _PLUGIN.exists() and not wanted.without_peer:
            (folder / "orthanc").mkdir()
            targets.append(_orthanc(folder / "orthanc"))
            stored_by.append(targets[-1])
        small = many_studies(wanted.studies) if "qido" in wanted.only else []
        for target in stored_by:
            began = time.perf_counter()
            store(target, small)
            store(target, files)
            say(measured="filling", target=target.name, s=round(time.perf_counter() - began))
        for target in targets:
            # Servers close connections that stood still while another archive was filled.
            target.client.close()
        measure(targets, wanted, study, sum(map(len, files)))
    finally:
        for target in targets:
            target.stop()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
