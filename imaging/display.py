"""What a viewer needs of an image beside its pixels: geometry, windows, rescale, regions."""

from collections.abc import Mapping
from typing import Any

from imaging.elements import Node
from imaging.values import Reader

_FEW = 1024
_TEXT = 4096
_NUMBERS = 2**20

PIXEL_MEASURES, PLANE_POSITION, PLANE_ORIENTATION = 0x00289110, 0x00209113, 0x00209116
PLANE_POSITION_SLIDE = 0x0048021A
FRAME_VOI_LUT, PIXEL_VALUE_TRANSFORMATION = 0x00289132, 0x00289145
SHARED_GROUPS, PER_FRAME_GROUPS = 0x52009229, 0x52009230
REGIONS, DETECTORS = 0x00186011, 0x00540022
GRID_FRAME_OFFSETS = 0x3004000C
VIEW_CODES, CODE_VALUE = 0x00540220, 0x00080100
MODALITY_LUT, VOI_LUT = 0x00283000, 0x00283010
# Overlay Rows of the sixteen groups that may hold a plane (PS3.5 section 7.6).
_OVERLAY_ROWS = tuple(group << 16 | 0x0010 for group in range(0x6000, 0x6020, 2))

# keyword -> (tag, count of numbers a value needs; 0: any)
_LISTS: dict[str, tuple[int, int]] = {
    "PixelSpacing": (0x00280030, 2),
    "ImagerPixelSpacing": (0x00181164, 2),
    "PixelAspectRatio": (0x00280034, 2),
    "ImagePositionPatient": (0x00200032, 3),
    "ImageOrientationPatient": (0x00200037, 6),
    "WindowCenter": (0x00281050, 0),
    "WindowWidth": (0x00281051, 0),
}
_NUMBERS_OF: dict[str, int] = {
    "EstimatedRadiographicMagnificationFactor": 0x00181114,
    "SliceThickness": 0x00180050,
    "SpacingBetweenSlices": 0x00180088,
    "SliceLocation": 0x00201041,
    "RescaleSlope": 0x00281053,
    "RescaleIntercept": 0x00281052,
    "FrameTime": 0x00181063,
    "RecommendedDisplayFrameRate": 0x00082144,
    "KVP": 0x00180060,
}
_TEXTS: dict[str, int] = {
    "VOILUTFunction": 0x00281056,
    "RescaleType": 0x00281054,
    "Units": 0x00541001,
    "ImageLaterality": 0x00200062,
    "ViewPosition": 0x00185101,
    "PresentationLUTShape": 0x20500020,
}
_TEXT_LISTS: dict[str, int] = {
    "PatientOrientation": 0x00200020,
    "WindowCenterWidthExplanation": 0x00281055,
}
_PLAIN = {key: tag for key, (tag, _) in _LISTS.items()} | _NUMBERS_OF | _TEXTS | _TEXT_LISTS
_PADDING, _PADDING_LIMIT = 0x00280120, 0x00280121
_REGION: dict[str, tuple[int, bytes]] = {
    "RegionLocationMinX0": (0x00186018, b"UL"),
    "RegionLocationMinY0": (0x0018601A, b"UL"),
    "RegionLocationMaxX1": (0x0018601C, b"UL"),
    "RegionLocationMaxY1": (0x0018601E, b"UL"),
    "PhysicalUnitsXDirection": (0x00186024, b"US"),
    "PhysicalUnitsYDirection": (0x00186026, b"US"),
    "PhysicalDeltaX": (0x0018602C, b"FD"),
    "PhysicalDeltaY": (0x0018602E, b"FD"),
    "ReferencePixelX0": (0x00186020, b"SL"),
    "ReferencePixelY0": (0x00186022, b"SL"),
    "RegionSpatialFormat": (0x00186012, b"US"),
    "RegionDataType": (0x00186014, b"US"),
}
# Which functional group holds which attribute (PS3.3 sections C.7.6.16.2.1 to .10, C.8.12.6.1).
_GROUP_OF: dict[str, int] = {
    "PixelSpacing": PIXEL_MEASURES,
    "SliceThickness": PIXEL_MEASURES,
    "SpacingBetweenSlices": PIXEL_MEASURES,
    "ImagePositionPatient": PLANE_POSITION,
    "ImageOrientationPatient": PLANE_ORIENTATION,
    "WindowCenter": FRAME_VOI_LUT,
    "WindowWidth": FRAME_VOI_LUT,
    "WindowCenterWidthExplanation": FRAME_VOI_LUT,
    "VOILUTFunction": FRAME_VOI_LUT,
    "RescaleSlope": PIXEL_VALUE_TRANSFORMATION,
    "RescaleIntercept": PIXEL_VALUE_TRANSFORMATION,
    "RescaleType": PIXEL_VALUE_TRANSFORMATION,
}
PER_FRAME_KEYS = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "RescaleIntercept",
)
DISPLAY_KEYS = (
    *_LISTS,
    *_NUMBERS_OF,
    *_TEXTS,
    *_TEXT_LISTS,
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "SequenceOfUltrasoundRegions",
    "ViewCodeValue",
    "LookupTables",
    "frames",
)

