"""An example of an analysis: how many millilitres of bone and of lung a CT series shows.

Thresholds and connected parts, nothing more: it shows how an analysis reads a study and writes its
results, and is not for diagnosis.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from scipy import ndimage

from imaging.errors import ImagingError
from imaging.volume import Slice, plan_volume

NAME = "Bone and lung volumes (example)"
VERSION = "2"
MANUFACTURER = "NoctisPro"
BONE_HU = 250
LUNG_HU = (-950, -400)
# Smaller parts are noise, contrast or bowel.
_LEAST_BONE_ML = 1.0
_LEAST_LUNG_ML = 100.0
_SLICES_AT_LEAST = 3


def analyse(study: Path, results: Path) -> None:
    """Measure the longest CT series of a study; what stands in no volume is said and left.

    Parameters
    ----------
    study : folder of DICOM files
    results : folder for `findings.json` and DICOM files
    """
    series = _longest(study)
    if series is None:
        _write(results, [_finding("No CT series with a volume", None, "")])
        return
    try:
        plan = plan_volume([_slice(header) for header, _ in series])
    except ImagingError as error:
        _write(results, [_finding("The series makes no volume", None, str(error))])
        return
    headers = [series[index][0] for index in plan.order]
    values = np.stack([_values(series[index][1]) for index in plan.order])
    voxel_ml = plan.spacing_mm * plan.geometry.pixel_mm[0] * plan.geometry.pixel_mm[1] / 1000
    masks = {
        "Bone": parts(values >= BONE_HU, voxel_ml, _LEAST_BONE_ML),
        "Lung": lungs(values, voxel_ml),
    }
    note = " ".join(plan.notes)
    findings = [
        {
            **_finding(f"{name} volume", float(mask.sum()) * voxel_ml, note),
            "at": _box(mask, headers),
        }
        for name, mask in masks.items()
        if mask.any()
    ]
    _write(results, findings or [_finding("Neither bone nor lung found", None, note)])
    found = {name: mask for name, mask in masks.items() if mask.any()}
    if found:
        from imaging.example_segmentation import write_segments  # noqa: PLC0415 - takes a second

        (results / "segmentation.dcm").write_bytes(write_segments(headers, found, plan.spacing_mm))


def parts(mask: NDArray[np.bool_], voxel_ml: float, least_ml: float) -> NDArray[np.bool_]:
    """Keep the connected parts of a mask that are large enough."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml
    sizes[0] = 0
    kept: NDArray[np.bool_] = (sizes >= least_ml)[labels]
    return kept


def lungs(values: NDArray[np.float32], voxel_ml: float) -> NDArray[np.bool_]:
    """Return air within the body: large parts that touch no edge of the pictures."""
    low, high = LUNG_HU
    labels, count = ndimage.label(values < high)
    edges = np.concatenate(
        [labels[:, at, :].ravel() for at in (0, -1)] + [labels[:, :, at].ravel() for at in (0, -1)]
    )
    is_outside = np.zeros(count + 1, bool)
    is_outside[edges] = True
    is_outside[0] = True
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml
    inside: NDArray[np.bool_] = (~is_outside & (sizes >= _LEAST_LUNG_ML))[labels]
    # Lung is not as empty as air.
    found: NDArray[np.bool_] = inside & (values > low)
    return parts(found, voxel_ml, _LEAST_LUNG_ML)


def _longest(study: Path) -> list[tuple[Dataset, Path]] | None:
    found: dict[str, list[tuple[Dataset, Path]]] = defaultdict(list)
    for path in sorted(study.iterdir()):
        header = dcmread(path, stop_before_pixels=True)
        kinds = list(header.get("ImageType", []))
        # What was computed before is no measurement, and localisers are no volume.
        if header.get("Modality") != "CT" or {"DERIVED", "LOCALIZER"} & set(kinds):
            continue
        if int(header.get("NumberOfFrames") or 1) == 1 and "Rows" in header:
            found[str(header.SeriesInstanceUID)].append((header, path))
    longest = max(found.values(), key=len, default=[])
    return longest if len(longest) >= _SLICES_AT_LEAST else None


def _slice(header: Dataset) -> Slice:
    def numbers(keyword: str) -> list[float] | None:
        value = header.get(keyword)
        return [float(one) for one in value] if value else None

    return Slice(
        rows=int(header.Rows),
        columns=int(header.Columns),
        samples=int(header.get("SamplesPerPixel", 1)),
        position=numbers("ImagePositionPatient"),
        orientation=numbers("ImageOrientationPatient"),
        pixel_spacing=numbers("PixelSpacing"),
        slope=float(header.get("RescaleSlope") or 1),
        intercept=float(header.get("RescaleIntercept") or 0),
        dtype="float32",
    )


def _values(path: Path) -> NDArray[np.float32]:
    image = dcmread(path)
    slope = float(image.get("RescaleSlope") or 1)
    intercept = float(image.get("RescaleIntercept") or 0)
    values: NDArray[np.float32] = image.pixel_array.astype(np.float32) * slope + intercept
    return values


def _finding(label: str, value_ml: float | None, text: str) -> dict[str, Any]:
    shown = None if value_ml is None else round(value_ml, 1)
    said = f"{text} Example, not for diagnosis.".strip()
    return {"label": label, "value": shown, "unit": "ml" if shown is not None else "", "text": said}


def _box(mask: NDArray[np.bool_], headers: list[Dataset]) -> dict[str, Any]:
    """Return where a mask is largest: a box on that slice, whose edges lie between pixels."""
    index = int(np.argmax(mask.sum(axis=(1, 2))))
    rows, columns = np.nonzero(mask[index])
    return {
        "SOPInstanceUID": str(headers[index].SOPInstanceUID),
        "frame_number": 1,
        "graphic": "box",
        "points": [
            [float(columns.min()) - 0.5, float(rows.min()) - 0.5],
            [float(columns.max()) + 0.5, float(rows.max()) + 0.5],
        ],
    }


def _write(results: Path, findings: list[dict[str, Any]]) -> None:
    (results / "findings.json").write_text(json.dumps({"findings": findings}))
