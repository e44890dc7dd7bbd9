"""`backup` while instances come in, `restore` elsewhere: sites of their own, real processes."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings

from tests import databases
from tests.dicom import make_instance, to_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Site:
    """A data directory and its commands."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "media" / "dicom"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=settings.BASE_DIR,
            env={**os.environ, "NOCTIS_DATA_DIR": str(self.folder), "NOCTIS_DEMO": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=300)
        return process.returncode, said

    def stored(self) -> dict[str, str]:
        with sqlite3.connect(self.folder / "noctis.sqlite3") as database:
            rows = database.execute("SELECT storage_key, sha256 FROM worklist_dicomimage")
            return dict(rows.fetchall())

    def names(self) -> set[str]:
        """Return the names that parts are looked for in, whose index must be sound."""
        code, said = self.run("shell", "-c", "from archive import name_index as n; n.index_new()")
        assert code == 0, said
        with sqlite3.connect(self.folder / "noctis.sqlite3") as database:
            # Raises where the trigrams are not those of the names.
            database.execute(
                "INSERT INTO worklist_studyname_parts (worklist_studyname_parts, rank) "
                "VALUES ('integrity-check', 1)"
            )
            return {name for (name,) in database.execute("SELECT name FROM worklist_studyname")}

    def names_of_studies(self) -> set[str]:
        with sqlite3.connect(self.folder / "noctis.sqlite3") as database:
            rows = database.execute("SELECT DISTINCT patient_name_folded FROM worklist_study")
            return {name for (name,) in rows}


def write_files(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        made = make_instance(InstanceNumber=number, PatientName=f"{folder.name}^{number}")
        (folder / f"{number}.dcm").write_bytes(to_bytes(made))
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "site")
    databases.place(made.folder)
    code, said = made.run("prepare_site")
    assert code == 0, said
    code, said = made.run("import_dicom", str(write_files(tmp_path / "first", 20)))
    assert code == 0, said
    return made


