"""Standardized uptake values: what the values of a PET series are to be multiplied with.

A series whose files lack something, or contradict themselves, is refused in words: a wrong uptake
value is worse than none.
"""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from imaging.petfacts import PetFacts

SuvType = Literal["BW", "LBMJANMA", "LBMJAMES128", "BSA", "IBW"]
TYPES: tuple[SuvType, ...] = get_args(SuvType)

_ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"
# What the standard calls the type where Units is GML and SUV Type is absent (PS3.3 C.8.9.1.1.3).
_DEFAULT_TYPE = "BW"
_UNIT_TYPES = {"GML": ("BW", "LBM", "LBMJANMA", "LBMJAMES128", "IBW"), "CM2ML": ("BSA",)}
# A dose in MBq or mCi, a weight in grams and a height in centimetres are the usual slips.
_DOSE_BQ = (1e5, 1e11)
_WEIGHT_KG = (0.3, 500.0)
_HEIGHT_M = (0.2, 2.6)
# The formulas of lean and ideal weight were made of adults.
_ADULT_HEIGHT_M = 1.2
# A thousandth of the dose is left; whoever scans then has another date in mind.
_MOST_HALF_LIVES = 10.0
# With a longer half-life the injection may have been days before, and a time alone tells no day.
_LONG_HALF_LIFE_S = 12 * 3600.0
_SAME_CLOCK_S = 60.0
# Times of the same scan are told apart by less than this share of the value.
_SAME_VALUE = 0.05
_CM2_IN_M2 = 1e4


class SuvError(Exception):
    """No uptake values can be told; `str()` says why, for a physician."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How values of one type are made.

    Parameters
    ----------
    factor : modality values (Rescale Slope and Intercept applied) times this are uptake values
    unit : the name of the quantity in PS3.16 CID 7469: ``SUVbw``
    """

    factor: float
    unit: str


@dataclass(frozen=True, slots=True)
class Suv:
    """The uptake values of one series.

    Parameters
    ----------
    scales : by type; one that cannot be told is missing
    refusals : why a type is missing, by type; all of them where `scales` is empty
    source : what the factor was made of, in words
    origin : the same in a word: ``dose``, ``scanner`` or ``Philips``
    """

    scales: dict[SuvType, Scale]
    refusals: dict[SuvType, str]
    source: str = ""
    origin: str = ""


_UNITS: dict[SuvType, str] = {
    "BW": "SUVbw",
    "LBMJANMA": "SUVlbm(Janma)",
    "LBMJAMES128": "SUVlbm(James128)",
    "BSA": "SUVbsa",
    "IBW": "SUVibw",
}


def uptake(images: Sequence[PetFacts]) -> Suv:
    """Tell how the values of a series become standardized uptake values.

    Parameters
    ----------
    images : all images of one series; those that are missing may hide when the scan began

    Returns
    -------
    One factor a type for the whole series. A type that cannot be told has its reason instead.

    References
    ----------
    DICOM PS3.3 sections C.8.9.1, C.8.9.2 and C.8.9.4; QIBA FDG-PET/CT profile, annex on the
    vendor-neutral computation of SUV; PS3.16 CID 7469.
    """
    try:
        scale = _normalised(images)
    except SuvError as error:
        return Suv({}, dict.fromkeys(TYPES, str(error)))
    scales: dict[SuvType, Scale] = {}
    refusals: dict[SuvType, str] = {}
    for name in TYPES:
        factor = scale.per_value
        try:
            if name != scale.measured:
                factor *= body_measure(images[0], name)
                if scale.measured is not None:
                    # One measure of the body takes the place of another.
                    factor /= body_measure(images[0], scale.measured)
        except SuvError as error:
            refusals[name] = str(error)
            continue
        scales[name] = Scale(factor, _UNITS[name])
    return Suv(scales, refusals, scale.source, scale.origin)


@dataclass(frozen=True, slots=True)
class _Normalised:
    """Values times `per_value` times a measure of the body are uptake values.

    `measured` names the measure that is in `per_value` already.
    """

    per_value: float
    source: str
    origin: str = "dose"
    measured: SuvType | None = None


