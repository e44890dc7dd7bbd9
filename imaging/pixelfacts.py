"""What decoding a frame needs to know, and whether it can be tried at all."""

import base64
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from imaging.errors import DecodeError, LimitError, UnsupportedError
from imaging.frametable import FrameTable, frame_table_from_bytes, frame_table_to_bytes
from imaging.part10 import VIDEO

_FLOATS = {"float": "f4", "double": "f8"}


@dataclass(frozen=True, slots=True)
class PixelLimits:
    """What one frame may cost.

    Parameters
    ----------
    samples : Rows x Columns x Samples per Pixel
    inflated_bytes : that a deflated data set may inflate to
    """

    samples: int = 2**26
    inflated_bytes: int = 256 * 2**20


DEFAULT = PixelLimits()


class PixelColumns(Protocol):
    """What an instance index and a database row have in common."""

    transfer_syntax_uid: str
    data_set_offset: int
    rows: int | None
    columns: int | None
    samples_per_pixel: int | None
    photometric_interpretation: str | None
    planar_configuration: int | None
    bits_allocated: int | None
    bits_stored: int | None
    high_bit: int | None
    pixel_representation: int | None


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """All that decoding a frame needs beside its bytes, and beside a palette if it has one.

    Absent attributes hold what their absence means: one sample, unsigned, all bits stored.
    """

    transfer_syntax_uid: str
    data_set_offset: int
    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    planar_configuration: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    frames: FrameTable | None

    @classmethod
    def of(cls, columns: PixelColumns, frames: FrameTable | bytes | memoryview | None) -> Self:
        """Build the facts from an instance index or from a database row with the same names.

        Parameters
        ----------
        frames : the frame table, or what `frame_table_to_bytes` made of it

        Raises
        ------
        DecodeError
            If the bytes of the frame table are damaged.
        """
        if isinstance(frames, bytes | memoryview):
            frames = frame_table_from_bytes(frames)
        allocated = columns.bits_allocated or 0
        if frames is not None and frames.sample_kind != "integer":
            allocated = 32 if frames.sample_kind == "float" else 64
        stored = columns.bits_stored or allocated
        stored = stored if stored <= allocated else allocated
        high_bit = columns.high_bit
        if high_bit is None or not stored - 1 <= high_bit < allocated:
            high_bit = stored - 1
        return cls(
            transfer_syntax_uid=columns.transfer_syntax_uid,
            data_set_offset=columns.data_set_offset,
            rows=columns.rows or 0,
            columns=columns.columns or 0,
            samples_per_pixel=columns.samples_per_pixel or 1,
            photometric_interpretation=columns.photometric_interpretation or "",
            planar_configuration=columns.planar_configuration or 0,
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=high_bit,
            is_signed=columns.pixel_representation == 1,
            frames=frames,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "frames"}
        table = None
        if self.frames is not None:
            table = base64.b64encode(frame_table_to_bytes(self.frames)).decode("ascii")
        return values | {"frames": table}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read what `to_json` made."""
        table = values["frames"]
        frames = None if table is None else frame_table_from_bytes(base64.b64decode(table))
        return cls(**values | {"frames": frames})

    @property
    def is_palette(self) -> bool:
        """Whether the stored values are indices into a palette."""
        return self.photometric_interpretation == "PALETTE COLOR" and self.samples_per_pixel == 1

    @property
    def is_colour(self) -> bool:
        """Whether the exact frame is RGB."""
        return self.samples_per_pixel == 3 or self.is_palette

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of stored values in memory."""
        if self.frames is not None and self.frames.sample_kind != "integer":
            return np.dtype(_FLOATS[self.frames.sample_kind])
        size = next((size for size in (1, 2, 4, 8) if self.bits_allocated <= 8 * size), 8)
        return np.dtype(f"{'i' if self.is_signed else 'u'}{size}")

    @property
    def frame_samples(self) -> int:
        """Samples of one frame."""
        return self.rows * self.columns * self.samples_per_pixel


def problem(facts: PixelFacts, limits: PixelLimits = DEFAULT) -> str | None:
    """Return why no frame of an image can be shown, as a sentence for people, or None.

    None does not promise that every frame decodes: only its bytes tell.
    """
    try:
        check_facts(facts, limits)
    except (UnsupportedError, DecodeError, LimitError) as error:
        return str(error)
    return None


def check_facts(facts: PixelFacts, limits: PixelLimits) -> None:
    """Refuse what cannot be shown before any of its bytes are read.

    Raises
    ------
    UnsupportedError, DecodeError, LimitError
        With a sentence for people.
    """
    if facts.transfer_syntax_uid in VIDEO:
        raise UnsupportedError(
            "This is a video, which is not shown here. Download the file to open it elsewhere."
        )
    if facts.rows < 1 or facts.columns < 1 or not facts.bits_allocated:
        raise DecodeError(
            "The object does not say how large its picture is or how many bits its pixels have. "
            "Have the sending system correct it."
        )
    if facts.frame_samples > limits.samples:
        raise LimitError(
            f"A frame of {facts.columns} x {facts.rows} pixels is larger than this system shows. "
            "Raise NOCTIS_MAX_FRAME_PIXELS if such pictures are wanted."
        )
    if facts.samples_per_pixel not in (1, 3):
        raise UnsupportedError(
            f"Pictures with {facts.samples_per_pixel} samples a pixel are not shown. Download the "
            "file to open it elsewhere."
        )
    if facts.bits_allocated not in (1, 8, 12, 16, 32, 64):
        raise UnsupportedError(
            f"Pictures with {facts.bits_allocated} bits allocated are not shown. Download the file "
            "to open it elsewhere."
        )
    if facts.frames is None or not facts.frames.frame_count:
        raise DecodeError(
            "The object's pixel data is missing, or shorter than its header says, or its frames "
            "cannot be told apart. Have it sent again."
        )
