"""How a stranger's browser uses a link: the link and its PIN are exchanged for a visit.

A visit is a secret in a cookie. It opens the link's study as long as the link does, and no longer
than `LONGEST`. The link itself is in no address after the exchange.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.hashers import check_password
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from archive import links
from archive.access import Actor
from archive.errors import ForbiddenError, TooManyAttemptsError
from archive.link_rows import LinkOutcome, LinkPurpose, LinkUse, SharedLink
from archive.links import LinkEndedError

LONGEST = timedelta(hours=12)
# So many wrong PINs in a row, from wherever they come, and the link waits; so many, and it ends.
WRONG_PINS_BEFORE_WAITING = 5
WRONG_PINS_BEFORE_END = 15
_WAITS_FOR = timedelta(minutes=15)
_LONGEST_SECRET = 200


class PinNeededError(ForbiddenError):
    """The link has a PIN, and none came with it."""

    def __init__(self) -> None:
        super().__init__("This study is behind a PIN. Ask whoever shared it.")


class WrongPinError(ForbiddenError):
    """A PIN came that is not the link's."""

    def __init__(self, left: int) -> None:
        tries = "1 try is" if left == 1 else f"{left} tries are"
        super().__init__(f"The PIN is wrong. {tries} left before the link has to wait.")


@dataclass(frozen=True, slots=True)
class Visit:
    """What a link and its PIN were exchanged for.

    Parameters
    ----------
    secret : for the cookie; its digest alone is kept
    ends_at : when the visit is over
    """

    link: SharedLink
    secret: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody with a visit: the actor that they are, and by which link."""

    actor: Actor
    link: SharedLink
    ends_at: datetime


def begin(text: str, pin: str, *, address: str | None, agent: str = "") -> Visit:
    """Exchange a link for a visit; it counts as one view.

    Parameters
    ----------
    text : the link's, as `links.text_of` returns it
    pin : what the person wrote; empty where nobody was asked yet
    address, agent : for the log of the one who shared the study

    Raises
    ------
    PinNeededError, WrongPinError
    TooManyAttemptsError
        After `WRONG_PINS_BEFORE_WAITING` wrong PINs, for a while.
    LinkEndedError
        When it is over, withdrawn, used up, or its maker may not share the study any more.
    ForbiddenError
        When it is none, or is for a program.
    """
    link = links.link_of(text)
    if link.purpose == LinkPurpose.ANALYSIS:
        raise ForbiddenError("This link is for a program: it opens no page.")
    ended = links.end_of(link)
    if ended is None and links.is_used_up(link):
        ended = LinkOutcome.USED_UP
    if ended is not None:
        links.note_use(link, ended, address=address, agent=agent)
        raise LinkEndedError(ended)
    if link.needs_pin:
        _check_pin(link, pin, address=address, agent=agent)
    return _opened(link, address=address, agent=agent)


def _check_pin(link: SharedLink, pin: str, *, address: str | None, agent: str) -> None:
    """Compare a PIN with the link's; it is counted as wrong before anybody knows.

    So attempts made at the same time cannot slip through together. The digest takes a tenth of a
    second, which no lock of the database waits for.
    """
    if not pin:
        raise PinNeededError
    now = timezone.now()
    with transaction.atomic():
        row = SharedLink.objects.select_for_update().get(pk=link.pk)
        waits = row.pin_waits_until is not None and row.pin_waits_until > now
        if not waits:
            row.wrong_pins += 1
            if row.wrong_pins % WRONG_PINS_BEFORE_WAITING == 0:
                row.pin_waits_until = now + _WAITS_FOR
            row.save(update_fields=["wrong_pins", "pin_waits_until"])
    if waits:
        links.note_use(link, LinkOutcome.WAITING, address=address, agent=agent)
        seconds = max(1, round(((row.pin_waits_until or now) - now).total_seconds()))
        raise TooManyAttemptsError(
            f"Too many wrong PINs. Wait {-(-seconds // 60)} minutes, then try again.",
            retry_after_s=seconds,
        )
    if check_password(pin, link.pin_hash):
        SharedLink.objects.filter(pk=link.pk).update(wrong_pins=0, pin_waits_until=None)
        return
    links.note_use(link, LinkOutcome.WRONG_PIN, address=address, agent=agent)
    if row.wrong_pins >= WRONG_PINS_BEFORE_END:
        SharedLink.objects.filter(pk=link.pk, revoked_at=None).update(
            revoked_at=now, revoked_by_name="too many wrong PINs"
        )
        raise LinkEndedError(LinkOutcome.REVOKED)
    raise WrongPinError(-row.wrong_pins % WRONG_PINS_BEFORE_WAITING)


def _opened(link: SharedLink, *, address: str | None, agent: str) -> Visit:
    now = timezone.now()
    secret = secrets.token_urlsafe(32)
    ends_at = min(link.expires_at, now + LONGEST)
    with transaction.atomic():
        is_open = Q(most_views=None) | Q(views__lt=F("most_views"))
        counted = SharedLink.objects.filter(is_open, pk=link.pk, revoked_at=None).update(
            views=F("views") + 1
        )
        if counted:
            use = links.note_use(link, LinkOutcome.OPENED, address=address, agent=agent)
            LinkUse.objects.filter(pk=use.pk).update(visit=_digest(secret), visit_ends_at=ends_at)
    if not counted:
        # Somebody else took the last view meanwhile.
        links.note_use(link, LinkOutcome.USED_UP, address=address, agent=agent)
        raise LinkEndedError(LinkOutcome.USED_UP)
    return Visit(link, secret, ends_at)


def visitor_of(secret: str, *, address: str | None) -> Visitor | None:
    """Return who a visit's cookie says somebody is; None: there is no such visit.

    Raises
    ------
    LinkEndedError
        When the visit or its link is over.
    """
    if not secret or len(secret) > _LONGEST_SECRET:
        return None
    uses = LinkUse.objects.select_related("link__study", "link__made_by")
    use = uses.filter(visit=_digest(secret)).first()
    if use is None or use.visit_ends_at is None:
        return None
    ended = links.end_of(use.link)
    if ended is None and use.visit_ends_at <= timezone.now():
        ended = LinkOutcome.EXPIRED
    if ended is not None:
        raise LinkEndedError(ended)
    return Visitor(links.actor_for(use.link, address=address), use.link, use.visit_ends_at)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
