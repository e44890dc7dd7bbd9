"""Debian's Orthanc as a peer: a process of its own, driven by its REST interface."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dcmtk import free_port

_AE_TITLE = "ORTHANC"
_START_S = 60


class Orthanc:
    """One Orthanc.

    Parameters
    ----------
    folder : of its files
    modalities : AE title, host and port of others, by Orthanc's name for them
    """

    ae_title = _AE_TITLE

    def __init__(self, folder: Path, modalities: dict[str, list[Any]]) -> None:
        self.port, self._http_port = free_port(), free_port()
        settings = {
            "StorageDirectory": str(folder / "orthanc"),
            "IndexDirectory": str(folder / "orthanc"),
            "HttpPort": self._http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": _AE_TITLE,
            "DicomPort": self.port,
            "DicomAlwaysAllowStore": True,
            "DicomModalities": modalities,
            "Plugins": [],
        }
        path = folder / "orthanc.json"
        path.write_text(json.dumps(settings))
        self._log = folder / "orthanc.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/Orthanc", str(path)], cwd=folder, stdout=log, stderr=log
            )
        self._wait()

    def _wait(self) -> None:
        for _ in range(_START_S * 10):
            with contextlib.suppress(OSError):
                self.get("/system")
                return
            assert self._process.poll() is None, self._log.read_text()
            threading.Event().wait(0.1)
        raise AssertionError(f"Orthanc did not start: {self._log.read_text()}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http_port}"

    def get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def post(self, path: str, body: object) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask("POST", path, raw)

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._http_port}{path}", data=body, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise AssertionError(f"{path}: {error.code} {said}\n{self._log.read_text()}") from error

    def file(self, instance: str) -> bytes:
        """The file of an instance by Orthanc's identifier."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self._http_port}/instances/{instance}/file", timeout=60
        ) as answer:
            return bytes(answer.read())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)


@pytest.fixture
def start_orthanc(tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Start Orthancs that know a receiver as `noctis`; they end with the test."""
    running: list[Orthanc] = []

    def start(port: int, called: str = "NOCTIS_SCP") -> Orthanc:
        running.append(Orthanc(tmp_path, {"noctis": [called, "127.0.0.1", port]}))
        return running[-1]

    yield start
    for orthanc in running:
        orthanc.stop()
