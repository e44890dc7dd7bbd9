"""Everything that a study's page shows, in a constant number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict
from uuid import UUID

from django.db.models import Count, F, Window
from django.db.models.functions import RowNumber

from archive import access, patients
from archive.access import Actor, Scope
from archive.models import AuditEvent, InstanceConflict
from worklist.models import DicomImage, Series, Study

MOST_OTHER_STUDIES = 20
MOST_EVENTS = 100
MOST_IMAGES = 2000


@dataclass(frozen=True, slots=True)
class SeriesCover:
    """A series and the image that stands for it: the middle one, as the slices go."""

    series: Series
    image_id: UUID | None
    problem: str


@dataclass(frozen=True, slots=True)
class Overview:
    """A study with its series, and the patient's other studies in scope."""

    study: Study
    series: list[SeriesCover]
    other_studies: list[Study]
    conflict_count: int


def study_overview(scope: Scope, study_id: UUID) -> Overview:
    """Return the facts of one study.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    study = access.study_for(scope, study_id)
    covers = {row["series_id"]: row for row in _covers(study)}
    series = [
        SeriesCover(
            series=row,
            image_id=covers[row.pk]["pk"] if row.pk in covers else None,
            problem=covers[row.pk]["problem"] if row.pk in covers else "",
        )
        for row in study.series.defer("metadata").order_by("series_number", "id")
    ]
    return Overview(
        study=study,
        series=series,
        other_studies=other_studies(scope, study),
        conflict_count=InstanceConflict.objects.filter(
            kept__series__study=study, resolved_at=None
        ).count(),
    )


def other_studies(scope: Scope, study: Study) -> list[Study]:
    """Return the patient's other studies, newest first; identity ends at the facility."""
    group = patients.group_ids(study.patient_id)
    rows = scope.filter(Study.objects.filter(patient__in=group)).exclude(pk=study.pk)
    return list(rows.order_by("-sort_at", "-id")[:MOST_OTHER_STUDIES])


def images_of_series(scope: Scope, series_id: UUID) -> tuple[list[DicomImage], bool]:
    """Return the instances of a series by number, and whether there are more than are listed.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    series = access.series_for(scope, series_id)
    rows = series.images.defer("frame_table", "display").order_by("instance_number", "pk")
    images = list(rows[: MOST_IMAGES + 1])
    return images[:MOST_IMAGES], len(images) > MOST_IMAGES


def history(actor: Actor, study: Study) -> list[AuditEvent]:
    """Return who did what to the study, newest first; for administrators alone."""
    if not actor.is_administrator:
        return []
    events = AuditEvent.objects.filter(target_kind="study", target_id=str(study.pk))
    return list(events.order_by("-at", "-id")[:MOST_EVENTS])


class _Cover(TypedDict):
    pk: UUID
    series_id: UUID
    problem: str


def _covers(study: Study) -> list[_Cover]:
    """Return the middle image of every series, in the order of Instance Number."""
    numbered = DicomImage.objects.filter(series__study=study).annotate(
        place=Window(
            RowNumber(), partition_by=[F("series")], order_by=[F("instance_number"), F("pk")]
        ),
        of=Window(Count("pk"), partition_by=[F("series")]),
    )
    middle = numbered.filter(place=(F("of") + 1) / 2)
    return [_Cover(**row) for row in middle.values("pk", "series_id", "problem")]
