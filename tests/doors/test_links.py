"""What a link to one study opens of the sidecar, and everything that it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from accounts.models import Role, User
from archive import access, deletions, link_visits, links
from archive.access import Actor
from archive.links import IssuedLink, LinkDraft
from archive.models import AuditEvent, LinkOutcome, LinkPurpose, SharedLink
from fastapi_app import auth, main
from tests import factories
from tests.codestreams import noise
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Caller, Sidecar, assert_problem
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)

OBJECTS = (
    "/dicom-web/studies/{study}",
    "/dicom-web/studies/{study}/metadata",
    "/dicom-web/studies/{study}/series",
    "/dicom-web/studies/{study}/instances",
    "/dicom-web/studies/{study}/series/{series}",
    "/dicom-web/studies/{study}/series/{series}/metadata",
    "/dicom-web/studies/{study}/series/{series}/instances/{image}",
    "/dicom-web/studies/{study}/series/{series}/instances/{image}/frames/1",
    "/dicom-web/studies/{study}/series/{series}/instances/{image}/rendered",
    "/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={image}",
)
PICTURES = (
    "/api/v1/dicom/image/{image}/frames/1.png",
    "/api/v1/dicom/image/{image}/frames/1.jphc",
    "/api/v1/dicom/image/{image}/thumbnail",
    "/api/v1/dicom/studies/{study}/thumbnail",
    "/api/v1/dicom/frames?f={key}:1",
)


@dataclass(frozen=True)
class Three:
    """A shared study, one of the same patient and facility, and another facility's."""

    shared: DicomImage
    neighbour: DicomImage
    others: DicomImage

    @property
    def study(self) -> Study:
        return self.shared.series.study


def filled(route: str, image: DicomImage) -> str:
    series = image.series
    return route.format(
        study=series.study.study_instance_uid,
        series=series.series_instance_uid,
        image=image.sop_instance_uid,
        key=image.pk,
    )


def stored(facility: Facility) -> DicomImage:
    result = factories.store_bytes(to_bytes(make_instance(noise(16, 16))), facility)
    return DicomImage.objects.select_related("series__study").get(pk=result.image_id)


@pytest.fixture
def three(store: Path, facility: Facility, other_facility: Facility) -> Three:
    return Three(stored(facility), stored(facility), stored(other_facility))


def by_header(sidecar: Sidecar, issued: IssuedLink) -> Caller:
    return sidecar.nobody.as_(Authorization=issued.authorization)


def by_visit(sidecar: Sidecar, issued: IssuedLink, pin: str = "") -> Caller:
    visit = link_visits.begin(issued.text, pin, address="203.0.113.9", agent="tests")
    return sidecar.nobody.as_(Cookie=f"{django_settings.LINK_COOKIE_NAME}={visit.secret}")


def shared_by(reader: Actor, three: Three, purpose: LinkPurpose) -> IssuedLink:
    return links.share(reader, three.study.pk, LinkDraft(purpose=purpose))


def ways(sidecar: Sidecar, reader: Actor, three: Three) -> dict[LinkPurpose, Caller]:
    return {
        LinkPurpose.VIEW: by_visit(sidecar, shared_by(reader, three, LinkPurpose.VIEW)),
        LinkPurpose.OHIF: by_visit(sidecar, shared_by(reader, three, LinkPurpose.OHIF)),
        LinkPurpose.ANALYSIS: by_header(sidecar, links.issue_link(three.study)),
    }


OPENS = {
    LinkPurpose.VIEW: PICTURES,
    LinkPurpose.OHIF: OBJECTS,
    LinkPurpose.ANALYSIS: OBJECTS,
}


def test_a_link_opens_what_its_purpose_takes_of_its_study_alone(
    sidecar: Sidecar, three: Three, reader: Actor
) -> None:
    for purpose, caller in ways(sidecar, reader, three).items():
        for route in (*OBJECTS, *PICTURES):
            for _ in range(2):  # the second time everything is warm
                mine = caller.get(filled(route, three.shared))
                if route in OPENS[purpose]:
                    assert mine.status_code == 200, (purpose, route, mine.text)
                else:
                    assert_problem(mine, 403, "opens one study")
            if route.startswith("/api/v1/dicom/frames"):
                continue  # says it of each frame: below
            for foreign in (three.neighbour, three.others):
                assert_problem(caller.get(filled(route, foreign)), 403)


