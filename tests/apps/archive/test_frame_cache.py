"""The cache of made pictures: one maker a key, whole entries or none, within its bounds."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from archive import frame_cache, meters
from archive.errors import TransientError, UndecodableError
from archive.frame_cache import FrameCache, key_of
from archive.frame_entry import Entry
from archive.models import Job


@pytest.fixture
def cache(tmp_path: Path, settings: Settings) -> FrameCache:
    settings.CACHE_DIR = tmp_path / "cache"
    return frame_cache.rendered()


def files(cache: FrameCache) -> list[Path]:
    assert isinstance(cache.below, frame_cache._Disk)
    return [path for path in cache.below.root.rglob("*") if path.is_file()]


def again(cache: FrameCache, settings: Settings) -> FrameCache:
    """The cache as another process has it: the same folder, an empty memory."""
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
    assert isinstance(cache.below, frame_cache._Disk)
    for number in range(10):
        long_ago = time.time() - 100_000 + number
        os.utime(cache.below.path(key_of(number)), (long_ago, long_ago))
    fresh = again(cache, settings)
    assert fresh.get(key_of(0)) is not None  # a use makes it young
    one_file = cache.below.path(key_of(0)).stat().st_blocks * 512
    settings.FRAME_DISK_CACHE_BYTES = 5 * one_file

    freed = frame_cache.trim()

    left = {number for number in range(10) if cache.below.path(key_of(number)).exists()}
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
    assert isinstance(cache.below, frame_cache._Disk)
    cache.below.root.parent.mkdir(parents=True)
    cache.below.root.write_text("a file stands where the folder should be")
    entry = cache.get_or_make(key_of("a"), lambda: Entry(b"picture"))
    assert entry.content == b"picture"
    assert cache.peek(key_of("a")) == entry


def test_where_frames_were_found_is_counted_over_all_processes(
    cache: FrameCache, settings: Settings, tmp_path: Path
) -> None:
    settings.METERS_DIR = tmp_path / "meters"
    name = 'noctis_frame_cache_requests_total{cache="rendered",found="%s"}'

    def counted() -> dict[str, float]:
        lines = dict(
            line.rsplit(" ", 1) for line in meters.text().splitlines() if not line.startswith("#")
        )
        return {
            place: float(lines.get(name % place, 0)) for place in ("nowhere", "memory", "below")
        }

    before = counted()
    cache.get_or_make(key_of("a"), lambda: Entry(b"picture"))
    cache.get_or_make(key_of("a"), never)
    again(cache, settings).get_or_make(key_of("a"), never)
    after = counted()
    assert {place: after[place] - before[place] for place in after} == {
        "nowhere": 1, "memory": 1, "below": 1,
    }  # fmt: skip
    # What a process that has ended left behind counts on.
    (left,) = settings.METERS_DIR.glob("*.json")
    (settings.METERS_DIR / "1-1.json").write_bytes(left.read_bytes())
    assert counted()["nowhere"] == 2 * after["nowhere"]
    # Half a file of one that was killed is no reason to show nothing.
    (settings.METERS_DIR / "2-2.json").write_text('[["noctis')
    assert counted()["nowhere"] == 2 * after["nowhere"]
