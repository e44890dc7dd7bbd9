// @vitest-environment jsdom

import { afterEach, expect, test, vi } from "vitest";
import { keepPresent } from "../../src/site/presence";

afterEach(() => vi.unstubAllGlobals());

test("somebody at the screen is told of once a minute, nobody never", () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", (address: string, options: RequestInit) => {
    asked.push(`${options.method} ${address}`);
    return Promise.reject(new Error("offline"));
  });
  let now = 1_000_000;
  keepPresent(() => now);
  const move = (type: string) => document.dispatchEvent(new Event(type));
  move("pointermove");
  expect(asked).toEqual([]);
  now += 60_000;
  expect(asked).toEqual([]);
  move("keydown");
  move("wheel");
  expect(asked).toEqual(["POST /accounts/api/here/"]);
  now += 59_999;
  move("pointerdown");
  expect(asked.length).toBe(1);
  now += 1;
  move("touchstart");
  expect(asked.length).toBe(2);
});
