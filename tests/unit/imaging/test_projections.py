"""Side and view of projections, against pydicom's own tables of the standard's codes."""

from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes

from imaging.projections import _CODES, side_of, view_of

# PS3.16 CID 4014 and CID 4010 by the names that pydicom gives their codes.
NAMES = {
    "CC": ("cid4014", "CranioCaudal"),
    "MLO": ("cid4014", "MedioLateralObliqueProjection"),
    "ML": ("cid4014", "MedioLateralProjection"),
    "LM": ("cid4014", "LateroMedial"),
    "LMO": ("cid4014", "LateroMedialOblique"),
    "FB": ("cid4014", "CaudoCranial"),
    "AP": ("cid4010", "AnteroPosterior"),
    "PA": ("cid4010", "PosteroAnterior"),
    "LL": ("cid4010", "LeftLateral"),
    "RL": ("cid4010", "RightLateral"),
}


@pytest.mark.parametrize("view", list(NAMES))
def test_codes_are_those_of_the_standard(view: str) -> None:
    group, name = NAMES[view]
    found = [key for key in dir(getattr(codes, group)) if key.lower() == name.lower()]
    assert found, sorted(dir(getattr(codes, group)))
    code = getattr(getattr(codes, group), found[0])
    assert view_of(None, code.value) == view


@pytest.mark.parametrize(
    ("position", "code", "descriptions", "view"),
    [
        ("mlo ", None, [], "MLO"),
        ("CC", "R-10226", [], "CC"),
        ("", "R-10226", ["R CC"], "MLO"),
        (None, None, ["RCC"], "CC"),
        (None, None, ["L-MLOD 2D"], "MLO"),
        (None, None, ["Thorax p.a."], ""),
        (None, None, ["Chest PA"], "PA"),
        (None, None, ["Chest lateral"], "LATERAL"),
        (None, None, ["CC and MLO"], ""),
        (None, "unknown", [None, "Thorax seitlich"], "LATERAL"),
    ],
)
def test_the_view(
    position: str | None, code: str | None, descriptions: list[str | None], view: str
) -> None:
    assert view_of(position, code, descriptions) == view


@pytest.mark.parametrize(
    ("laterality", "descriptions", "side"),
    [
        ("L", ["right"], "L"),
        ("U", ["right"], ""),
        ("", ["Breast right MLO"], "R"),
        (None, ["LCC"], "L"),
        (None, ["both, left and right"], ""),
        (None, [None, "Mamma links"], "L"),
        (None, [], ""),
    ],
)
def test_the_side(laterality: str | None, descriptions: list[str | None], side: str) -> None:
    assert side_of(laterality, descriptions) == side


def test_every_code_leads_to_a_view() -> None:
    assert set(_CODES.values()) == set(NAMES)
