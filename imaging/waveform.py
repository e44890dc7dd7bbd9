"""Waveforms such as an ECG: channels of samples in their units, and what is written on them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.bytesource import Source, opened
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits, Node, Value
from imaging.errors import DecodeError, UnsupportedError
from imaging.values import Reader

_MOST_BYTES = 32 * 2**20
DEFAULT = HeaderLimits(
    header_bytes=_MOST_BYTES + 8 * 2**20, inflated_bytes=_MOST_BYTES + 8 * 2**20, elements=100_000
)
MOST_CHANNELS = 64
MOST_GROUPS = 16
MOST_ANNOTATIONS = 200

_SEQUENCE = 0x54000100
_CHANNELS, _SAMPLES, _FREQUENCY, _LABEL = 0x003A0005, 0x003A0010, 0x003A001A, 0x003A0020
_BITS, _INTERPRETATION, _DATA, _PADDING = 0x54001004, 0x54001006, 0x54001010, 0x5400100A
_DEFINITIONS, _CHANNEL_LABEL, _SOURCE = 0x003A0200, 0x003A0203, 0x003A0208
_SENSITIVITY, _UNITS, _CORRECTION, _BASELINE = 0x003A0210, 0x003A0211, 0x003A0212, 0x003A0213
_ANNOTATIONS, _ANNOTATION_TEXT = 0x0040B020, 0x00700006
_NAME, _CODE, _NUMBER, _UNIT_OF_NUMBER = 0x0040A043, 0x0040A168, 0x0040A30A, 0x004008EA
_CODE_VALUE, _CODE_MEANING = 0x00080100, 0x00080104
_WANTED = (
    dict.fromkeys(
        (_CHANNELS, _SAMPLES, _FREQUENCY, _LABEL, _BITS, _INTERPRETATION, _PADDING, _CHANNEL_LABEL,
         _SENSITIVITY, _CORRECTION, _BASELINE, _ANNOTATION_TEXT, _NUMBER, _CODE_VALUE,
         _CODE_MEANING),
        4096,
    )
    | dict.fromkeys(
        (_SEQUENCE, _DEFINITIONS, _SOURCE, _UNITS, _ANNOTATIONS, _NAME, _CODE, _UNIT_OF_NUMBER), 1
    )
    | {_DATA: _MOST_BYTES}
)  # fmt: skip
# Waveform Sample Interpretation to numpy's type (PS3.3 C.10.9.1.5); mu-law and A-law are sound.
_TYPES = {
    "SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4", "SV": "i8", "UV": "u8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Channel:
    """One lead or sensor.

    Parameters
    ----------
    values : shape (samples,), in `unit`; NaN where the device had none
    unit : as UCUM writes it; empty where the object does not say
    """

    name: str
    unit: str
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that were sampled together."""

    label: str
    frequency_hz: float
    channels: tuple[Channel, ...]

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        samples = len(self.channels[0].values) if self.channels else 0
        return samples / self.frequency_hz


@dataclass(frozen=True, slots=True)
class Waveform:
    """Everything that an object of waveforms shows."""

    groups: tuple[Group, ...]
    annotations: tuple[str, ...]


def read_waveform(source: Source, *, limits: HeaderLimits = DEFAULT) -> Waveform:
    """Read the multiplex groups of a waveform object.

    Raises
    ------
    UnsupportedError
        When it has none, or samples of a kind that is sound.
    DecodeError
        When a group has fewer samples than it announces.
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.3 C.10.9, C.10.10.
    """
    with opened(source) as file:
        data_set = scan_data_set(file, _WANTED, limits=limits)
    root, reader = data_set.scan.root, data_set.reader
    nodes = _nodes(root, _SEQUENCE)
    if not nodes:
        raise UnsupportedError("The object holds no waveform.")
    groups = tuple(_group(node, reader) for node in nodes[:MOST_GROUPS])
    notes = [_annotation(node, reader) for node in _nodes(root, _ANNOTATIONS)[:MOST_ANNOTATIONS]]
    return Waveform(groups, tuple(dict.fromkeys(note for note in notes if note)))