def test_a_backup_while_instances_come_in_is_whole(site: Site, tmp_path: Path) -> None:
    answered_before = set(site.stored())
    coming = site.start("import_dicom", str(write_files(tmp_path / "second", 150)))
    code, said = site.run("backup", str(tmp_path / "copy"))
    assert code == 0, said
    coming.communicate(timeout=300)
    assert coming.returncode == 0

    elsewhere = Site(tmp_path / "elsewhere")
    code, said = elsewhere.run("restore", str(tmp_path / "copy"))
    assert code == 0, said
    assert answered_before <= set(elsewhere.stored())
    code, said = elsewhere.run("verify_storage", "--full")
    assert code == 0, said
    assert (elsewhere.folder / "secret-key").read_bytes() == (
        site.folder / "secret-key"
    ).read_bytes()
    code, said = elsewhere.run("prepare_site")
    assert code == 0, said
    names = elsewhere.names()
    assert len(names) >= 20
    assert names == elsewhere.names_of_studies()

    # Again into the same folder: what came since, and nothing that is gone.
    gone = next(iter(answered_before))
    with sqlite3.connect(site.folder / "noctis.sqlite3") as database:
        database.execute("DELETE FROM worklist_dicomimage WHERE storage_key = ?", [gone])
    before = json.loads((tmp_path / "copy" / "backup.json").read_text())["files"]
    code, said = site.run("backup", str(tmp_path / "copy"))
    assert code == 0, said
    assert f"{170 - 1} files" in said
    assert f"{170 - before} of them new" in said
    assert "1 removed" in said
    assert not (tmp_path / "copy" / "dicom" / gone).exists()
    checked = subprocess.run(
        ["sha256sum", "--quiet", "-c", "files.sha256"],
        cwd=tmp_path / "copy",
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_a_restore_overwrites_nothing_and_checks_everything(site: Site, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert site.run("backup", str(copy))[0] == 0
    code, said = site.run("restore", str(copy))
    assert code != 0
    assert "Nothing was overwritten" in said
    assert len(site.stored()) == 20

    occupied = Site(tmp_path / "occupied")
    occupied.store.mkdir(parents=True)
    (occupied.store / "x.dcm").write_bytes(b"x")
    assert "Nothing was overwritten" in occupied.run("restore", str(copy))[1]

    code, said = Site(tmp_path / "none").run("restore", str(tmp_path / "first"))
    assert code != 0
    assert "no complete backup" in said

    # One file of the copy is damaged (its own: the others are links to the site's).
    key = next(iter(site.stored()))
    bad = copy / "dicom" / key
    content = bytearray(bad.read_bytes())
    content[-5] ^= 1
    bad.unlink()
    bad.write_bytes(content)
    elsewhere = Site(tmp_path / "elsewhere")
    code, said = elsewhere.run("restore", str(copy))
    assert code == 1
    assert "1 files are missing or damaged" in said
    assert key in said
    assert not (elsewhere.store / key).exists()

    database = copy / "noctis.sqlite3"
    content = bytearray(database.read_bytes())
    content[-1] ^= 1
    database.write_bytes(content)
    code, said = Site(tmp_path / "third").run("restore", str(copy))
    assert code != 0
    assert "is damaged" in said


def test_a_restore_that_was_cut_off_is_run_again(site: Site, tmp_path: Path) -> None:
    copy, elsewhere = tmp_path / "copy", Site(tmp_path / "elsewhere")
    assert site.run("backup", str(copy))[0] == 0
    # Cut off half-way: the database's copy cannot be put where a folder is.
    (elsewhere.folder / "noctis.sqlite3.part").mkdir(parents=True)
    assert elsewhere.run("restore", str(copy))[0] != 0
    assert not (elsewhere.folder / "noctis.sqlite3").exists()
    (elsewhere.folder / "noctis.sqlite3.part").rmdir()
    code, said = elsewhere.run("restore", str(copy))
    assert code == 0, said
    assert elsewhere.stored() == site.stored()


def test_a_backup_tells_of_damage_and_minds_where_it_goes(site: Site, tmp_path: Path) -> None:
    key = next(iter(site.stored()))
    path = site.store / key
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    code, said = site.run("backup", str(tmp_path / "copy"))
    assert code == 1
    assert f"dicom/{key}" in said
    assert "inside the store" in site.run("backup", str(site.store / "copy"))[1]
    shutil.copytree(tmp_path / "first", tmp_path / "busy")
    assert "something else" in site.run("backup", str(tmp_path / "busy"))[1]


def test_damage_is_mended_from_a_backup(site: Site, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert site.run("backup", str(copy))[0] == 0
    changed, missing = list(site.stored())[:2]
    path = site.store / changed
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"!")
    (site.store / missing).unlink()
    code, said = site.run("verify_storage", "--full")
    assert code == 1
    code, said = site.run("verify_storage", "--full", "--mend-from", str(copy))
    assert code == 0, said
    assert "mended 2 damaged files, 0 are left" in said
    assert path.read_bytes() == content


def test_a_drill_tries_a_backup_and_leaves_nothing(site: Site, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert site.run("backup", str(copy))[0] == 0
    before = site.stored(), sorted(p.name for p in tmp_path.iterdir())
    code, said = site.run("restore_drill", str(copy))
    assert code == 0, said
    assert "20 files came back" in said
    assert "The audit trail is as it was written." in said
    assert "Drew the newest pictures of: CT." in said
    assert (site.stored(), sorted(p.name for p in tmp_path.iterdir())) == before

    bad = copy / "dicom" / next(iter(site.stored()))
    content = bytearray(bad.read_bytes())
    content[-5] ^= 1
    bad.unlink()
    bad.write_bytes(content)
    code, said = site.run("restore_drill", str(copy))
    assert code == 1
    assert "restore failed" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == before[1]
    code, said = site.run("restore_drill", str(tmp_path / "first"))
    assert code == 1
    assert "no complete backup" in said
