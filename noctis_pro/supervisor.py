"""`make run`: every process of the embedded default in the foreground, watched, stopped together.

The supervisor itself loads no Django: it prepares the site in a child, starts the processes, waits
until the site says that it is ready, starts again what dies, and stops everything on Ctrl-C.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from noctis_pro import config
from noctis_pro.config import PROJECT_DIR, Config
from noctis_pro.variables import ConfigError

ADMIN_PASSWORD_FILE = "initial-admin-password"  # noqa: S105 - a file's name
DEMO_PASSWORDS_FILE = "demo-passwords"

_PREPARED_FILE = "prepared"

_POLL_S = 0.1
_STOP_AFTER_S = 15.0
# Sockets of pages that stand open end only when they are told to.
_WEB_ENDS_AFTER_S = 3
# What pages say on a socket is a line or two.
_WEB_SOCKET_BYTES = 64 * 1024
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
# A process that ran this long was healthy: its next fall starts with the short pause again.
_HEALTHY_AFTER_S = 60.0
# Falls before the site was ever ready: the cause is in the set-up, trying on does not help.
_MOST_EARLY_FALLS = 3
_SAY_WHAT_IS_MISSING_EVERY_S = 15.0
_PR_SET_PDEATHSIG = 1


class StartError(Exception):
    """The site cannot start; the message says what to do."""


@dataclass(slots=True)
class Service:
    """One process: how it is started, and how it has been doing."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    pause_s: float = _FIRST_PAUSE_S
    falls: int = 0


def services(chosen: Config) -> list[Service]:
    """Return the processes that `chosen` asks for."""
    python = sys.executable
    # uvicorn, not Daphne: it makes who sends wait for who takes (docs/adr/0065).
    web = [python, "-m", "uvicorn", "noctis_pro.asgi:application", "--host", chosen.web_host]
    web += ["--port", str(chosen.web_port), "--lifespan", "off", "--no-proxy-headers"]
    web += ["--no-server-header", "--no-access-log", "--log-level", "warning"]
    web += ["--ws-max-size", str(_WEB_SOCKET_BYTES)]
    web += ["--timeout-graceful-shutdown", str(_WEB_ENDS_AFTER_S)]
    receiver = [python, "dicom_receiver.py", "--port", str(chosen.dicom_port)]
    receiver += ["--aet", chosen.dicom_aet]
    listed = [Service("web", web), Service("receiver", receiver)]
    if not chosen.celery_broker_url:
        return [*listed, Service("worker", [python, "manage.py", "run_jobs"])]
    celery = [python, "-m", "celery", "-A", "noctis_pro", "--quiet"]
    level = ["--loglevel", chosen.log_level]
    return [
        *listed,
        Service("celery worker", [*celery, "worker", *level]),
        Service("celery beat", [*celery, "beat", *level, "--pidfile="]),
    ]


