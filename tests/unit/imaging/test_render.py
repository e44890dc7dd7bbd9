"""Pictures on the wire, read back by decoders that are not ours."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from imaging.errors import UnsupportedError
from imaging.header import read_index
from imaging.pixels import PixelFacts, exact_frame
from imaging.render import (
    Presentation,
    can_encode_htj2k,
    encode_htj2k,
    encode_png,
    pack_rg16,
    pixel_height,
    render_jpeg,
    render_png,
    thumbnail,
    to_eight_bit,
)
from imaging.voi import LookupTable, LookupTables, Window

RNG = np.random.default_rng(11)


def opened(png: bytes) -> np.ndarray[Any, Any]:
    image = Image.open(io.BytesIO(png))
    image.load()
    return np.asarray(image)


def first_value_unfiltered(png: bytes) -> int:
    """The first byte of the picture, by zlib alone: a second look at the bytes."""
    at = png.index(b"IDAT")
    (size,) = struct.unpack(">I", png[at - 4 : at])
    return zlib.decompress(png[at + 4 : at + 4 + size])[1]


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 7), (7, 1), (64, 64), (511, 513), (5, 6, 3), (1, 1, 3), (512, 512, 3)]
)
def test_png_is_exact(shape: tuple[int, ...]) -> None:
    image = RNG.integers(0, 256, shape).astype(np.uint8)
    png = encode_png(image)
    np.testing.assert_array_equal(opened(png), image)
    assert first_value_unfiltered(png) == image.reshape(-1)[0]


def test_png_of_a_view() -> None:
    image = RNG.integers(0, 256, (20, 20, 3)).astype(np.uint8)[::2, ::-1]
    np.testing.assert_array_equal(opened(encode_png(image)), image)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (100, 131)])
def test_htj2k_is_exact(dtype: str, shape: tuple[int, int]) -> None:
    info = np.iinfo(dtype)
    frame = RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    assert can_encode_htj2k(dtype)
    stream = encode_htj2k(frame)
    # OpenJPEG is the second opinion on OpenJPH's work.
    for decode in (imagecodecs.htj2k_decode, imagecodecs.jpeg2k_decode):
        back = decode(stream)
        assert back.dtype == frame.dtype
        np.testing.assert_array_equal(back, frame)


def test_htj2k_of_colour_and_of_real_frames(data: Path) -> None:
    rgb = RNG.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(encode_htj2k(rgb)), rgb)
    for name in ("ct/head_phantom_1mm/I270", "rt/breast/ct.0.dcm"):
        index = read_index(data / name)
        frame = exact_frame(data / name, PixelFacts.of(index, index.frames), 0)
        stream = encode_htj2k(frame)
        np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(stream), frame)
        assert len(stream) < frame.nbytes / 2


def test_htj2k_is_progressive_by_resolution() -> None:
    """RPCL (2) in the COD segment: a browser can show a small picture from the first bytes."""
    stream = encode_htj2k(np.zeros((64, 64), np.uint16))
    at = stream.index(b"\xff\x52")
    assert stream[at + 5] == 2
    siz = struct.unpack_from(">H", stream, 6)[0]
    assert siz & 0x4000, "the high-throughput mark"


@pytest.mark.parametrize("dtype", ["uint32", "int32", "float32", "float64"])
def test_wide_frames_do_not_travel_as_htj2k(dtype: str) -> None:
    assert not can_encode_htj2k(dtype)
    with pytest.raises(UnsupportedError):
        encode_htj2k(np.zeros((2, 2), dtype))


@pytest.mark.parametrize(
    ("dtype", "low", "high", "offset"),
    [
        ("uint8", 0, 255, 0),
        ("uint16", 0, 65535, 0),
        ("int16", -32768, 32767, 32768),
        ("int8", -128, 127, 32768),
        ("int32", -70000, -70000 + 65535, 70000),
        ("uint32", 90000, 90000 + 65535, -90000),
    ],
)
def test_rg16_gives_every_value_back(dtype: str, low: int, high: int, offset: int) -> None:
    frame = RNG.integers(low, high, (33, 35), dtype=dtype, endpoint=True)
    frame[0, 0], frame[0, 1] = low, high
    png, said = pack_rg16(frame)
    assert said == offset
    rgb = opened(png).astype(np.int64)
    np.testing.assert_array_equal(rgb[..., 0] * 256 + rgb[..., 1] - said, frame)
    assert (rgb[..., 2] == 0).all()


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((2, 2, 3), np.uint8),
        np.zeros((2, 2), np.float32),
        np.array([[0, 65536]], np.uint32),
    ],
    ids=["colour", "float", "wide"],
)
def test_rg16_refuses_what_it_cannot_hold(frame: np.ndarray[Any, Any]) -> None:
    with pytest.raises(UnsupportedError):
        pack_rg16(frame)


RAMP = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)


def test_a_person_s_window_comes_before_the_files() -> None:
    presentation = Presentation(slope=1, intercept=-1024, window=Window(40, 400))
    own = opened(render_png(RAMP, presentation))
    chosen = opened(render_png(RAMP, presentation, window=Window(1000, 1)))
    assert set(np.unique(chosen)) == {0, 255}
    assert len(np.unique(own)) > 10
    inverted = opened(render_png(RAMP, presentation, window=Window(1000, 1), invert=True))
    np.testing.assert_array_equal(inverted, 255 - chosen)


def test_monochrome1_and_presentation_lut_shape() -> None:
    display = {"WindowCenter": [2048.0], "WindowWidth": [4096.0]}
    for photometric, shape, is_inverted in (
        ("MONOCHROME2", None, False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
    ):
        presentation = Presentation.of(display | {"PresentationLUTShape": shape}, photometric)
        image = to_eight_bit(RAMP, presentation)
        assert (image[0, 0] > image[-1, -1]) == is_inverted, (photometric, shape)


def test_presentation_of_an_index() -> None:
    display = {
        "RescaleSlope": 2.0,
        "RescaleIntercept": -5.0,
        "PixelPaddingValue": 7,
        "PixelSpacing": [0.5, 0.25],
    }
    voi = LookupTable(0, np.array([0, 255], np.uint16), 8)
    tables = LookupTables(None, (voi,))
    presentation = Presentation.of(display, "MONOCHROME2", tables=tables)
    assert (presentation.slope, presentation.intercept, presentation.padding) == (2, -5, 7)
    assert presentation.window is None
    assert presentation.voi_lut is voi
    assert presentation.pixel_height == 2
    with_window = Presentation.of(
        display | {"WindowCenter": [1.0], "WindowWidth": [2.0]}, "MONOCHROME2", tables=tables
    )
    assert with_window.window == Window(1, 2)
    assert with_window.voi_lut is None
    person = to_eight_bit(np.array([[9, 0]], np.uint16), presentation, window=Window(500, 1))
    assert person.tolist() == [[0, 0]], "a person's window comes before the file's table too"
    frame = np.array([[3, 2, 2]], np.uint16)  # 2 * 3 - 5 = 1, 2 * 2 - 5 = -1
    assert to_eight_bit(frame, presentation).tolist() == [[255, 0, 0]]


def test_a_slope_of_zero_in_a_file_does_not_stop_the_picture() -> None:
    presentation = Presentation.of({"RescaleSlope": 0.0}, "MONOCHROME2")
    assert to_eight_bit(RAMP, presentation).max() == 255


def test_colour_is_not_windowed() -> None:
    rgb = RNG.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    presentation = Presentation(window=Window(1, 1))
    np.testing.assert_array_equal(opened(render_png(rgb, presentation)), rgb)
    inverted = opened(render_png(rgb, presentation, invert=True))
    np.testing.assert_array_equal(inverted, 255 - rgb)


@pytest.mark.parametrize("quality", [-5, 1, 85, 100, 900])
def test_jpeg(quality: int) -> None:
    presentation = Presentation(window=Window(2048, 4096))
    jpeg = render_jpeg(RAMP, presentation, quality=quality)
    image = Image.open(io.BytesIO(jpeg))
    assert image.format == "JPEG"
    assert image.size == (16, 16)
    if quality >= 100:
        difference = np.asarray(image).astype(int) - opened(render_png(RAMP, presentation))
        assert np.abs(difference).max() <= 3


def test_jpeg_of_colour_keeps_its_channels() -> None:
    rgb = np.zeros((32, 32, 3), np.uint8)
    rgb[:16, :, 0] = 250
    rgb[16:, :, 2] = 250
    image = np.asarray(Image.open(io.BytesIO(render_jpeg(rgb, Presentation(), quality=95))))
    assert image[4, 4, 0] > 230
    assert image[4, 4, 2] < 20
    assert image[28, 4, 2] > 230


@pytest.mark.parametrize(
    ("width", "size"), [(8, (8, 4)), (64, (64, 32)), (32, (32, 16)), (0, (1, 1))]
)
def test_width(width: int, size: tuple[int, int]) -> None:
    frame = np.zeros((16, 32), np.uint8)
    png = render_png(frame, Presentation(), width=width)
    assert Image.open(io.BytesIO(png)).size == size
    jpeg = render_jpeg(frame, Presentation(), width=width)
    assert Image.open(io.BytesIO(jpeg)).size == size


def test_a_width_beyond_reason_is_cut() -> None:
    png = render_png(np.zeros((2, 2), np.uint8), Presentation(), width=10**9)
    assert Image.open(io.BytesIO(png)).size == (8192, 8192)


@pytest.mark.parametrize(
    ("shape", "height", "size"),
    [
        ((512, 512), 1.0, (256, 256)),
        ((100, 50), 1.0, (50, 100)),
        ((400, 800), 2.0, (256, 256)),
        ((600, 300), 0.5, (256, 256)),
        ((1, 5000), 1.0, (256, 1)),
    ],
)
def test_thumbnails_have_square_pixels(
    shape: tuple[int, int], height: float, size: tuple[int, int]
) -> None:
    png = thumbnail(np.zeros(shape, np.uint8), Presentation(pixel_height=height))
    assert Image.open(io.BytesIO(png)).size == size


@pytest.mark.parametrize(
    ("display", "height"),
    [
        ({}, 1),
        ({"PixelAspectRatio": [2.0, 1.0]}, 2),
        ({"PixelAspectRatio": [1.0, 1.0], "PixelSpacing": [1.0, 2.0]}, 1),
        ({"PixelSpacing": [0.5, 0.25]}, 2),
        ({"PixelSpacing": [0.0, 0.0]}, 1),
        ({"PixelSpacing": [1000.0, 0.001]}, 1),
        ({"ImagerPixelSpacing": [1.0, 2.0]}, 0.5),
    ],
)
def test_pixel_height(display: dict[str, list[float]], height: float) -> None:
    assert pixel_height(display) == height
