"""Pictures over HTTP: forms, headers, conditions, batches, files, and what cannot be shown.

What the pixels must be is tested below (tests/apps/archive/test_retrieve.py) and for real files in
test_sidecar_reference.py; who may see them in test_sidecar_access.py.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pytest_django import Settings

from accounts.models import User
from archive import decoding, drawing, frame_cache, retrieve, runner
from tests import factories
from tests.codestreams import compressed_instance, jpeg_2000, noise, slow_jpeg_2000
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, assert_problem, records, running
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)
PIXELS = noise(48, 64)


@pytest.fixture
def caller(store: Path, radiologist: User) -> Iterator[Caller]:
    with running() as sidecar:
        yield sidecar.by_token(radiologist)


def stored(content: bytes, facility: Facility) -> DicomImage:
    return DicomImage.objects.get(pk=factories.store_bytes(content, facility).image_id)


@pytest.fixture
def image(store: Path, facility: Facility) -> DicomImage:
    return stored(to_bytes(make_instance(PIXELS, WindowCenter=100, WindowWidth=50)), facility)


def frames(image: DicomImage, name: str, number: int = 1) -> str:
    return f"/api/v1/dicom/image/{image.pk}/frames/{number}.{name}"


def test_each_form_has_its_type_and_facts(caller: Caller, image: DicomImage) -> None:
    exact = {
        "x-frame-rows": "48",
        "x-frame-columns": "64",
        "x-frame-samples": "1",
        "x-frame-dtype": "uint16",
        "x-frame-min": str(PIXELS.min()),
        "x-frame-max": str(PIXELS.max()),
    }
    raw = caller.get(frames(image, "raw"))
    assert raw.content == PIXELS.tobytes()
    assert raw.headers["content-type"] == "application/octet-stream"
    coded = caller.get(frames(image, "jphc"))
    assert np.array_equal(imagecodecs.htj2k_decode(coded.content), PIXELS)
    assert coded.headers["content-type"] == "image/jphc"
    packed = caller.get(frames(image, "png") + "?mode=rg16")
    rgb = np.asarray(Image.open(io.BytesIO(packed.content))).astype(int)
    offset = int(packed.headers["x-frame-offset"])
    assert np.array_equal(rgb[..., 0] * 256 + rgb[..., 1] - offset, PIXELS)
    for response in (raw, coded, packed):
        assert response.status_code == 200
        assert exact.items() <= dict(response.headers).items()
    windowed = caller.get(frames(image, "png"))
    assert windowed.headers["content-type"] == "image/png"
    assert windowed.headers["x-window-center"] == "100"
    assert windowed.headers["x-window-width"] == "50"
    assert "x-frame-min" not in windowed.headers
    jpeg = caller.get(frames(image, "jpg") + "?quality=30&width=32")
    assert jpeg.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(jpeg.content)).size == (32, 24)


def test_the_window_of_the_address_is_applied(caller: Caller, image: DicomImage) -> None:
    response = caller.get(frames(image, "png") + "?wc=30000&ww=20001")
    grey = np.asarray(Image.open(io.BytesIO(response.content))).astype(float)
    expected = np.clip((PIXELS.astype(float) - 29999.5) / 20000 + 0.5, 0, 1) * 255
    assert np.abs(grey - expected).max() <= 0.5 + 1e-6
    inverted = caller.get(frames(image, "png") + "?wc=30000&ww=20001&invert=1")
    other = np.asarray(Image.open(io.BytesIO(inverted.content))).astype(float)
    assert np.abs(other - (255 - expected)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("form", "query", "word"),
    [
        ("png", "wc=1", "together"),
        ("png", "wc=a&ww=1", "'wc'"),
        ("png", "wc=nan&ww=1", "'wc'"),
        ("png", "wc=1&ww=0", "'ww'"),
        ("png", "wc=1&ww=-5", "'ww'"),
        ("png", "wc=1&ww=inf", "'ww'"),
        ("png", "width=0", "'width'"),
        ("png", "width=99999", "'width'"),
        ("png", "width=1e3", "'width'"),
        ("png", "invert=maybe", "'invert'"),
        ("png", "mode=rgb", "'mode'"),
        ("jpg", "quality=0", "'quality'"),
        ("jpg", "quality=101", "'quality'"),
    ],
)
def test_bad_parameters_are_named(
    caller: Caller, image: DicomImage, form: str, query: str, word: str
) -> None:
    assert_problem(caller.get(f"{frames(image, form)}?{query}"), 422, word)


@pytest.mark.parametrize("number", ["0", "2", "999999999", "9" * 30, "-1", "1.5", "one"])
def test_frames_that_are_not_there(caller: Caller, image: DicomImage, number: str) -> None:
    path = f"/api/v1/dicom/image/{image.pk}/frames/{number}.png"
    assert_problem(caller.get(path), 404)


@pytest.mark.parametrize("form", ["png", "jpg", "jphc", "raw"])
def test_what_the_caller_has_is_not_sent_again(
    caller: Caller, image: DicomImage, form: str
) -> None:
    path = frames(image, form)
    first = caller.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = caller.get(path, headers={"If-None-Match": condition})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    other = caller.get(path, headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


def test_an_address_with_the_digest_never_changes(caller: Caller, image: DicomImage) -> None:
    immutable = "private, max-age=31536000, immutable"
    for path in (
        frames(image, "png"),
        frames(image, "jphc"),
        frames(image, "raw"),
        f"/api/v1/dicom/image/{image.pk}/thumbnail",
        f"/api/v1/dicom/image/{image.pk}/file",
    ):
        for _ in range(2):  # made, then from memory
            response = caller.get(f"{path}?v={image.digest}")
            assert response.headers["cache-control"] == immutable
            assert "Cookie" in response.headers["vary"]
            assert caller.get(path).headers["cache-control"] == "private, no-cache"
            old = caller.get(f"{path}?v={'0' * 16}")
            assert old.headers["cache-control"] == "private, no-cache"


def test_another_rendering_has_another_tag(caller: Caller, image: DicomImage) -> None:
    tags = {
        caller.get(frames(image, form)).headers["etag"]
        for form in ("png", "jpg", "jphc", "raw", "png?wc=1&ww=2", "png?mode=rg16", "png?width=9")
    }
    assert len(tags) == 7


def test_head_says_the_same_without_the_picture(caller: Caller, image: DicomImage) -> None:
    for path in (frames(image, "png"), f"/api/v1/dicom/image/{image.pk}/thumbnail"):
        response = caller.request("HEAD", path)
        assert response.status_code == 200
        assert int(response.headers["content-length"]) == len(caller.get(path).content)


def known(headers: Mapping[str, str]) -> dict[str, str]:
    """What is the picture's; every answer has a name of its own besides."""
    return {name: value for name, value in headers.items() if name != "x-request-id"}