def _normalised(images: Sequence[PetFacts]) -> _Normalised:
    if not images:
        raise SuvError("The series has no images.")
    first = images[0]
    if any(image.sop_class_uid == _ENHANCED_PET for image in images):
        raise SuvError("Uptake values of enhanced PET objects are not computed here.")
    for name, values in (
        ("weight", {image.weight_kg for image in images}),
        ("height", {image.height_m for image in images}),
        ("sex", {image.sex for image in images}),
    ):
        if len(values) > 1:
            raise SuvError(f"The images of the series differ in the patient's {name}.")
    units = _common("Units", {image.units for image in images})
    if units in _UNIT_TYPES:
        return _given(first, units)
    if units not in ("BQML", "CNTS"):
        raise SuvError(
            f"The values are in {units}, and uptake values are made of Bq/ml (Units BQML)."
            if units
            else "The files do not say what their values are (Units is missing)."
        )
    _check_corrections(images)
    if units == "BQML":
        return _of_activity(images, 1.0, "")
    return _of_counts(images)


def _given(first: PetFacts, units: str) -> _Normalised:
    """Take uptake values that the scanner has computed."""
    kind = first.suv_type or (_DEFAULT_TYPE if units == "GML" else "BSA")
    if kind not in _UNIT_TYPES[units]:
        raise SuvError(f"SUV Type {kind} does not go with Units {units}. Look at the files' maker.")
    if kind == "LBM":
        raise SuvError(
            "The scanner divided by lean body mass and does not say by which formula (SUV Type "
            "LBM). Its own values are shown."
        )
    measured = next(name for name in TYPES if name == kind)
    return _Normalised(1.0, f"Units {units}, computed by the scanner", "scanner", measured)


def _of_counts(images: Sequence[PetFacts]) -> _Normalised:
    """Use the private factors of Philips, whose values are counts."""
    factors = {image.philips_suv_factor for image in images}
    if factors != {None} and None not in factors and 0.0 not in factors:
        if len(factors) > 1:
            raise SuvError("The images carry different Philips SUV factors (7053,1000).")
        factor = factors.pop()
        if factor is None or factor < 0:
            raise SuvError("The Philips SUV factor (7053,1000) makes no sense.")
        source = "SUV Scale Factor of Philips (7053,1000)"
        return _Normalised(factor, source, "Philips", "BW")
    activities = {image.philips_activity_factor for image in images}
    activity = activities.pop() if len(activities) == 1 else None
    if activity is None or not activity > 0:
        raise SuvError(
            "The values are counts (Units CNTS), and the files carry no factor of Philips "
            "(7053,1000 or 7053,1009) that makes uptake values of them."
        )
    return _of_activity(images, activity, "Activity Concentration Scale Factor of Philips, ")


def _check_corrections(images: Sequence[PetFacts]) -> None:
    for image in images:
        if not image.corrected_image:
            raise SuvError("The files do not say how they were corrected (Corrected Image).")
        for term, what in (("ATTN", "attenuation"), ("DECY", "radioactive decay")):
            if term not in image.corrected_image:
                raise SuvError(f"The values were not corrected for {what}.")


def _of_activity(images: Sequence[PetFacts], per_value: float, prefix: str) -> _Normalised:
    """Divide activity concentrations by the dose that was left when they hold."""
    first = images[0]
    decay = _common("Decay Correction", {image.decay_correction for image in images})
    if decay not in ("START", "ADMIN"):
        raise SuvError(
            "The values were not corrected for radioactive decay (Decay Correction NONE)."
            if decay == "NONE"
            else "The files do not say to what time decay was corrected (Decay Correction)."
        )
    if first.agent_count != 1 or any(image.agent_count != 1 for image in images):
        raise SuvError(
            "The files name no radiopharmaceutical."
            if first.agent_count == 0
            else "Several radiopharmaceuticals were given. Which one is measured is not said."
        )
    dose_bq = _dose(images)
    if decay == "ADMIN":
        source = f"{prefix}dose {dose_bq / 1e6:.1f} MBq, decay corrected to the injection"
        return _Normalised(per_value / dose_bq, source)
    half_life_s = _common_number("half-life", [image.half_life_s for image in images])
    if not half_life_s > 0:
        raise SuvError("The half-life of the radionuclide makes no sense.")
    began, how = scan_start(images, half_life_s)
    injected = injection(first, began, half_life_s)
    elapsed_s = (began - injected).total_seconds()
    left_bq = dose_bq * 2 ** (-elapsed_s / half_life_s)
    source = (
        f"{prefix}dose {dose_bq / 1e6:.1f} MBq at {injected:%H:%M:%S}, scan at {began:%H:%M:%S} "
        f"({how})"
    )
    return _Normalised(per_value / left_bq, source)


