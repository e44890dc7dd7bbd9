"""Whose password was right, but whose second factor is still asked for: not signed in yet."""

from __future__ import annotations

import time
from uuid import UUID

from django.http import HttpRequest

from accounts.models import User

_KEY = "accounts.pending"
_KEPT_S = 300


def begin(request: HttpRequest, user: User, target: str) -> None:
    """Remember for five minutes, in a session of nobody, whose code comes next.

    Parameters
    ----------
    target : a path of ours, where to lead then
    """
    request.session.cycle_key()
    request.session[_KEY] = {
        "user": str(user.pk),
        # A changed password in between ends it, as it ends sessions.
        "hash": user.get_session_auth_hash(),
        "target": target,
        "until": time.time() + _KEPT_S,
    }


def look(request: HttpRequest) -> tuple[User, str] | None:
    """Return who it is and where they want to go; None when that is too long ago."""
    found = request.session.get(_KEY)
    if not isinstance(found, dict) or found["until"] < time.time():
        return None
    user = User.objects.filter(pk=UUID(found["user"]), is_active=True).first()
    if user is None or user.get_session_auth_hash() != found["hash"]:
        return None
    return user, found["target"]


def end(request: HttpRequest) -> None:
    """Forget it."""
    request.session.pop(_KEY, None)
