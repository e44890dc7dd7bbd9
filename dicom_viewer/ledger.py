"""The ledger of what was shown beside the study's images: which of them, which of them not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from archive import csvlines
from dicom_viewer import manifest
from reports.ledger import PersonShown, SeriesShown
from reports.viewed import Times
from worklist.models import Study

COLUMNS = (
    "person", "user", "SeriesNumber", "SeriesInstanceUID", "InstanceNumber", "SOPInstanceUID",
    "frame", "shown_s", "series_first_at", "series_last_at",
)  # fmt: skip
# More of them say no more to a reader; the CSV has all.
_MOST_GAPS = 12


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """A series, and what of it one person was shown.

    Attributes
    ----------
    gaps : places that were not shown, counted as the viewer counts them: `3-7, 12`
    """

    document: dict[str, Any]
    shown_count: int
    count: int
    gaps: str
    shown_ms: int
    first_at: datetime | None
    last_at: datetime | None

    @property
    def missing_count(self) -> int:
        """How many frames were not shown."""
        return self.count - self.shown_count


@dataclass(frozen=True, slots=True)
class PersonLines:
    """One person's part of the ledger."""

    name: str
    user_id: UUID | None
    series: list[SeriesLine]

    @property
    def shown_count(self) -> int:
        """Frames that were shown."""
        return sum(line.shown_count for line in self.series)

    @property
    def count(self) -> int:
        """Frames that there are to be shown."""
        return sum(line.count for line in self.series)

    @property
    def shown_ms(self) -> int:
        """How long they were, in all."""
        return sum(line.shown_ms for line in self.series)


def people(study: Study, shown: Iterable[PersonShown]) -> list[PersonLines]:
    """Return each person's part, series that were not shown to them among it."""
    documents = [
        (one, _frames(one)) for one in manifest.series_documents(study) if one["kind"] == "image"
    ]
    return [
        PersonLines(
            name=person.name,
            user_id=person.user_id,
            series=[
                _line(document, frames, person.series.get(UUID(document["id"])))
                for document, frames in documents
                if frames
            ],
        )
        for person in shown
    ]


def lines(study: Study, shown: Iterable[PersonShown]) -> Iterator[str]:
    """Yield the ledger as CSV, a line for each person and frame, in the order of reading.

    Images that the study has no more keep their line, by our id of them.
    """
    documents = {UUID(one["id"]): one for one in manifest.series_documents(study)}
    order = {key: place for place, key in enumerate(documents)}
    yield csvlines.line(COLUMNS)
    for person in shown:
        for key in sorted(person.series, key=lambda one: order.get(one, len(order))):
            for values in _frame_lines(documents.get(key), person.series[key]):
                yield csvlines.line((person.name, person.user_id or "", *values))


def _frame_lines(
    document: dict[str, Any] | None, shown: SeriesShown
) -> Iterator[tuple[object, ...]]:
    images = document["images"] if document else []
    facts = {image["id"]: image for image in images}
    order = {image_id: place for place, image_id in enumerate(facts)}
    for image_id in sorted(shown.times, key=lambda one: order.get(one, len(order))):
        image = facts.get(image_id)
        for frame_number, shown_ms in sorted(shown.times[image_id].items()):
            yield (
                _said(document, "SeriesNumber"),
                _said(document, "SeriesInstanceUID"),
                _said(image, "InstanceNumber"),
                _said(image, "SOPInstanceUID") or image_id,
                frame_number,
                f"{shown_ms / 1000:.3f}",
                shown.first_at.astimezone(UTC).isoformat(),
                shown.last_at.astimezone(UTC).isoformat(),
            )


def _said(document: dict[str, Any] | None, key: str) -> object:
    value = document[key] if document else None
    return "" if value is None else value


def _frames(document: dict[str, Any]) -> list[tuple[str, int]]:
    """Return the frames of a series in the order of reading, those that can be drawn."""
    return [
        (image["id"], number)
        for image in document["images"]
        if image["transport"] is not None
        for number in range(1, max(1, image["NumberOfFrames"] or 1) + 1)
    ]


def _line(
    document: dict[str, Any], frames: list[tuple[str, int]], shown: SeriesShown | None
) -> SeriesLine:
    times: Times = shown.times if shown else {}
    missing = [
        place
        for place, (image_id, number) in enumerate(frames, start=1)
        if number not in times.get(image_id, {})
    ]
    return SeriesLine(
        document=document,
        shown_count=len(frames) - len(missing),
        count=len(frames),
        gaps=gaps(missing) if shown else "",
        shown_ms=sum(sum(its.values()) for its in times.values()),
        first_at=shown.first_at if shown else None,
        last_at=shown.last_at if shown else None,
    )


def gaps(places: Iterable[int]) -> str:
    """Write ascending numbers as runs.

    Examples
    --------
    >>> gaps([3, 4, 5, 12])
    '3–5, 12'
    """
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1][1:] = [place]
        else:
            runs.append([place])
    words = ["–".join(map(str, run)) for run in runs]
    return ", ".join([*words[:_MOST_GAPS], "…"] if len(words) > _MOST_GAPS else words)
