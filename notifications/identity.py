"""Who is at the other end of a socket, as long as their session lives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from uuid import UUID

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.utils.crypto import constant_time_compare

from accounts import sessions
from accounts.auth import authenticate_token
from accounts.models import User
from archive.access import Scope, scope_of

# No session's key holds a blank.
_ACCOUNT, _TOKEN = "account ", "token "


@dataclass(frozen=True, slots=True)
class Identity:
    """A signed-in person and what they may hear of.

    Attributes
    ----------
    ae_title : of a program that subscribed to work items; empty: a page
    """

    user_id: UUID
    name: str
    scope: Scope
    is_administrator: bool
    ae_title: str = ""


def identify(session_keys: Iterable[str]) -> dict[str, Identity]:
    """Return who the sessions belong to; sessions that are over are left out.

    The rules are those of `django.contrib.auth.get_user`: the session lives, the user is active,
    the password is still the one that the session began with. Nothing is written: listening does
    not keep a session alive.
    """
    sessions = {key: data for key in session_keys if (data := _ticket(key)) is not None}
    users = {
        user.pk: user
        for user in User.objects.filter(
            pk__in={user_id for user_id, _ in sessions.values()}, is_active=True
        )
    }
    found: dict[str, Identity] = {}
    for key, (user_id, session_hash) in sessions.items():
        user = users.get(user_id)
        if user is not None and constant_time_compare(session_hash, user.get_session_auth_hash()):
            found[key] = Identity(
                user_id=user.pk,
                name=str(user),
                scope=scope_of(user),
                is_administrator=user.is_administrator,
            )
    return found


def key_of_account(user: User) -> str:
    """Return what stands for a session where a password was sent along: good while it is right."""
    return f"{_ACCOUNT}{user.pk} {user.get_session_auth_hash()}"


def key_of_token(secret: str) -> str:
    """Return what stands for a session where an API token was sent along: good while it is."""
    return f"{_TOKEN}{secret}"


def _ticket(key: str) -> tuple[UUID, str] | None:
    """Return whose a key is, and what of the account it was made with."""
    if key.startswith(_ACCOUNT):
        user_id, _, session_hash = key.removeprefix(_ACCOUNT).partition(" ")
        return UUID(user_id), session_hash
    if key.startswith(_TOKEN):
        user = authenticate_token(key.removeprefix(_TOKEN))
        return None if user is None else (user.pk, user.get_session_auth_hash())
    return _load(key)


def _load(session_key: str) -> tuple[UUID, str] | None:
    store = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    data = store.load()
    if data.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    if sessions.is_over(data):
        return None
    try:
        return UUID(data[SESSION_KEY]), str(data[HASH_SESSION_KEY])
    except (KeyError, ValueError):
        return None
