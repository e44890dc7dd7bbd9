"""Presentation states: grey by DCMTK's own renderer and by PS3.3 C.11, the rest by counted pixels.

The states are written by pydicom. DCMTK draws no graphics and ignores the displayed area, so those
are checked by where their pixels lie.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid

from imaging.errors import InvalidViewError, UnsupportedError
from imaging.header import read_index
from imaging.overlay import OverlayPlane
from imaging.pixels import PixelFacts, exact_frame
from imaging.render import Presentation, to_eight_bit
from imaging.shutter import Shutter
from imaging.softcopy import FrameState, SoftcopyState, lab_to_rgb, read_softcopy
from imaging.softcopy_drawing import draw_state, presented
from imaging.viewport import Viewport
from tests.dicom import make_instance, to_bytes

GRAYSCALE = "1.2.840.10008.5.1.4.1.1.11.1"
PIXELS = (np.arange(48 * 64).reshape(48, 64) * 5 % 4096).astype(np.uint16)


def item(**keywords: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in keywords.items():
        setattr(ds, keyword, value)
    return ds


def lut(values: np.ndarray, first: int = 0, bits: int = 16, **keywords: Any) -> Dataset:
    ds = item(**keywords)
    ds.add_new("LUTDescriptor", "US", [len(values) % 65536, first, bits])
    ds.add_new("LUTData", "OW", values.astype("<u2").tobytes())
    return ds


def image_file(**keywords: Any) -> Dataset:
    return make_instance(PIXELS, BitsStored=12, HighBit=11, **keywords)


def state_for(image: Dataset, **keywords: Any) -> Dataset:
    """A state for one image that shows all of it, its full range, one for one."""
    ds = make_instance(SOPClassUID=UID(GRAYSCALE), Modality="PR")
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(ds, keyword)
    for keyword in ("PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation"):
        delattr(ds, keyword)
    ds.StudyInstanceUID = image.StudyInstanceUID
    ds.ContentLabel, ds.ContentDescription, ds.InstanceNumber = "TEST", "", 1
    ds.PresentationCreationDate, ds.PresentationCreationTime = "20260102", "030405"
    ds.ContentCreatorName = ""
    reference = item(
        ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID
    )
    ds.ReferencedSeriesSequence = [
        item(
            SeriesInstanceUID=image.SeriesInstanceUID,
            ReferencedImageSequence=[reference],
        )
    ]
    ds.DisplayedAreaSelectionSequence = [
        item(
            DisplayedAreaTopLeftHandCorner=[1, 1],
            DisplayedAreaBottomRightHandCorner=[image.Columns, image.Rows],
            PresentationSizeMode="SCALE TO FIT",
            PresentationPixelAspectRatio=[1, 1],
        )
    ]
    ds.PresentationLUTShape = "IDENTITY"
    for keyword, value in keywords.items():
        setattr(ds, keyword, value)
        if value is None:
            delattr(ds, keyword)
    return ds


def applied(image: Dataset, state: Dataset, **view: Any) -> np.ndarray:
    """What we draw."""
    data = to_bytes(image)
    index = read_index(data)
    facts = PixelFacts.of(index, index.frames)
    frame = exact_frame(data, facts, 0)
    said = read_softcopy(to_bytes(state)).for_frame(image.SOPInstanceUID, 1)
    assert said is not None
    shown = presented(
        Presentation.of(index.display, index.photometric_interpretation), said, frame, facts
    )
    return draw_state(to_eight_bit(frame, shown), said, 1, **view)


def by_dcmtk(image: Dataset, state: Dataset, folder: Path) -> np.ndarray:
    (folder / "image.dcm").write_bytes(to_bytes(image))
    (folder / "state.dcm").write_bytes(to_bytes(state))
    subprocess.run(
        ["dcmp2pgm", "-p", "state.dcm", "image.dcm", "out.pgm"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return np.asarray(Image.open(folder / "out.pgm"))


CURVE = np.rint(np.sqrt(np.arange(4096) / 4095) * 65535)
STATES: dict[str, dict[str, Any]] = {
    "window": {"SoftcopyVOILUTSequence": [item(WindowCenter=1500, WindowWidth=900)]},
    "inverse": {
        "SoftcopyVOILUTSequence": [item(WindowCenter=1500, WindowWidth=900)],
        "PresentationLUTShape": "INVERSE",
    },
    "full range": {},
    "rescale": {
        "RescaleSlope": 2,
        "RescaleIntercept": -1000,
        "RescaleType": "US",
        "SoftcopyVOILUTSequence": [item(WindowCenter=1500, WindowWidth=900)],
    },
    "modality table": {"ModalityLUTSequence": [lut(CURVE, ModalityLUTType="US")]},
    "window table": {"SoftcopyVOILUTSequence": [item(VOILUTSequence=[lut(CURVE)])]},
    "presentation table": {
        "PresentationLUTShape": None,
        "PresentationLUTSequence": [lut(CURVE)],
        "SoftcopyVOILUTSequence": [item(WindowCenter=1500, WindowWidth=900)],
    },
    "turned": {"ImageRotation": 90, "ImageHorizontalFlip": "N"},
    "turned and flipped": {"ImageRotation": 270, "ImageHorizontalFlip": "Y"},
}


@pytest.mark.peers
@pytest.mark.parametrize("name", STATES)
def test_greys_are_those_of_dcmtk(name: str, tmp_path: Path) -> None:
    image = image_file()
    state = state_for(image, **STATES[name])
    ours, theirs = applied(image, state), by_dcmtk(image, state, tmp_path)
    assert ours.shape == theirs.shape
    # One grey level: DCMTK cuts fractions off where we round.
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_a_sigmoid_by_its_formula() -> None:
    """DCMTK 3.6.7 takes a state's sigmoid for a line: PS3.3 C.11.2.1.3.1 decides."""
    image = image_file()
    window = item(WindowCenter=2000, WindowWidth=700, VOILUTFunction="SIGMOID")
    expected = 255 / (1 + np.exp(-4 * (PIXELS.astype(np.float64) - 2000) / 700))
    shown = applied(image, state_for(image, SoftcopyVOILUTSequence=[window]))
    np.testing.assert_array_equal(shown, np.floor(expected + 0.5))


