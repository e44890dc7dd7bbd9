"""Colours of both themes: text on every surface reaches WCAG 2.2 AA (1.4.3 and 1.4.11)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_SHEET = Path(__file__).resolve().parents[2] / "frontend/src/styles/tokens.css"
_RULE = re.compile(r"([^{};]+)\{([^{}]*)\}")
_TOKEN = re.compile(r"--([a-z0-9-]+):\s*(#[0-9a-fA-F]{6})\s*;")
_TEXT, _MARK = 4.5, 3.0
_SURFACES = ("surface-0", "surface-1", "surface-2", "surface-3")


def theme(selector: str) -> dict[str, str]:
    found = {}
    for name, body in _RULE.findall(re.sub(r"/\*.*?\*/", "", _SHEET.read_text(), flags=re.DOTALL)):
        # Every theme lays its own tokens over the dark ones.
        if name.strip() in {":root", selector}:
            found.update(_TOKEN.findall(body))
    assert found["surface-0"]
    return found


def luminance(colour: str) -> float:
    """Relative luminance of sRGB (WCAG 2.2, definitions)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


DARK = theme(":root")
LIGHT = theme(':root[data-theme="light"]')
AUTO = theme(':root[data-theme="auto"]')


def test_the_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def test_the_systems_light_theme_is_the_light_theme() -> None:
    assert AUTO == LIGHT
    assert LIGHT != DARK


@pytest.mark.parametrize("tokens", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize(
    ("ink", "papers", "least"),
    [
        ("text", (*_SURFACES, "surface-hover"), _TEXT),
        ("text-dim", _SURFACES, _TEXT),
        ("accent", ("surface-0", "surface-1", "surface-2", "surface-3", "accent-soft"), _TEXT),
        ("text", ("accent-soft", "ok-soft", "warn-soft", "danger-soft", "stat-soft"), _TEXT),
        ("text-on-accent", ("accent",), _TEXT),
        ("ok", ("surface-0", "surface-1", "surface-2", "ok-soft"), _TEXT),
        ("warn", ("surface-0", "surface-1", "surface-2", "warn-soft"), _TEXT),
        ("danger", ("surface-0", "surface-1", "surface-2", "danger-soft"), _TEXT),
        ("stat", ("surface-0", "surface-1", "stat-soft"), _TEXT),
        ("line-strong", ("surface-0", "surface-1", "surface-2"), _MARK),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_contrast(tokens: dict[str, str], ink: str, papers: tuple[str, ...], least: float) -> None:
    found = {paper: round(contrast(tokens[ink], tokens[paper]), 2) for paper in papers}
    assert min(found.values()) >= least, found
