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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.product import free_port

_START_TIMEOUT_S = 30


class MissingProgramError(Exception):
    """A server's program is not installed; the message says how to get it."""


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
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


@contextmanager
def postgres() -> Iterator[str]:
    """Run a fresh PostgreSQL and yield its URL; root runs it as Debian's user `postgres`."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        raise MissingProgramError("PostgreSQL is missing. Run: sudo apt-get install postgresql")
    folder = programs[-1].parent
    home = Path(tempfile.mkdtemp(prefix="noctis-postgres-"))
    identity: dict[str, object] = {}
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        account = pwd.getpwnam("postgres")
        os.chown(home, account.pw_uid, account.pw_gid)
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    data, log, port = home / "data", home / "log", free_port()
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    try:
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "noctis", "-A", "trust", "-E", "UTF8", "-N"],
            check=True,
            capture_output=True,
            cwd=home,
            env=environ,
            **identity,  # type: ignore[call-overload]
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [folder / "postgres", "-D", data, "-p", str(port), *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=environ,
                **identity,  # type: ignore[call-overload]
            )
        try:
            _wait_for_port(port, server, log)
            yield f"postgres://noctis@127.0.0.1:{port}/postgres"
        finally:
            # "Fast" shutdown: connections that a test left open do not delay it.
            _end(server, signal.SIGINT)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def redis() -> Iterator[str]:
    """Run an empty Redis and yield its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise MissingProgramError("Redis is missing. Run: sudo apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="noctis-redis-") as home:
        port, log = free_port(), Path(home) / "log"
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", home]
        command += ["--save", "", "--appendonly", "no"]
        with log.open("wb") as output:
            server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_for_port(port, server, log)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            _end(server, signal.SIGTERM)
