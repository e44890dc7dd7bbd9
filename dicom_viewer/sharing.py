"""What the pages of shared links show: addresses, QR codes, states in words."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import segno
from django.conf import settings
from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from archive import links
from archive.access import Actor
from archive.errors import InvalidInputError
from archive.links import LinkDraft
from archive.models import LinkOutcome, LinkPurpose, SharedLink
from dicom_viewer import ohif
from worklist.models import Study

_DAY_S = 86_400
_TIMES = (
    (3600, gettext_noop("1 hour")),
    (8 * 3600, gettext_noop("8 hours")),
    (_DAY_S, gettext_noop("1 day")),
    (7 * _DAY_S, gettext_noop("7 days")),
    (30 * _DAY_S, gettext_noop("30 days")),
)
_VIEWS = (1, 3, 10)


@dataclass(frozen=True, slots=True)
class Line:
    """A link as a list shows it."""

    link: SharedLink
    ended: str
    refused_count: int


def address_of(request: HttpRequest, link: SharedLink) -> str:
    """Return what is handed on. Browsers send nothing behind the `#` to any server."""
    return f"{request.build_absolute_uri(reverse('sharing:open'))}#{links.text_of(link)}"


def picture_of(address: str) -> str:
    """Return the QR code of an address, as an SVG element."""
    code = segno.make(address, error="m")
    return code.svg_inline(scale=4, border=4, dark="#000", light="#fff", omitsize=True)


def lines(actor: Actor, *, study: Study | None = None, most: int = 200) -> Sequence[Line]:
    """Return the links that somebody may look at, the latest first."""
    rows = links.links_for(actor, study=study)
    rows = rows.annotate(
        refused_count=Count(
            "uses", filter=~Q(uses__outcome__in=[LinkOutcome.OPENED, LinkOutcome.FETCHED])
        )
    )
    return [Line(row, ended_words(row), row.refused_count) for row in rows[:most]]


def ended_words(link: SharedLink) -> str:
    """Return why a link opens nothing any more; empty: it does."""
    if link.revoked_at is not None:
        return gettext("Withdrawn")
    if link.expires_at <= timezone.now():
        return gettext("Over")
    if links.is_used_up(link):
        return gettext("Used up")
    return ""


def times() -> list[tuple[int, str]]:
    """Return how long a link can be good, in seconds and in words; the site's own time first."""
    usual: int = settings.SIGNED_URL_TTL_S
    most = settings.SHARED_LINK_MOST_DAYS * _DAY_S
    found = [(seconds, gettext(words)) for seconds, words in _TIMES if seconds <= most]
    if usual in dict(found):
        return sorted(found, key=lambda one: one[0] != usual)
    return [(usual, gettext("{n} seconds").format(n=usual)), *found]


def purposes() -> list[tuple[str, str]]:
    """Return what a link can open here."""
    return [
        (str(purpose), str(purpose.label))
        for purpose in (LinkPurpose.VIEW, LinkPurpose.OHIF)
        if purpose != LinkPurpose.OHIF or ohif.installed() is not None
    ]


def views() -> tuple[int, ...]:
    """Return how often a link can be opened, where not without end."""
    return _VIEWS


def new_pin() -> str:
    """Return six random digits."""
    return f"{secrets.randbelow(10**6):06}"


def draft_of(form: dict[str, str]) -> LinkDraft:
    """Read what somebody chose.

    Raises
    ------
    InvalidInputError
    """
    purpose = form.get("purpose", LinkPurpose.VIEW)
    if purpose not in dict(purposes()):
        raise InvalidInputError("Choose where the study opens.")
    return LinkDraft(
        purpose=LinkPurpose(purpose),
        seconds=_whole(form.get("seconds", ""), "how long the link is good"),
        audience=form.get("audience", ""),
        pin=form.get("pin", "").strip(),
        most_views=_whole(form.get("views", ""), "how often it can be opened"),
    )


def _whole(text: str, what: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidInputError(f"Choose {what}.")
    return int(text)


def opened_at(link: SharedLink) -> str:
    """Return the clean address at which a visit goes on."""
    if link.purpose == LinkPurpose.OHIF:
        return ohif.link_to(link.study.study_instance_uid)
    return reverse("dicom_viewer:viewer", args=[link.study_id])
