"""A chest radiograph and a beating heart chamber, drawn from arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHEST_ROWS, CHEST_COLUMNS = 1440, 1200
CHEST_PIXEL_MM = 0.3

CINE_ROWS, CINE_COLUMNS = 480, 640
CINE_FRAMES = 48
CINE_FRAME_TIME_MS = 40.0
# The sector: its tip in pixels (column, row), its opening, its depth.
_TIP = (320.0, 24.0)
_HALF_ANGLE = np.deg2rad(40.0)
CINE_DEPTH_PIXELS = 432
CINE_PIXEL_CM = 16.0 / CINE_DEPTH_PIXELS
CINE_SECTOR = (30, 24, 610, 456)

# Attenuation per mm, for about 110 kV.
_MU_SOFT, _MU_BONE, _MU_LUNG = 0.0185, 0.040, 0.0048
_FIRST_RIB_MM, _RIB_EVERY_MM = -158.0, 24.5

Field = NDArray[np.float32]


def chest(generator: np.random.Generator) -> NDArray[np.uint16]:
    """Return a posterior-anterior chest in 12 bits; values grow with exposure (MONOCHROME1).

    Thickness of ellipsoids along the beam, times the attenuation of their tissue; ribs and
    clavicles as bent tubes.
    """
    x = ((np.arange(CHEST_COLUMNS, dtype=np.float32) - CHEST_COLUMNS / 2) * CHEST_PIXEL_MM)[None, :]
    y = ((np.arange(CHEST_ROWS, dtype=np.float32) - CHEST_ROWS / 2) * CHEST_PIXEL_MM)[:, None]
    path = _MU_SOFT * _thickness(x, y, (0, 130), (166, 330), 105, power=4)
    path += _MU_SOFT * _thickness(x, y, (0, -215), (56, 60), 24)
    for side in (-1, 1):
        lung = _thickness(x, y, (side * 71, 10), (55, 165), 78, power=2.4)
        diaphragm = 88 + 10 * side + 0.009 * (x - side * 66) ** 2
        lung = lung * np.clip((diaphragm - y) * 0.6 + 0.5, 0, 1)
        path -= (_MU_SOFT - _MU_LUNG) * lung
        half = slice(0, CHEST_COLUMNS // 2) if side < 0 else slice(CHEST_COLUMNS // 2, None)
        lit = np.minimum(lung[:, half], 30) / 30
        path[:, half] += _vessels(x[:, half], y, side, generator) * lit
    path += (_MU_SOFT - _MU_LUNG) * _thickness(x, y, (24, 62), (56, 56), 34)
    path += (_MU_SOFT - _MU_LUNG) * _thickness(x, y, (27, -62), (15, 19), 18)
    path += (_MU_BONE - _MU_SOFT) * _spine(x, y)
    for side in (-1, 1):
        for number in range(10):
            top = _FIRST_RIB_MM + _RIB_EVERY_MM * number
            rows = slice(*np.searchsorted(y[:, 0], (top - 8, top + 116)))
            path[rows] += _rib(x, y[rows], side, number)
        path += 0.24 * _tube(y - (-142 - 0.16 * (side * x - 75)), 6.5) * _within(side * x, 14, 126)
    # The side marker, in lead, where PA films carry it: on the reader's right.
    path += 1.6 * _letter_l(x, y)
    photons = 4000.0 * np.exp(-np.clip(path, 0, None)) + 1.0
    # Poisson's noise at these counts is Gauss's.
    photons += np.sqrt(photons) * generator.standard_normal(photons.shape, dtype=np.float32)
    photons = np.clip(photons, 1, None)
    values = 4095.0 * np.log(photons) / np.log(4300.0)
    stored: NDArray[np.uint16] = np.clip(values, 0, 4095).astype(np.uint16)
    return stored


def _thickness(
    x: Field,
    y: Field,
    centre: tuple[float, float],
    radii: tuple[float, float],
    depth_mm: float,
    power: float = 2.0,
) -> Field:
    """Return how much of a rounded body lies on each ray; a higher power has fuller corners."""
    across = np.abs((x - centre[0]) / radii[0]) ** power
    left = 1 - across - np.abs((y - centre[1]) / radii[1]) ** power
    thickness: Field = 2 * depth_mm * np.sqrt(np.clip(left, 0, None))
    return thickness.astype(np.float32)


def _tube(distance: Field, radius_mm: float) -> Field:
    """Return the share of a tube's thickness at a distance from its axis; its rim is denser."""
    inside = np.clip(1 - (distance / radius_mm) ** 2, 0, None)
    hollow = np.clip(1 - (distance / (radius_mm * 0.72)) ** 2, 0, None)
    share: Field = (np.sqrt(inside) - 0.6 * np.sqrt(hollow)).astype(np.float32)
    return share


def _within(values: Field, least: float, most: float) -> Field:
    inside: Field = np.clip((values - least) * 0.5, 0, 1) * np.clip((most - values) * 0.5, 0, 1)
    return inside


