"""Rendered frames over HTTP, measured beside Orthanc. One JSON object a line; only ratios travel.

    python -m tests.perf.bench_render [-n 64] [--rounds 5] [--seconds 2] [--workers 1]
        [--without-peer]

CT slices of 512 x 512 x 16 bits as windowed 8-bit PNG, by the sidecar on SQLite and by Orthanc's
`/instances/{id}/rendered`, by turns. A window that was never asked for before is never in our
cache: so are `first` (each slice once, one connection) and `uncached` (eight connections).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from tests.dicom import make_instance, to_bytes
from tests.perf.bench_ingest import say
from tests.perf.targets import cpu_of, has_orthanc
from tests.product import PROJECT, descendants, environment, free_port

PHASES = (("first", 1), ("uncached", 8), ("warm", 1), ("warm", 8))
_new_width = count(1)


def slices(number: int) -> list[bytes]:
    """Make CT slices: a body of soft tissue with noise in air."""
    rows, columns = np.mgrid[-1:1:512j, -1:1:512j]
    study, noise = make_instance(), np.random.default_rng(7)
    made = []
    for index in range(number):
        body = np.where((rows / 0.7) ** 2 + (columns / 0.9) ** 2 < 1, 1064.0, 24.0)
        body += 60 * np.sin(rows * 20 + index) * (body > 500) + noise.normal(0, 12, body.shape)
        made.append(
            to_bytes(
                make_instance(
                    np.clip(body, 0, 4095).astype(np.uint16),
                    BitsStored=12,
                    HighBit=11,
                    RescaleSlope=1,
                    RescaleIntercept=-1024,
                    StudyInstanceUID=study.StudyInstanceUID,
                    SeriesInstanceUID=study.SeriesInstanceUID,
                    InstanceNumber=index + 1,
                )
            )
        )
    return made


@dataclass
class Target:
    """A server with the slices in it.

    Attributes
    ----------
    paths : of the pictures; {ww} stands for the width of the window
    """

    name: str
    port: int
    process: subprocess.Popen[bytes]
    folder: Path
    headers: str = ""
    paths: list[str] = field(default_factory=list)

    def cpu_s(self) -> float:
        """Return the processor time that all its processes have taken."""
        pids = (self.process.pid, *descendants(self.process.pid))
        return sum(cpu_of(pid) for pid in pids)

    def stop(self) -> None:
        """End it and drop its data."""
        self.process.terminate()
        self.process.wait(timeout=30)
        shutil.rmtree(self.folder)

    def post(self, path: str, content: bytes, **headers: str) -> dict[str, str]:
        """Send and read JSON."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=content, headers=headers
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
            return dict(json.loads(answer.read()))


def _wait(port: int, path: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}").close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def ours(files: Sequence[bytes], workers: int = 1) -> Target:
    """Start a sidecar of our own, with so many processes."""
    folder = Path(tempfile.mkdtemp(prefix="noctis-bench-"))
    environ = environment(folder, LOG_LEVEL="WARNING")

    def manage(*words: str, given: str = "") -> str:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=PROJECT,
            env=environ,
            input=given,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    manage("migrate", "--verbosity", "0")
    password = secrets.token_urlsafe(24)
    manage("add_user", "bench", "--role", "admin", "--password-stdin", given=password)
    token = manage("add_token", "bench").split()[-1]
    port = free_port()
    words = ["fastapi_app.main:app", "--port", str(port), "--no-access-log"]
    words += ["--workers", str(workers)] if workers > 1 else []
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", *words, "--log-level", "warning"],
        cwd=PROJECT,
        env=environ,
    )
    target = Target("ours", port, process, folder, f"Authorization: Bearer {token}\r\n")
    _wait(port, "/api/v1/dicom/health")
    bearer = {"Authorization": f"Bearer {token}"}
    for file in files:
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.dcm"\r\n\r\n'
        found = target.post(
            "/api/v1/dicom/upload",
            head + file + b"\r\n--b--\r\n",
            **bearer,
            **{"Content-Type": "multipart/form-data; boundary=b"},
        )
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/v1/dicom/image/{found['sop_instance_uid']}",
            headers=bearer,
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - loopback
            key = json.loads(answer.read())["id"]
        target.paths.append(f"/api/v1/dicom/image/{key}/frames/1.png?wc=40&ww={{ww}}")
    return target