def test_the_images_own_window_and_polarity_do_not_count() -> None:
    image = image_file(WindowCenter=100, WindowWidth=10, RescaleSlope=3, RescaleIntercept=5)
    image.PhotometricInterpretation = "MONOCHROME1"
    state = state_for(image)
    expected = np.floor(PIXELS / 4095 * 255 + 0.5)
    np.testing.assert_array_equal(applied(image, state), expected)


def test_the_displayed_area_is_cut_out_and_filled_up() -> None:
    image = image_file()
    whole = applied(image, state_for(image)).copy()
    state = state_for(image)
    area = state.DisplayedAreaSelectionSequence[0]
    area.DisplayedAreaTopLeftHandCorner = [-3, 11]
    area.DisplayedAreaBottomRightHandCorner = [40, 50]
    shown = applied(image, state)
    assert shown.shape == (40, 44)
    np.testing.assert_array_equal(shown[:38, 4:], whole[10:48, :40])
    assert not shown[38:].any()
    assert not shown[:, :4].any()
    area.PresentationSizeMode, area.PresentationPixelMagnificationRatio = "MAGNIFY", 2.0
    assert applied(image, state).shape == (80, 88)
    assert applied(image, state, viewport=Viewport(22, 100)).shape == (20, 22)
    with pytest.raises(InvalidViewError, match="two numbers"):
        applied(image, state, viewport=Viewport(22, 100, 1, 1))


def test_true_size_is_that_of_the_screen() -> None:
    image = image_file()
    state = state_for(image)
    area = state.DisplayedAreaSelectionSequence[0]
    del area.PresentationPixelAspectRatio
    area.PresentationSizeMode, area.PresentationPixelSpacing = "TRUE SIZE", [0.5, 0.25]
    # 64 pixels of 0.25 mm by 48 of 0.5 mm, on a screen of 10 pixels a millimetre.
    assert applied(image, state, pixels_per_mm=10).shape == (240, 160)
    state.ImageRotation = 90
    assert applied(image, state, pixels_per_mm=10).shape == (160, 240)
    # How large the screen's pixels are is not known: one for one, and square.
    assert applied(image, state).shape == (64, 96)
    # Without a spacing there is no true size.
    del area.PresentationPixelSpacing
    assert applied(image, state, pixels_per_mm=10).shape == (64, 48)


