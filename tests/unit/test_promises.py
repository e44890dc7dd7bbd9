"""`docs/promises.md` names what exists: routes, pages, commands, variables, models, and tests."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest
from django.apps import apps
from django.core.management import get_commands
from django.urls import resolve
from fastapi.routing import APIRoute

from fastapi_app import docs_page
from fastapi_app.main import api
from fastapi_app.routers import dicom, dicom_production, radiology, registry, resumable, tokens

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs" / "promises.md"
_PROMISED = (
    "/api/v1/dicom/upload", "/api/v1/dicom/studies", "/api/v1/dicom/viewer", "/api/v1/orders",
    "/api/v1/patients", "/api/v1/auth",
)  # fmt: skip
_METHODS = ("GET", "POST", "PATCH", "DELETE")


class Promise(NamedTuple):
    """A row of the document."""

    section: str
    text: str
    where: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """What is promised by its name; empty where it is told in words."""
        found = re.fullmatch(r"`([^`]+)`", self.text)
        return found[1] if found else ""


def promises() -> list[Promise]:
    found, section = [], ""
    for line in DOCUMENT.read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 3 and cells[1].startswith("`"):
            tests = tuple(re.findall(r"`([^`]+)`", cells[2]))
            found.append(Promise(section, cells[0], cells[1].strip("`"), tests))
    return found


PROMISES = promises()


def routes_of(section: str) -> list[Promise]:
    return [one for one in PROMISES if one.section == section]


def test_the_document_is_read() -> None:
    assert len(PROMISES) > 150
    assert {one.section for one in PROMISES} >= {
        "EHR interface: routes", "Offline images: routes", "Pages and addresses of the site",
        "Commands", "Variables", "Models",
    }  # fmt: skip


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(one.name for one in tree.body if isinstance(one, ast.FunctionDef))


def test_files_and_tests_exist() -> None:
    missing = []
    for one in PROMISES:
        if not (PROJECT / one.where).is_file():
            missing.append((one.text, one.where))
        if not one.tests:
            missing.append((one.text, "no test"))
        for test in one.tests:
            file, _, name = test.partition("::")
            path = PROJECT / file
            if not path.is_file() or (name and name not in functions_of(path)):
                missing.append((one.text, test))
    assert missing == []


@cache
def served() -> dict[tuple[str, str], str]:
    """The file of each route of the sidecar, by method and path."""
    found = {}
    for module in (dicom, dicom_production, docs_page, radiology, registry, resumable, tokens):
        file = str(Path(module.__file__ or "").relative_to(PROJECT))
        for route in module.router.routes:
            assert isinstance(route, APIRoute)
            path = re.sub(r":\w+}", "}", route.path)
            found |= {(method, path): file for method in route.methods}
    assert api.openapi_url
    found["GET", api.openapi_url] = "fastapi_app/main.py"
    # What is described is what is joined into the application.
    described = {
        (method.upper(), path)
        for path, operations in api.openapi()["paths"].items()
        for method in operations
    }
    hidden = {("GET", "/api/openapi.json"), ("GET", "/api/docs")}
    return {route: file for route, file in found.items() if route in described | hidden}


@pytest.mark.parametrize("section", ["EHR interface: routes", "Offline images: routes"])
def test_routes_are_served_where_it_says(section: str) -> None:
    wrong = [
        (one.name, found)
        for one in routes_of(section)
        if (found := served().get(tuple(one.name.split(" ")))) != one.where  # type: ignore[call-overload]
    ]
    assert wrong == []


def test_every_route_of_the_two_interfaces_is_promised() -> None:
    """A new route of theirs wants its row."""
    promised = {one.name for one in PROMISES if one.name.startswith(_METHODS)}
    left_out = {
        # Beside the promised interface: our own viewer's, and what files are fetched by.
        "/film.gif", "/film.mp4", "/video", "/video/facts", "/file", "/disc", "/anonymised",
    }  # fmt: skip
    unknown = [
        f"{method} {path}"
        for method, path in served()
        if path.startswith(
            ("/api/v1/dicom/upload", "/api/v1/dicom/studies", "/api/v1/dicom/viewer")
        )
        and method in _METHODS
        and not path.endswith((*left_out, "/studies/{study}/thumbnail", "/reconstructions"))
        and f"{method} {path}" not in promised
    ]
    assert unknown == []


def test_pages_have_their_addresses() -> None:
    for one in routes_of("Pages and addresses of the site"):
        path = re.sub(r"<uuid:\w+>", str(UUID(int=7)), one.name)
        assert resolve(path), one.name


def test_commands_variables_and_models_have_their_names() -> None:
    commands = get_commands()
    config = (PROJECT / "noctis_pro" / "config.py").read_text("utf-8")
    for one in routes_of("Commands"):
        if one.name.startswith("manage.py "):
            assert one.name.removeprefix("manage.py ") in commands, one.name
    for one in routes_of("Variables"):
        # Some are a common beginning and a word for each.
        assert re.search(rf'"{one.name}"', config), one.name
    for one in routes_of("Models"):
        assert apps.get_model(one.name)
