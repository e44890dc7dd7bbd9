"""Sampling and planning of volumes, against scipy and against formulas."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import map_coordinates

from imaging.errors import InvalidViewError, UnsupportedError
from imaging.reformat import STRAIGHT, corners, orientation_of, planes_through
from imaging.volume import SampleGrid, Slab, Slice, plan_volume
from tests.volumes import AXIAL, OBLIQUE, noise, planned

ORIGIN = (-31.5, 12.25, 100.0)


def evenly(count: int, step: float) -> list[tuple[float, float, float]]:
    x, y, z = ORIGIN
    return [(x, y, z + step * k) for k in range(count)]


def points_of(grid: SampleGrid) -> np.ndarray:
    c, r = np.meshgrid(np.arange(grid.columns), np.arange(grid.rows))
    return (
        grid.origin
        + c[..., None] * grid.pixel_mm * grid.right
        + r[..., None] * grid.pixel_mm * grid.down
    )


@pytest.mark.parametrize("name", [*STRAIGHT, "oblique"])
def test_planes_have_the_values_of_scipy(name: str) -> None:
    voxels = noise(9, 14, 17)
    plan, volume = planned(evenly(9, 2.5), voxels, slope=0.5, intercept=-1024)
    planes = planes_through(plan, STRAIGHT.get(name, OBLIQUE))
    grid = planes.plane(planes.count // 2)
    index = (points_of(grid) - ORIGIN) / (0.7, 0.9, 2.5)
    x, y, z = np.moveaxis(index, -1, 0)
    expected = map_coordinates(voxels * 0.5 - 1024.0, [z, y, x], order=1, mode="nearest")
    inside = (x >= 0) & (x <= 16) & (y >= 0) & (y <= 13) & (z >= 0) & (z <= 8)
    found = volume.sample(grid)
    assert inside.sum() > 100
    np.testing.assert_allclose(found[inside], expected[inside], atol=2e-3)


def test_unevenly_spaced_slices_keep_their_places() -> None:
    places = np.array([0.0, 1.0, 4.0, 4.5, 9.0])
    voxels = noise(5, 8, 8)
    plan, volume = planned([(0, 0, z) for z in places], voxels, spacing=(1, 1))
    assert any("unevenly spaced (0.5 to 4.5 mm)" in note for note in plan.notes)
    grid = planes_through(plan, STRAIGHT["coronal"]).plane(3)
    x, y, z = np.moveaxis(points_of(grid), -1, 0)
    reference = RegularGridInterpolator(
        (places, np.arange(8.0), np.arange(8.0)), voxels.astype(float)
    )
    inside = (z >= 0) & (z <= 9)
    expected = reference(np.stack([z, y, x], axis=-1)[inside])
    np.testing.assert_allclose(volume.sample(grid)[inside], expected, atol=1e-3)


def test_a_tilted_gantry_is_straightened() -> None:
    # The patient's values are a plane in space: whatever the slices' lean, samples must lie in it.
    tilt = math.radians(15)
    orientation = (1, 0, 0, 0, math.cos(tilt), -math.sin(tilt))
    positions = [(0.0, 0.0, 3.0 * k) for k in range(12)]
    r, c = np.meshgrid(np.arange(20), np.arange(16), indexing="ij")

    def truth(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return 3 * x + 20 * y + 50 * z

    voxels = np.stack(
        [
            truth(c * 1.0, r * math.cos(tilt), z - r * math.sin(tilt)).round().astype(np.int32)
            for _, _, z in positions
        ]
    )
    plan, volume = planned(positions, voxels, orientation=orientation, spacing=(1, 1))
    assert any("tilted by 15°" in note for note in plan.notes)
    grid = planes_through(plan, STRAIGHT["sagittal"]).plane(8)
    found = volume.sample(grid)
    expected = truth(*np.moveaxis(points_of(grid), -1, 0))
    # The first and last slice go on for half a distance with their own values.
    location = points_of(grid) @ plan.geometry.normal
    is_between = (location > plan.geometry.locations[0]) & (location < plan.geometry.locations[-1])
    known = ~np.isnan(found) & is_between
    assert known.sum() > 200
    np.testing.assert_allclose(found[known], expected[known], atol=1.5)


@pytest.mark.parametrize(
    ("mode", "reduce"), [("mip", np.max), ("minip", np.min), ("average", np.mean)]
)
def test_slabs_reduce_their_layers(mode: str, reduce: object) -> None:
    voxels = noise(21, 12, 12)
    plan, volume = planned([(0, 0, z) for z in range(21)], voxels, spacing=(1, 1))
    planes = planes_through(plan, STRAIGHT["axial"])
    found = volume.sample(planes.plane(10), Slab(mode, 6.0))  # type: ignore[arg-type]
    expected = reduce(voxels[7:14].astype(float), axis=0)  # type: ignore[operator]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_outside_is_not_a_number_and_never_a_value() -> None:
    plan, volume = planned(evenly(5, 1.0), noise(5, 6, 6))
    planes = planes_through(plan, OBLIQUE)
    found = volume.sample(planes.plane(0))
    assert np.isnan(found).any()
    far = replace(planes.plane(0), origin=planes.plane(0).origin + 1e4)
    assert np.isnan(volume.sample(far)).all()
    assert np.isnan(volume.sample(far, Slab("mip", 4.0))).all()
    assert np.isnan(volume.sample(far, Slab("average", 4.0))).all()


def test_planes_cover_the_volume() -> None:
    plan, _ = planned(evenly(7, 3.0), noise(7, 10, 12))
    planes = planes_through(plan, STRAIGHT["axial"])
    assert (planes.count, planes.step_mm) == (7, 3.0)
    assert planes.first.position == pytest.approx(ORIGIN)
    oblique = planes_through(plan, OBLIQUE)
    low, high = oblique.plane(0), oblique.plane(oblique.count - 1)
    for point in corners(plan.geometry):
        along = point @ oblique.normal
        assert low.origin @ oblique.normal - 1e-6 <= along
        assert along <= high.origin @ oblique.normal + oblique.step_mm


def test_the_order_is_that_of_places_whatever_came_first() -> None:
    voxels = noise(6, 4, 4)
    shuffled = [4, 0, 5, 2, 1, 3]
    places = evenly(6, 2.0)
    plan, volume = planned([places[k] for k in shuffled], voxels[shuffled])
    assert [shuffled[index] for index in plan.order] == list(range(6))
    first = planes_through(plan, STRAIGHT["axial"]).plane(0)
    assert volume.sample(first)[0, 0] == voxels[0, 0, 0]


def slice_at(z: float, **changes: object) -> Slice:
    one = Slice(8, 8, 1, (0.0, 0.0, z), AXIAL, (1.0, 1.0), 1.0, 0.0, "int16")
    return replace(one, **changes)


@pytest.mark.parametrize(
    ("slices", "words"),
    [
        pytest.param([slice_at(0), slice_at(1)], "has 2 images", id="too-few"),
        pytest.param([slice_at(z, samples=3) for z in range(4)], "colour", id="colour"),
        pytest.param([slice_at(z, position=None) for z in range(4)], "do not say", id="nowhere"),
        pytest.param(
            [slice_at(z, orientation=(0,) * 6) for z in range(4)], "do not say", id="no-direction"
        ),
        pytest.param(
            [slice_at(z, position=(0, 0, math.nan)) for z in range(4)], "do not say", id="nan"
        ),
        pytest.param([slice_at(0), slice_at(1), slice_at(2, rows=9)], "differ", id="another-size"),
        pytest.param(
            [slice_at(0), slice_at(1), slice_at(2, orientation=OBLIQUE)],
            "differ",
            id="another-direction",
        ),
        pytest.param(
            [slice_at(0), slice_at(1), slice_at(1), slice_at(2)], "same place", id="phases"
        ),
    ],
)
def test_what_makes_no_volume_is_refused_in_words(slices: list[Slice], words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        plan_volume(slices)


def test_missing_slices_are_counted_and_said() -> None:
    plan = plan_volume([slice_at(z) for z in (0, 1, 2, 5, 6, 8, 9)])
    assert plan.missing == 3
    assert any("3 slices seem to be missing" in note for note in plan.notes)
    assert plan_volume([slice_at(z) for z in range(5)]).notes == ()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param((1, 0, 0, 0, 1), id="five"),
        pytest.param((1, 0, 0, 1, 0, 0), id="parallel"),
        pytest.param((2, 0, 0, 0, 1, 0), id="long"),
        pytest.param((math.inf, 0, 0, 0, 1, 0), id="endless"),
    ],
)
def test_directions_that_are_none_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(InvalidViewError):
        orientation_of(values)


def test_rounded_directions_become_exact() -> None:
    right = np.array(orientation_of((0.8001, 0.5999, 0, -0.6, 0.8, 0.001)))
    assert np.linalg.norm(right[:3]) == pytest.approx(1, abs=1e-12)
    assert right[:3] @ right[3:] == pytest.approx(0, abs=1e-12)
