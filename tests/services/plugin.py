"""Early plugin (`-p tests.services.plugin`): the same tests on PostgreSQL and Redis.

The servers start before Django reads its settings. Workers of pytest-xdist inherit the addresses
and start nothing; each has a database of its own.
"""

from __future__ import annotations

import contextlib
import os
from urllib.parse import urlsplit

import pytest

from tests import environment
from tests.services import servers

_STARTED = "NOCTIS_TEST_SERVICES"
_stack = contextlib.ExitStack()

if _STARTED not in os.environ:
    try:
        # In memory it waits for no disk, and is set up as it is in production.
        database = servers.postgres(environment.roomy_memory())
        os.environ["DATABASE_URL"] = _stack.enter_context(database)
        os.environ["REDIS_URL"] = _stack.enter_context(servers.redis())
    except servers.MissingProgramError as error:
        pytest.exit(str(error), returncode=1)
    os.environ[_STARTED] = str(os.getpid())

_worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if _worker:
    # Tests empty the cache: each worker has a database of Redis of its own, as it has one of
    # PostgreSQL.
    number = int(_worker.removeprefix("gw")) + 1
    os.environ["REDIS_URL"] = urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}").geturl()


def pytest_report_header() -> str:
    return f"services: {os.environ['DATABASE_URL']}, {os.environ['REDIS_URL']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the services have no part in: it runs once, with all other tests."""
    left_out = [item for item in items if not _concerns_services(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _concerns_services(item)]


def _concerns_services(item: pytest.Item) -> bool:
    if "apps" not in item.path.parts:
        return True
    if item.get_closest_marker("embedded"):
        return False
    used = set(getattr(item, "fixturenames", ()))
    return bool(item.get_closest_marker("django_db") or used & {"db", "transactional_db"})


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Refuse a run that would quietly use the embedded default after all."""
    from django.conf import settings
    from django.db import connection

    used = (
        connection.vendor,
        settings.CACHES["default"]["BACKEND"].rpartition(".")[2],
    )
    if used != ("postgresql", "RedisOrMemoryCache"):
        pytest.exit(f"The tests run on {used} instead of PostgreSQL and Redis.", returncode=1)


def pytest_unconfigure() -> None:
    """Stop what this process started."""
    _stack.close()
