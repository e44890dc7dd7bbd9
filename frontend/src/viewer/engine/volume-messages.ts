import type { Camera, Cells, Crop, RenderPreset } from "../core/render3d";

/** What the page asks of the worker that draws volumes. */
export type VolumeRequest =
  | { kind: "cells"; cells: Cells }
  | {
      kind: "render";
      job: number;
      camera: Camera;
      preset: RenderPreset;
      crop: Crop;
      side: number;
      /** How many cells a step of a ray spans. */
      stride: number;
    };

export type VolumeAnswer =
  | { job: number; rgb: Uint8Array<ArrayBuffer>; side: number }
  | { job: number; error: string };
