"""What people do in the viewer: open, draw, keep windows, go on where they stopped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.models import User
from archive import access, audit, outbox, reading
from archive.access import Actor
from archive.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
)
from dicom_viewer.documents import drawing_document
from dicom_viewer.models import (
    ANNOTATIONS,
    Annotation,
    DrawingRevision,
    Measurement,
    ViewerSession,
    WindowLevelPreset,
)
from worklist.models import DicomImage, Series, Study, StudyStatus

if TYPE_CHECKING:
    from dicom_viewer.bodies import DrawingBody, PresetBody, SessionBody

AnyDrawing = Measurement | Annotation

MOST_DRAWINGS = 5000
MOST_PRESETS = 100
MOST_SESSION_BYTES = 16 * 1024


class VersionConflictError(ConflictError):
    """Somebody was faster; `current` is what stands there now."""

    def __init__(self, current: AnyDrawing) -> None:
        super().__init__(
            f"{current.updated_by_name} changed this meanwhile. Theirs is kept; look at it and "
            "draw again if yours is the better."
        )
        self.current = current


def open_study(actor: Actor, study_id: UUID, *, how: str) -> Study:
    """Return a study that somebody begins to look at: recorded, and no longer unread.

    Parameters
    ----------
    how : the door, for the audit trail

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    with transaction.atomic():
        study = access.study_for(actor.scope, study_id)
        audit.record(actor, "study.open", study, how=how)
        if actor.link_id is None:
            ViewerSession.objects.update_or_create(
                user_id=_person(actor), study=study, defaults={"last_seen_at": timezone.now()}
            )
        if study.status == StudyStatus.UNREAD and actor.can_read:
            reading.set_status(actor, [study.pk], StudyStatus.OPENED)
            study.status = StudyStatus.OPENED
    return study


