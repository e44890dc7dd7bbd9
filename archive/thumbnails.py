"""After an instance arrived: is it decodable, its frames for the wire, the thumbnail of its series.

Compressed frames are decoded once in the background, which finds what cannot be shown, and are kept
as HTJ2K for the viewer: JPEG 2000 takes 20 ms a frame, and a reader should not wait for it.
Uncompressed ones are encoded when they are first asked for: that takes 2 ms, a batch of 32 arrives
in the time of two pictures on the screen, and nobody asks for most of them.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from uuid import UUID

from django.db import transaction
from django.db.models import Case, IntegerField, Value, When

from archive import jobs, outbox, runner
from archive.errors import UndecodableError
from imaging.part10 import VIDEO
from worklist.models import DicomImage, Series, Study

_DELAY_S = 0.5
# Other jobs wait while one runs: the rest of the images goes to the end of the queue.
SLICE_S = 1.0
# Slides have a hundred thousand tiles, of which few are ever looked at.
_MOST_PREPARED_FRAMES = 256


@runner.subscriber(outbox.InstanceStored.kind)
def queue_jobs(payloads: runner.Payloads) -> None:
    """Queue the jobs for a batch of stored instances."""
    images: dict[str, list[str]] = defaultdict(list)
    for payload in payloads:
        images[payload["series_id"]].append(payload["image_id"])
    for series_id, image_ids in images.items():
        jobs.enqueue("images.prepare", image_ids[0], image_ids=image_ids)
        jobs.enqueue("thumbnail.make", series_id, delay_s=_DELAY_S, series_id=series_id)


@jobs.handler("images.prepare")
def prepare(image_ids: list[str]) -> None:
    """Say of each image whether it can be shown, and encode the frames of compressed ones."""
    deadline = time.monotonic() + SLICE_S
    rows = DicomImage.objects.select_related("series").in_bulk([UUID(key) for key in image_ids])
    for number, key in enumerate(image_ids, start=1):
        image = rows.get(UUID(key))
        # A video's frames are decoded when they are asked for: few ever are.
        if image is not None and image.has_pixels and image.transfer_syntax_uid not in VIDEO:
            _prepare(image)
        if number < len(image_ids) and time.monotonic() > deadline:
            rest = image_ids[number:]
            jobs.enqueue("images.prepare", rest[0], image_ids=rest)
            return


def _prepare(image: DicomImage) -> None:
    from archive import retrieve  # noqa: PLC0415 - the receiver never loads a decoder

    reason = retrieve.problem(image)
    if not reason and retrieve.is_compressed(image):
        reason = _encode(image, retrieve.transport(image))
    if reason == image.problem:
        return
    with transaction.atomic():
        DicomImage.objects.filter(pk=image.pk).update(problem=reason[:255])
        outbox.record(
            outbox.StudyChanged(facility_id=image.facility_id, study_id=image.series.study_id)
        )


def _encode(image: DicomImage, transport: str | None) -> str:
    """Bring the frames into the cache; returns why none of those that were tried can be shown."""
    from archive import retrieve  # noqa: PLC0415

    form = retrieve.Form.HTJ2K if transport == "jphc" else retrieve.Form.RAW
    count = max(1, image.number_of_frames)
    middle = retrieve.middle_frame(image)
    others = (number for number in range(1, count + 1) if number != middle)
    tried = [middle, *itertools.islice(others, _MOST_PREPARED_FRAMES - 1)]
    if form is retrieve.Form.RAW:
        # Wide frames travel as they are and are not kept: a look at one of them will do.
        tried = tried[:1]
    reason, failures = "", 0
    for looked_at, number in enumerate(tried, start=1):
        try:
            retrieve.frame(image, number, retrieve.Rendering(form))
        except UndecodableError as error:
            reason = reason or str(error)
            failures += 1
            if failures == looked_at == 2:
                # Neither the middle one nor the next: the others would only cost time.
                return reason
    return reason if failures == len(tried) else ""


@jobs.handler("thumbnail.make")
def make(series_id: str) -> None:
    """Draw the thumbnail of a series and tell the lists that it is there."""
    from archive import retrieve  # noqa: PLC0415

    series = Series.objects.select_related("study").filter(pk=UUID(series_id)).first()
    image = None if series is None else image_of_series(series)
    if series is None or image is None:
        return
    retrieve.thumbnail(image)
    outbox.record(
        outbox.StudyChanged(facility_id=series.study.facility_id, study_id=series.study_id)
    )


def image_of_series(series: Series) -> DicomImage | None:
    """Return the instance that stands for a series: the middle one of those that can be shown."""
    images = DicomImage.objects.filter(series=series).order_by("instance_number", "id")
    shown = images.filter(has_pixels=True, problem="")
    for rows in (shown, images.filter(has_pixels=True), images):
        count = rows.count()
        if count:
            return rows.select_related("series__study")[count // 2]
    return None


def image_of_study(study: Study) -> DicomImage | None:
    """Return the instance that stands for a study.

    It comes from the series with the most images of the modality that stands for the study: neither
    the scout nor the report.
    """
    rank = Case(
        When(modality=study.modality, then=Value(0)),
        default=Value(1),
        output_field=IntegerField(),
    )
    series = (
        Series.objects.filter(study=study, instance_count__gt=0)
        .annotate(rank=rank)
        .order_by("rank", "-frame_count", "series_number", "id")
        .first()
    )
    return None if series is None else image_of_series(series)
