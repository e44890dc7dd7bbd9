"""The ledger of what was shown: totals by person, never more than was entered."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from accounts.models import Role, User
from archive import access
from archive.access import Actor, actor_of
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from reports import viewed
from reports.models import SeriesViewing
from reports.viewed import Shown
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

STUDY = "1.2.826.0.1.3680043.10.1338.4750"


@pytest.fixture
def study(facility: Facility, store: object) -> Study:
    for number in (1, 2):
        result = factories.store_bytes(
            to_bytes(
                make_instance(
                    StudyInstanceUID=STUDY,
                    SeriesInstanceUID=f"{STUDY}.1",
                    SOPInstanceUID=f"{STUDY}.1.{number}",
                    InstanceNumber=number,
                )
            ),
            facility,
        )
    return access.study_for(access.EVERYTHING, result.study_id)


@pytest.fixture
def images(study: Study) -> list[DicomImage]:
    return list(study.series.get().images.order_by("instance_number"))


def test_windows_add_up_and_repeated_messages_do_not(
    reader: Actor, study: Study, images: list[DicomImage]
) -> None:
    one, two = images
    window, other = uuid4(), uuid4()
    assert viewed.note_shown(reader, study.pk, window, [Shown(one.pk, 1, 400)]) == 1
    later = [Shown(one.pk, 1, 900), Shown(two.pk, 1, 50)]
    viewed.note_shown(reader, study.pk, window, later)
    viewed.note_shown(reader, study.pk, window, later)
    # A message that was held up on its way takes nothing back.
    viewed.note_shown(reader, study.pk, window, [Shown(one.pk, 1, 400)])
    viewed.note_shown(reader, study.pk, other, [Shown(one.pk, 1, 100)])
    assert viewed.shown_to(reader, study.pk) == {str(one.pk): {1: 1000}, str(two.pk): {1: 50}}
    assert SeriesViewing.objects.count() == 2


def test_own_to_oneself_and_all_to_administrators(
    reader: Actor,
    study: Study,
    images: list[DicomImage],
    facility: Facility,
    make_user: Callable[..., User],
    admin_user: User,
    radiologist: User,
) -> None:
    viewed.note_shown(reader, study.pk, uuid4(), [Shown(images[0].pk, 1, 700)])
    viewed.note_shown(reader, study.pk, uuid4(), [Shown(images[0].pk, 1, 300)])
    other = actor_of(make_user("otto", Role.RADIOLOGIST, [facility]))
    assert viewed.shown_to(other, study.pk) == {}
    with pytest.raises(ForbiddenError, match="for administrators"):
        viewed.shown_to(other, study.pk, radiologist.pk)
    with pytest.raises(ForbiddenError):
        viewed.people_of(other, study.pk)
    boss = actor_of(admin_user)
    assert viewed.shown_to(boss, study.pk, radiologist.pk) == {str(images[0].pk): {1: 1000}}
    (person,) = viewed.people_of(boss, study.pk)
    assert (person.name, person.frame_count, person.shown_ms) == ("rita", 1, 1000)
    with pytest.raises(NotFoundError):
        viewed.shown_to(boss, study.pk, uuid4())


def test_what_cannot_be_entered(
    reader: Actor,
    study: Study,
    images: list[DicomImage],
    facility: Facility,
    other_facility: Facility,
    make_user: Callable[..., User],
) -> None:
    window = uuid4()
    with pytest.raises(InvalidInputError, match="no frame 2"):
        viewed.note_shown(reader, study.pk, window, [Shown(images[0].pk, 2, 10)])
    assert viewed.note_shown(reader, study.pk, window, [Shown(uuid4(), 1, 10)]) == 0
    elsewhere = factories.store_bytes(
        to_bytes(make_instance(StudyInstanceUID=f"{STUDY}.9")), other_facility
    )
    assert viewed.note_shown(reader, study.pk, window, [Shown(elsewhere.image_id, 1, 10)]) == 0
    viewed.note_shown(reader, study.pk, window, [Shown(images[0].pk, 1, 10)])
    otto = actor_of(make_user("otto", Role.VIEWER, [facility]))
    with pytest.raises(ConflictError, match="somebody else's"):
        viewed.note_shown(otto, study.pk, window, [Shown(images[0].pk, 1, 99)])
    stranger = actor_of(make_user("stranger", Role.RADIOLOGIST, [other_facility]))
    with pytest.raises(ForbiddenError):
        viewed.note_shown(stranger, study.pk, uuid4(), [Shown(images[0].pk, 1, 10)])
    assert viewed.shown_to(reader, study.pk) == {str(images[0].pk): {1: 10}}
