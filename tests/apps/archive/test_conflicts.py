"""Two contents under one UID: both are seen, one is shown, neither is lost."""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from accounts.models import User
from archive import conflicts, damage, deletions, retrieve, verification
from archive.access import Actor, actor_of
from archive.errors import (
    ConflictError,
    DeletedError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    PermanentError,
)
from archive.ingest import Outcome
from archive.models import AuditEvent, InstanceConflict, OutboxEvent
from archive.retrieve import Form, Rendering
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Series, Study

pytestmark = pytest.mark.django_db

WHY = "The scanner's clock was wrong"


@pytest.fixture
def admin(admin_user: User) -> Actor:
    return actor_of(admin_user)


@pytest.fixture
def pair(store: Path, facility: Facility) -> tuple[Dataset, Dataset]:
    """What came first, and what came later under its UID with other pixels and another name."""
    first = make_instance(PatientName="Mueller^Anna")
    pixels = np.full((32, 48), 7, dtype=np.uint16)
    second = make_instance(
        pixels,
        SOPInstanceUID=first.SOPInstanceUID,
        StudyInstanceUID=first.StudyInstanceUID,
        SeriesInstanceUID=first.SeriesInstanceUID,
        PatientName="Müller^Anna",
        SpecificCharacterSet="ISO_IR 192",
    )
    assert factories.store_bytes(to_bytes(first), facility).outcome is Outcome.STORED
    assert factories.store_bytes(to_bytes(second), facility).outcome is Outcome.CONFLICT
    return first, second


def digests(store: Path) -> set[str]:
    return {hashlib.sha256(p.read_bytes()).hexdigest() for p in store.rglob("*.dcm")}


def test_both_sides_are_seen(pair: tuple[Dataset, Dataset], admin: Actor, store: Path) -> None:
    conflict = InstanceConflict.objects.get()
    found = conflicts.compare(admin, conflict.pk)
    by_name = {d.name: (d.first, d.second) for d in found.differences}
    assert by_name["Patient's Name"] == ("Mueller^Anna", "Müller^Anna")
    assert by_name["Rows"] == ("64", "32")
    assert by_name["Specific Character Set"] == ("", "ISO_IR 192")
    assert "Study Date" not in by_name
    assert found.has_same_pixels is False
    assert (found.aside.rows, found.aside.columns) == (32, 48)
    sides = [conflicts.picture(admin, conflict.pk, side) for side in ("first", "new")]
    assert [(p.rows, p.columns) for p in sides] == [(64, 64), (32, 48)]
    assert AuditEvent.objects.filter(verb="conflict.look").exists()
    with pytest.raises(NotFoundError):
        conflicts.picture(admin, conflict.pk, "third")


def test_the_new_one_is_shown_and_the_first_is_kept(
    pair: tuple[Dataset, Dataset], admin: Actor, store: Path, facility: Facility
) -> None:
    before = digests(store)
    image = DicomImage.objects.get()
    conflict = conflicts.decide(admin, InstanceConflict.objects.get().pk, "new", WHY)
    shown = DicomImage.objects.get()
    assert (shown.pk, shown.sop_instance_uid) == (image.pk, image.sop_instance_uid)
    assert (shown.rows, shown.columns, shown.number_of_frames) == (32, 48, 1)
    assert dcmread(store / shown.storage_key).PatientName == "Müller^Anna"
    aside = dcmread(store / "conflicts" / conflict.storage_key)
    assert aside.PatientName == "Mueller^Anna"
    assert digests(store) == before
    assert len(list(store.rglob("*.dcm"))) == 2
    raw = retrieve.frame(shown, 1, Rendering(form=Form.RAW)).content
    assert np.frombuffer(raw, "<u2").tolist() == [7] * (32 * 48)
    assert Series.objects.get().size_bytes == shown.size_bytes == Study.objects.get().size_bytes
    assert "replaced" in Study.objects.get().warning
    assert damage.look_at(shown) is None
    assert verification.verify(is_full=True).is_sound
    event = AuditEvent.objects.get(verb="conflict.keep_new")
    assert event.detail["reason"] == WHY
    assert OutboxEvent.objects.filter(kind="study.changed").exists()
    # Whoever sends either of them again is answered as the archive now stands.
    first, second = pair
    assert factories.store_bytes(to_bytes(second), facility).outcome is Outcome.DUPLICATE
    assert factories.store_bytes(to_bytes(first), facility).outcome is Outcome.CONFLICT
    assert InstanceConflict.objects.count() == 1


