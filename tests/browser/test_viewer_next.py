"""From study to study: N and P go through the list that the reader came from.

The next study's first pictures are fetched while the present one is read, so that they come from
the browser's own cache.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ReadingSite
from tests.browser.viewer_page import ViewerPage

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

_PREPARED = "() => JSON.parse(sessionStorage.getItem('noctis.ahead') ?? '{}').study"
_FIRST_FRAME = """() => performance.getEntriesByType("resource")
  .filter(({name, decodedBodySize}) => /frames\\/1\\./.test(name) && decodedBodySize > 0)
  .map(({transferSize}) => transferSize)[0]"""


def test_n_opens_the_next_study_of_the_list_from_what_is_here(
    reading_site: ReadingSite, new_page: Callable[..., Page]
) -> None:
    page = new_page()
    address = f"{reading_site.address}/worklist/studies/?mod=CT&sort=name&dir=asc"
    page.goto(address)
    rows = page.locator("a.row-open")
    expect(rows.nth(1)).to_be_attached()
    first, second = (f"{reading_site.address}{rows.nth(at).get_attribute('href')}" for at in (0, 1))
    page.goto(first, referer=address)
    viewer = ViewerPage(page).wait()
    for _ in range(400):
        prepared = page.evaluate(_PREPARED)
        if prepared:
            break
        page.wait_for_timeout(50)
    assert second.endswith(f"/viewer/{prepared}/")
    viewer.press("n")
    expect(page).to_have_url(second)
    viewer.wait()
    assert page.evaluate(_FIRST_FRAME) == 0
    viewer.press("p")
    expect(page).to_have_url(first)
    viewer.wait()
    viewer.press("p")
    expect(page.locator("[data-notice=reading-list]")).to_have_text(
        "This is the first study of the list."
    )
    expect(page).to_have_url(first)
