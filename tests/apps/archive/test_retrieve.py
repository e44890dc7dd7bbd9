"""Pictures of stored instances: the right pixels, windows, previews, tiles, and words for failures.

Expected greys are computed here by the formulas of PS3.3 C.11.2.1.2 in float64. Not covered here:
HTTP (tests/doors) and every transfer syntax (tests/doors/test_sidecar_reference.py).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut
from pydicom.sequence import Sequence
from pydicom.uid import EncapsulatedPDFStorage, generate_uid

from archive import decoding, frame_cache, retrieve
from archive.errors import InvalidInputError, NotFoundError, UndecodableError
from archive.retrieve import Form, Rendering
from tests import factories
from tests.codestreams import compressed_instance, jpeg_2000, noise
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility


def stored(ds: Dataset | bytes, facility: Facility) -> DicomImage:
    content = ds if isinstance(ds, bytes) else to_bytes(ds)
    return DicomImage.objects.get(pk=factories.store_bytes(content, facility).image_id)


def real(path: Path, facility: Facility) -> DicomImage:
    return DicomImage.objects.get(pk=factories.store_file(path, facility).image_id)


def picture(rendered: retrieve.Rendered) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(rendered.content)))


def linear(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, y from 0 to 255."""
    x = values.astype(np.float64)
    y = ((x - (center - 0.5)) / (width - 1) + 0.5) * 255
    y[x <= center - 0.5 - (width - 1) / 2] = 0
    y[x > center - 0.5 + (width - 1) / 2] = 255
    return y


