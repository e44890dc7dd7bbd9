"""Waveforms: the same values as pydicom's own reader, and nothing believed that is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from imaging.errors import DecodeError, ImagingError, UnsupportedError
from imaging.waveform import read_waveform
from tests.dicom import make_instance, to_bytes

ECG = "waveform/waveform_ecg.dcm"


def group(samples: np.ndarray, kind: str = "SS", **values: Any) -> Dataset:
    ds = Dataset()
    ds.NumberOfWaveformSamples, ds.NumberOfWaveformChannels = samples.shape
    ds.SamplingFrequency = "100"
    ds.WaveformBitsAllocated = samples.dtype.itemsize * 8
    ds.WaveformSampleInterpretation = kind
    ds.WaveformData = samples.tobytes()
    ds["WaveformData"].VR = "OW"
    for keyword, value in values.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def waveform(*groups: Dataset) -> bytes:
    ds = make_instance(PixelData=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.9.1.1")
    ds.WaveformSequence = list(groups)
    return to_bytes(ds)


def test_a_real_ecg_has_the_values_that_pydicom_reads(data: Path) -> None:
    expected = pydicom.dcmread(data / ECG)
    found = read_waveform(data / ECG)
    assert len(found.groups) == len(expected.WaveformSequence) == 2
    for number, (its, item) in enumerate(zip(found.groups, expected.WaveformSequence, strict=True)):
        values = np.stack([channel.values for channel in its.channels], axis=1)
        np.testing.assert_allclose(values, expected.waveform_array(number), rtol=1e-6)
        definitions = item.ChannelDefinitionSequence
        assert [channel.name for channel in its.channels] == [
            entry.ChannelSourceSequence[0].CodeMeaning for entry in definitions
        ]
        assert {channel.unit for channel in its.channels} == {"uV"}
        assert its.frequency_hz == float(item.SamplingFrequency)
    assert found.groups[0].duration_s == 10
    assert "QRS Duration: 75 ms" in found.annotations


def test_sensitivity_correction_and_baseline() -> None:
    definition, unit = Dataset(), Dataset()
    unit.CodeValue, unit.CodeMeaning = "mm[Hg]", "mmHg"
    definition.ChannelSensitivity = "0.5"
    definition.ChannelSensitivityUnitsSequence = [unit]
    definition.ChannelSensitivityCorrectionFactor = "4"
    definition.ChannelBaseline = "7"
    definition.ChannelLabel = "AORTA"
    samples = np.array([[0], [10], [-10]], "<i2")
    (only,) = read_waveform(waveform(group(samples, ChannelDefinitionSequence=[definition]))).groups
    (channel,) = only.channels
    assert channel.values.tolist() == [7, 27, -13]
    assert (channel.name, channel.unit) == ("AORTA", "mm[Hg]")


def test_samples_that_the_device_did_not_have_are_gaps() -> None:
    samples = np.array([[1, 5], [-32768, 6], [3, -32768]], "<i2")
    data = group(samples)
    data.add_new("WaveformPaddingValue", "OW", np.array([-32768], "<i2").tobytes())
    (only,) = read_waveform(waveform(data)).groups
    assert np.isnan(only.channels[0].values).tolist() == [False, True, False]
    assert np.isnan(only.channels[1].values).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("SB", "i1"), ("UB", "u1"), ("SS", "<i2"), ("US", "<u2"), ("SL", "<i4"), ("UL", "<u4")],
)
def test_every_kind_of_sample(kind: str, dtype: str) -> None:
    samples = np.array([[1, 2], [3, 100]], dtype)
    (only,) = read_waveform(waveform(group(samples, kind))).groups
    assert [channel.values.tolist() for channel in only.channels] == [[1, 3], [2, 100]]
    assert [channel.name for channel in only.channels] == ["Channel 1", "Channel 2"]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"NumberOfWaveformSamples": 4_000_000_000}, DecodeError),
        ({"NumberOfWaveformSamples": 0}, DecodeError),
        ({"NumberOfWaveformChannels": 65000}, DecodeError),
        ({"SamplingFrequency": "0"}, DecodeError),
        ({"SamplingFrequency": None}, DecodeError),
        ({"WaveformData": None}, DecodeError),
        ({"WaveformSampleInterpretation": "MB"}, UnsupportedError),
        ({"WaveformBitsAllocated": 8}, UnsupportedError),
    ],
    ids=["samples", "none", "channels", "frequency", "no_frequency", "no_data", "sound", "bits"],
)
def test_what_is_not_there_is_not_believed(
    values: dict[str, Any], error: type[ImagingError]
) -> None:
    with pytest.raises(error):
        read_waveform(waveform(group(np.zeros((10, 2), "<i2"), **values)))


def test_a_picture_is_no_waveform() -> None:
    with pytest.raises(UnsupportedError):
        read_waveform(to_bytes(make_instance()))
