"""The layout of docs/operations.md: web and sidecar as processes of their own behind nginx.

The configuration and the commands are those of `ops/`; only names, ports and paths are replaced.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests import databases, product
from tests.dicom import make_instance, to_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOST = "pacs.example.org"
PASSWORD = "chosen by hand 7"
_SECURITY = ("Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy")


@dataclass
class Layout:
    """nginx's two ports."""

    https_port: int
    http_port: int
    data_dir: Path

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.https_port, timeout=30, context=context
        )
        try:
            connection.request(method, path, body, {"Host": HOST, **headers})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def sign_in(self) -> str:
        """Return the session's cookie."""
        _, headers, page = self.ask("GET", "/accounts/login/")
        token = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token is not None
        cookie = (headers["Set-Cookie"] or "").split(";")[0]
        form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token[1].decode()}
        status, headers, _ = self.ask(
            "POST",
            "/accounts/login/",
            urlencode(form).encode(),
            **{
                "Content-Type": "application/x-www-form-urlencoded",
                "Cookie": cookie,
                "Referer": f"https://{HOST}/accounts/login/",
            },
        )
        assert status == 302
        cookies = headers.get_all("Set-Cookie") or []
        session = next(c for c in cookies if c.startswith("noctis_session="))
        assert "Secure" in session
        assert "HttpOnly" in session
        return session.split(";")[0]


def _nginx_configuration(folder: Path, data_dir: Path, ports: dict[str, int]) -> str:
    text = (product.PROJECT / "ops" / "nginx.conf").read_text()
    for old, new in (
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{ports['web']};"),
        ("server 127.0.0.1:8001;", f"server 127.0.0.1:{ports['sidecar']};"),
        ("listen 80;", f"listen 127.0.0.1:{ports['http']};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{ports['https']} ssl http2;"),
        ("/etc/noctispro/tls/", f"{folder}/"),
        ("/var/log/nginx/noctis.log", f"{folder}/access.log"),
        ("/var/lib/noctispro/", f"{data_dir}/"),
    ):
        assert old in text, f"ops/nginx.conf no longer says {old!r}"
        text = text.replace(old, new)
    # Workers of a root's nginx run as nobody, who may not read this folder.
    user = "user root;" if data_dir.owner() == "root" else ""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"{user}\ndaemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\ninclude /etc/nginx/mime.types;\n{temporary}{text}\n}}\n"
    )


@contextmanager
def _process(command: list[str], environ: dict[str, str], output: Path) -> Iterator[None]:
    with output.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=product.PROJECT, env=environ, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield
        assert process.poll() is None, output.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _command(unit: str, **changes: str) -> list[str]:
    """Return what a unit of ops/ starts, with this environment's programs and these ports."""
    text = (product.PROJECT / "ops" / f"{unit}.service").read_text()
    line = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert line is not None
    command = line[1].replace("/opt/noctispro/.venv/bin", str(Path(sys.executable).parent))
    for old, new in changes.items():
        assert f" {old.removeprefix('_')} " in f"{command} "
        command = command.replace(f" {old.removeprefix('_')} ", f" {new} ")
    return command.split()


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin")
    assert nginx, "nginx is missing: apt-get install nginx"
    assert (product.PROJECT / "static/dist/.vite/manifest.json").is_file(), "run 'make frontend'"
    folder = tmp_path_factory.mktemp("layout")
    data_dir = folder / "var"
    ports = {name: product.free_port() for name in ("web", "sidecar", "http", "https")}
    environ = product.environment(
        data_dir,
        NOCTIS_ADMIN_PASSWORD=PASSWORD,
        ALLOWED_HOSTS=HOST,
        CSRF_TRUSTED_ORIGINS=f"https://{HOST}",
        SECURE_SSL_REDIRECT="1",
    )
    databases.place(data_dir)
    for arguments in (["prepare_site"], ["collectstatic", "--noinput", "-v", "0"]):
        done = product.run([sys.executable, "manage.py", *arguments], environ)
        assert done.returncode == 0, done.stderr
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            "-subj", f"/CN={HOST}", "-keyout", f"{folder}/privkey.pem",
            "-out", f"{folder}/fullchain.pem",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    configuration = folder / "nginx.conf"
    configuration.write_text(_nginx_configuration(folder, data_dir, ports))
    with ExitStack() as stack:
        web = _command("noctis-web", _8000=str(ports["web"]))
        sidecar = _command("noctis-sidecar", _8001=str(ports["sidecar"]))
        for name, command in (
            ("web", web),
            ("sidecar", sidecar),
            ("nginx", [nginx, "-c", str(configuration)]),
        ):
            stack.enter_context(_process(command, environ, folder / f"{name}.log"))
        here = Layout(ports["https"], ports["http"], data_dir)
        deadline = time.monotonic() + 90
        while True:
            try:
                answers = [here.ask("GET", path)[0] for path in ("/health/live", "/api/docs")]
            except OSError:
                answers = []
            if answers and max(answers) < 500:
                break
            logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
            assert time.monotonic() < deadline, logs
            time.sleep(0.2)
        yield here


