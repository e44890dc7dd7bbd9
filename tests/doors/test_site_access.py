"""Who gets what from the site: every route, every role, people of the facility and strangers.

A route that this walk cannot fill fails it, and so does one that is open to everybody without
standing in the list. What each route answers to whom in detail is tested beside its app.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.models import Role, User
from archive import access, audit, resumable
from archive.access import system_actor
from archive.models import Destination
from orders.models import Order
from reports import viewed
from reports.viewed import Shown
from tests import factories
from tests.apps.orders.test_pages import make_order
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility

pytestmark = pytest.mark.django_db

# Words that stand in everything of the patient's: whoever may not see the patient never gets them.
MARK = "Zzyzxmark"
# Routes that answer somebody who has not signed in; none of them says anything of patients.
OPEN = {
    "accounts:language", "accounts:login", "favicon", "health-live", "health-ready", "metrics",
    "offline:manifest", "offline:page", "offline:worker",
    # Whoever has a link: tests/doors/test_sharing_pages.py.
    "sharing:exchange", "sharing:open", "sharing:visit",
}  # fmt: skip
# What only administrators get; other roles are refused, whatever their facilities.
FOR_ADMINISTRATORS = {
    "fhir-audit", "fhir-audit-event", "worklist:site-health", "worklist:trail-list",
    "worklist:trail-csv", "worklist:deletion-list", "worklist:deletion-restore",
    "worklist:deletion-destroy",
}  # fmt: skip
# Routes that end the session or change the account of who walks.
ENDS_THE_WALK = {"accounts:logout", "accounts:password-change"}


class Route(NamedTuple):
    """A route of the site, with the names in its address."""

    name: str
    arguments: tuple[str, ...]


def routes() -> Iterator[Route]:
    """Go through all routes but Django admin's own, which has one door."""

    def below(resolver: URLResolver, space: str, outer: tuple[str, ...]) -> Iterator[Route]:
        for pattern in resolver.url_patterns:
            here = outer + tuple(re.findall(r"<(?:\w+:)?(\w+)>", str(pattern.pattern)))
            if isinstance(pattern, URLResolver):
                if pattern.namespace != "admin":
                    named = f"{space}{pattern.namespace}:" if pattern.namespace else space
                    yield from below(pattern, named, here)
            elif isinstance(pattern, URLPattern) and pattern.name:
                yield Route(f"{space}{pattern.name}", here)

    yield from below(get_resolver(), "", ())


ROUTES = sorted(routes())


class Place(NamedTuple):
    """A facility's things, and the people of it and of another."""

    facility: Facility
    fills: dict[str, Any]


@pytest.fixture
def place(store: Path) -> Place:
    north = factories.facility("NORTH", "North Clinic", ae_titles=["CT_NORTH"])
    factories.facility("SOUTH", "South Clinic")
    words = {
        "PatientName": f"{MARK}^Anna",
        "PatientID": f"{MARK}1",
        "StudyDescription": f"{MARK} head",
        "SeriesDescription": f"{MARK} axial",
        "AccessionNumber": f"{MARK}2"[:16],
    }
    factories.store_bytes(to_bytes(make_instance(**words)), north)
    image = DicomImage.objects.select_related("series__study").get()
    owner = factories.user("owner", Role.TECHNOLOGIST, [north])
    viewed.note_shown(
        access.actor_of(owner), image.series.study_id, uuid4(), [Shown(image.pk, 1, 900)]
    )
    upload = resumable.create(access.actor_of(owner), north, 10, {"filename": f"{MARK}.dcm"})
    order: Order = make_order(north, patient_name=f"{MARK}^Kim", description=f"{MARK} order")
    destination = Destination.objects.create(
        facility=north, ae_title="NORTH_OUT", host="127.0.0.1", port=104
    )
    return Place(
        north,
        {
            "study_id": image.series.study_id,
            "series_id": image.series_id,
            "image_id": image.pk,
            "facility_id": north.pk,
            "upload_id": upload.pk,
            "order_id": order.pk,
            "user_id": owner.pk,
            "destination_id": destination.pk,
            "event_id": audit.record(system_actor("tests"), "study.open", image.series.study).pk,
            "path": "viewer",
            "side": "stored",
        },
    )


