"""Decode one compressed frame: the quick decoder first, another where it refuses.

imagecodecs (libjpeg-turbo, CharLS, OpenJPEG, OpenJPH, libjxl) decodes everything known to the
tests; GDCM is asked where it fails. Both are written in C and are fed hostile bytes: callers run
them where a crash harms nobody else.
"""

import struct
import zlib
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from imaging.codestream import CodeStream
from imaging.errors import DecodeError, ImagingError

Pixels = NDArray[Any]

_GDCM_SYNTAX = {
    "jpeg": "1.2.840.10008.1.2.4.51",
    "jpeg-lossless": "1.2.840.10008.1.2.4.70",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
    "jpeg2000": "1.2.840.10008.1.2.4.90",
}

# Beyond this OpenJPEG overflows without a word: with 25 bits a sixth of the values come out wrong.
_MOST_JPEG_2000_BITS = 24


def decode_codestream(data: bytes, stream: CodeStream, *, is_ybr: bool, wants_rgb: bool) -> Pixels:
    """Decode a code stream as it is.

    Parameters
    ----------
    stream : what `codestream.inspect` says of `data`
    is_ybr : the three samples of a JPEG are luminance and chrominance
    wants_rgb : let the decoder turn them into RGB; else they stay as they are

    Returns
    -------
    shape (rows, columns) or (rows, columns, samples), the decoder's own integer type

    Raises
    ------
    DecodeError
        If no decoder reads it.
    """
    has_end_marker = data.startswith((b"\xff\xd8", b"\xff\x4f"))
    if has_end_marker and b"\xff\xd9" not in data.rstrip(b"\0")[-64:]:
        # libjpeg and OpenJPH would show what is there without a word, CharLS 2.4 works 9 s on 350
        # bytes.
        raise DecodeError("The compressed picture is cut off: its end is missing. Send it again.")
    precision = _precision(data, stream) if stream.codec == "jpeg2000" else 0
    if precision > _MOST_JPEG_2000_BITS:
        raise DecodeError(
            f"JPEG 2000 with {precision} bits a sample cannot be decoded exactly here, only up to "
            f"{_MOST_JPEG_2000_BITS}."
        )
    try:
        pixels = _decode_quick(data, stream, is_ybr=is_ybr, wants_rgb=wants_rgb)
    except (RuntimeError, ValueError, MemoryError) as error:
        try:
            pixels = decode_with_gdcm(data, stream)
        except ImagingError:
            raise DecodeError(
                "The compressed picture is damaged: no decoder can read it. Send it again."
            ) from error
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _decode_quick(data: bytes, stream: CodeStream, *, is_ybr: bool, wants_rgb: bool) -> Pixels:
    if stream.codec in ("jpeg", "jpeg-lossless"):
        if stream.samples != 3:
            return imagecodecs.jpeg8_decode(data)
        return imagecodecs.jpeg8_decode(
            data,
            colorspace="YCBCR" if is_ybr else "RGB",
            outcolorspace="RGB" if wants_rgb or not is_ybr else "YCBCR",
        )
    if stream.codec == "jpeg-ls":
        return imagecodecs.jpegls_decode(data)
    if stream.codec == "htj2k":
        pixels = imagecodecs.htj2k_decode(data)
        # Without a colour transform its components come one behind the other.
        planes = (stream.samples, stream.rows, stream.columns)
        is_planar = stream.is_ybr is None and pixels.shape == planes
        return np.moveaxis(pixels, 0, 2) if is_planar else pixels
    if stream.codec == "jpegxl":
        return imagecodecs.jpegxl_decode(data, numthreads=1)
    return imagecodecs.jpeg2k_decode(data, numthreads=1)


@cache
def _load_gdcm() -> Any:  # noqa: ANN401 - it has no types
    """Return GDCM, silent: it takes 25 MB, and few objects ever need the second decoder."""
    import gdcm  # noqa: PLC0415

    for name in ("Debug", "Warning", "Error"):
        getattr(gdcm.Trace, f"{name}Off")()
    return gdcm


