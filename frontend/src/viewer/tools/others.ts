import { t } from "../../i18n";
import { differences } from "../core/alike";
import { Emitter } from "../core/emitter";
import { type Manifest, type PriorFacts, parseManifest } from "../core/manifest";
import { buildStack, type Stack } from "../core/stack";
import { ApiError, request } from "../net/api";

export interface OtherStudy {
  manifest: Manifest;
  stacks: readonly Stack[];
}

/** Other studies of the person whose pictures stand in this window beside those of its own study. */
export class OtherStudies extends Emitter<{ change: undefined }> {
  private readonly loaded = new Map<string, OtherStudy>();
  private readonly asked = new Map<string, Promise<OtherStudy>>();
  /** Why a study cannot be shown, by its id. */
  readonly problems = new Map<string, string>();

  constructor(private readonly own: Manifest) {
    super();
  }

  get(id: string): OtherStudy | null {
    return this.loaded.get(id) ?? null;
  }

  stacksOf(id: string): readonly Stack[] {
    return this.loaded.get(id)?.stacks ?? [];
  }

  /** What is known of another study from the list of priors. */
  facts(id: string): PriorFacts | null {
    return this.own.priors?.find((prior) => prior.id === id) ?? null;
  }

  /** Asks for a study once; rejects with an error in words. */
  open(id: string): Promise<OtherStudy> {
    const known = this.asked.get(id);
    if (known) {
      return known;
    }
    const asked = this.fetch(id).catch((error: unknown) => {
      // The next try asks again.
      this.asked.delete(id);
      this.problems.set(id, error instanceof ApiError ? error.message : String(error));
      this.emit("change", undefined);
      throw error;
    });
    this.asked.set(id, asked);
    return asked;
  }

  /** What differs between this study's patient and another's; empty: one record. */
  strangeness(manifest: Manifest): string[] {
    return manifest === this.own ? [] : differences(this.own.patient, manifest.patient);
  }

  private async fetch(id: string): Promise<OtherStudy> {
    const facts = this.facts(id);
    if (!facts) {
      throw new ApiError(t("This study is not among the other studies of the person."), 404);
    }
    const response = await request(facts.manifest_url);
    const manifest = parseManifest(await response.text());
    const stacks = manifest.series.map((series) => buildStack(series, manifest));
    const other = { manifest, stacks };
    this.problems.delete(id);
    this.loaded.set(id, other);
    this.emit("change", undefined);
    return other;
  }
}
