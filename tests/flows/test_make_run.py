"""`make run`: start, readiness, restart of what dies, and an end that leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from noctis_pro import config, supervisor
from noctis_pro.supervisor import Service, StartError, Supervisor
from tests import databases, product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[product.Site]:
    """A fresh site without the demo, ready."""
    folder = tmp_path_factory.mktemp("site")
    with product.started(product.environment(folder / "var"), folder / "terminal") as here:
        here.wait_for("NoctisPro is ready")
        yield here


def _sign_in(here: product.Site, username: str, password: str) -> int:
    """Sign in as a browser does; returns the status of the answer."""
    import http.cookiejar
    import urllib.error
    import urllib.parse
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: object) -> None:
            return None

    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), Stay)
    address = f"http://127.0.0.1:{here.web_port}/accounts/login/"
    page = browser.open(address, timeout=10).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token is not None
    form = {"username": username, "password": password, "csrfmiddlewaretoken": token[1]}
    request = urllib.request.Request(
        address, urllib.parse.urlencode(form).encode(), {"Referer": address}
    )
    try:
        return int(browser.open(request, timeout=20).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_says_where_and_how(running: product.Site) -> None:
    text = running.text()
    assert f"http://localhost:{running.web_port}/" in text
    assert f"AE title NOCTIS_SCP, port {running.dicom_port}" in text
    assert str(running.environ["NOCTIS_DATA_DIR"]) in text


def test_every_process_serves(running: product.Site) -> None:
    answer = running.get_json("/health/ready")
    assert answer["status"] == "ready"
    assert {check["name"] for check in answer["checks"]} == {
        "database", "receiver", "worker", "store",
    }  # fmt: skip
    assert running.get_json("/health/live") == {"status": "live"}
    assert set(running.children()) == {"web", "receiver", "worker"}
    socket.create_connection(("127.0.0.1", running.dicom_port), timeout=5).close()


def test_first_password_opens_the_site_and_is_kept_private(running: product.Site) -> None:
    kept = Path(running.environ["NOCTIS_DATA_DIR"]) / "initial-admin-password"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    username, _, password = kept.read_text().strip().partition(" / ")
    assert username == "admin"
    assert len(password) >= 16
    assert f"admin / {password}" in running.text()
    assert _sign_in(running, username, password) == 302
    assert _sign_in(running, username, password[::-1]) == 200


def test_commands_work_beside_it(running: product.Site) -> None:
    done = running.manage("add_facility", "North Clinic", "--code", "NORTH", "--aet", "CT_NORTH")
    assert done.returncode == 0, done.stderr
    metrics = running.get("/metrics")[1].decode()
    assert "\nnoctis_facilities 2\n" in metrics  # the site's own and this one


def test_second_start_on_the_same_data_is_refused(running: product.Site) -> None:
    environ = {**running.environ, "NOCTIS_WEB_PORT": str(product.free_port())}
    done = product.run([sys.executable, "-m", "noctis_pro.supervisor"], environ)
    assert done.returncode == 1
    assert f"already runs on {running.environ['NOCTIS_DATA_DIR']}" in done.stderr
    assert str(running.process.pid) in done.stderr


@pytest.mark.parametrize("name", ["worker", "receiver", "web"])
def test_what_dies_is_started_again(running: product.Site, name: str) -> None:
    before = running.children()[name]
    os.kill(before, signal.SIGKILL)
    running.wait_for(f"{name.capitalize()} ended (killed by SIGKILL); starting it again in 1 s.")
    running.wait_for(f"Starting {name} again.")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if running.children().get(name, before) != before:
            try:
                if running.get("/health/ready")[0] == 200:
                    return
            except OSError:
                pass  # the web process itself is on its way back
        time.sleep(0.1)
    pytest.fail(f"{name} is not back:\n{running.text()}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stops_cleanly_and_starts_again(tmp_path: Path, number: signal.Signals) -> None:
    environ = product.environment(tmp_path / "var", NOCTIS_ADMIN_PASSWORD="chosen by hand 7")
    databases.place(tmp_path / "var")
    with product.started(environ, tmp_path / "terminal") as here:
        here.wait_for("NoctisPro is ready")
        everything = product.descendants(here.process.pid)
        assert len(everything) >= 3
        assert here.stop(number) == 0
        assert product.wait_until_gone(everything, 0) == []
        assert here.text().rstrip().endswith("NoctisPro has stopped.")
        assert "Traceback" not in here.text()
    assert not (tmp_path / "var" / "initial-admin-password").exists()
    for port in (here.web_port, here.dicom_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)


def test_data_and_password_outlive_a_restart(tmp_path: Path) -> None:
    environ = product.environment(tmp_path / "var")
    databases.place(tmp_path / "var")
    with product.started(environ, tmp_path / "first") as here:
        here.wait_for("NoctisPro is ready")
        done = here.manage("add_facility", "North Clinic", "--code", "NORTH")
        assert done.returncode == 0, done.stderr
        here.stop(signal.SIGINT)
    kept = (tmp_path / "var" / "initial-admin-password").read_text()
    with product.started(environ, tmp_path / "second") as here:
        text = here.wait_for("NoctisPro is ready")
        assert (tmp_path / "var" / "initial-admin-password").read_text() == kept
        assert kept.strip() not in text
        assert f"first password in {tmp_path / 'var' / 'initial-admin-password'}" in text
        assert "\nnoctis_facilities 2\n" in here.get("/metrics")[1].decode()


def test_a_killed_supervisor_leaves_nothing_running(tmp_path: Path) -> None:
    databases.place(tmp_path / "var")
    with product.started(product.environment(tmp_path / "var"), tmp_path / "terminal") as here:
        here.wait_for("NoctisPro is ready")
        everything = product.descendants(here.process.pid)
        here.process.kill()
        here.process.wait()
        assert product.wait_until_gone(everything) == []


@pytest.mark.parametrize("name", ["NOCTIS_WEB_PORT", "DICOM_PORT"])
def test_a_taken_port_is_named(tmp_path: Path, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environ = product.environment(tmp_path / "var", **{name: str(port)})
        done = product.run([sys.executable, "-m", "noctis_pro.supervisor"], environ)
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use" in done.stderr
    assert f"{name}={port + 1} make run" in done.stderr
    assert not (tmp_path / "var" / "noctis.sqlite3").exists()


def test_a_foreign_address_is_named(tmp_path: Path) -> None:
    environ = product.environment(tmp_path / "var", NOCTIS_WEB_HOST="192.0.2.1")
    done = product.run([sys.executable, "-m", "noctis_pro.supervisor"], environ)
    assert done.returncode == 1
    assert "NOCTIS_WEB_HOST='192.0.2.1' cannot be listened on" in done.stderr


def test_a_site_that_cannot_be_prepared_says_so(tmp_path: Path) -> None:
    nobody = f"postgres://nobody@127.0.0.1:{product.free_port()}/nothing"
    environ = product.environment(tmp_path / "var", DATABASE_URL=nobody)
    done = product.run([sys.executable, "-m", "noctis_pro.supervisor"], environ)
    assert done.returncode == 1
    assert "The database cannot be reached" in done.stderr
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_that_never_starts_ends_the_attempt() -> None:
    chosen = config.load({"NOCTIS_WEB_PORT": str(product.free_port())})
    failing = Service("receiver", [sys.executable, "-c", "raise SystemExit(3)"])
    steady = Service("web", [sys.executable, "-c", "import time; time.sleep(60)"])
    here = Supervisor([failing, steady], dict(os.environ))
    here.start()
    assert steady.process is not None
    pid = steady.process.pid
    try:
        with pytest.raises(StartError, match="Receiver does not start"):
            supervisor.wait_until_ready(here, chosen)
        assert failing.falls == 3
    finally:
        here.stop()
    assert not product.is_running(pid)


def test_pauses_grow_and_a_healthy_time_makes_them_short_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now[0])
    service = Service("worker", [sys.executable, "-c", ""])
    here = Supervisor([service], dict(os.environ))
    here.start()
    pauses = []
    for _ in range(7):
        assert service.process is not None
        service.process.wait()
        here.watch()
        pauses.append(service.start_again_at - now[0])
        now[0] = service.start_again_at
        here.watch()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert service.process is not None
    service.process.wait()
    now[0] += 61
    here.watch()
    assert service.start_again_at - now[0] == 1


def test_a_second_wish_to_stop_kills_what_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_STOP_AFTER_S", 600)
    sign = tmp_path / "deaf"
    deaf = (
        "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(sign)!r}).touch()"
    )
    service = Service("worker", [sys.executable, "-c", f"{deaf}; time.sleep(60)"])
    here = Supervisor([service], dict(os.environ))
    here.start()
    assert service.process is not None
    deadline = time.monotonic() + 30
    while not sign.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)

    def again(*_: object) -> None:
        here.signals += 1

    previous = signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        here.stop()
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert service.process.returncode == -signal.SIGKILL


def test_make_run_starts_the_supervisor() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "run"],
        cwd=product.PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-m noctis_pro.supervisor" in done.stdout