def _rib(x: Field, y: Field, side: int, number: int) -> Field:
    """Return a rib: its back part falls outward, its front part falls inward."""
    outward = side * x
    reach = 78.0 + 7.2 * number - 0.34 * number**2 + 10
    top = _FIRST_RIB_MM + _RIB_EVERY_MM * number
    share = np.clip(outward / reach, 0, 1)
    back = top + 46 * share**2.2
    front = top + 46 + 62 * np.sqrt(np.clip(1 - share, 0, 1))
    behind = 0.26 * _tube(y - back, 5.6) * _within(outward, 12, reach)
    before = 0.15 * _tube(y - front, 5.2) * _within(outward, 34, reach)
    return behind + (before if number < 7 else 0)


def _spine(x: Field, y: Field) -> Field:
    bodies = 0.78 + 0.22 * np.clip(np.cos(y * (2 * np.pi / 25.0)) * 4, -1, 1)
    processes = 0.35 * np.clip(1 - (x / 3.5) ** 2, 0, 1)
    column = np.clip(1 - (x / 17.0) ** 4, 0, 1)
    length: Field = (24.0 * column * (bodies + processes)).astype(np.float32)
    return length


def _vessels(x: Field, y: Field, side: int, generator: np.random.Generator) -> Field:
    """Return branches from the hilum outward, thinner as they go."""
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    outward, down = side * x - 26, y + 12
    radius = np.sqrt(outward**2 + down**2) + 1e-3
    angle = np.arctan2(down, outward)
    for heading in np.linspace(-1.25, 1.35, 11):
        wave = 0.10 * np.sin(radius * 0.06 + generator.uniform(0, 6))
        width = np.clip(3.4 - radius * 0.026, 0.35, None)
        distance = radius * np.abs(angle - np.float32(heading) - wave)
        total += 0.13 * np.clip(1 - (distance / width) ** 2, 0, 1) * np.clip(1 - radius / 118, 0, 1)
    total += 0.25 * np.exp(-((radius / 15) ** 2))
    return total.astype(np.float32)


def _letter_l(x: Field, y: Field) -> Field:
    stroke = (x > 143) & (x < 146) & (y > -196) & (y < -178)
    foot = (x > 143) & (x < 154) & (y > -181) & (y < -178)
    return (stroke | foot).astype(np.float32)


def cine(generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return an ultrasound sector of a heart chamber over two beats, 8 bits.

    Returns
    -------
    shape (frames, rows, columns)
    """
    columns = np.arange(CINE_COLUMNS, dtype=np.float32)[None, :] - np.float32(_TIP[0])
    rows = np.arange(CINE_ROWS, dtype=np.float32)[:, None] - np.float32(_TIP[1])
    depth = np.sqrt(columns**2 + rows**2)
    angle = np.arctan2(columns, rows)
    sector = (np.abs(angle) < _HALF_ANGLE) & (depth > 6) & (depth < CINE_DEPTH_PIXELS)
    speckle = _speckle(depth, angle, generator)
    fading = np.exp(-depth / 900.0).astype(np.float32)
    frames = np.zeros((CINE_FRAMES, CINE_ROWS, CINE_COLUMNS), np.uint8)
    for number in range(CINE_FRAMES):
        beat = 2 * np.pi * number / (CINE_FRAMES / 2)
        size = 1.0 - 0.16 * np.float32(np.sin(beat) ** 2) - 0.05 * np.float32(np.sin(beat + 0.7))
        across, along = columns / (74 * size), (rows - 205) / (118 * size)
        wall = np.sqrt(across**2 + along**2)
        echo = np.full(wall.shape, 0.42, np.float32)
        echo = np.where(wall < 1.32, np.float32(0.62), echo)
        echo = np.where(np.abs(wall - 1.32) < 0.035, np.float32(1.0), echo)
        echo = np.where(wall < 1.0, np.float32(0.05), echo)
        for leaflet in (-1, 1):
            swing = 0.5 + 0.45 * np.sin(beat)
            line = (rows - 310) + leaflet * columns * np.float32(0.9 * swing)
            on_leaflet = (np.abs(line) < 4) & (leaflet * columns > 2) & (leaflet * columns < 62)
            echo = np.where(on_leaflet, np.float32(1.1), echo)
        echo = np.where(np.abs(depth - 400) < 4, np.float32(1.1), echo)
        grain = generator.standard_normal(speckle.shape, dtype=np.float32) * np.float32(0.05)
        loudness = echo * fading * (speckle + grain)
        picture = 60 * np.log1p(np.clip(loudness, 0, None) * 22)
        frames[number] = np.where(sector, np.clip(picture, 0, 255), 0).astype(np.uint8)
    return frames


def _smooth(values: Field, axis: int) -> Field:
    mean: Field = (values + np.roll(values, 1, axis) + np.roll(values, -1, axis)) / np.float32(3)
    return mean


def _speckle(depth: Field, angle: Field, generator: np.random.Generator) -> Field:
    """Return the grain of coherent echoes: fine along the beam, wider with depth across it."""
    lines, samples = 220, CINE_DEPTH_PIXELS + 2
    real: Field = generator.standard_normal((2, samples, lines), dtype=np.float32)
    for axis, passes in ((1, 1), (2, 2)):
        for _ in range(passes):
            real = _smooth(real, axis)
    grain: Field = np.hypot(real[0], real[1])
    grain = grain / np.float32(grain.mean())
    line = np.clip((angle / _HALF_ANGLE + 1) / 2 * (lines - 1), 0, lines - 1).astype(np.intp)
    sample = np.clip(depth, 0, samples - 1).astype(np.intp)
    scattered: Field = grain[sample, line]
    return scattered
