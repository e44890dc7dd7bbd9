"""What the processes do by themselves while Redis is away: the cache, and Celery's patience."""

from __future__ import annotations

from collections.abc import Iterator

import dj_database_url
import pytest
from django.conf import settings
from django.core.cache.backends.redis import RedisCache

from archive.errors import TooManyAttemptsError
from noctis_pro.cache import RedisOrMemoryCache
from tests.product import free_port
from tests.services import servers
from tests.services.servers import Server

pytestmark = pytest.mark.services


@pytest.fixture
def server() -> Iterator[Server]:
    with servers.redis_server() as found:
        yield found
    RedisOrMemoryCache._away_until = None


def test_the_cache_goes_on_in_memory_and_comes_back(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"socket_connect_timeout": 2}
    cache = RedisOrMemoryCache(server.url, {"OPTIONS": options})
    on_redis = RedisCache(server.url, {"OPTIONS": options})
    cache.set("kept", "there", 60)
    assert on_redis.get("kept") == "there"
    server.kill()
    assert cache.get("kept", "nothing") == "nothing"
    assert cache.add("count", 0, 60)
    assert [cache.incr("count") for _ in range(3)] == [1, 2, 3]
    cache.set_many({"a": 1, "b": 2}, 60)
    # Another thread has another cache, and the same memory.
    other = RedisOrMemoryCache(server.url, {"OPTIONS": options})
    assert other.get_many(["a", "b"]) == {"a": 1, "b": 2}
    assert other.get_or_set("made", lambda: "here", 60) == "here"
    server.start()
    monkeypatch.setattr(RedisOrMemoryCache, "_away_until", 0.0)
    assert cache.get("count") is None
    cache.set("kept", "again", 60)
    assert on_redis.get("kept") == "again"
    told = [record.message for record in caplog.records if record.name == "noctis_pro.cache"]
    assert [words.partition(";")[0] for words in told] == [
        "Redis does not answer",
        "Redis answers again.",
    ]


def test_wrong_passwords_are_limited_without_redis(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accounts import throttle

    cache = RedisOrMemoryCache(server.url, {"OPTIONS": {"socket_connect_timeout": 2}})
    monkeypatch.setattr(throttle, "cache", cache)
    server.kill()
    cache.clear()
    for _ in range(throttle.MOST_WRONG):
        throttle.count_attempt("anna", "10.0.0.1")
    with pytest.raises(TooManyAttemptsError):
        throttle.count_attempt("anna", "10.0.0.1")
    throttle.count_attempt("anna", "10.0.0.2")


def test_celery_asks_for_its_broker_as_often_after_hours_as_at_first() -> None:
    from noctis_pro.celery import app

    assert settings.CELERY_BROKER_URL
    pauses: list[float] = []

    class EnoughError(Exception):
        pass

    def note(_: Exception, pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 2:
            raise EnoughError

    with (
        app.connection_for_read(f"redis://127.0.0.1:{free_port()}/0") as broker,
        pytest.raises(EnoughError),
    ):
        broker.ensure_connection(note, app.conf.broker_connection_max_retries)
    assert pauses == [2, 2]
    assert app.conf.broker_connection_max_retries is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgres://anna:secret@db.example:6543/noctis?sslmode=verify-full&sslrootcert=/ca.pem",
            {
                "PGHOST": "db.example",
                "PGPORT": 6543,
                "PGUSER": "anna",
                "PGPASSWORD": "secret",
                "PGSSLMODE": "verify-full",
                "PGSSLROOTCERT": "/ca.pem",
            },
        ),
        ("postgres:///noctis?host=/run/postgresql", {"PGHOST": "/run/postgresql"}),
    ],
    ids=["by network", "by socket"],
)
def test_the_backups_programs_reach_the_database_as_the_site_does(
    url: str, expected: dict[str, object]
) -> None:
    from archive import snapshot

    found = snapshot._libpq_variables(dj_database_url.parse(url))
    assert {name: value for name, value in found.items() if value} == expected
