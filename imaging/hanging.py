"""Hanging protocols: which layout fits a study, and which series stands where. Pure, in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """What stands in one viewport; an empty criterion fits everything.

    Attributes
    ----------
    prior : 0 the study itself, 1 the most telling prior ...
    description : words of the series description, one of which must be in it, parted by commas
    laterality : ``L``, ``R`` or ``B``
    view : of a projection, as View Position has it: ``CC``, ``MLO``, ``PA``
    """

    prior: int = 0
    modality: str = ""
    description: str = ""
    laterality: str = ""
    view: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One layout; a protocol goes from one to the next."""

    rows: int
    columns: int
    name: str = ""
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Protocol:
    """How studies of a kind are laid out.

    Attributes
    ----------
    is_own : a person's own comes before the site's
    priority : lower is tried earlier
    priors : so many priors it needs
    """

    name: str
    stages: tuple[Stage, ...]
    priority: int = 100
    is_own: bool = False
    modality: str = ""
    body_part: str = ""
    description: str = ""
    laterality: str = ""
    view: str = ""
    priors: int = 0
    key: str = ""


@dataclass(frozen=True, slots=True)
class HungSeries:
    """What is compared of a series."""

    key: str
    modality: str = ""
    description: str = ""
    laterality: str = ""
    views: frozenset[str] = frozenset()
    body_part: str = ""


@dataclass(frozen=True, slots=True)
class HungStudy:
    """What is compared of a study; its series are in reading order."""

    modalities: frozenset[str]
    body_part: str
    description: str
    series: tuple[HungSeries, ...]


def fits(protocol: Protocol, study: HungStudy, prior_count: int) -> bool:
    """Say whether a protocol is for a study with so many priors."""
    series = study.series
    parts = " ".join([study.body_part, *(one.body_part for one in series)])
    return (
        (not protocol.modality or protocol.modality.upper() in study.modalities)
        and _has_word(protocol.body_part, parts)
        and _has_word(protocol.description, study.description)
        and (not protocol.laterality or _is_one_of(protocol.laterality, _sides(series)))
        and (not protocol.view or _is_one_of(protocol.view, _views(series)))
        and protocol.priors <= prior_count
    )


def choose(protocols: Iterable[Protocol], study: HungStudy, prior_count: int) -> Protocol | None:
    """Return the protocol that a study is hung by.

    A person's own comes before the site's, a lower priority number before a higher, and of those
    the one that says most.
    """
    fitting = [one for one in protocols if fits(one, study, prior_count)]

    def key(one: Protocol) -> tuple[bool, int, int, str]:
        return not one.is_own, one.priority, -_criteria(one), one.name

    return min(fitting, key=key, default=None)


def assign(stage: Stage, studies: Sequence[HungStudy]) -> list[tuple[int, str] | None]:
    """Say what stands in each viewport of a stage, row by row.

    Parameters
    ----------
    studies : the study itself, then its priors

    Returns
    -------
    For each viewport the number of the study and the key of its series; None: nothing fits. A
    series stands in two places only where no other one fits the second.
    """
    used: set[tuple[int, str]] = set()
    count = stage.rows * stage.columns
    places = [*stage.places, *[Place()] * count][:count]
    # Places that say what they want choose before those that take what is left.
    order = sorted(range(count), key=lambda at: -_place_criteria(places[at]))
    chosen: dict[int, tuple[int, str] | None] = {}
    for at in order:
        place = places[at]
        fitting = (
            [
                (place.prior, series.key)
                for series in studies[place.prior].series
                if _place_fits(place, series)
            ]
            if place.prior < len(studies)
            else []
        )
        fresh = [one for one in fitting if one not in used]
        is_asked = _place_criteria(place) > 0
        chosen[at] = fresh[0] if fresh else (fitting[0] if fitting and is_asked else None)
        if chosen[at] is not None:
            used.add(chosen[at])  # type: ignore[arg-type] # not None, as was just asked
    return [chosen[at] for at in range(count)]


def sentence(protocol: Protocol) -> str:
    """Say in words what a protocol is for and does."""
    kind = protocol.modality or "Every study"
    if protocol.body_part:
        kind += f" of {protocol.body_part.lower()}"
    details = [
        f"described as “{protocol.description}”" if protocol.description else "",
        {"L": "left side", "R": "right side", "B": "both sides"}.get(protocol.laterality, ""),
        f"view {protocol.view}" if protocol.view else "",
        f"with {protocol.priors} prior{'' if protocol.priors == 1 else 's'}"
        if protocol.priors
        else "",
    ]
    told = ", ".join([kind, *filter(None, details)])
    stages = "; then ".join(_stage_words(stage) for stage in protocol.stages)
    return f"{told}: {stages}."


def _stage_words(stage: Stage) -> str:
    grid = f"{stage.rows} × {stage.columns}"
    places = [words for place in stage.places if (words := _place_words(place))]
    name = f"{stage.name}, " if stage.name else ""
    return f"{name}{grid}" + (f" with {', '.join(places)}" if places else "")


def _place_words(place: Place) -> str:
    parts = [
        place.modality,
        f"“{place.description}”" if place.description else "",
        {"L": "left", "R": "right", "B": "both sides"}.get(place.laterality, ""),
        place.view,
        f"of prior {place.prior}" if place.prior else "",
    ]
    return " ".join(filter(None, parts))


def _has_word(wanted: str, text: str) -> bool:
    """Whether one of the words, parted by commas, is in a text; nothing wanted is in every text."""
    words = [word.strip().casefold() for word in wanted.split(",") if word.strip()]
    return not words or any(word in text.casefold() for word in words)


def _is_one_of(wanted: str, found: Iterable[str]) -> bool:
    return wanted.upper() in {one.upper() for one in found}


def _sides(series: Iterable[HungSeries]) -> set[str]:
    sides = {one.laterality.upper() for one in series if one.laterality}
    return sides | ({"B"} if {"L", "R"} <= sides else set())


def _views(series: Iterable[HungSeries]) -> set[str]:
    return {view for one in series for view in one.views}


def _criteria(one: Protocol) -> int:
    texts = (one.modality, one.body_part, one.description, one.laterality, one.view)
    return sum(map(bool, texts)) + bool(one.priors)


def _place_criteria(place: Place) -> int:
    texts = (place.modality, place.description, place.laterality, place.view)
    return sum(map(bool, texts)) + bool(place.prior)


def _place_fits(place: Place, series: HungSeries) -> bool:
    return (
        (not place.modality or place.modality.upper() == series.modality.upper())
        and _has_word(place.description, series.description)
        and (not place.laterality or place.laterality.upper() == series.laterality.upper())
        and (not place.view or _is_one_of(place.view, series.views))
    )
