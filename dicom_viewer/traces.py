"""Waveforms as lines of a drawing on millimetre paper: 25 mm a second, 10 mm a millivolt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.waveform import Channel, Group, Waveform

MM_PER_S = 25.0
MM_PER_MV = 10.0
# The height of a lead that has no voltage, and the room above and below each.
_HEIGHT_MM, _MARGIN_MM = 20.0, 4.0
_TALLEST_MM = 80.0
_LONGEST_S = 60.0
# More points than this across the paper cannot be told apart.
_POINTS_PER_MM = 8.0
_MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "µV": 1e-3, "V": 1e3, "nV": 1e-6}


@dataclass(frozen=True, slots=True)
class Trace:
    """One lead: what it is, and its line in millimetres from its own upper left corner."""

    name: str
    scale: str
    lines: list[str]
    height_mm: float


@dataclass(frozen=True, slots=True)
class Strip:
    """Leads that were sampled together."""

    label: str
    frequency_hz: float
    duration_s: float
    width_mm: float
    traces: list[Trace]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that is shown of a waveform."""

    strips: list[Strip]
    annotations: tuple[str, ...]


def draw(waveform: Waveform) -> Sheet:
    """Draw every group; what is longer than a minute is cut there, and the strip says so."""
    return Sheet([_strip(group) for group in waveform.groups], waveform.annotations)


def _strip(group: Group) -> Strip:
    most = max(2, int(_LONGEST_S * group.frequency_hz))
    shown_s = min(group.duration_s, _LONGEST_S)
    return Strip(
        label=group.label,
        frequency_hz=group.frequency_hz,
        duration_s=group.duration_s,
        width_mm=round(max(shown_s * MM_PER_S, 1.0), 1),
        traces=[_trace(channel, group.frequency_hz, most) for channel in group.channels],
        is_cut=group.duration_s > _LONGEST_S,
    )


def _trace(channel: Channel, frequency_hz: float, most: int) -> Trace:
    values = channel.values[:most]
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    millivolts = _MILLIVOLTS.get(channel.unit)
    if millivolts is not None:
        mm_per_unit, scale = MM_PER_MV * millivolts, "10 mm/mV"
    else:
        mm_per_unit = _HEIGHT_MM / (high - low) if high > low else 1.0
        scale = f"{low:g} to {high:g} {channel.unit}".strip()
    tall = (high - low) * mm_per_unit
    if tall > _TALLEST_MM:
        mm_per_unit *= _TALLEST_MM / tall
        tall = _TALLEST_MM
        scale = f"{low:g} to {high:g} {channel.unit}".strip()
    y = _MARGIN_MM + (high - values) * mm_per_unit
    x: NDArray[np.float64] = np.arange(len(values), dtype=np.float64)
    x *= MM_PER_S / frequency_hz
    height = round(max(tall, _MARGIN_MM) + 2 * _MARGIN_MM, 1)
    return Trace(channel.name, scale, _lines(x, y), height)


def _lines(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[str]:
    """Write the points of each run of known values; of many in one place, highest and lowest."""
    per_point = max(1, int(len(x) / max(1.0, float(x[-1]) * _POINTS_PER_MM))) if len(x) else 1
    if per_point > 1:
        x, y = _thinned(x, y, per_point)
    is_known = np.isfinite(y)
    edges = np.flatnonzero(np.diff(is_known)) + 1
    runs = np.split(np.arange(len(y)), edges)
    return [
        " ".join(f"{x[at]:.2f},{y[at]:.2f}" for at in run)
        for run in runs
        if len(run) and is_known[run[0]]
    ]


def _thinned(
    x: NDArray[np.float64], y: NDArray[np.float64], per_point: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Keep the lowest and the highest of every `2 * per_point` samples: no spike is lost."""
    size = 2 * per_point
    whole = len(y) // size * size
    if not whole:
        return x, y
    groups = y[:whole].reshape(-1, size)
    # A gap counts as neither: where all is gap, a gap stays.
    filled_low = np.where(np.isfinite(groups), groups, np.inf)
    filled_high = np.where(np.isfinite(groups), groups, -np.inf)
    places = np.sort(
        np.stack([filled_low.argmin(axis=1), filled_high.argmax(axis=1)], axis=1), axis=1
    )
    at = (np.arange(len(groups))[:, None] * size + places).reshape(-1)
    return np.concatenate([x[at], x[whole:]]), np.concatenate([y[at], y[whole:]])
