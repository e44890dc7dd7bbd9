"""The product under load while its processes are killed: what was answered must be there.

`python -m tests.siege --minutes 480` (or `make soak`) goes on for hours and prints what memory,
descriptors and threads do; `tests/flows/test_siege.py` runs a short one.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.uid import generate_uid

from tests import databases, product
from tests.dicom import make_instance, to_bytes
from tests.pdu import (
    CT,
    EXPLICIT_LE,
    AbortedError,
    RawPeer,
    RejectedError,
    read_part10,
)

SENDERS = 3
VICTIMS = ("receiver", "web", "worker")
_FACILITY, _AE_TITLE = "SIEGE", "SIEGE_CT"
_MOST_SILENT_S = 60


@dataclass
class Ledger:
    """SHA-256 of every data set that was answered with success, by SOP Instance UID."""

    answered: dict[str, str] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note_sent(self, uid: str, data: bytes) -> None:
        with self._lock:
            self.sent[uid] = hashlib.sha256(data).hexdigest()

    def note_answered(self, uid: str) -> None:
        with self._lock:
            self.answered[uid] = self.sent[uid]


class Site:
    """The processes of the embedded default, each started and killed by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "var"
        self.environ = product.environment(self.data_dir, NOCTIS_ADMIN_USER="boss")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.port = int(self.environ["DICOM_PORT"])
        self.web_port = int(self.environ["NOCTIS_WEB_PORT"])
        python = sys.executable
        self._commands = {
            "web": [
                python, "-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(self.web_port),
                "noctis_pro.asgi:application",
            ],
            "receiver": [python, "dicom_receiver.py", "--port", str(self.port)],
            "worker": [python, "manage.py", "run_jobs"],
        }  # fmt: skip

    def manage(self, *arguments: str, **options: object) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = product.run(command, self.environ, **{"timeout": 600, **options})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def prepare(self) -> str:
        """Make the database, a facility and a token; returns the token."""
        databases.place(self.data_dir)
        self.manage("prepare_site")
        title = ("--aet", _AE_TITLE)
        self.manage("add_facility", "Siege Clinic", "--code", _FACILITY, *title)
        return self.manage("add_token", "boss").split()[-1]

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                self._commands[name],
                cwd=product.PROJECT,
                env=self.environ,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """End a process and what it started (decoders) as the kernel would: at once."""
        process = self.processes[name]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)

    def rows(self, query: str) -> list[dict[str, object]]:
        path = self.data_dir / "noctis.sqlite3"
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query)]

    def output(self) -> str:
        return "\n".join(p.read_text(errors="replace")[-4000:] for p in self.folder.glob("*.out"))


def _make(rng: random.Random, study: str) -> tuple[str, bytes]:
    dataset = make_instance(StudyInstanceUID=study, PatientID=study[-8:])
    # No two alike, and of the sizes that real equipment sends.
    dataset.ImageComments = rng.randbytes(rng.choice((8, 400, 4000))).hex()[:10240]
    return str(dataset.SOPInstanceUID), to_bytes(dataset)


