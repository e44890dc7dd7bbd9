"""The picture in the page itself: out of the manifest, shown where the viewer begins with it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from archive import access
from dicom_viewer import still
from dicom_viewer.models import ViewerSession
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

_STAGE: dict[str, Any] = {
    "rows": 1,
    "columns": 1,
    "fit": "",
    "viewports": [{"image": "i", "window_center": None}],
}
_WINDOWED = {**_STAGE, "viewports": [{"image": "i", "window_center": 40}]}
_KEPT = {"image_id": "i", "frame_number": 1, "viewport": {"layout": "1x1", "series": {}}}


def document(**changes: Any) -> dict[str, Any]:
    image = changes.pop("image", {})
    return {
        "first_image": {"series_id": "s", "image_id": "i", "frame_number": 1, "preview": "data:x"},
        "series": [{"id": "s", "images": [{"id": "i", "PixelSpacing": [0.7, 0.7], **image}]}],
        "session": None,
        "hanging": None,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "is_shown"),
    [
        ({}, True),
        ({"hanging": {"stages": [_STAGE]}}, True),
        ({"hanging": {"stages": [{**_STAGE, "columns": 2}]}}, False),
        ({"hanging": {"stages": [{**_STAGE, "fit": "scale"}]}}, False),
        ({"hanging": {"stages": [{**_STAGE, "viewports": [None]}]}}, False),
        ({"hanging": {"stages": [_WINDOWED]}}, False),
        ({"session": _KEPT}, True),
        ({"session": {**_KEPT, "image_id": "j"}}, False),
        ({"session": {**_KEPT, "frame_number": 2}}, False),
        ({"session": {**_KEPT, "viewport": {"layout": "1x2"}}}, False),
        ({"session": {**_KEPT, "viewport": {"series": {"s": {"invert": True}}}}}, False),
        ({"image": {"PixelSpacing": [0.7, 0.5]}}, False),
        ({"image": {"PixelAspectRatio": [1, 2]}}, False),
        ({"image": {"frames": [{}]}}, False),
    ],
    ids=[
        "nothing said", "one viewport", "two", "scaled", "empty viewport", "windowed",
        "left here", "left at another image", "at another frame", "in another layout", "inverted",
        "oblong pixels", "by their ratio", "many frames",
    ],
)  # fmt: skip
def test_it_is_shown_only_where_the_viewer_begins_with_it(
    changes: dict[str, Any], is_shown: bool
) -> None:
    manifest = document(**changes)
    found = still.take(manifest)
    assert found is not None
    assert found.address == "data:x"
    assert found.is_shown is is_shown
    assert manifest["first_image"]["preview"] is None


def test_where_there_is_no_preview_there_is_no_picture() -> None:
    assert still.take({**document(), "first_image": None}) is None
    manifest = document()
    manifest["first_image"]["preview"] = None
    assert still.take(manifest) is None


def test_the_page_shows_it_until_reading_has_gone_elsewhere(
    facility: Facility, radiologist: User, site: Client
) -> None:
    result = factories.store_bytes(to_bytes(make_instance()), facility)
    study: Study = access.study_for(access.EVERYTHING, result.study_id)
    address = reverse("dicom_viewer:viewer", args=[study.pk])
    shown = '<div class="still" data-still>'
    assert shown in site.get(address).content.decode()
    assert shown not in site.get(address, {"image": str(result.image_id)}).content.decode()
    place = {"series_id": "s", "image_id": "elsewhere", "frame_number": 1}
    ViewerSession.objects.filter(user=radiologist, study=study).update(state=place)
    page = site.get(address).content.decode()
    assert shown not in page
    assert '<div class="still" data-still hidden>' in page


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "/frames/1.raw?v=ab"),
        ({"transport": "raw", "Rows": 4000, "Columns": 4000}, "/frames/1.raw?v=ab"),
        ({"Rows": 4000, "Columns": 4000}, ""),
        ({"BitsAllocated": 8, "SamplesPerPixel": 3, "Rows": 720}, "/frames/1.raw?v=ab"),
        ({"frame_url": None}, ""),
        ({"PixelSpacing": [0.7, 0.5]}, ""),
    ],
    ids=["CT", "large, uncompressed", "large", "colour", "no pictures", "not where it will be"],
)
def test_the_page_asks_for_the_exact_frame_that_the_viewer_will_show(
    image: dict[str, Any], expected: str
) -> None:
    facts = {
        "frame_url": "/image/i/frames/{n}",
        "digest": "ab",
        "transport": "jphc",
        "Rows": 512,
        "Columns": 512,
        "BitsAllocated": 16,
        "SamplesPerPixel": 1,
    }
    found = still.take(document(image=facts | image))
    assert found is not None
    assert found.exact == (f"/image/i{expected}" if expected else "")


@pytest.mark.parametrize(
    ("headers", "is_slow"),
    [({}, False), ({"ECT": "4g"}, False), ({"ECT": "3g"}, True), ({"Save-Data": "on"}, True)],
    ids=["says nothing", "4g", "3g", "saves"],
)
def test_on_a_slow_line_the_viewer_begins_with_compressed_values(
    facility: Facility, radiologist: User, headers: dict[str, str], is_slow: bool
) -> None:
    factories.store_bytes(to_bytes(make_instance()), facility)
    client = Client()
    client.force_login(radiologist)
    address = reverse("dicom_viewer:viewer", args=[Study.objects.get().pk])
    page = client.get(address, headers=headers)
    assert page["Accept-CH"] == "ECT"
    assert (b'rel="preload" as="fetch"' in page.content) is not is_slow


def test_the_picture_needs_no_style_sheet_and_the_policy_knows_its_style(
    facility: Facility, radiologist: User
) -> None:
    factories.store_bytes(to_bytes(make_instance()), facility)
    client = Client()
    client.force_login(radiologist)
    page = client.get(reverse("dicom_viewer:viewer", args=[Study.objects.get().pk]))
    text = page.content.decode()
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page["Content-Security-Policy"]
    assert f"style-src 'self' 'sha256-{digest}';" in f"{policy};"
    assert "unsafe-inline" not in policy
    assert text.index("<style>") < text.index('id="first-picture"') < text.index('type="module"')
