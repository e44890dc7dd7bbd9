"""Drawn pictures of stored instances: overlays, viewports, words, colours and presentation states.

Windows are tested in test_retrieve.py; what a state does to pixels in tests/unit/imaging.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from archive import decoding, films, retrieve
from archive.errors import InvalidInputError, UndecodableError
from archive.rendering import Form, Rendering, rendering_of
from imaging.icc import profile_of
from imaging.viewport import Viewport
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility

PIXELS = (np.arange(40 * 60).reshape(40, 60) % 256).astype(np.uint8)
MASK = np.zeros((40, 60), np.uint8)
MASK[5:9, 10:20] = 1


def stored(ds: Dataset, facility: Facility) -> DicomImage:
    return DicomImage.objects.select_related("series__study").get(
        pk=factories.store_bytes(to_bytes(ds), facility).image_id
    )


def picture(rendered: retrieve.Rendered) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(rendered.content)))


def with_overlay(**keywords: Any) -> Dataset:
    ds = make_instance(PIXELS, **keywords)
    bits = np.packbits(MASK.reshape(-1), bitorder="little").tobytes()
    for element, vr, value in (
        (0x10, "US", 40),
        (0x11, "US", 60),
        (0x40, "CS", "G"),
        (0x50, "SS", [1, 1]),
        (0x100, "US", 1),
        (0x102, "US", 0),
        (0x3000, "OW", bits),
    ):
        ds.add_new((0x6000, element), vr, value)
    return ds


def test_overlays_are_drawn_unless_they_are_not_wanted(store: Path, facility: Facility) -> None:
    image = stored(with_overlay(), facility)
    drawn = picture(retrieve.frame(image, 1, Rendering(Form.PNG)))
    np.testing.assert_array_equal(drawn, np.where(MASK, 255, PIXELS))
    plain = picture(retrieve.frame(image, 1, Rendering(Form.PNG, overlays=False)))
    np.testing.assert_array_equal(plain, PIXELS)
    exact = retrieve.frame(image, 1, Rendering(Form.RAW))
    assert exact.content == PIXELS.tobytes()
    assert picture(retrieve.thumbnail(image))[6, 15] == 255
    # The viewer draws none: its preview must look as what comes after it.
    assert picture(retrieve.preview(image, 1))[6, 15] < 255


def test_an_overlay_in_unused_bits(store: Path, facility: Facility) -> None:
    values = (np.arange(40 * 60).reshape(40, 60) % 4096).astype(np.uint16)
    ds = make_instance(values | MASK.astype(np.uint16) << 15, BitsStored=12, HighBit=11)
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = 2047.5, 4095, "LINEAR_EXACT"
    for element, vr, value in (
        (0x10, "US", 40),
        (0x11, "US", 60),
        (0x40, "CS", "G"),
        (0x50, "SS", [1, 1]),
        (0x100, "US", 16),
        (0x102, "US", 15),
    ):
        ds.add_new((0x6002, element), vr, value)
    drawn = picture(retrieve.frame(stored(ds, facility), 1, Rendering(Form.PNG)))
    expected = np.floor(values / 4095 * 255 + 0.5)
    np.testing.assert_array_equal(drawn, np.where(MASK, 255, expected))


def test_a_viewport_cuts_flips_and_fits(store: Path, facility: Facility) -> None:
    smooth = (np.mgrid[0:40, 0:60][0] + 3 * np.mgrid[0:40, 0:60][1]).astype(np.uint8)
    image = stored(make_instance(smooth, PixelSpacing=[2.0, 1.0]), facility)
    rendering = Rendering(Form.PNG, viewport=Viewport.parse("60,80,0,0,-60,40"))
    rendered = retrieve.frame(image, 1, rendering)
    # Pixels twice as high as wide: 60 x 40 of them fill 60 x 80.
    assert (rendered.columns, rendered.rows) == (60, 80)
    shown = picture(rendered)
    np.testing.assert_allclose(shown[0::2, ::-1].astype(int), smooth, atol=1)
    outside = Rendering(Form.PNG, viewport=Viewport.parse("9,9,60,0,5,5"))
    with pytest.raises(InvalidInputError, match="outside"):
        retrieve.frame(image, 1, outside)


def test_a_film_has_every_frame_at_its_speed_and_one_window(
    store: Path, facility: Facility
) -> None:
    frames = np.stack([np.full((12, 16), 1000 + 100 * n, np.uint16) for n in range(5)])
    frames[:, :, 8:] += 200
    ds = make_instance(frames[0], NumberOfFrames=5, FrameTime=40)
    ds.PixelData = frames.tobytes()
    rendered = films.gif(stored(ds, facility), Rendering(Form.GIF))
    film = Image.open(io.BytesIO(rendered.content))
    assert (rendered.content_type, getattr(film, "n_frames", 0)) == ("image/gif", 5)
    shown = []
    for number in range(5):
        film.seek(number)
        assert film.info["duration"] == 40
        shown.append(np.asarray(film.convert("L")))
    # The window is the middle frame's, 1200 to 1400: before it is darker, after it brighter.
    expected = np.floor(np.clip((frames - 1200.0) / 200, 0, 1) * 255 + 0.5)
    np.testing.assert_array_equal(np.stack(shown), expected)


def test_a_film_that_would_fill_the_memory_is_refused(store: Path, facility: Facility) -> None:
    ds = make_instance(np.zeros((512, 512), np.uint8), NumberOfFrames=300)
    ds.PixelData = bytes(300 * 512 * 512)
    image = stored(ds, facility)
    with pytest.raises(InvalidInputError, match="viewport"):
        films.gif(image, Rendering(Form.GIF))
    small = films.gif(image, Rendering(Form.GIF, viewport=Viewport(8, 8)))
    assert small.content.startswith(b"GIF89a")


@pytest.mark.parametrize("form", ["png", "webp", "gif"])
def test_forms_show_the_same_picture(store: Path, facility: Facility, form: str) -> None:
    image = stored(make_instance(PIXELS), facility)
    rendered = retrieve.frame(image, 1, Rendering(Form(form), quality=100))
    assert rendered.content_type == f"image/{form}"
    grey = np.asarray(Image.open(io.BytesIO(rendered.content)).convert("L"))
    np.testing.assert_array_equal(grey, PIXELS)


def test_words_are_burned_in_and_follow_a_corrected_name(store: Path, facility: Facility) -> None:
    ds = make_instance(np.zeros((256, 256), np.uint8), PatientName="Meyer^Anna", KVP=120)
    image = stored(ds, facility)
    both = Rendering(Form.PNG, annotations=("patient", "technique"))
    shown = picture(retrieve.frame(image, 1, both))
    corners = [shown[:80, :80], shown[:80, -80:], shown[-80:, :80], shown[-80:, -80:]]
    assert all((corner > 180).any() for corner in corners)
    assert not picture(retrieve.frame(image, 1, Rendering(Form.PNG))).any()
    patient = Rendering(Form.PNG, annotations=("patient",))
    assert not picture(retrieve.frame(image, 1, patient))[-80:].any()
    before = retrieve.frame(image, 1, patient).content
    image.series.study.patient_name = "Maier^Anna"
    assert retrieve.frame(image, 1, patient).content != before


def test_colour_profiles_on_request(store: Path, facility: Facility) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[...] = (255, 0, 0)
    image = stored(make_instance(red, ICCProfile=profile_of("srgb")), facility)
    plain = Image.open(io.BytesIO(retrieve.frame(image, 1, Rendering(Form.PNG)).content))
    assert "icc_profile" not in plain.info
    wide = Image.open(
        io.BytesIO(retrieve.frame(image, 1, Rendering(Form.PNG, icc_profile="adobergb")).content)
    )
    assert wide.info["icc_profile"] == profile_of("adobergb")
    assert np.abs(np.asarray(wide)[0, 0].astype(int) - (219, 0, 0)).max() <= 1


def state_of(image: DicomImage, **keywords: Any) -> Dataset:
    ds = make_instance(SOPClassUID="1.2.840.10008.5.1.4.1.1.11.1", Modality="PR", **keywords)
    for keyword in ("PixelData", "Rows", "Columns", "PhotometricInterpretation"):
        delattr(ds, keyword)
    ds.StudyInstanceUID = image.series.study.study_instance_uid
    reference, series = Dataset(), Dataset()
    reference.ReferencedSOPClassUID = image.sop_class_uid
    reference.ReferencedSOPInstanceUID = image.sop_instance_uid
    series.SeriesInstanceUID = image.series.series_instance_uid
    series.ReferencedImageSequence = [reference]
    ds.ReferencedSeriesSequence = [series]
    return ds


def test_a_presentation_state_is_applied(store: Path, facility: Facility) -> None:
    image = stored(with_overlay(), facility)
    state = stored(
        state_of(image, PresentationLUTShape="INVERSE", ImageRotation=180, ImageHorizontalFlip="Y"),
        facility,
    )
    shown = picture(retrieve.frame(image, 1, Rendering(Form.PNG), state=state))
    # Half a turn and a flip: upside down. The overlay is not activated by the state.
    np.testing.assert_array_equal(shown, (255 - PIXELS)[::-1])
    plain = picture(retrieve.frame(image, 1, Rendering(Form.PNG)))
    np.testing.assert_array_equal(plain, np.where(MASK, 255, PIXELS))


def test_a_state_shows_the_images_overlay_in_its_layers_grey(
    store: Path, facility: Facility
) -> None:
    image = stored(with_overlay(), facility)
    ds = state_of(image, PresentationLUTShape="IDENTITY")
    ds.add_new((0x6000, 0x1001), "CS", "LAYER")
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = "LAYER", 1
    layer.GraphicLayerRecommendedDisplayGrayscaleValue = 0x4000
    ds.GraphicLayerSequence = [layer]
    state = stored(ds, facility)
    shown = picture(retrieve.frame(image, 1, Rendering(Form.PNG), state=state))
    np.testing.assert_array_equal(shown, np.where(MASK, 0x40, PIXELS))


def test_a_state_subtracts_a_mask(store: Path, facility: Facility) -> None:
    frames = np.stack([PIXELS, np.clip(PIXELS.astype(int) + 30, 0, 255).astype(np.uint8)])
    ds = make_instance(frames[0], NumberOfFrames=2)
    ds.PixelData = frames.tobytes()
    image = stored(ds, facility)
    mask, voi = Dataset(), Dataset()
    mask.MaskOperation, mask.MaskFrameNumbers = "AVG_SUB", [1]
    voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = 0, 100, "LINEAR_EXACT"
    state = stored(
        state_of(
            image, PresentationLUTShape="IDENTITY", MaskSubtractionSequence=[mask],
            SoftcopyVOILUTSequence=[voi], RecommendedViewingMode="SUB",
        ),
        facility,
    )  # fmt: skip
    shown = picture(retrieve.frame(image, 2, Rendering(Form.PNG), state=state))
    difference = frames[1].astype(float) - frames[0]
    expected = np.floor((difference / 100 + 0.5) * 255 + 0.5)
    np.testing.assert_array_equal(shown, expected)
    assert set(np.unique(picture(retrieve.frame(image, 1, Rendering(Form.PNG), state=state)))) == {
        128
    }


def test_a_state_of_another_image_is_refused(store: Path, facility: Facility) -> None:
    image, other = stored(make_instance(PIXELS), facility), stored(make_instance(PIXELS), facility)
    state = stored(state_of(other), facility)
    with pytest.raises(InvalidInputError, match="not for this image"):
        retrieve.frame(image, 1, Rendering(Form.PNG), state=state)
    with pytest.raises(UndecodableError, match="no presentation state"):
        retrieve.frame(image, 1, Rendering(Form.PNG), state=other)


def test_a_reason_is_a_picture_of_the_asked_size() -> None:
    content = retrieve.reason_picture("The file is damaged.", Rendering(Form.JPEG, width=400))
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.size) == ("JPEG", (400, 300))
    other = retrieve.reason_picture("It is a video.", Rendering(Form.JPEG, width=400))
    assert content != other


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"window": "40,400"}, Rendering(Form.PNG, 40, 400, window_function="LINEAR")),
        (
            {"window": "40, 0.5,linear-exact"},
            Rendering(Form.PNG, 40, 0.5, window_function="LINEAR_EXACT"),
        ),
        ({"window": "40,400,SIGMOID"}, Rendering(Form.PNG, 40, 400, window_function="SIGMOID")),
        ({"wc": "1", "ww": "2"}, Rendering(Form.PNG, 1, 2)),
        ({"viewport": "5,6"}, Rendering(Form.PNG, viewport=Viewport(5, 6))),
        (
            {"annotation": "technique,patient"},
            Rendering(Form.PNG, annotations=("patient", "technique")),
        ),
        ({"iccprofile": "displayp3"}, Rendering(Form.PNG, icc_profile="displayp3")),
        ({"overlays": "0"}, Rendering(Form.PNG, overlays=False)),
        ({"quality": "999", "unknown": "x"}, Rendering(Form.PNG)),
    ],
)
def test_parameters_of_the_standard_and_our_own(
    parameters: dict[str, str], expected: Rendering
) -> None:
    assert rendering_of("png", parameters) == expected


@pytest.mark.parametrize(
    "parameters",
    [
        {"window": "40"},
        {"window": "40,0.5"},
        {"window": "40,400,cubic"},
        {"window": "a,b"},
        {"window": "nan,4"},
        {"window": "40,400", "wc": "4", "ww": "5"},
        {"viewport": "0,0"},
        {"viewport": "5,5", "width": "5"},
        {"annotation": "price"},
        {"iccprofile": "cmyk"},
        {"overlays": "maybe"},
        {"quality": "0"},
        {"quality": "101"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match="'"):
        rendering_of("jpg", parameters)


@pytest.fixture(autouse=True)
def _no_workers_left() -> Any:
    yield
    decoding.close()
