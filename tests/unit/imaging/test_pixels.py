"""Frames of made objects: every layout of samples, with values that are known beforehand."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian

from imaging.codestream import mislabelled
from imaging.errors import DecodeError, ImagingError, LimitError, UnsupportedError
from imaging.frametable import frame_table_to_bytes
from imaging.header import part10_header, read_index
from imaging.palette import Palette
from imaging.pixels import (
    PixelFacts,
    PixelLimits,
    decode_frame,
    dtype_name,
    exact_frame,
    frame_range,
    problem,
)
from tests.dicom import make_instance, to_bytes

RNG = np.random.default_rng(7)


def facts_of(raw: bytes) -> PixelFacts:
    index = read_index(raw)
    return PixelFacts.of(index, index.frames)


def decoded(raw: bytes, frame: int = 0) -> np.ndarray[Any, Any]:
    return decode_frame(raw, facts_of(raw), frame)


def compressed(ds: Dataset, syntax: str, frames: list[bytes]) -> bytes:
    """`ds` with compressed frames in place of its pixel data."""
    raw = to_bytes(ds)
    body = raw[read_index(raw).data_set_offset : raw.index(b"\xe0\x7f\x10\x00")]
    head = part10_header(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid=syntax,
    )
    value = encapsulate([frame + b"\0" * (len(frame) % 2) for frame in frames])
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + value
    return head + body + pixels + b"\xfe\xff\xdd\xe0\0\0\0\0"


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_native_integers(dtype: str) -> None:
    info = np.iinfo(dtype)
    pixels = RNG.integers(info.min, info.max, (7, 9), dtype=dtype, endpoint=True)
    raw = to_bytes(make_instance(pixels))
    frame = decoded(raw)
    np.testing.assert_array_equal(frame, pixels)
    assert dtype_name(frame) == dtype
    assert frame_range(frame) == (pixels.min(), pixels.max())
    np.testing.assert_array_equal(exact_frame(raw, facts_of(raw), 0), pixels)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32"])
def test_big_endian(dtype: str) -> None:
    pixels = RNG.integers(0, 200, (3, 5, 7)).astype(dtype)
    ds = make_instance(pixels[0], NumberOfFrames=3)
    swapped = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    if dtype == "uint8":
        # Bytes written as words swap places inside them (PS3.5 Annex A.3).
        swapped = np.frombuffer(swapped + b"\0", "<u2").astype(">u2").tobytes()
    ds.PixelData = swapped
    ds["PixelData"].VR = "OW"
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    raw = io.BytesIO()
    ds.save_as(raw, implicit_vr=False, little_endian=False)
    for frame in range(3):
        np.testing.assert_array_equal(decoded(raw.getvalue(), frame), pixels[frame])


def test_byte_strings_of_a_big_endian_object_do_not_swap() -> None:
    pixels = RNG.integers(0, 200, (4, 6)).astype(np.uint8)
    ds = make_instance(pixels)
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    raw = io.BytesIO()
    ds.save_as(raw, implicit_vr=False, little_endian=False)
    np.testing.assert_array_equal(decoded(raw.getvalue()), pixels)


@pytest.mark.parametrize(("is_signed", "expected"), [(False, 0xABC), (True, 0xABC - 0x1000)])
@pytest.mark.parametrize("high_bit", [11, 13, 15])
def test_bits_around_the_stored_ones_are_dropped(
    is_signed: bool, expected: int, high_bit: int
) -> None:
    """An overlay or rubbish above, and below where High Bit is not Bits Stored - 1."""
    shift = high_bit - 11
    word = (0xABC << shift | 1 << (high_bit + 1) | ((1 << shift) - 1)) & 0xFFFF
    ds = make_instance(
        np.full((2, 2), word, np.uint16),
        BitsStored=12,
        HighBit=high_bit,
        PixelRepresentation=int(is_signed),
    )
    frame = decoded(to_bytes(ds))
    assert frame.dtype == (np.int16 if is_signed else np.uint16)
    assert (frame == expected).all()


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("uint16", 4096, 0),
        ("uint16", 4095, 4095),
        ("int16", 2048, -2048),
        ("int16", -2049, 2047),
        ("int16", -2048, -2048),
        ("int16", 2047, 2047),
    ],
)
def test_the_first_value_beyond_the_stored_bits(dtype: str, value: int, expected: int) -> None:
    pixels = np.array([[0, value]], dtype)
    raw = to_bytes(make_instance(pixels, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(decoded(raw), np.array([[0, expected]], dtype))


def test_one_bit_frames_that_do_not_end_on_a_byte() -> None:
    pixels = RNG.integers(0, 2, (5, 3, 7)).astype(np.uint8)
    packed = np.packbits(pixels.reshape(-1), bitorder="little").tobytes()
    ds = make_instance(pixels[0], NumberOfFrames=5, BitsAllocated=1, BitsStored=1, HighBit=0)
    ds.PixelData = packed + b"\0" * (len(packed) % 2)
    raw = to_bytes(ds)
    for frame in range(5):
        np.testing.assert_array_equal(decoded(raw, frame), pixels[frame])


def test_twelve_bits_allocated() -> None:
    pixels = RNG.integers(0, 4096, (3, 3, 5))  # 15 samples a frame: every second starts at 4 bits
    bits = (pixels.reshape(-1, 1) >> np.arange(12) & 1).astype(np.uint8)
    packed = np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    ds = make_instance(
        np.zeros((3, 5), np.uint16), NumberOfFrames=3, BitsAllocated=12, BitsStored=12, HighBit=11
    )
    ds.PixelData = packed + b"\0" * (len(packed) % 2)
    raw = to_bytes(ds)
    for frame in range(3):
        np.testing.assert_array_equal(decoded(raw, frame), pixels[frame])


def test_float_pixels_keep_their_values() -> None:
    for keyword, dtype in (("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")):
        pixels = RNG.normal(size=(4, 5)).astype(dtype)
        pixels[0, 0], pixels[0, 1] = np.nan, np.inf
        ds = make_instance(np.zeros((4, 5), np.uint16), BitsAllocated=pixels.itemsize * 8)
        del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
        setattr(ds, keyword, pixels.tobytes())
        frame = decoded(to_bytes(ds))
        np.testing.assert_array_equal(frame, pixels)
        least, greatest = frame_range(frame)
        assert (least, greatest) == (np.nanmin(pixels), pixels[np.isfinite(pixels)].max())


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_by_pixel_and_by_plane(planar: int) -> None:
    pixels = RNG.integers(0, 256, (2, 5, 7, 3)).astype(np.uint8)
    stored = pixels if planar == 0 else pixels.transpose(0, 3, 1, 2)
    ds = make_instance(pixels[0], NumberOfFrames=2, PlanarConfiguration=planar)
    ds.PixelData = np.ascontiguousarray(stored).tobytes()
    raw = to_bytes(ds)
    for frame in range(2):
        np.testing.assert_array_equal(decoded(raw, frame), pixels[frame])
        np.testing.assert_array_equal(exact_frame(raw, facts_of(raw), frame), pixels[frame])


def reference_rgb(ybr: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """PS3.3 C.7.6.3.1.2, the other way round, in floating point."""
    y, cb, cr = (ybr[..., k].astype(float) - (128 if k else 0) for k in range(3))
    rgb = np.stack((y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb), axis=-1)
    return np.clip(np.rint(rgb), 0, 255)


def test_every_ybr_value() -> None:
    steps = np.arange(0, 256, 15)
    ybr = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 18, 3).astype(np.uint8)
    raw = to_bytes(make_instance(ybr, PhotometricInterpretation="YBR_FULL"))
    rgb = exact_frame(raw, facts_of(raw), 0)
    assert np.abs(rgb.astype(float) - reference_rgb(ybr)).max() <= 1
    assert (rgb == reference_rgb(ybr)).mean() > 0.99
    np.testing.assert_array_equal(decoded(raw), ybr)


def test_uncompressed_422_and_its_wrong_name() -> None:
    packed = RNG.integers(0, 256, (4, 3, 4)).astype(np.uint8)  # Y1 Y2 CB CR for each pair
    ds = make_instance(np.zeros((4, 6, 3), np.uint8), PhotometricInterpretation="YBR_FULL_422")
    ds.PixelData = packed.tobytes()
    frame = decoded(to_bytes(ds))
    np.testing.assert_array_equal(frame[:, 0::2, 0], packed[..., 0])
    np.testing.assert_array_equal(frame[:, 1::2, 0], packed[..., 1])
    for column in (0, 1):
        np.testing.assert_array_equal(frame[:, column::2, 1:], packed[..., 2:])
    # Some devices say 422 and store all samples.
    full = RNG.integers(0, 256, (4, 6, 3)).astype(np.uint8)
    ds.PixelData = full.tobytes()
    np.testing.assert_array_equal(decoded(to_bytes(ds)), full)


def test_wide_colour_becomes_eight_bits() -> None:
    pixels = RNG.integers(0, 4096, (4, 4, 3)).astype(np.uint16)
    raw = to_bytes(make_instance(pixels, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(exact_frame(raw, facts_of(raw), 0), pixels >> 4)


def test_a_palette_is_needed_and_used() -> None:
    stored = np.array([[0, 1], [2, 9]], np.uint8)
    raw = to_bytes(make_instance(stored, PhotometricInterpretation="PALETTE COLOR"))
    facts = facts_of(raw)
    assert facts.is_palette
    assert facts.is_colour
    with pytest.raises(DecodeError, match="colour table is missing"):
        exact_frame(raw, facts, 0)
    colours = np.array([[10, 0, 0], [0, 20, 0]], np.uint8)
    rgb = exact_frame(raw, facts, 0, palette=Palette(1, colours))
    assert rgb.tolist() == [[[10, 0, 0], [10, 0, 0]], [[0, 20, 0], [0, 20, 0]]]


# --- compressed ------------------------------------------------------------------------------


GREY = np.add.outer(np.arange(32) * 50, np.arange(48) * 30).astype(np.uint16)
RGB = np.stack([GREY >> 4, GREY >> 5, 255 - (GREY >> 4)], axis=-1).astype(np.uint8)

LOSSLESS = {
    "JPEG lossless": (
        "1.2.840.10008.1.2.4.70",
        imagecodecs.ljpeg_encode,
    ),
    "JPEG-LS": ("1.2.840.10008.1.2.4.80", lambda image: imagecodecs.jpegls_encode(image, 0)),
    "JPEG 2000": (
        "1.2.840.10008.1.2.4.90",
        lambda image: imagecodecs.jpeg2k_encode(image, reversible=True, codecformat="J2K"),
    ),
    "HTJ2K": (
        "1.2.840.10008.1.2.4.201",
        lambda image: imagecodecs.htj2k_encode(image, reversible=True),
    ),
    "JPEG XL": (
        "1.2.840.10008.1.2.4.110",
        lambda image: imagecodecs.jpegxl_encode(image, lossless=True),
    ),
}


# The encoder at hand writes grey JPEG lossless only; the reference frames hold colour.
IMAGES = [(name, GREY) for name in LOSSLESS] + [
    (name, RGB) for name in LOSSLESS if name != "JPEG lossless"
]


@pytest.mark.parametrize(("name", "image"), IMAGES, ids=lambda value: getattr(value, "ndim", value))
def test_lossless_codecs(name: str, image: np.ndarray[Any, Any]) -> None:
    syntax, encode = LOSSLESS[name]
    raw = compressed(make_instance(image), syntax, [encode(image)])
    np.testing.assert_array_equal(decoded(raw), image)
    np.testing.assert_array_equal(exact_frame(raw, facts_of(raw), 0), image)


@pytest.mark.parametrize("label", [syntax for syntax, _ in LOSSLESS.values()])
@pytest.mark.parametrize("name", LOSSLESS)
def test_the_bytes_are_believed_before_the_label(name: str, label: str) -> None:
    raw = compressed(make_instance(GREY), label, [LOSSLESS[name][1](GREY)])
    np.testing.assert_array_equal(decoded(raw), GREY)


def rle(image: np.ndarray[Any, Any]) -> bytes:
    """A DICOM RLE frame of literal runs (PS3.5 Annex G)."""
    samples = image.reshape(image.shape[0], image.shape[1], -1)
    segments = []
    for sample in range(samples.shape[2]):
        plane = np.ascontiguousarray(samples[..., sample])
        octets = plane.view(np.uint8).reshape(-1, plane.itemsize)
        for byte in reversed(range(plane.itemsize)):
            flat = octets[:, byte].tobytes()
            packed = b"".join(
                bytes([len(flat[at : at + 128]) - 1]) + flat[at : at + 128]
                for at in range(0, len(flat), 128)
            )
            segments.append(packed + b"\0" * (len(packed) % 2))
    offsets, at = [], 64
    for segment in segments:
        offsets.append(at)
        at += len(segment)
    head = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments)))
    return head + b"".join(segments)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32"])
@pytest.mark.parametrize("shape", [(9, 11), (10, 10)], ids=["even", "padded"])
def test_rle_grey(dtype: str, shape: tuple[int, int]) -> None:
    image = RNG.integers(0, 120, shape).astype(dtype)
    raw = compressed(make_instance(image), "1.2.840.10008.1.2.5", [rle(image)])
    np.testing.assert_array_equal(decoded(raw), image)


def test_rle_colour() -> None:
    raw = compressed(make_instance(RGB), "1.2.840.10008.1.2.5", [rle(RGB)])
    np.testing.assert_array_equal(exact_frame(raw, facts_of(raw), 0), RGB)


JPEG, RLE, NATIVE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1"
LYING = {
    "RLE called JPEG": ("rle", JPEG),
    "RLE called uncompressed": ("rle", NATIVE),
    "JPEG lossless called RLE": ("jpeg-lossless", RLE),
    "JPEG lossless called uncompressed": ("jpeg-lossless", NATIVE),
    "uncompressed called JPEG": ("", JPEG),
    "uncompressed called JPEG 2000": ("", "1.2.840.10008.1.2.4.90"),
}


@pytest.mark.parametrize("name", LYING)
def test_frames_that_are_not_what_they_are_called(name: str) -> None:
    codec, label = LYING[name]
    image = RNG.integers(0, 256, (9, 11)).astype(np.uint8)
    frame = {
        "rle": lambda: rle(image),
        "jpeg-lossless": lambda: bytes(imagecodecs.ljpeg_encode(image)),
        "": image.tobytes,
    }[codec]()
    np.testing.assert_array_equal(decoded(compressed(make_instance(image), label, [frame])), image)
    assert mislabelled(frame, label) == (codec or None)


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_true_label_is_no_contradiction(name: str) -> None:
    syntax, encode = LOSSLESS[name]
    frame = bytes(encode(np.zeros((8, 8), np.uint8)))
    assert mislabelled(frame, syntax) is None
    assert mislabelled(frame, NATIVE) is not None
    # The frames of these are what they are, whatever they begin with.
    assert mislabelled(frame, "1.2.840.10008.1.2.8.1") is None


def test_a_deflated_frame_that_kept_its_zlib_header() -> None:
    image = RNG.integers(0, 256, (9, 11)).astype(np.uint8)
    raw = compressed(make_instance(image), "1.2.840.10008.1.2.8.1", [zlib.compress(image)])
    np.testing.assert_array_equal(decoded(raw), image)


def test_deflated_frames_and_encapsulated_uncompressed() -> None:
    frames = [GREY, GREY[::-1].copy()]
    ds = make_instance(GREY, NumberOfFrames=2)
    deflater = [zlib.compressobj(wbits=-15) for _ in frames]
    packed = [d.compress(f.tobytes()) + d.flush() for d, f in zip(deflater, frames, strict=True)]
    for syntax, bodies in (
        ("1.2.840.10008.1.2.8.1", packed),
        ("1.2.840.10008.1.2.1.98", [frame.tobytes() for frame in frames]),
    ):
        raw = compressed(ds, syntax, bodies)
        for index, frame in enumerate(frames):
            np.testing.assert_array_equal(decoded(raw, index), frame)


def test_jpeg_colour_follows_its_markers_then_its_name() -> None:
    smooth = np.asarray(imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(RGB, 95)))
    with_jfif = imagecodecs.jpeg8_encode(RGB, 95, subsampling="444")
    as_rgb = imagecodecs.jpeg8_encode(
        RGB, 95, colorspace="RGB", outcolorspace="RGB", subsampling="444"
    )
    for name in ("YBR_FULL_422", "YBR_FULL", "RGB"):
        for jpeg in (with_jfif, as_rgb):
            ds = make_instance(RGB, PhotometricInterpretation=name)
            raw = compressed(ds, "1.2.840.10008.1.2.4.50", [jpeg])
            rgb = exact_frame(raw, facts_of(raw), 0).astype(int)
            assert np.abs(rgb - smooth).mean() < 3, (name, jpeg is as_rgb)


def test_a_small_tile_is_padded_only_among_many() -> None:
    tile = imagecodecs.jpeg8_encode(np.full((5, 6, 3), 90, np.uint8), 95)
    full = imagecodecs.jpeg8_encode(np.full((8, 8, 3), 90, np.uint8), 95)
    image = np.zeros((8, 8, 3), np.uint8)
    raw = compressed(make_instance(image, NumberOfFrames=2), "1.2.840.10008.1.2.4.50", [full, tile])
    rgb = exact_frame(raw, facts_of(raw), 1)
    assert (np.abs(rgb[:5, :6].astype(int) - 90) <= 2).all()
    assert (rgb[5:] == 255).all()
    assert (rgb[:, 6:] == 255).all()
    alone = compressed(make_instance(image), "1.2.840.10008.1.2.4.50", [tile])
    with pytest.raises(DecodeError, match="measures 6 x 5 pixels, but its header says 8 x 8"):
        decoded(alone)


# --- refusals --------------------------------------------------------------------------------


def test_a_code_stream_that_contradicts_its_header() -> None:
    stream = imagecodecs.jpegls_encode(GREY)
    too_small = compressed(make_instance(GREY[:16]), "1.2.840.10008.1.2.4.80", [stream])
    with pytest.raises(DecodeError, match="measures 48 x 32"):
        decoded(too_small)
    colour = compressed(make_instance(RGB), "1.2.840.10008.1.2.4.80", [stream])
    with pytest.raises(DecodeError, match="1 samples a pixel"):
        decoded(colour)
    narrow = compressed(make_instance(RGB[..., 0].copy()), "1.2.840.10008.1.2.4.80", [stream])
    with pytest.raises(DecodeError, match="more bits a pixel"):
        decoded(narrow)


def test_a_bomb_in_the_code_stream_is_refused_before_it_is_decoded() -> None:
    """Each head claims 60000 x 60000; decoding would take gigabytes."""
    jpeg = bytearray(imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8)))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    j2k = bytearray(imagecodecs.jpeg2k_encode(GREY, codecformat="J2K"))
    j2k[8:16] = struct.pack(">II", 60000, 60000)
    jxl = imagecodecs.jpegxl_encode(np.zeros((60000, 1), np.uint8), lossless=True)
    for bomb in (bytes(jpeg), bytes(j2k), jxl):
        raw = compressed(make_instance(GREY), "1.2.840.10008.1.2.4.50", [bomb])
        with pytest.raises(DecodeError, match="60000 pixels"):
            decoded(raw)


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_truncated_code_stream_is_refused(name: str) -> None:
    """Half a picture must not look like a whole one, nor keep a decoder busy."""
    syntax, encode = LOSSLESS[name]
    stream = encode(GREY)
    for size in (4, 20, len(stream) // 2, len(stream) - 4):
        raw = compressed(make_instance(GREY), syntax, [stream[:size]])
        started = time.process_time()
        with pytest.raises(DecodeError):
            decoded(raw)
        assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "head",
    [
        b"\0\0",
        bytes(64),
        struct.pack("<16I", 2, 64, 0x7FFFFFFF, *[0] * 13) + bytes(64),
        struct.pack("<16I", 2, 100, 64, *[0] * 13) + bytes(100),
        struct.pack("<16I", 0xFFFFFFFF, *[64] * 15) + bytes(100),
        struct.pack("<16I", 2, 0, 64, *[0] * 13) + bytes(100),
        struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\x00" * 40000,
        struct.pack("<16I", 3, 64, 66, 68, *[0] * 12) + bytes(100),
    ],
    ids=range(8),
)
def test_hostile_rle(head: bytes) -> None:
    raw = compressed(make_instance(GREY), "1.2.840.10008.1.2.5", [head])
    with pytest.raises(DecodeError):
        decoded(raw)


def test_an_rle_segment_inside_its_own_header() -> None:
    """Zeros of the header would pass as pixels and move the picture."""
    image = RNG.integers(1, 120, (10, 10)).astype(np.uint8)
    frame = bytearray(rle(image))
    frame[4:8] = struct.pack("<I", 60)
    raw = compressed(make_instance(image), "1.2.840.10008.1.2.5", [bytes(frame)])
    with pytest.raises(DecodeError, match="segments"):
        decoded(raw)


def test_a_deflated_frame_that_lies() -> None:
    bomb = zlib.compressobj(9, wbits=-15)
    large = bomb.compress(bytes(50 * 2**20)) + bomb.flush()
    raw = compressed(make_instance(GREY), "1.2.840.10008.1.2.8.1", [large])
    facts = facts_of(raw)
    tracemalloc.start()
    assert decode_frame(raw, facts, 0).max() == 0
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20, "only as much is inflated as a frame holds"
    for body in (b"\xff" * 40, large[:2]):
        raw = compressed(make_instance(GREY), "1.2.840.10008.1.2.8.1", [body + b"\0\0"])
        with pytest.raises(DecodeError, match="deflated picture"):
            decoded(raw)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"Rows": 0}, "how large"),
        ({"BitsAllocated": 0}, "how many bits"),
        ({"BitsAllocated": 24, "BitsStored": 24}, "24 bits"),
        ({"SamplesPerPixel": 2}, "2 samples"),
        ({"Rows": 65535, "Columns": 65535}, "65535 x 65535"),
        ({"Rows": 200}, "shorter than its header says"),
    ],
)
def test_problems_are_sentences(keywords: dict[str, int], words: str) -> None:
    raw = to_bytes(make_instance(**keywords))
    facts = facts_of(raw)
    sentence = problem(facts)
    assert words in (sentence or "")
    with pytest.raises(ImagingError, match=words):
        decode_frame(raw, facts, 0)


def test_limits_can_be_set() -> None:
    raw = to_bytes(make_instance())
    facts = facts_of(raw)
    small = PixelLimits(samples=4095)
    assert "64 x 64" in (problem(facts, small) or "")
    with pytest.raises(LimitError):
        decode_frame(raw, facts, 0, limits=small)
    assert problem(facts, PixelLimits(samples=4096)) is None


def test_videos_say_so() -> None:
    raw = compressed(make_instance(NumberOfFrames=300), "1.2.840.10008.1.2.4.102", [bytes(400)])
    index = read_index(raw)
    assert index.number_of_frames == 300
    assert index.has_pixels
    facts = PixelFacts.of(index, index.frames)
    assert "video" in (problem(facts) or "")
    with pytest.raises(UnsupportedError):
        decode_frame(raw, facts, 0)


def test_no_such_frame() -> None:
    raw = to_bytes(make_instance())
    with pytest.raises(DecodeError, match="no frame 2"):
        decode_frame(raw, facts_of(raw), 1)


# --- facts and sources -----------------------------------------------------------------------


class Row:
    """A database row: the columns of the index and the table as bytes."""

    def __init__(self, raw: bytes) -> None:
        index = read_index(raw)
        for name in PixelFacts.__slots__:
            if hasattr(index, name):
                setattr(self, name, getattr(index, name))
        self.pixel_representation = index.pixel_representation
        self.frame_table = frame_table_to_bytes(index.frames)


def test_facts_come_back_from_a_row_and_from_json() -> None:
    raw = compressed(
        make_instance(GREY, NumberOfFrames=2),
        "1.2.840.10008.1.2.4.80",
        [imagecodecs.jpegls_encode(GREY), imagecodecs.jpegls_encode(GREY.max() - GREY)],
    )
    facts = facts_of(raw)
    row = Row(raw)
    assert PixelFacts.of(row, row.frame_table) == facts  # type: ignore[arg-type]
    assert PixelFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_every_kind_of_source(tmp_path: Path) -> None:
    raw = compressed(
        make_instance(GREY), "1.2.840.10008.1.2.4.80", [imagecodecs.jpegls_encode(GREY)]
    )
    deflater = zlib.compressobj(wbits=-15)
    plain = to_bytes(make_instance(GREY))
    index = read_index(plain)
    head = part10_header(
        sop_class_uid=index.sop_class_uid,
        sop_instance_uid=index.sop_instance_uid,
        transfer_syntax_uid="1.2.840.10008.1.2.1.99",
    )
    body = deflater.compress(plain[index.data_set_offset :]) + deflater.flush()
    for number, file in enumerate((raw, head + body)):
        facts = facts_of(file)
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(file)
        asked: list[tuple[int, int]] = []

        def read(offset: int, length: int, file: bytes = file) -> bytes:
            asked.append((offset, length))  # noqa: B023
            return file[offset : offset + length]

        for source in (path, io.BytesIO(file), file, memoryview(file), read):
            np.testing.assert_array_equal(decode_frame(source, facts, 0), GREY)
        assert asked


def test_one_read_a_frame() -> None:
    raw = to_bytes(make_instance(NumberOfFrames=3, PixelData=bytes(3 * 8192)))
    facts = facts_of(raw)
    asked: list[tuple[int, int]] = []

    def read(offset: int, length: int) -> bytes:
        asked.append((offset, length))
        return raw[offset : offset + length]

    decode_frame(read, facts, 2)
    assert asked == [(len(raw) - 8192, 8192)]


def test_storage_that_lost_its_end() -> None:
    raw = to_bytes(make_instance())
    facts = facts_of(raw)
    with pytest.raises(DecodeError, match="Check the storage"):
        decode_frame(raw[:-10], facts, 0)
