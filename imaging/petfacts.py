"""What a PET file says that standardized uptake values are computed from."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

from imaging.bytesource import Source, opened
from imaging.dataset import scan_data_set
from imaging.elements import HeaderLimits, Node
from imaging.values import Reader, parse_date, parse_time

_FEW = 1024

_SOP_CLASS, _UNITS, _SUV_TYPE = 0x00080016, 0x00541001, 0x00541006
_DECAY_CORRECTION, _DECAY_FACTOR = 0x00541102, 0x00541321
_FRAME_REFERENCE_TIME, _ACTUAL_FRAME_DURATION = 0x00541300, 0x00181242
_WEIGHT, _SIZE, _SEX = 0x00101030, 0x00101020, 0x00100040
_CORRECTED_IMAGE = 0x00280051
_SERIES = (0x00080021, 0x00080031)
_ACQUISITION = (0x00080022, 0x00080032)
_AGENTS = 0x00540016
_START_TIME, _START_DATETIME = 0x00181072, 0x00181078
_DOSE, _HALF_LIFE = 0x00181074, 0x00181075
# Private elements, with the creators that own the block at 10 (PS3.5 section 7.8.1).
_GE_CREATOR, _GE_SCAN_DATETIME = (0x00090010, "GEMS_PETD_01"), 0x0009100D
_PHILIPS_CREATOR = (0x70530010, "Philips PET Private Group")
_PHILIPS_SUV, _PHILIPS_ACTIVITY = 0x70531000, 0x70531009

_WANTED: Mapping[int, int] = {
    **dict.fromkeys((_SOP_CLASS, _UNITS, _SUV_TYPE, _WEIGHT, _SIZE, _SEX), _FEW),
    **dict.fromkeys((_DECAY_CORRECTION, _DECAY_FACTOR), _FEW),
    **dict.fromkeys((_FRAME_REFERENCE_TIME, _ACTUAL_FRAME_DURATION), _FEW),
    **dict.fromkeys((*_SERIES, *_ACQUISITION, _CORRECTED_IMAGE), _FEW),
    **dict.fromkeys((_START_TIME, _START_DATETIME, _DOSE, _HALF_LIFE), _FEW),
    **dict.fromkeys((_GE_CREATOR[0], _GE_SCAN_DATETIME), _FEW),
    **dict.fromkeys((_PHILIPS_CREATOR[0], _PHILIPS_SUV, _PHILIPS_ACTIVITY), _FEW),
    _AGENTS: 0,
}
_DATETIME = re.compile(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)?([+-]\d{4})?")


@dataclass(frozen=True, slots=True)
class PetFacts:
    """The values of one PET image, as they stand in its file; None or empty where they are absent.

    Parameters
    ----------
    units, suv_type, decay_correction : (0054,1001), (0054,1006), (0054,1102)
    corrected_image : values of (0028,0051)
    weight_kg, height_m, sex : of the patient, (0010,1030), (0010,1020), (0010,0040)
    agent_count : items of the Radiopharmaceutical Information Sequence (0054,0016); dose, half-life
        and injection are those of the first
    dose_bq, half_life_s : (0018,1074), (0018,1075)
    injected_at : Radiopharmaceutical Start DateTime (0018,1078) on its own clock
    injection_time : Radiopharmaceutical Start Time (0018,1072), which has no day
    series_at, acquired_at : Series Date and Time, Acquisition Date and Time
    ge_scan_at : start of the scan in GE's private (0009,100D)
    frame_reference_time_ms, actual_frame_duration_ms, decay_factor : (0054,1300), (0018,1242),
        (0054,1321)
    philips_suv_factor, philips_activity_factor : Philips' private (7053,1000) and (7053,1009)
    """

    sop_class_uid: str = ""
    units: str = ""
    suv_type: str = ""
    corrected_image: tuple[str, ...] = ()
    decay_correction: str = ""
    weight_kg: float | None = None
    height_m: float | None = None
    sex: str = ""
    agent_count: int = 0
    dose_bq: float | None = None
    half_life_s: float | None = None
    injected_at: dt.datetime | None = None
    injection_time: dt.time | None = None
    series_at: dt.datetime | None = None
    acquired_at: dt.datetime | None = None
    ge_scan_at: dt.datetime | None = None
    frame_reference_time_ms: float | None = None
    actual_frame_duration_ms: float | None = None
    decay_factor: float | None = None
    philips_suv_factor: float | None = None
    philips_activity_factor: float | None = None


def read_pet_facts(source: Source, *, limits: HeaderLimits | None = None) -> PetFacts:
    """Read what standardized uptake values need; pixel data are not looked at.

    Raises
    ------
    NotDicomError, TruncatedError, LimitError
        See `imaging.header.read_index`.

    References
    ----------
    DICOM PS3.3 sections C.7.2.2, C.8.9.1 (PET Series), C.8.9.2 (PET Isotope) and C.8.9.4 (PET
    Image).
    """
    with opened(source) as file:
        data_set = scan_data_set(file, _WANTED, limits=limits or HeaderLimits())
    root, reader = data_set.scan.root, data_set.reader
    agents = root.get(_AGENTS)
    items: list[Node] = agents if isinstance(agents, list) else []
    agent = items[0] if items else {}
    philips = _owns(root, reader, _PHILIPS_CREATOR)
    return PetFacts(
        sop_class_uid=reader.text(root, _SOP_CLASS) or "",
        units=reader.text(root, _UNITS) or "",
        suv_type=reader.text(root, _SUV_TYPE) or "",
        decay_correction=reader.text(root, _DECAY_CORRECTION) or "",
        weight_kg=reader.number(root, _WEIGHT),
        height_m=reader.number(root, _SIZE),
        sex=reader.text(root, _SEX) or "",
        frame_reference_time_ms=reader.number(root, _FRAME_REFERENCE_TIME),
        actual_frame_duration_ms=reader.number(root, _ACTUAL_FRAME_DURATION),
        decay_factor=reader.number(root, _DECAY_FACTOR),
        corrected_image=tuple(reader.texts(root, _CORRECTED_IMAGE)),
        agent_count=len(items),
        dose_bq=reader.number(agent, _DOSE),
        half_life_s=reader.number(agent, _HALF_LIFE),
        injected_at=parse_datetime(reader.text(agent, _START_DATETIME)),
        injection_time=reader.time(agent, _START_TIME),
        series_at=_moment(root, reader, _SERIES),
        acquired_at=_moment(root, reader, _ACQUISITION),
        ge_scan_at=(
            parse_datetime(reader.text(root, _GE_SCAN_DATETIME))
            if _owns(root, reader, _GE_CREATOR)
            else None
        ),
        philips_suv_factor=reader.number(root, _PHILIPS_SUV) if philips else None,
        philips_activity_factor=reader.number(root, _PHILIPS_ACTIVITY) if philips else None,
    )


def _owns(root: Node, reader: Reader, creator: tuple[int, str]) -> bool:
    """Tell whether a private block is the maker's: without its name the numbers mean nothing."""
    tag, name = creator
    return reader.text(root, tag) == name


def _moment(root: Node, reader: Reader, tags: tuple[int, int]) -> dt.datetime | None:
    day, clock = reader.date(root, tags[0]), reader.time(root, tags[1])
    return dt.datetime.combine(day, clock) if day and clock else None


def parse_datetime(text: str | None) -> dt.datetime | None:
    """Read a DT value that has a time of day; None for anything else.

    An offset from UTC is left away: the clock that it belongs to is the scanner's own, which the
    other times of the file are told by.

    References
    ----------
    DICOM PS3.5 section 6.2, VR DT.
    """
    match = _DATETIME.fullmatch(text) if text else None
    if match is None or match[2] is None:
        return None
    day, clock = parse_date(match[1]), parse_time(match[2])
    return dt.datetime.combine(day, clock) if day and clock else None
