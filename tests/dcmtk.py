"""dcmtk's programs as peers."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[Callable[..., SimpleNamespace]]:
    running: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> SimpleNamespace:
        folder = tmp_path / f"received-{len(running)}"
        folder.mkdir()
        port = free_port()
        process = subprocess.Popen(["storescp", *options, "-od", str(folder), str(port)])
        running.append(process)
        for _ in range(200):
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                return SimpleNamespace(port=port, folder=folder)
            threading.Event().wait(0.05)
        raise AssertionError("storescp did not start")

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=10)