def _group(node: Node, reader: Reader) -> Group:
    count = reader.integer(node, _CHANNELS, b"US") or 0
    samples = reader.integer(node, _SAMPLES, b"UL") or 0
    frequency = reader.number(node, _FREQUENCY)
    bits = reader.integer(node, _BITS, b"US") or 0
    kind = _TYPES.get(reader.text(node, _INTERPRETATION) or "")
    data = node.get(_DATA)
    if kind is None or int(kind[1]) * 8 != bits:
        raise UnsupportedError(
            "Samples of this kind are not drawn. Download the file to open it elsewhere."
        )
    if not 1 <= count <= MOST_CHANNELS or not samples or not frequency or frequency <= 0:
        raise DecodeError("The waveform does not say how it is sampled.")
    size = count * samples * (bits // 8)
    if not isinstance(data, Value) or len(data.raw) < size:
        raise DecodeError("The waveform has fewer samples than it announces. Send it again.")
    order = ">" if reader.is_big_endian and bits > 8 else "<"
    stored = np.frombuffer(data.raw[:size], dtype=f"{order}{kind}").reshape(samples, count)
    values = stored.astype(np.float64)
    padding = _padding(node, f"{order}{kind}")
    if padding is not None:
        values[stored == padding] = np.nan
    definitions = _nodes(node, _DEFINITIONS)
    return Group(
        label=reader.text(node, _LABEL) or "",
        frequency_hz=frequency,
        channels=tuple(
            _channel(
                definitions[number] if number < len(definitions) else {},
                values[:, number],
                number,
                reader,
            )
            for number in range(count)
        ),
    )


def _padding(node: Node, kind: str) -> int | None:
    value = node.get(_PADDING)
    if not isinstance(value, Value) or len(value.raw) < np.dtype(kind).itemsize:
        return None
    return int(np.frombuffer(value.raw[: np.dtype(kind).itemsize], dtype=kind)[0])


def _channel(node: Node, stored: NDArray[np.float64], number: int, reader: Reader) -> Channel:
    """Bring stored samples to their unit: stored x sensitivity x correction + baseline."""
    sensitivity = reader.number(node, _SENSITIVITY)
    unit = _code(node, _UNITS, reader, is_unit=True) if sensitivity is not None else ""
    factor = (sensitivity if sensitivity is not None else 1.0) * _or(
        reader.number(node, _CORRECTION), 1.0
    )
    baseline = _or(reader.number(node, _BASELINE), 0.0)
    name = _code(node, _SOURCE, reader) or reader.text(node, _CHANNEL_LABEL)
    return Channel(name or f"Channel {number + 1}", unit, stored * factor + baseline)


def _or(number: float | None, other: float) -> float:
    return other if number is None or not math.isfinite(number) else number


def _annotation(node: Node, reader: Reader) -> str:
    text = reader.text(node, _ANNOTATION_TEXT)
    if text:
        return text
    name = _code(node, _NAME, reader)
    number = reader.text(node, _NUMBER)
    if number:
        unit = _code(node, _UNIT_OF_NUMBER, reader, is_unit=True)
        return f"{name}: {number} {unit}".strip()
    concept = _code(node, _CODE, reader)
    # A name alone marks a moment, which is no statement without it.
    return ": ".join(part for part in (name, concept) if part) if concept else ""


def _code(node: Node, tag: int, reader: Reader, *, is_unit: bool = False) -> str:
    nodes = _nodes(node, tag)
    if not nodes:
        return ""
    value = reader.text(nodes[0], _CODE_VALUE) or ""
    meaning = reader.text(nodes[0], _CODE_MEANING) or ""
    return value or meaning if is_unit else meaning or value


def _nodes(node: Node, tag: int) -> list[Node]:
    found = node.get(tag)
    return found if isinstance(found, list) else []
