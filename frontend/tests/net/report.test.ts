// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ReportDraft, type ReportFacts } from "../../src/viewer/net/report";

interface Sent {
  revision_id: string;
  base_version: number;
  text: string;
}

/** A server that keeps one report; `answer` may stand in for it. */
class Server {
  facts: ReportFacts = { version: 0, text: "", references: [], author: null, updated_by: null };
  sent: Sent[] = [];
  isDown = false;

  async fetch(_url: string, options: RequestInit = {}): Promise<Response> {
    if (this.isDown) {
      throw new TypeError("no network");
    }
    if (options.method === "PUT") {
      const body = JSON.parse(options.body as string) as Sent;
      this.sent.push(body);
      if (body.base_version !== this.facts.version) {
        const detail = "otto changed the report meanwhile.";
        return Response.json({ detail, current: this.facts }, { status: 409 });
      }
      this.write(body.text, "rita");
    }
    return Response.json(this.facts);
  }

  write(text: string, name: string): void {
    const version = this.facts.version + 1;
    this.facts = { ...this.facts, version, text, updated_by: { name } };
  }
}

let server: Server;

beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
  vi.stubGlobal("fetch", (url: string, options?: RequestInit) => server.fetch(url, options));
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function opened(): Promise<ReportDraft> {
  const draft = new ReportDraft("/report/");
  await draft.load();
  return draft;
}

describe("ReportDraft", () => {
  it("keeps by itself what was written, once for many strokes", async () => {
    const draft = await opened();
    draft.write({ text: "N", references: [] });
    draft.write({ text: "No fracture.", references: [] });
    expect(draft.state).toBe("saving");
    await vi.runAllTimersAsync();
    expect(server.sent.map(({ text }) => text)).toEqual(["No fracture."]);
    expect([draft.state, draft.facts.version]).toEqual(["saved", 1]);
  });

  it("says that two wrote, and puts both texts together when asked", async () => {
    const draft = await opened();
    server.write("Theirs.", "otto");
    draft.write({ text: "Mine.", references: [] });
    await vi.runAllTimersAsync();
    expect([draft.state, draft.text, draft.theirs?.text]).toEqual(["conflict", "Mine.", "Theirs."]);
    draft.write({ text: "Mine, more.", references: [] });
    await vi.runAllTimersAsync();
    expect(server.sent).toHaveLength(1);
    draft.putBelowTheirs();
    await vi.runAllTimersAsync();
    expect(server.facts.text).toBe("Theirs.\n\nMine, more.");
    expect(draft.state).toBe("saved");
  });

  it("sends words that came after the one put aside before it takes the other text", async () => {
    const draft = await opened();
    server.write("Theirs.", "otto");
    draft.write({ text: "Mine.", references: [] });
    await vi.runAllTimersAsync();
    draft.write({ text: "Mine, more.", references: [] });
    await draft.takeTheirs();
    expect(draft.text).toBe("Theirs.");
    expect(draft.state).toBe("saved");
    expect(server.sent.map(({ text }) => text)).toEqual(["Mine.", "Mine, more."]);
    expect(server.facts.text).toBe("Theirs.");
  });

  it("tries again under the same name while the network is away", async () => {
    const draft = await opened();
    server.isDown = true;
    draft.write({ text: "Kept.", references: [] });
    await vi.advanceTimersByTimeAsync(1500);
    expect([draft.state, draft.text]).toEqual(["waiting", "Kept."]);
    server.isDown = false;
    await vi.runAllTimersAsync();
    expect([draft.state, server.facts.text]).toEqual(["saved", "Kept."]);
  });

  it("takes no older answer for the present text", async () => {
    const draft = await opened();
    const before = server.facts;
    draft.write({ text: "Kept.", references: [] });
    await vi.runAllTimersAsync();
    server.facts = before;
    await draft.load();
    expect(draft.text).toBe("Kept.");
  });

  it("sends words behind a message under way beside it when the page goes", async () => {
    const draft = await opened();
    draft.write({ text: "One.", references: [] });
    const answers: (() => void)[] = [];
    vi.stubGlobal("fetch", async (url: string, options?: RequestInit) => {
      await new Promise<void>((resolve) => answers.push(resolve));
      return server.fetch(url, options);
    });
    await vi.advanceTimersByTimeAsync(1100);
    draft.flush(true);
    expect(answers).toHaveLength(1);
    draft.write({ text: "One. Two.", references: [] });
    draft.flush(false);
    expect(answers).toHaveLength(1);
    draft.flush(true);
    expect(answers).toHaveLength(2);
    for (const answer of answers) {
      answer();
    }
    await vi.advanceTimersByTimeAsync(10);
    expect(server.sent.map(({ text }) => text)).toEqual(["One.", "One. Two."]);
  });

  it("takes up another's text only where nothing of one's own would be lost", async () => {
    const draft = await opened();
    server.write("Theirs.", "otto");
    await draft.load();
    expect(draft.text).toBe("Theirs.");
    draft.write({ text: "Theirs. Mine.", references: [] });
    server.write("Other.", "otto");
    await draft.load();
    expect(draft.text).toBe("Theirs. Mine.");
  });
});
