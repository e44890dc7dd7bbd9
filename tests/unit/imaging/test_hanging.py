"""Hanging protocols: which fits, what stands where, and how it reads."""

from __future__ import annotations

import pytest

from imaging.hanging import (
    HungSeries,
    HungStudy,
    Place,
    Protocol,
    Stage,
    assign,
    choose,
    fits,
    sentence,
)

ONE = (Stage(1, 1),)


def study(modality: str = "CT", body: str = "CHEST", text: str = "CT Thorax", *series: HungSeries):
    return HungStudy(frozenset({modality}), body, text, series)


MAMMO = study(
    "MG", "BREAST", "Mammography",
    *(HungSeries(f"{side}-{view}", "MG", f"{side} {view}", side, frozenset({view}))
      for side in "RL" for view in ("CC", "MLO")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("protocol", "is_for"),
    [
        (Protocol("any", ONE), True),
        (Protocol("ct", ONE, modality="CT"), True),
        (Protocol("mr", ONE, modality="MR"), False),
        (Protocol("chest", ONE, body_part="chest"), True),
        (Protocol("knee", ONE, body_part="knee"), False),
        (Protocol("one word of two", ONE, description="lung, thorax"), True),
        (Protocol("no word", ONE, description="lung"), False),
        (Protocol("side", ONE, laterality="L"), False),
        (Protocol("view", ONE, view="CC"), False),
        (Protocol("one prior", ONE, priors=1), True),
        (Protocol("two priors", ONE, priors=2), False),
    ],
    ids=lambda value: value.name if isinstance(value, Protocol) else "",
)
def test_what_a_protocol_is_for(protocol: Protocol, is_for: bool) -> None:
    assert fits(protocol, study(), 1) is is_for


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (("site", "own"), "own"),
        (("late", "early"), "early"),
        (("broad", "narrow"), "narrow"),
        (("b", "a"), "a"),
        (("wrong",), None),
    ],
    ids=["own before site", "priority", "says more", "by name", "none fits"],
)
def test_the_choice(names: tuple[str, ...], first: str | None) -> None:
    known = {
        "site": Protocol("site", ONE, priority=1, modality="CT"),
        "own": Protocol("own", ONE, is_own=True),
        "late": Protocol("late", ONE, priority=5, modality="CT"),
        "early": Protocol("early", ONE, priority=4),
        "broad": Protocol("broad", ONE, modality="CT"),
        "narrow": Protocol("narrow", ONE, modality="CT", body_part="chest"),
        "a": Protocol("a", ONE),
        "b": Protocol("b", ONE),
        "wrong": Protocol("wrong", ONE, modality="US"),
    }
    chosen = choose([known[name] for name in names], study(), 0)
    assert (chosen.name if chosen else None) == first


def test_mammography_stands_face_to_face() -> None:
    places = tuple(Place(laterality=side, view=view) for view in ("CC", "MLO") for side in "RL")
    hung = assign(Stage(2, 2, places=places), [MAMMO])
    assert hung == [(0, "R-CC"), (0, "L-CC"), (0, "R-MLO"), (0, "L-MLO")]
    assert fits(Protocol("both", ONE, laterality="B", view="MLO"), MAMMO, 0)


def test_places_that_ask_choose_before_those_that_take_what_is_left() -> None:
    now = study("CT", "", "", HungSeries("a", "CT", "lung"), HungSeries("b", "CT", "soft"))
    before = study("CT", "", "", HungSeries("c", "CT", "lung"))
    stage = Stage(1, 4, places=(Place(), Place(description="lung"), Place(prior=1)))
    assert assign(stage, [now, before]) == [(0, "b"), (0, "a"), (1, "c"), None]
    assert assign(stage, [now]) == [(0, "b"), (0, "a"), None, None]


def test_a_series_stands_twice_only_where_it_is_asked_for() -> None:
    now = study("CT", "", "", HungSeries("a", "CT", "lung"))
    assert assign(Stage(1, 2), [now]) == [(0, "a"), None]
    twice = Stage(1, 2, places=(Place(modality="CT"), Place(modality="CT")))
    assert assign(twice, [now]) == [(0, "a"), (0, "a")]


def test_it_reads_like_a_sentence() -> None:
    stages = (
        Stage(1, 2, "Compare", (Place(description="lung"), Place(prior=1, description="lung"))),
        Stage(2, 2),
    )
    protocol = Protocol("x", stages, modality="CT", body_part="CHEST", description="low dose",
                        laterality="L", priors=1)  # fmt: skip
    assert sentence(protocol) == (
        "CT of chest, described as “low dose”, left side, with 1 prior: "
        "Compare, 1 × 2 with “lung”, “lung” of prior 1; then 2 × 2."
    )
    assert sentence(Protocol("y", ONE)) == "Every study: 1 × 1."
