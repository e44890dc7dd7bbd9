"""New instances of some frames of a stored one, as a retrieval at the FRAME level wants them.

Frames go over bit by bit, compressed ones in their fragments; what counts, orders or times frames
is cut to fit. What cannot be made to fit is refused: a picture with the wrong times or places is
worse than none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import BinaryIO

from imaging.dataset import scan_data_set
from imaging.elements import (
    DOUBLE_PIXEL_DATA,
    FLOAT_PIXEL_DATA,
    PIXEL_DATA,
    HeaderLimits,
    Node,
    Value,
)
from imaging.framechoice import TIME_RANGE, FrameCutError, FrameSelection, Problem
from imaging.frametable import FrameTable
from imaging.header import DEFAULT
from imaging.part10 import (
    DEFLATED,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLEMENTATION_VERSION_NAME,
    VIDEO,
)
from imaging.rewrite import Change, Item, Rewriter, dictionary_vr, swap, word_bytes
from imaging.transcode import OpenObject, deflated, element_head, open_object

_SOP_INSTANCE_UID, _NUMBER_OF_FRAMES = 0x00080018, 0x00280008
_FRAME_EXTRACTION, _SOURCE_UID = 0x00081164, 0x00081167
_CONTRIBUTING_EQUIPMENT, _PURPOSE = 0x0018A001, 0x0040A170
_INCREMENT_POINTER = 0x00280009
_FRAME_TIME, _FRAME_TIME_VECTOR, _FRAME_DELAY = 0x00181063, 0x00181065, 0x00181066
_DIMENSION_ORGANIZATION_TYPE, _PER_FRAME_GROUPS = 0x00209311, 0x52009230
_PLANE_POSITION_SLIDE, _FRAME_CONTENT = 0x0048021A, 0x00209111
_FRAME_TIMES = (0x00189151, 0x00189074)
_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
_RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
# One value a frame, whether or not Frame Increment Pointer names them: of secondary captures,
# nuclear medicine and angiography.
_VECTORS = (
    *range(0x00182001, 0x00182007),
    *(0x00181135, 0x00181136, 0x00181137, 0x00181520, 0x00181521),
    *(0x00540010, 0x00540020, 0x00540030, 0x00540050),
    *(0x00540060, 0x00540070, 0x00540080, 0x00540090, 0x00540100),
)
# What names frames by number, or speaks of all of them, and may be missing: concatenations,
# trims, masks, frames of interest, instance creation, icons' and signatures' claims.
_LEFT_OUT = frozenset(
    (
        *(0x00209161, 0x00209162, 0x00209163, 0x00209228, 0x00200242),
        *(0x00082142, 0x00082143, 0x00186060, 0x00286010, 0x00286020, 0x00286022, 0x00286023),
        *(0x00286030, 0x00286040, 0x00286100, 0x00080012, 0x00080013, 0x00880200),
        *(0x4FFE0001, 0xFFFAFFFA),
    )
)
_OVERLAYS = tuple(0x60000015 + (group << 16) for group in range(0, 0x20, 2))
_WANTED = (
    dict.fromkeys(
        (_NUMBER_OF_FRAMES, _INCREMENT_POINTER, _FRAME_TIME, _FRAME_DELAY, *_OVERLAYS), 256
    )
    | dict.fromkeys((_DIMENSION_ORGANIZATION_TYPE,), 64)
    | dict.fromkeys((_FRAME_TIME_VECTOR, *_VECTORS), 4 * 2**20)
    | dict.fromkeys((_PER_FRAME_GROUPS, _PLANE_POSITION_SLIDE, _FRAME_CONTENT, *_FRAME_TIMES), 64)
)
_UNITS = {b"DS", b"IS", b"LO", b"SH", b"CS", b"UI", b"TM", b"DT", b"DA"}
_COPY_BYTES = 4 * 2**20
# Of a Basic Offset Table's entries; beyond, an Extended Offset Table tells frames apart.
_MOST_BASIC = 2**32 - 1
_ITEM = struct.Struct("<HHI")


@dataclass(frozen=True, slots=True)
class Cut:
    """What is to be cut out of an object.

    Attributes
    ----------
    frame_indexes : of the frames in the source, from 0
    sop_instance_uid : of the new instance
    """

    selection: FrameSelection
    frame_indexes: tuple[int, ...]
    source_uid: str
    sop_instance_uid: str


def plan(file: BinaryIO, selection: FrameSelection, *, limits: HeaderLimits = DEFAULT) -> Cut:
    """Find out whether frames can be cut out of a Part 10 file.

    Raises
    ------
    FrameCutError
        When they cannot, with the reason.
    ImagingError
        When the file cannot be read.
    """
    source = open_object(file, limits)
    try:
        table = _table(source)
        header = _header(source, limits)
        if selection.tag == TIME_RANGE:
            raise _time_refused(header)
        indexes = selection.frame_indexes(len(table))
        _change(source, header, table, indexes)
    finally:
        if source.file is not file:
            source.file.close()
    uid = source.index.sop_instance_uid
    return Cut(selection, indexes, uid, selection.new_uid(uid))


def write(file: BinaryIO, cut: Cut, *, limits: HeaderLimits = DEFAULT) -> Iterator[bytes]:
    """Write the data set of the new instance, in the transfer syntax of its source.

    Parameters
    ----------
    file : a Part 10 file, open and seekable
    cut : from `plan`

    Returns
    -------
    Pieces of the data set, without Part 10 header.

    Raises
    ------
    ImagingError
        When the file cannot be read, or not be cut; some of it may have been yielded.

    References
    ----------
    DICOM PS3.4 section Y.3.3, PS3.3 sections C.12.3 and C.12.1.1.5.
    """
    source = open_object(file, limits)
    try:
        header = _header(source, limits)
        change = _change(source, header, _table(source), cut.frame_indexes)
        values = dict(change.values)
        values[_SOP_INSTANCE_UID] = (b"UI", _padded(cut.sop_instance_uid, b"\0"))
        whole = Change(
            values=values,
            is_left_out=change.is_left_out,
            pixels=change.pixels,
            items=change.items,
            added={_FRAME_EXTRACTION: [_extraction(cut)], _CONTRIBUTING_EQUIPMENT: [_equipment()]},
        )
        source.file.seek(source.index.data_set_offset)
        pieces = Rewriter(source.file, source.form, source.form, whole).pieces()
        is_deflated = source.index.transfer_syntax_uid in DEFLATED
        yield from deflated(pieces) if is_deflated else pieces
    finally:
        if source.file is not file:
            source.file.close()


def _padded(text: str, padding: bytes = b" ") -> bytes:
    value = text.encode("ascii")
    return value + padding * (len(value) % 2)


def _extraction(cut: Cut) -> Item:
    vr = b"FD" if cut.selection.tag == TIME_RANGE else b"UL"
    return {
        cut.selection.tag: (vr, cut.selection.value),
        _SOURCE_UID: (b"UI", _padded(cut.source_uid, b"\0")),
    }


def _equipment() -> Item:
    purpose: Item = {
        0x00080100: (b"SH", b"109105"),
        0x00080102: (b"SH", b"DCM "),
        0x00080104: (b"LO", b"Frame Extracting Equipment"),
    }
    return {
        0x00080070: (b"LO", b"NoctisPro PACS"),
        0x00081090: (b"LO", _padded(IMPLEMENTATION_VERSION_NAME)),
        _PURPOSE: (b"SQ", [purpose]),
    }


# What it is cut from -----------------------------------------------------------------------------


def _table(source: OpenObject) -> FrameTable:
    index, table = source.index, source.facts.frames
    if not index.has_pixels or index.sop_class_uid == _RT_DOSE:
        # The planes of a dose lie at offsets from its first one.
        raise FrameCutError(
            Problem.WRONG_KIND, "No new instance is made of some frames of this kind of object."
        )
    is_video = index.transfer_syntax_uid in VIDEO
    if is_video or table is None or not len(table) or table.kind not in _WRITERS:
        raise FrameCutError(Problem.CANNOT, "The frames of the object cannot be told apart.")
    return table


def _header(source: OpenObject, limits: HeaderLimits) -> Node:
    """Return what tells of frames: little endian values, and per-frame groups."""
    syntax = source.index.transfer_syntax_uid
    source.file.seek(0)
    found = scan_data_set(
        source.file,
        _WANTED,
        limits=limits,
        transfer_syntax=EXPLICIT_LITTLE_ENDIAN if syntax in DEFLATED else syntax,
    ).scan.root
    if _NUMBER_OF_FRAMES not in found:
        raise FrameCutError(
            Problem.WRONG_KIND, "The instance is of one picture, without frames to choose from."
        )
    if not source.form.is_big_endian:
        return found
    turned: Node = {}
    for tag, value in found.items():
        if not isinstance(value, Value):
            turned[tag] = value
        elif tag == _INCREMENT_POINTER:
            turned[tag] = Value(value.vr, swap(value.raw, 2))
        else:
            turned[tag] = Value(value.vr, swap(value.raw, word_bytes(value.vr or _vr_of(tag))))
    return turned


def _vr_of(tag: int) -> bytes:
    return dictionary_vr(tag).encode("ascii")


def _text(header: Node, tag: int) -> str:
    value = header.get(tag)
    return value.raw.decode("latin-1").strip(" \0") if isinstance(value, Value) else ""


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split("\\") if part.strip()]
    except ValueError as error:
        raise FrameCutError(Problem.CANNOT, "The times of the frames cannot be read.") from error


def _groups(header: Node) -> list[Node]:
    groups = header.get(_PER_FRAME_GROUPS)
    return groups if isinstance(groups, list) else []


def _time_refused(header: Node) -> FrameCutError:
    contents = [item for group in _groups(header) for item in _items(group, _FRAME_CONTENT)]
    is_timed = (
        _FRAME_TIME in header
        or _FRAME_TIME_VECTOR in header
        or any(tag in item for item in contents for tag in _FRAME_TIMES)
    )
    if is_timed:
        return FrameCutError(
            Problem.CANNOT, "Frames are not chosen by their time here. Send their numbers."
        )
    return FrameCutError(Problem.NOT_TIMED, "The frames of the instance have no times.")


def _items(node: Node, tag: int) -> list[Node]:
    items = node.get(tag)
    return items if isinstance(items, list) else []


# What changes ------------------------------------------------------------------------------------

_Values = dict[int, tuple[bytes, bytes]]


def _change(source: OpenObject, header: Node, table: FrameTable, indexes: Sequence[int]) -> Change:
    """Say what differs in the new instance beside its identity."""
    if any(_text(header, tag) for tag in _OVERLAYS):
        raise FrameCutError(
            Problem.CANNOT, "The object draws over single frames; these cannot be parted."
        )
    values: _Values = {_NUMBER_OF_FRAMES: (b"IS", _padded(str(len(indexes))))}
    left_out = set(_LEFT_OUT) | {_EXTENDED_OFFSETS, _EXTENDED_LENGTHS}
    _cut_vectors(header, len(table), indexes, values)
    left_out |= _cut_times(header, len(table), indexes, values)
    groups = _groups(header)
    if groups and len(groups) != len(table):
        raise FrameCutError(
            Problem.CANNOT, "The object describes another number of frames than it has."
        )
    left_out |= _organise(header, groups, values)
    pixels = _WRITERS[table.kind](source, table, indexes, values)
    return Change(
        values=values,
        is_left_out=lambda tag, parent: not parent and tag in left_out - values.keys(),
        pixels=pixels,
        items={_PER_FRAME_GROUPS: frozenset(indexes)} if groups else {},
    )


def _cut_vectors(header: Node, frame_count: int, indexes: Sequence[int], values: _Values) -> None:
    """Keep of what has one value a frame those of the chosen frames (PS3.3 C.7.6.6)."""
    for tag in _VECTORS:
        value = header.get(tag)
        if not isinstance(value, Value):
            continue
        vr = value.vr if value.vr.strip() and value.vr != b"UN" else _vr_of(tag)
        if vr in _UNITS:
            parts = value.raw.strip(b" \0").split(b"\\")
            kept = b"\\".join(parts[at] for at in indexes if at < len(parts))
            kept += b" " * (len(kept) % 2)
        else:
            size = word_bytes(vr)
            parts = [value.raw[at : at + size] for at in range(0, len(value.raw), size)]
            kept = b"".join(parts[at] for at in indexes if at < len(parts))
        if len(parts) == frame_count:
            values[tag] = (vr, kept)


def _cut_times(header: Node, frame_count: int, indexes: Sequence[int], values: _Values) -> set[int]:
    """Say when the chosen frames were taken; returns what is left out (PS3.3 C.7.6.5)."""
    vector = _numbers(_text(header, _FRAME_TIME_VECTOR))
    every = _numbers(_text(header, _FRAME_TIME))
    steps = [b - a for a, b in pairwise(indexes)]
    out: set[int] = set()
    if len(vector) == frame_count:
        moments = list(accumulate([0.0, *vector[1:]]))
        gaps = [moments[b] - moments[a] for a, b in pairwise(indexes)]
        values[_FRAME_TIME_VECTOR] = (b"DS", _decimals([0.0, *gaps]))
        before = moments[indexes[0]]
    elif len(every) == 1:
        before = every[0] * indexes[0]
        if len(set(steps)) <= 1:
            values[_FRAME_TIME] = (b"DS", _decimals([every[0] * (steps[0] if steps else 1)]))
        else:
            values[_FRAME_TIME_VECTOR] = (b"DS", _decimals([0.0, *(every[0] * s for s in steps)]))
            out.add(_FRAME_TIME)
            _point_elsewhere(header, values)
    else:
        return out
    if before:
        # The times of frames count from Content Time, which stays.
        delay = _numbers(_text(header, _FRAME_DELAY))
        values[_FRAME_DELAY] = (b"DS", _decimals([(delay[0] if delay else 0.0) + before]))
    return out


def _point_elsewhere(header: Node, values: _Values) -> None:
    """Have Frame Increment Pointer name the vector where it named the even time."""
    value = header.get(_INCREMENT_POINTER)
    if not isinstance(value, Value):
        return
    tags = [group << 16 | element for group, element in struct.iter_unpack("<HH", value.raw)]
    named = [_FRAME_TIME_VECTOR if tag == _FRAME_TIME else tag for tag in tags]
    values[_INCREMENT_POINTER] = (
        b"AT",
        b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in named),
    )


def _decimals(numbers: Sequence[float]) -> bytes:
    # A DS has sixteen characters at most.
    return _padded("\\".join(f"{number:.9g}" for number in numbers))


def _organise(header: Node, groups: Sequence[Node], values: _Values) -> set[int]:
    """Say how the frames lie to one another; returns what is left out (PS3.3 C.7.6.17)."""
    organisation = _text(header, _DIMENSION_ORGANIZATION_TYPE)
    if organisation == "TILED_FULL":
        if not groups or not all(_items(group, _PLANE_POSITION_SLIDE) for group in groups):
            raise FrameCutError(
                Problem.CANNOT, "The tiles of the object have their places by their number alone."
            )
        values[_DIMENSION_ORGANIZATION_TYPE] = (b"CS", _padded("TILED_SPARSE"))
    elif organisation.startswith("3D"):
        # It would promise that the planes lie at even distances.
        return {_DIMENSION_ORGANIZATION_TYPE}
    return set()


# Pixels ------------------------------------------------------------------------------------------


def _native(
    source: OpenObject, table: FrameTable, indexes: Sequence[int], _: _Values
) -> Callable[[], Iterator[bytes]]:
    bits = source.facts.bits_allocated
    is_odd = bool(table.frame_bits % 8)
    if (is_odd and (bits != 1 or table.is_big_endian)) or (
        table.is_big_endian and table.is_words and bits < 16 and table.frame_bits % 16
    ):
        raise FrameCutError(Problem.CANNOT, "The frames of the object share words of pixel data.")
    return partial(_native_pieces, source, table, indexes, is_packed=is_odd)


def _native_pieces(
    source: OpenObject, table: FrameTable, indexes: Sequence[int], *, is_packed: bool
) -> Iterator[bytes]:
    form = source.form
    length = (len(indexes) * table.frame_bits + 7) // 8
    tag, vr = {
        "float": (FLOAT_PIXEL_DATA, b"OF"),
        "double": (DOUBLE_PIXEL_DATA, b"OD"),
    }.get(table.sample_kind, (PIXEL_DATA, b"OW" if table.is_words or form.is_implicit else b"OB"))
    yield element_head(tag, vr, length + length % 2, form)
    if is_packed:
        yield _packed(source.file, table, indexes)
    else:
        for index in indexes:
            offset, size = table.fragments(index)[0]
            yield from _copied(source.file, offset, size)
    if length % 2:
        yield b"\0"


def _packed(file: BinaryIO, table: FrameTable, indexes: Sequence[int]) -> bytes:
    """Return frames of 1-bit samples that share bytes, one behind the other (PS3.5 8.1.1)."""
    import numpy as np  # noqa: PLC0415 - seldom needed

    found = []
    for index in indexes:
        offset, size = table.fragments(index)[0]
        file.seek(offset)
        bits = np.unpackbits(np.frombuffer(file.read(size), np.uint8), bitorder="little")
        first = index * table.frame_bits % 8
        found.append(bits[first : first + table.frame_bits])
    return np.packbits(np.concatenate(found), bitorder="little").tobytes()


def _copied(file: BinaryIO, offset: int, size: int) -> Iterator[bytes]:
    file.seek(offset)
    while size:
        piece = file.read(min(size, _COPY_BYTES))
        if not piece:
            raise FrameCutError(Problem.CANNOT, "The pixel data is shorter than its header says.")
        size -= len(piece)
        yield piece


def _encapsulated(
    source: OpenObject, table: FrameTable, indexes: Sequence[int], values: _Values
) -> Callable[[], Iterator[bytes]]:
    frames = [table.fragments(index) for index in indexes]
    sizes = [sum(8 + size + size % 2 for _, size in frame) for frame in frames]
    offsets = list(accumulate(sizes, initial=0))[:-1]
    basic = b""
    is_one_each = all(len(frame) == 1 for frame in frames)
    if is_one_each and (table.kind == "extended" or offsets[-1] > _MOST_BASIC):
        values[_EXTENDED_OFFSETS] = (b"OV", struct.pack(f"<{len(offsets)}Q", *offsets))
        lengths = [frame[0].length for frame in frames]
        values[_EXTENDED_LENGTHS] = (b"OV", struct.pack(f"<{len(lengths)}Q", *lengths))
    elif offsets[-1] > _MOST_BASIC:
        raise FrameCutError(Problem.CANNOT, "So many frames of this object are told apart by none.")
    else:
        basic = struct.pack(f"<{len(offsets)}I", *offsets)
    return partial(_encapsulated_pieces, source, frames, basic)


def _encapsulated_pieces(
    source: OpenObject, frames: Sequence[Sequence[tuple[int, int]]], basic: bytes
) -> Iterator[bytes]:
    yield element_head(PIXEL_DATA, b"OB", 0xFFFFFFFF, source.form)
    yield _ITEM.pack(0xFFFE, 0xE000, len(basic)) + basic
    for frame in frames:
        for offset, size in frame:
            yield _ITEM.pack(0xFFFE, 0xE000, size + size % 2)
            yield from _copied(source.file, offset, size)
            if size % 2:
                yield b"\0"
    yield _ITEM.pack(0xFFFE, 0xE0DD, 0)


_Writer = Callable[[OpenObject, FrameTable, Sequence[int], _Values], Callable[[], Iterator[bytes]]]
_WRITERS: Mapping[str, _Writer] = {
    "native": _native,
    "basic": _encapsulated,
    "extended": _encapsulated,
    "scanned": _encapsulated,
}