def _dose(images: Sequence[PetFacts]) -> float:
    dose_bq = _common_number("injected dose", [image.dose_bq for image in images])
    if not _DOSE_BQ[0] <= dose_bq <= _DOSE_BQ[1]:
        raise SuvError(
            f"An injected dose of {dose_bq:g} Bq is not plausible (Radionuclide Total Dose, "
            "perhaps written in MBq)."
        )
    return dose_bq


def scan_start(images: Sequence[PetFacts], half_life_s: float) -> tuple[dt.datetime, str]:
    """Return the time to which the decay of all images was corrected, and where it was read.

    Series Time is that time unless the series was made later; then GE's own element, the frames'
    reference times or the earliest acquisition tell it.

    Raises
    ------
    SuvError
        Where the files do not say it, or say it in two ways.

    References
    ----------
    DICOM PS3.3 section C.8.9.4.1.9; QIBA vendor-neutral computation of SUV.
    """
    acquired = [image.acquired_at for image in images]
    known = [moment for moment in acquired if moment is not None]
    if len(known) < len(images):
        raise SuvError(
            "Some images do not say when they were acquired (Acquisition Date and Time)."
        )
    earliest = min(known)
    series = {image.series_at for image in images}
    began = series.pop() if len(series) == 1 else None
    if began is not None and began <= earliest:
        how = "Series Time"
    else:
        began, how = _earlier_start(images, earliest, half_life_s)
    _check_decay_factors(images, began, half_life_s)
    return began, how


def _earlier_start(
    images: Sequence[PetFacts], earliest: dt.datetime, half_life_s: float
) -> tuple[dt.datetime, str]:
    scans = {image.ge_scan_at for image in images}
    scan = scans.pop() if len(scans) == 1 else None
    if scan is not None and scan <= earliest:
        return scan, "GE scan time (0009,100D)"
    computed = [
        start
        for image in images
        if (start := _start_by_reference_time(image, half_life_s)) is not None
    ]
    if len(computed) == len(images):
        spread_s = (max(computed) - min(computed)).total_seconds()
        if _share_of(spread_s, half_life_s) > _SAME_VALUE:
            raise SuvError("The reference times of the images contradict each other.")
        return min(computed), "Frame Reference Time"
    return earliest, "earliest Acquisition Time"


def _start_by_reference_time(image: PetFacts, half_life_s: float) -> dt.datetime | None:
    """Go back from an image's acquisition by its Frame Reference Time."""
    offset_ms, inside_s = image.frame_reference_time_ms, _mean_moment_s(image, half_life_s)
    if not offset_ms or offset_ms < 0 or inside_s is None or image.acquired_at is None:
        return None
    return image.acquired_at + dt.timedelta(seconds=inside_s - offset_ms / 1000)


def _mean_moment_s(image: PetFacts, half_life_s: float) -> float | None:
    """Return when, within its frame, an image's count rate is the frame's average."""
    duration_ms = image.actual_frame_duration_ms
    if duration_ms is None or not 0 < duration_ms < 1e8:
        return None
    decay = math.log(2) / half_life_s
    within = decay * duration_ms / 1000
    return math.log(within / -math.expm1(-within)) / decay


def _check_decay_factors(
    images: Sequence[PetFacts], began: dt.datetime, half_life_s: float
) -> None:
    """Compare with the factors that the scanner multiplied the images with."""
    for image in images:
        factor, inside_s = image.decay_factor, _mean_moment_s(image, half_life_s)
        if factor is None or factor <= 1 or inside_s is None or image.acquired_at is None:
            continue
        passed_s = (image.acquired_at - began).total_seconds() + inside_s
        stated_s = math.log2(factor) * half_life_s
        if _share_of(passed_s - stated_s, half_life_s) > _SAME_VALUE:
            raise SuvError(
                "The files contradict themselves: by Decay Factor the values hold for another time "
                f"than {began:%H:%M:%S}, when the scan began by their dates."
            )


def _share_of(seconds: float, half_life_s: float) -> float:
    """Return by which share a value changes when a time is wrong by some seconds."""
    return abs(math.expm1(math.log(2) * abs(seconds) / half_life_s))


