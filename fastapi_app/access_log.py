"""Access logs without what stands behind the question mark, whichever server writes them.

Searches carry patients' names there, and links to images what opens them. Our own processes write
no access log; a server that somebody starts by hand does.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

_PATH = 2


class _WithoutQueries(logging.Filter):
    """Of uvicorn's records: address, method, path, version, status."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, shortened."""
        args = record.args
        if isinstance(args, tuple) and len(args) > _PATH:
            path = str(args[_PATH]).partition("?")[0]
            record.args = (*args[:_PATH], path, *args[_PATH + 1 :])
        return True


_without_queries = _WithoutQueries()


def hide_queries() -> None:
    """Shorten the addresses that servers of this process log; doing it again changes nothing."""
    logging.getLogger("uvicorn.access").addFilter(_without_queries)
    if "daphne.access" in sys.modules:
        from daphne.access import AccessLogGenerator  # noqa: PLC0415 - only under Daphne

        _shorten(AccessLogGenerator)


def _shorten(generator: Any) -> None:  # noqa: ANN401 - Daphne's class
    if getattr(generator, "hides_queries", False):
        return
    generator.hides_queries = True
    write = generator.__call__

    def shortened(self: Any, protocol: str, action: str, details: Mapping[str, Any]) -> None:  # noqa: ANN401
        if isinstance(details.get("path"), str):
            details = {**details, "path": details["path"].partition("?")[0]}
        write(self, protocol, action, details)

    generator.__call__ = shortened
