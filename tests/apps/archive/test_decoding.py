"""Compressed frames are decoded apart: right, within limits, and without harm to others.

Not covered here: every transfer syntax (tests/doors/test_sidecar_reference.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pytest_django import Settings

from archive import decode_worker, decoding, retrieve
from archive.errors import TransientError, UndecodableError
from imaging.encoding import JPEG_LS_LOSSLESS, encode_frame
from tests import codestreams, factories
from tests.codestreams import compressed_instance, jpeg_2000, noise, slow_jpeg_2000
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.embedded


@pytest.fixture(autouse=True)
def own_workers() -> Iterator[None]:
    """Every test starts its workers with its own settings."""
    decoding.close()
    decoding.forget_refusals()
    yield
    decoding.close()


def stored(content: bytes, facility: Facility) -> DicomImage:
    return DicomImage.objects.get(pk=factories.store_bytes(content, facility).image_id)


def decode(image: DicomImage, frame_index: int = 0) -> np.ndarray:
    return decoding.decode_exact(image, retrieve.facts_of(image), frame_index)


def children() -> set[int]:
    listing = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {int(line.split()[0]) for line in listing.splitlines() if "decode_worker" in line}


def test_frames_under_a_wrong_name_are_shown_with_a_warning(
    store: Path, facility: Facility, caplog: pytest.LogCaptureFixture
) -> None:
    frame = noise(64, 48)
    called_rle = compressed_instance([jpeg_2000(frame)] * 2, 64, 48, syntax="1.2.840.10008.1.2.5")
    image = stored(called_rle, facility)
    for index in (0, 1):
        assert np.array_equal(decode(image, index), frame)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "its frames are jpeg2000" in warnings[0]
    assert str(image.pk) in warnings[0]


def test_a_worker_gives_back_what_was_encoded(store: Path, facility: Facility) -> None:
    frames = [noise(64, 48, seed) for seed in range(3)]
    image = stored(compressed_instance([jpeg_2000(f) for f in frames], 64, 48), facility)
    for index, frame in enumerate(frames):
        assert np.array_equal(decode(image, index), frame)
    assert len(children()) == 1


def test_plain_pixels_need_no_worker(store: Path, facility: Facility) -> None:
    pixels = noise(32, 32)
    image = stored(to_bytes(make_instance(pixels)), facility)
    assert np.array_equal(decode(image), pixels)
    assert children() == set()


def test_an_endless_decoder_is_killed_and_others_go_on(
    store: Path, facility: Facility, settings: Settings
) -> None:
    settings.DECODE_TIMEOUT_S = 0.25
    slow = stored(compressed_instance([slow_jpeg_2000()], 2500, 2500), facility)
    quick_pixels = noise(64, 64)
    quick = stored(compressed_instance([jpeg_2000(quick_pixels)], 64, 64), facility)
    decode(quick)
    (first,) = children()
    outcome: list[str] = []

    def ask() -> None:
        with pytest.raises(UndecodableError) as caught:
            decoding.decode_exact(slow, retrieve.facts_of(slow), 0)
        outcome.append(str(caught.value))

    # The rows are read here: a thread of its own would not see this test's transaction.
    retrieve.facts_of(slow)
    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        assert np.array_equal(decode(quick), quick_pixels)
    thread.join()
    assert "longer than 0.25 s" in outcome[0]
    assert np.array_equal(decode(quick), quick_pixels)
    assert first not in children() or len(children()) == 1


def test_a_picture_that_cost_a_worker_is_not_tried_again(
    store: Path, facility: Facility, settings: Settings
) -> None:
    settings.DECODE_TIMEOUT_S = 0.25
    code = slow_jpeg_2000()
    slow = stored(compressed_instance([code, code], 2500, 2500), facility)
    with pytest.raises(UndecodableError):
        decode(slow, 0)
    # With as much time as it needs it would be decoded.
    settings.DECODE_TIMEOUT_S = 60
    with pytest.raises(UndecodableError, match="longer than"):
        decode(slow, 1)


def test_a_memory_bomb_grows_no_further_than_its_picture_justifies(
    store: Path, facility: Facility
) -> None:
    sound = stored(compressed_instance([jpeg_2000(noise(64, 64))], 64, 64), facility)
    decode(sound)
    (worker,) = children()
    before = peak_bytes(worker)
    bomb = stored(compressed_instance([codestreams.memory_bomb(2048, 2048)], 2048, 2048), facility)
    with pytest.raises(UndecodableError):
        decode(bomb)
    if worker in children():
        assert peak_bytes(worker) - before < 256 * 1024**2
    decode(sound)


@pytest.mark.parametrize(
    ("is_blank", "padding_bytes"),
    [(False, 0), (True, 0), (False, 530_000), (False, 3_000_000)],
    ids=["precincts", "blank", "padded", "padded much"],
)
def test_what_a_small_frame_claims_costs_no_more_than_its_bytes_bear_out(
    store: Path, facility: Facility, *, is_blank: bool, padding_bytes: int
) -> None:
    """8192 x 8192 samples in some hundred bytes: twice they are 537 MB."""
    side = 8192
    code = codestreams.blank_jpeg_2000(side) if is_blank else codestreams.memory_bomb(side, side)
    assert len(code) < 1000
    # Bytes behind the picture that bear out nothing.
    code += bytes(padding_bytes)
    sound = stored(compressed_instance([jpeg_2000(noise(64, 64))], 64, 64), facility)
    decode(sound)
    (worker,) = children()
    before = peak_bytes(worker)
    claim = stored(compressed_instance([code], side, side), facility)
    with pytest.raises(UndecodableError):
        decode(claim)
    if worker in children():
        assert peak_bytes(worker) - before < 256 * 1024**2
    decode(sound)


def test_a_frame_larger_than_all_that_it_may_take_is_not_tried(
    store: Path, facility: Facility, settings: Settings
) -> None:
    settings.MAX_FRAME_PIXELS = 2**28
    sound = stored(compressed_instance([jpeg_2000(noise(64, 64))], 64, 64), facility)
    decode(sound)
    (worker,) = children()
    before = peak_bytes(worker)
    side = 14_000
    claim = stored(compressed_instance([codestreams.memory_bomb(side, side)], side, side), facility)
    with pytest.raises(UndecodableError, match="larger than its compressed data can hold"):
        decode(claim)
    assert worker in children()
    assert peak_bytes(worker) - before < 16 * 1024**2


def test_large_frames_are_shown_up_to_the_setting(
    store: Path, facility: Facility, settings: Settings
) -> None:
    # As of a mammogram: 6000 x 5000 samples of 16 bits.
    pixels = np.add.outer(np.arange(6000), np.arange(5000)).astype(np.uint16) % 4096
    code = encode_frame(pixels, JPEG_LS_LOSSLESS, bits_stored=16)
    image = stored(compressed_instance([code], 6000, 5000, JPEG_LS_LOSSLESS), facility)
    assert np.array_equal(decode(image), pixels)
    settings.MAX_FRAME_PIXELS = 6000 * 5000 - 1
    with pytest.raises(UndecodableError, match="NOCTIS_MAX_FRAME_PIXELS"):
        decode(image)


@pytest.mark.parametrize("is_compressed", [False, True], ids=["plain", "JPEG-LS"])
def test_ten_thousand_by_ten_thousand_are_shown_where_the_setting_says_so(
    store: Path, facility: Facility, settings: Settings, *, is_compressed: bool
) -> None:
    side = 10_000
    # As NOCTIS_MAX_FRAME_PIXELS=134217728 sets both.
    settings.MAX_FRAME_PIXELS = 2**27
    settings.DECODE_MEMORY_BYTES = 1024**3 + 20 * 2**27
    line = np.arange(side, dtype=np.uint8)
    pixels = np.broadcast_to(line, (side, side)) + line[:, np.newaxis]
    if is_compressed:
        code = encode_frame(pixels, JPEG_LS_LOSSLESS, bits_stored=8)
        eight_bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
        content = compressed_instance([code], side, side, JPEG_LS_LOSSLESS, **eight_bits)
    else:
        content = to_bytes(make_instance(pixels))
    image = stored(content, facility)
    del content
    assert np.array_equal(decode(image), pixels)


def peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def test_large_sound_pictures_fit_their_memory(store: Path, facility: Facility) -> None:
    pixels = np.add.outer(np.arange(3000), np.arange(2000)).astype(np.uint16) % 4096
    image = stored(compressed_instance([jpeg_2000(pixels)], 3000, 2000), facility)
    assert np.array_equal(decode(image), pixels)
    blank = np.zeros((4000, 4000), np.uint16)
    code = jpeg_2000(blank)
    assert blank.size > 1000 * len(code)
    image = stored(compressed_instance([code], 4000, 4000), facility)
    assert not decode(image).any()


def killed_while_decoding(image: DicomImage, times: int) -> list[object]:
    """Decode, and end the worker of it so many times; returns the pixels or the error."""
    facts = retrieve.facts_of(image)
    outcome: list[object] = []

    def ask() -> None:
        try:
            outcome.append(decoding.decode_exact(image, facts, 0))
        except (UndecodableError, TransientError) as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    killed: set[int] = set()
    while len(killed) < times:
        for pid in set(decoding.busy()) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        assert thread.is_alive() or len(killed) == times
        time.sleep(0.002)
    thread.join()
    return outcome


def test_a_picture_whose_worker_is_killed_is_decoded_by_another(
    store: Path, facility: Facility
) -> None:
    pixels = noise(1500, 1500)
    image = stored(compressed_instance([jpeg_2000(pixels)], 1500, 1500), facility)
    (found,) = killed_while_decoding(image, 2)
    assert np.array_equal(found, pixels)


def test_a_picture_whose_workers_are_all_killed_is_to_be_asked_for_again(
    store: Path, facility: Facility
) -> None:
    pixels = noise(1500, 1500)
    image = stored(compressed_instance([jpeg_2000(pixels)], 1500, 1500), facility)
    (found,) = killed_while_decoding(image, 3)
    assert isinstance(found, TransientError)
    # It is not held against the picture.
    assert np.array_equal(decode(image), pixels)


def test_one_facility_cannot_hold_every_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "SLOW_AFTER_S", 0.0)
    workers = decoding.Workers(size=1 + 1)
    held = [workers.take("north") for _ in range(3)]
    got = threading.Event()

    def ask_for_another() -> None:
        held.append(workers.take("north"))
        got.set()

    thread = threading.Thread(target=ask_for_another)
    thread.start()
    try:
        lawful = workers.take("south")
        assert not got.wait(0.6)
        workers.give_back(lawful, is_sound=True)
        workers.give_back(held[0], is_sound=True)
        assert got.wait(20)
    finally:
        thread.join(30)
        workers.close()
    assert all(worker.process.poll() is not None for worker in (*held, lawful))


def test_workers_that_are_slow_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = decoding.Workers(size=1)
    monkeypatch.setattr(decoding, "SLOW_AFTER_S", 60.0)
    slow = workers.take("north")
    got: list[decoding.Worker] = []
    thread = threading.Thread(target=lambda: got.append(workers.take("south")))
    thread.start()
    try:
        thread.join(0.6)
        assert not got
        monkeypatch.setattr(decoding, "SLOW_AFTER_S", 0.0)
        thread.join(20)
        assert got[0] is not slow
    finally:
        workers.close()


def test_a_worker_knows_no_secret_and_opens_nothing(tmp_path: Path) -> None:
    """The process that decodes has neither the site's environment nor a way to a file."""
    worker = decoding.Worker.start()
    try:
        pid = worker.process.pid
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert {part.split(b"=")[0] for part in environment.split(b"\0") if part} <= {
            b"OMP_NUM_THREADS",
            b"OPENBLAS_NUM_THREADS",
        }
        limits = Path(f"/proc/{pid}/limits").read_text()
        rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()[1:]}
        assert rows["Max open files"] == ["1", "1"]
        assert rows["Max file size"] == ["0", "0"]
        assert rows["Max core file size"] == ["0", "0"]
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "_sqlite3" not in maps
        assert "psycopg" not in maps
    finally:
        worker.kill()


