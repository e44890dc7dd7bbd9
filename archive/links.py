"""Links that open one study, for one purpose and a time, to whoever has them (docs/adr/0094).

Each is a row that is counted, has a log of its own, and can be withdrawn.

People share studies with :func:`share`; the archive's own jobs give programs a way to one study's
objects with :func:`issue_link`. How a stranger's browser uses a link is in `archive.link_visits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.models import User
from archive import access, audit, link_texts
from archive.access import Actor, Scope
from archive.errors import ForbiddenError, InvalidInputError, NotFoundError
from archive.link_rows import LinkOutcome, LinkPurpose, LinkUse, SharedLink
from worklist.models import Study

PREFIX = "nsl_"
LONGEST_AUDIENCE = 120
PIN_LENGTHS = range(4, 33)
MOST_VIEWS = 1000
# A program that fetches a study frame by frame is one use in this time.
_FETCHES_ARE_ONE_FOR = timedelta(minutes=10)
_SHORTEST_S = 60
_PURPOSE = "shared"

ENDED: dict[str, str] = {
    LinkOutcome.EXPIRED: "This link is over. Ask whoever shared the study for a new one.",
    LinkOutcome.REVOKED: "This link was withdrawn. Ask whoever shared the study for a new one.",
    LinkOutcome.USED_UP: "This link was opened as often as it may be. Ask whoever shared the study "
    "for a new one.",
    LinkOutcome.CLOSED: "What this link opened is not shared any more. Ask whoever shared it.",
}


class LinkEndedError(ForbiddenError):
    """The link opens nothing any more; `outcome` says why."""

    def __init__(self, outcome: LinkOutcome) -> None:
        super().__init__(ENDED[outcome])
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class IssuedLink:
    """A link as it is handed out.

    Parameters
    ----------
    link : its row
    text : what opens the study; whoever has it may, so it is kept out of every log
    """

    link: SharedLink
    text: str

    @property
    def authorization(self) -> str:
        """The value of a program's `Authorization` header, the same for every address."""
        return f"Bearer {self.text}"

    @property
    def dicomweb_path(self) -> str:
        """The path of the study's DICOMweb resources."""
        return f"/dicom-web/studies/{self.link.study.study_instance_uid}"

    def signed(self, path: str) -> str:
        """Return an address that needs no header, such as of `f"{dicomweb_path}/metadata"`."""
        joint = "&" if "?" in path else "?"
        return f"{path}{joint}{urlencode({link_texts.PARAMETER: self.text})}"


@dataclass(frozen=True, slots=True)
class LinkDraft:
    """What somebody wants to share, and how.

    Parameters
    ----------
    purpose : what opens
    seconds : how long it is good; None for the site's `SIGNED_URL_TTL`
    audience : for whom, in the sharer's words
    pin : asked for each time; empty for none
    most_views : how often it can be opened; None for any number
    """

    purpose: LinkPurpose = LinkPurpose.VIEW
    seconds: int | None = None
    audience: str = ""
    pin: str = ""
    most_views: int | None = None


def issue_link(
    study: Study,
    *,
    purpose: str = LinkPurpose.ANALYSIS,
    seconds: int | None = None,
    audience: str = "",
) -> IssuedLink:
    """Make a link to one study for a program that one of the archive's own jobs calls.

    The program reads the study's objects by DICOMweb and WADO, with `.authorization` as its header
    or by addresses from `.signed(path)`; it changes nothing and sees no other study. Call
    :func:`revoke` when its work is done.

    Parameters
    ----------
    study : whose objects it opens
    purpose : `LinkPurpose.ANALYSIS`, unless a person's browser is to open it
    seconds : how long it is good; None for the site's `SIGNED_URL_TTL`
    audience : which program it is for, for the log

    Raises
    ------
    ForbiddenError
        Where the site gives out no links (`RADIOLOGY_SIGNED_URLS=0`).
    InvalidInputError
        For a time that is too short or too long.
    """
    draft = LinkDraft(purpose=LinkPurpose(purpose), seconds=seconds, audience=audience)
    return _make(access.system_actor("system"), study, draft)