def test_a_warm_picture_needs_no_thread(
    caller: Caller, image: DicomImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastapi_app import gate

    path = frames(image, "jphc") + f"?v={image.digest}"
    first = caller.get(path)
    caller.get(path)

    def refuse(*_: object) -> None:
        raise AssertionError("not from memory")

    monkeypatch.setattr(gate, "serve", refuse)
    warm = caller.get(path)
    assert warm.content == first.content
    assert known(warm.headers) == known(first.headers)
    tag = first.headers["etag"]
    assert caller.get(path, headers={"If-None-Match": tag}).status_code == 304


# Batches -------------------------------------------------------------------------------------


def test_a_batch_brings_frames_in_the_asked_order(
    caller: Caller, store: Path, facility: Facility
) -> None:
    pixels = [noise(16, 16, seed) for seed in range(4)]
    ds = make_instance(pixels[0], NumberOfFrames=4)
    ds.PixelData = b"".join(frame.tobytes() for frame in pixels)
    image = stored(to_bytes(ds), facility)
    order = [3, 1, 4, 2, 3]
    asked = {"f": [f"{image.pk}:{number}" for number in order]}
    for form, decode in (
        ("jphc", imagecodecs.htj2k_decode),
        ("raw", lambda body: np.frombuffer(body, "<u2").reshape(16, 16)),
    ):
        response = caller.get("/api/v1/dicom/frames", params={**asked, "format": form})
        assert response.headers["content-type"] == "application/vnd.noctis.frames"
        found = records(response.content)
        for (head, body), number in zip(found, order, strict=True):
            frame = pixels[number - 1]
            assert np.array_equal(decode(body), frame)
            assert head == {
                "image": str(image.pk),
                "frame": number,
                "status": 200,
                "content_type": retrieve.CONTENT_TYPES[retrieve.Form(form)],
                "rows": 16,
                "columns": 16,
                "samples": 1,
                "dtype": "uint16",
                "min": frame.min(),
                "max": frame.max(),
            }


def test_htj2k_is_the_batch_s_own_form(caller: Caller, image: DicomImage) -> None:
    response = caller.get("/api/v1/dicom/frames", params={"f": f"{image.pk}:1"})
    ((head, body),) = records(response.content)
    assert head["content_type"] == "image/jphc"
    assert np.array_equal(imagecodecs.htj2k_decode(body), PIXELS)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"f": "x"},
        {"f": "x:1"},
        {"f": "0197f0c4-0000-7000-8000-000000000000"},
        {"f": "0197f0c4-0000-7000-8000-000000000000:-1"},
        {"f": ["0197f0c4-0000-7000-8000-000000000000:1"] * 33},
        {"f": "0197f0c4-0000-7000-8000-000000000000:1", "format": "tiff"},
    ],
    ids=["nothing", "no pair", "no id", "no number", "negative", "too many", "no form"],
)
def test_a_batch_that_makes_no_sense_is_refused(caller: Caller, asked: dict) -> None:
    assert_problem(caller.get("/api/v1/dicom/frames", params=asked), 422)


