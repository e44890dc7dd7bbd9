"""Write drawn segments as a DICOM Segmentation, by highdicom."""

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from imaging.errors import UnsupportedError
from imaging.measured_write import MANUFACTURER, MODEL, Frame, finished, identity, person, stand_in
from imaging.part10 import IMPLEMENTATION_VERSION_NAME
from imaging.segment_source import Meaning, SegmentSource
from imaging.segmentation_codes import PROPERTIES, Coded

# What highdicom holds in memory while it writes.
MOST_BYTES = 768 * 2**20
# What says where an image lies, beside what every reference to an image needs.
_GEOMETRY = (
    "FrameOfReferenceUID", "PositionReferenceIndicator", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


# PS3.16 CID 7202: what an image was made from by processing.
_EDITED_FROM = Coded("121322", "DCM", "Source image for image processing operation")


@dataclass(frozen=True, slots=True)
class Segment:
    """One drawn segment.

    Attributes
    ----------
    number : from 1, without gaps
    property_code : a key of `PROPERTIES`, or ``source``: what `source` says
    colour : #rrggbb
    is_semiautomatic : whether a threshold helped
    tracking_uid : the same in every version of the segment
    source : the segment of a stored object that it was copied from
    """

    number: int
    name: str
    property_code: str
    colour: str
    is_semiautomatic: bool
    tracking_uid: str
    source: SegmentSource | None = None


def write_segmentation(
    segments: Sequence[Segment],
    labels: Mapping[tuple[str, int], NDArray[np.uint8]],
    images: Sequence[Dataset],
    frame: Frame,
    *,
    predecessors: Sequence[Dataset] = (),
) -> bytes:
    """Write a binary segmentation.

    Parameters
    ----------
    labels : by SOP Instance UID and frame number, shape (rows, columns): the number of the segment
        that each pixel belongs to, 0 for none
    images : headers of the images that are drawn on; one of several frames, or several of one
    predecessors : headers of the segmentations that it was copied from

    Returns
    -------
    A Part 10 file of the Segmentation class.

    Raises
    ------
    UnsupportedError
        When nothing is drawn, or highdicom cannot describe it; in words.

    References
    ----------
    DICOM PS3.3 A.51, C.8.20.2, C.8.20.4; of predecessors C.12.4 and C.12.2.
    """
    if not images or not any(mask.any() for mask in labels.values()):
        raise UnsupportedError("Nothing is drawn in the segments yet. Draw something first.")
    is_multiframe = int(images[0].get("NumberOfFrames") or 1) > 1
    if is_multiframe and len(images) > 1:
        raise UnsupportedError(
            "The segments lie on several objects of many frames. Store those of each object alone."
        )
    keys = [
        (str(image.SOPInstanceUID), number)
        for image in images
        for number in range(1, int(image.get("NumberOfFrames") or 1) + 1)
    ]
    rows, columns = int(images[0].Rows), int(images[0].Columns)
    if len(keys) * rows * columns > MOST_BYTES:
        raise UnsupportedError("The series is too large for a segmentation of it to be written.")
    pixels = np.zeros((len(keys), rows, columns), np.uint8)
    for at, key in enumerate(keys):
        mask = labels.get(key)
        if mask is not None:
            if mask.shape != (rows, columns):
                raise UnsupportedError("The images of the series differ in size.")
            pixels[at] = mask
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = Segmentation(
                source_images=[_source(image) for image in images],
                pixel_array=pixels,
                segmentation_type="BINARY",
                segment_descriptions=[_description(segment) for segment in segments],
                manufacturer=MANUFACTURER,
                manufacturer_model_name=MODEL,
                software_versions=IMPLEMENTATION_VERSION_NAME,
                device_serial_number="1",
                content_label="SEGMENTATION",
                content_description=frame.series_description[:64] or None,
                content_creator_name=person(frame.author),
                **identity(frame),
            )
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UnsupportedError(
            f"No segmentation can be written of these images: {error}"
        ) from error
    _name_predecessors(made, predecessors)
    return finished(made, images[0], frame, [*images, *predecessors])


def _source(header: Dataset) -> Dataset:
    image = stand_in(header)
    for keyword in _GEOMETRY:
        if keyword in header:
            image[keyword] = deepcopy(header[keyword])
    # Known to highdicom by its class: how frames of a real one lie stands in functional groups.
    image.SOPClassUID = header.SOPClassUID
    return image


def _name_predecessors(made: Dataset, predecessors: Sequence[Dataset]) -> None:
    """Name the segmentations that an object was copied from.

    A segmentation has no Predecessor Documents Sequence, which is of documents: it is derived from
    the other as an image from an image. highdicom's `further_source_images` wants geometry of them
    that makers leave out.
    """
    if not predecessors:
        return
    made.DerivationDescription = "Edited copy of the referenced segmentation"
    series: dict[str, list[Dataset]] = {}
    for one in predecessors:
        source = _reference(one)
        source.PurposeOfReferenceCodeSequence = [CodedConcept(*_EDITED_FROM)]
        made.SourceImageSequence.append(source)
        series.setdefault(str(one.SeriesInstanceUID), []).append(_reference(one))
    for uid, references in series.items():
        item = Dataset()
        item.SeriesInstanceUID = uid
        item.ReferencedInstanceSequence = references
        made.ReferencedSeriesSequence.append(item)


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item


def _description(segment: Segment) -> SegmentDescription:
    source = segment.source
    algorithm = None
    if segment.is_semiautomatic:
        algorithm = AlgorithmIdentificationSequence(
            name=(source.algorithm_name if source else "") or "Threshold brush",
            family=codes.cid7162.ManualProcessing,
            version=IMPLEMENTATION_VERSION_NAME,
        )
    category, kind, anatomy = _meaning_of(segment)
    red, green, blue = (int(segment.colour[at : at + 2], 16) for at in (1, 3, 5))
    made = SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.name[:64],
        segmented_property_category=_concept(category),
        segmented_property_type=_concept(kind.code),
        algorithm_type="SEMIAUTOMATIC" if segment.is_semiautomatic else "MANUAL",
        algorithm_identification=algorithm,
        tracking_uid=(source.tracking_uid if source else "") or segment.tracking_uid,
        tracking_id=(source.tracking_id if source else "") or segment.name[:64],
        anatomic_regions=[_concept(one.code) for one in anatomy] or None,
        display_color=CIELabColor.from_rgb(red, green, blue),
    )
    types = made.SegmentedPropertyTypeCodeSequence
    _narrow(types, "SegmentedPropertyTypeModifierCodeSequence", [kind])
    _narrow(made.get("AnatomicRegionSequence", []), "AnatomicRegionModifierSequence", anatomy)
    return made


def _meaning_of(segment: Segment) -> tuple[Coded, Meaning, Sequence[Meaning]]:
    """Return category, type and anatomy of a segment."""
    source = segment.source
    if segment.property_code == "source" and source and source.category and source.type:
        return source.category, source.type, source.anatomy
    of = PROPERTIES[segment.property_code]
    return of.category, Meaning(of.type), ()


def _narrow(items: Sequence[Dataset], keyword: str, meanings: Sequence[Meaning]) -> None:
    """Give codes the modifiers that narrow them down."""
    for item, meaning in zip(items, meanings, strict=True):
        if meaning.modifiers:
            setattr(item, keyword, [_concept(code) for code in meaning.modifiers])


def _concept(code: Coded) -> CodedConcept:
    return CodedConcept(*code)