def test_plain_http_leads_to_https(layout: Layout) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", layout.http_port, timeout=10)
    connection.request("GET", "/worklist/studies/?x=1", headers={"Host": HOST})
    response = connection.getresponse()
    assert response.status == 308
    assert response.headers["Location"] == f"https://{HOST}/worklist/studies/?x=1"
    connection.close()


def test_pages_come_from_the_web_process(layout: Layout) -> None:
    session = layout.sign_in()
    status, _, page = layout.ask("GET", "/worklist/studies/", Cookie=session)
    assert status == 200
    assert b"NoctisPro" in page


def test_the_sidecar_takes_what_a_program_sends(layout: Layout) -> None:
    login = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    boundary = "b0undary"
    part = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.dcm"\r\n'
        "Content-Type: application/dicom\r\n\r\n"
    ).encode()
    body = part + to_bytes(make_instance()) + f"\r\n--{boundary}--\r\n".encode()
    status, headers, answer = layout.ask(
        "POST",
        "/api/v1/dicom/upload",
        body,
        **{
            "Authorization": f"Basic {login}",
            "Content-Type": f"multipart/form-data; boundary={boundary}",
        },
    )
    assert status == 200, answer
    assert json.loads(answer)["status"] == "uploaded"
    assert headers["Server"] == "nginx"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/accounts/login/", 200), ("/worklist/studies/", 302), ("/api/v1/dicom/studies", 401)],
)
def test_security_headers_come_once(layout: Layout, path: str, status: int) -> None:
    found, headers, _ = layout.ask("GET", path, Accept="application/json, text/html")
    assert found == status
    for name in _SECURITY:
        assert len(headers.get_all(name) or []) == 1, name
    assert "Django" not in str(headers)
    assert not re.search(r"\d", headers["Server"])


@pytest.mark.parametrize(
    ("path", "status"), [("/static/dist/assets/gone.js", 404), ("/metrics%", 400)]
)
def test_what_nginx_answers_itself_has_them_too(layout: Layout, path: str, status: int) -> None:
    found, headers, body = layout.ask("GET", path)
    assert found == status
    for name in (*_SECURITY, "X-Frame-Options"):
        assert len(headers.get_all(name) or []) == 1, name
    assert not re.search(rb"nginx/\d", body)


def test_built_files_are_served_for_good(layout: Layout) -> None:
    built = json.loads((product.PROJECT / "static/dist/.vite/manifest.json").read_text())
    entry = built["src/site/main.ts"]["file"]
    status, headers, body = layout.ask("GET", f"/static/dist/{entry}")
    assert status == 200
    assert body == (product.PROJECT / "static/dist" / entry).read_bytes()
    assert "immutable" in str(headers.get_all("Cache-Control"))
    assert headers["Content-Type"].startswith(("application/javascript", "text/javascript"))
    for name in (*_SECURITY, "X-Frame-Options"):
        assert len(headers.get_all(name) or []) == 1, name


def test_events_pass_through(layout: Layout) -> None:
    session = layout.sign_in()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def socket(origin: str) -> object:
        return connect(
            f"wss://{HOST}/ws/events/",
            ssl=context,
            origin=origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": session},
            server_hostname=HOST,
            address=("127.0.0.1", layout.https_port),
            proxy=None,
        )

    with socket(f"https://{HOST}") as events:  # type: ignore[attr-defined]
        assert json.loads(events.recv(timeout=20))["type"] == "hello"
    with pytest.raises(InvalidStatus, match="403"):
        socket("https://evil.example.org")


def test_metrics_through_nginx_need_an_administrator(layout: Layout) -> None:
    assert layout.ask("GET", "/metrics", Accept="text/plain")[0] == 401
    session = layout.sign_in()
    status, _, body = layout.ask("GET", "/metrics", Cookie=session)
    assert status == 200
    assert b"noctis_instances" in body


def test_the_log_keeps_no_query(layout: Layout) -> None:
    layout.ask("GET", "/api/v1/dicom/studies?PatientName=Secretname")
    log = (layout.data_dir.parent / "access.log").read_text()
    assert "/api/v1/dicom/studies" in log
    assert "Secretname" not in log


def test_units_are_right_and_confined() -> None:
    units = sorted((product.PROJECT / "ops").glob("noctis*"))
    assert {unit.name for unit in units} >= {
        "noctis-dicom.service", "noctis-sidecar.service", "noctis-web.service",
        "noctis-worker.service", "noctis.target",
    }  # fmt: skip
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing: apt-get install systemd"
    done = product.run([analyze, "verify", "--man=no", *map(str, units)], {"PATH": "/usr/bin:/bin"})
    # Our own programs are not installed where the units expect them; nothing else may be wrong.
    others = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert others == []
    for unit in units:
        if unit.suffix != ".service":
            continue
        report = product.run(
            [analyze, "security", "--offline=yes", "--threshold=20", str(unit)],
            {"PATH": "/usr/bin:/bin"},
        )
        assert report.returncode == 0, report.stdout[-400:]
