"""Masks of the example analysis as a DICOM segmentation, by highdicom."""

import io
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from imaging import example_volumes
from imaging.patient_study import EMPTY_IF_ABSENT, copy_patient_study

_SERIES_NUMBER = 9801
_KINDS = {
    "Bone": (codes.SCT.Tissue, codes.SCT.Bone),
    "Lung": (codes.SCT.Organ, codes.SCT.Lung),
}


def write_segments(
    headers: Sequence[Dataset], masks: Mapping[str, NDArray[np.bool_]], spacing_mm: float
) -> bytes:
    """Write masks as one segmentation object.

    Parameters
    ----------
    headers : of the slices, in the masks' order
    masks : by name (Bone, Lung), each of shape (slices, rows, columns)
    spacing_mm : of the slices

    References
    ----------
    DICOM PS3.3 A.51, C.8.20.2: Segment Algorithm Type AUTOMATIC.
    """
    algorithm = AlgorithmIdentificationSequence(
        name=example_volumes.NAME,
        family=codes.DCM.ArtificialIntelligence,
        version=example_volumes.VERSION,
        source=example_volumes.MANUFACTURER,
    )
    descriptions = [
        SegmentDescription(
            segment_number=number,
            segment_label=f"{name} (machine, example)",
            segmented_property_category=_KINDS[name][0],
            segmented_property_type=_KINDS[name][1],
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, name in enumerate(masks, 1)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Segmentation(
            source_images=[_source(header, spacing_mm) for header in headers],
            pixel_array=np.stack(list(masks.values()), axis=-1).astype(np.uint8),
            segmentation_type="BINARY",
            segment_descriptions=descriptions,
            series_instance_uid=generate_uid(prefix=None),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer=example_volumes.MANUFACTURER,
            manufacturer_model_name=example_volumes.NAME,
            software_versions=example_volumes.VERSION,
            device_serial_number="1",
            content_label="EXAMPLE",
            content_description="Made by a program, not for diagnosis",
            series_description=f"Machine: {example_volumes.NAME}",
        )
        copy_patient_study(made, headers[0])
        out = io.BytesIO()
        made.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _source(header: Dataset, spacing_mm: float) -> Dataset:
    """Return a slice with an identity that highdicom takes; the true one is copied afterwards."""
    source = deepcopy(header)
    for keyword in EMPTY_IF_ABSENT:
        setattr(source, keyword, None)
    if not source.get("SliceThickness"):
        source.SliceThickness = spacing_mm
    return source
