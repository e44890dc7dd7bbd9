"""Encoded pictures and their colour profiles, read back by Pillow and LittleCMS."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from imaging.encode import encode_gif, encode_jpeg, encode_png, encode_webp
from imaging.errors import DecodeError
from imaging.icc import ProfileName, profile_of, read_profile, to_profile
from tests.dicom import make_instance, to_bytes

RNG = np.random.default_rng(23)
GREY = RNG.integers(0, 256, (33, 47)).astype(np.uint8)
# Smooth, so that a lossy form comes close to it.
RGB = np.stack(np.meshgrid(np.arange(64), np.arange(48)), axis=-1).astype(np.uint8)
RGB = np.concatenate((RGB * 3, RGB[..., :1] + 90), axis=2).astype(np.uint8)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("picture", [GREY, RGB], ids=["grey", "colour"])
def test_forms_without_loss(picture: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(opened(encode_png(picture))), picture)
    shown = np.asarray(opened(encode_webp(picture, quality=100)).convert("RGB"))
    expected = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    np.testing.assert_array_equal(shown, expected)


def test_a_grey_gif_is_exact_and_a_film_has_every_picture() -> None:
    np.testing.assert_array_equal(np.asarray(opened(encode_gif([GREY])).convert("L")), GREY)
    frames = [GREY, 255 - GREY, np.roll(GREY, 3)]
    film = opened(encode_gif(frames, frame_ms=40))
    assert getattr(film, "n_frames", 0) == 3
    for number, frame in enumerate(frames):
        film.seek(number)
        assert film.info["duration"] == 40
        np.testing.assert_array_equal(np.asarray(film.convert("L")), frame)


@pytest.mark.parametrize("encode", [encode_jpeg, encode_webp], ids=["jpeg", "webp"])
def test_quality_is_a_choice(encode: object) -> None:
    assert callable(encode)
    low, high = encode(RGB, quality=20), encode(RGB, quality=95)
    assert len(low) < len(high)
    worst = np.abs(np.asarray(opened(high)).astype(int) - RGB.astype(int)).max()
    assert worst <= 12


@pytest.mark.parametrize(
    "encode", [encode_png, encode_jpeg, encode_webp], ids=["png", "jpeg", "webp"]
)
@pytest.mark.parametrize("size", [600, 150_000], ids=["small", "in several segments"])
def test_the_profile_goes_along(encode: object, size: int) -> None:
    assert callable(encode)
    profile = profile_of("srgb")
    profile += bytes(size - len(profile))
    assert opened(encode(RGB, profile=profile)).info["icc_profile"] == profile


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Published conversions of sRGB's red, green and a grey (0.2159 in linear light).
        ("srgb", [(255, 0, 0), (0, 255, 0), (128, 128, 128)]),
        ("adobergb", [(219, 0, 0), (144, 255, 60), (127, 127, 127)]),
        ("displayp3", [(234, 51, 35), (117, 251, 76), (128, 128, 128)]),
        ("rommrgb", [(179, 70, 26), (138, 237, 78), (109, 109, 109)]),
    ],
)
def test_colours_in_each_space(name: ProfileName, expected: list[tuple[int, ...]]) -> None:
    colours = np.array([[(255, 0, 0), (0, 255, 0), (128, 128, 128)]], np.uint8)
    shown, profile = to_profile(colours, None, name)
    assert profile == profile_of(name)  # type: ignore[arg-type]
    # One grey level for the primaries' last digits.
    np.testing.assert_allclose(shown[0].astype(int), expected, atol=1)


def test_our_srgb_is_the_worlds() -> None:
    """An identity, but for one grey level of rounding, by LittleCMS between both profiles."""
    ours = ImageCms.ImageCmsProfile(io.BytesIO(profile_of("srgb")))
    transform = ImageCms.buildTransform(ours, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    image = Image.fromarray(RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8))
    back = ImageCms.applyTransform(image, transform)
    assert back is not None
    np.testing.assert_allclose(np.asarray(back).astype(int), np.asarray(image), atol=1)


def test_grey_and_unwanted_profiles_stay_away() -> None:
    assert to_profile(GREY, None, "srgb")[1] is None
    assert to_profile(RGB, None, "no") == (RGB, None)
    assert to_profile(RGB, b"own", "yes")[1] == b"own"


def test_a_damaged_profile_is_said() -> None:
    with pytest.raises(DecodeError, match="iccprofile"):
        to_profile(RGB, b"x" * 500, "srgb")


def test_an_objects_own_profile_is_found() -> None:
    own = profile_of("displayp3")
    ds = make_instance(RGB, ICCProfile=own)
    assert read_profile(to_bytes(ds)) == own
    slide = make_instance(RGB)
    slide.OpticalPathSequence = [make_instance(ICCProfile=own)]
    del slide.OpticalPathSequence[0].PixelData
    assert read_profile(to_bytes(slide)) == own
    assert read_profile(to_bytes(make_instance(RGB))) is None
