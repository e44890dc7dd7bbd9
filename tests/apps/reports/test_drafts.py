"""Drafts of reports: every text is kept, and nobody is overwritten unasked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.db import connection

from accounts.models import Role, User
from archive import access
from archive.access import Actor, actor_of
from archive.errors import ConflictError, ForbiddenError, NotFoundError
from archive.models import AuditEvent
from reports import services
from reports.models import Report, ReportRevision
from reports.services import Draft, ReportConflictError
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture
def study(facility: Facility, store: object) -> Study:
    result = factories.store_bytes(to_bytes(make_instance()), facility)
    return access.study_for(access.EVERYTHING, result.study_id)


@pytest.fixture
def colleague(make_user: Callable[..., User], facility: Facility) -> Actor:
    return actor_of(make_user("otto", Role.RADIOLOGIST, [facility]))


def draft(text: str, base_version: int = 0, revision_id: UUID | None = None) -> Draft:
    return Draft(revision_id or uuid4(), base_version, text)


def states() -> list[tuple[int | None, str, str]]:
    rows = ReportRevision.objects.order_by("at", "id")
    return [(row.version, row.user_name, row.text) for row in rows]


def test_every_state_stays_and_has_its_writer(
    reader: Actor, colleague: Actor, study: Study
) -> None:
    assert services.report_of(reader, study.pk) is None
    first = services.save_draft(reader, study.pk, draft("No fracture."))
    second = services.save_draft(colleague, study.pk, draft("No fracture. No effusion.", 1))
    assert (first.version, second.version) == (1, 2)
    assert (second.author_name, second.updated_by_name) == ("rita", "otto")
    assert states() == [(1, "rita", "No fracture."), (2, "otto", "No fracture. No effusion.")]
    verbs = AuditEvent.objects.filter(verb__startswith="report.").order_by("id")
    assert [(event.verb, event.detail.get("version")) for event in verbs] == [
        ("report.read", None),
        ("report.save", 1),
        ("report.save", 2),
    ]
    assert "fracture" not in str([event.detail for event in verbs])


def test_of_two_who_write_at_once_neither_loses_a_word(
    reader: Actor, colleague: Actor, study: Study
) -> None:
    services.save_draft(reader, study.pk, draft("Start."))
    services.save_draft(colleague, study.pk, draft("Start. Theirs.", 1))
    late = draft("Start. Mine.", 1)
    with pytest.raises(ReportConflictError, match="otto changed the report meanwhile") as caught:
        services.save_draft(reader, study.pk, late)
    assert caught.value.current.text == "Start. Theirs."
    assert states()[-1] == (None, "rita", "Start. Mine.")
    found = services.revisions_of(colleague, study.pk)
    assert [row.version for row in found] == [None, 2, 1]
    assert services.revision_of(colleague, study.pk, late.revision_id).text == "Start. Mine."
    merged = services.save_draft(reader, study.pk, draft("Start. Theirs.\n\nStart. Mine.", 2))
    assert merged.version == 3


def test_a_repeated_request_makes_nothing_twice(
    reader: Actor, colleague: Actor, study: Study
) -> None:
    one = draft("Once.")
    assert services.save_draft(reader, study.pk, one).version == 1
    assert services.save_draft(reader, study.pk, one).version == 1
    assert services.save_draft(reader, study.pk, draft("Once.", 1)).version == 1
    with pytest.raises(ConflictError, match="is taken"):
        services.save_draft(reader, study.pk, draft("Other.", 1, one.revision_id))
    services.save_draft(colleague, study.pk, draft("Twice.", 1))
    late = draft("Late.", 1)
    for _ in range(2):
        with pytest.raises(ReportConflictError):
            services.save_draft(reader, study.pk, late)
    assert [version for version, _, _ in states()] == [1, 2, None]


def test_who_may_not(study: Study, make_user: Callable[..., User], reader: Actor) -> None:
    services.save_draft(reader, study.pk, draft("Draft."))
    for role in (Role.TECHNOLOGIST, Role.FACILITY, Role.REFERRER, Role.VIEWER):
        actor = actor_of(make_user(f"a-{role}", role, [study.facility]))
        with pytest.raises(ForbiddenError, match="for those who report"):
            services.report_of(actor, study.pk)
        with pytest.raises(ForbiddenError):
            services.save_draft(actor, study.pk, draft("Mine.", 1))
    stranger = actor_of(make_user("stranger", Role.RADIOLOGIST, []))
    with pytest.raises(ForbiddenError):
        services.save_draft(stranger, study.pk, draft("Mine.", 1))
    with pytest.raises(NotFoundError):
        services.revision_of(reader, study.pk, uuid4())
    assert Report.objects.get().text == "Draft."


@pytest.mark.django_db(transaction=True)
def test_of_eight_first_texts_one_stands_and_seven_are_put_aside(
    reader: Actor, study: Study
) -> None:
    start = threading.Barrier(8)
    lost: list[ReportConflictError] = []
    faults: list[BaseException] = []

    def write(number: int) -> None:
        start.wait()
        try:
            services.save_draft(reader, study.pk, draft(f"Text {number}."))
        except ReportConflictError as error:
            lost.append(error)
        except BaseException as error:  # noqa: BLE001 - judged by the test
            faults.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(lost) == 7
    assert sorted(text for _, _, text in states()) == [f"Text {n}." for n in range(8)]
    assert sorted(version or 0 for version, _, _ in states()) == [0] * 7 + [1]
