"""Links as their makers and their visitors meet them: PIN, views, log, and who may what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Role, User
from archive import access, link_visits, links
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError, TooManyAttemptsError
from archive.link_visits import PinNeededError, Visit, WrongPinError
from archive.links import IssuedLink, LinkDraft, LinkEndedError
from archive.models import AuditEvent, LinkOutcome, LinkPurpose, SharedLink
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)

PIN = "402711"
HERE = "203.0.113.9"


@pytest.fixture
def study(store: Path, facility: Facility) -> Study:
    result = factories.store_bytes(to_bytes(make_instance()), facility)
    return Study.objects.get(series__images=result.image_id)


def shared(reader: Actor, study: Study, **options: object) -> IssuedLink:
    return links.share(reader, study.pk, LinkDraft(**options))  # type: ignore[arg-type]


def begin(issued: IssuedLink, pin: str = "") -> Visit:
    return link_visits.begin(issued.text, pin, address=HERE, agent="Firefox")


def outcomes(issued: IssuedLink) -> list[str]:
    return [use.outcome for use in reversed(links.uses_of(issued.link))]


def test_a_link_is_exchanged_for_a_visit_that_is_logged(reader: Actor, study: Study) -> None:
    issued = shared(reader, study, audience="Dr. Weber,  Ulm")
    assert issued.link.audience == "Dr. Weber, Ulm"
    assert issued.link.expires_at - issued.link.made_at == timedelta(seconds=3600)
    visit = begin(issued)
    assert visit.ends_at == issued.link.expires_at
    visitor = link_visits.visitor_of(visit.secret, address=HERE)
    assert visitor is not None
    assert visitor.actor.scope.study_ids == {study.pk}
    assert visitor.actor.scope.facility_ids == frozenset()
    (use,) = links.uses_of(issued.link)
    assert (use.outcome, use.address, use.agent) == (LinkOutcome.OPENED, HERE, "Firefox")
    verbs = AuditEvent.objects.filter(verb__startswith="link.").values_list("verb", "actor")
    assert sorted(verbs) == [("link.make", "rita"), ("link.open", "link of rita")]
    # Nothing that is kept opens the study.
    kept = str(SharedLink.objects.values().get()) + str(issued.link.uses.values().get())
    assert issued.text not in kept
    assert visit.secret not in kept
    assert link_visits.visitor_of("x" + visit.secret, address=HERE) is None
    assert link_visits.visitor_of("", address=HERE) is None


def test_a_visit_lasts_no_longer_than_half_a_day(reader: Actor, study: Study) -> None:
    issued = shared(reader, study, seconds=7 * 86_400)
    visit = begin(issued)
    assert visit.ends_at < issued.link.expires_at
    issued.link.uses.update(visit_ends_at=timezone.now())
    with pytest.raises(LinkEndedError, match="over"):
        link_visits.visitor_of(visit.secret, address=HERE)
    assert begin(issued).ends_at > timezone.now()


def test_it_is_opened_as_often_as_was_said(reader: Actor, study: Study) -> None:
    issued = shared(reader, study, most_views=2)
    first = begin(issued)
    begin(issued)
    for _ in range(2):
        with pytest.raises(LinkEndedError, match="as often as it may be"):
            begin(issued)
    assert outcomes(issued) == ["opened", "opened", "used-up", "used-up"]
    # Who is in may stay, and reload the page.
    assert link_visits.visitor_of(first.secret, address=HERE) is not None


def test_the_last_view_goes_to_one_of_many(reader: Actor, study: Study) -> None:
    issued = shared(reader, study, most_views=3)

    def attempt(_: int) -> str:
        try:
            begin(issued)
        except LinkEndedError as error:
            return str(error.outcome)
        finally:
            connections.close_all()
        return "opened"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(attempt, range(8)))
    assert sorted(found) == ["opened"] * 3 + ["used-up"] * 5


def test_a_pin_is_asked_for_compared_and_kept_as_a_digest(reader: Actor, study: Study) -> None:
    issued = shared(reader, study, pin=PIN, most_views=1)
    assert PIN not in issued.link.pin_hash
    with pytest.raises(PinNeededError):
        begin(issued)
    with pytest.raises(WrongPinError, match="4 tries are left"):
        begin(issued, "000000")
    # Neither counts as a view.
    assert begin(issued, PIN).secret
    assert outcomes(issued) == ["wrong-pin", "opened"]


def test_the_sixth_wrong_pin_waits_and_so_does_the_right_one(reader: Actor, study: Study) -> None:
    issued = shared(reader, study, pin=PIN)
    for _ in range(5):
        with pytest.raises(WrongPinError):
            begin(issued, "000000")
    for pin in ("000000", PIN):
        with pytest.raises(TooManyAttemptsError, match="Wait 15 minutes") as caught:
            begin(issued, pin)
        assert 880 <= caught.value.retry_after_s <= 900
    assert outcomes(issued) == ["wrong-pin"] * 5 + ["waiting"] * 2
    SharedLink.objects.update(pin_waits_until=timezone.now())
    begin(issued, PIN)
    # The right one begins the count anew.
    with pytest.raises(WrongPinError, match="4 tries are left"):
        begin(issued, "000000")


def test_fifteen_wrong_pins_end_the_link(reader: Actor, study: Study) -> None:
    issued = shared(reader, study, pin=PIN)
    for count in range(1, 16):
        SharedLink.objects.update(pin_waits_until=None)
        with pytest.raises(LinkEndedError if count == 15 else WrongPinError):
            begin(issued, "000000")
    with pytest.raises(LinkEndedError, match="withdrawn"):
        begin(issued, PIN)
    issued.link.refresh_from_db()
    assert issued.link.revoked_by_name == "too many wrong PINs"


def test_wrong_pins_at_the_same_time_do_not_slip_through(reader: Actor, study: Study) -> None:
    issued = shared(reader, study, pin=PIN)

    def attempt(number: int) -> str:
        try:
            begin(issued, f"{number:06}")
        except (WrongPinError, TooManyAttemptsError) as error:
            return type(error).__name__
        finally:
            connections.close_all()
        return "opened"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(attempt, range(12)))
    assert found.count("WrongPinError") == 5
    assert found.count("TooManyAttemptsError") == 7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seconds": 59}, "60 seconds to 30 days"),
        ({"seconds": 30 * 86_400 + 1}, "60 seconds to 30 days"),
        ({"pin": "123"}, "4 to 32"),
        ({"pin": "1" * 33}, "4 to 32"),
        ({"pin": "12\n34"}, "4 to 32"),
        ({"most_views": 0}, "1 to 1000"),
        ({"most_views": 1001}, "1 to 1000"),
        ({"audience": "x" * 121}, "120 characters"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    reader: Actor, study: Study, options: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        shared(reader, study, **options)
    assert not SharedLink.objects.exists()


def test_who_may_share_and_who_sees_whose_links(
    reader: Actor, study: Study, facility: Facility, other_facility: Facility, admin_user: User
) -> None:
    for role in (Role.VIEWER, Role.REFERRER):
        person = access.actor_of(factories.user(str(role), role, [facility]))
        with pytest.raises(ForbiddenError, match="role"):
            shared(person, study)
    stranger = access.actor_of(factories.user("sven", Role.RADIOLOGIST, [other_facility]))
    with pytest.raises(ForbiddenError, match="not yours"):
        shared(stranger, study)
    colleague = access.actor_of(factories.user("tom", Role.TECHNOLOGIST, [facility]))
    issued = shared(reader, study)
    links.issue_link(study)
    # A program's link is nobody's to look at.
    assert [row.pk for row in links.links_for(reader)] == [issued.link.pk]
    assert list(links.links_for(colleague, study=study)) == []
    for other in (stranger, colleague):
        with pytest.raises(ForbiddenError):
            links.link_for(other, issued.link.pk)
        with pytest.raises(ForbiddenError):
            links.revoke(other, issued.link)
    visitor = links.actor_for(issued.link, address=HERE)
    with pytest.raises(ForbiddenError):
        links.revoke(visitor, issued.link)
    with pytest.raises(ForbiddenError):
        shared(visitor, study)
    admin = access.actor_of(admin_user)
    assert [row.pk for row in links.links_for(admin)] == [issued.link.pk]
    links.revoke(admin, links.link_for(admin, issued.link.pk))
    links.revoke(reader, issued.link)  # again: harmless
    issued.link.refresh_from_db()
    assert issued.link.revoked_by_name == "ada"
    assert AuditEvent.objects.filter(verb="link.revoke").count() == 1


def test_a_site_that_gives_out_no_links_says_so(
    reader: Actor, study: Study, settings: Settings
) -> None:
    settings.RADIOLOGY_SIGNED_URLS = False
    with pytest.raises(ForbiddenError, match="RADIOLOGY_SIGNED_URLS"):
        shared(reader, study)
    with pytest.raises(ForbiddenError, match="RADIOLOGY_SIGNED_URLS"):
        links.issue_link(study)


def test_a_programs_link_opens_no_page(study: Study) -> None:
    issued = links.issue_link(study)
    assert issued.link.purpose == LinkPurpose.ANALYSIS
    with pytest.raises(ForbiddenError, match="for a program"):
        begin(issued)
