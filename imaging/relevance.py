"""Which earlier studies a reader wants beside one: by region, modality and date, in words."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

# Words of Body Part Examined and of descriptions in the languages of our users, by region; a word
# that begins so counts. Regions of one entry are read together.
_REGIONS: dict[str, tuple[str, ...]] = {
    "head": (
        "head", "brain", "skull", "cranium", "cranial", "schädel", "schaedel", "kopf", "hirn",
        "sinus", "orbit", "face", "temporal", "pituitary", "iac", "neuro", "cerveau", "crane",
        "crâne", "cabeza", "cerebr", "tête",
    ),
    "neck": ("neck", "hals", "cervical", "carotid", "thyroid", "larynx", "cou", "cuello"),
    "chest": (
        "chest", "thorax", "lung", "pulmon", "rib", "sternum", "mediast", "tórax", "torax",
        "poumon", "bronch", "pneumo",
    ),
    "heart": ("heart", "cardiac", "cardio", "herz", "coronar", "echo", "coeur", "corazón"),
    "breast": ("breast", "mammo", "mamma", "brust", "sein", "mama", "tomosynth"),
    "abdomen": (
        "abdom", "liver", "kidney", "renal", "pancrea", "spleen", "bauch", "leber", "niere",
        "gallbl", "bowel", "colon", "gastro", "urogr", "vientre", "foie",
    ),
    "pelvis": ("pelvi", "becken", "prostat", "uterus", "ovar", "bladder", "hip", "hüfte", "sacr"),
    "spine": ("spine", "spinal", "lumbar", "lws", "bws", "hws", "wirbel", "columna", "rachis"),
    "arm": (
        "hand", "wrist", "elbow", "shoulder", "humerus", "forearm", "finger", "clavic", "schulter",
        "arm", "thumb", "scaphoid", "mano", "hombro",
    ),
    "leg": (
        "knee", "foot", "ankle", "femur", "tibia", "fibula", "leg", "calf", "toe", "knie", "fuss",
        "fuß", "calcan", "patell", "rodilla", "genou",
    ),
}  # fmt: skip
_WHOLE = ("wholebody", "whole body", "ganzkörper", "total body", "trunk", "pet")
# Regions that one study often has both of.
_NEAR = frozenset(
    frozenset(pair)
    for pair in (
        ("head", "neck"), ("chest", "heart"), ("abdomen", "pelvis"), ("chest", "abdomen"),
        ("neck", "chest"), ("chest", "breast"),
    )
)  # fmt: skip
_KIN = (
    frozenset({"CR", "DX", "RG", "RF"}),
    frozenset({"CT", "PT"}),
    frozenset({"PT", "NM"}),
    frozenset({"XA", "RF"}),
    frozenset({"CT", "MR"}),
)
_COMPANIONS = frozenset({"SR", "PR", "KO", "DOC", "SEG", "OT", "REG", "AU"})


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What is compared of two studies.

    Attributes
    ----------
    modalities : of its pictures
    words : body part and descriptions
    """

    day: date | None
    modalities: frozenset[str]
    words: str


@dataclass(frozen=True, slots=True)
class Relevance:
    """How much an earlier study says about one.

    Attributes
    ----------
    score : larger is more; studies of one score are ordered by date
    reasons : for people
    interval_days : from the other study to this one; negative: the other is later
    """

    score: int
    reasons: tuple[str, ...]
    interval_days: int | None


def regions_of(words: str) -> frozenset[str]:
    """Return the regions that a body part or description names; ``whole`` for all of the body."""
    text = words.casefold()
    tokens = re.findall(r"\w+", text.replace("_", " "))
    found = {
        region
        for region, beginnings in _REGIONS.items()
        if any(token.startswith(beginnings) for token in tokens)
    }
    if any(whole in text for whole in _WHOLE[:-1]) or _WHOLE[-1] in tokens:
        found.add("whole")
    return frozenset(found)


def relevance_of(study: StudyFacts, other: StudyFacts) -> Relevance:
    """Compare another study of the same person with the one that is read."""
    score, reasons = 0, []
    ours, theirs = regions_of(study.words), regions_of(other.words)
    if ours & theirs:
        score += 60
        reasons.append(f"same region ({', '.join(sorted(ours & theirs))})")
    elif "whole" in ours | theirs and (ours and theirs):
        score += 40
        reasons.append("whole body")
    elif _are_near(ours, theirs):
        score += 30
        reasons.append("neighbouring region")
    elif not ours or not theirs:
        score += 15
        reasons.append("region not known")
    else:
        reasons.append(f"other region ({', '.join(sorted(theirs))})")
    mine, its = study.modalities - _COMPANIONS, other.modalities - _COMPANIONS
    if mine & its:
        score += 30
        reasons.append("same modality")
    elif any(mine & kin and its & kin for kin in _KIN):
        score += 15
        reasons.append("related modality")
    interval = (study.day - other.day).days if study.day and other.day else None
    if interval is not None and interval < 0:
        # Later studies are found, and stand behind those that were there before.
        score -= 20
        reasons.append("later")
    return Relevance(score, tuple(reasons), interval)


def ordered(
    study: StudyFacts, others: Iterable[tuple[str, StudyFacts]]
) -> list[tuple[str, Relevance]]:
    """Return other studies by relevance, of equal ones the nearest in time first."""
    compared = [(name, relevance_of(study, facts)) for name, facts in others]

    def key(pair: tuple[str, Relevance]) -> tuple[int, int]:
        interval = pair[1].interval_days
        return -pair[1].score, abs(interval) if interval is not None else 10**9

    return sorted(compared, key=key)


def _are_near(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    return any(frozenset({one, other}) in _NEAR for one in ours for other in theirs)
