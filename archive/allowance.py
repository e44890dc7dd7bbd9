"""How much one caller may ask for in a minute: what is not used refills evenly.

With Redis one count holds for all processes of a site; a process takes a sixtieth of a minute's
share at once and works that off by itself, so that a caller's three hundred pictures cost Redis a
few questions. Without Redis, or while it does not answer, each process counts for itself.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from dataclasses import dataclass
from typing import cast

from cachetools import LRUCache
from django.conf import settings

from archive.errors import TooManyAttemptsError

logger = logging.getLogger(__name__)

_MOST_CALLERS = 4096
_SHARES = 60
# What a process took and nobody has asked for since is forgotten.
_SHARE_KEPT_S = 5.0
_PREFIX = "noctis:allowance:"
_TIMEOUT_S = 1.0
_PAUSE_S = 5.0

# The generic cell rate algorithm (ITU-T I.371): the key holds when the caller's share will be whole
# again. ARGV: milliseconds a request, of a whole share, requests wanted. Returns how many are
# given, and in how many milliseconds the next one is.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local each, whole, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local given = math.min(wanted, math.floor((whole - (at - now)) / each + 0.001))
if given < 1 then
  return {0, math.ceil(at - now + each - whole)}
end
local following = at + given * each
redis.call('SET', KEYS[1], tostring(following), 'PX', math.ceil(following - now))
return {given, 0}
"""


class Allowance:
    """The counts of one process, and its way to those of the site."""

    def __init__(self) -> None:
        self._buckets: LRUCache[str, _Bucket] = LRUCache(_MOST_CALLERS)
        self._taken: LRUCache[str, _Taken] = LRUCache(_MOST_CALLERS)
        self._lock = threading.Lock()
        self._shared: _Shared | None = None

    def take(self, caller: str, most: int, words: str) -> None:
        """Count one request.

        Parameters
        ----------
        caller : whose it is, in any words
        most : how many a minute
        words : what to say past that; a sentence

        Raises
        ------
        TooManyAttemptsError
            When the share is used up.
        """
        wait_s = self._wait_shared(caller, most) if settings.REDIS_URL else None
        if wait_s is None:
            wait_s = self._wait_here(caller, most)
        if wait_s:
            wait = max(1, math.ceil(wait_s))
            raise TooManyAttemptsError(
                f"{words} Wait {wait} s and go on more slowly.", retry_after_s=wait
            )

    def forget(self) -> None:
        """Let everybody begin with a full share, as far as this process counts."""
        with self._lock:
            self._buckets.clear()
            self._taken.clear()
            self._shared = None

    def _wait_here(self, caller: str, most: int) -> float:
        now = time.monotonic()
        with self._lock:
            bucket = self._buckets.get(caller)
            if bucket is None:
                bucket = self._buckets[caller] = _Bucket(most, now)
            bucket.left = min(float(most), bucket.left + (now - bucket.at) * most / 60)
            bucket.at = now
            if bucket.left < 1:
                return (1 - bucket.left) * 60 / most
            bucket.left -= 1
            return 0.0

    def _wait_shared(self, caller: str, most: int) -> float | None:
        """Return how long to wait; None where Redis does not say."""
        now = time.monotonic()
        with self._lock:
            taken = self._taken.get(caller)
            if taken is not None and taken.left > 0 and now - taken.at < _SHARE_KEPT_S:
                taken.left -= 1
                return 0.0
            if self._shared is None:
                self._shared = _Shared(settings.REDIS_URL)
            shared = self._shared
        answer = shared.ask(caller, most, max(1, most // _SHARES))
        if answer is None:
            return None
        given, wait_s = answer
        if not given:
            return wait_s
        with self._lock:
            self._taken[caller] = _Taken(given - 1, now)
        return 0.0


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


@dataclass(slots=True)
class _Taken:
    left: int
    at: float


class _Shared:
    """The site's counts."""

    def __init__(self, url: str) -> None:
        import redis  # noqa: PLC0415 - 20 MB with what it loads, for sites that have one

        client = redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        self._script = client.register_script(_SCRIPT)
        self._error = redis.RedisError
        self._silent_until = 0.0

    def ask(self, caller: str, most: int, wanted: int) -> tuple[int, float] | None:
        """Return how many requests are given, and the seconds to wait where none is."""
        if time.monotonic() < self._silent_until:
            return None
        # Addresses and accounts are nobody's business who looks into Redis.
        digest = hashlib.sha256(caller.encode("utf-8", "surrogateescape")).hexdigest()
        try:
            given, wait_ms = cast(
                "tuple[int, int]",
                self._script(keys=[_PREFIX + digest], args=[60_000 / most, 60_000, wanted]),
            )
        except self._error as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            logger.warning("Redis does not answer; this process counts requests itself: %s", error)
            return None
        return given, wait_ms / 1000


allowance = Allowance()