def share(actor: Actor, study_key: UUID | str, draft: LinkDraft) -> IssuedLink:
    """Make a link that a person hands on.

    Raises
    ------
    ForbiddenError
        When the role shares nothing, the study is another facility's, or the site gives out none.
    NotFoundError, InvalidInputError
    """
    if not actor.can_share or actor.user_id is None:
        raise ForbiddenError("Your role does not share studies. Ask an administrator.")
    return _make(actor, access.study_for(actor.scope, study_key), draft)


def _make(actor: Actor, study: Study, draft: LinkDraft) -> IssuedLink:
    if not settings.RADIOLOGY_SIGNED_URLS:
        raise ForbiddenError(
            "This site gives out no links (RADIOLOGY_SIGNED_URLS=0). Ask an administrator."
        )
    seconds = settings.SIGNED_URL_TTL_S if draft.seconds is None else draft.seconds
    most_s = max(settings.SHARED_LINK_MOST_DAYS * 86_400, settings.SIGNED_URL_TTL_S)
    least_s = min(_SHORTEST_S, settings.SIGNED_URL_TTL_S)
    if not least_s <= seconds <= most_s:
        raise InvalidInputError(
            f"A link is good for {least_s} seconds to {settings.SHARED_LINK_MOST_DAYS} days."
        )
    _check(draft)
    now = timezone.now()
    with transaction.atomic():
        link = SharedLink.objects.create(
            study=study,
            purpose=draft.purpose,
            made_by_id=actor.user_id,
            made_by_name=actor.name,
            is_of_person=actor.user_id is not None,
            audience=" ".join(draft.audience.split()),
            made_at=now,
            expires_at=now + timedelta(seconds=seconds),
            pin_hash=make_password(draft.pin) if draft.pin else "",
            most_views=draft.most_views,
        )
        audit.record(
            actor,
            "link.make",
            study,
            link=str(link.pk),
            purpose=link.purpose,
            expires_at=link.expires_at.isoformat(),
            has_pin=link.needs_pin,
            most_views=link.most_views,
        )
    return IssuedLink(link, text_of(link))


def _check(draft: LinkDraft) -> None:
    if len(draft.audience) > LONGEST_AUDIENCE:
        raise InvalidInputError(f"Say for whom in at most {LONGEST_AUDIENCE} characters.")
    if draft.pin and (len(draft.pin) not in PIN_LENGTHS or not draft.pin.isprintable()):
        raise InvalidInputError(
            f"A PIN has {PIN_LENGTHS[0]} to {PIN_LENGTHS[-1]} letters or digits."
        )
    if draft.most_views is not None and not 1 <= draft.most_views <= MOST_VIEWS:
        raise InvalidInputError(f"A link can be opened 1 to {MOST_VIEWS} times, or any number.")


def text_of(link: SharedLink) -> str:
    """Return what opens the study: the row's name, signed."""
    return PREFIX + link_texts.seal(_PURPOSE, [link.pk.hex])


def link_of(text: str) -> SharedLink:
    """Return the row of a text, whatever has become of it.

    Raises
    ------
    ForbiddenError
        When a bit of the text was changed, or the link's study was destroyed for good.
    """
    if not text.startswith(PREFIX):
        raise ForbiddenError(link_texts.CHANGED)
    (name,) = link_texts.unseal(_PURPOSE, text.removeprefix(PREFIX), 1)
    link = SharedLink.objects.select_related("made_by", "study").filter(pk=UUID(str(name))).first()
    if link is None:
        raise LinkEndedError(LinkOutcome.CLOSED)
    return link


def end_of(link: SharedLink, now: datetime | None = None) -> LinkOutcome | None:
    """Return why a link opens nothing any more; None: it does.

    A person's link ends with their account and with their membership, too.
    """
    if link.revoked_at is not None:
        return LinkOutcome.REVOKED
    if link.expires_at <= (now or timezone.now()):
        return LinkOutcome.EXPIRED
    if link.study.deletion_id is not None:
        return LinkOutcome.CLOSED
    if link.is_of_person and not _may_share(link.made_by, link.study):
        return LinkOutcome.CLOSED
    return None


def is_used_up(link: SharedLink) -> bool:
    """Whether a link was opened as often as it may be; who is in may stay."""
    return link.most_views is not None and link.views >= link.most_views


