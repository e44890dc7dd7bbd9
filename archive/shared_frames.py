"""The frame cache's tier in Redis: what one sidecar made, the others on other machines have.

`NOCTIS_FRAME_CACHE=redis` puts it in the place of the folder below `CACHE_DIR`, which serves all
processes of one machine. Its bound is Redis's own (`maxmemory`, with an LRU policy).
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, cast

from archive.frame_entry import Entry, pack, unpack

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)

_PREFIX = "noctis:frame:"
_KEPT_S = 24 * 3600
# Whole-slide tiles and CT frames fit; a 100 MB mammogram would push out a thousand of them.
MOST_ENTRY_BYTES = 16 * 1024**2
_TIMEOUT_S = 1.0
# After a failure the pictures are made here, without a second of waiting for each.
_PAUSE_S = 5.0


class Redis:
    """Entries under their keys; one that cannot be had costs time, never the picture."""

    def __init__(self, url: str) -> None:
        import redis  # noqa: PLC0415 - 20 MB with what it loads, for sites that have one

        self._client = redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        self._error = redis.RedisError
        self._silent_until = 0.0
        self._lock = threading.Lock()

    def get(self, key: str) -> Entry | None:
        """Return an entry that another process or this one put there."""
        if time.monotonic() < self._silent_until:
            return None
        try:
            raw = cast("bytes | None", self._client.get(_PREFIX + key))
        except self._error as error:
            self._give_up(error)
            return None
        return None if raw is None else unpack(raw)

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry for a day after it was made."""
        if entry.size_bytes > MOST_ENTRY_BYTES or time.monotonic() < self._silent_until:
            return
        try:
            self._client.set(_PREFIX + key, pack(entry), ex=_KEPT_S)
        except self._error as error:
            self._give_up(error)

    def _give_up(self, error: redis.RedisError) -> None:
        with self._lock:
            self._silent_until = time.monotonic() + _PAUSE_S
        logger.warning(
            "The frame cache in Redis does not answer, pictures are made here: %s", error
        )