def address(route: Route, place: Place) -> str:
    """Fill an address; where the place has no such thing, with one that is nobody's."""
    return reverse(
        route.name, kwargs={name: place.fills.get(name, uuid4()) for name in route.arguments}
    )


def answers(client: Client, route: Route, place: Place) -> Iterator[tuple[str, int, bytes]]:
    """Ask with the methods that the route takes."""
    for method in ("get", "post"):
        answer = getattr(client, method)(address(route, place))
        content = b"" if answer.streaming else answer.content
        yield method, answer.status_code, content


def is_fault(route: Route, status: int) -> bool:
    # No receiver runs beside a test: the site says that it is not ready.
    return status >= 500 and (route.name, status) != ("health-ready", 503)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_nobody_gets_anything(place: Place) -> None:
    client = Client()
    wrong = []
    for route in ROUTES:
        for method, status, content in answers(client, route, place):
            is_closed = status in {302, 401, 405}
            if MARK.encode() in content or not (is_closed or route.name in OPEN):
                wrong.append((route.name, method, status))
    assert wrong == []


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN}))
def test_a_stranger_gets_nothing_of_the_patient(place: Place, role: Role) -> None:
    south = Facility.objects.get(code="SOUTH")
    client = client_of(factories.user("stranger", role, [south]))
    wrong = []
    theirs = {"study_id", "series_id", "image_id", "facility_id", "upload_id", "order_id"}
    for route in ROUTES:
        if route.name in ENDS_THE_WALK:
            continue
        for method, status, content in answers(client, route, place):
            # Some look at what was sent before they look at what it is for.
            is_refused = status in {400, 403, 404, 405, 415, 422}
            if MARK.encode() in content or is_fault(route, status):
                wrong.append((route.name, method, status, "says something"))
            elif theirs.intersection(route.arguments) and not is_refused:
                wrong.append((route.name, method, status, "opens"))
            elif route.name in FOR_ADMINISTRATORS and status not in {403, 404, 405}:
                wrong.append((route.name, method, status, "is for administrators"))
    assert wrong == []
    assert Order.objects.get().status == "scheduled"
    assert DicomImage.objects.count() == 1


@pytest.mark.parametrize("role", sorted(Role))
def test_people_of_the_facility_never_meet_a_fault(place: Place, role: Role) -> None:
    client = client_of(factories.user("member", role, [place.facility]))
    wrong = []
    for route in ROUTES:
        if route.name in ENDS_THE_WALK:
            continue
        for method, status, _ in answers(client, route, place):
            if is_fault(route, status):
                wrong.append((route.name, method, status))
    assert wrong == []
    shown = client.get(address(Route("worklist:study-detail", ("study_id",)), place))
    gone = shown.status_code == 404  # the walk itself deleted what this role may delete
    assert gone or MARK.encode() in shown.content


def test_the_walk_knows_every_kind_of_thing() -> None:
    """A new kind of address wants a thing of its own here, or a table beside its app."""
    kinds = {name for route in ROUTES for name in route.arguments}
    assert kinds == {
        "conflict_id", "deletion_id", "destination_id", "drawing_id", "entry_id",
        "event_id",
        "facility_id", "finding_id", "image_id", "item_id", "knock_id", "link_id", "match_id",
        "notification_id", "order_id", "path", "preset_id", "program_id", "protocol_id",
        "reconstruction_id", "revision_id", "rule_id", "run_id", "series_id", "service_id", "side",
        "study_id", "token_id", "upload_id", "user_id",
    }  # fmt: skip


def test_the_list_of_open_routes_names_none_that_is_gone() -> None:
    names = {route.name for route in ROUTES}
    assert names >= OPEN | FOR_ADMINISTRATORS | ENDS_THE_WALK