WANTED: Mapping[int, int] = (
    {tag: _FEW for tag, _ in _LISTS.values()}
    | dict.fromkeys(_NUMBERS_OF.values(), _FEW)
    | dict.fromkeys(_TEXTS.values(), _TEXT)
    | dict.fromkeys(_TEXT_LISTS.values(), _TEXT)
    | {tag: _FEW for tag, _ in _REGION.values()}
    | dict.fromkeys((*_GROUP_OF.values(), SHARED_GROUPS, PER_FRAME_GROUPS, REGIONS), 0)
    | dict.fromkeys((MODALITY_LUT, VOI_LUT), 0)
    | dict.fromkeys(_OVERLAY_ROWS, _FEW)
    | {_PADDING: _FEW, _PADDING_LIMIT: _FEW, DETECTORS: 0, GRID_FRAME_OFFSETS: _NUMBERS}
    | {VIEW_CODES: 0, CODE_VALUE: _FEW}
)


def build_display(
    root: Node,
    reader: Reader,
    *,
    frame_count: int,
    is_signed: bool = False,
    bits_allocated: int | None = None,
) -> dict[str, Any]:
    """Return the display facts of an image under their keywords, JSON-able, None where absent.

    Parameters
    ----------
    frame_count : frames of the image; ``frames`` has one entry for each if their facts differ,
        else it is None. ``ViewCodeValue`` is the Code Value of the item of View Code Sequence
        (0054,0220). ``LookupTables`` is True where `imaging.voi.read_lookup_tables` finds more:
        a Modality LUT, VOI LUTs or overlay planes.
    is_signed, bits_allocated : of the pixels, which decide how Pixel Padding Value is read

    References
    ----------
    DICOM PS3.3 sections C.7.6.1, C.7.6.2, C.7.6.3, C.7.6.16, C.8.5.5, C.8.8.3.2, C.9.2, C.11.1,
    C.11.2.
    """
    display: dict[str, Any] = dict.fromkeys(DISPLAY_KEYS)
    for key, tag in _PLAIN.items():
        if tag in root:
            display[key] = _read(root, reader, key)
    for key, tag in (("PixelPaddingValue", _PADDING), ("PixelPaddingRangeLimit", _PADDING_LIMIT)):
        padding = reader.integer(root, tag, b"SS" if is_signed else b"US")
        display[key] = _with_sign(padding, bits_allocated or 16, is_signed=is_signed)
    display["SequenceOfUltrasoundRegions"] = _regions(root, reader)
    views = _items(root, VIEW_CODES)
    display["ViewCodeValue"] = reader.text(views[0], CODE_VALUE) if views else None
    display["LookupTables"] = any(tag in root for tag in (MODALITY_LUT, VOI_LUT, *_OVERLAY_ROWS))

    shared = _items(root, SHARED_GROUPS)
    for key in _GROUP_OF:
        value = _from_groups(shared[0], reader, key) if shared else None
        if value is not None:
            display[key] = value
    if display["ImageOrientationPatient"] is None:
        _add_detector_plane(display, root, reader)
    frames = _frames(root, reader, display, frame_count)
    if frames:
        for key in frames[0]:
            display[key] = frames[0][key]
        if any(frame != frames[0] for frame in frames):
            display["frames"] = [{key: frame[key] for key in PER_FRAME_KEYS} for frame in frames]
    return display


