"""The frame cache in a real Redis: shared by sidecars, and never in the way of a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from archive import frame_cache
from archive.frame_cache import FrameCache, key_of
from archive.frame_entry import Entry
from archive.shared_frames import MOST_ENTRY_BYTES
from tests.services import servers


def never() -> Entry:
    raise AssertionError("made again")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with servers.redis() as url:
        yield url


def another_sidecar(settings: Settings, folder: Path) -> FrameCache:
    """The cache as a process on another machine has it: nothing in memory, another disk."""
    frame_cache.forget_memory()
    settings.CACHE_DIR = folder
    return frame_cache.rendered()


@pytest.fixture
def one(settings: Settings, address: str, tmp_path: Path) -> FrameCache:
    settings.FRAMES_IN_REDIS = True
    settings.REDIS_URL = address
    return another_sidecar(settings, tmp_path / "one")


def test_what_one_sidecar_made_another_has(
    one: FrameCache, settings: Settings, tmp_path: Path
) -> None:
    made = one.get_or_make(key_of("shared"), lambda: Entry(b"picture", {"rows": 3}))
    other = another_sidecar(settings, tmp_path / "other")
    assert other is not one
    assert other.get_or_make(key_of("shared"), never) == made
    assert not list(tmp_path.rglob("*.*"))


def test_an_entry_that_would_push_out_thousands_stays_here(
    one: FrameCache, settings: Settings, tmp_path: Path
) -> None:
    one.get_or_make(key_of("large"), lambda: Entry(bytes(MOST_ENTRY_BYTES)))
    assert another_sidecar(settings, tmp_path / "other").get(key_of("large")) is None


def test_without_redis_pictures_are_made_here(settings: Settings, tmp_path: Path) -> None:
    settings.FRAMES_IN_REDIS = True
    with servers.redis() as url:
        settings.REDIS_URL = url
        cache = another_sidecar(settings, tmp_path / "one")
        cache.get_or_make(key_of("before"), lambda: Entry(b"before"))
    cache = another_sidecar(settings, tmp_path / "two")
    assert cache.get_or_make(key_of("before"), lambda: Entry(b"anew")).content == b"anew"
    assert cache.get_or_make(key_of("before"), never).content == b"anew"
