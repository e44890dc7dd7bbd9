import { Live } from "../../site/live";
import type { MeasurementFacts } from "../core/manifest";
import { requestJson } from "./api";
import type { MeasurementSaver } from "./saver";

/** Many strokes in a row are asked for once. */
const GATHER_MS = 100;
/** What could not be taken over, because the person is just changing it, is asked for again. */
const AGAIN_MS = 1000;

/** Keeps what others draw on the study on the screen; `live` tells when there is something. */
export class SharedStrokes {
  private timer = 0;
  private isAsking = false;
  private isAskedAgain = false;

  constructor(
    private readonly studyId: string,
    private readonly collection: string,
    private readonly saver: MeasurementSaver,
  ) {}

  listen(live: Live): void {
    live.on("hello", () => this.soon(0));
    live.on("measurement.changed", ({ study_id }) => {
      if (study_id === this.studyId) {
        this.soon(GATHER_MS);
      }
    });
  }

  private soon(delayMs: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.ask(), delayMs);
  }

  private async ask(): Promise<void> {
    if (this.isAsking) {
      this.isAskedAgain = true;
      return;
    }
    this.isAsking = true;
    this.isAskedAgain = false;
    const before = this.saver.knownIds();
    try {
      const all = await requestJson<MeasurementFacts[]>(this.collection);
      if (this.saver.merge(all, before)) {
        this.soon(AGAIN_MS);
      }
    } catch {
      // The line is lost or the session over: the socket's next greeting asks again.
    } finally {
      this.isAsking = false;
      if (this.isAskedAgain) {
        this.soon(GATHER_MS);
      }
    }
  }
}

/** Opens the page's socket and returns it; without its address nothing is shared. */
export function shareStrokes(
  studyId: string,
  links: { measurements: string; events?: string },
  saver: MeasurementSaver,
): Live | null {
  if (!links.events) {
    return null;
  }
  // Signed out is said by whatever is saved or fetched next.
  const live = new Live(links.events, () => {});
  new SharedStrokes(studyId, links.measurements, saver).listen(live);
  live.start();
  return live;
}
