"""JPEG and PNG taken apart in a process of its own: what comes out, and what a hostile one does."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pydicom
import pytest
from PIL import Image
from pytest_django import Settings

from archive import captures, spool
from archive.errors import InvalidInputError, TooLargeError
from imaging import capture
from imaging.capture import CaptureFacts

FACTS = CaptureFacts(
    "1.2.3", "1.2.3.1", "1.2.3.1.1", datetime(2026, 1, 10, 11, 12, 13),  # noqa: DTZ001
    {"PatientName": "Müller^Eva", "PatientID": "P7"}, "CR", date(2026, 1, 9), "Chest X-Ray",
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("store")


def picture(kind: str = "PNG", mode: str = "L", side: int = 16) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (side, side), 0).save(out, kind)
    return out.getvalue()


def write(content: bytes) -> bytes:
    with spool.spool_chunks([content]) as spooled, captures.write(spooled, FACTS) as made:
        return made.path.read_bytes()


def leftovers(store: Path) -> list[Path]:
    return list((store / "spool").iterdir())


@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA")])
def test_the_process_makes_what_the_function_makes(store: Path, kind: str, mode: str) -> None:
    content = picture(kind, mode)
    made = write(content)
    assert made == capture.write(content, FACTS)
    ds = pydicom.dcmread(io.BytesIO(made))
    assert (str(ds.PatientName), ds.StudyDate, ds.ContentTime) == (
        "Müller^Eva", "20260109", "111213",
    )  # fmt: skip
    assert not leftovers(store)


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (picture()[:-9], InvalidInputError, "cut off"),
        (b"\xff\xd8\xff" + b"\0" * 40 + b"\xff\xd9", InvalidInputError, "cannot be decoded"),
        (picture(mode="1", side=4096), TooLargeError, "claims to be larger"),
    ],
    ids=["cut off", "noise", "bomb"],
)
def test_what_is_no_picture_is_refused(
    store: Path, content: bytes, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        write(content)
    assert str(caught.value).endswith("Nothing was stored.")
    assert not leftovers(store)


def test_a_picture_has_no_more_pixels_than_are_shown(store: Path, settings: Settings) -> None:
    settings.MAX_FRAME_PIXELS = 16 * 16 - 1
    for kind in ("JPEG", "PNG"):
        with pytest.raises(TooLargeError, match="16 x 16"):
            write(picture(kind))


def without_memory(settings: Settings) -> None:
    settings.DECODE_MEMORY_BYTES = 2**20


def without_time(settings: Settings) -> None:
    settings.DECODE_TIMEOUT_S = 0


@pytest.mark.parametrize("limit", [without_memory, without_time])
def test_a_process_that_reaches_its_limits_is_told_of(
    store: Path, settings: Settings, limit: Callable[[Settings], None]
) -> None:
    limit(settings)
    with pytest.raises(InvalidInputError, match="made its decoder fail"):
        write(picture() + b"\0" * 2**20)
    assert not leftovers(store)


def test_half_an_object_is_none(store: Path) -> None:
    """The process was killed while it answered."""
    answer = io.BytesIO(b'{"size": 10}\nhalf')
    with (
        spool.spool_chunks([picture()]) as spooled,
        pytest.raises(InvalidInputError, match="made its decoder fail"),
    ):
        captures._talk(io.BytesIO(), answer, spooled, FACTS)
    assert not leftovers(store)
