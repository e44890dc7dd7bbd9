"""Read which segments a segmentation holds, and where its frames lie; parametric maps alike."""

from typing import Any

from pydicom.dataset import Dataset

from imaging import derived
from imaging.derived import Derived, Part, Plane, first, items, meaning, number, numbers, text
from imaging.errors import DecodeError, LimitError, UnsupportedError
from imaging.softcopy import lab_to_rgb

_UCUM_NAMES = {"1": "", "[hnsf'U]": "HU", "no units": ""}


def read_segmentation(dataset: Dataset) -> Derived:
    """Read the description of a segmentation or label map segmentation.

    Raises
    ------
    DecodeError, LimitError, UnsupportedError

    References
    ----------
    DICOM PS3.3 A.51, A.90, C.8.20.
    """
    return derived.read(dataset, _segmentation)


def read_parametric(dataset: Dataset) -> Derived:
    """Read the description of a parametric map: what its values mean and where they lie.

    Raises
    ------
    DecodeError, LimitError, UnsupportedError

    References
    ----------
    DICOM PS3.3 A.75, C.7.6.16.2.11.
    """
    return derived.read(dataset, _parametric)


def _segmentation(dataset: Dataset) -> Derived:
    form = text(dataset, "SegmentationType", 16).upper()
    if form not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise UnsupportedError(
            f"Segmentations of the type {form or 'none'} are not known here. Download the file."
        )
    parts = tuple(_part(item) for item in items(dataset, "SegmentSequence", derived.MOST_PARTS))
    if form == "LABELMAP":
        # Zero is the background, which some writers describe like a segment.
        parts = tuple(part for part in parts if part.number != 0)
    planes = _planes(dataset, has_parts=form != "LABELMAP")
    known = {part.number for part in parts}
    if any(plane.part is not None and plane.part not in known for plane in planes):
        raise DecodeError(
            "A frame of the segmentation belongs to a segment that the file does not describe. "
            "Have it made again."
        )
    scale = number(dataset, "MaximumFractionalValue") if form == "FRACTIONAL" else 1.0
    notes = []
    if form == "FRACTIONAL":
        what = text(dataset, "SegmentationFractionalType", 16).lower() or "fraction"
        notes.append(f"Fractional ({what}): the outline is drawn at one half.")
    return Derived(
        kind="segmentation",
        parts=parts,
        form=form,  # type: ignore[arg-type]  # checked above
        scale=scale or 255.0,
        planes=planes,
        notes=tuple(notes),
        **_origin(dataset),
    )


def _parametric(dataset: Dataset) -> Derived:
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    each = items(dataset, "PerFrameFunctionalGroupsSequence")
    mappings = [_mapping(shared, one) for one in each] or [_mapping(shared, None)]
    planes = tuple(
        _scaled(plane, mappings[min(plane.frame_index, len(mappings) - 1)])
        for plane in _planes(dataset, has_parts=False)
    )
    mapping = next((one for one in mappings if one is not None), None)
    unit = text(first(mapping, "MeasurementUnitsCodeSequence"), "CodeValue", 32)
    quantity = _quantity(mapping)
    notes = () if mapping is not None else ("The file does not say what its values mean.",)
    name = quantity or text(mapping, "LUTExplanation", 64) or text(mapping, "LUTLabel", 16)
    return Derived(
        kind="parametric",
        parts=(Part(0, name or "Parametric map", type=quantity),),
        unit=_UCUM_NAMES.get(unit, unit),
        quantity=quantity or name,
        planes=planes,
        notes=notes,
        **_origin(dataset),
    )


def _origin(dataset: Dataset) -> dict[str, Any]:
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    measures = first(shared, "PixelMeasuresSequence")
    if measures is None:
        each = first(dataset, "PerFrameFunctionalGroupsSequence")
        measures = first(each, "PixelMeasuresSequence")
    return {
        "label": text(dataset, "ContentLabel", 32) or text(dataset, "ContentDescription", 64),
        "manufacturer": derived.maker(dataset),
        "author": text(dataset, "ContentCreatorName", 128),
        "at": derived.moment(dataset, "ContentDate", "ContentTime"),
        "frame_of_reference_uid": text(dataset, "FrameOfReferenceUID", 64),
        "between_slices": number(measures, "SpacingBetweenSlices"),
        "thickness": number(measures, "SliceThickness"),
    }