def test_a_bad_frame_leaves_the_others_of_its_batch(
    caller: Caller, store: Path, facility: Facility, image: DicomImage
) -> None:
    code = jpeg_2000(noise(64, 64))
    bad = stored(compressed_instance([code[:60] + bytes(len(code) - 60)], 64, 64), facility)
    asked = {"f": [f"{image.pk}:1", f"{bad.pk}:1", f"{image.pk}:1"]}
    found = records(caller.get("/api/v1/dicom/frames", params=asked).content)
    assert [head["status"] for head, _ in found] == [200, 422, 200]
    assert "Send it again" in found[1][0]["detail"]
    assert found[1][1] == b""


# Thumbnails and files ------------------------------------------------------------------------


def test_thumbnails_are_small_pngs(caller: Caller, store: Path, facility: Facility) -> None:
    image = stored(to_bytes(make_instance(noise(600, 300))), facility)
    study = image.series.study_id
    for path in (f"image/{image.pk}/thumbnail", f"studies/{study}/thumbnail"):
        response = caller.get(f"/api/v1/dicom/{path}")
        assert response.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(response.content)).size == (128, 256)
        tag = {"If-None-Match": response.headers["etag"]}
        assert caller.get(f"/api/v1/dicom/{path}", headers=tag).status_code == 304


def test_the_stored_file_comes_back_whole(caller: Caller, store: Path, facility: Facility) -> None:
    content = b"MZ" + b"\x90" * 126 + to_bytes(make_instance(PIXELS))[128:]
    image = stored(content, facility)
    path = f"/api/v1/dicom/image/{image.pk}/file"
    response = caller.get(path)
    assert response.headers["content-type"] == "application/dicom"
    name = f'attachment; filename="{image.sop_instance_uid}.dcm"'
    assert response.headers["content-disposition"] == name
    assert response.content[:132] == bytes(128) + b"DICM"
    assert hashlib.sha256(response.content).hexdigest() == image.sha256
    assert PIXELS.tobytes() in response.content
    part = caller.get(path, headers={"Range": "bytes=128-131"})
    assert (part.status_code, part.content) == (206, b"DICM")


