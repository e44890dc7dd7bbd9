"""Deleting, restoring, destroying: what readers see, what senders are told, what files remain.

Not covered here: the page of deletions (tests/apps/worklist/test_integrity_pages.py).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pydicom.dataset import Dataset

from accounts.models import User
from archive import access, deletions, overview, query, runner, verification
from archive.access import EVERYTHING, Actor, actor_of
from archive.errors import (
    ConflictError,
    DeletedError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
)
from archive.ingest import Outcome
from archive.models import AuditEvent, Deletion, DeletionState, Job, OutboxEvent
from archive.query import StudyQuery
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Series, Study

pytestmark = pytest.mark.django_db

WHY = "Wrong patient on the table"


@pytest.fixture
def admin(admin_user: User) -> Actor:
    return actor_of(admin_user)


@pytest.fixture
def sent(store: Path, facility: Facility) -> list[Dataset]:
    """A CT of two series (two and one images), with a report's series."""
    first = make_instance()
    others: list[dict[str, Any]] = [
        {"SeriesInstanceUID": first.SeriesInstanceUID, "InstanceNumber": 2},
        {"SeriesNumber": 2, "Modality": "PT"},
    ]
    sent = [first] + [
        make_instance(StudyInstanceUID=first.StudyInstanceUID, **other) for other in others
    ]
    for ds in sent:
        factories.store_bytes(to_bytes(ds), facility)
    return sent


def counters(study_id: UUID) -> tuple[int, int, str, str]:
    study = Study.with_deleted.get(pk=study_id)
    return study.series_count, study.instance_count, study.modalities, study.modality


def test_a_deleted_study_is_gone_from_every_reader(sent: list[Dataset], admin: Actor) -> None:
    study = Study.objects.get()
    series, image = Series.objects.first(), DicomImage.objects.first()
    assert series is not None
    assert image is not None
    deletion = deletions.delete_study(admin, sent[0].StudyInstanceUID, WHY)
    assert query.find_studies(EVERYTHING, StudyQuery()).items == []
    assert query.count_studies(EVERYTHING, StudyQuery()) == 0
    for look in (
        lambda: access.study_for(EVERYTHING, study.pk),
        lambda: access.study_for(EVERYTHING, sent[0].StudyInstanceUID),
        lambda: access.series_for(EVERYTHING, series.pk),
        lambda: access.image_for(EVERYTHING, image.pk),
        lambda: overview.study_overview(EVERYTHING, study.pk),
    ):
        with pytest.raises(NotFoundError):
            look()
    assert access.images_for(EVERYTHING, [image.pk]) == {}
    assert list(series.images.all()) == []
    assert list(study.series.all()) == []
    assert (deletion.instance_count, deletion.reason) == (3, WHY)
    assert deletion.keep_until > timezone.now() + timedelta(days=29)
    assert OutboxEvent.objects.filter(kind="study.changed").exists()
    event = AuditEvent.objects.get(verb="study.delete")
    assert (event.detail["reason"], event.target_id) == (WHY, str(study.pk))
    assert verification.verify(is_full=True).is_sound


def test_restoring_brings_everything_back(sent: list[Dataset], admin: Actor) -> None:
    before = list(DicomImage.objects.order_by("pk").values())
    study = Study.objects.get()
    counted = counters(study.pk)
    deletion = deletions.delete_study(admin, study.pk, WHY)
    assert deletions.restore(admin, deletion.pk).state == DeletionState.RESTORED
    assert list(DicomImage.objects.order_by("pk").values()) == before
    assert counters(study.pk) == counted == (2, 3, "\\CT\\PT\\", "CT")
    assert verification.verify().is_sound
    with pytest.raises(ConflictError, match="restored already"):
        deletions.restore(admin, deletion.pk)


def test_what_was_deleted_is_refused_with_the_reason(
    sent: list[Dataset], admin: Actor, facility: Facility, other_facility: Facility, store: Path
) -> None:
    deletions.delete_study(admin, Study.objects.get().pk, WHY)
    files = sorted(store.rglob("*.dcm"))
    late = make_instance(StudyInstanceUID=sent[0].StudyInstanceUID)
    for ds in (sent[0], late):
        with pytest.raises(DeletedError, match=WHY):
            factories.store_bytes(to_bytes(ds), facility)
    assert sorted(store.rglob("*.dcm")) == files
    # Another facility's archive is its own.
    assert factories.store_bytes(to_bytes(sent[0]), other_facility).outcome is Outcome.STORED