class Siege:
    """Senders by C-STORE and by HTTP, and whoever kills."""

    def __init__(self, site: Site, token: str, seed: int = 5) -> None:
        self.site = site
        self.ledger = Ledger()
        self.token = token
        self.stopping = threading.Event()
        self.kills: dict[str, int] = dict.fromkeys(VICTIMS, 0)
        self.troubles: list[str] = []
        self._rng = random.Random(seed)  # noqa: S311 - the same moments every time

    def run(self, go_on: Callable[[], bool], watch: Callable[[], None] = lambda: None) -> None:
        """Send and kill as long as `go_on` says; then let everything come to rest."""
        threads = [threading.Thread(target=self._send_dimse, args=(n,)) for n in range(SENDERS)]
        threads.append(threading.Thread(target=self._send_http))
        for name in VICTIMS:
            self.site.start(name)
        for thread in threads:
            thread.start()
        try:
            while go_on():
                self._wait_for_more()
                self.stopping.wait(self._rng.uniform(0.0, 0.5))
                victim = self._rng.choice(VICTIMS)
                self.site.kill(victim)
                self.kills[victim] += 1
                watch()
                self.site.start(victim)
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join(timeout=60)

    def _wait_for_more(self) -> None:
        before = len(self.ledger.answered)
        deadline = time.monotonic() + _MOST_SILENT_S
        while len(self.ledger.answered) < before + 5:
            assert time.monotonic() < deadline, f"nothing is answered\n{self.site.output()}"
            self.stopping.wait(0.02)

    def _send_dimse(self, number: int) -> None:
        rng = random.Random(number)  # noqa: S311
        study = generate_uid()
        while not self.stopping.is_set():
            try:
                with RawPeer(
                    self.site.port, [(CT, [EXPLICIT_LE])], calling=_AE_TITLE, timeout_s=5
                ) as peer:
                    while not self.stopping.is_set():
                        uid, raw = _make(rng, study)
                        data = read_part10(raw).data
                        self.ledger.note_sent(uid, data)
                        answer = peer.store(CT, uid, data)
                        if answer.status == 0:
                            self.ledger.note_answered(uid)
                        else:
                            self.troubles.append(f"C-STORE 0x{answer.status:04X} {answer.comment}")
            except (OSError, AbortedError, RejectedError):
                self.stopping.wait(0.05)

    def _send_http(self) -> None:
        rng = random.Random(99)  # noqa: S311
        study = generate_uid()
        while not self.stopping.is_set():
            uid, raw = _make(rng, study)
            self.ledger.note_sent(uid, read_part10(raw).data)
            try:
                status = self._upload(raw)
            except (OSError, http.client.HTTPException):
                self.stopping.wait(0.05)
                continue
            if status == 200:
                self.ledger.note_answered(uid)
            else:
                self.troubles.append(f"HTTP {status}")

    def _upload(self, raw: bytes) -> int:
        edge = "siege-boundary"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="facility"\r\n\r\n{_FACILITY}\r\n'
        head += f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="a.dcm"\r\n\r\n'
        body = head.encode() + raw + f"\r\n--{edge}--\r\n".encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.site.web_port, timeout=10)
        try:
            connection.request(
                "POST",
                "/api/v1/dicom/upload",
                body,
                {
                    "Authorization": f"Bearer {self.token}",
                    "Content-Type": f"multipart/form-data; boundary={edge}",
                },
            )
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def wait_until_ready(self, timeout_s: float = 60) -> None:
        """Wait until the whole site says that it serves."""
        deadline = time.monotonic() + timeout_s
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.site.web_port, timeout=5)
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/health/ready")
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    connection.close()
                    return
            connection.close()
            assert time.monotonic() < deadline, f"not ready\n{self.site.output()}"
            time.sleep(0.1)

    def verify(self) -> None:
        """Compare the archive with the ledger, byte for byte; raises AssertionError."""
        found = {}
        store = self.site.data_dir / "media" / "dicom"
        for row in self.site.rows("SELECT * FROM worklist_dicomimage"):
            raw = (store / str(row["storage_key"])).read_bytes()
            assert hashlib.sha256(raw).hexdigest() == row["sha256"]
            data = hashlib.sha256(read_part10(raw).data).hexdigest()
            found[str(row["sop_instance_uid"])] = data
        lost = self.ledger.answered.keys() - found.keys()
        assert not lost, f"{len(lost)} of {len(self.ledger.answered)} answered are lost"
        # Answered or not: what is there is what was sent.
        changed = [uid for uid, digest in found.items() if digest != self.ledger.sent[uid]]
        assert not changed, f"{len(changed)} are not what was sent"
        self.site.manage("verify_storage", "--full")
        counts = self.site.rows(
            "SELECT s.instance_count AS told, (SELECT count(*) FROM worklist_dicomimage i "
            "JOIN worklist_series e ON e.id = i.series_id WHERE e.study_id = s.id) AS counted "
            "FROM worklist_study s"
        )
        assert all(row["told"] == row["counted"] for row in counts), counts


def measure(pid: int) -> Mapping[str, int]:
    """Return memory (KiB), threads and open descriptors of a process."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "rss_kib": int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def main() -> None:
    """Besiege for hours; one JSON line every minute, the verdict at the end."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=480)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noctis-siege-") as folder:
        site = Site(Path(folder))
        siege = Siege(site, site.prepare(), seed=int(time.time()))
        until = time.monotonic() + chosen.minutes * 60
        told = [time.monotonic()]

        def watch() -> None:
            if time.monotonic() - told[0] < 60:
                return
            told[0] = time.monotonic()
            facts = {
                name: measure(process.pid)
                for name, process in site.processes.items()
                if process.poll() is None
            }
            kills = sum(siege.kills.values())
            print(json.dumps({"answered": len(siege.ledger.answered), "kills": kills, **facts}))

        try:
            siege.run(lambda: time.monotonic() < until, watch)
            siege.verify()
        finally:
            site.stop()
        kills, answered = sum(siege.kills.values()), len(siege.ledger.answered)
        print(f"{kills} kills, {answered} instances answered: none lost, none changed.")


if __name__ == "__main__":
    main()
