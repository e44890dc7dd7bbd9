"""What a stored segment is of, in its own codes, so that a copy of it says the same."""

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from imaging import derived
from imaging.derived import first, items, number, text
from imaging.segmentation_codes import PROPERTIES, Coded

_MOST_CODES = 20


@dataclass(frozen=True, slots=True)
class Meaning:
    """A code with what it is narrowed down by."""

    code: Coded
    modifiers: tuple[Coded, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentSource:
    """One segment of a stored segmentation, as its copy describes itself.

    Attributes
    ----------
    category, type : None where the object has no usable code for it
    tracking_uid, tracking_id : of the finding, the same in every version; empty without
    algorithm_name : of segments that a program made or helped with
    """

    category: Coded | None
    type: Meaning | None
    anatomy: tuple[Meaning, ...] = ()
    tracking_uid: str = ""
    tracking_id: str = ""
    algorithm_name: str = ""

    @property
    def is_coded(self) -> bool:
        """Whether it says in codes what it is of."""
        return self.category is not None and self.type is not None

    @property
    def property_code(self) -> str | None:
        """The key of `PROPERTIES` that says all of it; None where none does."""
        if self.category is None or self.type is None or self.type.modifiers or self.anatomy:
            return None
        for code, one in PROPERTIES.items():
            # The retired form of SNOMED's codes (SRT) is the same to pydicom.
            if Code(*one.category) == Code(*self.category) and Code(*one.type) == Code(
                *self.type.code
            ):
                return code
        return None


def read_sources(dataset: Dataset) -> dict[int, SegmentSource]:
    """Return the segments of a stored segmentation by their numbers.

    Raises
    ------
    DecodeError, LimitError

    References
    ----------
    DICOM PS3.3 C.8.20.2, table 10-7.
    """
    return derived.read(dataset, _sources)


def _sources(dataset: Dataset) -> dict[int, SegmentSource]:
    return {
        int(number(item, "SegmentNumber") or 0): _source(item)
        for item in items(dataset, "SegmentSequence", derived.MOST_PARTS)
    }


def _source(item: Dataset) -> SegmentSource:
    kind = _meanings(
        item, "SegmentedPropertyTypeCodeSequence", "SegmentedPropertyTypeModifierCodeSequence"
    )
    algorithm = first(item, "SegmentationAlgorithmIdentificationSequence")
    return SegmentSource(
        category=_coded(first(item, "SegmentedPropertyCategoryCodeSequence")),
        type=kind[0] if kind else None,
        anatomy=_meanings(item, "AnatomicRegionSequence", "AnatomicRegionModifierSequence"),
        tracking_uid=text(item, "TrackingUID", 64),
        tracking_id=text(item, "TrackingID", 64),
        algorithm_name=text(item, "SegmentAlgorithmName", 64)
        or text(algorithm, "AlgorithmName", 64),
    )


def _meanings(item: Dataset, keyword: str, modifiers: str) -> tuple[Meaning, ...]:
    found = []
    for one in items(item, keyword, _MOST_CODES):
        code = _coded(one)
        if code is not None:
            narrowed = (_coded(each) for each in items(one, modifiers, _MOST_CODES))
            found.append(Meaning(code, tuple(each for each in narrowed if each is not None)))
    return tuple(found)


def _coded(item: Dataset | None) -> Coded | None:
    value = text(item, "CodeValue", 16) or text(item, "LongCodeValue", 256)
    scheme = text(item, "CodingSchemeDesignator", 16)
    meaning = text(item, "CodeMeaning", 64)
    return Coded(value, scheme, meaning) if value and scheme and meaning else None
