"""PostgreSQL and Redis as real servers: on free ports of loopback, with data that nobody keeps."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.product import free_port

_START_TIMEOUT_S = 30


class MissingProgramError(Exception):
    """A server's program is not installed; the message says how to get it."""


def _wait_for_port(
    port: int, process: subprocess.Popen[bytes], log: Path, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"no server on port {port}:\n{log.read_text(errors='replace')}")


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Server:
    """A server's process: it can be killed as the kernel would, and started again on its data."""

    url: str
    port: int
    command: Sequence[str | Path]
    log: Path
    # What `Popen` is given besides.
    options: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    timeout_s: float = _START_TIMEOUT_S

    def start(self) -> None:
        """Start it and wait until it listens; what a killed one left behind is waited for."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            with self.log.open("wb") as output:
                self.process = subprocess.Popen(
                    self.command, stdout=output, stderr=subprocess.STDOUT, **self.options
                )
            try:
                _wait_for_port(self.port, self.process, self.log, self.timeout_s)
            except AssertionError:
                # PostgreSQL's backends outlive their postmaster for a moment, with its memory.
                if self.process.poll() is None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """End it without a word to anybody."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, number: int) -> None:
        if self.process is not None:
            _end(self.process, number)


@contextmanager
def postgres_server(folder_of_data: str | None = None) -> Iterator[Server]:
    """Run a fresh PostgreSQL; root runs it as Debian's user `postgres`.

    Parameters
    ----------
    folder_of_data : one in memory, where what a power cut takes is nobody's question
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        raise MissingProgramError("PostgreSQL is missing. Run: sudo apt-get install postgresql")
    folder = programs[-1].parent
    home = Path(tempfile.mkdtemp(prefix="noctis-postgres-", dir=folder_of_data))
    options: dict[str, Any] = {
        "cwd": home,
        "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    }
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    data, port = home / "data", free_port()
    try:
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "noctis", "-A", "trust", "-E", "UTF8", "-N"],
            check=True,
            capture_output=True,
            **options,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        server = Server(
            url=f"postgres://noctis@127.0.0.1:{port}/postgres",
            port=port,
            command=[folder / "postgres", "-D", data, "-p", str(port), *words],
            log=home / "log",
            options=options,
        )
        try:
            server.start()
            yield server
        finally:
            # "Fast" shutdown: connections that a test left open do not delay it.
            server.stop(signal.SIGINT)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def postgres(folder_of_data: str | None = None) -> Iterator[str]:
    """Run a fresh PostgreSQL and yield its URL."""
    with postgres_server(folder_of_data) as server:
        yield server.url


@contextmanager
def redis_server() -> Iterator[Server]:
    """Run an empty Redis."""
    program = shutil.which("redis-server")
    if program is None:
        raise MissingProgramError("Redis is missing. Run: sudo apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="noctis-redis-") as home:
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", home]
        command += ["--save", "", "--appendonly", "no"]
        server = Server(f"redis://127.0.0.1:{port}/0", port, command, Path(home) / "log")
        try:
            server.start()
            yield server
        finally:
            server.stop(signal.SIGTERM)


@contextmanager
def redis() -> Iterator[str]:
    """Run an empty Redis and yield its URL."""
    with redis_server() as server:
        yield server.url
