/** The messages of `docs/api/events.md` that pages listen to. */
export interface LiveMessages {
  hello: { unread: number; facilities: string[] | null; heartbeat_s: number };
  heartbeat: Record<string, never>;
  "study.new": { study_id: string; facility: string; is_demo: boolean };
  "study.changed": { study_id: string; facility: string; reason: "images" | "details" };
  "measurement.changed": { study_id: string; facility: string };
  "conflict.new": { study_id: string; facility: string; conflict_id: string };
  "transmission.changed": { study_id: string; facility: string; transmission_id: string };
  "reconstruction.changed": { study_id: string; facility: string; reconstruction_id: string };
  "analysis.changed": { study_id: string; facility: string; analysis_id: string };
  "workitem.changed": { facility: string; workitem_id: string };
  "caller.seen": { facility: string; ae_title: string; service: string; address: string };
  "caller.refused": { knock_id: string; calling_ae_title: string };
  "notification.new": {
    unread: number;
    notification: { title: string; body: string; url: string };
  };
  "notification.changed": LiveMessages["notification.new"];
  "notification.unread": { unread: number };
}

export type LiveState = "connecting" | "live" | "lost";
type Kind = keyof LiveMessages;
type Listener<K extends Kind> = (message: LiveMessages[K]) => void;

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** Codes after which connecting again is of no use: signed out, too much was sent. */
const FINAL_CODES = new Set([4401, 4429]);
const SIGNED_OUT = 4401;

/** The pause before the nth try in a row: doubling, capped, with jitter against a stampede. */
export function pauseBefore(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(FIRST_PAUSE_MS * 2 ** attempt, LONGEST_PAUSE_MS);
  return full * (0.5 + random() / 2);
}

/** One socket for a page: it comes back by itself and says how it is. */
export class Live {
  private readonly listeners = new Map<Kind, Set<(message: never) => void>>();
  private readonly watchers = new Set<(state: LiveState) => void>();
  private socket: WebSocket | null = null;
  private attempt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private heartbeatMs = 20_000;
  state: LiveState = "connecting";

  constructor(
    private readonly path: string,
    private readonly onSignedOut: () => void,
  ) {}

  start(): void {
    this.connect();
    addEventListener("online", () => this.hurry());
    addEventListener("pagehide", () => this.socket?.close());
    window.addEventListener("pageshow", () => this.hurry());
    document.addEventListener("visibilitychange", () => !document.hidden && this.hurry());
  }

  on<K extends Kind>(kind: K, listener: Listener<K>): void {
    const known = this.listeners.get(kind) ?? new Set();
    known.add(listener as (message: never) => void);
    this.listeners.set(kind, known);
  }

  watch(watcher: (state: LiveState) => void): void {
    this.watchers.add(watcher);
    watcher(this.state);
  }

  private connect(): void {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.path}`);
    this.socket = socket;
    this.awaitSound();
    socket.addEventListener("message", (event) => this.take(String(event.data)));
    socket.addEventListener("close", (event) => this.closed(socket, event.code));
  }

  private take(text: string): void {
    this.awaitSound();
    const message = JSON.parse(text) as { type: Kind } & LiveMessages["hello"];
    if (message.type === "hello") {
      this.attempt = 0;
      this.heartbeatMs = message.heartbeat_s * 1000;
      this.setState("live");
    }
    for (const listener of this.listeners.get(message.type) ?? []) {
      listener(message as never);
    }
  }

  private closed(socket: WebSocket, code: number): void {
    if (socket !== this.socket) {
      return;
    }
    clearTimeout(this.silence);
    this.socket = null;
    if (FINAL_CODES.has(code)) {
      this.setState("lost");
      if (code === SIGNED_OUT) {
        this.onSignedOut();
      }
      return;
    }
    this.setState("connecting");
    this.retry = setTimeout(() => this.connect(), pauseBefore(this.attempt));
    this.attempt += 1;
  }

  /** Twice a heartbeat without a word: the line is dead although nobody closed it. */
  private awaitSound(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => {
      const socket = this.socket;
      if (socket) {
        socket.close();
        this.closed(socket, 0);
      }
    }, 2 * this.heartbeatMs);
  }

  private hurry(): void {
    if (this.socket === null && this.state === "connecting") {
      clearTimeout(this.retry);
      this.connect();
    }
  }

  private setState(state: LiveState): void {
    if (state !== this.state) {
      this.state = state;
      for (const watcher of this.watchers) {
        watcher(state);
      }
    }
  }
}