@dataclass(slots=True)
class Supervisor:
    """Starts processes, starts again what dies, and stops all of them by their own pids."""

    services: list[Service]
    environ: Mapping[str, str]
    signals: int = field(default=0, init=False)

    def listen(self) -> None:
        """Take Ctrl-C, `kill` and a closed terminal as the wish to stop."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._asked_to_stop)

    def _asked_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.signals += 1

    def is_asked_to_stop(self) -> bool:
        """Whether a signal came."""
        return self.signals > 0

    def run_once(self, command: Sequence[str]) -> int:
        """Run a process to its end and return its status; a wish to stop is passed on."""
        process = _spawn(command, self.environ)
        while process.poll() is None:
            if self.is_asked_to_stop():
                _stop([process], lambda: self.signals > 1)
            time.sleep(_POLL_S)
        return process.returncode

    def start(self) -> None:
        """Start every process."""
        for service in self.services:
            self._start(service)

    def _start(self, service: Service) -> None:
        service.process = _spawn(service.command, self.environ)
        service.started_at = time.monotonic()

    def watch(self) -> None:
        """Start again what died, each after its pause."""
        now = time.monotonic()
        for service in self.services:
            if service.process is None:
                if now >= service.start_again_at:
                    say(f"Starting {service.name} again.")
                    self._start(service)
                continue
            status = service.process.poll()
            if status is None:
                continue
            _end_group(service.process.pid)
            service.process = None
            service.falls += 1
            if now - service.started_at > _HEALTHY_AFTER_S:
                service.pause_s = _FIRST_PAUSE_S
            service.start_again_at = now + service.pause_s
            say(
                f"{service.name.capitalize()} ended ({_in_words(status)}); "
                f"starting it again in {service.pause_s:.0f} s."
            )
            service.pause_s = min(service.pause_s * 2, _LONGEST_PAUSE_S)

    def stop(self) -> None:
        """End every process: politely first, by force after a while or at a second Ctrl-C."""
        running = [s.process for s in self.services if s.process is not None]
        before = self.signals
        _stop(running, lambda: self.signals > before)


def _spawn(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own commands
        list(command),
        cwd=PROJECT_DIR,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        # Ctrl-C in the terminal reaches the supervisor alone, which then stops them in order.
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - the supervisor has one thread
    )


def _die_with_parent() -> None:
    """Ask Linux to end this child when the supervisor is killed without a chance to do so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(processes: Sequence[subprocess.Popen[bytes]], is_forced: Callable[[], bool]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + _STOP_AFTER_S
    while any(process.poll() is None for process in processes):
        if time.monotonic() > deadline or is_forced():
            break
        time.sleep(_POLL_S)
    for process in processes:
        _end_group(process.pid)
        process.wait()


def _end_group(pid: int) -> None:
    """Kill what is left of a process's own group (decoders that it started, or itself)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _in_words(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    return f"killed by {signal.Signals(-status).name}"


# Before the start ---------------------------------------------------------------------------------


@contextlib.contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data directory: two sites over one database would do every job's work twice."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "run.lock").open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise StartError(
                f"NoctisPro already runs on {data_dir} (process {lock.read().strip()}). "
                "Stop it first, or give this one a directory of its own with NOCTIS_DATA_DIR."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def require_free_ports(chosen: Config) -> None:
    """Refuse to start where a port is taken, naming the variable that chooses another one."""
    wanted = [
        ("NOCTIS_WEB_PORT", "NOCTIS_WEB_HOST", chosen.web_host, chosen.web_port),
        ("DICOM_PORT", "DICOM_SCP_HOST", chosen.dicom_host, chosen.dicom_port),
    ]
    if chosen.dicom_tls is not None:
        tls_port = chosen.dicom_tls.port
        wanted.append(("DICOM_TLS_PORT", "DICOM_SCP_HOST", chosen.dicom_host, tls_port))
    for port_name, host_name, host, port in wanted:
        try:
            address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(address[0], socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address[4])
        except socket.gaierror as error:
            raise StartError(f"{host_name}={host!r} is no address of this machine.") from error
        except PermissionError as error:
            raise StartError(
                f"Port {port} is for root alone. Choose one above 1023, such as "
                f"{port_name}={port + 10000}."
            ) from error
        except OSError as error:
            raise StartError(_port_trouble(port_name, host_name, host, port, error)) from error


def _port_trouble(port_name: str, host_name: str, host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        free = port + 1 if port < 65535 else port - 1
        return (
            f"Port {port} on {host} is in use by another program. Stop that one, or choose "
            f"another port: {port_name}={free} make run"
        )
    return f"{host_name}={host!r} cannot be listened on: {error.strerror}."


def is_prepared(chosen: Config) -> bool:
    """Whether this code has already prepared this very database; looking costs Django's start."""
    try:
        return (chosen.data_dir / _PREPARED_FILE).read_text("ascii") == _state(chosen)
    except OSError:
        return False


def note_prepared(chosen: Config) -> None:
    """Remember that the site is prepared, until code, database or demo change."""
    (chosen.data_dir / _PREPARED_FILE).write_text(_state(chosen), "ascii")


def _state(chosen: Config) -> str:
    """Return a digest of what preparing depends on; a database on a server is always looked at."""
    digest = hashlib.sha256(f"{chosen.database_url} {chosen.demo}".encode())
    path = chosen.database_url.removeprefix("sqlite:///")
    if path != chosen.database_url:
        digest.update(str(Path(path).stat().st_ino).encode())
    else:
        digest.update(os.urandom(16))
    for migration in sorted(PROJECT_DIR.glob("*/migrations/*.py")):
        digest.update(str(migration).encode())
    # Django's own migrations come with its version.
    digest.update((PROJECT_DIR / "requirements.lock").read_bytes())
    return digest.hexdigest()


# While it runs ------------------------------------------------------------------------------------


def readiness(chosen: Config) -> tuple[bool, str]:
    """Ask the site whether it is ready; the text says what is missing."""
    host = "127.0.0.1" if chosen.web_host in {"0.0.0.0", "::"} else chosen.web_host  # noqa: S104
    named = chosen.allowed_hosts[0].lstrip(".").replace("*", "localhost")
    connection = http.client.HTTPConnection(host, chosen.web_port, timeout=5)
    try:
        connection.request("GET", "/health/ready", headers={"Host": named})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return False, f"web: {error}"
    finally:
        connection.close()
    if response.status == http.client.OK:
        return True, ""
    try:
        checks = json.loads(body)["checks"]
        return False, "; ".join(c["message"] for c in checks if not c["ok"])
    except (ValueError, KeyError, TypeError):
        return False, f"web answers with status {response.status}"


def wait_until_ready(supervisor: Supervisor, chosen: Config) -> bool:
    """Watch until the site is ready; False when somebody wants it to stop before.

    Raises
    ------
    StartError
        When a process falls again and again.
    """
    next_word = time.monotonic() + _SAY_WHAT_IS_MISSING_EVERY_S
    while not supervisor.is_asked_to_stop():
        supervisor.watch()
        fallen = next((s for s in supervisor.services if s.falls >= _MOST_EARLY_FALLS), None)
        if fallen is not None:
            raise StartError(
                f"{fallen.name.capitalize()} does not start; its last words stand above "
                f"and in {chosen.log_dir}."
            )
        is_ready, missing = readiness(chosen)
        if is_ready:
            return True
        if time.monotonic() > next_word:
            say(f"Not ready yet. {missing}")
            next_word = time.monotonic() + _SAY_WHAT_IS_MISSING_EVERY_S
        time.sleep(_POLL_S)
    return False


def welcome(chosen: Config, *, new_files: set[Path], took_s: float) -> str:
    """Return what a person needs to begin."""
    web_host = _reachable(chosen.web_host)
    dicom_host = _reachable(chosen.dicom_host)
    aet, port = chosen.dicom_aet, chosen.dicom_port
    rows = [
        ("Open", f"http://{web_host}:{chosen.web_port}/"),
        ("Sign in", _sign_in(chosen, new_files)),
    ]
    demo = chosen.data_dir / DEMO_PASSWORDS_FILE
    if demo.is_file():
        rows += [("Demo users", line) for line in _demo_users(demo, is_new=demo in new_files)]
    rows += [
        ("Receiver", f"AE title {aet}, port {port} on {chosen.dicom_host}"),
        ("Send", f"storescu -aet DEMO_SCU -aec {aet} {dicom_host} {port} FILE.dcm")
        if demo.is_file()
        else ("Send", f"add a facility first: {_python()} manage.py add_facility --help"),
        ("Data", str(chosen.data_dir)),
        ("Logs", str(chosen.log_dir)),
        ("Stop", "Ctrl-C"),
    ]
    width = max(len(name) for name, _ in rows)
    lines = []
    last = ""
    for name, text in rows:
        lines.append(f"  {'' if name == last else name:<{width}}  {text}")
        last = name
    return "\n".join(["", f"NoctisPro is ready ({took_s:.1f} s).", "", *lines, ""])


def _sign_in(chosen: Config, new_files: set[Path]) -> str:
    kept = chosen.data_dir / ADMIN_PASSWORD_FILE
    if kept.is_file():
        if kept in new_files:
            return f"{kept.read_text('utf-8').strip()}   (kept in {kept}; change it)"
        return f"{chosen.admin_user}, first password in {kept}"
    if chosen.admin_password:
        return f"{chosen.admin_user}, password as NOCTIS_ADMIN_PASSWORD said at the first start"
    return "as an administrator of this site"


def _demo_users(path: Path, *, is_new: bool) -> list[str]:
    if not is_new:
        return [f"see {path}"]
    return path.read_text("utf-8").split("\n")[:-1]


def _reachable(host: str) -> str:
    return "localhost" if host in {"0.0.0.0", "::", "127.0.0.1", "::1"} else host  # noqa: S104


def _python() -> str:
    python = Path(sys.executable)
    return str(python.relative_to(PROJECT_DIR) if python.is_relative_to(PROJECT_DIR) else python)


def say(text: str) -> None:
    """Print at once: the processes write to the same terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(environ: Mapping[str, str]) -> int:
    """Prepare, start, watch, stop; returns the exit status."""
    chosen = config.load(environ)
    # Uploads wait here while they come in: on the archive's own disk, not in a small /tmp.
    chosen.temp_dir.mkdir(parents=True, exist_ok=True)
    environ = {**environ, "TMPDIR": str(chosen.temp_dir)}
    supervisor = Supervisor(services(chosen), environ)
    supervisor.listen()
    began = time.monotonic()
    with only_one(chosen.data_dir):
        require_free_ports(chosen)
        before = _secret_files(chosen)
        if not is_prepared(chosen):
            status = supervisor.run_once([sys.executable, "manage.py", "prepare_site"])
            if supervisor.is_asked_to_stop():
                return 0
            if status:
                raise StartError("The site could not be prepared; the reason stands above.")
            note_prepared(chosen)
        try:
            started = time.monotonic()
            supervisor.start()
            if wait_until_ready(supervisor, chosen):
                new_files = _secret_files(chosen) - before
                took_s = time.monotonic() - (started if new_files else began)
                say(welcome(chosen, new_files=new_files, took_s=took_s))
            while not supervisor.is_asked_to_stop():
                supervisor.watch()
                time.sleep(_POLL_S)
            say("Stopping.")
        finally:
            supervisor.stop()
    say("NoctisPro has stopped.")
    return 0


def _secret_files(chosen: Config) -> set[Path]:
    names = (ADMIN_PASSWORD_FILE, DEMO_PASSWORDS_FILE)
    return {path for name in names if (path := chosen.data_dir / name).is_file()}


def main() -> int:
    """Run the site with demo data unless the environment says otherwise."""
    try:
        return run({"NOCTIS_DEMO": "1", **config.environment()})
    except (ConfigError, StartError) as error:
        sys.stderr.write(f"NoctisPro cannot start: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
