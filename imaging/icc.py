"""Colour profiles: an object's own, and the few that rendered pictures may be asked in."""

import io
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from imaging.bytesource import Source, opened
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits, Node, Value
from imaging.errors import DecodeError

ProfileName = Literal["no", "yes", "srgb", "adobergb", "rommrgb", "displayp3"]
PROFILE_NAMES: tuple[ProfileName, ...] = get_args(ProfileName)

_ICC_PROFILE, _OPTICAL_PATHS = 0x00282000, 0x00480105
_MOST_BYTES = 8 * 2**20
_WANTED = {_ICC_PROFILE: _MOST_BYTES, _OPTICAL_PATHS: 0}


@dataclass(frozen=True, slots=True)
class _Space:
    """A colour space of three primaries.

    Parameters
    ----------
    primaries : X, Y, Z of red, green and blue, adapted to D50 (Bradford)
    curve : g, a, b, c, d of ``(ax + b)**g`` above d, ``cx`` below (ICC.1 section 10.18, type 3)
    """

    title: str
    primaries: tuple[tuple[float, float, float], ...]
    curve: tuple[float, float, float, float, float]


_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_SPACES = {
    "srgb": _Space(
        "sRGB",
        ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
        _SRGB_CURVE,
    ),
    "adobergb": _Space(
        "Adobe RGB (1998) compatible",
        ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
        (563 / 256, 1.0, 0.0, 0.0, 0.0),
    ),
    "rommrgb": _Space(
        "ROMM RGB",
        ((0.79767, 0.28804, 0.0), (0.13519, 0.71187, 0.0), (0.03134, 0.00009, 0.82491)),
        (1.8, 1.0, 0.0, 1 / 16, 1 / 32),
    ),
    "displayp3": _Space(
        "Display P3",
        ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
        _SRGB_CURVE,
    ),
}
_D50 = (0.96420, 1.0, 0.82491)


@cache
def profile_of(name: Literal["srgb", "adobergb", "rommrgb", "displayp3"]) -> bytes:
    """Build the ICC profile of a colour space.

    References
    ----------
    ICC.1:2010 (version 4.3) sections 7.2, 7.3, 8.3 and 10; IEC 61966-2-1; ISO 22028-2.
    """
    space = _SPACES[name]
    curve = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(map(_fixed, space.curve))
    tags = [
        (b"desc", _text(space.title)),
        (b"cprt", _text("No copyright, use freely")),
        (b"wtpt", _xyz(_D50)),
        *((name, _xyz(xyz)) for name, xyz in zip(_COLORANTS, space.primaries, strict=True)),
        *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    at = 128 + 4 + 12 * len(tags)
    table, bodies = b"", b""
    for tag, body in tags:
        table += tag + struct.pack(">II", at + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    header = b"".join(
        (
            struct.pack(">I4sI", at + len(bodies), b"\0\0\0\0", 0x04300000),
            b"mntrRGB XYZ ",
            struct.pack(">6H", 2020, 1, 1, 0, 0, 0),
            b"acsp" + bytes(24),
            # Rendering intent: media-relative colorimetric.
            struct.pack(">I", 1),
            b"".join(map(_fixed, _D50)),
        )
    )
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + bodies


_COLORANTS = (b"rXYZ", b"gXYZ", b"bXYZ")


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _text(text: str) -> bytes:
    raw = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(raw), 28) + raw


def read_profile(source: Source, *, limits: HeaderLimits | None = None) -> bytes | None:
    """Read an object's ICC Profile, or that of a slide's first optical path; None if it has none.

    Raises
    ------
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.3 sections C.11.15 and C.8.12.5.
    """
    with opened(source) as file:
        root = scan_data_set(file, _WANTED, limits=limits or HeaderLimits()).scan.root
    paths = root.get(_OPTICAL_PATHS)
    nodes: list[Node] = [root, *(paths if isinstance(paths, list) else [])]
    for node in nodes:
        value = node.get(_ICC_PROFILE)
        if isinstance(value, Value) and len(value.raw) > 128:
            return value.raw
    return None


def to_profile(
    picture: NDArray[np.uint8], own: bytes | None, wanted: ProfileName
) -> tuple[NDArray[np.uint8], bytes | None]:
    """Bring a colour picture into a colour space.

    Parameters
    ----------
    picture : shape (rows, columns, 3); grey pictures are returned as they are
    own : the object's profile; None: sRGB is assumed
    wanted : ``no``: nothing is done; ``yes``: the object's own profile goes along

    Returns
    -------
    The picture, and the profile to be embedded.

    Raises
    ------
    DecodeError
        If the object's own profile cannot be used.

    References
    ----------
    DICOM PS3.18 section 8.3.5.1.5.
    """
    if wanted == "no" or picture.ndim != 3:
        return picture, None
    if wanted == "yes":
        return picture, own or profile_of("srgb")
    target = profile_of(wanted)
    if own is None and wanted == "srgb":
        return picture, target
    try:
        transform = _transform(own or profile_of("srgb"), target)
        image = ImageCms.applyTransform(Image.fromarray(picture), transform)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise DecodeError(
            "The colour profile of the picture is damaged. Ask for it without 'iccprofile'."
        ) from error
    if image is None:
        raise DecodeError("The colour profile of the picture cannot be applied.")
    return np.asarray(image), target


def _transform(own: bytes, target: bytes) -> Any:  # noqa: ANN401 - Pillow's type has no name
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(own)),
        ImageCms.ImageCmsProfile(io.BytesIO(target)),
        "RGB",
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
