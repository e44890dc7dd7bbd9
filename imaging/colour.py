"""Turn colour samples into 8-bit RGB."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.errors import UnsupportedError

Pixels = NDArray[Any]

_CENTRED = np.arange(256, dtype=np.int32) - 128
# 16 fractional bits, as libjpeg computes it, so that both ways to RGB give the same values.
_HALF = 1 << 15
_RED_OF_CR = (91881 * _CENTRED + _HALF) >> 16
_BLUE_OF_CB = (116130 * _CENTRED + _HALF) >> 16
_GREEN_OF_CB = -22554 * _CENTRED + _HALF
_GREEN_OF_CR = -46802 * _CENTRED

RGB_LIKE = frozenset(("RGB", "YBR_RCT", "YBR_ICT"))
YBR_FULL = frozenset(("YBR_FULL", "YBR_FULL_422"))
YBR_PARTIAL = frozenset(("YBR_PARTIAL_422", "YBR_PARTIAL_420"))


def to_eight_bits(pixels: Pixels, bits_stored: int) -> NDArray[np.uint8]:
    """Keep the 8 most significant of `bits_stored` bits of unsigned samples."""
    if bits_stored > 8:
        pixels = pixels >> (bits_stored - 8)
    elif bits_stored < 8:
        # Fewer bits are spread over the full range: 1 becomes 255.
        pixels = pixels.astype(np.uint16) * 255 // ((1 << bits_stored) - 1)
    return pixels.astype(np.uint8)


def ybr_to_rgb(ybr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert YBR_FULL to RGB.

    Parameters
    ----------
    ybr : shape (rows, columns, 3); Y, CB, CR, full range

    Returns
    -------
    shape (rows, columns, 3), red, green, blue

    References
    ----------
    DICOM PS3.3 section C.7.6.3.1.2; ITU-T T.871.
    """
    luma = ybr[..., 0].astype(np.int32)
    cb, cr = ybr[..., 1], ybr[..., 2]
    rgb = np.empty(ybr.shape, np.uint8)
    green = (_GREEN_OF_CB[cb] + _GREEN_OF_CR[cr]) >> 16
    for index, shift in enumerate((_RED_OF_CR[cr], green, _BLUE_OF_CB[cb])):
        rgb[..., index] = np.clip(luma + shift, 0, 255)
    return rgb


def ybr_partial_to_rgb(ybr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert YBR_PARTIAL (Y 16 to 235, CB and CR 16 to 240) to RGB; see `ybr_to_rgb`."""
    full = ybr.astype(np.float64)
    full[..., 0] = (full[..., 0] - 16) * 255 / 219
    full[..., 1:] = (full[..., 1:] - 128) * 255 / 224 + 128
    return ybr_to_rgb(np.clip(np.rint(full), 0, 255).astype(np.uint8))


def to_rgb(pixels: Pixels, photometric: str, bits_stored: int) -> NDArray[np.uint8]:
    """Convert three samples a pixel to 8-bit RGB.

    Parameters
    ----------
    pixels : shape (rows, columns, 3), unsigned
    photometric : (0028,0004), what the samples are now
    bits_stored : (0028,0101)

    Raises
    ------
    UnsupportedError
        If the colour model is none of the standard's present ones.

    References
    ----------
    DICOM PS3.3 section C.7.6.3.1.2.
    """
    eight = pixels if pixels.dtype == np.uint8 and bits_stored == 8 else None
    if eight is None:
        eight = to_eight_bits(pixels, bits_stored)
    if photometric in YBR_FULL:
        return ybr_to_rgb(eight)
    if photometric in YBR_PARTIAL:
        return ybr_partial_to_rgb(eight)
    # Three samples under a grey or missing name are what RGB looks like.
    if photometric in RGB_LIKE or photometric in ("", "MONOCHROME1", "MONOCHROME2"):
        return eight
    raise UnsupportedError(
        f"Pictures with the colour model {photometric} are not shown. Download the file to open it "
        "elsewhere."
    )
