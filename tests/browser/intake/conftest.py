"""A running site with facilities and people, for the tests of uploads, facilities and callers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests import databases, factories, product
from tests.pdu import IMPLICIT_LE, VERIFICATION, RawPeer, RejectedError

PASSWORD = factories.PASSWORD
PEOPLE = ("boss", "tess", "mia")
_FILL = """
from accounts.models import Role
from tests import factories
north = factories.facility("NORTH", "North Clinic", ae_titles=["CT_NORTH", "NOCTIS_SCU"])
south = factories.facility("SOUTH", "South Clinic")
factories.user("tess", Role.TECHNOLOGIST, [north])
factories.user("mia", Role.RADIOLOGIST, [north, south])
"""


@dataclass(frozen=True)
class IntakeSite:
    """Where the product serves, and the people's cookies."""

    here: product.Site
    cookies: dict[str, Path]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.here.web_port}"

    def echo(self, calling: str) -> bool:
        """Call as equipment does; returns whether the association was admitted."""
        contexts = [(VERIFICATION, [IMPLICIT_LE])]
        try:
            with RawPeer(self.here.dicom_port, contexts, calling=calling) as peer:
                assert peer.echo().status == 0
                peer.release()
        except RejectedError:
            return False
        return True


@pytest.fixture(scope="session")
def intake_site(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IntakeSite]:
    """The product with two facilities: tess works at one, mia at both, boss administers."""
    folder = tmp_path_factory.mktemp("intake")
    environ = product.environment(
        folder / "var", NOCTIS_ADMIN_USER="boss", NOCTIS_ADMIN_PASSWORD=PASSWORD
    )
    databases.place(folder / "var")
    with product.started(environ, folder / "terminal") as here:
        here.wait_for("NoctisPro is ready")
        product.run_python(environ, _FILL)
        site = IntakeSite(here, {})
        for name in PEOPLE:
            site.cookies[name] = _cookies(chromium, site, name, folder)
        yield site


def sign_in(page: Page, address: str, name: str) -> None:
    """Sign in as a person does."""
    page.goto(f"{address}/accounts/login/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/worklist/**")


def _cookies(chromium: Browser, site: IntakeSite, name: str, folder: Path) -> Path:
    context = chromium.new_context()
    sign_in(context.new_page(), site.address, name)
    kept = folder / f"{name}.json"
    context.storage_state(path=kept)
    context.close()
    return kept


@pytest.fixture
def visit(chromium: Browser, intake_site: IntakeSite) -> Iterator[Callable[..., Page]]:
    """Open a page as somebody; at the end none may have met an error of its script."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_page(
        path: str,
        name: str = "tess",
        width: int = 1440,
        height: int = 900,
        port: int | None = None,
    ) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, storage_state=intake_site.cookies[name]
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if _is_fault(said.text) else None)
        page.goto(f"http://127.0.0.1:{port or intake_site.here.web_port}{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == [], json.dumps(faults, indent=1)


def _is_fault(text: str) -> bool:
    return "Content Security Policy" in text


def slow_down(page: Page, bytes_a_second: int) -> None:
    """Throttle what the page sends."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {
        "offline": False,
        "latency": 5,
        "downloadThroughput": -1,
        "uploadThroughput": bytes_a_second,
    }
    session.send("Network.emulateNetworkConditions", conditions)
