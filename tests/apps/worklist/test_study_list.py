"""The worklist: whose studies it shows, filters, order, paging, what its pages cost.

Not covered here: what its scripts do (tests/browser).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import preferences
from accounts.models import Role, User
from archive import cursors, database
from tests import factories
from tests.apps.worklist.rows import make_study
from worklist.models import Facility, Study, StudyStatus
from worklist.views.search import ROWS_PER_PAGE

pytestmark = pytest.mark.django_db
LIST = "/worklist/studies/"
ROWS = "/worklist/studies/rows/"
_ROW = re.compile(r'id="study-([0-9a-f-]{36})"')


@pytest.fixture(autouse=True)
def forget_state() -> None:
    cache.clear()


def ids(client: Client, address: str = ROWS, **params: str) -> list[str]:
    answer = client.get(address, params)
    assert answer.status_code == 200, answer.content.decode()
    return _ROW.findall(answer.content.decode())


def names(client: Client, **params: str) -> list[str]:
    by_id = {str(study.pk): study.patient_identifier for study in Study.objects.all()}
    return [by_id[key] for key in ids(client, **params)]


def pages(client: Client, **params: str) -> Iterator[list[str]]:
    cursor = ""
    while True:
        answer = client.get(ROWS, {**params, "cursor": cursor, "part": "rows"}).content.decode()
        yield _ROW.findall(answer)
        found = re.search(r'data-cursor="([^"]*)"', answer)
        cursor = found[1] if found else ""
        if not cursor:
            return


def test_only_studies_of_ones_own_facilities(
    site: Client, facility: Facility, other_facility: Facility
) -> None:
    mine = make_study(facility, 1)
    theirs = make_study(other_facility, 2)
    assert ids(site, LIST) == [str(mine.pk)]
    assert ids(site) == [str(mine.pk)]
    assert ids(site, ids=f"{mine.pk},{theirs.pk}") == [str(mine.pk)]
    assert ids(site, facility="SOUTH") == [str(mine.pk)]  # the note says that it is not theirs
    found = site.get("/worklist/api/find/", {"q": "name"}).json()["studies"]
    assert [entry["id"] for entry in found] == [str(mine.pk)]
    counts = site.get("/worklist/api/counts/").json()["views"]
    assert counts[0] == {"name": "All", "count": 1, "more": False}


def test_an_administrator_sees_every_facility(
    admin_user: User, facility: Facility, other_facility: Facility
) -> None:
    make_study(facility, 1)
    make_study(other_facility, 2)
    client = Client()
    client.force_login(admin_user)
    assert len(ids(client)) == 2
    assert names(client, facility="south") == ["P2"]


def test_nobody_and_members_of_nothing_see_nothing(facility: Facility) -> None:
    make_study(facility, 1)
    client = Client()
    client.force_login(factories.user("nils", Role.RADIOLOGIST, []))
    page = client.get(LIST).content.decode()
    assert _ROW.findall(page) == []
    assert "You belong to no facility yet" in page
    assert client.get("/worklist/api/counts/").json()["views"][0]["count"] == 0


@pytest.fixture
def many(facility: Facility) -> None:
    jan, dec = date(2026, 1, 2), date(2025, 12, 31)
    for number, (identifier, name, values) in enumerate(
        [
            ("A_1", "Müller^Änne", {"accession_number": "ACC-1", "study_description": "Head"}),
            ("A%2", "MUELLER^JAN", {"accession_number": "ACC-22", "modalities": "\\MR\\SR\\",
                                    "study_date": date(2026, 1, 9), "status": StudyStatus.READ}),
            ("AX3", "Smith^John", {"accession_number": "B", "modalities": "\\CR\\",
                                   "study_date": None}),
            ("Q4", "Ämilia Muller-Smith^^", {"study_description": "Knee", "study_date": dec}),
        ]
    ):  # fmt: skip
        given = {"study_date": jan, **values}
        make_study(facility, number, patient_name=name, patient_identifier=identifier, **given)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"q": "name:mueller"}, {"A_1", "A%2", "Q4"}),
        ({"q": "müller"}, {"A_1", "A%2", "Q4"}),
        ({"name": "muller smith"}, {"Q4"}),
        ({"name": "sm*"}, {"AX3"}),
        ({"name": "m?ller"}, {"A_1"}),
        ({"name": "*smith"}, {"AX3", "Q4"}),
        ({"name": "."}, set()),
        ({"id": "a_"}, {"A_1"}),
        ({"id": "a%"}, {"A%2"}),
        ({"id": "a*3"}, {"AX3"}),
        ({"acc": "acc-2"}, {"A%2"}),
        ({"acc": "acc-?"}, {"A_1"}),
        ({"desc": "knee"}, {"Q4"}),
        ({"mod": "sr"}, {"A%2"}),
        ({"mod": "CR,MR"}, {"A%2", "AX3"}),
        ({"status": "read"}, {"A%2"}),
        ({"status": "unread", "mod": "CT"}, {"A_1", "Q4"}),
        ({"date": "2026-01"}, {"A_1", "A%2"}),
        ({"date": "..2025"}, {"Q4"}),
        ({"date": "2026-01-03.."}, {"A%2"}),
        ({"q": "head"}, {"A_1"}),
        ({"q": "q4"}, {"Q4"}),
        ({"q": "smith knee"}, {"Q4"}),
        ({"q": "smith mod:CR"}, {"AX3"}),
        ({"name": "nobody"}, set()),
    ],
    # Sets have no order: every worker must give a case the same name.
    ids=lambda value: str(value) if isinstance(value, dict) else f"finds {sorted(value)}",
)
def test_filters(site: Client, many: None, params: dict[str, str], expected: set[str]) -> None:
    assert set(names(site, **params)) == expected


def test_today_is_the_readers_today(site: Client, facility: Facility) -> None:
    here = timezone.now()
    kiritimati = (here + timedelta(hours=14)).date()
    make_study(facility, 1, study_date=kiritimati)
    site.cookies["noctis_zone"] = "Pacific%2FKiritimati"
    assert names(site, date="today") == ["P1"]
    site.cookies["noctis_zone"] = "Etc/GMT+12"
    assert names(site, date="today") == []


@pytest.mark.parametrize("zone", ["../../etc/passwd", "Nowhere/At All", "", "x" * 500, "UTC\0"])
def test_a_zone_that_is_none_is_utc(site: Client, facility: Facility, zone: str) -> None:
    make_study(facility, 1, first_received_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    site.cookies["noctis_zone"] = zone
    assert "2026-01-02 03:04" in site.get(LIST).content.decode()


@pytest.mark.parametrize(
    ("sort", "values", "ascending"),
    [
        ("date", "study_date", ["P2", "P0", "P1"]),
        ("name", "patient_name", ["P1", "P2", "P0"]),
        ("patient_id", "patient_identifier", ["P0", "P1", "P2"]),
        ("accession", "accession_number", ["P2", "P0", "P1"]),
        ("images", "instance_count", ["P1", "P2", "P0"]),
        ("received", "last_received_at", ["P2", "P1", "P0"]),
        ("modality", "modality", ["P0", "P1", "P2"]),
    ],
)
def test_sorting(
    site: Client, facility: Facility, sort: str, values: str, ascending: list[str]
) -> None:
    order = {identifier: place for place, identifier in enumerate(ascending)}
    for number in range(3):
        place = order[f"P{number}"]
        study = make_study(facility, number, patient_name="abc"[place])
        Study.objects.filter(pk=study.pk).update(
            sort_at=datetime(2026, 1, 1 + place, tzinfo=UTC),
            last_received_at=datetime(2026, 1, 1 + place, tzinfo=UTC),
            accession_number=f"A{place}",
            instance_count=place,
            modality=("CR", "CT", "MR")[place],
        )
    assert names(site, sort=sort, dir="asc") == ascending
    assert names(site, sort=sort, dir="desc") == ascending[::-1]


@pytest.mark.parametrize("sort", ["date", "name", "modality", "received", "images", "accession"])
@pytest.mark.parametrize("way", ["asc", "desc"])
def test_pages_with_equal_keys_show_every_study_once(
    site: Client, facility: Facility, sort: str, way: str
) -> None:
    received = timezone.now()
    total = 2 * ROWS_PER_PAGE + 7
    made = [
        make_study(facility, number, patient_name="Same^Name", last_received_at=received)
        for number in range(total)
    ]
    found = [key for page in pages(site, sort=sort, dir=way) for key in page]
    assert len(found) == total
    assert set(found) == {str(study.pk) for study in made}


def test_a_study_that_arrives_while_paging_shifts_nothing(site: Client, facility: Facility) -> None:
    for number in range(ROWS_PER_PAGE + 5):
        make_study(facility, number, study_date=date(2026, 1, 1))
    walk = pages(site)
    first = next(walk)
    make_study(facility, 999, study_date=date(2026, 2, 1))
    assert len(set(first) | set(next(walk))) == ROWS_PER_PAGE + 5


@pytest.mark.parametrize("cursor", ["x", "WyJ4Il0", "W10", "AAAA", "💀"])
def test_a_cursor_that_is_not_ours_is_refused(site: Client, cursor: str) -> None:
    assert site.get(ROWS, {"cursor": cursor}).status_code == 422


@pytest.mark.parametrize(
    ("sort", "value"),
    [("date", "0001-01-01T00:00:00+14:00"), ("date", None), ("images", 10**30), ("images", "many"),
     ("name", {}), ("name", "a\0b"), ("name", None)],
)  # fmt: skip
def test_a_cursor_of_another_sorting_is_refused(site: Client, sort: str, value: object) -> None:
    cursor = cursors.pack(value, UUID(int=7))
    assert site.get(ROWS, {"sort": sort, "cursor": cursor}).status_code == 422


def test_ids_that_are_none_are_refused(site: Client) -> None:
    assert site.get(ROWS, {"ids": "1,2"}).status_code == 422


def test_single_rows_come_only_when_they_match(site: Client, facility: Facility) -> None:
    ct = make_study(facility, 1)
    mr = make_study(facility, 2, modalities="\\MR\\")
    both = f"{ct.pk},{mr.pk}"
    assert ids(site, ids=both, mod="MR", part="rows") == [str(mr.pk)]
    assert set(ids(site, ids=both, part="rows")) == {str(ct.pk), str(mr.pk)}


def test_a_page_costs_the_same_for_one_row_and_for_many(
    site: Client,
    facility: Facility,
    other_facility: Facility,
    radiologist: User,
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    radiologist.facilities.add(other_facility)
    make_study(facility, 0)
    # Session, user, facilities of the scope, facilities to choose from, rows, their facilities,
    # suggested orders.
    with django_assert_num_queries(7):
        site.get(ROWS)
    for number in range(1, ROWS_PER_PAGE):
        make_study((facility, other_facility)[number % 2], number)
    with django_assert_num_queries(7):
        site.get(ROWS)
    # And modalities to choose from, scope and facilities of the frame.
    with django_assert_num_queries(10):
        site.get(LIST)


def test_hostile_names_are_text(site: Client, facility: Facility) -> None:
    evil = '<script>alert(1)</script>^"><img src=x onerror=alert(2)>'
    study = make_study(
        facility, 1, patient_name=evil, patient_identifier="'><b>", accession_number="<i>",
        study_description="{{ 7*7 }}<svg/onload=alert(3)>", warning="<u>warn</u>",
        referring_physician_name=evil,
    )  # fmt: skip
    typed = f"{LIST}?q=%3Cscript%3Ealert(9)%3C/script%3E&name=%3Cb%3E&date=%3Cs%3E"
    page_of = f"{LIST}{study.pk}/"
    for address in (LIST, ROWS, typed, page_of, f"{page_of}preview/"):
        page = site.get(address).content.decode()
        for mark in ("<script>alert", "<img src=x", "<b>", "<i>", "<svg/onload", "<u>", "<s>"):
            assert mark not in page, (address, mark)
    assert "&lt;script&gt;alert(1)" in site.get(LIST).content.decode()


def test_pages_obey_the_content_security_policy(site: Client, facility: Facility) -> None:
    study = make_study(facility, 1)
    for address in (LIST, f"{LIST}{study.pk}/", "/accounts/profile/", "/accounts/password/"):
        answer = site.get(address)
        policy = answer["Content-Security-Policy"]
        assert "unsafe-inline" not in policy
        page = answer.content.decode()
        assert not re.search(r"\sstyle=", page), address
        assert not re.search(r"\son[a-z]+=", page), address
        for tag in re.findall(r"<script[^>]*>", page):
            assert "src=" in tag or 'type="application/json"' in tag, tag


def test_empty_lists_say_what_to_do(
    site: Client, facility: Facility, other_facility: Facility, settings: Any, radiologist: User
) -> None:
    page = site.get(LIST).content.decode()
    assert "No studies yet" in page
    assert f"<code>{settings.DICOM_SCP_AE_TITLE}</code>" in page
    assert f"<code>testserver:{settings.DICOM_SCP_PORT}</code>" in page
    page = site.get(LIST, {"name": "zzz"}).content.decode()
    assert "No study matches" in page
    assert "No studies yet" not in page
    radiologist.facilities.add(other_facility)
    preferences.set_facility(radiologist, facility.pk)
    assert "No studies of North Clinic yet" in site.get(LIST).content.decode()


def test_whoever_may_not_upload_is_not_sent_to_upload(facility: Facility) -> None:
    client = Client()
    client.force_login(factories.user("vera", Role.VIEWER, [facility]))
    page = client.get(LIST).content.decode()
    assert "/worklist/upload/" not in page


def test_the_switched_facility_narrows_everything(
    site: Client, radiologist: User, facility: Facility, other_facility: Facility
) -> None:
    radiologist.facilities.add(other_facility)
    make_study(facility, 1)
    make_study(other_facility, 2)
    body = json.dumps({"facility": str(other_facility.pk)})
    switched = site.post("/worklist/api/facility/", body, content_type="application/json")
    assert switched.status_code == 200
    assert names(site) == ["P2"]
    assert site.get("/worklist/api/counts/").json()["views"][0]["count"] == 1
    assert len(site.get("/worklist/api/find/?q=name").json()["studies"]) == 1
    assert names(site, facility="NORTH") == ["P1"]
    site.post("/worklist/api/facility/", '{"facility": ""}', content_type="application/json")
    assert len(names(site)) == 2
    # A membership that ended narrows nothing any more.
    site.post("/worklist/api/facility/", body, content_type="application/json")
    radiologist.facilities.remove(other_facility)
    assert names(site) == ["P1"]


def test_views_are_kept_counted_replaced_and_removed(
    site: Client, facility: Facility, radiologist: User
) -> None:
    make_study(facility, 1)
    make_study(facility, 2, modalities="\\MR\\")

    def post(**body: Any) -> Any:
        return site.post("/worklist/api/views/", json.dumps(body), content_type="application/json")

    assert post(name=" My  MR ", query="mod=mr&evil=1&cursor=x").json() == {"views": ["My MR"]}
    assert preferences.views_of(User.objects.get()) == [preferences.View("My MR", "mod=MR")]
    assert site.get("/worklist/api/counts/").json()["views"][-1] == {
        "name": "My MR", "count": 1, "more": False,
    }  # fmt: skip
    assert 'data-view="My MR"' in site.get(LIST).content.decode()
    assert post(name="My MR", query="").json() == {"views": ["My MR"]}
    assert post(name="", query="").status_code == 422
    assert post(name="x" * 41, query="").status_code == 422
    assert post(name="My MR", remove=True).json() == {"views": []}
    for number in range(preferences.MOST_VIEWS):
        assert post(name=str(number), query="").status_code == 200
    assert post(name="one more", query="").status_code == 422


def test_the_current_view_is_marked(site: Client) -> None:
    page = site.get(LIST, {"status": "unread", "sort": "name"}).content.decode()
    current = re.findall(r'data-view="([^"]+)"[^>]*aria-current', page)
    assert current == ["Unread"]


def test_hidden_columns_are_kept(site: Client, facility: Facility) -> None:
    def post(body: str) -> int:
        return site.post(
            "/worklist/api/columns/", body, content_type="application/json"
        ).status_code

    assert post('{"hidden": ["accession", "id"]}') == 200
    assert 'data-hidden="accession id facility"' in site.get(LIST).content.decode()
    assert post('{"hidden": ["patient"]}') == 422
    assert post('{"hidden": "id"}') == 422
    assert post("[]") == 422
    assert post("x" * 70_000) == 413


_PROGRAMS = ("api/counts/", "api/state/", "api/find/")
_WRITES = ("api/studies/status/", "api/views/", "api/columns/", "api/facility/")


@pytest.mark.parametrize("path", [*_PROGRAMS, *_WRITES])
def test_programs_without_a_session_read_401(path: str) -> None:
    client = Client()
    answer = (client.post if path in _WRITES else client.get)(f"/worklist/{path}")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert "Sign in" in answer.json()["detail"]


@pytest.mark.parametrize("path", _WRITES)
def test_writes_need_the_token_of_the_page(path: str, radiologist: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(radiologist)
    answer = client.post(f"/worklist/{path}", "{}", content_type="application/json")
    assert answer.status_code == 403


def test_a_search_that_takes_too_long_is_refused_where_it_can_be_narrowed(
    site: Client, facility: Facility, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor == "postgresql":
        pytest.skip("So few rows are read before PostgreSQL's shortest limit")
    make_study(facility, 1)
    body = {"name": "Slow", "query": "q=name"}
    site.post("/worklist/api/views/", json.dumps(body), content_type="application/json")
    monkeypatch.setattr("archive.timelimit._STEPS", 1)
    monkeypatch.setattr(database, "READING_S", 0.0)
    for address in (LIST, ROWS):
        answer = site.get(address, {"q": "name"})
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "Too many studies to look through" in text
        assert "Narrow it by ID, name, date or accession number." in text
        assert not _ROW.findall(text)
    # The list as it is has its indexes, and the other tabs their counts.
    assert len(ids(site)) == 1
    counts = site.get("/worklist/api/counts/").json()["views"]
    assert {"name": "All", "count": 1, "more": False} in counts
    assert "Slow" not in [view["name"] for view in counts]
    found = site.get("/worklist/api/find/", {"q": "name"})
    assert found.status_code == 503
    assert "Narrow it" in found.json()["detail"]
