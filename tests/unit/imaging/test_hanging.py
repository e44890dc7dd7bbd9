"""Hanging protocols: which fits, what stands where, and how it reads."""

from __future__ import annotations

import pytest

from imaging.built_in_layouts import PROTOCOLS
from imaging.hanging import (
    Hung,
    HungImage,
    HungSeries,
    HungStudy,
    Place,
    Protocol,
    Stage,
    assign,
    fits,
    hang,
    ranked,
    sentence,
)

ONE = (Stage(1, 1),)


def study(modality: str = "CT", body: str = "CHEST", text: str = "CT Thorax", *series: HungSeries):
    return HungStudy(frozenset({modality}), body, text, series)


MAMMO = study(
    "MG", "BREAST", "Mammography",
    *(HungSeries(f"{side}-{view}", "MG", f"{side} {view}",
                 images=(HungImage(f"{side}-{view} image", side, view),))
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
        (("b", "a"), "b"),
        (("built in", "broad"), "broad"),
        (("wrong",), None),
    ],
    ids=["own before site", "priority", "says more", "as given", "built in last", "none fits"],
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
        "built in": Protocol("built in", ONE, priority=1, modality="CT", is_built_in=True),
        "wrong": Protocol("wrong", ONE, modality="US"),
    }
    chosen = ranked([known[name] for name in names], study(), 0)
    assert (chosen[0].name if chosen else None) == first


def test_mammography_stands_face_to_face() -> None:
    places = tuple(Place(laterality=side, view=view) for view in ("CC", "MLO") for side in "RL")
    hung = assign(Stage(2, 2, places=places), [MAMMO])
    assert hung == [
        Hung(0, f"{name}", f"{name} image") for name in ("R-CC", "L-CC", "R-MLO", "L-MLO")
    ]
    assert fits(Protocol("both", ONE, laterality="B", view="MLO"), MAMMO, 0)


def test_images_of_one_series_are_told_apart() -> None:
    images = tuple(
        HungImage(f"{side}{view}", side, view) for view in ("MLO", "CC") for side in "LR"
    )
    one = study("MG", "", "", HungSeries("all", "MG", images=images))
    found = hang(PROTOCOLS, [one])
    assert found is not None
    protocol, stages = found
    assert protocol.name == "Mammography"
    assert [place and place.image for place in stages[0][1]] == ["RCC", "LCC", "RMLO", "LMLO"]
    # Without a prior its stage is left out.
    assert [stage.name for stage, _ in stages] == ["Four views", "CC", "MLO"]
    with_prior = hang(PROTOCOLS, [one, one])
    assert with_prior is not None
    stage, places = with_prior[1][1]
    assert stage.name == "With the prior outside"
    assert [(place.study, place.image) for place in places if place] == [
        (1, "RCC"), (0, "RCC"), (0, "LCC"), (1, "LCC"),
        (1, "RMLO"), (0, "RMLO"), (0, "LMLO"), (1, "LMLO"),
    ]  # fmt: skip


def test_places_that_ask_choose_before_those_that_take_what_is_left() -> None:
    now = study("CT", "", "", HungSeries("a", "CT", "lung"), HungSeries("b", "CT", "soft"))
    before = study("CT", "", "", HungSeries("c", "CT", "lung"))
    stage = Stage(1, 4, places=(Place(), Place(description="lung"), Place(prior=1)))
    assert assign(stage, [now, before]) == [Hung(0, "b"), Hung(0, "a"), Hung(1, "c"), None]
    assert assign(stage, [now]) == [Hung(0, "b"), Hung(0, "a"), None, None]


def test_a_series_stands_twice_only_where_it_is_asked_for() -> None:
    now = study("CT", "", "", HungSeries("a", "CT", "lung"), HungSeries("b", "CT", "soft"))
    assert assign(Stage(1, 3), [now]) == [Hung(0, "a"), Hung(0, "b"), None]
    thrice = Stage(1, 3, places=(Place(modality="CT"),) * 3)
    assert assign(thrice, [now]) == [Hung(0, "a"), Hung(0, "b"), Hung(0, "a")]
    windows = Stage(1, 2, places=(Place(window=(40, 400)), Place(window=(-600, 1500))))
    assert assign(windows, [now]) == [Hung(0, "a"), Hung(0, "a")]


