// @vitest-environment jsdom
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { MeasurementFacts } from "../../src/viewer/core/manifest";
import { MeasurementList } from "../../src/viewer/core/measurements";
import { MeasurementSaver } from "../../src/viewer/net/saver";

/** A server that keeps measurements as docs/api/viewer.md says: versions, 409, hidden deletions. */
class Peer {
  readonly kept = new Map<string, MeasurementFacts & { hidden?: boolean }>();
  readonly calls: string[] = [];
  /** Statuses to answer the next requests with instead. */
  readonly failures: number[] = [];
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => void this.answer(request, response));
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      chunks.push(chunk as Buffer);
    }
    const send = (status: number, body?: unknown): void => {
      response.writeHead(status, {
        "Content-Type": "application/json",
        "Access-Control-Allow-Origin": "http://localhost:3000",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Headers": "content-type,x-csrftoken",
        "Access-Control-Allow-Methods": "GET,POST,PUT,DELETE",
      });
      response.end(body === undefined ? undefined : JSON.stringify(body));
    };
    if (request.method === "OPTIONS") {
      send(204);
      return;
    }
    this.calls.push(request.method ?? "");
    const failure = this.failures.shift();
    if (failure !== undefined) {
      send(failure, { detail: `Refused with ${failure}.` });
      return;
    }
    const url = new URL(request.url ?? "", "http://peer");
    const id = url.pathname.split("/").at(-2) ?? "";
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : null;
    if (request.method === "POST") {
      const made = { ...body, version: 1, author: { id: "u", name: "Dr. Peer" } };
      this.kept.set(body.id, made);
      send(201, made);
      return;
    }
    const present = this.kept.get(id);
    const version = body?.version ?? Number(url.searchParams.get("version"));
    if (!present || present.hidden) {
      send(404, { detail: "Gone." });
    } else if (present.version !== version) {
      send(409, present);
    } else if (request.method === "DELETE") {
      present.hidden = true;
      send(204);
    } else {
      const changed = { ...present, ...body, version: version + 1 };
      this.kept.set(id, changed);
      send(200, changed);
    }
  }
}

function facts(id: string, label = ""): MeasurementFacts {
  return {
    id,
    kind: "length",
    SeriesInstanceUID: "1",
    SOPInstanceUID: "2",
    frame_number: 1,
    FrameOfReferenceUID: null,
    points: [
      [0, 0],
      [1, 1],
    ],
    points_mm: null,
    label,
    value: 1,
    unit: "mm",
    unit_source: "PixelSpacing",
    statistics: null,
  };
}