def test_a_file_that_has_changed_is_not_given_out(
    caller: Caller, store: Path, image: DicomImage
) -> None:
    file = store / image.storage_key
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.chmod(0o600)
    file.write_bytes(raw)
    path = f"/api/v1/dicom/image/{image.pk}/file"
    assert_problem(caller.get(path), 500, "changed since it came")
    file.unlink()
    assert_problem(caller.get(path), 500, "missing")


def test_a_video_is_handed_out_whole_and_in_parts(
    caller: Caller, store: Path, facility: Facility, other_facility: Facility
) -> None:
    stream = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 5
    cut = [stream[:100], stream[100:700], stream[700:]]

    def video(owner: Facility) -> DicomImage:
        content = compressed_instance(cut, 48, 64, syntax="1.2.840.10008.1.2.4.102")
        return stored(content, owner)

    mine = f"/api/v1/dicom/image/{video(facility).pk}/video?original=1"
    whole = caller.get(mine)
    assert (whole.status_code, whole.content) == (200, stream)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    for asked, first, last in (
        ("bytes=0-9", 0, 9),
        ("bytes=95-104", 95, 104),
        ("bytes=650-", 650, len(stream) - 1),
        ("bytes=-20", len(stream) - 20, len(stream) - 1),
        ("bytes=5-999999", 5, len(stream) - 1),
    ):
        part = caller.get(mine, headers={"range": asked})
        assert (part.status_code, part.content) == (206, stream[first : last + 1])
        assert part.headers["content-range"] == f"bytes {first}-{last}/{len(stream)}"
    assert caller.get(mine, headers={"range": "bytes=999999-"}).status_code == 416
    assert caller.get(mine, headers={"range": "lines=1-2"}).status_code == 200
    tag = whole.headers["etag"]
    assert caller.get(mine, headers={"if-none-match": tag}).status_code == 304
    assert_problem(caller.get(f"/api/v1/dicom/image/{video(other_facility).pk}/video"), 403)


def test_an_image_is_no_video(caller: Caller, image: DicomImage) -> None:
    assert_problem(caller.get(f"/api/v1/dicom/image/{image.pk}/video"), 422, "no video")


# What cannot be shown ------------------------------------------------------------------------


def test_a_frame_that_cannot_be_decoded_says_why(
    caller: Caller, store: Path, facility: Facility
) -> None:
    code = jpeg_2000(noise(64, 64))
    image = stored(compressed_instance([code[:60] + bytes(len(code) - 60)], 64, 64), facility)
    for form in ("png", "jpg", "jphc", "raw"):
        for _ in range(2):
            assert_problem(caller.get(frames(image, form)), 422, "Send it again")
    runner.drain()
    assert "Send it again" in caller.get(f"/api/v1/dicom/image/{image.pk}").json()["problem"]
    assert caller.get(f"/api/v1/dicom/image/{image.pk}/thumbnail").status_code == 200


def test_an_element_of_a_page_is_shown_why_there_is_no_picture(
    caller: Caller, store: Path, facility: Facility
) -> None:
    damaged = stored(compressed_instance([jpeg_2000(PIXELS)[:600]], 48, 64), facility)
    by_browser = {"accept": "image/avif,image/webp,image/*,*/*;q=0.8"}
    for form, kind in (("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP"), ("gif", "GIF")):
        answer = caller.get(frames(damaged, form) + "?width=300", headers=by_browser)
        assert answer.status_code == 422
        assert answer.headers["cache-control"] == "no-store"
        picture = Image.open(io.BytesIO(answer.content))
        assert (picture.format, picture.size) == (kind, (300, 225))
        assert_problem(caller.get(frames(damaged, form)), 422)
    assert_problem(caller.get(frames(damaged, "jphc"), headers=by_browser), 422)


