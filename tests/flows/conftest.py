"""Fixtures of the tests that drive the receiver, and of those that end processes by force."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.receiver import make_site, receiver, receiver_template

__all__ = ["make_site", "receiver", "receiver_template"]


@pytest.fixture(scope="session")
def new_folder() -> Iterator[Callable[[], Path]]:
    """Make folders on the machine's disk: what is not yet on it when a process dies matters here.

    Other tests have theirs in memory, where there is room.
    """
    with ExitStack() as stack:
        yield lambda: Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="noctis-disk-")))