describe("saving by itself", () => {
  let peer: Peer;
  let list: MeasurementList;
  let saver: MeasurementSaver;
  let notices: string[];

  beforeEach(async () => {
    peer = new Peer();
    const base = await peer.start();
    list = new MeasurementList();
    notices = [];
    const links = { collection: `${base}/measurements/`, item: (id: string) => `${base}/m/${id}/` };
    saver = new MeasurementSaver(list, links, true);
    saver.on("notice", ({ message }) => notices.push(message));
  });

  afterEach(async () => {
    await peer.stop();
  });

  const settled = (): Promise<void> =>
    vi.waitFor(() => expect([saver.overall, saver.unsaved]).toEqual(["saved", 0]), {
      timeout: 8000,
    });

  it("creates, changes and hides", async () => {
    list.create(facts("a", "one"));
    expect(saver.state("a")).toBe("saving");
    await settled();
    expect(peer.kept.get("a")).toMatchObject({ label: "one", version: 1 });
    expect(list.get("a")?.facts.author?.name).toBe("Dr. Peer");
    list.commit("a", facts("a", "one"), facts("a", "two"));
    await settled();
    expect(peer.kept.get("a")).toMatchObject({ label: "two", version: 2 });
    list.remove("a");
    await settled();
    expect(peer.kept.get("a")?.hidden).toBe(true);
    expect(peer.calls).toEqual(["POST", "PUT", "DELETE"]);
  });

  it("sends a quick series of changes as one", async () => {
    list.create(facts("a"));
    await settled();
    for (const label of ["1", "2", "3", "4"]) {
      list.commit("a", facts("a"), facts("a", label));
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    await settled();
    expect(peer.kept.get("a")?.label).toBe("4");
    expect(peer.calls).toEqual(["POST", "PUT"]);
  });

  it("shows a fault of the moment as not saved, and heals by itself", async () => {
    peer.failures.push(503);
    list.create(facts("a"));
    await vi.waitFor(() => expect(saver.state("a")).toBe("waiting"));
    expect(saver.overallMessage).toBe("Refused with 503.");
    await settled();
    expect(peer.kept.has("a")).toBe(true);
  });

  it("does not repeat what the server refuses for good, until asked", async () => {
    peer.failures.push(422);
    list.create(facts("a"));
    await vi.waitFor(() => expect(saver.state("a")).toBe("failed"));
    expect([saver.unsaved, saver.message("a")]).toEqual([1, "Refused with 422."]);
    saver.retry();
    await settled();
    expect(peer.calls).toEqual(["POST", "POST"]);
  });

  it("stops at a session's end and goes on after signing in", async () => {
    peer.failures.push(401);
    list.create(facts("a"));
    await vi.waitFor(() => expect(saver.state("a")).toBe("waiting"));
    list.create(facts("b"));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(peer.calls).toEqual(["POST"]);
    saver.retry();
    await settled();
    expect([...peer.kept.keys()].sort()).toEqual(["a", "b"]);
  });

  it("shows the other's version when somebody was faster, and says so", async () => {
    list.create(facts("a", "mine"));
    await settled();
    peer.kept.set("a", {
      ...facts("a", "theirs"),
      version: 7,
      author: { id: "x", name: "Dr. First" },
      updated_by: { name: "Dr. Other" },
    });
    list.commit("a", facts("a", "mine"), facts("a", "mine again"));
    await vi.waitFor(() => expect(list.get("a")?.facts.label).toBe("theirs"));
    expect(notices[0]).toMatch(/^Dr. Other changed this measurement/);
    list.commit("a", facts("a", "theirs"), facts("a", "after"));
    await settled();
    expect(peer.kept.get("a")).toMatchObject({ label: "after", version: 8 });
  });

  it("drops what somebody else removed, and says so", async () => {
    list.create(facts("a"));
    await settled();
    (peer.kept.get("a") as { hidden?: boolean }).hidden = true;
    list.commit("a", facts("a"), facts("a", "late"));
    await vi.waitFor(() => expect(list.all()).toHaveLength(0));
    expect(notices[0]).toMatch(/removed/);
  });

  it("brings an undone deletion back under a new id", async () => {
    list.create(facts("a", "back"));
    await settled();
    list.remove("a");
    await settled();
    list.undo();
    await settled();
    const alive = [...peer.kept.values()].filter(({ hidden }) => !hidden);
    expect(alive.map(({ label }) => label)).toEqual(["back"]);
    expect(alive[0]?.id).not.toBe("a");
    expect(list.get("a")?.facts.id).toBe(alive[0]?.id);
    list.redo();
    await settled();
    expect([...peer.kept.values()].every(({ hidden }) => hidden)).toBe(true);
  });

  it("keeps what a reader draws in the window only", () => {
    const reader = new MeasurementList();
    const quiet = new MeasurementSaver(reader, { collection: "", item: () => "" }, false);
    reader.create(facts("a"));
    expect(quiet.state("a")).toBe("local");
    expect(peer.calls).toEqual([]);
  });

  describe("what others do", () => {
    const server = (id: string, version: number, label = "") => ({
      ...facts(id, label),
      version,
      author: { id: "x", name: "Dr. Other" },
      updated_by: { name: "Dr. Other" },
    });
    const merge = (...all: MeasurementFacts[]): boolean => saver.merge(all, saver.knownIds());

    it("comes in, changes and goes; none of it can be undone here", () => {
      merge(server("theirs", 1, "one"));
      expect(list.get("theirs")?.facts.label).toBe("one");
      merge(server("theirs", 2, "two"));
      expect(list.get("theirs")?.facts.label).toBe("two");
      merge(server("theirs", 1, "an answer that was overtaken"));
      expect(list.get("theirs")?.facts.label).toBe("two");
      merge();
      expect(list.all()).toEqual([]);
      expect([list.canUndo, peer.calls, notices]).toEqual([false, [], []]);
    });

    it("is changed here from where it stands there", async () => {
      peer.kept.set("theirs", server("theirs", 3, "one"));
      merge(server("theirs", 3, "one"));
      list.commit("theirs", server("theirs", 3, "one"), { ...server("theirs", 3, "mine") });
      await settled();
      expect(peer.kept.get("theirs")).toMatchObject({ label: "mine", version: 4 });
    });

    it("does not double or drop what is being made here", async () => {
      list.create(facts("mine"));
      const before = saver.knownIds();
      expect(saver.merge([server("mine", 1)], before)).toBe(false);
      await settled();
      // A list that was made before the server had it says nothing about it.
      saver.merge([], before);
      expect(list.all().map(({ key }) => key)).toEqual(["mine"]);
    });

    it("does not bring back what was removed here", async () => {
      list.create(facts("mine"));
      await settled();
      list.remove("mine");
      await settled();
      merge(server("mine", 1));
      expect(list.all()).toEqual([]);
    });

    it("waits while the hand is on it, then ends in one state and a sentence", async () => {
      peer.kept.set("both", server("both", 1, "start"));
      merge(server("both", 1, "start"));
      const start = server("both", 1, "start");
      list.preview("both", { ...start, label: "mine" });
      peer.kept.set("both", server("both", 2, "theirs"));
      expect(merge(server("both", 2, "theirs"))).toBe(true);
      expect(list.get("both")?.facts.label).toBe("mine");
      list.commit("both", start, { ...start, label: "mine" });
      await settled();
      expect(list.get("both")?.facts.label).toBe("theirs");
      expect(peer.kept.get("both")).toMatchObject({ label: "theirs", version: 2 });
      expect(notices).toEqual([
        "Dr. Other changed this measurement meanwhile. Theirs is shown; your change was not kept.",
      ]);
      expect(merge(server("both", 2, "theirs"))).toBe(false);
    });

    it("removed there while it is changed here: it goes, with a sentence", async () => {
      peer.kept.set("gone", { ...server("gone", 1), hidden: true });
      merge(server("gone", 1));
      list.commit("gone", server("gone", 1), { ...server("gone", 1), label: "mine" });
      expect(merge()).toBe(true);
      await settled();
      expect(list.all()).toEqual([]);
      expect(notices).toEqual(["Somebody else has removed this measurement meanwhile."]);
    });

    it("two windows that complete the same values do not quarrel", async () => {
      peer.kept.set("roi", { ...server("roi", 2), value: 7 });
      merge(server("roi", 1));
      list.complete("roi", { ...server("roi", 1), value: 8 });
      await settled();
      expect(list.get("roi")?.facts.value).toBe(7);
      expect(notices).toEqual([]);
    });
  });
});
