"""Parts that thousands of names have: every search answers or is refused, on either database."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pydicom.dataset import Dataset
from uuid_utils.compat import uuid7

from archive import database, dicom_query, names, plain_query, rows
from archive.access import Scope
from archive.catalogue import fold
from archive.dicom_query import DicomQuery
from archive.errors import TooBroadError
from archive.query import StudyQuery, count_studies, find_studies
from archive.timelimit import Patience
from imaging import plainkeys
from imaging.attributes import PATIENT, STUDY
from imaging.part10 import EXPLICIT_LITTLE_ENDIAN
from tests.apps.archive.test_dicom_query import encoded
from tests.apps.archive.test_query import make_study
from worklist.models import Facility, Patient, Study

COUNT = 2_500
RARE = 7
LEVELS = (PATIENT, STUDY)


@pytest.fixture
def many(facility: Facility, monkeypatch: pytest.MonkeyPatch) -> Scope:
    """Thousands of patients with one study each, made by SQL; every name holds "an"."""
    # More than are looked up by their names, and than one statement answers.
    monkeypatch.setattr(names, "MOST_NAMES", COUNT - 1)
    assert COUNT > plain_query.MOST
    first = make_study(facility, COUNT)
    study, patient = (
        {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields}
        for row in (first, first.patient)
    )
    first.delete()
    first.patient.delete()
    patients, studies = [], []
    for number in range(COUNT):
        key = uuid7()
        name = f"Shan{number}^{'Rare' if number < RARE else 'Given'}"
        patients.append(patient | {"id": key, "patient_id": f"P{number:05}", "patient_name": name})
        own = {
            "id": uuid7(),
            "patient_id": key,
            "patient_identifier": f"P{number:05}",
            "patient_name": name,
            "patient_name_folded": fold(name),
            "study_instance_uid": f"1.2.3.{number}",
            "sort_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=number),
        }
        studies.append(study | own)
    with database.written(transaction.get_connection()) as cursor:
        rows.insert(Patient, connection, cursor, patients)
        rows.insert(Study, connection, cursor, studies)
    return Scope(frozenset({facility.pk}))


def query_of(level: str, name: str, **how: Any) -> DicomQuery:
    keys = Dataset()
    keys.PatientName = name
    keys.PatientID = ""
    return DicomQuery(level=level, identifier=keys, root=level, **how)


def found(
    scope: Scope, query: DicomQuery, patience: Patience | None = None
) -> Iterator[dict[str, Any]]:
    """Search as C-FIND does: by one statement, else piece by piece, with one patience."""
    patience = patience or query.patience()
    assert isinstance(query.identifier, Dataset)
    plain = plainkeys.read(
        encoded(query.identifier, EXPLICIT_LITTLE_ENDIAN, []), EXPLICIT_LITTLE_ENDIAN
    )
    assert plain is not None
    short = DicomQuery(query.level, plain, query.root, is_ordered=query.is_ordered)
    with database.reading() as reader:
        at_once = plain_query.search(reader, scope, short, patience)
    if at_once is None:
        yield from dicom_query.search(scope, query, patience)
        return
    for row in at_once.rows:
        yield dict(zip(at_once.keywords, row, strict=True))


def identifiers(answers: Iterator[dict[str, Any]]) -> list[str]:
    return [answer["PatientID"] for answer in answers]


def test_a_part_that_everybody_has_finds_everybody_once(many: Scope) -> None:
    everybody = [f"P{number:05}" for number in range(COUNT)]
    for level in LEVELS:
        asked = query_of(level, "*AN*")
        assert sorted(identifiers(found(many, asked, Patience(600)))) == everybody
        page = query_of(level, "*an*", is_ordered=True)
        first = everybody[:90] if level == PATIENT else everybody[: -90 - 1 : -1]
        assert identifiers(itertools.islice(found(many, page, Patience(600)), 90)) == first
        few = query_of(level, "*AN*RAR*")
        assert sorted(identifiers(found(many, few, Patience(600)))) == everybody[:RARE]


def test_what_finds_more_than_there_is_time_for_is_refused(
    many: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By this clock there is time for some thousand looks at rows, whatever they find.
    clock = itertools.count()
    monkeypatch.setattr("archive.timelimit.monotonic", lambda: next(clock) / 500)
    for level, part in itertools.product(LEVELS, ("*AN*", "*A*", "S*", "*?N*")):
        answers = iter(found(many, query_of(level, part)))
        assert next(answers)
        with pytest.raises(TooBroadError, match="Narrow it"):
            # A thousand at most come before the refusal.
            list(itertools.islice(answers, 1_000))


def test_a_search_gets_its_time_once_whatever_statements_it_needs(
    many: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count()
    # Each look at the clock is most of a second later: the second statement is the last.
    monkeypatch.setattr("archive.timelimit.monotonic", lambda: next(clock) * 0.9)
    for level in LEVELS:
        asked = query_of(level, "*AN*")
        with CaptureQueriesContext(connection) as captured, pytest.raises(TooBroadError):
            list(found(many, asked))
        reads = [query["sql"] for query in captured if "worklist_" in query["sql"]]
        assert len(reads) <= 2


def test_lists_without_wildcards_go_on_while_they_find_something(
    many: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count()
    monkeypatch.setattr("archive.timelimit.monotonic", lambda: next(clock) / 500)
    for level in LEVELS:
        assert len(list(dicom_query.search(many, query_of(level, "")))) == COUNT
        # Pages leave as a whole.
        with pytest.raises(TooBroadError):
            list(dicom_query.search(many, query_of(level, "", is_ordered=True)))


@pytest.mark.parametrize("is_whole", [False, True], ids=["as found", "whole"])
def test_the_time_of_a_caller_is_its_own(
    monkeypatch: pytest.MonkeyPatch, *, is_whole: bool
) -> None:
    now = [0.0]
    monkeypatch.setattr("archive.timelimit.monotonic", lambda: now[0])
    patience = Patience(2, is_whole=is_whole)
    now[0] = 1.5
    with patience.paused():
        now[0] += 60
    assert patience.left() == 0.5
    patience.found()
    assert patience.left() == (0.5 if is_whole else 2)
    now[0] += 2
    with pytest.raises(TooBroadError):
        patience.left()


def test_the_worklist_ends_in_time(many: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = (
        StudyQuery(patient_name="an* nobody"),
        StudyQuery(text="nobody here"),
        StudyQuery(study_description="*nothing*"),
    )
    for query in queries:
        assert find_studies(many, query).items == []
        assert count_studies(many, query) == 0
    # SQLite's statement is looked at every so many steps; PostgreSQL knows no less than 1 ms.
    monkeypatch.setattr("archive.timelimit._STEPS", 1_000)
    monkeypatch.setattr(database, "READING_S", 0.0)
    for query, search in itertools.product(queries, (find_studies, count_studies)):
        with pytest.raises(TooBroadError, match="Narrow it"):
            search(many, query)
