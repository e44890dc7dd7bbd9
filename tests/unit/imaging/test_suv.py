"""Standardized uptake values: known numbers, clocks, private factors, and refusals in words.

The expected numbers are worked out by hand from round ones: 370 MBq and a half-life of one hour
leave 185 MBq after an hour, so that 70 kg make 70,000 g / 185,000,000 Bq.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from imaging import suv
from imaging.petfacts import PetFacts, parse_datetime, read_pet_facts
from imaging.suv import body_measure, uptake
from tests.dicom import make_instance, to_bytes

at = dt.datetime.fromisoformat

_NINE = at("2026-03-05 09:00:00")
_SCAN = at("2026-03-05 10:00:00")
FACTS = PetFacts(
    units="BQML",
    corrected_image=("DECY", "ATTN", "SCAT"),
    decay_correction="START",
    weight_kg=70.0,
    height_m=1.75,
    sex="M",
    agent_count=1,
    dose_bq=370e6,
    half_life_s=3600.0,
    injection_time=_NINE.time(),
    series_at=_SCAN,
    acquired_at=_SCAN,
)
_PER_BQ = 70_000 / 185e6


def factor(*images: PetFacts, kind: suv.SuvType = "BW") -> float:
    found = uptake(images)
    assert kind in found.scales, found.refusals
    return found.scales[kind].factor


def why(*images: PetFacts, kind: suv.SuvType = "BW") -> str:
    found = uptake(images)
    assert kind not in found.scales
    return found.refusals[kind]


def test_the_dose_decays_until_the_scan() -> None:
    assert factor(FACTS) == pytest.approx(_PER_BQ)
    found = uptake([FACTS])
    assert found.scales["BW"].unit == "SUVbw"
    assert found.source == "dose 370.0 MBq at 09:00:00, scan at 10:00:00 (Series Time)"


def test_a_real_scan_has_the_value_of_another_program(data: Path) -> None:
    facts = read_pet_facts((data / "pt_nm/GH184.dcm").read_bytes())
    # calculate-suv 1.1.0 of the Cornerstone project, given the same attributes.
    assert factor(facts) == pytest.approx(0.00033176370742160247, rel=1e-12)
    assert factor(facts, kind="BSA") == pytest.approx(0.00007423030297230283, rel=1e-12)
    assert "female or male" in why(facts, kind="LBMJANMA")


def test_decay_corrected_to_the_injection() -> None:
    admin = replace(FACTS, decay_correction="ADMIN", injection_time=None, half_life_s=None)
    assert factor(admin) == pytest.approx(70_000 / 370e6)


def test_injected_before_midnight() -> None:
    late = replace(
        FACTS,
        injection_time=dt.time(23, 30),
        series_at=at("2026-03-06 00:30:00"),
        acquired_at=at("2026-03-06 00:30:00"),
    )
    assert factor(late) == pytest.approx(_PER_BQ)


def test_a_start_with_its_day_comes_before_the_time_alone() -> None:
    dated = replace(FACTS, injected_at=_NINE)
    assert factor(dated) == pytest.approx(_PER_BQ)
    two = why(replace(dated, injection_time=dt.time(8, 30)))
    assert "two times of the injection" in two
    assert "09:00:00" in two
    assert "08:30:00" in two


def test_long_lived_radionuclides_need_the_day() -> None:
    zirconium = replace(FACTS, half_life_s=282_276.0)
    assert "not its day" in why(zirconium)
    days = replace(zirconium, injected_at=at("2026-03-02 09:00:00"))
    elapsed_s = 3 * 86400 + 3600
    expected = 70_000 / (370e6 * 2 ** (-elapsed_s / 282_276.0))
    assert factor(days) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "grams"),
    [
        ("BW", 70_000.0),
        # 9270 x 70 / (6680 + 216 x 22.857), and 9270 x 70 / (8780 + 244 x 22.857) below.
        ("LBMJANMA", 55_857.2),
        # 1.10 x 70 - 128 x 0.4^2
        ("LBMJAMES128", 56_520.0),
        # Du Bois and Du Bois 1916 give 1.85 m2.
        ("BSA", 18_481.4),
        # 48 + 1.06 x 23 is more than the weight, which it never exceeds.
        ("IBW", 70_000.0),
    ],
)
def test_measures_of_the_body(name: suv.SuvType, grams: float) -> None:
    assert body_measure(FACTS, name) == pytest.approx(grams, rel=2e-5)
    assert factor(FACTS, kind=name) == pytest.approx(grams / 185e6, rel=2e-5)


def test_measures_of_women_and_of_heavy_people() -> None:
    woman = replace(FACTS, sex="F")
    assert body_measure(woman, "LBMJANMA") == pytest.approx(45_197.0, rel=2e-5)
    assert body_measure(woman, "LBMJAMES128") == pytest.approx(51_220.0)
    assert body_measure(woman, "IBW") == pytest.approx(66_430.0)
    heavy = replace(FACTS, weight_kg=160.0)
    assert "Janmahasatian" in why(heavy, kind="LBMJAMES128")
    assert factor(heavy) == pytest.approx(160_000 / 185e6)


def test_values_that_the_scanner_made() -> None:
    given = PetFacts(units="GML", weight_kg=70.0, height_m=1.75, sex="M")
    assert factor(given) == 1
    assert factor(given, kind="LBMJAMES128") == pytest.approx(56.52 / 70)
    assert factor(PetFacts(units="GML")) == 1
    lean = replace(given, suv_type="LBMJAMES128")
    assert factor(lean, kind="LBMJAMES128") == 1
    assert factor(lean) == pytest.approx(70 / 56.52)
    assert "by which formula" in why(replace(given, suv_type="LBM"))
    assert factor(PetFacts(units="CM2ML"), kind="BSA") == 1
    assert "does not go with" in why(replace(given, suv_type="BSA"))


def test_private_factors_of_philips() -> None:
    counts = replace(FACTS, units="CNTS", philips_suv_factor=0.000551)
    assert factor(counts) == 0.000551
    assert factor(counts, kind="LBMJAMES128") == pytest.approx(0.000551 * 56.52 / 70)
    activity = replace(FACTS, units="CNTS", philips_activity_factor=1.5)
    assert factor(activity) == pytest.approx(1.5 * _PER_BQ)
    none = replace(activity, philips_suv_factor=0.0, philips_activity_factor=None)
    assert "no factor of Philips" in why(none)
    assert "different Philips" in why(counts, replace(counts, philips_suv_factor=0.0006))


def test_a_series_made_after_the_scan() -> None:
    """Later Series Times are those of a reconstruction: GE's element, then the images tell."""
    later = replace(FACTS, series_at=_SCAN + dt.timedelta(hours=3))
    assert factor(later) == pytest.approx(_PER_BQ)
    assert "earliest Acquisition Time" in uptake([later]).source
    second = replace(later, acquired_at=_SCAN + dt.timedelta(minutes=5))
    assert factor(second, later) == pytest.approx(_PER_BQ)
    scanned = replace(second, ge_scan_at=_SCAN)
    assert factor(scanned) == pytest.approx(_PER_BQ)
    # Frame Reference Time: 300 s to the frame, and the moment of its mean count rate in it.
    frame_ms = 240_000.0
    within = np.log(2) / 3600 * 240
    inside_ms = 1000 * 3600 / np.log(2) * np.log(within / (1 - np.exp(-within)))
    told = replace(
        second,
        actual_frame_duration_ms=frame_ms,
        frame_reference_time_ms=300_000 + float(inside_ms),
    )
    assert factor(told) == pytest.approx(_PER_BQ, rel=1e-6)
    assert "Frame Reference Time" in uptake([told]).source


