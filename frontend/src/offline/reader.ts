import { t } from "../i18n";
import { said } from "../sentences";
import type { Reading } from "./reading";
import type { Told } from "./reading-worker";

/** Reads files in a worker: digests of gigabytes leave the page alive. */
export class Reader {
  private readonly worker: Worker;
  private readonly waiting = new Map<
    number,
    { resolve: (reading: Reading) => void; reject: (error: Error) => void }
  >();
  private last = 0;

  constructor(address: string) {
    this.worker = new Worker(address, { type: "module" });
    this.worker.addEventListener("message", (event: MessageEvent<Told>) => {
      const { number, reading, fault } = event.data;
      const asked = this.waiting.get(number);
      this.waiting.delete(number);
      if (reading) {
        asked?.resolve(reading);
      } else {
        asked?.reject(new Error(fault ? said(fault) : t("The file could not be read.")));
      }
    });
    this.worker.addEventListener("error", (event) => {
      for (const { reject } of this.waiting.values()) {
        reject(new Error(event.message || t("Files cannot be read in this browser.")));
      }
      this.waiting.clear();
    });
  }

  read(file: Blob): Promise<Reading> {
    this.last += 1;
    const number = this.last;
    return new Promise((resolve, reject) => {
      this.waiting.set(number, { resolve, reject });
      this.worker.postMessage({ number, file });
    });
  }
}
