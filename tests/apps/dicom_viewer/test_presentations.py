"""How presentation states want images shown, as the viewer is told it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from accounts.models import User
from archive import access, stores
from dicom_viewer import presentations
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.unit.imaging.test_softcopy import item, state_for
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db

Told = Callable[..., dict[str, Any]]
PIXELS = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


@pytest.fixture
def image() -> Dataset:
    return make_instance(
        PIXELS, BitsStored=12, HighBit=11, RescaleSlope=2, RescaleIntercept=-1024,
        PhotometricInterpretation="MONOCHROME2",
    )  # fmt: skip


@pytest.fixture
def told(store: Path, facility: Facility, admin_user: User, image: Dataset) -> Told:
    """Stores the image and a state with these keywords; what is told of the image."""

    def tell(change: Callable[[Dataset], None] | None = None, **keywords: Any) -> dict[str, Any]:
        state = state_for(image, **keywords)
        if change is not None:
            change(state)
        stored = DicomImage.objects.select_related("series__study").get(
            pk=factories.store_bytes(to_bytes(image), facility).image_id
        )
        factories.store_bytes(to_bytes(state), facility)
        answer = presentations.presentations_on(access.actor_of(admin_user), stored.series.study_id)
        (document,) = answer["states"]
        assert document["problem"] is None
        assert document["SOPInstanceUID"] == state.SOPInstanceUID
        (look,) = document["images"]
        assert look["SOPInstanceUID"] == image.SOPInstanceUID
        found: dict[str, Any] = look
        return found

    return tell


def test_a_window_is_told_in_the_images_own_values(told: Told) -> None:
    # The state's own rescale is value = stored * 1 - 1000; the image's is stored * 2 - 1024.
    look = told(
        RescaleSlope=1,
        RescaleIntercept=-1000,
        SoftcopyVOILUTSequence=[item(WindowCenter=40, WindowWidth=400)],
    )
    assert look["window"] == {"center": 1040 * 2 - 1024, "width": 800, "function": "LINEAR"}
    assert look["frame_numbers"] == []
    assert look["invert"] is False
    assert look["not_applied"] == []


def test_without_a_window_the_full_range_is_shown(told: Told) -> None:
    window = told()["window"]
    low, high = -1024, 4095 * 2 - 1024
    assert (window["center"], window["width"]) == ((low + high) / 2, high - low)


def test_place_turning_and_size(told: Told) -> None:
    def change(state: Dataset) -> None:
        area = state.DisplayedAreaSelectionSequence[0]
        del area.PresentationPixelAspectRatio
        area.DisplayedAreaTopLeftHandCorner = [11, 5]
        area.DisplayedAreaBottomRightHandCorner = [30, 14]
        area.PresentationSizeMode = "TRUE SIZE"
        area.PresentationPixelSpacing = [0.25, 0.25]

    look = told(change, ImageRotation=270, ImageHorizontalFlip="Y", PresentationLUTShape="INVERSE")
    assert look["area"] == {
        "left": 10, "top": 4, "width": 20, "height": 10,
        "mode": "TRUE SIZE", "magnification": None, "pixel_width_mm": 0.25,
    }  # fmt: skip
    assert (look["rotation"], look["is_flipped"], look["invert"]) == (270, True, True)


def test_polarity_is_the_states_alone(told: Told, image: Dataset) -> None:
    image.PhotometricInterpretation = "MONOCHROME1"
    assert told()["invert"] is True


def test_what_the_viewer_leaves_out_is_named(told: Told) -> None:
    def change(state: Dataset) -> None:
        state.ShutterShape = "RECTANGULAR"
        state.ShutterLeftVerticalEdge, state.ShutterRightVerticalEdge = 5, 20
        state.ShutterUpperHorizontalEdge, state.ShutterLowerHorizontalEdge = 5, 20
        area = state.DisplayedAreaSelectionSequence[0]
        area.PresentationPixelAspectRatio = [2, 1]

    assert told(change)["not_applied"] == ["shutter", "pixel-shape"]


def test_a_state_that_cannot_be_read_says_why(
    store: Path, facility: Facility, admin_user: User, image: Dataset
) -> None:
    factories.store_bytes(to_bytes(image), facility)
    result = factories.store_bytes(to_bytes(state_for(image)), facility)
    row = DicomImage.objects.select_related("series__study").get(pk=result.image_id)
    path = stores.instances().path(row.storage_key)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:400])
    study = row.series.study_id
    (document,) = presentations.presentations_on(access.actor_of(admin_user), study)["states"]
    assert document["problem"]
    assert document["images"] == []
