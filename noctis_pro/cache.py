"""The cache on Redis, which may go away: nothing in it is needed, and much of it protects.

Django's own backend raises while Redis is down, so nobody could sign in. A backend that answers
"nothing known" instead would let passwords be guessed without limit. So each process counts and
remembers for itself until Redis is back. django-redis offers the second of these alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis import exceptions

logger = logging.getLogger(__name__)

_AGAIN_S = 1.0
_MEMORY = "noctis-while-redis-is-away"
_MOST_ENTRIES = 50_000
_FAILURES = (exceptions.ConnectionError, exceptions.TimeoutError)


class RedisOrMemoryCache(RedisCache):
    """Redis; while it does not answer, this process's memory."""

    # Of the process: Django makes a cache for each thread.
    _away_until: float | None = None

    def __init__(self, server: Any, params: dict[str, Any]) -> None:  # noqa: ANN401
        super().__init__(server, params)
        bounds = {**params, "OPTIONS": {"MAX_ENTRIES": _MOST_ENTRIES}}
        self._memory = LocMemCache(_MEMORY, bounds)

    def _call(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:  # noqa: ANN401
        until = RedisOrMemoryCache._away_until
        if until is None or time.monotonic() >= until:
            try:
                found = getattr(super(), name)(*args, **options)
            except _FAILURES as error:
                if until is None:
                    logger.warning("Redis does not answer; this process helps itself: %s", error)
                RedisOrMemoryCache._away_until = time.monotonic() + _AGAIN_S
            else:
                if until is not None:
                    RedisOrMemoryCache._away_until = None
                    logger.warning("Redis answers again.")
                return found
        return getattr(self._memory, name)(*args, **options)


def _guarded(name: str) -> Callable[..., Any]:
    def call(self: RedisOrMemoryCache, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        return self._call(name, args, options)

    return call


for _name in (
    "add", "get", "set", "touch", "delete", "get_many", "has_key", "incr", "set_many",
    "delete_many", "clear",
):  # fmt: skip
    setattr(RedisOrMemoryCache, _name, _guarded(_name))
