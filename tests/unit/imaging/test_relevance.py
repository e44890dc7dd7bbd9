"""Which earlier studies are shown first: a table of cases that readers agree on."""

from __future__ import annotations

from datetime import date

import pytest

from imaging.relevance import StudyFacts, ordered, regions_of, relevance_of


def facts(day: str | None, modalities: str, words: str) -> StudyFacts:
    return StudyFacts(
        date.fromisoformat(day) if day else None, frozenset(modalities.split()), words
    )


@pytest.mark.parametrize(
    ("words", "regions"),
    [
        ("CHEST", {"chest"}),
        ("CT des Schädels", {"head"}),
        ("Abdomen^Routine Pelvis", {"abdomen", "pelvis"}),
        ("LWS in 2 Ebenen", {"spine"}),
        ("THORAX_PA", {"chest"}),
        ("PET/CT whole body", {"whole"}),
        ("Petrous bone", set()),
        ("", set()),
    ],
    ids=lambda value: value or "nothing" if isinstance(value, str) else "",
)
def test_regions(words: str, regions: set[str]) -> None:
    assert regions_of(words) == regions


NOW = facts("2026-05-01", "CT SR", "CHEST CT Thorax nativ")


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (facts("2020-01-01", "CT", "CT Chest"), facts("2026-04-01", "MR", "Knee left")),
        (facts("2024-01-01", "CT", "CT Chest"), facts("2025-01-01", "DX", "Chest PA")),
        (facts("2025-01-01", "CT", "CT Chest"), facts("2024-01-01", "CT", "CT Chest")),
        (facts("2024-01-01", "CT", "Abdomen"), facts("2024-01-01", "CT", "Knee")),
        (facts("2020-01-01", "CT", "CT Chest"), facts("2026-06-01", "CT", "CT Chest")),
        (facts("2024-01-01", "PT CT", "PET whole body"), facts("2024-01-01", "CT", "Hand")),
        (facts("2024-01-01", "CT", "CT Chest"), facts(None, "CT", "CT Chest")),
        (facts("2024-01-01", "PT", "Chest"), facts("2024-01-01", "SR", "Chest")),
    ],
    ids=["region", "modality", "nearer in time", "neighbour", "earlier", "whole body", "dated",
         "pictures"],
)  # fmt: skip
def test_the_better_stands_first(better: StudyFacts, worse: StudyFacts) -> None:
    for others in ([("b", better), ("w", worse)], [("w", worse), ("b", better)]):
        assert [name for name, _ in ordered(NOW, others)] == ["b", "w"]


def test_reasons_and_interval_are_told() -> None:
    found = relevance_of(NOW, facts("2025-05-01", "CT", "Thorax"))
    assert found.reasons == ("same region (chest)", "same modality")
    assert found.interval_days == 365
    assert relevance_of(NOW, facts("2026-05-03", "CT", "Thorax")).interval_days == -2