def test_a_deleted_series_and_image_refuse_alone(
    sent: list[Dataset], admin: Actor, facility: Facility
) -> None:
    study = Study.objects.get()
    deletions.delete_image(admin, sent[1].SOPInstanceUID, WHY)
    assert counters(study.pk) == (2, 2, "\\CT\\PT\\", "CT")
    assert Series.objects.get(series_number=1).instance_count == 1
    deletions.delete_series(admin, sent[0].SeriesInstanceUID, WHY)
    assert counters(study.pk) == (1, 1, "\\PT\\", "PT")
    for ds in (
        sent[1],
        make_instance(
            StudyInstanceUID=sent[0].StudyInstanceUID, SeriesInstanceUID=sent[0].SeriesInstanceUID
        ),
    ):
        with pytest.raises(DeletedError):
            factories.store_bytes(to_bytes(ds), facility)
    more = make_instance(
        StudyInstanceUID=sent[2].StudyInstanceUID, SeriesInstanceUID=sent[2].SeriesInstanceUID
    )
    assert factories.store_bytes(to_bytes(more), facility).outcome is Outcome.STORED
    assert counters(study.pk)[:2] == (1, 2)
    assert verification.verify().is_sound


def test_the_last_image_takes_series_and_study_with_it(sent: list[Dataset], admin: Actor) -> None:
    assert deletions.delete_image(admin, sent[2].SOPInstanceUID, WHY).level == "series"
    assert deletions.delete_series(admin, sent[0].SeriesInstanceUID, WHY).level == "study"
    assert not Study.objects.exists()


def test_a_part_comes_back_only_with_its_whole(sent: list[Dataset], admin: Actor) -> None:
    part = deletions.delete_image(admin, sent[1].SOPInstanceUID, WHY)
    whole = deletions.delete_study(admin, sent[0].StudyInstanceUID, WHY)
    with pytest.raises(ConflictError, match="Restore that first"):
        deletions.restore(admin, part.pk)
    deletions.restore(admin, whole.pk)
    assert DicomImage.objects.count() == 2
    deletions.restore(admin, part.pk)
    assert DicomImage.objects.count() == 3
    assert counters(whole.study_id)[:2] == (2, 3)


def test_destroying_removes_rows_and_files_and_lets_it_come_again(
    sent: list[Dataset], admin: Actor, facility: Facility, store: Path
) -> None:
    changed = make_instance(SOPInstanceUID=sent[0].SOPInstanceUID)
    assert factories.store_bytes(to_bytes(changed), facility).outcome is Outcome.CONFLICT
    part = deletions.delete_image(admin, sent[1].SOPInstanceUID, WHY)
    whole = deletions.delete_study(admin, sent[0].StudyInstanceUID, WHY)
    assert len(list(store.rglob("*.dcm"))) == 4
    deletions.destroy(admin, whole.pk)
    assert not Study.with_deleted.exists()
    assert not DicomImage.with_deleted.exists()
    assert list(store.rglob("*.dcm")) == []
    states = set(Deletion.objects.values_list("pk", "state"))
    assert states == {(part.pk, "destroyed"), (whole.pk, "destroyed")}
    assert verification.verify(is_full=True).is_sound
    assert factories.store_bytes(to_bytes(sent[0]), facility).outcome is Outcome.STORED


def test_the_retention_period_ends(
    sent: list[Dataset], admin: Actor, store: Path, settings: Any
) -> None:
    deletion = deletions.delete_study(admin, Study.objects.get().pk, WHY)
    runner.care()
    assert not Job.objects.filter(kind="deletions.destroy").exists()
    settings.DELETION_RETENTION_DAYS = 0
    Deletion.objects.update(keep_until=timezone.now())
    runner.care()
    runner.drain()
    deletion.refresh_from_db()
    assert (deletion.state, deletion.ended_by) == (DeletionState.DESTROYED, "retention")
    assert list(store.rglob("*.dcm")) == []


def test_only_administrators_with_a_reason(
    sent: list[Dataset], admin: Actor, reader: Actor
) -> None:
    study = Study.objects.get()
    with pytest.raises(ForbiddenError):
        deletions.delete_study(reader, study.pk, WHY)
    with pytest.raises(InvalidInputError, match="Say why"):
        deletions.delete_study(admin, study.pk, "  \n ")
    deletion = deletions.delete_study(admin, study.pk, WHY)
    for act in (deletions.restore, deletions.destroy):
        with pytest.raises(ForbiddenError):
            act(reader, deletion.pk)
    with pytest.raises(NotFoundError):
        deletions.restore(admin, uuid4())
    with pytest.raises(NotFoundError):
        deletions.delete_study(admin, study.pk, WHY)
