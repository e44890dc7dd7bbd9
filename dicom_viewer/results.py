"""What is drawn on a study, written as DICOM objects that any system reads, and kept in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from pydicom.uid import generate_uid

from archive import access, audit, ingest, spool
from archive.access import Actor
from archive.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    PermanentError,
    TooLargeError,
)
from archive.headers import header_of
from archive.ingest import Outcome, Provenance
from archive.series_numbers import free_series_number
from dicom_viewer import services
from dicom_viewer.models import Measurement, StoredResult
from imaging.errors import ImagingError
from imaging.measured import Drawn, Value
from worklist.models import DicomImage, Study

if TYPE_CHECKING:
    from dicom_viewer.bodies import ResultsBody
    from dicom_viewer.services import AnyDrawing
    from imaging.measured_write import Frame

Kind = StoredResult.Kind

# Beyond this an object would be too long for those who read it.
_MOST_IMAGES = 2000
# A report of so many takes seconds of a processor: highdicom copies its tree at each step.
_MOST_DRAWINGS = 500
_DESCRIPTIONS = {
    Kind.REPORT: "Measurements",
    Kind.STATE: "Measurements (graphics)",
    Kind.KEY_OBJECTS: "Key images",
    Kind.SEGMENTATION: "Segmentation",
}
_NAMES_BY_UNIT = {"mm": "Length", "px": "Length", "mm2": "Area", "px2": "Area", "deg": "Angle"}


@dataclass(frozen=True, slots=True)
class Job:
    """One object that is to be written."""

    kind: Kind
    contents: dict[str, Any]
    write: Callable[[Frame], bytes]


def store_results(actor: Actor, study_id: UUID, body: ResultsBody) -> list[StoredResult]:
    """Write what is drawn on a study as objects of it; what was written before stays.

    Parameters
    ----------
    body : which kinds; `key_images` names those of a key object selection, by default every image
        that something is drawn on

    Raises
    ------
    ForbiddenError
        When the role does not measure.
    InvalidInputError
        When there is nothing to write.
    ConflictError
        When exactly this was written already.
    NotFoundError
        When the study has no such image.
    """
    if not actor.can_annotate:
        raise ForbiddenError("Your role looks at studies and does not store results in them.")
    study = access.study_for(actor.scope, study_id)
    # A drawing in a reformatted plane lies on no image: its pixels there would be a wrong place.
    drawings = [row for row in services.drawings_of(study) if row.plane is None]
    jobs = _jobs(study, drawings, body)
    latest = _latest(study)
    fresh = [job for job in jobs if job.contents not in latest.get(job.kind, [])]
    if not fresh:
        raise ConflictError(
            "This is stored in the study already. Measure or mark something else first."
        )
    person = services.user_of(actor)
    number = free_series_number(study)
    series: dict[Kind, tuple[str, int]] = {}
    counts: dict[Kind, int] = {}
    stored = []
    for job in fresh:
        if job.kind not in series:
            series[job.kind] = (generate_uid(prefix=None), number + len(series))
        counts[job.kind] = counts.get(job.kind, 0) + 1
        frame = _frame(study, str(person), job.kind, series[job.kind], counts[job.kind])
        stored.append(_store(actor, study, job, frame, person))
    return stored


def store_object(actor: Actor, study: Study, job: Job, *, description: str) -> StoredResult:
    """Write one object into a series of its own.

    Raises
    ------
    PermanentError
        When it cannot be written, in words.
    """
    person = services.user_of(actor)
    series = (generate_uid(prefix=None), free_series_number(study))
    frame = _frame(study, str(person), job.kind, series, 1)
    return _store(actor, study, job, replace(frame, series_description=description), person)


def results_of(actor: Actor, study_id: UUID) -> list[StoredResult]:
    """Return what was stored of a study, oldest first."""
    study = access.study_for(actor.scope, study_id)
    return list(_kept(study))


def result_document(row: StoredResult) -> dict[str, Any]:
    """Return one stored object as JSON."""
    series = row.image.series
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "name": row.get_kind_display(),
        "image_id": str(row.image_id),
        "SOPClassUID": row.image.sop_class_uid,
        "SOPInstanceUID": row.image.sop_instance_uid,
        "SeriesInstanceUID": series.series_instance_uid,
        "SeriesNumber": series.series_number,
        "SeriesDescription": series.series_description,
        "author": row.author_name,
        "created_at": row.created_at.isoformat(),
        "file_url": f"/api/v1/dicom/image/{row.image_id}/file",
    }


def _kept(study: Study) -> Iterable[StoredResult]:
    """Return what is still there: instances can be deleted."""
    return StoredResult.objects.filter(study=study, image__deletion_id=None).select_related(
        "image__series"
    )


def _latest(study: Study) -> dict[str, list[Any]]:
    """Return, for each kind, the contents of the series that was written last."""
    found: dict[str, tuple[UUID, list[Any]]] = {}
    for row in _kept(study):
        series_id = row.image.series_id
        before = found.get(row.kind)
        if before is None or before[0] != series_id:
            found[row.kind] = (series_id, [])
        found[row.kind][1].append(row.contents)
    return {kind: contents for kind, (_, contents) in found.items()}


def _jobs(study: Study, drawings: Sequence[AnyDrawing], body: ResultsBody) -> list[Job]:
    kinds = dict.fromkeys(Kind(kind) for kind in body.kinds)
    keys = [(one.SOPInstanceUID, one.frame_number) for one in body.key_images]
    if not keys and Kind.KEY_OBJECTS in kinds:
        keys = list(dict.fromkeys((row.sop_instance_uid, row.frame_number) for row in drawings))
    if not drawings and kinds.keys() & {Kind.REPORT, Kind.STATE}:
        raise InvalidInputError("Nothing is drawn on this study yet. Measure something first.")
    if len(drawings) > _MOST_DRAWINGS and kinds.keys() & {Kind.REPORT, Kind.STATE}:
        raise TooLargeError(
            f"{len(drawings)} drawings are more than one report takes ({_MOST_DRAWINGS}). Delete "
            "those that nobody needs any more."
        )
    if not keys and Kind.KEY_OBJECTS in kinds:
        raise InvalidInputError("No image is marked yet. Name key images, or measure first.")
    images = _images(study, drawings, keys)
    headers = {uid: header_of(image) for uid, image in images.items()}
    # highdicom takes a second to load: processes that write nothing never do.
    from imaging import measured_write  # noqa: PLC0415

    def version(rows: Iterable[AnyDrawing]) -> dict[str, Any]:
        return {"drawings": {str(row.pk): row.version for row in rows}}

    drawn = [drawn_of(row, images) for row in drawings]
    jobs = []
    if Kind.REPORT in kinds:
        before = [row.image for row in _kept(study) if row.kind == Kind.REPORT][-1:]
        previous = [header_of(image) for image in before]
        jobs.append(
            Job(
                Kind.REPORT,
                version(drawings),
                lambda frame: measured_write.write_report(drawn, headers, frame, previous=previous),
            )
        )
    if Kind.STATE in kinds:
        by_series: dict[tuple[UUID, int | None], list[int]] = {}
        for at, row in enumerate(drawings):
            image = images[row.sop_instance_uid]
            place = (image.series_id, image.samples_per_pixel)
            by_series.setdefault(place, []).append(at)
        jobs += [
            Job(
                Kind.STATE,
                version(drawings[at] for at in its),
                lambda frame, its=its: measured_write.write_states(  # type: ignore[misc]
                    [drawn[at] for at in its], headers, frame
                ),
            )
            for its in by_series.values()
        ]
    if Kind.KEY_OBJECTS in kinds:
        chosen = [
            (uid, number if images[uid].number_of_frames > 1 else None) for uid, number in keys
        ]
        jobs.append(
            Job(
                Kind.KEY_OBJECTS,
                {"keys": [list(key) for key in keys], "description": body.description},
                lambda frame: measured_write.write_key_objects(
                    chosen, headers, frame, body.description
                ),
            )
        )
    return jobs


def _images(
    study: Study, drawings: Sequence[AnyDrawing], keys: Sequence[tuple[str, int]]
) -> dict[str, DicomImage]:
    names = dict.fromkeys([row.sop_instance_uid for row in drawings] + [uid for uid, _ in keys])
    if len(names) > _MOST_IMAGES:
        raise TooLargeError(f"At most {_MOST_IMAGES} images are written into one object.")
    known = access.images_named(access.EVERYTHING, study.facility_id, names)
    found = {uid: image for uid, image in known.items() if image.series.study_id == study.pk}
    for uid, number in keys:
        if uid not in found:
            raise NotFoundError("The study has no image with this SOP Instance UID.")
        if number > max(found[uid].number_of_frames, 1):
            raise NotFoundError(f"The image has no frame {number}.")
    if any(row.sop_instance_uid not in found for row in drawings):
        raise ConflictError(
            "An image that was measured is no longer in the study. Delete its measurements first."
        )
    return found


def drawn_of(row: AnyDrawing, images: dict[str, DicomImage]) -> Drawn:
    """Return a drawing as objects and sheets are made of it."""
    image = images[row.sop_instance_uid]
    return Drawn(
        tracking_uid=f"2.25.{row.pk.int}",
        kind=row.kind,
        sop_instance_uid=row.sop_instance_uid,
        frame_number=row.frame_number if image.number_of_frames > 1 else None,
        points=tuple((float(column), float(line)) for column, line in row.points),
        label=row.label,
        values=tuple(_values(row)),
        unit_source=row.unit_source if isinstance(row, Measurement) else "",
    )


def _values(row: AnyDrawing) -> Iterable[Value]:
    if not isinstance(row, Measurement) or row.value is None:
        return
    yield Value(_NAMES_BY_UNIT.get(row.unit, "Value"), row.value, row.unit)
    for name in ("Mean", "SD", "Min", "Max", "Peak"):
        number = (row.statistics or {}).get(name.lower())
        if number is not None:
            yield Value(name, float(number), (row.statistics or {}).get("unit") or "")


def _frame(
    study: Study, author: str, kind: Kind, series: tuple[str, int], instance_number: int
) -> Frame:
    from imaging.measured_write import Frame as Made  # noqa: PLC0415 - see `_jobs`

    return Made(
        sop_instance_uid=generate_uid(prefix=None),
        series_instance_uid=series[0],
        series_number=series[1],
        instance_number=instance_number,
        series_description=_DESCRIPTIONS[kind],
        author=author,
        at=timezone.localtime(),
        institution=study.facility.name,
    )


def _store(actor: Actor, study: Study, job: Job, frame: Frame, person: Any) -> StoredResult:  # noqa: ANN401
    try:
        content = job.write(frame)
    except ImagingError as error:
        raise PermanentError(str(error)) from error
    provenance = Provenance(
        facility=study.facility,
        source=f"viewer, by {actor.name}",
        expected_study_instance_uid=study.study_instance_uid,
        is_demo=study.is_demo,
    )
    with spool.spool_chunks([content]) as spooled:
        result = ingest.ingest_instance(spooled, provenance)
    if result.outcome is not Outcome.STORED:
        raise ConflictError("The object could not be stored under a new identity. Try again.")
    with transaction.atomic():
        row = StoredResult.objects.create(
            study=study,
            image_id=result.image_id,
            kind=job.kind,
            contents=job.contents,
            author=person,
            author_name=str(person)[:150],
        )
        audit.record(actor, "result.store", study, kind=str(job.kind), image=str(result.image_id))
    return row