def sigmoid(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.3.1."""
    return 255 / (1 + np.exp(-4 * (values.astype(np.float64) - center) / width))


def linear_exact(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.3.2."""
    x = values.astype(np.float64)
    y = ((x - center) / width + 0.5) * 255
    y[x <= center - width / 2] = 0
    y[x > center + width / 2] = 255
    return y


CT: dict[str, Any] = {"RescaleSlope": 2, "RescaleIntercept": -1024}


@pytest.mark.parametrize(
    ("keywords", "rendering", "expected"),
    [
        pytest.param(
            {**CT, "WindowCenter": 40, "WindowWidth": 400},
            Rendering(Form.PNG),
            lambda stored: linear(stored * 2.0 - 1024, 40, 400),
            id="the file's own window after rescale",
        ),
        pytest.param(
            {**CT, "WindowCenter": [40, -600], "WindowWidth": [400, 1500]},
            Rendering(Form.PNG, window_center=-600, window_width=1500),
            lambda stored: linear(stored * 2.0 - 1024, -600, 1500),
            id="a chosen window",
        ),
        pytest.param(
            {**CT, "WindowCenter": 40, "WindowWidth": 1},
            Rendering(Form.PNG),
            lambda stored: linear_exact(stored * 2.0 - 1024, 39.5, 1e-9),
            id="width 1 is a threshold",
        ),
        pytest.param(
            {"WindowCenter": 500, "WindowWidth": 300, "VOILUTFunction": "SIGMOID"},
            Rendering(Form.PNG),
            lambda stored: sigmoid(stored, 500, 300),
            id="sigmoid",
        ),
        pytest.param(
            {"WindowCenter": 500, "WindowWidth": 300, "VOILUTFunction": "LINEAR_EXACT"},
            Rendering(Form.PNG),
            lambda stored: linear_exact(stored, 500, 300),
            id="linear exact",
        ),
        pytest.param(
            {
                "WindowCenter": 500,
                "WindowWidth": 300,
                "PhotometricInterpretation": "MONOCHROME1",
            },
            Rendering(Form.PNG),
            lambda stored: 255 - linear(stored, 500, 300),
            id="MONOCHROME1 is inverted",
        ),
        pytest.param(
            {
                "WindowCenter": 500,
                "WindowWidth": 300,
                "PhotometricInterpretation": "MONOCHROME1",
            },
            Rendering(Form.PNG, invert=True),
            lambda stored: linear(stored, 500, 300),
            id="inverted once more",
        ),
    ],
)
def test_windowed_greys_follow_the_standard(
    store: Path, facility: Facility, keywords: dict[str, Any], rendering: Rendering, expected: Any
) -> None:
    pixels = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    image = stored(make_instance(pixels, **keywords), facility)
    rendered = retrieve.frame(image, 1, rendering)
    grey = picture(rendered)
    assert grey.shape == (32, 32)
    assert np.abs(grey - expected(pixels)).max() <= 0.5 + 1e-6
    if rendering.window_center is None:
        assert (
            rendered.window_center == keywords["WindowCenter"]
            if not isinstance(keywords["WindowCenter"], list)
            else keywords["WindowCenter"][0]
        )


def test_real_ct_in_its_own_window(store: Path, facility: Facility, data: Path) -> None:
    import pydicom

    path = data / "ct/head_phantom_1mm/I270"
    result = factories.store_file(path, facility)
    image = DicomImage.objects.get(pk=result.image_id)
    ds = pydicom.dcmread(path)
    values = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    center, width = (
        float(v[0] if hasattr(v, "__len__") else v) for v in (ds.WindowCenter, ds.WindowWidth)
    )
    grey = picture(retrieve.frame(image, 1, Rendering(Form.PNG)))
    assert np.abs(grey - linear(values, center, width)).max() <= 0.5 + 1e-6


def test_modality_and_voi_tables_take_the_place_of_numbers(store: Path, facility: Facility) -> None:
    ds = make_instance(np.arange(256, dtype=np.uint16).reshape(16, 16))
    modality, voi = Dataset(), Dataset()
    modality.LUTDescriptor, modality.ModalityLUTType = [256, 0, 16], "US"
    modality.LUTData = np.arange(255, -1, -1).astype("<u2").tobytes()
    voi.LUTDescriptor = [256, 0, 8]
    voi.LUTData = (np.arange(256) // 2).astype("<u2").tobytes()
    ds.ModalityLUTSequence, ds.VOILUTSequence = Sequence([modality]), Sequence([voi])
    for item in (modality, voi):
        item["LUTData"].VR = "OW"
    image = stored(ds, facility)
    rendered = retrieve.frame(image, 1, Rendering(Form.PNG))
    table = (255 - np.arange(256)) // 2
    # 0 to 127 are the seven bits that the table uses.
    assert np.abs(picture(rendered).reshape(-1) - table * 255 / 127).max() <= 0.5 + 1e-6
    assert rendered.window_center is None


def test_without_a_window_one_is_chosen_from_the_pixels(store: Path, facility: Facility) -> None:
    pixels = np.full((64, 64), 1000, np.uint16)
    pixels[:, 32:] = 3000
    rendered = retrieve.frame(stored(make_instance(pixels), facility), 1, Rendering(Form.PNG))
    grey = picture(rendered)
    assert (grey[:, :32] == 0).all()
    assert (grey[:, 32:] == 255).all()
    assert (rendered.window_center, rendered.window_width) == (2000, 2000)


@pytest.mark.parametrize(
    ("pixels", "bits"),
    [
        (np.arange(-500, 524, dtype=np.int16).reshape(32, 32), 16),
        (np.arange(1024, dtype=np.uint16).reshape(32, 32) * 60, 16),
        (np.arange(1024, dtype=np.uint8).reshape(32, 32), 8),
    ],
    ids=["int16", "uint16", "uint8"],
)
def test_exact_forms_carry_the_stored_values(
    store: Path, facility: Facility, pixels: np.ndarray, bits: int
) -> None:
    image = stored(make_instance(pixels), facility)

    raw = retrieve.frame(image, 1, Rendering(Form.RAW))
    assert (raw.rows, raw.columns, raw.samples) == (32, 32, 1)
    assert raw.dtype == pixels.dtype.name
    assert (raw.least, raw.greatest) == (pixels.min(), pixels.max())
    assert raw.content == pixels.tobytes()

    coded = retrieve.frame(image, 1, Rendering(Form.HTJ2K))
    assert np.array_equal(imagecodecs.htj2k_decode(coded.content), pixels)
    assert (coded.least, coded.greatest, coded.dtype) == (raw.least, raw.greatest, raw.dtype)

    packed = retrieve.frame(image, 1, Rendering(Form.RG16))
    rgb = picture(packed).astype(int)
    assert np.array_equal(rgb[..., 0] * 256 + rgb[..., 1] - packed.offset, pixels)
    assert np.array_equal(retrieve.exact(image, 1), pixels)
    assert retrieve.transport(image) == "jphc"


def test_colour_travels_as_rgb(store: Path, facility: Facility) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    image = stored(make_instance(pixels), facility)
    assert retrieve.frame(image, 1, Rendering(Form.RAW)).content == pixels.tobytes()
    assert np.array_equal(picture(retrieve.frame(image, 1, Rendering(Form.PNG))), pixels)
    coded = retrieve.frame(image, 1, Rendering(Form.HTJ2K))
    assert np.array_equal(imagecodecs.htj2k_decode(coded.content), pixels)
    with pytest.raises(UndecodableError, match="16-bit"):
        retrieve.frame(image, 1, Rendering(Form.RG16))


def test_palettes_are_looked_up(store: Path, facility: Facility) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    ds = make_instance(pixels, PhotometricInterpretation="PALETTE COLOR")
    channels = np.random.default_rng(2).integers(0, 256, (3, 256)).astype(np.uint16) << 8
    for name, values in zip(("Red", "Green", "Blue"), channels, strict=True):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{name}PaletteColorLookupTableData", values.astype("<u2").tobytes())
    image = stored(ds, facility)
    expected = (channels >> 8).T[pixels]
    assert np.array_equal(picture(retrieve.frame(image, 1, Rendering(Form.PNG))), expected)


def test_wide_and_decimal_frames_travel_raw(store: Path, facility: Facility) -> None:
    ds = make_instance(np.zeros((4, 4), np.uint16))
    values = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.BitsAllocated = 32
    ds.FloatPixelData = values.tobytes()
    image = stored(ds, facility)
    assert retrieve.transport(image) == "raw"
    raw = retrieve.frame(image, 1, Rendering(Form.RAW))
    assert (raw.dtype, raw.content) == ("float32", values.tobytes())
    with pytest.raises(UndecodableError, match="Ask for raw"):
        retrieve.frame(image, 1, Rendering(Form.HTJ2K))


def test_a_picture_can_be_asked_for_in_another_size(store: Path, facility: Facility) -> None:
    image = stored(make_instance(noise(60, 100)), facility)
    rendered = retrieve.frame(image, 1, Rendering(Form.PNG, width=50))
    assert picture(rendered).shape == (30, 50)
    assert (rendered.rows, rendered.columns) == (30, 50)
    jpeg = retrieve.frame(image, 1, Rendering(Form.JPEG, width=200, quality=50))
    assert jpeg.content.startswith(b"\xff\xd8")
    assert picture(jpeg).shape == (120, 200)


@pytest.mark.parametrize(
    "parameters",
    [
        {"window_center": 40.0},
        {"window_width": 40.0},
        {"window_center": 40.0, "window_width": 0.0},
        {"window_center": float("nan"), "window_width": 10.0},
        {"window_center": 10.0, "window_width": float("inf")},
        {"width": 0},
        {"width": 100_000},
        {"quality": 0},
        {"quality": 101},
    ],
)
def test_parameters_that_make_no_picture_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        Rendering(Form.JPEG, **parameters)


def test_frames_are_counted_from_one(store: Path, facility: Facility) -> None:
    frames = [noise(16, 16, seed) for seed in range(3)]
    ds = make_instance(frames[0], NumberOfFrames=3)
    ds.PixelData = b"".join(frame.tobytes() for frame in frames)
    image = stored(ds, facility)
    for number, frame in enumerate(frames, start=1):
        assert retrieve.frame(image, number, Rendering(Form.RAW)).content == frame.tobytes()
    for number in (0, 4, -1):
        with pytest.raises(NotFoundError, match="frames are 1 to 3"):
            retrieve.frame(image, number, Rendering(Form.RAW))
    assert retrieve.middle_frame(image) == 2


def test_a_preview_is_small_and_says_its_window(store: Path, facility: Facility) -> None:
    image = stored(
        make_instance(noise(2000, 1500), WindowCenter=30000, WindowWidth=60000), facility
    )
    preview = retrieve.preview(image, 1)
    assert len(preview.content) <= 96 * 1024
    assert preview.content.startswith(b"\xff\xd8")
    assert (preview.window_center, preview.window_width) == (30000, 60000)
    assert picture(preview).shape == (preview.rows, preview.columns)
    assert preview.rows / preview.columns == pytest.approx(2000 / 1500, abs=0.02)


def test_a_small_picture_is_its_own_preview(store: Path, facility: Facility) -> None:
    pixels = np.full((40, 30), 7, np.uint8)
    preview = retrieve.preview(stored(make_instance(pixels), facility), 1)
    assert (preview.rows, preview.columns) == (40, 30)
    assert picture(preview).shape == (40, 30)


def test_thumbnails_have_square_pixels(store: Path, facility: Facility) -> None:
    image = stored(make_instance(noise(100, 400), PixelSpacing=[4, 1]), facility)
    assert picture(retrieve.thumbnail(image)).shape == (256, 256)


def test_an_object_without_pixels_gets_a_tile_with_words(store: Path, facility: Facility) -> None:
    ds = make_instance(Modality="DOC", SOPClassUID=EncapsulatedPDFStorage, PixelData=None)
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(ds, keyword)
    ds.EncapsulatedDocument = b"%PDF-1.4"
    image = stored(ds, facility)
    tile = picture(retrieve.thumbnail(image))
    assert tile.shape == (256, 256, 3)
    # Letters: light pixels on the dark surface, in both lines.
    assert (tile[70:140].max(axis=2) > 180).sum() > 200
    assert (tile[150:180].max(axis=2) > 140).sum() > 100
    with pytest.raises(UndecodableError, match="PDF document"):
        retrieve.frame(image, 1, Rendering(Form.PNG))
    assert retrieve.transport(image) is None


def test_a_damaged_frame_says_why_and_is_decoded_once(
    store: Path, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = bytearray(jpeg_2000(noise(64, 64)))
    code[60:] = bytes(len(code) - 60)
    image = stored(compressed_instance([bytes(code)], 64, 64), facility)
    asked: list[int] = []
    decode = decoding.decode_exact

    def counting(*arguments: Any, **keywords: Any) -> Any:
        asked.append(1)
        return decode(*arguments, **keywords)

    monkeypatch.setattr(decoding, "decode_exact", counting)
    for form in (Form.PNG, Form.HTJ2K, Form.JPEG, Form.PNG):
        with pytest.raises(UndecodableError, match="Send it again"):
            retrieve.frame(image, 1, Rendering(form))
    assert len(asked) == 1
    tile = picture(retrieve.thumbnail(image))
    assert tile.shape == (256, 256, 3)


def test_a_missing_file_is_named_in_words(store: Path, facility: Facility) -> None:
    image = stored(make_instance(), facility)
    (store / image.storage_key).unlink()
    with pytest.raises(UndecodableError, match="stored file of this picture is missing"):
        retrieve.frame(image, 1, Rendering(Form.PNG))


def test_absurd_dimensions_cost_nothing(store: Path, facility: Facility) -> None:
    content = compressed_instance([jpeg_2000(noise(8, 8))], 65535, 65535)
    image = stored(content, facility)
    with pytest.raises(UndecodableError, match="larger than this system shows"):
        retrieve.frame(image, 1, Rendering(Form.PNG))
    assert "larger" in retrieve.problem(image)
    assert retrieve.transport(image) is None


def test_the_same_content_is_made_once_for_all_facilities(
    store: Path, facility: Facility, other_facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = to_bytes(make_instance())
    first, second = stored(content, facility), stored(content, other_facility)
    assert first.pk != second.pk
    rendered = retrieve.frame(first, 1, Rendering(Form.PNG))
    monkeypatch.setattr(decoding, "decode_exact", None)
    assert retrieve.frame(second, 1, Rendering(Form.PNG)) == rendered
    frame_cache.forget_memory()
    assert retrieve.peek(second, 1, Rendering(Form.PNG)) is None
    assert retrieve.frame(second, 1, Rendering(Form.PNG)) == rendered
    assert retrieve.peek(second, 1, Rendering(Form.PNG)) == rendered


def test_other_renderings_are_other_pictures(store: Path, facility: Facility) -> None:
    image = stored(make_instance(noise(16, 16)), facility)
    keys = {
        retrieve.key_of(image, number, rendering)
        for number in (1, 2)
        for rendering in (
            Rendering(Form.PNG),
            Rendering(Form.JPEG),
            Rendering(Form.PNG, invert=True),
            Rendering(Form.PNG, width=8),
            Rendering(Form.PNG, window_center=1, window_width=2),
            Rendering(Form.PNG, window_center=2, window_width=1),
            Rendering(Form.JPEG, quality=50),
            Rendering(Form.HTJ2K),
            Rendering(Form.RG16),
        )
    }
    assert len(keys) == 18


def modality_lut(ds: Dataset, kind: str = "OD") -> Dataset:
    """Give an instance of stored values 0 to 3 a Modality LUT to 0, 100, 1000, 40000."""
    table = Dataset()
    table.add_new(0x00283002, "US", [4, 0, 16])
    table.ModalityLUTType = kind
    table.add_new(0x00283006, "US", [0, 100, 1000, 40000])
    ds.ModalityLUTSequence = Sequence([table])
    return ds


@pytest.mark.parametrize("name", ["lut_overlay/mlut_18.dcm", "cr_dx_mg/CR-ModalitySequenceLUT.dcm"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_exact_frames_are_values_after_the_modality_lut(
    store: Path, data: Path, facility: Facility, name: str
) -> None:
    ds = pydicom.dcmread(data / name)
    expected = apply_modality_lut(ds.pixel_array, ds).astype(np.uint16)
    # One of the files has identifiers that the archive refuses.
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.SeriesInstanceUID, ds.StudyInstanceUID = generate_uid(), generate_uid()
    image = stored(ds, facility)
    assert np.array_equal(retrieve.exact(image, 1), expected)
    assert retrieve.transport(image) == "jphc"
    raw = retrieve.frame(image, 1, Rendering(Form.RAW))
    assert (raw.dtype, raw.least, raw.greatest) == ("uint16", expected.min(), expected.max())
    assert np.array_equal(np.frombuffer(raw.content, "<u2").reshape(expected.shape), expected)
    jphc = retrieve.frame(image, 1, Rendering(Form.HTJ2K))
    assert np.array_equal(imagecodecs.htj2k_decode(jphc.content), expected)
    packed = picture(retrieve.frame(image, 1, Rendering(Form.RG16))).astype(np.uint16)
    assert np.array_equal(packed[..., 0] << 8 | packed[..., 1], expected)
    values = retrieve.values(image)
    assert (values["RescaleSlope"], values["RescaleIntercept"]) == (1, 0)
    assert (values["BitsAllocated"], values["PixelRepresentation"]) == (16, 0)
    assert values["RescaleType"] == ds.ModalityLUTSequence[0].ModalityLUTType
    assert int(expected.max()) < 1 << values["BitsStored"]


def test_the_modality_lut_is_applied_once_to_windowed_pictures(
    store: Path, facility: Facility
) -> None:
    pixels = np.array([[0, 1], [2, 3]], np.uint16)
    image = stored(modality_lut(make_instance(pixels)), facility)
    expected = np.array([[0, 100], [1000, 40000]])
    assert np.array_equal(retrieve.exact(image, 1), expected)
    png = retrieve.frame(image, 1, Rendering(Form.PNG, window_center=1000, window_width=2001))
    assert np.array_equal(picture(png), np.rint(linear(expected, 1000, 2001)))


def test_modality_lut_reaches_padding_and_frames(store: Path, facility: Facility) -> None:
    ds = modality_lut(make_instance(np.array([[0, 1], [2, 3]], np.uint16)), "HU")
    ds.add_new(0x00280120, "US", 3)
    image = stored(ds, facility)
    values = retrieve.values(image)
    assert values["PixelPaddingValue"] == 40000
    assert values["RescaleType"] == "HU"
    image.display["frames"] = [{"RescaleSlope": 7.0, "RescaleIntercept": 1.0, "WindowCenter": [3]}]
    (frame,) = retrieve.values(image)["frames"]
    assert frame == {"RescaleSlope": 1.0, "RescaleIntercept": 0.0, "WindowCenter": [3]}


def test_rows_of_before_the_tables_were_noted_are_read_again(
    store: Path, facility: Facility
) -> None:
    image = stored(modality_lut(make_instance(np.array([[0, 3]], np.uint16))), facility)
    assert image.value("LookupTables") is True
    del image.display["LookupTables"]
    assert retrieve.exact(image, 1).tolist() == [[0, 40000]]
    assert retrieve.version_of(image) == f"{image.digest}-m"


def test_images_without_tables_are_as_stored_and_their_file_is_not_opened(
    store: Path, facility: Facility
) -> None:
    image = stored(make_instance(np.array([[0, 3]], np.uint16)), facility)
    (store / image.storage_key).unlink()
    assert retrieve.values(image) == {}
    assert retrieve.hidden(image) == []
    assert retrieve.version_of(image) == image.digest


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lut_overlay/ovly_p01.dcm", ["OverlayData"]),
        ("lut_overlay/vlut_04.dcm", []),
        ("lut_overlay/mlut_18.dcm", []),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tells_what_no_picture_shows(
    store: Path, data: Path, facility: Facility, name: str, expected: list[str]
) -> None:
    image = real(data / name, facility)
    assert retrieve.hidden(image) == expected
