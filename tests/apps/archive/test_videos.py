"""Videos: which frame is which in every coding and container, and what browsers are given.

Every frame shows its own number, so a frame that is one off fails.
"""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytest_django import Settings

from archive import ffmpeg, frame_cache, retrieve, videos
from archive.errors import NotFoundError, UndecodableError
from archive.rendering import Form, Rendering
from tests import factories
from tests.videos import (
    COLUMNS,
    FRAMES,
    H264,
    HEVC,
    MPEG_2,
    RATE,
    ROWS,
    clip,
    number_of,
    picture,
    video_instance,
)
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)

CASES = [
    pytest.param("libx264", "mp4", H264, id="h264 in mp4"),
    pytest.param("libx264", "mpegts", H264, id="h264 in ts"),
    pytest.param("libx264", "h264", H264, id="h264 bare"),
    pytest.param("libx265", "mp4", HEVC, id="hevc in mp4"),
    pytest.param("libx265", "mpegts", HEVC, id="hevc in ts"),
    pytest.param("mpeg2video", "mpegts", MPEG_2, id="mpeg-2 in ts"),
    pytest.param("mpeg2video", "vob", MPEG_2, id="mpeg-2 in ps"),
    pytest.param("mpeg2video", "mpeg2video", MPEG_2, id="mpeg-2 bare"),
]


def stored(content: bytes, facility: Facility) -> DicomImage:
    return DicomImage.objects.select_related("series__study").get(
        pk=factories.store_bytes(content, facility).image_id
    )


