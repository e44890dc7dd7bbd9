"""Whether a study is all there, as far as anybody can tell.

Gaps in the numbers of a series' images show what is missing between the first and the last. Who
knows more registers a source: MPPS lists what the modality made, storage commitment what it sent.
What is found is kept on the study with the number of images that it was found for: when more have
come since, it says nothing any more, and the next look brings it up to date.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from archive import jobs, outbox, runner
from archive.access import EVERYTHING, study_for
from archive.errors import NotFoundError
from archive.sentences import spoken
from worklist.models import DicomImage, Series, Study

# While a study still comes, everything that has not come yet would be missing.
QUIET = timedelta(seconds=10)
_MOST_RANGES = 6
_LEAST_IMAGES = 3
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Expectation:
    """What somebody says belongs to a study.

    Attributes
    ----------
    source : who says so, as people read it: `MPPS`
    series_instance_uid : of the series that the instances belong to; empty where that is not said
    sop_instance_uids : of the instances
    """

    source: str
    series_instance_uid: str
    sop_instance_uids: frozenset[str]


@dataclass(slots=True)
class Completeness:
    """What a look found.

    Attributes
    ----------
    here : images of the study when it was looked at
    missing : images that are known to be missing
    series : what is missing of a series, in a sentence, by our id of the series
    words : everything that is missing, a sentence each
    sources : on what it rests; empty for the numbers alone
    """

    here: int = 0
    missing: int = 0
    series: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    @property
    def expected(self) -> int:
        """How many images there should be."""
        return self.here + self.missing


Source = Callable[[Study], Iterable[Expectation]]
_SOURCES: list[Source] = []


def source(function: Source) -> Source:
    """Register a function that says what belongs to a study."""
    _SOURCES.append(function)
    return function


def of(study: Study) -> Completeness | None:
    """Return what is known of a study as it is now; None while nothing is."""
    kept: dict[str, Any] | None = study.completeness
    if not kept or kept.get("here") != study.instance_count:
        return None
    return Completeness(**kept)


def request_look(study_id: UUID | str) -> None:
    """Queue a look, in the present transaction; a source calls it when it knows something new."""
    jobs.enqueue("completeness.look", str(study_id), study_id=str(study_id))


@runner.subscriber(outbox.InstanceStored.kind)
def look_when_quiet(payloads: runner.Payloads) -> None:
    """Queue a look at each study that got images, for when no more come."""
    for study_id in {payload["study_id"] for payload in payloads}:
        pause = QUIET.total_seconds()
        jobs.enqueue("completeness.look", study_id, delay_s=pause, study_id=study_id)


@runner.subscriber(outbox.StudyChanged.kind)
def look_again(payloads: runner.Payloads) -> None:
    """Queue a look at each changed study: something may have been deleted or restored."""
    for study_id in {payload["study_id"] for payload in payloads}:
        request_look(study_id)


@jobs.handler("completeness.look")
def look_at(study_id: str) -> None:
    """Look at a study and keep what was found; waits while images still come."""
    try:
        study = study_for(EVERYTHING, UUID(study_id))
    except NotFoundError:
        return  # deleted meanwhile
    quiet_for = timezone.now() - study.last_received_at
    if quiet_for < QUIET:
        rest = (QUIET - quiet_for).total_seconds()
        jobs.enqueue("completeness.look", study_id, delay_s=rest, study_id=study_id)
        return
    found = asdict(look(study))
    if found == study.completeness:
        return
    with transaction.atomic():
        Study.objects.filter(pk=study.pk).update(completeness=found)
        outbox.record(outbox.StudyChanged(facility_id=study.facility_id, study_id=study.pk))


def look(study: Study) -> Completeness:
    """Find out what is missing of a study; nothing is written.

    Where a source names the instances of a series, its numbers are not asked.
    """
    found = Completeness(here=study.instance_count)
    expected = [entry for function in _SOURCES for entry in function(study)]
    told = {entry.series_instance_uid for entry in expected} | _named_whole(study, expected)
    series = {row.series_instance_uid: row for row in Series.objects.filter(study=study)}
    absent: set[str] = set()
    for entry in expected:
        if entry.source not in found.sources:
            found.sources.append(entry.source)
        missing = _absent(study, entry.sop_instance_uids) - absent
        absent |= missing
        if missing:
            count, of_all = len(missing), len(entry.sop_instance_uids)
            said = (
                f"{count} of {of_all} images that {entry.source} names "
                f"{'has' if count == 1 else 'have'} not come."
            )
            _note(found, series.get(entry.series_instance_uid), len(missing), said)
    for uid, row in sorted(series.items(), key=lambda item: (item[1].series_number or 0, item[0])):
        if uid in told:
            continue
        numbers = DicomImage.objects.filter(series=row, has_pixels=True).exclude(
            instance_number=None
        )
        gaps = missing_numbers(numbers.values_list("instance_number", flat=True))
        if gaps:
            ranges = _ranges(gaps)
            said = (
                f"Image {ranges} is missing." if len(gaps) == 1 else f"Images {ranges} are missing."
            )
            _note(found, row, len(gaps), said)
    return found


def missing_numbers(numbers: Iterable[int | None]) -> list[int]:
    """Return the Instance Numbers that a series leaves out between its first and its last.

    A series that counts in steps leaves out nothing by that. One that leaves out more than it has
    does not count its images: nothing is said of it.

    Parameters
    ----------
    numbers : (0020,0013) of its images, in any order

    Examples
    --------
    >>> missing_numbers([1, 2, 5, 6, 7])
    [3, 4]
    >>> missing_numbers([2, 4, 6, 10])
    [8]
    >>> missing_numbers([1, 500, 90000])
    []

    References
    ----------
    DICOM PS3.3 C.7.6.1.
    """
    present = sorted({number for number in numbers if number is not None})
    if len(present) < _LEAST_IMAGES:
        return []
    steps = Counter(after - before for before, after in itertools.pairwise(present))
    step = min(steps, key=lambda size: (-steps[size], size))
    span = (present[-1] - present[0]) // step + 1
    if span - len(present) > len(present):
        return []
    if any(number % step for number in (after - present[0] for after in present)):
        return []
    there = set(present)
    return [n for n in range(present[0], present[-1], step) if n not in there]


def _absent(study: Study, uids: frozenset[str]) -> set[str]:
    """Return those that are not here; what was deleted has come once and is not missing."""
    absent = set(uids)
    wanted = sorted(uids)
    for start in range(0, len(wanted), _BATCH):
        rows = DicomImage.with_deleted.filter(
            facility=study.facility_id, sop_instance_uid__in=wanted[start : start + _BATCH]
        )
        absent.difference_update(rows.values_list("sop_instance_uid", flat=True))
    return absent


def _named_whole(study: Study, expected: list[Expectation]) -> set[str]:
    """Return the series of which every image is in a list that does not say of which series."""
    lists = [entry.sop_instance_uids for entry in expected if not entry.series_instance_uid]
    if not lists:
        return set()
    named = frozenset().union(*lists)
    rows = DicomImage.objects.filter(series__study=study)
    images = rows.values_list("series__series_instance_uid", "sop_instance_uid")
    seen, unnamed = set(), set()
    for series_uid, uid in images:
        seen.add(series_uid)
        if uid not in named:
            unnamed.add(series_uid)
    return seen - unnamed


def _note(found: Completeness, series: Series | None, count: int, said: str) -> None:
    found.missing += count
    if series is None:
        found.words.append(said)
        return
    key = str(series.pk)
    found.series[key] = f"{found.series[key]} {said}" if key in found.series else said
    rest, number = f"{said[0].lower()}{said[1:]}", series.series_number
    found.words.append(
        spoken(f"A series: {rest}") if number is None else spoken(f"Series {number}: {rest}")
    )


def _ranges(numbers: list[int]) -> str:
    """Write numbers as people do: `5 to 8, 12`."""
    parts = [f"{a}" if a == b else f"{a} to {b}" for a, b in _runs(numbers)]
    if len(parts) > _MOST_RANGES:
        parts = [*parts[:_MOST_RANGES], "…"]
    return ", ".join(parts)


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    start = before = numbers[0]
    for number in numbers[1:]:
        if number != before + 1:
            yield start, before
            start = number
        before = number
    yield start, before
