"""Drawing, presets and sessions: nothing lost, nobody overwritten unasked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from accounts.models import Role, User
from archive import access
from archive.access import Actor, actor_of
from archive.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
)
from archive.models import AuditEvent, OutboxEvent
from dicom_viewer import services
from dicom_viewer.bodies import DrawingBody, PresetBody, SessionBody, parse
from dicom_viewer.documents import drawing_document
from dicom_viewer.models import (
    Annotation,
    DrawingRevision,
    Measurement,
    ViewerSession,
    WindowLevelPreset,
)
from dicom_viewer.services import VersionConflictError
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study, StudyStatus

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

Make = Callable[..., DrawingBody]


@pytest.fixture
def study(facility: Facility, store: object) -> Study:
    result = factories.store_bytes(to_bytes(make_instance()), facility)
    return access.study_for(access.EVERYTHING, result.study_id)


@pytest.fixture
def make(study: Study) -> Make:
    series = study.series.get()
    image = series.images.get()

    def make_body(**changes: Any) -> DrawingBody:
        values: dict[str, Any] = {
            "kind": "length",
            "SeriesInstanceUID": series.series_instance_uid,
            "SOPInstanceUID": image.sop_instance_uid,
            "frame_number": 1,
            "points": [(1.5, 2.0), (30.0, 40.25)],
            "points_mm": [(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)],
            "value": 47.79,
            "unit": "mm",
            "unit_source": "PixelSpacing",
        }
        return DrawingBody.model_validate(values | changes)

    return make_body


def history(drawing_id: UUID) -> list[tuple[int, str, str, Any]]:
    rows = DrawingRevision.objects.filter(drawing_id=drawing_id).order_by("version")
    return [(row.version, row.action, row.user_name, row.state["value"]) for row in rows]


def test_a_measurement_lives_and_its_history_stays(
    reader: Actor, study: Study, make: Make, radiologist: User, make_user: Callable[..., User]
) -> None:
    row = services.create_drawing(reader, study.pk, make())
    other = make_user("otto", Role.RADIOLOGIST, radiologist.facilities.all())
    changed = services.replace_drawing(actor_of(other), row.pk, make(value=50.0, version=1))
    assert changed.version == 2
    assert changed.author_id == radiologist.pk
    assert changed.updated_by_name == "otto"
    services.delete_drawing(reader, row.pk, 2)
    assert services.list_drawings(reader, study.pk) == []
    assert history(row.pk) == [
        (1, "created", "rita", 47.79),
        (2, "changed", "otto", 50.0),
        (3, "deleted", "rita", 50.0),
    ]
    verbs = list(AuditEvent.objects.order_by("at", "id").values_list("verb", flat=True))
    assert [verb for verb in verbs if verb.startswith("measurement")] == [
        "measurement.created",
        "measurement.changed",
        "measurement.deleted",
        "measurement.list",
    ]


def test_open_pages_hear_of_every_stroke(reader: Actor, study: Study, make: Make) -> None:
    def heard() -> int:
        events = OutboxEvent.objects.filter(kind="measurement.changed", facility=study.facility_id)
        return sum(event.payload == {"study_id": str(study.pk)} for event in events)

    row = services.create_drawing(reader, study.pk, make())
    assert heard() == 1
    services.replace_drawing(reader, row.pk, make(version=1, value=2.0))
    assert heard() == 2
    with pytest.raises(VersionConflictError):
        services.replace_drawing(reader, row.pk, make(version=1, value=3.0))
    assert heard() == 2
    services.delete_drawing(reader, row.pk, 2)
    assert heard() == 3


def test_a_document_comes_back_as_it_was_sent(reader: Actor, study: Study, make: Make) -> None:
    body = make(
        id=uuid4(),
        kind="ellipse",
        label="lesion",
        FrameOfReferenceUID="1.2.3",
        statistics={"mean": 1.5, "sd": 2, "min": -3, "max": 4, "area": 9.5, "area_unit": "mm2",
                    "unit": "HU", "count": 12},
    )  # fmt: skip
    row = services.create_drawing(reader, study.pk, body)
    (read,) = services.list_drawings(reader, study.pk)
    document = drawing_document(read)
    sent = body.model_dump(mode="json", exclude={"version"})
    assert {name: document[name] for name in sent} == sent
    assert document["author"]["name"] == "rita"
    assert document == drawing_document(row)


def test_an_arrow_is_an_annotation_without_a_value(reader: Actor, study: Study, make: Make) -> None:
    row = services.create_drawing(reader, study.pk, make(kind="arrow", label="look"))
    assert isinstance(row, Annotation)
    assert drawing_document(row)["value"] is None
    assert drawing_document(row)["label"] == "look"
    assert [r.pk for r in services.list_drawings(reader, study.pk)] == [row.pk]


def test_the_same_request_twice_makes_one(reader: Actor, study: Study, make: Make) -> None:
    body = make(id=uuid4())
    first = services.create_drawing(reader, study.pk, body)
    again = services.create_drawing(reader, study.pk, body)
    assert first.pk == again.pk == body.id
    assert Measurement.objects.count() == 1
    assert len(history(first.pk)) == 1


def test_an_id_that_names_something_else_is_refused(
    reader: Actor, study: Study, make: Make, facility: Facility
) -> None:
    body = make(id=uuid4())
    services.create_drawing(reader, study.pk, body)
    with pytest.raises(VersionConflictError) as caught:
        services.create_drawing(reader, study.pk, make(id=body.id, value=1.0))
    assert caught.value.current.pk == body.id
    with pytest.raises(VersionConflictError):
        services.create_drawing(reader, study.pk, make(id=body.id, kind="arrow"))
    services.delete_drawing(reader, body.id, 1)
    with pytest.raises(ConflictError, match="deleted"):
        services.create_drawing(reader, study.pk, body)


def test_a_foreign_studys_id_tells_nothing(
    reader: Actor, study: Study, make: Make, other_facility: Facility
) -> None:
    result = factories.store_bytes(to_bytes(make_instance()), other_facility)
    theirs = access.study_for(access.EVERYTHING, result.study_id)
    image = theirs.series.get().images.get()
    identity = uuid4()
    member = actor_of(factories.user("sam", Role.RADIOLOGIST, [other_facility]))
    services.create_drawing(
        member,
        theirs.pk,
        make(
            id=identity,
            SeriesInstanceUID=image.series.series_instance_uid,
            SOPInstanceUID=image.sop_instance_uid,
        ),
    )
    with pytest.raises(ConflictError) as caught:
        services.create_drawing(reader, study.pk, make(id=identity))
    assert not isinstance(caught.value, VersionConflictError)
    for act in (
        lambda: services.replace_drawing(reader, identity, make(version=1)),
        lambda: services.delete_drawing(reader, identity, 1),
        lambda: services.list_drawings(reader, theirs.pk),
    ):
        with pytest.raises(ForbiddenError):
            act()


def test_whoever_saw_an_older_version_is_told(reader: Actor, study: Study, make: Make) -> None:
    row = services.create_drawing(reader, study.pk, make())
    services.replace_drawing(reader, row.pk, make(value=1.0, version=1))
    with pytest.raises(VersionConflictError, match="rita") as caught:
        services.replace_drawing(reader, row.pk, make(value=2.0, version=1))
    assert drawing_document(caught.value.current)["value"] == 1.0
    with pytest.raises(VersionConflictError):
        services.delete_drawing(reader, row.pk, 1)
    services.delete_drawing(reader, row.pk, 2)
    with pytest.raises(NotFoundError):
        services.replace_drawing(reader, row.pk, make(version=3))


@pytest.mark.django_db(transaction=True)
def test_of_eight_at_once_exactly_one_wins(reader: Actor, study: Study, make: Make) -> None:
    row = services.create_drawing(reader, study.pk, make())
    outcomes: list[str] = []
    barrier = threading.Barrier(8)

    def change(value: float) -> None:
        try:
            barrier.wait()
            services.replace_drawing(reader, row.pk, make(value=value, version=1))
            outcomes.append("won")
        except VersionConflictError:
            outcomes.append("lost")
        finally:
            connection.close()

    threads = [threading.Thread(target=change, args=(float(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]
    assert [version for version, *_ in history(row.pk)] == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_the_same_new_one_sent_eight_times_at_once_is_one(
    reader: Actor, study: Study, make: Make
) -> None:
    body = make(id=uuid4())
    found: list[UUID] = []
    barrier = threading.Barrier(8)

    def create() -> None:
        try:
            barrier.wait()
            found.append(services.create_drawing(reader, study.pk, body).pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [body.id] * 8
    assert Measurement.objects.count() == 1
    assert len(history(body.id or uuid4())) == 1


def test_places_that_are_not_there_are_refused(reader: Actor, study: Study, make: Make) -> None:
    for changes in (
        {"SOPInstanceUID": "1.2.3"},
        {"SeriesInstanceUID": "1.2.3"},
        {"frame_number": 2},
    ):
        with pytest.raises(NotFoundError):
            services.create_drawing(reader, study.pk, make(**changes))
    assert Measurement.objects.count() == 0


def test_roles_that_look_do_not_draw(study: Study, make: Make, facility: Facility) -> None:
    viewer = actor_of(factories.user("vera", Role.VIEWER, [facility]))
    with pytest.raises(ForbiddenError, match="does not measure"):
        services.create_drawing(viewer, study.pk, make())
    assert services.list_drawings(viewer, study.pk) == []


def test_a_study_keeps_only_so_many(
    reader: Actor, study: Study, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MOST_DRAWINGS", 2)
    services.create_drawing(reader, study.pk, make())
    services.create_drawing(reader, study.pk, make(kind="arrow"))
    with pytest.raises(TooLargeError):
        services.create_drawing(reader, study.pk, make())


def test_opening_marks_the_study_and_is_audited(
    reader: Actor, study: Study, facility: Facility
) -> None:
    viewer = actor_of(factories.user("vera", Role.VIEWER, [facility]))
    services.open_study(viewer, study.pk, how="viewer")
    study.refresh_from_db()
    assert study.status == StudyStatus.UNREAD
    services.open_study(reader, study.pk, how="viewer")
    study.refresh_from_db()
    assert study.status == StudyStatus.OPENED
    services.open_study(reader, study.pk, how="viewer")
    opened = AuditEvent.objects.filter(verb="study.open", target_id=str(study.pk))
    assert sorted(opened.values_list("actor", flat=True)) == ["rita", "rita", "vera"]
    assert OutboxEvent.objects.filter(kind="study.changed").count() == 1
    assert ViewerSession.objects.filter(study=study).count() == 2


def test_presets_are_ones_own(reader: Actor, facility: Facility) -> None:
    lung = PresetBody(name="Lung ", Modality="CT", window_center=-500, window_width=1400, key="2")
    row = services.create_preset(reader, lung)
    services.create_preset(reader, lung.model_copy(update={"window_width": 1300.0}))
    (mine,) = WindowLevelPreset.objects.filter(user=reader.user_id)
    assert (mine.pk, mine.window_width) == (row.pk, 1300)
    other = actor_of(factories.user("otto", Role.RADIOLOGIST, [facility]))
    with pytest.raises(ForbiddenError, match="somebody else"):
        services.delete_preset(other, row.pk)
    site = WindowLevelPreset.objects.filter(user=None).first()
    assert site is not None
    with pytest.raises(ForbiddenError, match="the site's"):
        services.delete_preset(reader, site.pk)
    services.delete_preset(reader, row.pk)
    with pytest.raises(NotFoundError):
        services.delete_preset(reader, row.pk)
    assert not WindowLevelPreset.objects.filter(user=reader.user_id).exists()


def test_ones_own_preset_takes_over_name_and_digit(reader: Actor, facility: Facility) -> None:
    def named(user_id: UUID | None) -> dict[str, tuple[float, str]]:
        return {
            row.name: (row.window_width, row.key)
            for row in services.presets_for(user_id)
            if row.modality == "CT"
        }

    usual = named(None)
    services.create_preset(
        reader, PresetBody(name="Lung", Modality="CT", window_center=-500, window_width=1400)
    )
    services.create_preset(
        reader, PresetBody(name="Mine", Modality="CT", window_center=1, window_width=2, key="1")
    )
    assert named(reader.user_id) == {
        **usual,
        "Lung": (1400, ""),
        "Mine": (2, "1"),
        "Abdomen": (400, ""),
    }
    other = factories.user("otto", Role.RADIOLOGIST, [facility])
    assert named(other.pk) == usual


def test_a_session_is_kept_for_each_person(reader: Actor, study: Study, facility: Facility) -> None:
    series = study.series.get()
    body = SessionBody(
        series_id=series.pk,
        image_id=series.images.get().pk,
        frame_number=1,
        viewport={"zoom": 2.5, "invert": True},
    )
    state = services.save_session(reader, study.pk, body)
    kept = services.session_of(reader, study)
    assert kept is not None
    assert kept.state == state
    assert kept.state["viewport"] == {"zoom": 2.5, "invert": True}
    other = actor_of(factories.user("otto", Role.RADIOLOGIST, [facility]))
    assert services.session_of(other, study) is None
    with pytest.raises(NotFoundError):
        services.save_session(reader, study.pk, body.model_copy(update={"image_id": uuid4()}))
    with pytest.raises(TooLargeError):
        services.save_session(
            reader, study.pk, body.model_copy(update={"viewport": {"x": "y" * 17000}})
        )


GOOD = (
    b'{"kind": "length", "SeriesInstanceUID": "1.2", "SOPInstanceUID": "1.3",'
    b' "points": [[1, 2], [3, 4]]}'
)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"nonsense", id="not JSON"),
        pytest.param(GOOD.replace(b"1, 2", b"1, NaN"), id="NaN"),
        pytest.param(GOOD.replace(b"1, 2", b"1, 1e400"), id="infinite"),
        pytest.param(GOOD.replace(b"1, 2", b"1, 1e9"), id="far outside"),
        pytest.param(GOOD.replace(b", [3, 4]", b""), id="a point missing"),
        pytest.param(GOOD.replace(b"[3, 4]", b"[3, 4, 5]"), id="a point of three"),
        pytest.param(GOOD.replace(b"length", b"blob"), id="unknown kind"),
        pytest.param(GOOD.replace(b'"1.3"', b'"1.03"'), id="bad UID"),
        pytest.param(GOOD.replace(b'"1.3"', b'"../../etc"'), id="path for a UID"),
        pytest.param(GOOD.replace(b"}", b', "label": "\\u0000"}'), id="NUL"),
        pytest.param(GOOD.replace(b"}", b', "label": "\\ud800"}'), id="half a surrogate pair"),
        pytest.param(GOOD.replace(b"}", b', "label": "%s"}' % (b"x" * 1025)), id="long label"),
        pytest.param(GOOD.replace(b"}", b', "points_mm": [[1, 2, 3]]}'), id="points differ"),
        pytest.param(GOOD.replace(b"}", b', "frame_number": 0}'), id="frame 0"),
        pytest.param(GOOD.replace(b"}", b', "frame_number": 99999999999}'), id="frame too big"),
        pytest.param(b'{"a":' * 100_000, id="nested"),
        pytest.param(b'{"a": "\xff"}', id="not UTF-8"),
    ],
)
def test_bodies_that_cannot_be_used_are_refused_in_words(content: bytes) -> None:
    with pytest.raises((InvalidInputError, TooLargeError)) as caught:
        parse(DrawingBody, content)
    assert str(caught.value).endswith(".")
    assert parse(DrawingBody, GOOD).kind == "length"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", '"\\u0000"', '"\\udfff"'])
def test_what_no_database_keeps_is_refused_in_free_parts_too(value: str) -> None:
    text = (
        f'{{"series_id": "{uuid4()}", "image_id": "{uuid4()}", "viewport": {{"deep": [{value}]}}}}'
    )
    with pytest.raises(InvalidInputError):
        parse(SessionBody, text.encode())
    assert parse(SessionBody, text.replace(value, "1.5").encode()).viewport == {"deep": [1.5]}


def test_a_body_is_bounded() -> None:
    with pytest.raises(TooLargeError):
        parse(SessionBody, b" " * 300_000)


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("bidirectional", 4), ("cobb", 4), ("height", 2), ("circle", 2), ("profile", 2),
        ("calibration", 2), ("freehand", 40), ("spline", 5), ("livewire", 2000), ("text", 1),
    ],
)  # fmt: skip
def test_keeps_every_kind_with_its_points_and_plane(
    reader: Actor, study: Study, make: Make, kind: str, count: int
) -> None:
    points = [(float(i), 2.5) for i in range(count)]
    plane = [1, 0, 0, 0, 0, -1]
    body = make(
        kind=kind, points=points, points_mm=[(*point, 1) for point in points], plane=plane,
        second_value=3.5, label="look",
    )  # fmt: skip
    row = services.create_drawing(reader, study.pk, body)
    assert services.create_drawing(reader, study.pk, make(**body.model_dump() | {"id": row.pk}))
    document = services.drawing_document(services.list_drawings(reader, study.pk)[0])
    assert document["kind"] == kind
    assert document["plane"] == plane
    assert len(document["points"]) == count
    assert document["second_value"] == (None if kind == "text" else 3.5)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"kind": "spline"}, id="an outline needs three points"),
        pytest.param({"kind": "freehand", "points": [(0, 0)] * 2001}, id="too many points"),
        pytest.param({"plane": [1, 0, 0]}, id="half a plane"),
        pytest.param({"plane": [1, 0, 0, 0, 9, 0]}, id="no direction"),
        pytest.param({"plane": [1, 0, 0, 0, 1, 0], "points_mm": None}, id="a plane without place"),
    ],
)
def test_refuses_what_is_no_drawing(make: Make, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"points|plane|List|should"):
        make(**{"points_mm": None} | changes)