def test_magnification_is_not_the_screens() -> None:
    image = image_file()
    state = state_for(image)
    area = state.DisplayedAreaSelectionSequence[0]
    area.PresentationSizeMode, area.PresentationPixelMagnificationRatio = "MAGNIFY", 1.5
    assert applied(image, state, pixels_per_mm=10).shape == (72, 96)
    whole = applied(image, state_for(image)).astype(float)

    def between(line: np.ndarray, count: int) -> np.ndarray:
        """Linear between the middles of pixels, which lie 1.5 apart in the result."""
        places = (np.arange(count) + 0.5) / 1.5 - 0.5
        return np.interp(places, np.arange(len(line)), line)

    expected = np.apply_along_axis(between, 1, np.apply_along_axis(between, 0, whole, 72), 96)
    np.testing.assert_allclose(applied(image, state), expected, atol=1.5)


def test_pixels_that_are_not_square_are_shown_square() -> None:
    image = image_file()
    state = state_for(image)
    del state.DisplayedAreaSelectionSequence[0].PresentationPixelAspectRatio
    state.DisplayedAreaSelectionSequence[0].PresentationPixelSpacing = [2.0, 1.0]
    assert applied(image, state).shape == (96, 64)


def test_shutters_cover_together() -> None:
    image = image_file()
    state = state_for(
        image,
        ShutterShape=["RECTANGULAR", "CIRCULAR", "POLYGONAL"],
        ShutterLeftVerticalEdge=11,
        ShutterRightVerticalEdge=50,
        ShutterUpperHorizontalEdge=5,
        ShutterLowerHorizontalEdge=44,
        CenterOfCircularShutter=[24, 32],
        RadiusOfCircularShutter=20,
        VerticesOfThePolygonalShutter=[1, 1, 1, 64, 48, 64, 48, 1],
        ShutterPresentationValue=0x8000,
    )
    row, column = np.mgrid[1:49, 1:65]
    seen = (column >= 11) & (column <= 50) & (row >= 5) & (row <= 44)
    seen &= (row - 24) ** 2 + (column - 32) ** 2 <= 400
    whole = applied(image, state_for(image))
    np.testing.assert_array_equal(applied(image, state), np.where(seen, whole, 0x80))


def test_a_polygon_alone() -> None:
    image = image_file()
    corners = [10, 10, 10, 30, 30, 30, 30, 10]
    state = state_for(image, ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=corners)
    expected = np.zeros((48, 64), np.uint8)
    expected[9:30, 9:30] = applied(image, state_for(image))[9:30, 9:30]
    np.testing.assert_array_equal(applied(image, state), expected)


def annotation(layer: str = "L", units: str = "PIXEL", **graphic: Any) -> list[Dataset]:
    points = graphic["GraphicData"]
    shape = item(
        GraphicAnnotationUnits=units,
        GraphicDimensions=2,
        NumberOfGraphicPoints=len(points) // 2,
        GraphicFilled="N",
    )
    for keyword, value in graphic.items():
        setattr(shape, keyword, value)
    return [item(GraphicLayer=layer, GraphicObjectSequence=[shape])]


def black(**keywords: Any) -> tuple[Dataset, Dataset]:
    """An image without light, so that only graphics show."""
    image = make_instance(np.zeros((100, 120), np.uint8))
    layer = item(GraphicLayer="L", GraphicLayerOrder=1)
    state = state_for(image, GraphicLayerSequence=[layer], **keywords)
    return image, state


def lit(image: Dataset, state: Dataset, **view: Any) -> np.ndarray:
    """Row and column of each pixel that is not black."""
    return np.argwhere(applied(image, state, **view))