def test_decay_factors_that_tell_of_another_time() -> None:
    frame = replace(FACTS, actual_frame_duration_ms=2000.0, decay_factor=2 ** (1 / 3600))
    assert factor(frame) == pytest.approx(_PER_BQ)
    assert "contradict themselves" in why(replace(frame, decay_factor=1.5))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight_kg": None}, "patient's weight"),
        ({"weight_kg": 0.0}, "patient's weight"),
        ({"weight_kg": 70_000.0}, "70000 kg is not plausible"),
        ({"dose_bq": None}, "injected dose"),
        ({"dose_bq": 370.0}, "perhaps written in MBq"),
        ({"half_life_s": None}, "half-life"),
        ({"half_life_s": -1.0}, "half-life"),
        ({"injection_time": None}, "when the radiopharmaceutical was injected"),
        ({"injected_at": _NINE + dt.timedelta(hours=2), "injection_time": None}, "was before the"),
        ({"injected_at": _NINE - dt.timedelta(days=1)}, "more than 10 half-lives"),
        ({"decay_correction": "NONE"}, "Decay Correction NONE"),
        ({"decay_correction": ""}, "to what time"),
        ({"corrected_image": ("DECY",)}, "not corrected for attenuation"),
        ({"corrected_image": ("ATTN",)}, "not corrected for radioactive decay"),
        ({"corrected_image": ()}, "how they were corrected"),
        ({"units": "PROPCPS"}, "PROPCPS"),
        ({"units": ""}, "Units is missing"),
        ({"agent_count": 0}, "no radiopharmaceutical"),
        ({"agent_count": 2}, "Several radiopharmaceuticals"),
        ({"acquired_at": None}, "when they were acquired"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.130"}, "enhanced PET"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "+".join(value),
)
def test_refused_in_words(change: dict[str, Any], words: str) -> None:
    assert words in why(replace(FACTS, **change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight_kg": 71.0}, "the patient's weight"),
        ({"dose_bq": 371e6}, "the injected dose"),
        ({"units": "CNTS"}, "Units"),
        ({"decay_correction": "ADMIN"}, "Decay Correction"),
    ],
    ids=["weight", "dose", "units", "decay"],
)
def test_images_that_differ(change: dict[str, Any], words: str) -> None:
    assert f"differ in {words}" in why(FACTS, replace(FACTS, **change))


