"""What is missing of a study: by the numbers of its images, and by what others say of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pydicom.dataset import Dataset

from accounts.models import User
from archive import completeness, deletions, runner
from archive.access import actor_of
from archive.completeness import Expectation, missing_numbers
from archive.models import Job, JobState, OutboxEvent
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def study(store: Path, facility: Facility) -> Study:
    """Images 1, 2, 5 and 6 of series 3."""
    first = make_instance(SeriesNumber=3)
    send(facility, first, 2, 5, 6)
    return Study.objects.get()


def send(facility: Facility, first: Dataset, *numbers: int) -> None:
    if first.InstanceNumber == 1 and 2 in numbers:
        factories.store_bytes(to_bytes(first), facility)
    for number in numbers:
        ds = make_instance(
            StudyInstanceUID=first.StudyInstanceUID,
            SeriesInstanceUID=first.SeriesInstanceUID,
            SeriesNumber=first.SeriesNumber,
            InstanceNumber=number,
        )
        factories.store_bytes(to_bytes(ds), facility)


def settle() -> Study:
    """Let the quiet time pass and do the work."""
    runner.drain()
    Study.objects.update(last_received_at=timezone.now() - 2 * completeness.QUIET)
    Job.objects.filter(state=JobState.QUEUED).update(run_at=timezone.now() - timedelta(seconds=1))
    runner.drain()
    return Study.objects.get()


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        pytest.param([1, 2, 3], [], id="whole"),
        pytest.param([3, 1, 2, 6], [4, 5], id="gap"),
        pytest.param([5, 6, 7], [], id="starts-late"),
        pytest.param([1, 3, 5, 7, 11], [9], id="steps-of-two"),
        pytest.param([1, 1, 2, 2, 4, 4], [3], id="numbers-twice"),
        pytest.param([1, 9], [], id="too-few"),
        pytest.param([20260101, 20260305, 20261231], [], id="no-count"),
        pytest.param([0, 4, 8, 9, 16], [], id="mixed-steps"),
        pytest.param([None, 1, 2, 4], [3], id="one-without-number"),
    ],
)
def test_gaps(numbers: list[int | None], missing: list[int]) -> None:
    assert missing_numbers(numbers) == missing


def test_a_gap_is_told_once_nothing_more_comes(study: Study, site: Client) -> None:
    runner.drain()
    assert completeness.of(Study.objects.get()) is None
    row = settle()
    found = completeness.of(row)
    assert found is not None
    assert (found.here, found.missing, found.expected) == (4, 2, 6)
    assert found.words == ["Series 3: images 3 to 4 are missing."]
    assert list(found.series.values()) == ["Images 3 to 4 are missing."]
    assert OutboxEvent.objects.filter(kind="study.changed").exists()
    shown = site.get(reverse("worklist:study-list")).content.decode()
    assert '4<span class="is-missing">/6' in shown
    assert "images 3 to 4 are missing" in shown
    page = site.get(reverse("worklist:study-detail", args=[study.pk])).content.decode()
    assert "images 3 to 4 are missing" in page
    manifest = site.get(reverse("dicom_viewer:study", args=[study.pk])).json()
    assert manifest["series"][0]["warning"].endswith(" Images 3 to 4 are missing.")


def test_what_comes_later_fills_the_gap(study: Study, facility: Facility, site: Client) -> None:
    settle()
    first = Dataset()
    first.StudyInstanceUID = study.study_instance_uid
    first.SeriesInstanceUID = study.series.get().series_instance_uid
    first.SeriesNumber, first.InstanceNumber = 3, 3
    send(facility, first, 3, 4)
    assert completeness.of(Study.objects.get()) is None
    found = completeness.of(settle())
    assert found is not None
    assert (found.here, found.missing, found.words) == (6, 0, [])
    shown = site.get(reverse("worklist:study-list")).content.decode()
    assert '6<span class="dim">/6' in shown


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Expectation]:
    """What another service says of every study."""
    said: list[Expectation] = []

    def source(_study: Study) -> Iterable[Expectation]:
        return said

    monkeypatch.setattr(completeness, "_SOURCES", [source])
    return said


def test_who_knows_the_instances_is_believed(
    study: Study, told: list[Expectation], admin_user: User
) -> None:
    series = study.series.get()
    here = list(series.images.values_list("sop_instance_uid", flat=True))
    told.append(Expectation("MPPS", series.series_instance_uid, frozenset([*here, "1.2.3"])))
    told.append(Expectation("MPPS", "1.2.9", frozenset(["1.2.3.4", "1.2.3.5"])))
    found = completeness.of(settle())
    assert found is not None
    # Its numbers 3 and 4 were never used: MPPS knows better.
    assert (found.expected, found.sources) == (7, ["MPPS"])
    assert found.words == [
        "Series 3: 1 of 5 images that MPPS names has not come.",
        "2 of 2 images that MPPS names have not come.",
    ]
    # What was deleted here is not missing.
    told[:] = [Expectation("MPPS", series.series_instance_uid, frozenset(here))]
    deletions.delete_image(actor_of(admin_user), here[0], "Blurred")
    found = completeness.of(settle())
    assert found is not None
    assert (found.here, found.missing) == (3, 0)


def test_a_look_costs_the_same_for_a_large_series(
    study: Study, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(4):
        completeness.look(study)