def _part(item: Dataset) -> Part:
    where = int(number(item, "SegmentNumber") or 0)
    algorithm = first(item, "SegmentationAlgorithmIdentificationSequence")
    lab = numbers(item, "RecommendedDisplayCIELabValue", 3)
    anatomy = meaning(item, "AnatomicRegionSequence")
    kind = meaning(item, "SegmentedPropertyTypeCodeSequence")
    return Part(
        number=where,
        name=text(item, "SegmentLabel", 64) or kind or f"Segment {where}",
        category=meaning(item, "SegmentedPropertyCategoryCodeSequence"),
        type=", ".join(filter(None, (kind, anatomy))),
        algorithm=text(item, "SegmentAlgorithmType", 16).upper(),
        algorithm_name=text(item, "SegmentAlgorithmName", 64)
        or text(algorithm, "AlgorithmName", 64),
        colour=derived.hex_colour(lab_to_rgb(lab)) if lab else "",
    )


def _planes(dataset: Dataset, *, has_parts: bool) -> tuple[Plane, ...]:
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    each = items(dataset, "PerFrameFunctionalGroupsSequence")
    count = int(number(dataset, "NumberOfFrames") or 1)
    if count > derived.MOST_PLANES:
        raise LimitError(
            f"The object has {count} frames, more than are shown here "
            f"({derived.MOST_PLANES}). Download it."
        )
    if text(dataset, "DimensionOrganizationType", 16) == "TILED_FULL":
        raise UnsupportedError(
            "This object lies on a slide of tissue. Slides are not overlaid here; download the "
            "file."
        )
    if len(each) < count:
        raise DecodeError(
            "The file describes fewer frames than it holds, so nobody can say where they lie. "
            "Have it made again."
        )
    return tuple(_plane(index, shared, each[index], has_part=has_parts) for index in range(count))


def _plane(index: int, shared: Dataset | None, own: Dataset, *, has_part: bool) -> Plane:
    def group(keyword: str) -> Dataset | None:
        found = first(own, keyword)
        return found if found is not None else first(shared, keyword)

    part = None
    if has_part:
        found = number(group("SegmentIdentificationSequence"), "ReferencedSegmentNumber")
        if found is None:
            raise DecodeError("A frame does not say of which segment it is. Have it made again.")
        part = int(found)
    sources = items(group("DerivationImageSequence"), "SourceImageSequence")
    # A frame made of several images lies on none of them.
    source = sources[0] if len(sources) == 1 else None
    source_frame = number(source, "ReferencedFrameNumber")
    return Plane(
        frame_index=index,
        part=part,
        sop_instance_uid=text(source, "ReferencedSOPInstanceUID", 64),
        source_frame=int(source_frame) if source_frame is not None else None,
        position=derived.vector(numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3)),
        orientation=derived.orientation_of(
            numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
        ),
        spacing=derived.spacing_of(numbers(group("PixelMeasuresSequence"), "PixelSpacing", 2)),
    )


def _mapping(shared: Dataset | None, own: Dataset | None) -> Dataset | None:
    found = first(own, "RealWorldValueMappingSequence")
    return found if found is not None else first(shared, "RealWorldValueMappingSequence")


def _scaled(plane: Plane, mapping: Dataset | None) -> Plane:
    if mapping is None:
        return plane
    if "RealWorldValueLUTData" in mapping:
        raise UnsupportedError(
            "This map gives its values by a table, which is not shown here. Download the file."
        )
    slope = number(mapping, "RealWorldValueSlope")
    intercept = number(mapping, "RealWorldValueIntercept")
    return Plane(
        frame_index=plane.frame_index,
        sop_instance_uid=plane.sop_instance_uid,
        source_frame=plane.source_frame,
        position=plane.position,
        orientation=plane.orientation,
        spacing=plane.spacing,
        slope=1.0 if slope is None else slope,
        intercept=intercept or 0.0,
    )


def _quantity(mapping: Dataset | None) -> str:
    """Return what was measured: the value of the item named Quantity (PS3.16 TID 9000)."""
    for item in items(mapping, "QuantityDefinitionSequence", 100):
        if text(first(item, "ConceptNameCodeSequence"), "CodeValue", 16) in ("246205007", "G-C1C6"):
            return meaning(item, "ConceptCodeSequence")
    return ""
