/// <reference lib="webworker" />
import { CellGrid } from "../core/render3d";
import type { VolumeAnswer, VolumeRequest } from "./volume-messages";

declare const self: DedicatedWorkerGlobalScope;

/** Draws the cells of a volume, away from the page's own thread. */
let grid: CellGrid | null = null;
let labels: Uint8Array | null = null;

self.addEventListener("message", ({ data: request }: MessageEvent<VolumeRequest>) => {
  if (request.kind === "cells") {
    grid = new CellGrid(request.cells);
    grid.setLabels(labels);
    return;
  }
  if (request.kind === "labels") {
    labels = request.labels;
    grid?.setLabels(labels);
    return;
  }
  const { job, camera, preset, crop, side, stride, tints } = request;
  try {
    if (!grid) {
      throw new Error("The volume is not here yet.");
    }
    const rgb = grid.render(camera, preset, crop, side, stride, tints);
    self.postMessage({ job, rgb, side } satisfies VolumeAnswer, [rgb.buffer]);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    self.postMessage({ job, error: reason } satisfies VolumeAnswer);
  }
});
