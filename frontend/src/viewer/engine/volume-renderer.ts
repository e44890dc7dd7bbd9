import { t } from "../../i18n";
import { Emitter } from "../core/emitter";
import type { Rendering3d } from "../core/reformat";
import type { Cells } from "../core/render3d";
import type { VolumeAnswer, VolumeRequest } from "./volume-messages";

export interface View3d {
  key: string;
  /** How many slices it was made of. */
  slices: number;
  /** False of a coarse picture. */
  isFine: boolean;
}

interface Events {
  drawn: { view: View3d; rgb: Uint8Array<ArrayBuffer>; side: number };
  failed: { view: View3d; message: string };
}

/** Has the views of a whole volume drawn in a worker, one at a time. */
export class VolumeRenderer extends Emitter<Events> {
  private worker: Worker | null = null;
  private running: { job: number; view: View3d } | null = null;
  private nextJob = 1;
  /** Of how many slices the worker's cells were made; 0: there are none. */
  slices = 0;
  /** Which segments the worker has; null: none. */
  labelled: string | null = null;

  get isBusy(): boolean {
    return this.running !== null;
  }

  /** Takes over the cells that are drawn from now on. */
  setCells(cells: Cells, slices: number): void {
    this.worker ??= this.start();
    this.slices = slices;
    const request: VolumeRequest = { kind: "cells", cells };
    this.worker.postMessage(request, [cells.values.buffer]);
  }

  /** Takes over the segments that are drawn from now on; `key` tells them from others. */
  setLabels(labels: Uint8Array<ArrayBuffer> | null, key: string | null): void {
    this.labelled = key;
    const request: VolumeRequest = { kind: "labels", labels };
    this.worker?.postMessage(request, labels ? [labels.buffer] : []);
  }

  draw(view: View3d, rendering: Rendering3d, side: number, stride: number): void {
    const job = this.nextJob++;
    this.running = { job, view };
    const { camera, preset, crop, solids } = rendering;
    const tints = solids?.tints ?? [];
    const request: VolumeRequest = {
      kind: "render",
      job,
      camera,
      preset,
      crop,
      side,
      stride,
      tints,
    };
    this.worker?.postMessage(request);
  }

  /** Gives the memory back. */
  close(): void {
    this.worker?.terminate();
    this.worker = null;
    this.running = null;
    this.slices = 0;
    this.labelled = null;
  }

  private start(): Worker {
    const worker = new Worker(new URL("./volume.worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", (event: MessageEvent<VolumeAnswer>) =>
      this.receive(event.data),
    );
    worker.addEventListener("error", () => this.fail(t("This browser has no memory left for it.")));
    return worker;
  }

  private receive(answer: VolumeAnswer): void {
    const { running } = this;
    if (running?.job !== answer.job) {
      return;
    }
    if ("error" in answer) {
      this.fail(answer.error);
      return;
    }
    this.running = null;
    this.emit("drawn", { view: running.view, rgb: answer.rgb, side: answer.side });
  }

  private fail(message: string): void {
    const { running } = this;
    this.running = null;
    if (running) {
      this.emit("failed", { view: running.view, message });
    }
  }
}
