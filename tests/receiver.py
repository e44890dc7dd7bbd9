"""The receiver as a process of its own, on a database and a store of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import databases
from tests.pdu import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION, RawPeer

PROJECT = Path(__file__).resolve().parents[1]
_LISTENS = re.compile(r"listens on \S+ port (\d+)")

# Senders that the tests use; SOUTH calls from elsewhere, EAST is switched off.
PREPARE = """
from django.core.management import call_command
call_command("migrate", verbosity=0, skip_checks=True)
from archive.access import system_actor
from archive.facilities import FacilityDraft, save_facility
from worklist.models import Facility
me = system_actor("tests")
titles = ["CT_NORTH", "STORESCU", "ECHOSCU"] + [f"CT_{n}" for n in range(16)]
save_facility(me, FacilityDraft(code="NORTH", name="North Clinic", ae_titles=titles))
south = FacilityDraft(
    code="SOUTH", name="South Clinic", ae_titles=["CT_SOUTH"], address_ranges=["10.99.0.0/16"]
)
save_facility(me, south)
save_facility(me, FacilityDraft(code="EAST", name="East Clinic", ae_titles=["CT_EAST"]))
save_facility(me, FacilityDraft(code="WEST", name="West Clinic", ae_titles=["CT_WEST"]))
Facility.objects.filter(code="EAST").update(is_active=False)
"""


def _environment(data_dir: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NOCTIS_", "DICOM_", "PACS_", "DATABASE_", "DJANGO_", "COV_"))
    }
    environment |= {
        "NOCTIS_DATA_DIR": str(data_dir),
        "DICOM_SCP_HOST": "127.0.0.1",
        "DJANGO_SETTINGS_MODULE": "tests.receiver_settings",
        "NOCTIS_TEST_SETTINGS": json.dumps(dict(settings)),
        "PYTHONPATH": str(PROJECT),
    }
    return environment


def run_python(
    data_dir: Path,
    code: str,
    settings: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> str:
    """Run code under the product's settings on the data directory of a receiver."""
    done = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{code}"],
        env=_environment(data_dir, settings or {}) | dict(environment or {}),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class ReceiverSite:
    """A data directory, and the receiver process on it.

    Parameters
    ----------
    settings : Django settings that differ from the product's
    wrapper : a command that runs the receiver, such as strace's
    environment : further variables of the receiver
    """

    def __init__(
        self,
        data_dir: Path,
        settings: Mapping[str, Any] | None = None,
        wrapper: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.environment = dict(environment or {})
        self.settings = dict(settings or {})
        self.wrapper = list(wrapper)
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._runs = 0

    def start(self, *arguments: str) -> None:
        self._runs += 1
        out = self.data_dir / f"receiver-{self._runs}.out"
        with out.open("wb") as handle:
            self.process = subprocess.Popen(
                [*self.wrapper, sys.executable, "dicom_receiver.py", "--port", "0", *arguments],
                env=_environment(self.data_dir, self.settings) | self.environment,
                cwd=PROJECT,
                stdout=handle,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            found = _LISTENS.search(out.read_text())
            if found:
                self.port = int(found[1])
                return
            assert self.process.poll() is None, out.read_text()
            time.sleep(0.02)
        pytest.fail(f"The receiver did not start: {out.read_text()}")

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The receiver's own process, below a wrapper."""
        assert self.process is not None
        if not self.wrapper:
            return self.process.pid
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        # Some wrappers become the receiver, others have it as their child.
        return int(children.split()[0]) if children else self.process.pid

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait(timeout=10)

    def stop(self) -> int:
        """Ask it to stop, as a supervisor does; returns the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=5)
                pytest.fail("The receiver did not stop on SIGTERM.")
        return self.process.returncode

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with contextlib.closing(sqlite3.connect(self.data_dir / "noctis.sqlite3")) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, values)]

    def images(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM worklist_dicomimage ORDER BY received_at")

    @property
    def store(self) -> Path:
        return self.data_dir / "media" / "dicom"

    def stored_files(self) -> set[str]:
        """Every file of the layout, by key."""
        return {
            path.relative_to(self.store).as_posix()
            for path in self.store.glob("??/??/*")
            if path.is_file()
        }

    def spooled_files(self) -> list[Path]:
        """What is under way: a journal is always there while the receiver lives."""
        return [
            path
            for path in (self.store / "spool").glob("*")
            if path.is_file() and not path.name.startswith("journal-")
        ]

    def journals(self) -> list[Path]:
        return sorted((self.store / "spool").glob("journal-*.log"))

    def ready_journals(self) -> list[Path]:
        """Those that take instances: the head is written when all blocks are on the disk."""
        return [path for path in self.journals() if path.read_bytes()[:8] == b"NPsegmt1"]

    def log(self) -> str:
        return "".join(
            path.read_text(errors="replace")
            for path in sorted(self.data_dir.glob("receiver-*.out"))
        )

    def peer(self, *args: Any, **keywords: Any) -> RawPeer:
        return RawPeer(self.port, *args, **keywords)

    def echo(self, calling: str = "ECHOSCU") -> float:
        """A lawful echo on an association of its own; returns its seconds."""
        began = time.monotonic()
        with self.peer([(VERIFICATION, [IMPLICIT_LE])], calling=calling, timeout_s=10) as peer:
            assert peer.echo().status == 0
            peer.release()
        return time.monotonic() - began

    def peak_mib(self) -> float:
        """The most memory that the process ever held."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def run_python(self, code: str) -> str:
        return run_python(self.data_dir, code, self.settings, self.environment)

    def eventually(self, look: Callable[[], Any], timeout_s: float = 10) -> Any:
        """Wait until `look` finds something; returns it."""
        deadline = time.monotonic() + timeout_s
        while not (found := look()):
            assert time.monotonic() < deadline, f"nothing came\n{self.log()}"
            time.sleep(0.05)
        return found

    def is_at_rest(self) -> bool:
        """Whether what was begun is stored: no file waits for its row, and nothing is spooled."""
        files = self.stored_files()
        return self.spooled_files() == [] and files == {r["storage_key"] for r in self.images()}

    def assert_consistent(self) -> None:
        """Every row has its file, every file its row, and nothing is left in the spool."""
        keys = {row["storage_key"] for row in self.images()}
        assert keys == self.stored_files()
        assert self.spooled_files() == []
        if self.process is not None and self.process.returncode == 0:
            assert self.journals() == []
        counted = self.rows("SELECT coalesce(sum(instance_count), 0) AS n FROM worklist_study")
        assert counted[0]["n"] == len(keys)


@pytest.fixture(scope="session")
def receiver_template() -> Path:
    """A migrated database with facilities, made once for all workers."""
    return databases.once("receiver", _make_template)


def _make_template(folder: Path) -> None:
    databases.place(folder)
    run_python(folder, PREPARE)
    with contextlib.closing(sqlite3.connect(folder / "noctis.sqlite3")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.fixture(scope="session")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Make folders for sites; tests for which the disk matters have others."""
    return lambda: tmp_path_factory.mktemp("receiver")


@pytest.fixture(scope="session")
def make_site(
    receiver_template: Path, new_folder: Callable[[], Path]
) -> Iterator[Callable[..., ReceiverSite]]:
    """Make sites; whatever still runs at the end is ended."""
    sites: list[ReceiverSite] = []

    def make(
        settings: Mapping[str, Any] | None = None,
        wrapper: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> ReceiverSite:
        folder = new_folder()
        shutil.copytree(receiver_template, folder, dirs_exist_ok=True)
        site = ReceiverSite(folder, settings, wrapper, environment)
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.stop()


@pytest.fixture(scope="module")
def receiver(make_site: Callable[..., ReceiverSite]) -> Iterator[ReceiverSite]:
    """A running receiver that the tests of a module share; they tell their data by its UIDs.

    At the end it must be alive, without any traceback, its rows and files in accord.
    """
    yield from run_receiver(make_site())


def run_receiver(site: ReceiverSite) -> Iterator[ReceiverSite]:
    """Start a site, and look at its end at what it must leave."""
    site.start()
    yield site
    assert site.is_alive, site.log()
    assert site.stop() == 0
    assert "Traceback" not in site.log(), site.log()
    site.assert_consistent()


__all__ = [
    "CT", "EXPLICIT_LE", "ReceiverSite", "make_site", "new_folder", "receiver", "receiver_template",
]  # fmt: skip
