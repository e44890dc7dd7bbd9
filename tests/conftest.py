"""Fixtures that every level of tests shares."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
import pytest_django
from django.conf import settings as django_settings
from django.test import Client, override_settings
from servestatic.middleware import ServeStaticMiddleware

from accounts.models import Role, User
from archive import database, jobs
from archive.access import Actor, actor_of
from tests import databases, factories
from worklist.models import Facility

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browsers last: Playwright's loop runs until the end, and a thread has but one.

    Of theirs the files with sites of their own first: they are long, and no worker shall be left
    with one when the other has nothing to do.
    """
    reading = {item.path for item in items if "reading_site" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: ("browser" in item.path.parts, item.path in reading))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """A copy of a migrated database; of SQLite in a file: threads and processes share it."""
    default = django_settings.DATABASES["default"]
    if default["ENGINE"].endswith("sqlite3"):
        path = django_settings.CACHE_DIR.parent / "test.sqlite3"
        databases.copy_to(path)
        default["TEST"]["NAME"] = str(path)
    else:
        address = os.environ["DATABASE_URL"]
        default["TEST"]["TEMPLATE"] = databases.postgresql_template(address)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """It is used as it is; with the servers and folders of the run it goes at the end."""
    return True


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> Iterator[None]:
    """Close the connections that threads shared: they would outlive the run."""
    with contextlib.ExitStack() as stack:
        with django_db_blocker.unblock():
            stack.enter_context(databases.quick_flush())
        yield
    database.close_shared()


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Argon2 with the least cost: what the product pays for each password is its protection."""
    with override_settings(PASSWORD_HASHERS=["tests.hashing.QuickArgon2"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def one_look_at_static_files() -> Iterator[None]:
    """Look at every static file once: each test client has a handler that would do it anew.

    It is what half of all tests of pages spent their time on; a site does it when it starts.
    """
    known: dict[tuple[str, ...], ServeStaticMiddleware] = {}
    look = ServeStaticMiddleware.add_files_from_finders

    def add_files(self: ServeStaticMiddleware) -> None:
        folders = tuple(map(str, django_settings.STATICFILES_DIRS))
        if folders in known:
            self.files, self.directories = known[folders].files, known[folders].directories
        else:
            look(self)
            known[folders] = self

    with mock.patch.object(ServeStaticMiddleware, "add_files_from_finders", add_files):
        yield


@pytest.fixture(scope="session", autouse=True)
def background() -> None:
    """Everything that follows events is registered before a test replaces some of it."""
    jobs.load()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout; its absence fails, it never skips."""
    if not (SHARED / "data" / "manifest.csv").is_file():
        pytest.fail(
            f"The real DICOM data is missing: expected {SHARED.name}/data beside the checkout."
        )
    return SHARED


@pytest.fixture(scope="session")
def data(shared: Path) -> Path:
    return shared / "data"


@pytest.fixture
def store(tmp_path: Path, settings: object) -> Path:
    """An empty DICOM store of this test's own; returns its root."""
    root = tmp_path / "dicom"
    settings.DICOM_ROOT = root  # type: ignore[attr-defined]
    settings.DICOM_SPOOL_DIR = root / "spool"  # type: ignore[attr-defined]
    settings.CACHE_DIR = tmp_path / "cache"  # type: ignore[attr-defined]
    assert root == django_settings.DICOM_ROOT
    return root


@pytest.fixture
def facility(db: None) -> Facility:
    return factories.facility("NORTH", "North Clinic", ae_titles=["CT_NORTH"])


@pytest.fixture
def other_facility(db: None) -> Facility:
    return factories.facility("SOUTH", "South Clinic", ae_titles=["CT_SOUTH"])


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    return factories.user


@pytest.fixture
def radiologist(facility: Facility) -> User:
    return factories.user("rita", Role.RADIOLOGIST, [facility])


@pytest.fixture
def admin_user(db: None) -> User:
    return factories.user("ada", Role.ADMIN, [])


@pytest.fixture
def reader(radiologist: User) -> Actor:
    return actor_of(radiologist)


@pytest.fixture
def site(radiologist: User) -> Client:
    """A browser in which the radiologist of `facility` is signed in."""
    client = Client()
    client.force_login(radiologist)
    return client