def decode_with_gdcm(data: bytes, stream: CodeStream) -> Pixels:
    """Decode a JPEG, JPEG-LS or JPEG 2000 code stream with GDCM; see `decode_codestream`.

    Raises
    ------
    DecodeError
        If GDCM does not know the codec or refuses the bytes.
    """
    syntax = _GDCM_SYNTAX.get(stream.codec)
    precision = _precision(data, stream)
    if syntax is None or not precision or stream.samples not in (1, 3):
        raise DecodeError("There is no second decoder for this compression.")
    gdcm = _load_gdcm()
    # GDCM's 12-bit JPEG decoder is chosen by the bits allocated, its JPEG 2000 one by precision.
    dtype = np.dtype(np.uint8 if precision <= 8 else np.uint16)
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(data)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((stream.columns, stream.rows, 1))
    image.SetDataElement(element)
    meaning = "MONOCHROME2" if stream.samples == 1 else "RGB"
    image.SetPhotometricInterpretation(
        gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.GetPIType(meaning))
    )
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(
        gdcm.PixelFormat(stream.samples, dtype.itemsize * 8, precision, precision - 1, 0)
    )
    size = stream.rows * stream.columns * stream.samples * dtype.itemsize
    if image.GetBufferLength() != size:
        raise DecodeError("The second decoder reads another size of picture.")
    # The wrapper hands out char* as text, and None where GDCM fails.
    text = image.GetBuffer()
    buffer = b"" if text is None else text.encode("utf-8", "surrogateescape")
    if len(buffer) != size:
        raise DecodeError("The second decoder cannot read the picture.")
    shape = (stream.rows, stream.columns, stream.samples)
    return np.frombuffer(buffer, dtype).reshape(shape)


def _precision(data: bytes, stream: CodeStream) -> int:
    """Return the bits of a sample as the code stream says; 0 if it cannot be found."""
    if stream.codec == "jpeg2000":
        at = data.find(b"\xff\x4f\xff\x51")
        return (data[at + 42] & 0x7F) + 1 if 0 <= at < len(data) - 42 else 0
    at = 2
    while at + 5 <= len(data) and data[at] == 0xFF:
        marker, length = struct.unpack_from(">BH", data, at + 1)
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            return data[at + 4]
        at += 2 + length
    return 0


def decode_rle(data: bytes, *, samples: int, bytes_per_sample: int, plane_size: int) -> Pixels:
    """Decode a DICOM RLE frame.

    Parameters
    ----------
    plane_size : bytes of each segment once decoded: one byte of each sample of a plane

    Returns
    -------
    uint8, shape (samples, plane_size * bytes_per_sample): the planes, each little endian

    Raises
    ------
    DecodeError
        If the header points outside the frame or a segment is damaged.

    References
    ----------
    DICOM PS3.5 Annex G.
    """
    count = samples * bytes_per_sample
    if len(data) < 64:
        raise _damaged_rle()
    number, *offsets = struct.unpack_from("<16I", data)
    # The offsets are checked here, because the decoders believe them.
    if number != count or count > 15:
        raise DecodeError(
            f"The RLE picture has {number} segments where its header asks for {count}. Send it "
            "again."
        )
    ends = [*offsets[1:number], len(data)]
    planes = np.empty((samples, plane_size, bytes_per_sample), np.uint8)
    for index, (start, end) in enumerate(zip(offsets[:number], ends, strict=True)):
        if not 64 <= start <= end <= len(data):
            raise _damaged_rle()
        segment = _unpack_bits(data[start:end], plane_size)
        sample, byte = divmod(index, bytes_per_sample)
        planes[sample, :, bytes_per_sample - 1 - byte] = np.frombuffer(segment, np.uint8)
    return planes.reshape(samples, -1)


def _unpack_bits(segment: bytes, size: int) -> bytes:
    """Decode one segment; its padding byte, or a few samples too many, are passed over."""
    try:
        decoded = imagecodecs.packbits_decode(segment, out=size + 256)
    except RuntimeError as error:
        raise _damaged_rle() from error
    if len(decoded) < size:
        raise _damaged_rle()
    return bytes(decoded[:size])


def _damaged_rle() -> DecodeError:
    return DecodeError("The RLE picture is damaged: its segments cannot be read. Send it again.")


def inflate_frame(data: bytes, size: int) -> bytes:
    """Inflate a frame of the Deflated Image Frame syntax, at most `size` bytes of it.

    Raises
    ------
    DecodeError
        If it is damaged or holds less.

    References
    ----------
    DICOM PS3.5 section A.4.12.
    """
    try:
        # Some writers leave the zlib header on, as for deflated data sets.
        has_header = len(data) > 1 and data[0] == 0x78 and (data[0] << 8 | data[1]) % 31 == 0
        frame = zlib.decompressobj(15 if has_header else -15).decompress(data, size)
    except zlib.error as error:
        raise DecodeError("The deflated picture is damaged. Send it again.") from error
    if len(frame) < size:
        raise DecodeError("The deflated picture is cut off. Send it again.")
    return frame
