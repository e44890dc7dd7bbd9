import { tn } from "../../i18n";
import { Emitter } from "../core/emitter";
import { isComputed, type Stack } from "../core/stack";
import { planVolume, type VolumePlan } from "../core/volume";
import type { Workspace } from "./workspace";

/** The active series shown as a volume, until it is closed and hangs again as it did before. */
export abstract class VolumeView extends Emitter<{ change: undefined }> {
  constructor(protected readonly workspace: Workspace) {
    super();
  }

  abstract get isOpen(): boolean;

  /** Opens the active series, or says why it makes no volume. */
  abstract open(): void;

  /** Puts back what hung before. */
  abstract close(): void;

  get loaded(): number {
    return this.workspace.pictures.reformatter.loaded;
  }

  /** What readers must know of the volume as it is now. */
  get notes(): readonly string[] {
    const { failed } = this.workspace.pictures.reformatter;
    return failed === 0
      ? []
      : [
          tn(
            "One slice of this series cannot be shown. What lies there is estimated from the neighbours.",
            "{count} slices of this series cannot be shown. What lies there is estimated from the neighbours.",
            failed,
          ),
        ];
  }

  toggle(): void {
    if (this.isOpen) {
      this.close();
    } else {
      this.open();
    }
  }

  /** The active series, its place and its volume; without one, a notice says why. */
  protected planActive(): { stack: Stack; index: number; plan: VolumePlan } | null {
    const { workspace } = this;
    const { stack, index } = workspace.active;
    if (!stack || isComputed(stack)) {
      return null;
    }
    const plan = planVolume(stack, workspace.frames.mostVolumeBytes);
    if ("refusal" in plan) {
      workspace.notify({ id: "mpr", kind: "info", text: plan.refusal });
      return null;
    }
    workspace.dismiss("mpr");
    return { stack, index, plan };
  }
}