def test_a_presentation_state_of_ones_own_facility_is_applied(
    caller: Caller, image: DicomImage, facility: Facility, other_facility: Facility
) -> None:
    ds = make_instance(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1",
        ImageRotation=90,
        ImageHorizontalFlip="N",
        PixelData=None,
        Rows=None,
    )
    reference, series = Dataset(), Dataset()
    reference.ReferencedSOPClassUID = image.sop_class_uid
    reference.ReferencedSOPInstanceUID = image.sop_instance_uid
    series.SeriesInstanceUID = image.series.series_instance_uid
    series.ReferencedImageSequence = [reference]
    ds.ReferencedSeriesSequence = [series]
    ours = stored(to_bytes(ds), facility)
    for name in (ours.pk, ours.sop_instance_uid):
        answer = caller.get(frames(image, "png") + f"?state={name}")
        assert answer.status_code == 200
        assert Image.open(io.BytesIO(answer.content)).size == (48, 64)
        assert "x-presentation-note" not in answer.headers
    plain = caller.get(frames(image, "png"))
    assert Image.open(io.BytesIO(plain.content)).size == (64, 48)
    assert plain.headers["etag"] != answer.headers["etag"]
    theirs = stored(to_bytes(ds), other_facility)
    assert_problem(caller.get(frames(image, "png") + f"?state={theirs.pk}"), 403)
    assert_problem(caller.get(frames(image, "png") + f"?state={image.pk}"), 422, "no presentation")


def test_true_size_is_drawn_for_a_screen_of_known_size(
    caller: Caller, image: DicomImage, facility: Facility
) -> None:
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [64, 48]
    area.PresentationSizeMode, area.PresentationPixelSpacing = "TRUE SIZE", [0.5, 0.5]
    ds = make_instance(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1",
        DisplayedAreaSelectionSequence=[area],
        PixelData=None,
        Rows=None,
    )
    state = stored(to_bytes(ds), facility)
    asked = frames(image, "png") + f"?state={state.pk}"
    answer = caller.get(asked + "&pixels_per_mm=4")
    assert Image.open(io.BytesIO(answer.content)).size == (128, 96)
    assert "x-presentation-note" not in answer.headers
    answer = caller.get(asked)
    assert Image.open(io.BytesIO(answer.content)).size == (64, 48)
    assert "give 'pixels_per_mm'" in answer.headers["x-presentation-note"]
    assert_problem(caller.get(asked + "&pixels_per_mm=0"), 422, "from 0.1 to 100")


def test_a_hostile_picture_is_ended_while_others_are_served(
    caller: Caller, store: Path, facility: Facility, settings: Settings
) -> None:
    settings.DECODE_TIMEOUT_S = 0.25
    decoding.close()
    decoding.forget_refusals()
    hostile = stored(compressed_instance([slow_jpeg_2000()], 2500, 2500), facility)
    lawful = [
        stored(compressed_instance([jpeg_2000(noise(32, 32, seed))], 32, 32), facility)
        for seed in range(6)
    ]
    plain = stored(to_bytes(make_instance(PIXELS)), facility)
    answered: list[object] = []
    thread = threading.Thread(target=lambda: answered.append(caller.get(frames(hostile, "png"))))
    thread.start()
    try:
        for image in (*lawful, plain):
            assert caller.get(frames(image, "jphc")).status_code == 200
    finally:
        thread.join()
        decoding.close()
    assert_problem(answered[0], 422, "longer than 0.25 s")  # type: ignore[arg-type]
    # It is remembered: tried again with as much time as it needs, it would be decoded.
    settings.DECODE_TIMEOUT_S = 60
    assert_problem(caller.get(frames(hostile, "jphc")), 422)


def test_pictures_are_made_once_for_many_who_ask(
    caller: Caller, image: DicomImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    make = drawing.draw

    def slowly(*arguments: object) -> frame_cache.Entry:
        made.append(1)
        time.sleep(0.2)
        return make(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(drawing, "draw", slowly)
    threads = [threading.Thread(target=caller.get, args=(frames(image, "png"),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