def test_a_batch_and_a_search_hold_the_shared_study_alone(
    sidecar: Sidecar, three: Three, reader: Actor
) -> None:
    found = ways(sidecar, reader, three)
    frames = [f"{image.pk}:1" for image in (three.shared, three.neighbour, three.others)]
    batch = found[LinkPurpose.VIEW].get("/api/v1/dicom/frames", params={"f": frames})
    assert batch.content.count(b'"status":403') + batch.content.count(b'"status": 403') == 2
    own = three.study.study_instance_uid
    foreign = three.neighbour.series.study.study_instance_uid
    for purpose in (LinkPurpose.OHIF, LinkPurpose.ANALYSIS):
        for query in ("", f"?StudyInstanceUID={own},{foreign}", "?PatientName=*&limit=10"):
            rows = found[purpose].get(f"/dicom-web/studies{query}").json()
            assert [row["0020000D"]["Value"] for row in rows] == [[own]], query
        for level in ("series", "instances"):
            rows = found[purpose].get(f"/dicom-web/{level}").json()
            assert {row["0020000D"]["Value"][0] for row in rows} == {own}
        none = found[purpose].get(f"/dicom-web/studies?StudyInstanceUID={foreign}")
        assert none.json() == []


def test_every_other_route_is_closed_to_links(
    sidecar: Sidecar, three: Three, reader: Actor
) -> None:
    found = ways(sidecar, reader, three)
    names = {"study": three.study.pk, "series": three.shared.series_id, "image": three.shared.pk}
    open_ones = ("/dicom-web", "/wado", "/api/v1/dicom/frames", "/api/v1/auth/token")
    asked = 0
    for path, operations in main.api.openapi()["paths"].items():
        for method in operations:
            is_reading = method in {"get", "head", "options"}
            if is_reading and (
                path.startswith(open_ones)
                or path.endswith(("/thumbnail", "/video", "/video/facts"))
                or "/frames/" in path
                or "/film." in path
            ):
                continue
            if path.startswith(("/api/v1/auth/token", "/api/v1/radiology/images/{image}/content")):
                continue
            address = path
            for part in ("study", "series", "image"):
                address = address.replace(f"{{{part}}}", str(names[part]))
            address = address.replace("{", "").replace("}", "")
            for purpose, caller in found.items():
                answer = caller.request(method.upper(), address)
                # Some doors have keys of their own, and do not know what a link is.
                assert answer.status_code in {401, 403}, (purpose, method, path)
                asked += 1
    assert asked > 100


def end_time(issued: IssuedLink, maker: User) -> None:
    SharedLink.objects.filter(pk=issued.link.pk).update(expires_at=timezone.now())


def withdraw(issued: IssuedLink, maker: User) -> None:
    links.revoke(access.actor_of(maker), issued.link)


def lock(issued: IssuedLink, maker: User) -> None:
    User.objects.filter(pk=maker.pk).update(is_active=False)


def leave(issued: IssuedLink, maker: User) -> None:
    maker.facilities.clear()


def demote(issued: IssuedLink, maker: User) -> None:
    User.objects.filter(pk=maker.pk).update(role=Role.VIEWER)


def remove(issued: IssuedLink, maker: User) -> None:
    maker.delete()


def delete_study(issued: IssuedLink, maker: User) -> None:
    admin = replace(access.system_actor("tests"), is_administrator=True)
    deletions.delete_study(admin, issued.link.study_id, "wrong patient")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (end_time, "over"),
        (withdraw, "withdrawn"),
        (lock, "not shared any more"),
        (leave, "not shared any more"),
        (demote, "not shared any more"),
        (remove, "not shared any more"),
        (delete_study, "not shared any more"),
    ],
)
def test_what_ends_a_link_ends_its_visits(
    sidecar: Sidecar, three: Three, radiologist: User, reader: Actor,
    change: Callable[[IssuedLink, User], None], words: str,
) -> None:  # fmt: skip
    issued = shared_by(reader, three, LinkPurpose.OHIF)
    caller = by_visit(sidecar, issued)
    path = filled(OBJECTS[1], three.shared)
    assert caller.get(path).status_code == 200
    change(issued, radiologist)
    auth.forget()  # the second for which a caller is remembered
    assert_problem(caller.get(path), 403, words)


