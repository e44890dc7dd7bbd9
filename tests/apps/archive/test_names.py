"""Parts of names by index: kept by the database, used by every search, right in any case."""

from __future__ import annotations

import importlib
import threading
from types import SimpleNamespace

import pytest
from django.db import connection, connections
from django.db.models import Q

from archive import name_index, names
from archive.access import EVERYTHING
from archive.catalogue import fold
from archive.query import StudyQuery, filtered, find_studies
from tests.apps.archive.test_query import make_study
from worklist.models import Facility, Study

PATH = "patient_name_folded__contains"
MIGRATION = importlib.import_module("worklist.migrations.0012_parts_of_names")


@pytest.fixture
def sqlite(db: None) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("SQLite alone has a table of names")


def kept() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM worklist_studyname")
        return {row[0] for row in cursor.fetchall()}


def rename(study: Study, name: str) -> None:
    Study.objects.filter(pk=study.pk).update(patient_name_folded=fold(name))


def is_index_sound() -> bool:
    with connection.cursor() as cursor:
        # Raises where the trigrams are not those of the names.
        cursor.execute(
            "INSERT INTO worklist_studyname_parts (worklist_studyname_parts, rank) "
            "VALUES ('integrity-check', 1)"
        )
    return True


def indexed() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM worklist_studyname WHERE id <= {names.LAST_ID}"  # noqa: S608
        )
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("is_indexed", [False, True], ids=["new", "indexed"])
@pytest.mark.usefixtures("sqlite")
def test_the_table_follows_the_studies(facility: Facility, *, is_indexed: bool) -> None:
    first = make_study(facility, 1, patient_name="Smith^Anna")
    second = make_study(facility, 2, patient_name="Smith^Anna")
    assert kept() == {"smith anna"}
    rename(first, "Smithers^Anna")
    if is_indexed:
        name_index.index_new()
    assert indexed() == (2 if is_indexed else 0)
    assert kept() == {"smith anna", "smithers anna"}
    assert names.with_parts(connection, ["ither"]) == ["smithers anna"]
    rename(second, "Smithers^Anna")
    assert kept() == {"smithers anna"}
    assert names.with_parts(connection, ["smith a"]) == []
    Study.objects.filter(pk=first.pk).delete()
    assert kept() == {"smithers anna"}
    Study.objects.filter(pk=second.pk).delete()
    assert kept() == set()
    make_study(facility, 3, patient_name="")
    assert kept() == set()
    name_index.index_new()
    assert is_index_sound()


# Trigrams, shorter parts, and what means something to LIKE or to FTS5.
PARTS = [
    "smith", "mit", "it", "i", "th^an", "müll", "山田", "山田太", "o'ne", 'a"b', "50%", "a_b",
    "back\\slash", "NEAR", "zzz", "smith anna", "-and-", "(x)", "*",
]  # fmt: skip
NAMES = [
    "Smith^Anna", "Smithers^Wayland", "Müller^Jörg", "Yamada^Tarou=山田^太郎", "O'Neil^Pat",
    'Quo^A"b', "Rate^50%", "Under^a_b", "Back\\slash^X", "Near^Or-And-Not", "Para^(X)", "Li^Yo",
]  # fmt: skip


