import type { PixelArray } from "../core/frame";
import type { Camera, Crop, RenderPreset } from "../core/render3d";
import type { SampleGrid, Slab, VolumeGeometry } from "../core/volume";

/** What the page asks of the worker that holds volumes. */
export type VolumeRequest =
  | { kind: "volume"; volume: number; geometry: VolumeGeometry }
  | { kind: "slice"; volume: number; index: number; data: PixelArray; columns: number }
  | { kind: "plane"; volume: number; job: number; grid: SampleGrid; slab: Slab }
  | {
      kind: "render";
      volume: number;
      job: number;
      camera: Camera;
      preset: RenderPreset;
      crop: Crop;
      side: number;
      /** How many cells a step of a ray spans. */
      stride: number;
    }
  | { kind: "drop"; volume: number };

export type VolumeAnswer =
  | { job: number; data: Float32Array<ArrayBuffer>; min: number; max: number }
  | { job: number; rgb: Uint8Array<ArrayBuffer>; side: number }
  | { job: number; error: string };