@pytest.mark.parametrize(
    ("graphic", "box"),
    [
        ({"GraphicType": "POLYLINE", "GraphicData": [10, 20, 90, 20, 90, 70]}, (20, 10, 70, 90)),
        ({"GraphicType": "CIRCLE", "GraphicData": [60, 50, 60, 80]}, (20, 30, 80, 90)),
        (
            {"GraphicType": "ELLIPSE", "GraphicData": [20, 50, 100, 50, 60, 30, 60, 70]},
            (30, 20, 70, 100),
        ),
        (
            {"GraphicType": "INTERPOLATED", "GraphicData": [10, 20, 50, 60, 90, 20]},
            (20, 10, 60, 90),
        ),
        ({"GraphicType": "POINT", "GraphicData": [60, 50]}, (48, 58, 52, 62)),
    ],
    ids=["line", "circle", "ellipse", "curve", "point"],
)
def test_graphics_lie_where_they_were_drawn(
    graphic: dict[str, Any], box: tuple[int, int, int, int]
) -> None:
    places = lit(*black(GraphicAnnotationSequence=annotation(**graphic)))
    (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
    # A line is one pixel wide and may lie on either side of the ideal one.
    np.testing.assert_allclose((top, left, bottom, right), box, atol=1.5)


def test_display_units_are_shares_of_what_is_shown() -> None:
    graphic = {"GraphicType": "POLYLINE", "GraphicData": [0.25, 0.5, 0.75, 0.5]}
    image, state = black(GraphicAnnotationSequence=annotation(units="DISPLAY", **graphic))
    state.ImageRotation, state.ImageHorizontalFlip = 90, "N"
    shown = applied(image, state)
    assert shown.shape == (120, 100)
    places = np.argwhere(shown)
    assert set(places[:, 0]) <= {59, 60, 61}
    np.testing.assert_allclose((places[:, 1].min(), places[:, 1].max()), (25, 75), atol=1.5)


def test_a_filled_shape_is_full_and_later_layers_are_above() -> None:
    square = [20, 20, 60, 20, 60, 60, 20, 60, 20, 20]
    below = annotation("below", GraphicType="POLYLINE", GraphicData=square, GraphicFilled="Y")
    above = annotation("above", GraphicType="POLYLINE", GraphicData=square, GraphicFilled="Y")
    image, state = black(GraphicAnnotationSequence=[*above, *below])
    state.GraphicLayerSequence = [
        item(
            GraphicLayer="above",
            GraphicLayerOrder=2,
            GraphicLayerRecommendedDisplayGrayscaleValue=0x6400,
        ),
        item(GraphicLayer="below", GraphicLayerOrder=1),
    ]
    assert (applied(image, state)[22:58, 22:58] == 0x64).all()


def test_a_layers_colour_makes_the_picture_coloured() -> None:
    square = [20, 20, 60, 20, 60, 60, 20, 60, 20, 20]
    image, state = black(
        GraphicAnnotationSequence=annotation(
            GraphicType="POLYLINE", GraphicData=square, GraphicFilled="Y"
        )
    )
    # L 53.2, a 80.1, b 67.2 (D65) is sRGB's red; in D50: 54.3, 80.8, 69.9.
    lab = [round(54.29 / 100 * 65535), round((80.81 + 128) * 257), round((69.89 + 128) * 257)]
    state.GraphicLayerSequence[0].GraphicLayerRecommendedDisplayCIELabValue = lab
    shown = applied(image, state)
    assert shown.shape == (100, 120, 3)
    np.testing.assert_allclose(shown[40, 40].astype(int), (255, 0, 0), atol=2)


def test_a_pseudo_colour_state_brings_its_palette() -> None:
    image = image_file()
    state = state_for(image, SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.11.3"))
    state.file_meta.MediaStorageSOPClassUID = state.SOPClassUID
    del state.PresentationLUTShape
    ramp = np.arange(256, dtype=np.uint16) << 8
    for colour, values in (("Red", ramp), ("Green", ramp[::-1]), ("Blue", ramp * 0)):
        state.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        state.add_new(f"{colour}PaletteColorLookupTableData", "OW", values.tobytes())
    grey = np.floor(PIXELS / 4095 * 255 + 0.5).astype(np.uint8)
    expected = np.stack([grey, 255 - grey, grey * 0], axis=-1)
    np.testing.assert_array_equal(applied(image, state), expected)


def test_a_colour_state_turns_and_covers_a_colour_image() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    image = make_instance(rgb)
    state = state_for(image, SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.11.2"), ImageRotation=90)
    state.file_meta.MediaStorageSOPClassUID = state.SOPClassUID
    state.ShutterShape, state.ShutterLeftVerticalEdge = "RECTANGULAR", 5
    state.ShutterRightVerticalEdge, state.ShutterUpperHorizontalEdge = 30, 1
    state.ShutterLowerHorizontalEdge, state.ShutterPresentationValue = 20, 0
    expected = rgb.copy()
    expected[:, :4] = 0
    np.testing.assert_array_equal(applied(image, state), np.rot90(expected, -1))


def test_text_stays_in_its_box_and_has_its_line() -> None:
    text = item(
        BoundingBoxAnnotationUnits="PIXEL",
        AnchorPointAnnotationUnits="PIXEL",
        UnformattedTextValue="Mean 12",
        BoundingBoxTopLeftHandCorner=[20.0, 30.0],
        BoundingBoxBottomRightHandCorner=[110.0, 50.0],
        BoundingBoxTextHorizontalJustification="LEFT",
        AnchorPoint=[60.0, 90.0],
        AnchorPointVisibility="Y",
    )
    image, state = black(
        GraphicAnnotationSequence=[item(GraphicLayer="L", TextObjectSequence=[text])]
    )
    places = lit(image, state)
    letters = places[places[:, 0] < 50]
    assert letters[:, 1].min() >= 18
    assert letters[:, 0].min() >= 28
    assert letters[:, 1].max() > 50
    assert [89, 60] in places.tolist() or [90, 60] in places.tolist()


def test_a_state_is_for_the_frames_it_names() -> None:
    image = image_file()
    state = state_for(image)
    reference = state.ReferencedSeriesSequence[0].ReferencedImageSequence[0]
    reference.ReferencedFrameNumber = [2, 3]
    read = read_softcopy(to_bytes(state))
    assert read.for_frame(image.SOPInstanceUID, 1) is None
    assert read.for_frame(image.SOPInstanceUID, 3) is not None
    assert read.for_frame(generate_uid(), 3) is None


def test_windows_are_for_the_images_they_name() -> None:
    image, other = image_file(), image_file()
    named = item(ReferencedSOPInstanceUID=other.SOPInstanceUID)
    state = state_for(
        image,
        SoftcopyVOILUTSequence=[
            item(WindowCenter=1, WindowWidth=2, ReferencedImageSequence=[named]),
            item(WindowCenter=30, WindowWidth=40),
        ],
    )
    said = read_softcopy(to_bytes(state)).for_frame(image.SOPInstanceUID, 1)
    assert said is not None
    assert said.window is not None
    assert said.window.center == 30


def test_overlay_planes_have_their_layers_grey() -> None:
    mask = np.zeros((4, 4), bool)
    mask[1, 2] = True
    state = FrameState(layers=())
    picture = np.full((4, 4), 9, np.uint8)
    shown = draw_state(picture, state, 1, planes=[(mask, "unknown")])
    np.testing.assert_array_equal(shown, np.where(mask, 255, 9))


def test_a_bitmap_shutter_is_no_overlay() -> None:
    bits = np.packbits(np.eye(8, dtype=np.uint8), bitorder="little").tobytes()
    plane = OverlayPlane(0x6000, 8, 8, bits=bits)
    covered = Shutter(bitmap=plane).covered((8, 8), 1)
    np.testing.assert_array_equal(covered, np.eye(8, dtype=bool))


def test_a_real_state_is_read(data: Path) -> None:
    read: SoftcopyState = read_softcopy(data / "pr_pdf_stl/PR000000.dcm")
    (reference,) = read.references
    said = read.for_frame(reference.sop_instance_uid, 1)
    assert said is not None
    assert said.graphics[0].kind == "ELLIPSE"
    assert said.texts[0].words[:2] == (
        "Mean: 2651.41  SD: 344.29",
        "Min: 1362.00 US  Max: 3614.00 US",
    )
    shown = draw_state(np.zeros((2688, 2688), np.uint8), said, 1, width=672)
    assert shown.shape == (672, 672)
    places = np.argwhere(shown[:310])
    np.testing.assert_allclose(
        (places[:, 0].min(), places[:, 1].min()), (616.2 / 4, 1714.4 / 4), atol=2
    )


def test_other_objects_are_refused(data: Path) -> None:
    with pytest.raises(UnsupportedError, match="presentation state"):
        read_softcopy(data / "ct/head_phantom_1mm/I270")


@pytest.mark.parametrize(
    ("lab", "expected"),
    [
        ((65535, 0x8080, 0x8080), (255, 255, 255)),
        ((0, 0x8080, 0x8080), (0, 0, 0)),
        ((35129, 0x8080, 0x8080), (128, 128, 128)),
    ],
)
def test_greys_in_cielab(lab: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    np.testing.assert_allclose(lab_to_rgb(lab), expected, atol=1)
