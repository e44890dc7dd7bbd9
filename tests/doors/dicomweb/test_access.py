"""Who gets what by DICOMweb: every route, every kind of caller, every facility.

The tables name each route once; a route that is missing from them fails the test.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.models import Role, User
from fastapi_app import main
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Sidecar, assert_problem
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db(transaction=True)

_READ = ("/dicom-web/studies", "/dicom-web/series", "/dicom-web/instances")
_STUDY = "/dicom-web/studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
# Of objects: 401, 403 and 404 as every object of the archive.
OBJECT_ROUTES: tuple[tuple[str, str], ...] = (
    ("GET", "/dicom-web/studies/{study}/series"),
    ("GET", "/dicom-web/studies/{study}/instances"),
    ("GET", "/dicom-web/studies/{study}/series/{series}/instances"),
    *(
        ("GET", f"{level}{what}")
        for level in (_STUDY, _SERIES, _INSTANCE)
        for what in ("", "/metadata", "/pixeldata", "/rendered", "/thumbnail")
    ),
    ("GET", f"{_INSTANCE}/frames/{{frames}}"),
    ("GET", f"{_INSTANCE}/frames/{{frames}}/rendered"),
    ("GET", f"{_INSTANCE}/frames/{{frames}}/thumbnail"),
    ("GET", f"{_INSTANCE}/bulkdata/{{path}}"),
)
# Of lists: what others own is not in them.
LIST_ROUTES: tuple[tuple[str, str], ...] = (
    ("GET", "/dicom-web/studies"),
    ("GET", "/dicom-web/series"),
    ("GET", "/dicom-web/instances"),
)


@pytest.fixture
def image(store: Path, facility: Facility) -> DicomImage:
    result = factories.store_bytes(to_bytes(make_instance(noise(16, 16))), facility)
    return DicomImage.objects.select_related("series__study").get(pk=result.image_id)


@pytest.fixture
def stranger(other_facility: Facility) -> User:
    return factories.user("sven", Role.RADIOLOGIST, [other_facility])


def filled(route: str, image: DicomImage, **others: str) -> str:
    names = {
        "study": image.series.study.study_instance_uid,
        "series": image.series.series_instance_uid,
        "instance": image.sop_instance_uid,
        "frames": "1",
        "path": "7FE00010",
    }
    return route.format(**names | others)


def test_the_tables_name_every_route() -> None:
    found = {
        (method.upper(), path)
        for path, operations in main.api.openapi()["paths"].items()
        for method in operations
        # What is no search and no retrieval is in test_write_access.py.
        if method == "get" and path.startswith(_READ)
    }
    assert found == {*OBJECT_ROUTES, *LIST_ROUTES}


@pytest.mark.parametrize(("method", "route"), OBJECT_ROUTES)
def test_objects_are_for_their_facility(
    sidecar: Sidecar, image: DicomImage, radiologist: User, stranger: User, admin_user: User,
    method: str, route: str,
) -> None:  # fmt: skip
    path = filled(route, image)
    mine, theirs = sidecar.by_token(radiologist), sidecar.by_token(stranger)
    assert_problem(sidecar.nobody.request(method, path), 401)
    for caller in (mine, sidecar.by_token(admin_user), sidecar.by_session(radiologist)):
        assert caller.request(method, path).status_code == 200
    assert_problem(theirs.request(method, path), 403, "not yours")
    assert_problem(sidecar.nobody.request(method, path), 401)
    for name in ("study", "series", "instance"):
        for other in ("1.2.3.4", "1.02.3", "no-identifier", "%2e%2e", "1" * 65, "1.2%00"):
            if f"{{{name}}}" in route:
                wrong = filled(route, image, **{name: other})
                assert_problem(mine.request(method, wrong), 404)
                assert_problem(sidecar.nobody.request(method, wrong), 401)


@pytest.mark.parametrize(("method", "route"), LIST_ROUTES)
def test_lists_hold_the_own_facilities_alone(
    sidecar: Sidecar, image: DicomImage, radiologist: User, stranger: User,
    method: str, route: str,
) -> None:  # fmt: skip
    assert_problem(sidecar.nobody.request(method, route), 401)
    assert len(sidecar.by_token(radiologist).request(method, route).json()) == 1
    assert sidecar.by_token(stranger).request(method, route).json() == []