def orthanc(files: Sequence[bytes]) -> Target:
    """Start Orthanc with its defaults."""
    folder, port = Path(tempfile.mkdtemp(prefix="noctis-bench-")), free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": port,
        "DicomPort": free_port(),
        "AuthenticationEnabled": False,
        "KeepAlive": True,
        "Plugins": [],
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", path], stdout=log, stderr=log)
    target = Target("orthanc", port, process, folder, "Accept: image/png\r\n")
    _wait(port, "/system")
    for file in files:
        key = target.post("/instances", file)["ID"]
        target.paths.append(f"/instances/{key}/rendered?window-center=40&window-width={{ww}}")
    return target


async def _connection(target: Target, paths: Iterator[str], times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=2**22)
    for path in paths:
        began = time.perf_counter()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{target.headers}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(size)
        times.append(time.perf_counter() - began)
        if b" 200 " not in head[:16] or not body.startswith(b"\x89PNG"):
            raise AssertionError(head)
    writer.close()


def run(target: Target, phase: str, connections: int, seconds: float) -> tuple[float, float, float]:
    """Return requests a second, the median in ms, and processor ms a request."""
    times: list[float] = []

    def never_asked() -> Iterator[str]:
        for path in target.paths:
            yield path.format(ww=400 + next(_new_width) / 1000)

    def again() -> Iterator[str]:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            yield from (path.format(ww=400) for path in target.paths)

    async def all_of_them() -> None:
        shared: Iterator[str] = again() if phase == "warm" else never_asked()
        await asyncio.gather(*(_connection(target, shared, times) for _ in range(connections)))

    if phase == "warm":
        asyncio.run(_connection(target, iter([p.format(ww=400) for p in target.paths]), []))
    spent, began = target.cpu_s(), time.perf_counter()
    asyncio.run(all_of_them())
    rate = len(times) / (time.perf_counter() - began)
    cpu_ms = (target.cpu_s() - spent) / len(times) * 1000
    return rate, statistics.median(times) * 1000, cpu_ms


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure rendered frames.")
    parser.add_argument("-n", type=int, default=64, help="slices")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each warm phase")
    parser.add_argument("--workers", type=int, default=1, help="processes of the sidecar")
    parser.add_argument("--without-peer", action="store_true")
    wanted = parser.parse_args(words)
    files = slices(wanted.n)
    makers: list[Callable[[Sequence[bytes]], Target]] = [partial(ours, workers=wanted.workers)]
    if has_orthanc() and not wanted.without_peer:
        makers.append(orthanc)
    targets: list[Target] = []
    try:
        targets += [maker(files) for maker in makers]
        for phase, connections in PHASES:
            rates: dict[str, list[float]] = {target.name: [] for target in targets}
            for turn in range(wanted.rounds):
                for target in targets if turn % 2 == 0 else targets[::-1]:
                    rate, median_ms, cpu_ms = run(target, phase, connections, wanted.seconds)
                    rates[target.name].append(rate)
                    say(
                        target=target.name,
                        phase=phase,
                        connections=connections,
                        per_s=round(rate, 1),
                        p50_ms=round(median_ms, 2),
                        cpu_ms=round(cpu_ms, 2),
                    )
            for peer in targets[1:]:
                ratios = [a / b for a, b in zip(rates["ours"], rates[peer.name], strict=True)]
                say(
                    ratio=f"ours / {peer.name}",
                    phase=phase,
                    connections=connections,
                    rate=round(statistics.median(ratios), 2),
                    least=round(min(ratios), 2),
                    most=round(max(ratios), 2),
                )
    finally:
        for target in targets:
            target.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
