"""Addresses of single images that need no further identity, for as long as they are good.

A link is its maker's: it opens what they may see at the time it is opened, and ends with their
account, their membership, their password or the image. It reads one image and nothing else.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.utils.crypto import constant_time_compare

from accounts.models import User
from archive import access, link_texts
from archive.access import Actor
from archive.errors import ForbiddenError
from worklist.models import DicomImage

PARAMETER = link_texts.PARAMETER
_PURPOSE = "image"


@dataclass(frozen=True, slots=True)
class ImageLink:
    """What goes into the address, and until when it is good."""

    text: str
    expires_at: datetime
    expires_in_s: int


def link_to(actor: Actor, image: DicomImage) -> ImageLink:
    """Return a link to an image that the actor may see.

    Raises
    ------
    ForbiddenError
        When the actor is no person: then nobody's rights could be asked later.
    """
    user = User.objects.filter(pk=actor.user_id).first() if actor.user_id else None
    if user is None:
        raise ForbiddenError("Links are made for people and programs with an account.")
    seconds: int = settings.SIGNED_URL_TTL_S
    end = int(time.time()) + seconds
    text = link_texts.seal(_PURPOSE, [image.pk.hex, user.pk.hex, _mark(user)], ends_at_s=end)
    return ImageLink(text, datetime.fromtimestamp(end, UTC), seconds)


def actor_of(text: str, image_key: UUID, *, address: str | None = None) -> Actor:
    """Return whose link it is, with the rights that they have now.

    Parameters
    ----------
    text : from the address
    image_key : the image that is asked for
    address : whom the answer goes to, for the audit trail

    Raises
    ------
    ForbiddenError
        When it was changed, is over, or is for another image, or its maker may not any more.
    """
    image, person, mark = map(str, link_texts.unseal(_PURPOSE, text, 3))
    named, user_id = UUID(hex=image), UUID(hex=person)
    if named != image_key:
        raise ForbiddenError("This link was made for another image. Have it made again.")
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or not constant_time_compare(mark, _mark(user)):
        raise ForbiddenError("Whoever made this link may not any more. Have it made again.")
    return access.actor_of(user, address=address)


def _mark(user: User) -> str:
    """Return what changes with the person's password."""
    return hashlib.sha256(user.get_session_auth_hash().encode()).hexdigest()[:16]