def frames_of(path: Path) -> np.ndarray:
    """What an independent run of FFmpeg decodes, frame by frame from the first."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vsync", "0", "-f", "rawvideo"]
    done = subprocess.run(
        [*command, "-pix_fmt", "rgb24", "pipe:1"], check=True, capture_output=True, timeout=60
    )
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, ROWS, COLUMNS, 3)


@pytest.mark.parametrize(("codec", "container", "syntax"), CASES)
def test_every_frame_is_the_one_of_its_number(
    store: Path, facility: Facility, codec: str, container: str, syntax: str
) -> None:
    image = stored(video_instance(clip(codec, container), syntax, pieces=3), facility)
    assert videos.facts_of(image).frame_count == FRAMES
    for number in (1, 12, 13, 26, FRAMES):
        frame_cache.forget_memory()
        shown = retrieve.exact(image, number)
        assert shown.shape == (ROWS, COLUMNS, 3)
        assert number_of(shown) == number
        # BT.601 for so few rows; the coding costs a little.
        assert np.abs(shown.astype(int) - picture(number)).mean() < 12


@pytest.mark.parametrize(("codec", "container", "syntax"), CASES)
def test_what_browsers_are_given_has_the_same_frames_at_the_same_times(
    store: Path, facility: Facility, codec: str, container: str, syntax: str
) -> None:
    image = stored(video_instance(clip(codec, container), syntax), facility)
    made = videos.playable(image)
    assert (made.facts.codec, made.facts.pixel_format) == ("h264", "yuv420p")
    assert made.facts.frame_count == FRAMES
    assert made.facts.is_steady
    assert made.facts.start_s == 0
    assert made.facts.rate == pytest.approx(RATE)
    if made.path is None:
        assert (codec, container) == ("libx264", "mp4")
        return
    decoded = frames_of(made.path)
    assert [number_of(one) for one in decoded] == list(range(1, FRAMES + 1))
    assert np.abs(decoded[6].astype(int) - picture(7)).mean() < 12
    # The index comes first: a player begins before the end has arrived.
    content = made.path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    # Whoever asks again gets what is there.
    assert videos.playable(image).path == made.path
    assert made.path.read_bytes() == content


def test_h264_is_put_into_another_container_without_being_coded_anew(
    store: Path, facility: Facility
) -> None:
    image = stored(video_instance(clip("libx264", "mpegts")), facility)
    made = videos.playable(image)
    assert made.path is not None
    source = Path(str(made.path).removesuffix("mp4") + "source")
    np.testing.assert_array_equal(frames_of(made.path), frames_of(source))


def test_a_thumbnail_is_the_middle_frame(store: Path, facility: Facility) -> None:
    image = stored(video_instance(clip()), facility)
    made = retrieve.thumbnail(image)
    small = np.asarray(Image.open(io.BytesIO(made.content)))
    assert number_of(small) == FRAMES // 2 + 1


def test_drawn_forms_are_of_the_frame(store: Path, facility: Facility) -> None:
    image = stored(video_instance(clip()), facility)
    drawn = retrieve.frame(image, 5, Rendering(Form.PNG))
    assert number_of(np.asarray(Image.open(io.BytesIO(drawn.content)))) == 5


def test_without_the_program_a_video_says_what_to_install(
    store: Path, facility: Facility, settings: Settings
) -> None:
    image = stored(video_instance(clip()), facility)
    settings.FFMPEG_PATH = "/nowhere"
    assert not ffmpeg.is_installed()
    with pytest.raises(UndecodableError, match="install the package ffmpeg"):
        retrieve.frame(image, 1, Rendering(Form.PNG))
    with pytest.raises(UndecodableError, match="install the package ffmpeg"):
        videos.playable(image)
    words = retrieve.thumbnail(image)
    assert Image.open(io.BytesIO(words.content)).size[0] > 0
    # Once it is installed, the tile with words is not shown any more.
    settings.FFMPEG_PATH = ""
    frame_cache.forget_memory()
    assert retrieve.thumbnail(image).content != words.content


def test_what_is_wrong_with_a_video_is_said(store: Path, facility: Facility) -> None:
    other_size = stored(video_instance(clip(), InstanceNumber=3), facility)
    DicomImage.objects.filter(pk=other_size.pk).update(rows=ROWS + 16)
    other_size.refresh_from_db()
    with pytest.raises(UndecodableError, match="128 x 64 pixels, but its header says 128 x 80"):
        retrieve.exact(other_size, 1)
    short = stored(video_instance(clip(frames=10), frames=12), facility)
    assert number_of(retrieve.exact(short, 10)) == 10
    with pytest.raises(NotFoundError, match="ends with frame 10"):
        retrieve.exact(short, 11)
    damaged = stored(video_instance(clip()[:40] + bytes(4000)), facility)
    with pytest.raises(UndecodableError, match="damaged"):
        retrieve.exact(damaged, 1)
    with pytest.raises(UndecodableError, match="damaged"):
        videos.playable(damaged)
    unknown = stored(video_instance(b"\x1a\x45\xdf\xa3" + bytes(4000)), facility)
    with pytest.raises(UndecodableError, match="neither MPEG-2"):
        videos.playable(unknown)


def test_a_playlist_is_no_video(store: Path, facility: Facility, tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(clip())
    for words in (f"ffconcat version 1.0\nfile {secret}\n", f"#EXTM3U\n#EXTINF:1,\n{secret}\n"):
        image = stored(video_instance(words.encode().ljust(4000)), facility)
        with pytest.raises(UndecodableError, match="neither MPEG-2"):
            videos.playable(image)
    disguised = b"\0\0\0\x20ftypisom" + bytes(20) + f"#EXTM3U\n{secret}\n".encode().ljust(4000)
    with pytest.raises(UndecodableError, match="damaged"):
        videos.playable(stored(video_instance(disguised), facility))


def test_a_run_that_takes_too_long_or_too_much_is_ended(
    store: Path, facility: Facility, settings: Settings
) -> None:
    image = stored(video_instance(clip()), facility)
    videos.facts_of(image)
    settings.VIDEO_FRAME_TIMEOUT_S = 0.001
    with pytest.raises(UndecodableError, match="more time or memory"):
        retrieve.exact(image, 1)
    settings.VIDEO_FRAME_TIMEOUT_S = 60
    settings.VIDEO_MEMORY_BYTES = 16 * 1024**2
    with pytest.raises(UndecodableError):
        retrieve.exact(image, 2)


def test_what_was_made_is_dropped_when_there_is_no_room(
    store: Path, facility: Facility, settings: Settings
) -> None:
    image = stored(video_instance(clip("mpeg2video", "mpegts"), MPEG_2), facility)
    made = videos.playable(image)
    assert made.path is not None
    written = json.loads(made.path.with_suffix(".mp4.json").read_bytes())
    assert written["codec"] == "h264"
    settings.FRAME_DISK_CACHE_BYTES = 1
    assert frame_cache.trim() > 0
    assert not made.path.exists()
    settings.FRAME_DISK_CACHE_BYTES = 10**9
    again = videos.playable(image)
    assert again.path == made.path
    assert again.path.exists()
