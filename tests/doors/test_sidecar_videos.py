"""Videos and films over HTTP: what browsers play, parts of it, and who asks by DICOMweb."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pytest_django import Settings

from accounts.models import User
from archive import frame_cache
from tests import factories, multipart
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem, running
from tests.videos import FRAMES, MPEG_2, RATE, clip, number_of, video_instance
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sidecar(store: Path) -> Iterator[Sidecar]:
    frame_cache.forget_memory()
    with running() as started:
        yield started


@pytest.fixture
def caller(sidecar: Sidecar, radiologist: User) -> Caller:
    return sidecar.by_token(radiologist)


def stored(content: bytes, facility: Facility) -> DicomImage:
    return DicomImage.objects.select_related("series__study").get(
        pk=factories.store_bytes(content, facility).image_id
    )


def of(image: DicomImage, rest: str) -> str:
    return f"/api/v1/dicom/image/{image.pk}/{rest}"


def by_dicomweb(image: DicomImage) -> str:
    series = image.series
    return (
        f"/dicom-web/studies/{series.study.study_instance_uid}"
        f"/series/{series.series_instance_uid}/instances/{image.sop_instance_uid}"
    )


def decoded(content: bytes, tmp_path: Path, rows: int, columns: int) -> np.ndarray:
    """The frames that an independent run of FFmpeg finds in an MP4."""
    path = tmp_path / "answer.mp4"
    path.write_bytes(content)
    command = ["ffmpeg", "-v", "error", "-f", "mov", "-i", str(path), "-vsync", "0"]
    done = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, rows, columns, 3)


def test_mpeg_2_is_played_as_h264_whole_and_in_parts(
    caller: Caller, facility: Facility, tmp_path: Path
) -> None:
    stream = clip("mpeg2video", "mpegts")
    image = stored(video_instance(stream, MPEG_2), facility)
    whole = caller.get(of(image, "video"))
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    shown = decoded(whole.content, tmp_path, 64, 128)
    assert [number_of(one) for one in shown] == list(range(1, FRAMES + 1))
    part = caller.get(of(image, "video"), headers={"range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, whole.content[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
    assert caller.get(of(image, "video"), headers={"range": "bytes=99999999-"}).status_code == 416
    tag = whole.headers["etag"]
    assert caller.get(of(image, "video"), headers={"if-none-match": tag}).status_code == 304
    original = caller.get(of(image, "video?original=1"))
    assert original.headers["content-type"] == "video/mp2t"
    assert original.content.rstrip(b"\0") == stream.rstrip(b"\0")


def test_h264_in_an_mp4_is_played_as_it_came(caller: Caller, facility: Facility) -> None:
    stream = clip()
    image = stored(video_instance(stream, pieces=2), facility)
    whole = caller.get(of(image, "video"))
    assert whole.content.rstrip(b"\0") == stream.rstrip(b"\0")
    part = caller.get(of(image, "video"), headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, stream[10:20])


def test_players_are_told_which_frame_is_when(caller: Caller, facility: Facility) -> None:
    image = stored(video_instance(clip("mpeg2video", "vob"), MPEG_2), facility)
    facts = caller.get(of(image, "video/facts")).json()
    assert facts == {
        "frame_count": FRAMES,
        "frame_rate": RATE,
        "Rows": 64,
        "Columns": 128,
        "start_s": 0.0,
        "duration_s": pytest.approx(FRAMES / RATE),
        "times_s": None,
        "stored_codec": "mpeg2video",
        "is_converted": True,
    }


def test_what_is_no_video_and_what_cannot_be_played_says_so(
    caller: Caller, facility: Facility, settings: Settings
) -> None:
    picture = stored(to_bytes(make_instance()), facility)
    for path in ("video", "video/facts", "video?original=1"):
        assert_problem(caller.get(of(picture, path)), 422, "no video")
    image = stored(video_instance(clip("mpeg2video", "mpegts"), MPEG_2), facility)
    settings.FFMPEG_PATH = "/nowhere"
    for path in ("video", "video/facts", "frames/1.png", "film.mp4"):
        assert_problem(caller.get(of(image, path)), 422, "install the package ffmpeg")
    assert caller.get(of(image, "video?original=1")).status_code == 200
    # What is an MP4 goes out as it came.
    as_it_came = stored(video_instance(clip()), facility)
    assert caller.get(of(as_it_came, "video")).status_code == 200


def test_dicomweb_gives_a_video_and_pictures_of_it(
    caller: Caller, facility: Facility, tmp_path: Path
) -> None:
    stream = clip("libx264", "mpegts")
    image = stored(video_instance(stream), facility)
    address = by_dicomweb(image)
    for path in ("/rendered?accept=video/mp4", "/bulkdata/7FE00010?accept=video/mp4"):
        played = caller.get(address + path)
        assert (played.status_code, played.headers["content-type"]) == (200, "video/mp4"), path
        assert len(decoded(played.content, tmp_path, 64, 128)) == FRAMES
        part = caller.get(address + path, headers={"range": "bytes=0-9"})
        assert (part.status_code, part.content) == (206, played.content[:10])
    as_stored = caller.get(f"{address}/pixeldata", headers={"accept": "video/mp2t"})
    assert as_stored.content.rstrip(b"\0") == stream.rstrip(b"\0")
    drawn = caller.get(f"{address}/frames/7/rendered", headers={"accept": "image/png"})
    assert drawn.headers["content-type"] == "image/png"
    assert caller.get(f"{address}/rendered").headers["content-type"] == "image/jpeg"
    assert_problem(caller.get(f"{address}/frames/7"), 422, "rendered frames")
    assert_problem(caller.get(f"{address}/frames/41/rendered"), 404, "1 to 40")


def test_the_frames_of_an_image_make_a_film(
    caller: Caller, facility: Facility, tmp_path: Path
) -> None:
    grey = np.stack([np.full((33, 47), 40 * number, np.uint8) for number in range(1, 6)])
    ds = make_instance(grey[0], NumberOfFrames=5, FrameTime=40, WindowCenter=128, WindowWidth=256)
    ds.PixelData = grey.tobytes()
    image = stored(to_bytes(ds), facility)
    accept = {"accept": "video/mp4"}
    film = caller.get(f"{by_dicomweb(image)}/rendered", headers=accept)
    assert (film.status_code, film.headers["content-type"]) == (200, "video/mp4")
    # An odd side gets one more row or column: colour is shared by two.
    shown = decoded(film.content, tmp_path, 34, 48)
    assert [round(float(one[:33, :47].mean()) / 40) for one in shown] == [1, 2, 3, 4, 5]
    assert caller.get(of(image, "film.mp4")).content == film.content
    small = caller.get(of(image, "film.mp4?viewport=16,16"))
    assert decoded(small.content, tmp_path, 12, 16).shape[0] == 5
    single = stored(to_bytes(make_instance()), facility)
    refused = caller.get(f"{by_dicomweb(single)}/rendered", headers=accept)
    assert_problem(refused, 406)
    huge = caller.get(of(image, "film.mp4?width=0"))
    assert_problem(huge, 422, "width")


def test_several_frames_of_a_video_come_in_parts(caller: Caller, facility: Facility) -> None:
    image = stored(video_instance(clip()), facility)
    answer = caller.get(
        f"{by_dicomweb(image)}/frames/3,4/rendered",
        headers={"accept": 'multipart/related; type="image/png"'},
    )
    assert len(multipart.parts(answer)) == 2
