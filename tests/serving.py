"""Sites of their own, and the processes that serve them by HTTP: one way to make and start them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import databases, product

_START_TIMEOUT_S = 60
SIDECAR = ("uvicorn", "fastapi_app.main:app", "--port", "{port}")


def new_site(data_dir: Path, code: str, *arguments: str, **variables: str) -> Site:
    """Make a site: a migrated database, and what `code` puts into it under Django."""
    environ = product.environment(data_dir, **variables)
    databases.place(data_dir)
    return Site(data_dir, environ, product.run_python(environ, code, *arguments).split())


@dataclass(frozen=True)
class Site:
    """A data directory, the variables of its processes, and the words that making it said."""

    data_dir: Path
    environ: dict[str, str]
    said: list[str]

    @contextmanager
    def serving(
        self,
        command: Sequence[str] = SIDECAR,
        folder: Path = product.PROJECT,
        *,
        is_killed: bool = False,
    ) -> Iterator[Serving]:
        """Run a module that listens, "{port}" being a free one.

        It must live until the end, unless the test kills it.
        """
        port = product.free_port()
        log = self.data_dir / f"{command[0]}-{port}.log"
        words = [word.format(port=port) for word in command]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=folder,
                env=self.environ,
                stdout=output,
                stderr=output,
            )
        try:
            _wait_for(port, process, log)
            yield Serving(process, port, log)
            assert process.poll() == (-signal.SIGKILL if is_killed else None), log.read_text()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@dataclass(frozen=True)
class Serving:
    """A process that listens."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
