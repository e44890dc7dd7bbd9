"""Hanging protocols: which layout fits a study, and which series stands where. Pure, in words."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

# Before a word that must not be there.
_MINUS = re.compile(r"(^\s*|,\s*)-\s*")


@dataclass(frozen=True, slots=True)
class Place:
    """What stands in one viewport; an empty criterion fits everything.

    Attributes
    ----------
    prior : 0 the study itself, 1 the most telling prior ...
    description : words of the series description, parted by commas: one of them must be in it, and
        none of those that begin with a minus
    laterality : ``L``, ``R`` or ``B``
    view : of a projection, as View Position has it: ``CC``, ``MLO``; parted by commas: one of them
    window : centre and width in modality units; None: as the file says
    show : empty: the pictures themselves; ``fused``: with the study's PET or NM laid over;
        ``mip``: one projection of the highest values from front to back
    """

    prior: int = 0
    modality: str = ""
    description: str = ""
    laterality: str = ""
    view: str = ""
    window: tuple[float, float] | None = None
    show: str = ""


@dataclass(frozen=True, slots=True)
class Links:
    """What the viewports of a stage do together.

    Attributes
    ----------
    scroll : ``off``, ``position`` (by the place in the patient) or ``offset`` (by counting images)
    """

    scroll: str = "off"
    window: bool = False
    view: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """One layout; a protocol goes from one to the next.

    Attributes
    ----------
    fit : empty: each picture as large as fits; ``scale``: all at one scale in millimetres;
        ``chest wall``: that, and breasts back to back with the chest wall towards the middle
    links : None: as the person has set them
    least : so many viewports must have found something for the stage to be of use
    """

    rows: int
    columns: int
    name: str = ""
    places: tuple[Place, ...] = ()
    fit: str = ""
    links: Links | None = None
    least: int = 1


@dataclass(frozen=True, slots=True)
class Protocol:
    """How studies of a kind are laid out.

    Attributes
    ----------
    is_own : a person's own comes before the site's
    is_built_in : comes after both
    priority : lower is tried earlier
    priors : so many priors it needs
    """

    name: str
    stages: tuple[Stage, ...]
    priority: int = 100
    is_own: bool = False
    is_built_in: bool = False
    modality: str = ""
    body_part: str = ""
    description: str = ""
    laterality: str = ""
    view: str = ""
    priors: int = 0
    key: str = ""


@dataclass(frozen=True, slots=True)
class HungImage:
    """What is compared of an image, as `imaging.projections` has found it out."""

    key: str
    laterality: str = ""
    view: str = ""


@dataclass(frozen=True, slots=True)
class HungSeries:
    """What is compared of a series.

    Attributes
    ----------
    images : those that are told apart by side or view, in reading order
    """

    key: str
    modality: str = ""
    description: str = ""
    body_part: str = ""
    images: tuple[HungImage, ...] = ()


@dataclass(frozen=True, slots=True)
class HungStudy:
    """What is compared of a study; its series are in reading order."""

    modalities: frozenset[str]
    body_part: str
    description: str
    series: tuple[HungSeries, ...]


@dataclass(frozen=True, slots=True)
class Hung:
    """What stands in a viewport.

    Attributes
    ----------
    study : 0 the study itself, 1 the most telling prior ...
    image : key of the image that was asked for by side or view; empty: the series as a whole
    """

    study: int
    series: str
    image: str = ""


Assignment = list[Hung | None]


def fits(protocol: Protocol, study: HungStudy, prior_count: int) -> bool:
    """Say whether a protocol is for a study with so many priors."""
    series = study.series
    parts = " ".join([study.body_part, *(one.body_part for one in series)])
    return (
        (not protocol.modality or protocol.modality.upper() in study.modalities)
        and _has_words(protocol.body_part, parts)
        and _has_words(protocol.description, study.description)
        and (not protocol.laterality or _is_one_of(protocol.laterality, _sides(series)))
        and (not protocol.view or _is_one_of(protocol.view, _views(series)))
        and protocol.priors <= prior_count
    )


def ranked(protocols: Iterable[Protocol], study: HungStudy, prior_count: int) -> list[Protocol]:
    """Return the protocols that are for a study, the best first.

    A person's own comes before the site's and that before a built-in one, a lower priority number
    before a higher, of those the one that says most, and of equal ones the one given first.
    """
    fitting = [one for one in protocols if fits(one, study, prior_count)]

    def key(one: Protocol) -> tuple[bool, bool, int, int]:
        return one.is_built_in, not one.is_own, one.priority, -_criteria(one)

    return sorted(fitting, key=key)


def hang(
    protocols: Iterable[Protocol], studies: Sequence[HungStudy]
) -> tuple[Protocol, list[tuple[Stage, Assignment]]] | None:
    """Return the protocol that a study is hung by, and what stands where in each of its stages.

    Parameters
    ----------
    studies : the study itself, then its priors

    Returns
    -------
    Stages that find too little, or none of the priors that they ask for, are left out; a protocol
    of which no stage is left gives way to the next. None: there is no other.
    """
    for protocol in ranked(protocols, studies[0], len(studies) - 1):
        stages = [(stage, assign(stage, studies)) for stage in protocol.stages]
        useful = [(stage, found) for stage, found in stages if _is_useful(stage, found)]
        if useful:
            return protocol, useful
    return None


def assign(stage: Stage, studies: Sequence[HungStudy]) -> Assignment:
    """Say what stands in each viewport of a stage, row by row.

    Parameters
    ----------
    studies : the study itself, then its priors

    Returns
    -------
    One entry for each viewport; None: nothing fits. A series stands in two places only where no
    other one fits the second, or where a window or view of its own is asked for. A place that asks
    for nothing but a prior shows what is most like that which is compared with it.
    """
    used: set[Hung] = set()
    count = stage.rows * stage.columns
    places = [*stage.places, *[Place()] * count][:count]
    # Places that say what they want choose before those that take what is left.
    order = sorted(range(count), key=lambda at: -_place_criteria(places[at]))
    chosen: dict[int, Hung | None] = {}
    for at in order:
        place = places[at]
        fitting = _in_studies(place, studies)
        is_other_view = place.window is not None or bool(place.show)
        fresh = [one for one in fitting if one not in used and not is_other_view]
        is_asked = _place_criteria(place) > 0 or is_other_view
        taken = fresh[0] if fresh else (fitting[0] if fitting and is_asked else None)
        chosen[at] = taken
        if taken is not None:
            used.add(taken)
    for at, place in enumerate(places):
        if place.prior and _place_criteria(place) == 1:
            compared = next((one for one in chosen.values() if one and not one.study), None)
            chosen[at] = _most_alike(compared, _in_studies(place, studies), studies)
    return [chosen[at] for at in range(count)]


def sentence(protocol: Protocol, spoken: Callable[[str], str] = str) -> str:
    """Say in words what a protocol is for and does.

    Parameters
    ----------
    spoken : says one of the words used here, or a stage's name, in another language
    """
    kind = protocol.modality or spoken("Every study")
    if protocol.body_part:
        kind += f" {spoken('of')} {protocol.body_part.lower()}"
    sides = {"L": spoken("left side"), "R": spoken("right side"), "B": spoken("both sides")}
    details = [
        f"{spoken('described as')} “{protocol.description}”" if protocol.description else "",
        sides.get(protocol.laterality, ""),
        f"{spoken('view')} {protocol.view}" if protocol.view else "",
        spoken(f"with {protocol.priors} {'prior' if protocol.priors == 1 else 'priors'}")
        if protocol.priors
        else "",
    ]
    told = ", ".join([kind, *filter(None, details)])
    stages = f"; {spoken('then')} ".join(_stage_words(stage, spoken) for stage in protocol.stages)
    return f"{told}: {stages}."


def _stage_words(stage: Stage, spoken: Callable[[str], str]) -> str:
    grid = f"{stage.rows} × {stage.columns}"
    places = [words for place in stage.places if (words := _place_words(place, spoken))]
    name = f"{spoken(stage.name)}, " if stage.name else ""
    return f"{name}{grid}" + (f" {spoken('with')} {', '.join(places)}" if places else "")


def _place_words(place: Place, spoken: Callable[[str], str]) -> str:
    if place.prior and _place_criteria(place) == 1:
        return spoken(f"the like of prior {place.prior}")
    words = _MINUS.sub(r"\1not ", place.description)
    parts = [
        place.modality,
        f"“{words}”" if words else "",
        {"L": spoken("left"), "R": spoken("right"), "B": spoken("both sides")}.get(
            place.laterality, ""
        ),
        place.view,
        spoken(f"of prior {place.prior}") if place.prior else "",
        "at W {1:g} L {0:g}".format(*place.window) if place.window else "",
        {"fused": spoken("fused"), "mip": spoken("as MIP")}.get(place.show, ""),
    ]
    return " ".join(filter(None, parts))


def _is_useful(stage: Stage, found: Assignment) -> bool:
    asks_priors = any(place.prior for place in stage.places)
    has_priors = any(one is not None and one.study for one in found)
    return sum(one is not None for one in found) >= stage.least and (has_priors or not asks_priors)


def _has_words(wanted: str, text: str) -> bool:
    """Whether a text has one of the words, parted by commas, and none of those after a minus."""
    words = [word.strip().casefold() for word in wanted.split(",") if word.strip()]
    folded = text.casefold()
    unwanted = [word[1:].strip() for word in words if word.startswith("-")]
    asked = [word for word in words if not word.startswith("-")]
    return (not asked or any(word in folded for word in asked)) and not any(
        word and word in folded for word in unwanted
    )


def _is_one_of(wanted: str, found: Iterable[str]) -> bool:
    words = {word.strip().upper() for word in wanted.split(",")}
    return bool(words & {one.upper() for one in found})


def _sides(series: Iterable[HungSeries]) -> set[str]:
    sides = {image.laterality.upper() for one in series for image in one.images}
    return (sides - {""}) | ({"B"} if {"L", "R"} <= sides else set())


def _views(series: Iterable[HungSeries]) -> set[str]:
    return {image.view for one in series for image in one.images if image.view}


def _criteria(one: Protocol) -> int:
    texts = (one.modality, one.body_part, one.description, one.laterality, one.view)
    return sum(map(bool, texts)) + bool(one.priors)


def _place_criteria(place: Place) -> int:
    texts = (place.modality, place.description, place.laterality, place.view)
    return sum(map(bool, texts)) + bool(place.prior)


def _in_studies(place: Place, studies: Sequence[HungStudy]) -> list[Hung]:
    if place.prior >= len(studies):
        return []
    return [found for one in studies[place.prior].series for found in _in_series(place, one)]


def _most_alike(
    compared: Hung | None, found: Sequence[Hung], studies: Sequence[HungStudy]
) -> Hung | None:
    """Return what is most like a series by modality and words of its description."""
    known = {(at, one.key): one for at, study in enumerate(studies) for one in study.series}
    reference = known[compared.study, compared.series] if compared else None
    if reference is None:
        return found[0] if found else None
    words = set(reference.description.casefold().split())

    def likeness(one: Hung) -> tuple[bool, int]:
        series = known[one.study, one.series]
        shared = words & set(series.description.casefold().split())
        return series.modality == reference.modality, len(shared)

    return max(found, key=likeness, default=None)


def _in_series(place: Place, series: HungSeries) -> list[Hung]:
    """Return what of a series fits a place: images where side or view is asked for."""
    if place.modality and place.modality.upper() != series.modality.upper():
        return []
    if not _has_words(place.description, series.description):
        return []
    if not place.laterality and not place.view:
        return [Hung(place.prior, series.key)]
    return [
        Hung(place.prior, series.key, image.key)
        for image in series.images
        if (not place.laterality or place.laterality.upper() == image.laterality.upper())
        and (not place.view or _is_one_of(place.view, [image.view]))
    ]
