"""Pages for everybody: axe-core's rules in both themes, large text, small windows, no motion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ADMINISTRATOR, ReadingSite
from tests.browser.phantoms import SPACE
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NewPage = Callable[..., Page]

_AXE = Path(__file__).parents[2] / "frontend/node_modules/axe-core/axe.min.js"
_PAGES = (
    "/worklist/studies/",
    "/worklist/upload/",
    "/offline/",
    "/tasks/",
    "/worklist/forwarding/",
    "/worklist/facilities/",
    "/orders/",
    "/notifications/list/",
    "/accounts/profile/",
    "/accounts/second-factor/set-up/",
    "/viewer/layouts/",
    "/shared/links/",
    "/viewer/shown/",
    "/viewer/test-pattern/",
)


# Those of administrators; whoever is none gets a page that says so.
_PAGES_OF_ADMINISTRATORS = (
    "/worklist/health/",
    "/worklist/audit/",
    "/worklist/conflicts/",
    "/worklist/deletions/",
    "/worklist/knocks/",
    "/worklist/analyses/",
    "/worklist/analyses/services/",
    "/worklist/forwarding/rules/",
    "/worklist/patients/links/",
)


def violations(page: Page) -> list[str]:
    """What axe-core calls serious or worse on the page as it stands, in both themes."""
    page.evaluate(_AXE.read_text())
    found: list[tuple[str, dict[str, Any]]] = page.evaluate(
        """async () => {
          const root = document.documentElement;
          const before = root.dataset.theme;
          const found = [];
          for (const theme of ["dark", "light"]) {
            root.dataset.theme = theme;
            // Colours on their way to the other theme's would be judged half way.
            for (const one of document.getAnimations()) {
              if (one.effect.getTiming().iterations !== Infinity) one.finish();
            }
            const { violations } = await axe.run(document, {resultTypes: ["violations"]});
            found.push(...violations.map((rule) => [theme, rule]));
          }
          root.dataset.theme = before;
          return found;
        }"""
    )
    return [
        f"{page.url} {theme} {rule['id']}: {node['target']} {node['failureSummary']}"
        for theme, rule in found
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]


def visited(page: Page, site: ReadingSite, paths: Iterable[str]) -> list[str]:
    faults = []
    for path in paths:
        answer = page.goto(site.address + path)
        assert answer is not None
        assert answer.status == 200, path
        faults += violations(page)
    return faults


def test_no_page_breaks_a_serious_rule(new_page: NewPage, reading_site: ReadingSite) -> None:
    page = new_page()
    study = reading_site.studies[SPACE]
    own = (f"/worklist/studies/{study}/", f"/viewer/{study}/shown/")
    faults = visited(page, reading_site, [*_PAGES, *own])
    page.goto(f"{reading_site.address}/nothing/here/")
    faults += violations(page)
    page.context.clear_cookies(name="noctis_session")
    page.goto(f"{reading_site.address}/accounts/login/")
    faults += violations(page)
    assert faults == []


def test_no_page_of_administrators_breaks_a_serious_rule(
    new_page: NewPage, reading_site: ReadingSite
) -> None:
    page = new_page()
    page.context.clear_cookies(name="noctis_session")
    page.goto(f"{reading_site.address}/accounts/login/")
    for field, value in zip(("username", "password"), ADMINISTRATOR, strict=True):
        page.fill(f"input[name={field}]", value)
    page.click("button[type=submit]")
    page.wait_for_url("**/worklist/**")
    faults = visited(page, reading_site, _PAGES_OF_ADMINISTRATORS)
    assert faults == []


def test_the_viewer_and_its_dialogs_break_no_serious_rule(
    new_page: NewPage, reading_site: ReadingSite
) -> None:
    page = new_page()
    viewer = ViewerPage(page).open(reading_site.viewer(SPACE))
    faults = violations(page)
    viewer.press("F2")
    expect(page.locator("textarea.report-text")).to_be_focused()
    faults += violations(page)
    viewer.press("Escape", "F4")
    expect(page.get_by_role("button", name="Close segments and structures")).to_be_visible()
    viewer.press("Shift+F4")
    expect(page.get_by_role("button", name="Close machine findings")).to_be_visible()
    viewer.press("$")
    expect(page.get_by_role("group", name="Colours and fusion")).to_be_visible()
    faults += violations(page)
    for key, name in (("?", "Keys and mouse"), ("Control+,", "Change the keys")):
        viewer.press(key)
        expect(page.get_by_role("dialog", name=name)).to_be_visible()
        faults += violations(page)
        viewer.press("Escape")
    viewer.button("Export")
    expect(page.get_by_role("dialog", name="Export")).to_be_visible()
    faults += violations(page)
    assert faults == []


@pytest.mark.parametrize("width", [1440, 360])
def test_nothing_is_cut_off_with_text_of_twice_the_size(
    new_page: NewPage, reading_site: ReadingSite, width: int
) -> None:
    page = new_page(width=width, height=800)
    wide = []
    for path in _PAGES:
        page.goto(reading_site.address + path)
        if width == 1440:
            page.evaluate("document.documentElement.style.fontSize = '200%'")
        found = page.evaluate("document.documentElement.scrollWidth")
        if found > width:
            wide.append((path, found))
    assert wide == []


def test_those_who_want_no_motion_get_none(new_page: NewPage, reading_site: ReadingSite) -> None:
    durations = """() => [...document.querySelectorAll("*")].flatMap((element) => {
      const style = getComputedStyle(element);
      return [style.transitionDuration, style.animationDuration].flatMap((each) => each.split(","));
    }).filter((each) => parseFloat(each) > 0).length"""
    moving, still = new_page(), new_page(reduced_motion="reduce")
    for page in (moving, still):
        ViewerPage(page).open(reading_site.viewer(SPACE))
    assert moving.evaluate(durations) > 0
    assert still.evaluate(durations) == 0


def test_the_pattern_is_exact_to_the_pixel_of_the_screen(
    new_page: NewPage, reading_site: ReadingSite
) -> None:
    page = new_page(device_scale_factor=1.25)
    page.goto(f"{reading_site.address}/viewer/test-pattern/")
    expect(page.locator("[data-display-warnings]")).to_contain_text("shown at 125")
    width, height, box, greys = page.evaluate(
        """() => {
          const canvas = document.querySelector("#test-pattern");
          const {width, height} = canvas;
          const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
          const counts = {};
          for (let i = 0; i < data.length; i += 4) {
            const grey = data[i] === data[i + 1] && data[i] === data[i + 2] ? data[i] : "colour";
            counts[grey] = (counts[grey] ?? 0) + 1;
          }
          const box = canvas.getBoundingClientRect();
          return [width, height, [box.width, box.height], counts];
        }"""
    )
    assert abs(width - box[0] * 1.25) <= 1
    assert abs(height - box[1] * 1.25) <= 1
    assert sorted(map(int, greys)) == list(range(256))
    page.get_by_role("button", name="Even light grey").click()
    even = page.evaluate(
        """() => {
          const canvas = document.querySelector("#test-pattern");
          const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return [...new Set(data)];
        }"""
    )
    assert sorted(even) == [204, 255]