def _may_share(maker: User | None, study: Study) -> bool:
    if maker is None or not maker.is_active or not maker.can_share:
        return False
    return access.scope_of(maker).includes(study.facility_id)


def actor_for(link: SharedLink, *, address: str | None) -> Actor:
    """Return who somebody is that a link brought: nobody's member, with one study."""
    return Actor(
        name=f"link of {link.made_by_name}"[:150],
        scope=Scope(frozenset(), frozenset({link.study_id})),
        address=address,
        link_id=link.pk,
    )


def fetching_actor(text: str, *, address: str | None) -> Actor:
    """Return the actor that a program is by the link that its request carries.

    Raises
    ------
    ForbiddenError
        When the link is none, is over, or is one that people open in a browser.
    """
    link = link_of(text)
    if link.purpose != LinkPurpose.ANALYSIS:
        raise ForbiddenError("This link is for a person: open it in a browser.")
    ended = end_of(link)
    if ended is not None:
        note_use(link, ended, address=address)
        raise LinkEndedError(ended)
    since = timezone.now() - _FETCHES_ARE_ONE_FOR
    if not link.uses.filter(outcome=LinkOutcome.FETCHED, address=address, at__gt=since).exists():
        with transaction.atomic():
            note_use(link, LinkOutcome.FETCHED, address=address)
            SharedLink.objects.filter(pk=link.pk).update(views=link.views + 1)
    return actor_for(link, address=address)


def note_use(
    link: SharedLink, outcome: LinkOutcome, *, address: str | None, agent: str = ""
) -> LinkUse:
    """Write into the link's own log and into the audit trail what became of an attempt."""
    with transaction.atomic():
        use = LinkUse.objects.create(link=link, outcome=outcome, address=address, agent=agent[:200])
        audit.record(
            actor_for(link, address=address),
            "link.open" if use.is_success else "link.refuse",
            link.study,
            is_success=use.is_success,
            link=str(link.pk),
            outcome=str(outcome),
        )
    return use


def revoke(actor: Actor, link: SharedLink) -> None:
    """End a link now; harmless when it has ended. Whoever is in by it is out within a second.

    Raises
    ------
    ForbiddenError
        When it is somebody else's and the actor is no administrator.
    """
    is_own = actor.user_id is not None and actor.user_id == link.made_by_id
    is_ours = actor.user_id is None and actor.link_id is None and not link.is_of_person
    if not (is_own or is_ours or actor.is_administrator):
        raise ForbiddenError("Whoever made this link, or an administrator, can withdraw it.")
    with transaction.atomic():
        changed = SharedLink.objects.filter(pk=link.pk, revoked_at=None).update(
            revoked_at=timezone.now(), revoked_by_name=actor.name
        )
        if changed:
            audit.record(actor, "link.revoke", link.study, link=str(link.pk))
    link.refresh_from_db(fields=["revoked_at", "revoked_by_name"])


def links_for(actor: Actor, *, study: Study | None = None) -> QuerySet[SharedLink]:
    """Return the links that the actor made, the latest first; an administrator sees everybody's.

    Parameters
    ----------
    study : only those to this one
    """
    rows = SharedLink.objects.select_related("study", "made_by").filter(is_of_person=True)
    if study is not None:
        rows = rows.filter(study=study)
    if not actor.is_administrator:
        rows = rows.filter(made_by=actor.user_id)
    return rows.order_by("-made_at", "-pk")


def link_for(actor: Actor, key: UUID) -> SharedLink:
    """Return a link that the actor made, or any for an administrator.

    Raises
    ------
    NotFoundError, ForbiddenError
    """
    link = SharedLink.objects.select_related("study", "made_by").filter(pk=key).first()
    if link is None:
        raise NotFoundError("There is no such link.")
    if not actor.is_administrator and (actor.user_id is None or link.made_by_id != actor.user_id):
        raise ForbiddenError("This link is somebody else's.")
    return link


def uses_of(link: SharedLink, *, most: int = 200) -> Sequence[LinkUse]:
    """Return the attempts to use a link, the latest first."""
    return list(link.uses.all()[:most])