@pytest.mark.usefixtures("sqlite")
def test_it_finds_what_a_comparison_finds(
    facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half of them are in the index.
    half = len(NAMES) // 2
    for number, name in enumerate(NAMES[:half]):
        make_study(facility, number, patient_name=name)
    monkeypatch.setattr(name_index, "_AT_ONCE", 2)
    name_index.index_new()
    for number, name in enumerate(NAMES[half:], half):
        make_study(facility, number, patient_name=name)
    assert indexed() == half
    for part in map(fold, PARTS):
        compared = Study.objects.filter(Q((PATH, part)))
        by_index = Study.objects.filter(names.narrowed(connection, Q((PATH, part))))
        assert set(by_index) == set(compared), part
    both = Q((PATH, "smith"), (PATH, "land"))
    assert [s.patient_name for s in Study.objects.filter(names.narrowed(connection, both))] == [
        "Smithers^Wayland"
    ]
    either = Q((PATH, "anna")) | Q((PATH, "land"))
    assert Study.objects.filter(names.narrowed(connection, either)).count() == 2


@pytest.mark.usefixtures("sqlite")
def test_many_names_are_left_to_a_comparison(
    facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MOST_NAMES", 3)
    for number in range(4):
        make_study(facility, number, patient_name=f"Common^{number}")
    condition = Q((PATH, "common"))
    assert names.narrowed(connection, condition) == condition
    monkeypatch.setattr(names, "MOST_NAMES", 4)
    assert names.narrowed(connection, condition) != condition


def test_a_part_of_a_name_is_looked_up_by_its_index(facility: Facility) -> None:
    make_study(facility, 1, patient_name="Smith^Anna")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Of one row, reading all of them is as quick.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_indexscan = off")
    rows = filtered(EVERYTHING, StudyQuery(patient_name="mith"))
    assert [study.patient_name for study in rows] == ["Smith^Anna"]
    index = "study_name_trigrams" if connection.vendor == "postgresql" else "patient_name_folded="
    assert index in rows.explain()
    wild = find_studies(EVERYTHING, StudyQuery(patient_name="*mit?")).items
    assert [study.patient_name for study in wild] == ["Smith^Anna"]


@pytest.mark.usefixtures("sqlite")
def test_names_from_before_are_taken_over_and_an_interruption_does_no_harm(
    facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        make_study(facility, number, patient_name=f"Old^{number}")
    expected = kept()
    name_index.index_new()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM worklist_studyname")
    monkeypatch.setattr(MIGRATION, "_BATCH", 2)
    # The second of four pieces was the last.
    after = MIGRATION._take_over(connection, "")
    MIGRATION._take_over(connection, after)
    make_study(facility, 8, patient_name="Old^8")
    assert len(kept()) == 5
    MIGRATION.keep(None, SimpleNamespace(connection=connection))
    assert kept() == expected | {"old 8"}
    assert indexed() == len(expected) + 1
    assert names.with_parts(connection, ["old"]) is not None
    assert is_index_sound()


@pytest.mark.usefixtures("sqlite")
def test_every_trigger_is_there_after_all_migrations() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        found = {row[0] for row in cursor.fetchall()}
    assert set(MIGRATION._TRIGGERS) <= found, (
        "A migration made the table of studies anew: have it run `keep` of 0012_parts_of_names."
    )


def test_conditions_without_names_stay_as_they_are(db: None) -> None:
    condition = Q(accession_number__in=["1"]) & (Q(pk__in=[]) | ~Q(patient_sex="F"))
    assert names.narrowed(connection, condition) == condition


@pytest.mark.usefixtures("sqlite")
def test_a_name_corrected_meanwhile_is_found(facility: Facility) -> None:
    study = make_study(facility, 1, patient_name="Smith^Anna")
    condition = names.narrowed(connection, Q((PATH, "mith")))
    rename(study, "Smithers^Anna")
    assert list(Study.objects.filter(condition)) == [study]
    rename(study, "Jones^Anna")
    assert not Study.objects.filter(condition)


@pytest.mark.usefixtures("sqlite")
def test_a_part_longer_than_any_name_finds_nothing(facility: Facility) -> None:
    make_study(facility, 1, patient_name="Smith^Anna")
    assert names.with_parts(connection, ["smith anna " * 500]) == []


def in_postgresqls_index() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'study_name_trigrams'::regclass"
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_studies_that_come_during_the_migration_are_found(
    facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        make_study(facility, number, patient_name=f"Before^{number}")
    monkeypatch.setattr(MIGRATION, "_BATCH", 5)
    editor = SimpleNamespace(connection=connection, execute=connection.cursor().execute)
    MIGRATION.drop(None, editor)
    begun, over = threading.Event(), threading.Event()
    came: list[Study] = []

    def receive() -> None:
        try:
            while not over.is_set() or len(came) < 5:
                number = 1_000 + len(came)
                came.append(make_study(facility, number, patient_name=f"During^{number}"))
                begun.set()
        finally:
            connections.close_all()

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        assert begun.wait(60)
    finally:
        MIGRATION.keep(None, editor)
        over.set()
        thread.join()
    assert {study.pk for study in found_by("uring")} == {study.pk for study in came}
    assert len(found_by("efore")) == 60
    if connection.vendor == "postgresql":
        assert in_postgresqls_index()
        return
    assert len(kept()) == 60 + len(came)
    name_index.index_new()
    assert is_index_sound()


def found_by(part: str) -> list[Study]:
    return list(Study.objects.filter(names.narrowed(connection, Q((PATH, part)))))