def look_ahead(actor: Actor, study_id: UUID) -> Study:
    """Return a study whose first pictures are fetched ahead: recorded, and as unread as before.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    study = access.study_for(actor.scope, study_id)
    audit.record(actor, "study.ahead", study)
    return study


def open_series(actor: Actor, series_id: UUID) -> Series:
    """Return a series that somebody looks at."""
    series = access.series_for(actor.scope, series_id)
    audit.record(actor, "series.read", series.study, series=str(series.pk))
    return series


def open_image(actor: Actor, image_id: UUID) -> DicomImage:
    """Return an image whose header somebody reads."""
    image = access.image_for(actor.scope, image_id)
    audit.record(actor, "image.read", image.series.study, image=str(image.pk))
    return image


def drawings_of(study: Study) -> list[AnyDrawing]:
    """Return everything drawn on a study, in the order of its making; two queries."""
    rows: list[AnyDrawing] = [
        *Measurement.objects.filter(study=study, is_deleted=False),
        *Annotation.objects.filter(study=study, is_deleted=False),
    ]
    return sorted(rows, key=lambda row: (row.created_at, row.pk))


def list_drawings(actor: Actor, study_id: UUID) -> list[AnyDrawing]:
    """Return everything drawn on a study that the actor may see."""
    study = access.study_for(actor.scope, study_id)
    audit.record(actor, "measurement.list", study)
    return drawings_of(study)


def create_drawing(actor: Actor, study_id: UUID, body: DrawingBody) -> AnyDrawing:
    """Keep something new; the same request again answers what is there already.

    Raises
    ------
    ForbiddenError
        When the role does not draw.
    NotFoundError
        When the study has no such image or frame.
    ConflictError
        When the id is taken by another drawing.
    """
    _check_may_draw(actor)
    study = access.study_for(actor.scope, study_id)
    author = user_of(actor)
    try:
        with transaction.atomic():
            known = _find(body.id) if body.id is not None else None
            if known is not None:
                return _repeated(known, study, body)
            if sum(_counts(study)) >= MOST_DRAWINGS:
                raise TooLargeError(f"A study keeps at most {MOST_DRAWINGS} drawings.")
            image = _image_of(study, body)
            row = _model_of(body.kind)(
                study=study,
                image=image,
                author=author,
                author_name=str(author)[:150],
                updated_by_name=str(author)[:150],
            )
            if body.id is not None:
                row.pk = body.id
            _fill(row, body)
            row.save(force_insert=True)
            _remember(actor, author, row, DrawingRevision.Action.CREATED)
    except IntegrityError:
        # The same request twice at the same time: the other one was first.
        known = _find(body.id) if body.id is not None else None
        if known is None:
            raise
        return _repeated(known, study, body)
    return row


def replace_drawing(actor: Actor, drawing_id: UUID, body: DrawingBody) -> AnyDrawing:
    """Replace a drawing by what somebody made of it.

    Raises
    ------
    VersionConflictError
        When it is no longer what they saw.
    NotFoundError, ForbiddenError, InvalidInputError
    """
    _check_may_draw(actor)
    if body.version is None:
        raise InvalidInputError("Say which 'version' you replace.")
    author = user_of(actor)
    with transaction.atomic():
        row = _drawing_for(actor, drawing_id)
        if row.kind != body.kind:
            raise InvalidInputError("A drawing keeps its 'kind'. Delete it and draw another.")
        image = _image_of(row.study, body)
        _claim(row, body.version)
        _fill(row, body)
        row.image = image
        row.updated_at = timezone.now()
        row.updated_by_name = str(author)[:150]
        row.save()
        _remember(actor, author, row, DrawingRevision.Action.CHANGED)
    return row


def delete_drawing(actor: Actor, drawing_id: UUID, version: int) -> None:
    """Hide a drawing; its history stays.

    Raises
    ------
    VersionConflictError, NotFoundError, ForbiddenError
    """
    _check_may_draw(actor)
    author = user_of(actor)
    with transaction.atomic():
        row = _drawing_for(actor, drawing_id)
        _claim(row, version)
        row.is_deleted = True
        row.updated_at = timezone.now()
        row.updated_by_name = str(author)[:150]
        row.save(update_fields=["is_deleted", "updated_at", "updated_by_name"])
        _remember(actor, author, row, DrawingRevision.Action.DELETED)


def presets_for(user_id: UUID | None) -> list[WindowLevelPreset]:
    """Return the site's presets, then the person's own, which take over names and digits."""
    rows = WindowLevelPreset.objects.filter(Q(user=None) | Q(user=user_id))
    own = [row for row in rows if row.user_id is not None]
    names = {(row.modality, row.name) for row in own}
    keys = {(row.modality, row.key) for row in own}
    site = [row for row in rows if row.user_id is None and (row.modality, row.name) not in names]
    for row in site:
        if (row.modality, row.key) in keys:
            row.key = ""
    # Those without a digit stand behind those with one.
    return [
        *sorted(site, key=lambda row: (row.modality, row.key or "~", row.name)),
        *sorted(own, key=lambda row: (row.modality, row.key or "~", row.name)),
    ]


def create_preset(actor: Actor, body: PresetBody) -> WindowLevelPreset:
    """Keep a window for this person; the same name again replaces it."""
    mine = WindowLevelPreset.objects.filter(user=actor.user_id)
    with transaction.atomic():
        others = mine.exclude(modality=body.Modality, name=body.name)
        if others.count() >= MOST_PRESETS:
            raise TooLargeError(f"You have {MOST_PRESETS} presets already. Delete one first.")
        row, _ = WindowLevelPreset.objects.update_or_create(
            user_id=_person(actor),
            modality=body.Modality,
            name=body.name,
            defaults={
                "window_center": body.window_center,
                "window_width": body.window_width,
                "key": body.key or "",
            },
        )
        audit.record(actor, "preset.save", row)
    return row


def delete_preset(actor: Actor, preset_id: UUID) -> None:
    """Delete one of the person's own presets.

    Raises
    ------
    ForbiddenError
        For the site's presets, which the administration changes, and for somebody else's.
    """
    row = WindowLevelPreset.objects.filter(pk=preset_id).first()
    if row is None:
        raise NotFoundError("There is no such preset.")
    if row.user_id is None:
        raise ForbiddenError("This preset is the site's. An administrator can change it.")
    if row.user_id != actor.user_id:
        raise ForbiddenError("This preset is somebody else's.")
    with transaction.atomic():
        audit.record(actor, "preset.delete", row)
        row.delete()


def save_session(actor: Actor, study_id: UUID, body: SessionBody) -> dict[str, Any]:
    """Keep where reading stopped, for this person and study."""
    study = access.study_for(actor.scope, study_id)
    state = body.model_dump(mode="json")
    if len(json.dumps(state)) > MOST_SESSION_BYTES:
        raise TooLargeError(f"The session is longer than {MOST_SESSION_BYTES} bytes.")
    if not study.series.filter(pk=body.series_id, images=body.image_id).exists():
        raise NotFoundError("The study has no such series or image.")
    ViewerSession.objects.update_or_create(
        user_id=_person(actor),
        study=study,
        defaults={"state": state, "last_seen_at": timezone.now()},
    )
    return state


def session_of(actor: Actor, study: Study) -> ViewerSession | None:
    """Return where this person stopped, if they were here before."""
    return ViewerSession.objects.filter(user=actor.user_id, study=study).first()


def _check_may_draw(actor: Actor) -> None:
    if not actor.can_annotate:
        raise ForbiddenError(
            "Your role looks at studies and does not measure in them. Ask an administrator."
        )


def _person(actor: Actor) -> UUID:
    if actor.user_id is None:
        raise ForbiddenError("Only people read and measure; this caller is a process.")
    return actor.user_id


def user_of(actor: Actor) -> User:
    """Return the person who acts; processes do not draw."""
    return User.objects.get(pk=_person(actor))


def _model_of(kind: str) -> type[Measurement] | type[Annotation]:
    return Annotation if kind in ANNOTATIONS else Measurement


def _counts(study: Study) -> tuple[int, int]:
    return (
        Measurement.objects.filter(study=study, is_deleted=False).count(),
        Annotation.objects.filter(study=study, is_deleted=False).count(),
    )


def _find(drawing_id: UUID) -> AnyDrawing | None:
    """Return the drawing with this id, deleted ones too; the two tables share their ids."""
    row = Measurement.objects.select_related("study").filter(pk=drawing_id).first()
    return row or Annotation.objects.select_related("study").filter(pk=drawing_id).first()


def _drawing_for(actor: Actor, drawing_id: UUID) -> AnyDrawing:
    row = _find(drawing_id)
    if row is None:
        raise NotFoundError("There is no such measurement.")
    if not actor.scope.includes(row.study.facility_id):
        raise ForbiddenError("This measurement belongs to a facility that is not yours.")
    if row.is_deleted:
        raise NotFoundError("This measurement was deleted.")
    return row


def _claim(row: AnyDrawing, version: int) -> None:
    """Take the next version; of several who saw the same one, exactly one gets it."""
    rows = type(row).objects.filter(pk=row.pk, version=version, is_deleted=False)
    if rows.update(version=F("version") + 1):
        row.version = version + 1
        return
    row.refresh_from_db()
    if row.is_deleted:
        raise NotFoundError("This measurement was deleted.")
    raise VersionConflictError(row)


def _image_of(study: Study, body: DrawingBody) -> DicomImage:
    series = study.series.filter(series_instance_uid=body.SeriesInstanceUID).first()
    image = (
        series.images.filter(sop_instance_uid=body.SOPInstanceUID).first()
        if series is not None
        else None
    )
    if image is None:
        raise NotFoundError("The study has no image with these UIDs.")
    if not 1 <= body.frame_number <= image.number_of_frames:
        raise NotFoundError(f"The image has no frame {body.frame_number}.")
    return image


def _fill(row: AnyDrawing, body: DrawingBody) -> None:
    row.kind = body.kind
    row.series_instance_uid = body.SeriesInstanceUID
    row.sop_instance_uid = body.SOPInstanceUID
    row.frame_number = body.frame_number
    row.frame_of_reference_uid = body.FrameOfReferenceUID or ""
    row.points = [list(point) for point in body.points]
    row.points_mm = [list(point) for point in body.points_mm] if body.points_mm else None
    row.plane = list(body.plane) if body.plane else None
    row.label = body.label
    if isinstance(row, Measurement):
        row.value = body.value
        row.second_value = body.second_value
        row.unit = body.unit or ""
        row.unit_source = body.unit_source
        row.statistics = body.statistics.model_dump() if body.statistics else None


def _repeated(known: AnyDrawing, study: Study, body: DrawingBody) -> AnyDrawing:
    """Answer a repeated request; an id that names something else is refused."""
    if known.study_id != study.pk:
        raise ConflictError("This 'id' is taken. Choose another.")
    if known.is_deleted:
        raise ConflictError("The measurement with this 'id' was deleted. Choose another id.")
    before = _contents(known)
    asked = _model_of(body.kind)()
    _fill(asked, body)
    if type(asked) is not type(known) or _contents(asked) != before:
        raise VersionConflictError(known)
    return known


def _contents(row: AnyDrawing) -> dict[str, Any]:
    own = {"id", "author", "updated_by", "version", "created_at", "updated_at"}
    return {name: value for name, value in drawing_document(row).items() if name not in own}


def _remember(actor: Actor, user: User, row: AnyDrawing, action: DrawingRevision.Action) -> None:
    DrawingRevision.objects.create(
        study_id=row.study_id,
        drawing_id=row.pk,
        version=row.version,
        action=action,
        state=drawing_document(row),
        user=user,
        user_name=str(user)[:150],
    )
    audit.record(
        actor,
        f"measurement.{action}",
        row.study,
        drawing=str(row.pk),
        kind=row.kind,
        version=row.version,
    )
    outbox.record(
        outbox.MeasurementChanged(facility_id=row.study.facility_id, study_id=row.study_id)
    )