def test_a_decision_can_be_turned_round(
    pair: tuple[Dataset, Dataset], admin: Actor, store: Path
) -> None:
    image = dict(DicomImage.objects.values().get())
    conflict_id = InstanceConflict.objects.get().pk
    conflicts.decide(admin, conflict_id, "new", WHY)
    conflict = conflicts.decide(admin, conflict_id, "first", "It was right after all")
    again = dict(DicomImage.objects.values().get())
    for changing in ("storage_key", "data_set_sha256"):
        image.pop(changing)
        again.pop(changing)
    assert again == image
    assert (conflict.decision, conflict.decision_reason) == ("first", "It was right after all")
    assert verification.verify(is_full=True).is_sound
    with pytest.raises(ConflictError, match="already"):
        conflicts.decide(admin, conflict_id, "first", WHY)


def test_keeping_the_first_touches_no_file(
    pair: tuple[Dataset, Dataset], admin: Actor, store: Path
) -> None:
    files = sorted(store.rglob("*.dcm"))
    conflicts.decide(admin, InstanceConflict.objects.get().pk, "first", WHY)
    assert sorted(store.rglob("*.dcm")) == files
    assert not conflicts.waiting().exists()
    assert conflicts.listing(admin, is_decided=True).count() == 1


def test_another_series_never_takes_its_place(
    store: Path, facility: Facility, admin: Actor
) -> None:
    first = make_instance()
    factories.store_bytes(to_bytes(first), facility)
    other = make_instance(SOPInstanceUID=first.SOPInstanceUID)
    factories.store_bytes(to_bytes(other), facility)
    files = sorted(store.rglob("*.dcm"))
    with pytest.raises(ConflictError, match="another study or series"):
        conflicts.decide(admin, InstanceConflict.objects.get().pk, "new", WHY)
    assert sorted(store.rglob("*.dcm")) == files
    assert InstanceConflict.objects.get().resolved_at is None


def test_only_administrators_with_a_reason(
    pair: tuple[Dataset, Dataset], admin: Actor, reader: Actor, store: Path
) -> None:
    conflict = InstanceConflict.objects.get()
    for act in (
        lambda: conflicts.compare(reader, conflict.pk),
        lambda: conflicts.picture(reader, conflict.pk, "first"),
        lambda: conflicts.decide(reader, conflict.pk, "new", WHY),
        lambda: conflicts.listing(reader, is_decided=False),
    ):
        with pytest.raises(ForbiddenError):
            act()
    with pytest.raises(InvalidInputError, match="Say why"):
        conflicts.decide(admin, conflict.pk, "new", " ")
    with pytest.raises(InvalidInputError):
        conflicts.decide(admin, conflict.pk, "both", WHY)
    with pytest.raises(NotFoundError):
        conflicts.compare(admin, uuid4())
    (store / "conflicts" / conflict.storage_key).unlink()
    with pytest.raises(PermanentError, match="missing or damaged"):
        conflicts.compare(admin, conflict.pk)
    with pytest.raises(PermanentError):
        conflicts.decide(admin, conflict.pk, "new", WHY)
    assert (store / DicomImage.objects.get().storage_key).exists()


def test_a_deleted_study_has_nothing_to_decide(pair: tuple[Dataset, Dataset], admin: Actor) -> None:
    conflict = InstanceConflict.objects.get()
    deletions.delete_study(admin, Study.objects.get().pk, WHY)
    assert not conflicts.listing(admin, is_decided=False).exists()
    with pytest.raises(DeletedError):
        conflicts.decide(admin, conflict.pk, "new", WHY)
