"""The viewer as a person drives it: by the names of its buttons, its keys and its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

_READY_MS = 20_000


class ViewerPage:
    """A viewer page that is open in a browser."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self, address: str) -> ViewerPage:
        self.page.goto(address)
        return self.wait()

    def wait(self, state: str = "ready") -> ViewerPage:
        expect(self.page.locator("noctis-viewer")).to_have_attribute(
            "data-state", state, timeout=_READY_MS
        )
        return self

    def fact(self, name: str) -> str:
        return self.page.locator("noctis-viewer").get_attribute(f"data-{name}") or ""

    def number(self, name: str) -> float:
        return float(self.fact(name))

    def expect_fact(self, name: str, value: str) -> None:
        expect(self.page.locator("noctis-viewer")).to_have_attribute(f"data-{name}", value)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def button(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def choose(self, menu: str, name: str) -> None:
        """Press a button in one of the tool bar's menus."""
        self.button(menu)
        self.page.locator("[popover]:popover-open").get_by_role(
            "button", name=name, exact=True
        ).click()

    def open_series(self, words: str) -> None:
        self.page.locator("button.series", has_text=words).click()
        self.wait()

    def go_to(self, index: int) -> None:
        """Scroll from the first image to the one of `index`."""
        self.press("Home")
        self.expect_fact("image-index", "0")
        for _ in range(index // 10):
            self.press("Shift+ArrowDown")
        for _ in range(index % 10):
            self.press("ArrowDown")
        self.expect_fact("image-index", str(index))

    def place(self, right: float, down: float) -> tuple[float, float]:
        """A point of the first viewport, as shares of its width and height."""
        box = self.page.locator(".pointer").first.bounding_box()
        assert box is not None
        return box["x"] + box["width"] * right, box["y"] + box["height"] * down

    def drag(self, start: tuple[float, float], end: tuple[float, float], **how: Any) -> None:
        mouse = self.page.mouse
        mouse.move(*self.place(*start))
        mouse.down(**how)
        mouse.move(*self.place(*end), steps=5)
        mouse.up(**how)

    def rows(self) -> list[str]:
        found = self.page.locator("table.measurements tbody tr").all_inner_texts()
        return [" ".join(text.split()) for text in found]

    def expect_saved(self) -> None:
        expect(self.page.locator(".save-sign")).to_have_text("Saved", timeout=_READY_MS)

    def discard_segments(self) -> None:
        """Give up what is drawn in the study and not stored: tests share the site."""
        self.page.evaluate(
            """async () => {
              const {series} = JSON.parse(document.getElementById("study-manifest").textContent);
              const token = document.querySelector('meta[name="csrf-token"]').content;
              for (const {id} of series) {
                await fetch(`/viewer/api/series/${id}/segments/`,
                  {method: "DELETE", headers: {"X-CSRFToken": token}});
              }
            }"""
        )

    def saved(self) -> list[dict[str, Any]]:
        """What the server keeps of everything drawn on this study."""
        answer: list[dict[str, Any]] = self.page.evaluate(
            """async () => {
              const source = document.getElementById("study-manifest").textContent;
              const address = JSON.parse(source).links.measurements;
              return (await fetch(address)).json();
            }"""
        )
        return answer

    def erase(self) -> None:
        """Begin without anything drawn: tests share the site."""
        self.page.evaluate(
            """async () => {
              const {links} = JSON.parse(document.getElementById("study-manifest").textContent);
              const token = document.querySelector('meta[name="csrf-token"]').content;
              for (const {id, version} of await (await fetch(links.measurements)).json()) {
                await fetch(`/viewer/api/measurements/${id}/?version=${version}`,
                  {method: "DELETE", headers: {"X-CSRFToken": token}});
              }
            }"""
        )
        self.page.reload()
        self.wait()
        # Window, zoom and turning are there again after a reload.
        self.press("Space")
        assert self.saved() == []

    def marks(self) -> dict[str, float]:
        # The browser tells of the first picture a moment later.
        self.page.wait_for_function(
            "() => performance.getEntriesByName('viewer:first-preview').length > 0"
        )
        marks: dict[str, float] = self.page.evaluate(
            """() => Object.fromEntries(
              performance.getEntriesByType("mark").map(({name, startTime}) => [name, startTime]))"""
        )
        return marks

    def picture(self) -> NDArray[np.int64]:
        """Grey or RGB values that stand on the first viewport's canvas."""
        width, height, values = self.page.evaluate(
            """() => {
              const canvas = document.querySelector("canvas.surface");
              const {width, height} = canvas;
              const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
              let text = "";
              for (let i = 0; i < data.length; i += 32768) {
                text += String.fromCharCode(...data.subarray(i, i + 32768));
              }
              return [width, height, btoa(text)];
            }"""
        )
        import base64

        raw = np.frombuffer(base64.b64decode(values), np.uint8)
        return raw.reshape(height, width, 4)[..., :3].astype(np.int64)
