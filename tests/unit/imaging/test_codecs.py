"""Code stream heads, and the second decoder against the first."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from imaging import codecs
from imaging.codestream import CodeStream, inspect
from imaging.errors import DecodeError
from imaging.header import read_index


def stream_of(path: Path, frame: int = 0) -> bytes:
    raw = path.read_bytes()
    table = read_index(raw, require_identity=False).frames
    assert table is not None
    return b"".join(raw[offset : offset + length] for offset, length in table.fragments(frame))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("xa_rf/jpeg_baseline_8bit.dcm", CodeStream("jpeg", 512, 512, 1)),
        ("transfer_syntax/wg04_mr1/MR1_JPLY", CodeStream("jpeg", 512, 512, 1)),
        ("transfer_syntax/wg04_mr1/MR1_JPLL", CodeStream("jpeg-lossless", 512, 512, 1)),
        ("transfer_syntax/wg04_mr1/MR1_JLSL", CodeStream("jpeg-ls", 512, 512, 1)),
        ("transfer_syntax/wg04_mr1/MR1_J2KR", CodeStream("jpeg2000", 512, 512, 1)),
        (
            "transfer_syntax/htj2k_jls/HTJ2KLossless_08_RGB.dcm",
            CodeStream("htj2k", 480, 640, 3, is_ybr=False),
        ),
        (
            "transfer_syntax/jpegxl_unsupported/will-jxl.dcm",
            CodeStream("jpegxl", 708, 1016, 0, is_ybr=False),
        ),
        ("color/photo/sample-op.dcm", CodeStream("jpeg", 1536, 1536, 1)),
        ("color/sc_rgb/SC_rgb_dcmtk_+eb+cr.dcm", CodeStream("jpeg", 100, 100, 3, is_ybr=False)),
        ("color/sc_rgb/SC_rgb_dcmtk_+eb+cy+n1.dcm", CodeStream("jpeg", 100, 100, 3, is_ybr=True)),
        ("color/sc_rgb/SC_jpeg_no_color_transform.dcm", CodeStream("jpeg", 256, 256, 3)),
        (
            "color/sc_rgb/SC_jpeg_no_color_transform_2.dcm",  # Adobe's mark: no transform
            CodeStream("jpeg", 256, 256, 3, is_ybr=False),
        ),
        ("color/sc_rgb/GDCMJ2K_TextGBR.dcm", CodeStream("jpeg2000", 400, 400, 3, is_ybr=False)),
    ],
)
def test_what_a_code_stream_says_of_itself(data: Path, name: str, expected: CodeStream) -> None:
    found = inspect(stream_of(data / name))
    assert found is not None
    if found.codec == "jpeg" and expected.samples == 1:
        found = CodeStream(found.codec, found.rows, found.columns, found.samples)
    assert found == expected


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1),
        (7, 300),
        (512, 512),
        (600, 800),
        (768, 1024),
        (900, 1600),
        (5000, 3),
        (8, 8),
        (64, 128),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_jpeg_xl_sizes(shape: tuple[int, int], is_wrapped: bool) -> None:
    """Every form of the size header: small, ratio, explicit; bare and in a container."""
    stream = imagecodecs.jpegxl_encode(
        np.zeros(shape, np.uint8), lossless=True, usecontainer=is_wrapped
    )
    assert stream.startswith(b"\xff\x0a") != is_wrapped
    found = inspect(stream)
    assert found is not None
    assert (found.rows, found.columns) == shape


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00",
        b"\xff\xd8\xff\xe0\x00\x00" * 5,
        b"\xff\xd8\xff\xc0\x00\x02",
        b"\xff\xd8" + b"\xff" * 100,
        b"\xff\x4f\xff\x51",
        b"\x00\x00\x00\x0cjP  \r\n\x87\n",
        b"RIFF",
        bytes(100),
    ],
    ids=range(12),
)
def test_heads_that_are_none(data: bytes) -> None:
    assert inspect(data) is None


@pytest.mark.parametrize("data", [b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n", b"\xff\x0a" * 9])
def test_a_head_of_jpeg_xl_without_a_body_is_refused(data: bytes) -> None:
    stream = inspect(data)
    assert stream is not None
    with pytest.raises(DecodeError):
        codecs.decode_codestream(data, stream, is_ybr=False, wants_rgb=False)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("transfer_syntax/wg04_mr1/MR1_JPLY", 0),
        ("transfer_syntax/wg04_mr1/MR1_JPLL", 0),
        ("transfer_syntax/wg04_mr1/MR1_JLSL", 0),
        ("transfer_syntax/wg04_rg2/RG2_J2KR", 0),
        ("xa_rf/jpeg_baseline_8bit.dcm", 0),
        ("color/testpattern/TestPattern_JPEG-Lossless_RGB.dcm", 0),
        ("color/testpattern/TestPattern_JPEG-LS-Lossless.dcm", 0),
    ],
)
def test_the_second_decoder_gives_the_same(data: Path, name: str, most: int) -> None:
    raw = stream_of(data / name)
    stream = inspect(raw)
    assert stream is not None
    first = codecs.decode_codestream(raw, stream, is_ybr=False, wants_rgb=False)
    second = codecs.decode_with_gdcm(raw, stream)
    difference = first.astype(int) - second.reshape(first.shape)
    assert np.abs(difference).max() <= most


def test_the_second_decoder_is_asked_where_the_first_refuses(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is made to fail, as it does for what it does not know."""
    raw = stream_of(data / "transfer_syntax/wg04_mr1/MR1_JPLL")
    stream = inspect(raw)
    assert stream is not None
    expected = imagecodecs.jpeg8_decode(raw)

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(imagecodecs, "jpeg8_decode", refuse)
    np.testing.assert_array_equal(
        codecs.decode_codestream(raw, stream, is_ybr=False, wants_rgb=False), expected
    )


@pytest.mark.parametrize("noise", range(40))
def test_noise_in_a_code_stream(data: Path, noise: int) -> None:
    """Flipped bytes end in a picture or in a refusal, never in another kind of error."""
    names = ("MR1_JPLY", "MR1_JPLL", "MR1_JLSL", "MR1_J2KI")
    raw = bytearray(stream_of(data / "transfer_syntax/wg04_mr1" / names[noise % 4]))
    random = np.random.default_rng(noise)
    for at in random.integers(2, min(len(raw), 2000), 12):
        raw[at] = random.integers(256)
    stream = inspect(bytes(raw))
    if stream is None or (stream.rows, stream.columns) != (512, 512):
        return
    try:
        pixels = codecs.decode_codestream(bytes(raw), stream, is_ybr=False, wants_rgb=False)
    except DecodeError:
        return
    assert pixels.shape[:2] == (512, 512)


@pytest.mark.parametrize("bits", [24, 25, 32])
def test_jpeg_2000_is_exact_or_refused(bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 64 * 64).astype(np.uint32).reshape(64, 64)
    data = imagecodecs.jpeg2k_encode(
        values, level=0, reversible=True, codecformat="j2k", bitspersample=bits
    )
    stream = CodeStream("jpeg2000", 64, 64, 1)
    if bits <= 24:
        decoded = codecs.decode_codestream(data, stream, is_ybr=False, wants_rgb=False)
        np.testing.assert_array_equal(decoded, values)
    else:
        with pytest.raises(DecodeError, match="cannot be decoded exactly"):
            codecs.decode_codestream(data, stream, is_ybr=False, wants_rgb=False)
