"""Backups by the clock: when they are due, what stays, what is recorded."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from archive import backup, chores
from archive.errors import ConflictError
from archive.models import AuditSeal, Chore, ChoreKind
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def schedule(tmp_path: Path, settings: Any, store: Path) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    settings.BACKUP_DIR = tmp_path / "backups"
    settings.BACKUP_AT = (2, 30)
    settings.BACKUP_KEEP = 2
    settings.DRILL_EVERY_DAYS = 7
    settings.DRILL_DATABASE_URL = "postgres://drill"
    return settings.BACKUP_DIR  # type: ignore[no-any-return]


def ended(kind: ChoreKind, at: datetime, *, is_ok: bool = True) -> Chore:
    return Chore.objects.create(
        kind=kind, process="here:1", started_at=at, finished_at=at, is_ok=is_ok
    )


def back_up_at(monkeypatch: pytest.MonkeyPatch, at: datetime) -> Path:
    monkeypatch.setattr(chores.timezone, "now", lambda: at)
    folder, _ = chores.back_up()
    monkeypatch.undo()
    return folder


DAY = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)


def test_backups_are_whole_linked_and_rotated(
    schedule: Path, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    factories.store_bytes(to_bytes(make_instance()), facility)
    first = back_up_at(monkeypatch, DAY)
    factories.store_bytes(to_bytes(make_instance()), facility)
    cut_off = schedule / "noctis-20260302-010000"
    (cut_off / "dicom").mkdir(parents=True)
    foreign = schedule / "mine"
    foreign.mkdir()
    second = back_up_at(monkeypatch, DAY + timedelta(days=1))
    assert {p.name for p in schedule.iterdir()} == {first.name, second.name, "mine"}
    key = DicomImage.objects.order_by("pk")[0].storage_key
    # The older backup's file, not the store's: that one's disk may be another.
    assert (first / "dicom" / key).samefile(second / "dicom" / key)
    row = chores.last(ChoreKind.BACKUP, is_ok=True)
    assert row is not None
    assert row.text.startswith("2 files, 1 of them new")
    third = back_up_at(monkeypatch, DAY + timedelta(days=2))
    assert chores.complete_backups() == [third, second]
    assert (third / "dicom" / key).read_bytes()
    assert json.loads((third / backup.MANIFEST).read_text())["files"] == 2


def test_a_damaged_backup_is_recorded_and_removes_nothing(
    schedule: Path, facility: Facility, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule.parent.joinpath("data").mkdir()
    folders = [back_up_at(monkeypatch, DAY + timedelta(days=n)) for n in range(2)]
    factories.store_bytes(to_bytes(make_instance()), facility)
    (store / DicomImage.objects.get().storage_key).write_bytes(b"other")
    bad = back_up_at(monkeypatch, DAY + timedelta(days=2))
    assert {p.name for p in schedule.iterdir()} == {f.name for f in (*folders, bad)}
    row = chores.last(ChoreKind.BACKUP)
    assert row is not None
    assert row.is_ok is False
    assert "1 files are not what was stored" in row.text


def test_only_one_of_a_kind_runs(schedule: Path) -> None:
    with chores.recorded(ChoreKind.BACKUP), pytest.raises(ConflictError, match="runs already"):
        chores.back_up()
    assert list(Chore.objects.values_list("is_ok", flat=True)) == [False]


def test_a_database_that_is_not_migrated_yet_can_be_backed_up(schedule: Path) -> None:
    with connection.schema_editor() as editor:
        editor.delete_model(Chore)
    try:
        folder, _ = chores.back_up()
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(Chore)
    assert chores.complete_backups() == [folder]


def test_a_run_that_breaks_off_says_why(schedule: Path) -> None:
    with pytest.raises(OSError, match="No space"), chores.recorded(ChoreKind.BACKUP):
        raise OSError(28, "No space left on device")
    assert "No space left" in Chore.objects.get().text


def test_backups_are_due_at_their_hour(schedule: Path, settings: Any) -> None:
    assert chores.next_at(ChoreKind.BACKUP) is not None
    ended(ChoreKind.BACKUP, datetime(2026, 3, 1, 2, 30, 5, tzinfo=UTC))
    assert chores.next_at(ChoreKind.BACKUP) == datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
    ended(ChoreKind.BACKUP, datetime(2026, 3, 2, 1, 0, tzinfo=UTC))
    assert chores.next_at(ChoreKind.BACKUP) == datetime(2026, 3, 2, 2, 30, tzinfo=UTC)
    failed = ended(ChoreKind.BACKUP, datetime(2026, 3, 2, 2, 30, tzinfo=UTC), is_ok=False)
    assert chores.next_at(ChoreKind.BACKUP) == failed.started_at + timedelta(hours=1)
    settings.BACKUP_DIR = None
    failed.delete()
    assert chores.next_at(ChoreKind.BACKUP) is None


def test_drills_follow_backups(schedule: Path, settings: Any) -> None:
    assert chores.next_at(ChoreKind.DRILL) is None
    good = ended(ChoreKind.BACKUP, DAY)
    assert chores.next_at(ChoreKind.DRILL) == good.finished_at
    drill = ended(ChoreKind.DRILL, DAY + timedelta(hours=1))
    assert chores.next_at(ChoreKind.DRILL) == drill.started_at + timedelta(days=7)
    settings.DRILL_EVERY_DAYS = 0
    assert chores.next_at(ChoreKind.DRILL) is None


def test_the_trail_is_checked_from_its_second_day_on(
    tmp_path: Path, settings: Any, facility: Facility
) -> None:
    from archive import seals

    settings.DATA_DIR, settings.SIGNING_KEY = tmp_path, ""
    assert chores.next_at(ChoreKind.AUDIT) is None
    made = seals.seal()
    assert made is not None
    assert chores.next_at(ChoreKind.AUDIT) == made.sealed_at + timedelta(days=1)
    call_command("verify_audit", stdout=StringIO())
    row = chores.last(ChoreKind.AUDIT)
    assert row is not None
    assert row.is_ok
    AuditSeal.objects.update(event_count=99)
    with pytest.raises(SystemExit):
        call_command("verify_audit", stdout=StringIO())
    row = chores.last(ChoreKind.AUDIT)
    assert row is not None
    assert "Seal 1 was changed" in row.text


def test_commands_by_hand_are_recorded_too(schedule: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    call_command("backup", str(tmp_path / "by-hand"), stdout=StringIO())
    row = chores.last(ChoreKind.BACKUP)
    assert row is not None
    assert (row.is_ok, row.folder) == (True, str(tmp_path / "by-hand"))
    assert timezone.now() - row.started_at < timedelta(minutes=1)


def test_without_a_folder_the_schedule_says_what_to_set(schedule: Path, settings: Any) -> None:
    settings.BACKUP_DIR = None
    with pytest.raises(CommandError, match="NOCTIS_BACKUP_DIR"):
        call_command("scheduled_backup")
