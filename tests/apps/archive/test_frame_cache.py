"""The cache of made pictures: one maker a key, whole entries or none, within its bounds."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from archive import frame_cache
from archive.errors import TransientError, UndecodableError
from archive.frame_cache import Entry, FrameCache, key_of
from archive.models import Job


@pytest.fixture
def cache(tmp_path: Path, settings: Settings) -> FrameCache:
    settings.CACHE_DIR = tmp_path / "cache"
    return frame_cache.rendered()


def files(cache: FrameCache) -> list[Path]:
    assert cache.disk is not None
    return [path for path in cache.disk.root.rglob("*") if path.is_file()]


def again(cache: FrameCache, settings: Settings) -> FrameCache:
    """The cache as another process has it: the same folder, an empty memory."""
    assert cache.disk is not None
    frame_cache.forget_memory()
    assert frame_cache.rendered() is not cache
    return frame_cache.rendered()


def never() -> Entry:
    raise AssertionError("made again")


def test_many_who_ask_at_once_wait_for_one_maker(cache: FrameCache) -> None:
    made: list[int] = []
    ready = threading.Barrier(8)

    def make() -> Entry:
        made.append(threading.get_ident())
        time.sleep(0.1)
        return Entry(b"picture", {"rows": 1})

    got: list[Entry] = []

    def ask() -> None:
        ready.wait()
        got.append(cache.get_or_make(key_of("a"), make))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert [entry.content for entry in got] == [b"picture"] * 8


def test_an_entry_outlives_the_process(cache: FrameCache, settings: Settings) -> None:
    entry = Entry(b"\x00picture", {"dtype": "int16", "least": -3, "window_center": None})
    cache.get_or_make(key_of("a", 1), lambda: entry)
    assert again(cache, settings).get_or_make(key_of("a", 1), never) == entry


@pytest.mark.parametrize("damage", [0, 3, 10, 30, -1])
def test_a_damaged_file_is_made_again(cache: FrameCache, settings: Settings, damage: int) -> None:
    cache.get_or_make(key_of("a"), lambda: Entry(b"picture" * 10, {"rows": 1}))
    (path,) = files(cache)
    raw = bytearray(path.read_bytes())
    raw[damage] ^= 0x40
    path.write_bytes(raw)
    fresh = again(cache, settings)
    assert fresh.get_or_make(key_of("a"), lambda: Entry(b"new")).content == b"new"


@pytest.mark.parametrize("length", [0, 3, 15, 40])
def test_a_file_that_was_cut_off_is_made_again(
    cache: FrameCache, settings: Settings, length: int
) -> None:
    cache.get_or_make(key_of("a"), lambda: Entry(b"picture" * 10, {"rows": 1}))
    (path,) = files(cache)
    os.truncate(path, length)
    assert again(cache, settings).get(key_of("a")) is None


def test_a_refusal_is_remembered_for_a_while_and_a_busy_decoder_is_not(cache: FrameCache) -> None:
    asked = []

    def refuse() -> Entry:
        asked.append(1)
        raise UndecodableError("damaged")

    for form in ("png", "jpg", "png"):
        with pytest.raises(UndecodableError, match="damaged"):
            cache.get_or_make(key_of("a", form), refuse, refusal_key="a")
    assert len(asked) == 1

    def be_busy() -> Entry:
        asked.append(2)
        raise TransientError("busy")

    for _ in range(2):
        with pytest.raises(TransientError):
            cache.get_or_make(key_of("b"), be_busy)
    assert asked == [1, 2, 2]


def test_those_who_wait_hear_of_the_failure(cache: FrameCache) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def refuse() -> Entry:
        begun.set()
        go_on.wait(5)
        raise UndecodableError("damaged")

    heard: list[str] = []

    def ask() -> None:
        try:
            cache.get_or_make(key_of("a"), refuse)
        except UndecodableError as error:
            heard.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(5)
    time.sleep(0.1)
    go_on.set()
    for thread in threads:
        thread.join(5)
    assert heard == ["damaged"] * 3


def test_memory_is_bounded_by_bytes(tmp_path: Path, settings: Settings) -> None:
    settings.CACHE_DIR = tmp_path / "small"
    settings.FRAME_MEMORY_CACHE_BYTES = 10 * 11_024
    cache = frame_cache.rendered()
    for number in range(30):
        cache.get_or_make(key_of(number), lambda: Entry(bytes(10_000)))
    kept = [number for number in range(30) if cache.peek(key_of(number))]
    assert kept == list(range(20, 30))
    assert len(files(cache)) == 30


@pytest.mark.django_db
def test_the_folder_is_trimmed_by_last_use(cache: FrameCache, settings: Settings) -> None:
    for number in range(10):
        cache.get_or_make(key_of(number), lambda: Entry(bytes(20_000)))
    assert cache.disk is not None
    for number in range(10):
        long_ago = time.time() - 100_000 + number
        os.utime(cache.disk.path(key_of(number)), (long_ago, long_ago))
    fresh = again(cache, settings)
    assert fresh.get(key_of(0)) is not None  # a use makes it young
    one_file = cache.disk.path(key_of(0)).stat().st_blocks * 512
    settings.FRAME_DISK_CACHE_BYTES = 5 * one_file

    freed = frame_cache.trim()

    left = {number for number in range(10) if cache.disk.path(key_of(number)).exists()}
    assert left == {0, 7, 8, 9}
    assert freed == 6 * one_file
    assert frame_cache.trim() == 0


@pytest.mark.django_db
def test_much_writing_asks_for_a_trim_once(
    cache: FrameCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_cache, "LOOK_AFTER_BYTES", 50_000)
    for number in range(7):
        cache.get_or_make(key_of(number), lambda: Entry(bytes(10_000)))
    assert list(Job.objects.values_list("kind", "key")) == [("frame_cache.trim", "disk")]


def test_a_full_disk_costs_no_picture(cache: FrameCache) -> None:
    assert cache.disk is not None
    cache.disk.root.parent.mkdir(parents=True)
    cache.disk.root.write_text("a file stands where the folder should be")
    entry = cache.get_or_make(key_of("a"), lambda: Entry(b"picture"))
    assert entry.content == b"picture"
    assert cache.peek(key_of("a")) == entry
