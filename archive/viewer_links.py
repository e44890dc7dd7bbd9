"""Addresses under which a study opens in a viewer, for programs that send their users there.

The address of our own viewer is no key: whoever opens it signs in. It carries a signed date, after
which the viewer refuses it, so that addresses kept in other systems end as was said.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from archive import link_texts
from archive.errors import ForbiddenError
from worklist.models import Study

PARAMETER = link_texts.PARAMETER
_PURPOSE = "viewer"


@dataclass(frozen=True, slots=True)
class ViewerLink:
    """An address, and until when it is good."""

    url: str
    expires_at: datetime
    expires_in_s: int


def link_to(studies: Sequence[Study], origin: str) -> ViewerLink:
    """Return the address of studies in the site's viewer; the first of them is shown first.

    Parameters
    ----------
    studies : at least one
    origin : scheme and host under which the site is asked, such as `https://pacs.example.org`
    """
    seconds: int = settings.SIGNED_URL_TTL_S
    words = {"StudyInstanceUIDs": ",".join(study.study_instance_uid for study in studies)}
    if settings.OHIF_VIEWER_URL:
        base = settings.OHIF_VIEWER_URL
    else:
        base = f"{origin.rstrip('/')}/viewer/{studies[0].pk}/"
        if settings.RADIOLOGY_SIGNED_URLS:
            end = int(time.time()) + seconds
            words[PARAMETER] = link_texts.seal(_PURPOSE, [str(studies[0].pk)], ends_at_s=end)
    joint = "&" if "?" in base else "?"
    expires_at = timezone.now() + timedelta(seconds=seconds)
    return ViewerLink(f"{base}{joint}{urlencode(words, safe=',.')}", expires_at, seconds)


def check(link: str, study_id: UUID) -> None:
    """Refuse an address that is over, or was made for another study.

    Raises
    ------
    ForbiddenError
    """
    (named,) = link_texts.unseal(_PURPOSE, link, 1)
    if named != str(study_id):
        raise ForbiddenError("This link was made for another study. Have it made again.")