def test_a_programs_link_ends_when_it_is_over_or_withdrawn(sidecar: Sidecar, three: Three) -> None:
    path = filled(OBJECTS[1], three.shared)
    first, second = links.issue_link(three.study), links.issue_link(three.study, seconds=60)
    for issued in (first, second):
        assert by_header(sidecar, issued).get(path).status_code == 200
        assert sidecar.nobody.get(issued.signed(path)).status_code == 200
    links.revoke(access.system_actor("analysis"), first.link)
    SharedLink.objects.filter(pk=second.link.pk).update(expires_at=timezone.now())
    auth.forget()
    for issued, words in ((first, "withdrawn"), (second, "over")):
        assert_problem(by_header(sidecar, issued).get(path), 403, words)
        assert_problem(sidecar.nobody.get(issued.signed(path)), 403, words)
    outcomes = [use.outcome for use in links.uses_of(first.link)]
    assert outcomes == [LinkOutcome.REVOKED, LinkOutcome.REVOKED, LinkOutcome.FETCHED]


def test_no_bit_of_a_link_can_be_changed(sidecar: Sidecar, three: Three) -> None:
    issued = links.issue_link(three.study)
    path = filled(OBJECTS[1], three.shared)
    for at in range(len(issued.text)):
        letter = "A" if issued.text[at] != "A" else "B"
        changed = issued.text[:at] + letter + issued.text[at + 1 :]
        answer = sidecar.nobody.as_(Authorization=f"Bearer {changed}").get(path)
        assert answer.status_code in {401, 403}, at
    for text in (issued.text[:-1], issued.text + "A", links.PREFIX, links.PREFIX + "x" * 4000):
        assert_problem(sidecar.nobody.as_(Authorization=f"Bearer {text}").get(path), 403)


def test_a_link_is_good_for_its_purpose_alone(
    sidecar: Sidecar, three: Three, reader: Actor
) -> None:
    path = filled(OBJECTS[1], three.shared)
    for purpose in (LinkPurpose.VIEW, LinkPurpose.OHIF):
        issued = shared_by(reader, three, purpose)
        assert_problem(by_header(sidecar, issued).get(path), 403, "for a person")
    # One that opens an image of a study is none for its study, and the other way round.
    image = sidecar.by_token(User.objects.get(pk=reader.user_id)).get(
        f"/api/v1/radiology/images/{three.shared.pk}/url/"
    )
    text = image.json()["url"].partition("link=")[2]
    assert_problem(sidecar.nobody.get(f"{path}?link={links.PREFIX}{text}"), 403, "changed")
    assert_problem(sidecar.nobody.get(f"{path}?link={text}"), 401)
    issued = links.issue_link(three.study)
    content = f"/api/v1/radiology/images/{three.shared.pk}/content/?link={issued.text}"
    assert_problem(sidecar.nobody.get(content), 403, "changed")


def test_who_is_signed_in_is_not_less_for_a_link(
    sidecar: Sidecar, three: Three, reader: Actor, radiologist: User
) -> None:
    guest = by_visit(sidecar, shared_by(reader, three, LinkPurpose.VIEW))
    member = sidecar.by_session(radiologist)
    both = sidecar.nobody.as_(Cookie=f"{guest.headers['Cookie']}; {member.headers['Cookie']}")
    path = f"/api/v1/dicom/studies/{three.neighbour.series.study_id}"
    assert both.get(path).status_code == 200
    assert_problem(guest.get(path), 403)
    wrong = sidecar.nobody.as_(Cookie=f"{django_settings.LINK_COOKIE_NAME}=unknown")
    assert_problem(wrong.get(path), 401)


def test_fetching_is_in_the_links_log_and_in_the_audit_trail(
    sidecar: Sidecar, three: Three
) -> None:
    issued = links.issue_link(three.study, audience="Lung nodules 2")
    for _ in range(3):
        auth.forget()
        assert by_header(sidecar, issued).get(filled(OBJECTS[1], three.shared)).status_code == 200
    (use,) = links.uses_of(issued.link)
    assert (use.outcome, use.address) == (LinkOutcome.FETCHED, "127.0.0.1")
    events = AuditEvent.objects.filter(target_id=str(three.study.pk))
    assert events.get(verb="link.open").detail["link"] == str(issued.link.pk)
    viewed = events.exclude(verb__startswith="link.").values_list("actor", flat=True)
    assert set(viewed) == {"link of system"}
    # Ten minutes later it is another use.
    issued.link.uses.update(at=timezone.now() - timedelta(minutes=11))
    auth.forget()
    by_header(sidecar, issued).get(filled(OBJECTS[1], three.shared))
    assert issued.link.uses.count() == 2