def test_no_images() -> None:
    assert why() == "The series has no images."


def test_the_size_of_children() -> None:
    child = replace(FACTS, height_m=1.0, weight_kg=16.0)
    assert factor(child) == pytest.approx(16_000 / 185e6)
    assert "adults" in why(child, kind="IBW")
    assert "height" in why(replace(FACTS, height_m=None), kind="BSA")
    assert "175 m is not plausible" in why(replace(FACTS, height_m=175.0), kind="BSA")


def test_reading_what_a_file_says() -> None:
    agent = Dataset()
    agent.RadionuclideTotalDose = "370000000"
    agent.RadionuclideHalfLife = "6586.2"
    agent.RadiopharmaceuticalStartTime = "083000.5"
    agent.RadiopharmaceuticalStartDateTime = "20260305083000.5+0100"
    ds = make_instance(
        Modality="PT",
        Units="CNTS",
        SUVType="BW",
        CorrectedImage=["ATTN", "DECY"],
        DecayCorrection="ADMIN",
        PatientWeight="70.5",
        PatientSize="1.75",
        RadiopharmaceuticalInformationSequence=[agent],
        SeriesDate="20260305",
        SeriesTime="093000",
        AcquisitionDate="20260305",
        AcquisitionTime="093010",
        FrameReferenceTime="1000",
        ActualFrameDuration="120000",
        DecayFactor="1.01",
    )
    ds.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0, "DS", "0.00055")
    ds.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20260305092955")
    facts = read_pet_facts(to_bytes(ds))
    assert facts == PetFacts(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        units="CNTS",
        suv_type="BW",
        corrected_image=("ATTN", "DECY"),
        decay_correction="ADMIN",
        weight_kg=70.5,
        height_m=1.75,
        sex="F",
        agent_count=1,
        dose_bq=370e6,
        half_life_s=6586.2,
        injected_at=at("2026-03-05 08:30:00.500000"),
        injection_time=dt.time(8, 30, 0, 500_000),
        series_at=at("2026-03-05 09:30:00"),
        acquired_at=at("2026-03-05 09:30:10"),
        ge_scan_at=at("2026-03-05 09:29:55"),
        frame_reference_time_ms=1000,
        actual_frame_duration_ms=120_000,
        decay_factor=1.01,
        philips_suv_factor=0.00055,
    )


def test_private_numbers_of_another_maker_mean_nothing() -> None:
    ds = make_instance(Units="CNTS", CorrectedImage=["ATTN", "DECY"])
    ds.private_block(0x7053, "SOMEBODY ELSE", create=True).add_new(0, "DS", "0.00055")
    assert read_pet_facts(to_bytes(ds)).philips_suv_factor is None


def test_damaged_values_are_absent() -> None:
    ds = make_instance(Units="BQML")
    ds.add_new(0x00101030, "LO", "seventy")
    ds.add_new(0x00080031, "LO", "noon")
    facts = read_pet_facts(to_bytes(ds))
    assert (facts.weight_kg, facts.series_at, facts.agent_count) == (None, None, 0)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20260305083000", at("2026-03-05 08:30:00")),
        ("202603050830", at("2026-03-05 08:30:00")),
        ("20260305083000.123-0500", at("2026-03-05 08:30:00.123000")),
        ("20260305", None),
        ("20261305083000", None),
        ("", None),
        (None, None),
    ],
    ids=["seconds", "minutes", "offset", "day", "month-13", "empty", "absent"],
)
def test_moments(text: str | None, moment: dt.datetime | None) -> None:
    assert parse_datetime(text) == moment
