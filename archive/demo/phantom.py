"""A head made of ellipsoids, in millimetres of the patient (LPS), cut along any of its axes.

x grows to the patient's left, y to the back, z to the head (PS3.3 C.7.6.2.1.1). Tissues have the
numbers that a scanner would give them: air -1000 HU, water 0 HU, bone 1000 HU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Orientation = Literal["axial", "sagittal", "coronal"]
# Which patient axis runs down the rows, along the columns, and across the slices.
AXES: dict[Orientation, tuple[int, int, int]] = {
    "axial": (1, 0, 2),
    "sagittal": (2, 1, 0),
    "coronal": (2, 0, 1),
}


@dataclass(frozen=True, slots=True)
class Tissue:
    """What each kind of picture shows of a tissue: HU for CT, relative signal for MR."""

    ct_hu: float
    t1: float
    t2: float
    flair: float


AIR = Tissue(-1000, 8, 8, 8)
WATER = Tissue(0, 110, 1050, 70)
BONE = Tissue(1000, 40, 30, 35)
MARROW = Tissue(480, 330, 240, 200)
FAT = Tissue(-90, 900, 620, 560)
SKIN = Tissue(35, 420, 330, 350)
GREY = Tissue(38, 430, 560, 520)
WHITE = Tissue(29, 600, 400, 400)
NUCLEUS = Tissue(41, 470, 500, 480)
OEDEMA = Tissue(15, 360, 860, 900)
BLOOD = Tissue(68, 560, 470, 600)
LENS = Tissue(90, 480, 300, 320)
CHALK = Tissue(260, 90, 60, 70)
AIR_CELLS = Tissue(-450, 60, 60, 60)
DURA = Tissue(58, 330, 220, 260)


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """A body of one tissue.

    Attributes
    ----------
    centre, radii : x, y, z in mm
    turn_deg : about the z axis
    ripple : how far its surface is folded, as a share of the radii (the cortex)
    """

    tissue: Tissue
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    turn_deg: float = 0.0
    ripple: float = 0.0


def _pair(
    tissue: Tissue,
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    turn_deg: float = 0.0,
) -> tuple[Ellipsoid, Ellipsoid]:
    x, y, z = centre
    return (
        Ellipsoid(tissue, (x, y, z), radii, turn_deg),
        Ellipsoid(tissue, (-x, y, z), radii, -turn_deg),
    )


# Later bodies lie inside earlier ones and are painted over them.
HEAD: tuple[Ellipsoid, ...] = (
    Ellipsoid(SKIN, (0, 22, -112), (52, 58, 62)),
    Ellipsoid(MARROW, (0, 40, -120), (11, 11, 50)),
    *_pair(SKIN, (80, 16, -42), (5, 17, 27), 12),
    Ellipsoid(SKIN, (0, -36, -64), (64, 66, 56)),
    Ellipsoid(FAT, (0, -36, -64), (61, 63, 53)),
    Ellipsoid(SKIN, (0, -30, -66), (50, 52, 48)),
    Ellipsoid(SKIN, (0, -98, -60), (12, 17, 20)),
    Ellipsoid(BONE, (0, -50, -98), (40, 42, 7)),
    Ellipsoid(SKIN, (0, -40, -98), (31, 36, 9)),
    Ellipsoid(SKIN, (0, 0, 0), (78, 98, 98)),
    Ellipsoid(FAT, (0, 0, 0), (75.5, 95.5, 95.5)),
    Ellipsoid(BONE, (0, 0, 0), (73, 93, 93)),
    Ellipsoid(MARROW, (0, 0, 0), (71, 91, 91)),
    Ellipsoid(BONE, (0, 0, 0), (69, 89, 89)),
    Ellipsoid(WATER, (0, 0, 0), (66, 86, 86)),
    Ellipsoid(GREY, (0, 0, 2), (65, 84.5, 83.5), ripple=0.012),
    Ellipsoid(WHITE, (0, 0, 4), (58.5, 77, 74), ripple=0.075),
    Ellipsoid(DURA, (0, 0, 30), (0.8, 84, 50)),
    *_pair(WATER, (34, 0, 6), (24, 2.2, 11), -14),
    *_pair(WATER, (10.5, 0, 14), (6.5, 31, 10), 9),
    *_pair(WATER, (17, 33, 6), (5.5, 13, 9), -18),
    Ellipsoid(DURA, (0, 0, 14), (1.2, 22, 12)),
    *_pair(NUCLEUS, (15.5, -17, 9), (5, 10, 8), 12),
    *_pair(NUCLEUS, (25, -2, 0), (5.5, 15, 9), 10),
    *_pair(NUCLEUS, (11, 14, 1), (8.5, 12, 9), -16),
    Ellipsoid(WATER, (0, 8, -2), (2.2, 11, 8)),
    *_pair(CHALK, (16, 32, 5), (2.2, 4, 2.5)),
    Ellipsoid(CHALK, (0, 26, 3), (2.2, 2.6, 2.2)),
    Ellipsoid(BONE, (0, -8, -52), (62, 72, 6)),
    *_pair(BONE, (40, 22, -46), (25, 11, 11), 32),
    *_pair(AIR_CELLS, (56, 30, -50), (9, 12, 13), 20),
    Ellipsoid(WATER, (0, 48, -46), (52, 33, 25)),
    Ellipsoid(GREY, (0, 50, -46), (49, 30, 23), ripple=0.05),
    Ellipsoid(WATER, (0, 33, -42), (5, 5, 9)),
    Ellipsoid(WHITE, (0, 18, -44), (12, 13, 30)),
    Ellipsoid(WHITE, (0, 26, -86), (7, 8, 34)),
    *_pair(FAT, (31, -71, -42), (19, 21, 17), 14),
    *_pair(WATER, (31, -77, -42), (12, 12, 12)),
    *_pair(LENS, (31, -87, -42), (4.5, 2, 4.5)),
    Ellipsoid(AIR, (0, -62, -46), (9, 22, 14)),
    *_pair(AIR, (25, -66, -72), (14, 16, 13), 10),
    Ellipsoid(AIR, (0, -38, -56), (13, 11, 9)),
    *_pair(AIR, (12, -86, 2), (10, 4, 11), -8),
    Ellipsoid(AIR, (0, -84, -66), (7, 18, 13)),
    # What a reader is meant to find: a bleeding with its oedema, in the left hemisphere.
    Ellipsoid(OEDEMA, (37, 24, 27), (17, 21, 16), 15, ripple=0.06),
    Ellipsoid(BLOOD, (36, 22, 26), (10, 13, 10), 15, ripple=0.04),
)


def cut(
    orientation: Orientation,
    position_mm: float,
    *,
    rows_mm: NDArray[np.float32],
    columns_mm: NDArray[np.float32],
    signal: Literal["ct_hu", "t1", "t2", "flair"],
) -> NDArray[np.float32]:
    """Return one slice through the head.

    Parameters
    ----------
    orientation, position_mm : which plane, and where it crosses the axis across it
    rows_mm, columns_mm : patient coordinates of the pixel centres down and along the slice
    signal : what the picture shows

    Returns
    -------
    shape (len(rows_mm), len(columns_mm)); pixels on a surface hold a share of both sides
    """
    image = np.full((len(rows_mm), len(columns_mm)), getattr(AIR, signal), dtype=np.float32)
    down, along, across = AXES[orientation]
    pixel_mm = abs(float(columns_mm[1] - columns_mm[0]))
    for body in HEAD:
        reach = list(body.radii)
        if body.turn_deg:
            reach[0] = reach[1] = max(body.radii[0], body.radii[1])
        slack = 1 + 2 * body.ripple
        if abs(position_mm - body.centre[across]) > reach[across] * slack + pixel_mm:
            continue
        rows = _near(rows_mm, body.centre[down], reach[down] * slack + 2 * pixel_mm)
        columns = _near(columns_mm, body.centre[along], reach[along] * slack + 2 * pixel_mm)
        part = image[rows, columns]
        if not part.size:
            continue
        share = _coverage(
            body, orientation, position_mm, rows_mm[rows], columns_mm[columns], pixel_mm
        )
        part += share * (np.float32(getattr(body.tissue, signal)) - part)
    return image


def _near(axis_mm: NDArray[np.float32], centre_mm: float, reach_mm: float) -> slice:
    inside = np.flatnonzero(np.abs(axis_mm - centre_mm) <= reach_mm)
    return slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)


def _coverage(
    body: Ellipsoid,
    orientation: Orientation,
    position_mm: float,
    rows_mm: NDArray[np.float32],
    columns_mm: NDArray[np.float32],
    pixel_mm: float,
) -> NDArray[np.float32]:
    """Return how much of each pixel lies in `body`, 0 to 1."""
    down, along, across = AXES[orientation]
    from_centre: list[NDArray[np.float32]] = [np.zeros((1, 1), np.float32)] * 3
    from_centre[down] = (rows_mm - np.float32(body.centre[down]))[:, None]
    from_centre[along] = (columns_mm - np.float32(body.centre[along]))[None, :]
    from_centre[across] = np.full((1, 1), position_mm - body.centre[across], np.float32)
    x, y, z = from_centre
    turn = np.deg2rad(body.turn_deg)
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = x * cosine + y * sine, y * cosine - x * sine
    a, b, c = (np.float32(radius) for radius in body.radii)
    distance = np.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    if body.ripple:
        folds = np.sin(x * 0.42 + 1.3 * np.sin(y * 0.19)) + np.sin(
            y * 0.37 + 1.7 * np.sin(z * 0.23)
        )
        folds = folds + np.sin(z * 0.33 + 1.1 * np.sin(x * 0.21))
        distance = distance + np.float32(body.ripple) * folds * np.float32(0.6)
    edge = np.float32(min(body.radii) / pixel_mm)
    share: NDArray[np.float32] = np.clip((1 - distance) * edge + np.float32(0.5), 0, 1)
    return share