def injection(image: PetFacts, began: dt.datetime, half_life_s: float) -> dt.datetime:
    """Return when the radiopharmaceutical was given; a time without a day is the last before.

    Raises
    ------
    SuvError
        Where it is missing, or cannot have been then.

    References
    ----------
    DICOM PS3.3 section C.8.9.2.
    """
    injected = image.injected_at
    clock = image.injection_time
    if injected is None:
        if clock is None:
            raise SuvError("The files do not say when the radiopharmaceutical was injected.")
        if half_life_s > _LONG_HALF_LIFE_S:
            raise SuvError(
                "The files tell the time of the injection and not its day, and so long-lived a "
                "radionuclide may have been given days before."
            )
        injected = dt.datetime.combine(began.date(), clock)
        if injected > began:
            # Given before midnight, scanned after it.
            injected -= dt.timedelta(days=1)
    elif clock is not None:
        on_that_day = dt.datetime.combine(injected.date(), clock)
        if abs((on_that_day - injected).total_seconds()) > _SAME_CLOCK_S:
            raise SuvError(
                f"The files give two times of the injection: {injected:%H:%M:%S} (Start DateTime) "
                f"and {clock:%H:%M:%S} (Start Time)."
            )
    elapsed_s = (began - injected).total_seconds()
    if elapsed_s < 0:
        raise SuvError(
            f"By its times the scan ({began:%Y-%m-%d %H:%M}) was before the injection "
            f"({injected:%Y-%m-%d %H:%M})."
        )
    if elapsed_s > _MOST_HALF_LIVES * half_life_s:
        raise SuvError(
            f"By its times the scan ({began:%Y-%m-%d %H:%M}) was more than "
            f"{_MOST_HALF_LIVES:.0f} half-lives after the injection ({injected:%Y-%m-%d %H:%M})."
        )
    return injected


def body_measure(image: PetFacts, name: SuvType) -> float:
    """Return what a type of uptake value multiplies with: grams, or for BSA square centimetres.

    Weight; lean body mass by Janmahasatian (Clin Pharmacokinet 2005;44:1051) or by James with the
    factor 128; body surface by Du Bois; ideal weight by 48 (45.5) kg at 152 cm and 1.06 (0.91) kg
    for each further centimetre, never above the weight.

    Raises
    ------
    SuvError
        Where weight, height or sex are missing, or out of the formula's range.

    References
    ----------
    DICOM PS3.3 section C.8.9.1 (SUV Type), PS3.16 CID 7469.
    """
    weight_kg = image.weight_kg
    if weight_kg is None or not _WEIGHT_KG[0] <= weight_kg <= _WEIGHT_KG[1]:
        raise SuvError(
            f"A patient's weight of {weight_kg:g} kg is not plausible."
            if weight_kg
            else "The files do not say the patient's weight."
        )
    if name == "BW":
        return weight_kg * 1000
    height_m = image.height_m
    if height_m is None or not _HEIGHT_M[0] <= height_m <= _HEIGHT_M[1]:
        raise SuvError(
            f"A patient's height of {height_m:g} m is not plausible."
            if height_m
            else "The files do not say the patient's height."
        )
    height_cm = height_m * 100
    if name == "BSA":
        return 0.007184 * math.pow(weight_kg, 0.425) * math.pow(height_cm, 0.725) * _CM2_IN_M2
    if image.sex not in ("F", "M"):
        raise SuvError("The files do not say whether the patient is female or male.")
    if height_m < _ADULT_HEIGHT_M:
        raise SuvError("The formula was made for adults, and the patient is too small for it.")
    return 1000 * _adult_weight(name, weight_kg, height_cm, is_female=image.sex == "F")


def _adult_weight(name: SuvType, weight_kg: float, height_cm: float, *, is_female: bool) -> float:
    if name == "LBMJANMA":
        body_mass_index = weight_kg / (height_cm / 100) ** 2
        per_index, constant = (244, 8780) if is_female else (216, 6680)
        return 9270 * weight_kg / (constant + per_index * body_mass_index)
    if name == "LBMJAMES128":
        share, square = (1.07, 148) if is_female else (1.10, 128)
        # Above its highest point the parabola says that heavier people weigh less.
        if weight_kg > share * height_cm**2 / (2 * square):
            raise SuvError(
                "James' formula of lean body mass does not hold for so heavy a patient. Choose "
                "Janmahasatian's."
            )
        return share * weight_kg - square * (weight_kg / height_cm) ** 2
    least, per_cm = (45.5, 0.91) if is_female else (48.0, 1.06)
    return min(least + per_cm * (height_cm - 152), weight_kg)


def _common(name: str, values: set[str]) -> str:
    if len(values) > 1:
        raise SuvError(f"The images of the series differ in {name}.")
    return next(iter(values))


def _common_number(name: str, values: Sequence[float | None]) -> float:
    known = {value for value in values if value is not None}
    if not known or len(known) < len(set(values)):
        raise SuvError(f"The files do not say the {name}.")
    if len(known) > 1:
        raise SuvError(f"The images of the series differ in the {name}.")
    return known.pop()