def test_answers_that_lie_about_themselves_are_refused(store: Path, facility: Facility) -> None:
    image = stored(compressed_instance([jpeg_2000(noise(8, 8))], 8, 8), facility)
    facts = retrieve.facts_of(image)
    sound = {"dtype": "<u2", "shape": [8, 8]}
    assert decoding.frame_of(sound, bytearray(128), facts).shape == (8, 8)
    for lie in (
        {"dtype": "|O", "shape": [8, 8]},
        {"dtype": "<u2", "shape": [8, 9]},
        {"dtype": "<u4", "shape": [8, 8]},
        {"dtype": ["<u2"], "shape": [8, 8]},
        {"dtype": "<u2"},
        {},
    ):
        with pytest.raises(UndecodableError, match="no sound answer"):
            decoding.frame_of(lie, bytearray(128), facts)


def test_a_message_larger_than_agreed_ends_the_conversation() -> None:
    import socket

    ours, theirs = socket.socketpair()
    with ours, theirs:
        decode_worker.send(theirs, {"a": 1}, b"12345")
        with pytest.raises(decode_worker.ClosedError):
            decode_worker.receive(ours, most_body_bytes=4)


def test_a_worker_leaves_with_its_parent(tmp_path: Path) -> None:
    """No decoder survives the process that asked."""
    program = (
        "import os, django; django.setup()\n"
        "from archive import decoding\n"
        "print(decoding.Worker.start().process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "noctis_pro.settings"},
    )
    pid = int(result.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in state_of(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
