/// <reference lib="webworker" />
import { pixelRange } from "../core/frame";
import { boxOfVolume } from "../core/reformat";
import { CellGrid } from "../core/render3d";
import { Volume } from "../core/volume";
import type { VolumeAnswer, VolumeRequest } from "./volume-messages";

declare const self: DedicatedWorkerGlobalScope;

/** Holds the voxels of series and samples them, away from the page's own thread. */
const volumes = new Map<number, Volume>();
/** Of volumes that are drawn as a whole; made anew when slices have come. */
const cells = new Map<number, CellGrid>();

function gridOf(id: number): CellGrid {
  const volume = known(id);
  const { low, high } = boxOfVolume(volume.geometry);
  const grid = cells.get(id) ?? new CellGrid(volume, low, high);
  cells.set(id, grid);
  return grid;
}

function known(id: number): Volume {
  const volume = volumes.get(id);
  if (!volume) {
    throw new Error("The volume is not here any more.");
  }
  return volume;
}

function take(request: Exclude<VolumeRequest, { kind: "plane" | "render" }>): void {
  if (request.kind === "volume") {
    volumes.set(request.volume, new Volume(request.geometry));
  } else if (request.kind === "drop") {
    volumes.delete(request.volume);
    cells.delete(request.volume);
  } else {
    cells.delete(request.volume);
    volumes.get(request.volume)?.put(request.index, request.data, request.columns);
  }
}

self.addEventListener("message", ({ data: request }: MessageEvent<VolumeRequest>) => {
  if (request.kind !== "plane" && request.kind !== "render") {
    take(request);
    return;
  }
  const { job } = request;
  try {
    if (request.kind === "render") {
      const { camera, preset, crop, side, stride } = request;
      const rgb = gridOf(request.volume).render(camera, preset, crop, side, stride);
      self.postMessage({ job, rgb, side } satisfies VolumeAnswer, [rgb.buffer]);
      return;
    }
    const data = known(request.volume).sample(request.grid, request.slab);
    const answer: VolumeAnswer = { job, data, ...pixelRange(data) };
    self.postMessage(answer, [data.buffer]);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    self.postMessage({ job, error: reason } satisfies VolumeAnswer);
  }
});
