"""The audit trail: what is written of an access, by either way."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import Error as DatabaseError

from archive import audit, database
from archive.access import EVERYTHING, Actor
from archive.models import AuditEvent
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Study

pytestmark = pytest.mark.django_db

DETAIL = {"service": "C-FIND", "keys": ["PatientName"], "text": "ü '\"%s ?", "count": 3}


@pytest.fixture
def study(store: Path) -> Study:
    north = factories.facility("NORTH", "North Clinic")
    factories.store_bytes(to_bytes(make_instance()), north)
    return Study.objects.get()


@pytest.mark.parametrize("address", [None, "10.0.0.7", "2001:db8::7"])
def test_reads_are_written_as_everything_else_is(study: Study, address: str | None) -> None:
    user = factories.user("reader")
    actor = Actor(name="CT_NORTH", scope=EVERYTHING, user_id=user.pk, address=address)
    for target in (None, study):
        for is_success in (True, False):
            expected = audit.record(actor, "query", target, is_success=is_success, **DETAIL)
            with database.reading() as reader:
                audit.record_read(reader, actor, "query", target, is_success=is_success, **DETAIL)
            written = AuditEvent.objects.exclude(pk=expected.pk).order_by("-at", "-pk")[0]
            expected.refresh_from_db()
            for field in AuditEvent._meta.concrete_fields:
                if field.name not in {"id", "at"}:
                    assert getattr(written, field.attname) == getattr(expected, field.attname)
            assert written.at >= expected.at
            AuditEvent.objects.all().delete()


def test_many_reads_are_each_written(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_MOST_AT_ONCE", 2)
    actor = Actor(name="CT_NORTH", scope=EVERYTHING)
    with database.reading() as reader:
        audit.record_reads(reader, actor, "study.retrieve", [])
        audit.record_reads(
            reader, actor, "study.retrieve", [(study, {"instances": n}) for n in range(5)]
        )
    rows = AuditEvent.objects.filter(verb="study.retrieve")
    assert sorted(row.detail["instances"] for row in rows) == [0, 1, 2, 3, 4]
    assert {(row.target_id, row.facility_id) for row in rows} == {
        (str(study.pk), study.facility_id)
    }


def test_a_statement_that_fails_is_djangos_error() -> None:
    with database.reading() as reader, pytest.raises(DatabaseError):
        database.execute(reader, "SELECT no_such_column FROM archive_auditevent", [])
