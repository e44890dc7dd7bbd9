"""The whole product as `make run` starts it: on free ports, in a data directory of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
# Names that would carry the test run's own surroundings into the product's.
_FOREIGN = (
    "NOCTIS_", "DICOM_", "PACS_", "DATABASE_", "REDIS_", "CELERY_", "MWL_", "DJANGO_", "COV_",
    "PYTEST_", "AWS_", "MINIO_", "SECRET_KEY", "ALLOWED_HOSTS", "DEBUG", "LOG_LEVEL",
)  # fmt: skip


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """Return an environment that holds the machine's variables and those of this site."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
    # An empty value means the default, and hides what a `.env` of the checkout says.
    defaults = {"NOCTIS_DEMO": "0", "NOCTIS_ADMIN_PASSWORD": "", "DATABASE_URL": ""}
    return {
        **kept,
        **defaults,
        "NOCTIS_DATA_DIR": str(data_dir),
        "NOCTIS_WEB_PORT": str(free_port()),
        "DICOM_PORT": str(free_port()),
        "DICOM_SCP_HOST": "127.0.0.1",
        **variables,
    }


def changed(**settings: object) -> dict[str, str]:
    """Return variables of a process whose Django settings differ from the product's in these."""
    return {
        "DJANGO_SETTINGS_MODULE": "tests.receiver_settings",
        "NOCTIS_TEST_SETTINGS": json.dumps(settings),
    }


@dataclass
class Site:
    """A supervisor and everything below it.

    Attributes
    ----------
    output : file that takes what the terminal would show
    """

    process: subprocess.Popen[bytes]
    environ: Mapping[str, str]
    output: Path

    @property
    def web_port(self) -> int:
        return int(self.environ["NOCTIS_WEB_PORT"])

    @property
    def dicom_port(self) -> int:
        return int(self.environ["DICOM_PORT"])

    def text(self) -> str:
        return self.output.read_text("utf-8", errors="replace")

    def wait_for(self, words: str, timeout_s: float = 60, *, times: int = 1) -> str:
        """Wait until the terminal shows `words`; fails with all that it showed."""
        deadline = time.monotonic() + timeout_s
        while self.text().count(words) < times:
            if self.process.poll() is not None and self.text().count(words) < times:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.text()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"no {words!r} within {timeout_s} s:\n{self.text()}")
            time.sleep(0.05)
        return self.text()

    def children(self) -> dict[str, int]:
        """Return the processes of the site, by what they do."""
        found = {}
        for pid in descendants(self.process.pid, deep=False):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            for name, part in (
                ("web", "noctis_pro.asgi"),
                ("receiver", "dicom_receiver.py"),
                ("worker", "run_jobs"),
                ("celery worker", " worker "),
                ("celery beat", " beat "),
            ):
                if part in command:
                    found[name] = pid
        return found

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.web_port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def get_json(self, path: str, **headers: str) -> Any:
        return json.loads(self.get(path, **headers)[1])

    def manage(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return run([sys.executable, "manage.py", *arguments], self.environ, **options)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


def run(
    command: list[str], environ: Mapping[str, str], **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program of the checkout to its end."""
    given = {"capture_output": True, "text": True, "timeout": 90, "check": False, **options}
    return subprocess.run(command, cwd=PROJECT, env=dict(environ), **given)  # noqa: PLW1510


def run_python(environ: Mapping[str, str], code: str, *arguments: str, **options: Any) -> str:
    """Run code under the Django of a site, and return what it said: one start for many things."""
    command = [sys.executable, "-c", f"import django; django.setup()\n{code}", *arguments]
    settings = {"DJANGO_SETTINGS_MODULE": "noctis_pro.settings"}
    done = run(command, {**settings, **environ}, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def descendants(pid: int, *, deep: bool = True) -> list[int]:
    """Return the processes that `pid` started, and with `deep` theirs."""
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, listing.read_text().split()):
            found += [child, *(descendants(child) if deep else [])]
    return found


def is_running(pid: int) -> bool:
    """Whether a process lives; one that waits to be buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def wait_until_gone(pids: list[int], timeout_s: float = 20) -> list[int]:
    """Return those of `pids` that still run after a while."""
    deadline = time.monotonic() + timeout_s
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [pid for pid in pids if is_running(pid)]


@contextmanager
def started(environ: Mapping[str, str], output: Path) -> Iterator[Site]:
    """Start the supervisor; at the end everything that it started is gone, whatever happened."""
    with output.open("ab") as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "noctis_pro.supervisor"],
            cwd=PROJECT,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Site(process, environ, output)
    finally:
        below = descendants(process.pid)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in below:
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