def test_words_may_be_refused() -> None:
    now = study("MR", "", "", HungSeries("a", "MR", "T2 FLAIR"), HungSeries("b", "MR", "T2 TSE"))
    stage = Stage(1, 2, places=(Place(description="t2, -flair"), Place(description="flair")))
    assert assign(stage, [now]) == [Hung(0, "b"), Hung(0, "a")]
    assert fits(Protocol("x", ONE, description="-thorax"), study(), 0) is False


def test_the_prior_beside_it_is_the_one_most_alike() -> None:
    now = study("CT", "", "", HungSeries("a", "CT", "Lung 1 mm"))
    before = study(
        "CT", "", "", HungSeries("c", "CT", "Soft 5 mm"), HungSeries("d", "CT", "Lung 1.5 mm"),
        HungSeries("e", "PT", "Lung 1 mm"),
    )  # fmt: skip
    stage = Stage(1, 2, places=(Place(), Place(prior=1)))
    assert assign(stage, [now, before]) == [Hung(0, "a"), Hung(1, "d")]


def test_a_protocol_that_finds_nothing_gives_way() -> None:
    now = study("CT", "", "", HungSeries("a", "CT", "lung"))
    own = Protocol("own", (Stage(1, 2, places=(Place(modality="MR"), Place(laterality="L"))),),
                   is_own=True)  # fmt: skip
    site = Protocol("site", (Stage(1, 2, least=2), Stage(1, 1)))
    found = hang([own, site, *PROTOCOLS], [now])
    assert found == (site, [(Stage(1, 1), [Hung(0, "a")])])
    assert hang([own], [now]) is None


@pytest.mark.parametrize(
    ("modality", "body", "descriptions", "layouts"),
    [
        ("CT", "CHEST", ["thin lung", "soft"], ["1x1", "1x2", "1x3"]),
        ("CT", "HEAD", ["brain"], ["1x1", "1x2"]),
        ("CT", "ABDOMEN", ["venous"], ["1x1", "1x3"]),
        ("MR", "BRAIN", ["T1 MPRAGE", "T2 TSE", "T2 FLAIR", "DWI b1000"], ["2x2", "1x1"]),
        ("MR", "KNEE", ["PD FS"], ["1x1"]),
        ("US", "", ["a"], ["1x1"]),
        ("US", "", ["a", "b"], ["1x1", "2x2"]),
        ("NM", "", ["bone"], ["1x1"]),
    ],
)
def test_built_in_layouts(
    modality: str, body: str, descriptions: list[str], layouts: list[str]
) -> None:
    series = [HungSeries(words, modality, words) for words in descriptions]
    found = hang(PROTOCOLS, [study(modality, body, "", *series)])
    assert found is not None
    assert [f"{stage.rows}x{stage.columns}" for stage, _ in found[1]] == layouts


def test_pet_and_ct_stand_side_by_side_fused_and_projected() -> None:
    series = [HungSeries("c", "CT", "WB"), HungSeries("p", "PT", "AC"), HungSeries("l", "CT", "")]
    for body in ("CHEST", ""):
        found = hang(PROTOCOLS, [HungStudy(frozenset({"CT", "PT"}), body, "", tuple(series))])
        assert found is not None
        protocol, ((stage, places), *others) = found
        assert protocol.name == "PET and CT"
        assert [place and place.series for place in places] == ["p", "c", "c", "p"]
        assert [place.show for place in stage.places] == ["", "", "fused", "mip"]
        assert len(others) == 1
    assert "CT fused, PT as MIP" in sentence(protocol)
    # Without a CT there is nothing to lay it over.
    alone = hang(PROTOCOLS, [study("PT", "", "", series[1])])
    assert alone is not None
    assert [stage.name for stage, _ in alone[1]] == ["One series"]


@pytest.mark.parametrize("modality", ["CR", "DX"])
def test_radiographs_from_the_front_and_from_the_side(modality: str) -> None:
    images = (HungImage("side", "", "LATERAL"), HungImage("front", "", "PA"))
    found = hang(
        PROTOCOLS, [study(modality, "CHEST", "", HungSeries("a", modality, images=images))]
    )
    assert found is not None
    assert [place and place.image for place in found[1][0][1]] == ["front", "side"]


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
    compared = Stage(1, 2, "", (Place(description="soft, -non-contrast, -lung"), Place(prior=1)))
    assert sentence(Protocol("z", (compared,))) == (
        "Every study: 1 × 2 with “soft, not non-contrast, not lung”, the like of prior 1."
    )
