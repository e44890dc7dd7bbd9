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
from imaging.segmentation_codes import PROPERTIES, Coded

# What highdicom holds in memory while it writes.
MOST_BYTES = 768 * 2**20
# What says where an image lies, beside what every reference to an image needs.
_GEOMETRY = (
    "FrameOfReferenceUID", "PositionReferenceIndicator", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Segment:
    """One drawn segment.

    Attributes
    ----------
    number : from 1, without gaps
    property_code : a key of `PROPERTIES`
    colour : #rrggbb
    is_semiautomatic : whether a threshold helped
    tracking_uid : the same in every version of the segment
    """

    number: int
    name: str
    property_code: str
    colour: str
    is_semiautomatic: bool
    tracking_uid: str


def write_segmentation(
    segments: Sequence[Segment],
    labels: Mapping[tuple[str, int], NDArray[np.uint8]],
    images: Sequence[Dataset],
    frame: Frame,
) -> bytes:
    """Write a binary segmentation.

    Parameters
    ----------
    labels : by SOP Instance UID and frame number, shape (rows, columns): the number of the segment
        that each pixel belongs to, 0 for none
    images : headers of the images that are drawn on; one of several frames, or several of one

    Returns
    -------
    A Part 10 file of the Segmentation class.

    Raises
    ------
    UnsupportedError
        When nothing is drawn, or highdicom cannot describe it; in words.

    References
    ----------
    DICOM PS3.3 A.51, C.8.20.2, C.8.20.4.
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
    return finished(made, images[0], frame, images)


def _source(header: Dataset) -> Dataset:
    image = stand_in(header)
    for keyword in _GEOMETRY:
        if keyword in header:
            image[keyword] = deepcopy(header[keyword])
    # Known to highdicom by its class: how frames of a real one lie stands in functional groups.
    image.SOPClassUID = header.SOPClassUID
    return image


def _description(segment: Segment) -> SegmentDescription:
    of = PROPERTIES[segment.property_code]
    algorithm = None
    if segment.is_semiautomatic:
        algorithm = AlgorithmIdentificationSequence(
            name="Threshold brush",
            family=codes.cid7162.ManualProcessing,
            version=IMPLEMENTATION_VERSION_NAME,
        )
    red, green, blue = (int(segment.colour[at : at + 2], 16) for at in (1, 3, 5))
    return SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.name[:64],
        segmented_property_category=_concept(of.category),
        segmented_property_type=_concept(of.type),
        algorithm_type="SEMIAUTOMATIC" if segment.is_semiautomatic else "MANUAL",
        algorithm_identification=algorithm,
        tracking_uid=segment.tracking_uid,
        tracking_id=segment.name[:64],
        display_color=CIELabColor.from_rgb(red, green, blue),
    )


def _concept(code: Coded) -> CodedConcept:
    return CodedConcept(*code)
