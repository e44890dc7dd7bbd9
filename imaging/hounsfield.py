"""Check that the values of a CT image are Hounsfield units: air about -1000, water about 0."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]

AIR_HU, WATER_HU = -1000.0, 0.0
# Scanners are calibrated to 4 HU for water (IEC 61223-3-5); noise, filters and clothes move the
# peak of air further. Lung and foam fill the range above, so a peak there says nothing.
_AIR_SEARCH_HU = (-1100.0, -900.0)
_AIR_TOLERANCE_HU = 60.0
_TISSUE_SEARCH_HU = (-300.0, 300.0)
# From fat to contrast-filled or haemorrhagic tissue.
_TISSUE_HU = (-150.0, 130.0)
_LEAST_SHARE = 0.03
_BIN_HU = 4.0
# Nothing is thinner than air. Scanners fill the corners outside the scan field with one value:
# -1024, -2000, -2048, -3024 ...
_COLDEST_HU = -1100.0
# Fewer pixels make no peak.
_LEAST_PIXELS = 4096


@dataclass(frozen=True, slots=True)
class HounsfieldReport:
    """What was found.

    Parameters
    ----------
    is_applicable : the images are CT slices in Hounsfield units at all (no localizer, no CT of
        other units)
    is_valid : nothing speaks against the calibration; True too if it is not applicable
    issues : sentences, empty if valid
    air_hu, tissue_hu : peaks that were measured, None if there is none
    least_hu, greatest_hu : of all pixels but padding
    """

    is_applicable: bool
    is_valid: bool
    issues: tuple[str, ...]
    air_hu: float | None = None
    tissue_hu: float | None = None
    least_hu: float | None = None
    greatest_hu: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__} | {"issues": [*self.issues]}


def validate_hounsfield(
    frames: Sequence[Pixels],
    display: dict[str, Any],
    *,
    modality: str | None,
    image_type: Sequence[str] = (),
    is_lossy: bool = False,
) -> HounsfieldReport:
    """Check the Hounsfield calibration of a CT series.

    Parameters
    ----------
    frames : one or some exact frames of the series, shape (rows, columns); all share `display`
    display : the display facts of their instance index
    modality, image_type : (0008,0060), (0008,0008)
    is_lossy : lossy compression blurs the fill of the corners, which is then not judged

    Returns
    -------
    A report that says which values were measured; it never raises for odd values.

    References
    ----------
    DICOM PS3.3 sections C.8.2.1.1.2 and C.11.1.1.2.
    """
    rescale_type = display.get("RescaleType")
    if (
        modality != "CT"
        or "LOCALIZER" in image_type
        or (rescale_type is not None and rescale_type not in ("HU", "US"))
    ):
        return HounsfieldReport(is_applicable=False, is_valid=True, issues=())
    slope, intercept = display.get("RescaleSlope"), display.get("RescaleIntercept")
    issues = _rescale_issues(slope, intercept)
    if slope is None or intercept is None or not slope or not frames:
        return HounsfieldReport(is_applicable=True, is_valid=False, issues=tuple(issues))
    values = _values(frames, display.get("PixelPaddingValue"), slope, intercept)
    if not values.size:
        issues.append("The slices hold nothing but padding, so no value can be checked.")
        return HounsfieldReport(is_applicable=True, is_valid=False, issues=tuple(issues))
    least, greatest = float(values.min()), float(values.max())
    if values.size < _LEAST_PIXELS:
        return HounsfieldReport(
            is_applicable=True,
            is_valid=not issues,
            issues=tuple(issues),
            least_hu=least,
            greatest_hu=greatest,
        )
    air = _peak(values, _AIR_SEARCH_HU)
    tissue = _peak(values, _TISSUE_SEARCH_HU)
    if air is not None and abs(air - AIR_HU) > _AIR_TOLERANCE_HU:
        issues.append(f"Air measures {air:.0f} HU instead of about {AIR_HU:.0f}.")
    if least > -50:
        issues.append(
            f"No value is below {least:.0f} HU: there is neither air nor fat. Check the rescale "
            "intercept."
        )
    if not is_lossy and _has_colder_than_air(values):
        issues.append(
            f"Large parts measure less than {_COLDEST_HU:.0f} HU, thinner than air. Check the "
            "rescale intercept."
        )
    if tissue is not None and not _TISSUE_HU[0] <= tissue <= _TISSUE_HU[1]:
        issues.append(
            f"The main tissue measures {tissue:.0f} HU; soft tissue and water lie between "
            f"{_TISSUE_HU[0]:.0f} and {_TISSUE_HU[1]:.0f}."
        )
    if greatest < -500:
        issues.append(f"No value is above {greatest:.0f} HU: there is nothing but air.")
    return HounsfieldReport(
        is_applicable=True,
        is_valid=not issues,
        issues=tuple(issues),
        air_hu=air,
        tissue_hu=tissue,
        least_hu=least,
        greatest_hu=greatest,
    )


def _rescale_issues(slope: float | None, intercept: float | None) -> list[str]:
    if slope is None or intercept is None:
        return ["The slices have no rescale slope and intercept, so their values are not in HU."]
    issues = []
    if not math.isfinite(slope) or not 0.05 <= slope <= 20:
        issues.append(f"The rescale slope is {slope:g}; CT uses 1, or a value near it.")
    if not math.isfinite(intercept) or not -10000 <= intercept <= 1000:
        issues.append(
            f"The rescale intercept is {intercept:g}; CT uses -1024, or 0 with signed values."
        )
    return issues


def _values(
    frames: Sequence[Pixels], padding: int | None, slope: float, intercept: float
) -> NDArray[np.float64]:
    parts = []
    for frame in frames:
        flat = frame.reshape(-1)
        if padding is not None:
            flat = flat[flat != padding]
        parts.append(flat.astype(np.float64) * slope + intercept)
    return np.concatenate(parts)


def _has_colder_than_air(values: NDArray[np.float64]) -> bool:
    """Tell measured values below air from the one value that fills the corners."""
    cold = values[values < _COLDEST_HU]
    if cold.size < values.size * _LEAST_SHARE:
        return False
    _, counts = np.unique(cold, return_counts=True)
    return int(counts.max()) < cold.size // 2


def _peak(values: NDArray[np.float64], limits: tuple[float, float]) -> float | None:
    """Return the most frequent value between two limits, None if too few pixels lie about it."""
    low, high = limits
    counts, edges = np.histogram(values, round((high - low) / _BIN_HU), range=limits)
    smooth = np.convolve(counts, np.ones(5), mode="same")
    best = int(smooth.argmax())
    first, last = max(0, best - 5), min(len(counts), best + 6)
    weights = counts[first:last]
    if weights.sum() < values.size * _LEAST_SHARE:
        return None
    centers = (edges[first:last] + edges[first + 1 : last + 1]) / 2
    return float((centers * weights).sum() / weights.sum())
