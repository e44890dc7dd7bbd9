import type { Camera, Cells, Crop, RenderPreset } from "../core/render3d";
import type { Tint } from "../core/surfaces3d";

/** What the page asks of the worker that draws volumes. */
export type VolumeRequest =
  | { kind: "cells"; cells: Cells }
  /** The segments of the cells; null: none. They stay when cells come anew. */
  | { kind: "labels"; labels: Uint8Array<ArrayBuffer> | null }
  | {
      kind: "render";
      job: number;
      camera: Camera;
      preset: RenderPreset;
      crop: Crop;
      side: number;
      /** How many cells a step of a ray spans. */
      stride: number;
      tints: readonly Tint[];
    };

export type VolumeAnswer =
  | { job: number; rgb: Uint8Array<ArrayBuffer>; side: number }
  | { job: number; error: string };
