/**
 * Keeps the page of offline uploads, and nothing else: what patients have to do with passes by here
 * unseen. The server writes `SHELL` in front of this file (`worklist/views/offline.py`).
 */
interface Shell {
  version: string;
  page: string;
  language: string;
  files: string[];
}

interface WaitingEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface FetchingEvent extends Event {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}

interface WorkerScope {
  readonly SHELL: Shell;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(kind: "install" | "activate", listener: (event: WaitingEvent) => void): void;
  addEventListener(kind: "fetch", listener: (event: FetchingEvent) => void): void;
}

const PREFIX = "noctis-offline-";
const scope = self as unknown as WorkerScope;
const shell = scope.SHELL;
const name = PREFIX + shell.version;

async function keep(): Promise<void> {
  const cache = await caches.open(name);
  await Promise.all(
    shell.files.map(async (address) => {
      // Without cookies: what is kept is nobody's.
      const language = address === shell.page ? `?language=${shell.language}` : "";
      const answer = await fetch(address + language, { cache: "no-cache", credentials: "omit" });
      if (!answer.ok) {
        throw new Error(`${address}: ${answer.status}`);
      }
      await cache.put(address, answer);
    }),
  );
  await scope.skipWaiting();
}

async function clear(): Promise<void> {
  const kept = await caches.keys();
  await Promise.all(
    kept
      .filter((each) => each.startsWith(PREFIX) && each !== name)
      .map((each) => caches.delete(each)),
  );
  await scope.clients.claim();
}

async function answerOf(address: string, request: Request): Promise<Response> {
  const cache = await caches.open(name);
  return (await cache.match(address, { ignoreVary: true })) ?? fetch(request);
}

scope.addEventListener("install", (event) => event.waitUntil(keep()));
scope.addEventListener("activate", (event) => event.waitUntil(clear()));
scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method === "GET" && origin === location.origin && shell.files.includes(pathname)) {
    event.respondWith(answerOf(pathname, request));
  }
});

export {};
