"""The worker's planes and pictures beside the viewer's own code, run by Node.js."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from imaging.raycast import PRESETS, CellGrid, turned
from imaging.reformat import STRAIGHT, planes_through
from imaging.volume import Slab
from tests.volumes import OBLIQUE, noise, planned

pytestmark = pytest.mark.peers

FRONTEND = Path(__file__).parents[3] / "frontend"
SCRIPT = """
import { readFileSync } from "node:fs";
import { boxOfVolume, gridOf, planeAt } from "./reformat.ts";
import { CellGrid, cellsOf, CT_PRESETS, COMMON_PRESETS, WHOLE } from "./render3d.ts";
import { finished } from "./turns.ts";
import { Volume } from "./voxels.ts";

const said = JSON.parse(readFileSync(0, "utf8"));
const { geometry, spacing, voxels, axes, slabs, preset, side } = said;
const volume = new Volume(geometry);
voxels.forEach((slice, at) => volume.put(at, Int16Array.from(slice), geometry.columns));
const planes = axes.map(([a, b, c, d, e, f]) => {
  const grid = gridOf({ geometry, spacing }, { right: [a, b, c], down: [d, e, f] });
  const plane = planeAt(grid, Math.floor(grid.count / 2));
  const orNull = (value) => (Number.isNaN(value) ? null : value);
  const numbers = (slab) => Array.from(volume.sample(plane, slab), orNull);
  const { count, step, pixel, columns, rows } = grid;
  return { count, step, pixel, columns, rows, origin: plane.origin, values: slabs.map(numbers) };
});
const { low, high } = boxOfVolume(geometry);
const cells = new CellGrid(finished(cellsOf(volume, low, high)));
const chosen = [...CT_PRESETS, ...COMMON_PRESETS].find(({ id }) => id === preset);
const camera = { right: [1, 0, 0], down: [0, 0, -1] };
const picture = Array.from(cells.render(camera, chosen, WHOLE, side, 1));
process.stdout.write(JSON.stringify({ planes, counts: cells.counts, picture }));
"""
SLABS = [Slab(), Slab("mip", 5.0), Slab("minip", 3.5), Slab("average", 4.0)]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The viewer's code with a few lines that ask it, in one file."""
    folder = tmp_path_factory.mktemp("viewer")
    entry = folder / "ask.ts"
    core = (FRONTEND / "src/viewer/core").as_posix()
    entry.write_text(SCRIPT.replace('"./', f'"{core}/'))
    bundle = folder / "ask.mjs"
    command = [FRONTEND / "node_modules/.bin/rolldown", entry, "--file", bundle, "--format", "esm"]
    subprocess.run(
        [*map(str, command), "--platform", "node"], check=True, capture_output=True, timeout=60
    )
    return bundle


def test_the_viewer_and_the_worker_agree(script: Path) -> None:
    # A ball in noise, its slices leaning both ways and unevenly spaced.
    lean = np.deg2rad(8)
    orientation = (1, 0, 0, 0, float(np.cos(lean)), float(-np.sin(lean)))
    z = np.cumsum([0, 2, 2, 2.5, 2, 1.5, 2, 2, 2, 2, 2, 2])
    voxels = noise(12, 20, 24) // 8 - 900
    r, c = np.meshgrid(np.arange(20), np.arange(24), indexing="ij")
    for k in range(12):
        voxels[k][((k - 6) * 2) ** 2 + (r - 10) ** 2 + (c - 12) ** 2 < 49] = 700
    voxels = voxels.astype(np.int16)
    plan, volume = planned(
        [(5.0 + 0.217 * float(at), -3.0, float(at)) for at in z],
        voxels,
        orientation=orientation,
        spacing=(0.9, 0.8),
    )
    g = plan.geometry
    axes = [*STRAIGHT.values(), OBLIQUE]
    said = {
        "geometry": {
            "columns": g.columns,
            "rows": g.rows,
            "pixel": g.pixel_mm,
            "row": g.row.tolist(),
            "column": g.column.tolist(),
            "normal": g.normal.tolist(),
            "locations": g.locations.tolist(),
            "alongRow": g.along_row.tolist(),
            "alongColumn": g.along_column.tolist(),
            "rescales": [{"slope": 1, "intercept": 0}] * 12,
            "shrink": 1,
        },
        "spacing": plan.spacing_mm,
        "voxels": [plane.reshape(-1).tolist() for plane in voxels],
        "axes": axes,
        "slabs": [{"mode": slab.mode, "thickness": slab.thickness_mm} for slab in SLABS],
        "preset": "bone",
        "side": 64,
    }
    done = subprocess.run(
        ["node", str(script)], input=json.dumps(said), check=True, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    viewer = json.loads(done.stdout)
    for orientation_of_plane, theirs in zip(axes, viewer["planes"], strict=True):
        planes = planes_through(plan, orientation_of_plane)
        grid = planes.plane(planes.count // 2)
        shape = (planes.count, grid.columns, grid.rows)
        assert shape == (theirs["count"], theirs["columns"], theirs["rows"])
        assert grid.position == pytest.approx(theirs["origin"])
        assert (planes.step_mm, grid.pixel_mm) == pytest.approx((theirs["step"], theirs["pixel"]))
        for slab, values in zip(SLABS, theirs["values"], strict=True):
            expected = np.array([np.nan if v is None else v for v in values], np.float32)
            found = volume.sample(grid, slab).reshape(-1)
            assert (~np.isnan(expected)).sum() > 100
            np.testing.assert_allclose(found, expected, atol=2e-3, err_msg=slab.mode)
    cells = CellGrid(volume, most_cells=160)
    assert cells.counts.tolist() == viewer["counts"]
    ours = cells.render(turned(0, 1), PRESETS["bone"], 64).reshape(-1).astype(int)
    theirs = np.array(viewer["picture"])
    assert (ours > 0).mean() > 0.2
    # A ray that meets a surface at the edge of a step may take it or not.
    assert (abs(ours - theirs) > 3).mean() < 0.005


def test_a_camera_goes_round_the_body() -> None:
    assert turned(0, 4) == pytest.approx((1, 0, 0, 0, 0, -1))
    # A quarter on one looks from the patient's left: to the right is the back.
    assert turned(1, 4) == pytest.approx((0, 1, 0, 0, 0, -1))
