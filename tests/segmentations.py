"""Segmentations as other makers write them, by highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid


def described(number: int, name: str = "", **more: Any) -> highdicom.seg.SegmentDescription:
    """A muscle that somebody has drawn by hand."""
    return highdicom.seg.SegmentDescription(
        **{
            "segment_number": number,
            "segment_label": name or f"Part {number}",
            "segmented_property_category": codes.SCT.Tissue,
            "segmented_property_type": codes.SCT.Muscle,
            "algorithm_type": "MANUAL",
        }
        | more
    )


def segmented(
    images: Sequence[Dataset],
    pixels: NDArray[Any],
    kind: str = "BINARY",
    *parts: highdicom.seg.SegmentDescription,
    **more: Any,
) -> Dataset:
    """An object of a series of its own; without `parts` as many as the pixels have."""
    count = pixels.shape[-1] if pixels.ndim == 4 else int(np.ceil(pixels.max()))
    return highdicom.seg.Segmentation(
        source_images=list(images),
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=parts or [described(at) for at in range(1, count + 1)],
        series_instance_uid=generate_uid(),
        series_number=30,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Maker",
        manufacturer_model_name="Model",
        software_versions="1",
        device_serial_number="1",
        **more,
    )
