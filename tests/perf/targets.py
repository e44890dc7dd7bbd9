"""What is measured: our receiver as a process of its own, and Orthanc beside it where it is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from tests.product import free_port
from tests.receiver import PREPARE, ReceiverSite, run_python

POSTGRESQL_PLUGIN = Path(
    os.environ.get(
        "ORTHANC_POSTGRESQL_PLUGIN", "/usr/share/orthanc/plugins/libOrthancPostgreSQLIndex.so"
    )
)


class Target(Protocol):
    """A receiver of images on loopback."""

    name: str
    called: str
    port: int

    def cpu_s(self) -> float:
        """Return the processor time that it has taken."""

    def stop(self) -> None:
        """End it and drop its data."""


def cpu_of(pid: int) -> float:
    """Return the processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Ours:
    """The receiver on SQLite, or on the database that `url` or `DATABASE_URL` names."""

    name = "ours"
    called = "NOCTIS_SCP"

    def __init__(self, *, instances: int = 0, url: str | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="noctis-bench-"))
        url = url or os.environ.get("DATABASE_URL")
        environment = {"DATABASE_URL": url} if url else {}
        run_python(self.folder, PREPARE, environment=environment)
        if instances:
            code = f"from tests.perf.filler import fill\nfill({instances})"
            run_python(self.folder, code, environment=environment, timeout_s=1800)
        self.site = ReceiverSite(self.folder, environment=environment)
        began = time.monotonic()
        self.site.start()
        self.start_s = time.monotonic() - began
        self.port = self.site.port

    def cpu_s(self) -> float:
        """Return the processor time that it has taken."""
        return cpu_of(self.site.pid)

    def stop(self) -> None:
        """End it and drop its data."""
        self.site.stop()
        shutil.rmtree(self.folder)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Orthanc:
    """Orthanc as Debian has it, with its defaults: it syncs each file, its database later.

    Parameters
    ----------
    url : of an empty PostgreSQL that is to keep its index; needs Debian's orthanc-postgresql
    """

    name = "orthanc"
    called = "ANYSCP"

    def __init__(self, url: str | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="noctis-bench-"))
        self.port = free_port()
        settings = {
            "StorageDirectory": str(self.folder),
            "IndexDirectory": str(self.folder),
            "HttpServerEnabled": False,
            "DicomPort": self.port,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "Plugins": [],
        }
        if url is not None:
            place = urlsplit(url)
            settings["Plugins"] = [str(POSTGRESQL_PLUGIN)]
            settings["PostgreSQL"] = {
                "EnableIndex": True,
                "EnableStorage": False,
                "Host": place.hostname,
                "Port": place.port,
                "Database": place.path.lstrip("/"),
                "Username": place.username,
                "Password": place.password or "",
                "Lock": False,
            }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(settings))
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(["Orthanc", path], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not _listens(self.port):
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def cpu_s(self) -> float:
        """Return the processor time that it has taken."""
        return cpu_of(self._process.pid)

    def stop(self) -> None:
        """End it and drop its data."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)
        shutil.rmtree(self.folder)


def has_orthanc() -> bool:
    """Whether there is an Orthanc to compare with."""
    return shutil.which("Orthanc") is not None