def _with_sign(padding: int | None, bits: int, *, is_signed: bool) -> int | None:
    """Read a padding value as the pixels are read, whatever VR it was written under."""
    if padding is None or bits > 16:
        return padding
    padding %= 1 << bits
    return padding - (1 << bits) if is_signed and padding >> (bits - 1) else padding


def _read(node: Node, reader: Reader, key: str) -> Any:  # noqa: ANN401 (JSON)
    if key in _LISTS:
        tag, count = _LISTS[key]
        numbers = reader.numbers(node, tag)
        return numbers if numbers and (not count or len(numbers) == count) else None
    if key in _NUMBERS_OF:
        return reader.number(node, _NUMBERS_OF[key])
    if key in _TEXT_LISTS:
        return reader.texts(node, _TEXT_LISTS[key]) or None
    return reader.text(node, _TEXTS[key])


def _items(node: Node, tag: int) -> list[Node]:
    items = node.get(tag)
    return items if isinstance(items, list) else []


def _from_groups(groups: Node, reader: Reader, key: str) -> Any:  # noqa: ANN401 (JSON)
    items = _items(groups, _GROUP_OF[key])
    return _read(items[0], reader, key) if items else None


def _frames(
    root: Node, reader: Reader, display: dict[str, Any], frame_count: int
) -> list[dict[str, Any]]:
    """Merge what each frame says of itself over what all frames share."""
    if frame_count < 1:
        return []
    base = {key: display[key] for key in (*PER_FRAME_KEYS, *_GROUP_OF)}
    groups = _items(root, PER_FRAME_GROUPS)
    if len(groups) >= frame_count:
        frames = []
        for group in groups[:frame_count]:
            frame = dict(base)
            for key in _GROUP_OF:
                value = _from_groups(group, reader, key)
                if value is not None:
                    frame[key] = value
            frames.append(frame)
        return frames
    offsets = reader.numbers(root, GRID_FRAME_OFFSETS)
    if frame_count > 1 and len(offsets) == frame_count:
        return _dose_planes(base, offsets)
    return []


def _dose_planes(base: dict[str, Any], offsets: list[float]) -> list[dict[str, Any]]:
    """Place the planes of an RT Dose along its normal (PS3.3 section C.8.8.3.2)."""
    position, orientation = base["ImagePositionPatient"], base["ImageOrientationPatient"]
    if position is None or orientation is None:
        return []
    if offsets[0] != 0:
        # The second form of the vector holds patient z coordinates instead of offsets.
        offsets = [offset - offsets[0] for offset in offsets]
    row, column = orientation[:3], orientation[3:]
    normal = [
        row[1] * column[2] - row[2] * column[1],
        row[2] * column[0] - row[0] * column[2],
        row[0] * column[1] - row[1] * column[0],
    ]
    return [
        base
        | {
            "ImagePositionPatient": [
                start + offset * axis for start, axis in zip(position, normal, strict=True)
            ]
        }
        for offset in offsets
    ]


def _add_detector_plane(display: dict[str, Any], root: Node, reader: Reader) -> None:
    """Take a nuclear medicine image's plane from its first detector (PS3.3 section C.8.4.11)."""
    detectors = _items(root, DETECTORS)
    if detectors:
        for key in ("ImagePositionPatient", "ImageOrientationPatient"):
            display[key] = _read(detectors[0], reader, key)


def _regions(root: Node, reader: Reader) -> list[dict[str, Any]] | None:
    regions = [
        {key: _region_value(item, reader, key) for key in _REGION} for item in _items(root, REGIONS)
    ]
    return regions or None


def _region_value(item: Node, reader: Reader, key: str) -> float | int | None:
    tag, vr = _REGION[key]
    number = reader.number(item, tag, vr)
    return number if number is None or vr == b"FD" else int(number)
