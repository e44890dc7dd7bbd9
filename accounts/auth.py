"""Who somebody is: by password, by HTTP Basic, by API token. Used by the pages and the sidecar."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from uuid import UUID

from django.contrib.auth import authenticate
from django.core.cache import cache
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import second_factor, throttle
from accounts.models import ApiToken, User

_USE_NOTED_EVERY = timedelta(minutes=1)
_BASIC_REMEMBERED_S = 60
_LONGEST_BASIC = 4096


def user_of_password(username: str, password: str, *, address: str | None) -> User | None:
    """Return the active user whose password this is, else None.

    Raises
    ------
    TooManyAttemptsError
        After ten wrong passwords within a minute for this account from this address.
    """
    if "\0" in username or "\0" in password:
        return None  # PostgreSQL knows no such text
    throttle.count_attempt(username, address)
    user = authenticate(username=username, password=password)
    if not isinstance(user, User):
        return None
    throttle.forgive(username, address)
    return user


def authenticate_token(secret: str) -> User | None:
    """Return the active user of a usable API token, else None."""
    token = usable_token(secret)
    return token.user if token is not None else None


def usable_token(secret: str) -> ApiToken | None:
    """Return a usable API token of an active user, else None; its use is noted."""
    token = (
        ApiToken.objects.select_related("user")
        .filter(digest=ApiToken.digest_of(secret), user__is_active=True)
        .first()
    )
    if token is None or not token.is_usable:
        return None
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - _USE_NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def revoke_token(secret: str) -> None:
    """End an API token; an unknown or ended one stays as it is."""
    ApiToken.objects.filter(digest=ApiToken.digest_of(secret), revoked_at=None).update(
        revoked_at=timezone.now()
    )


def user_of_basic(credentials: str, *, address: str | None) -> User | None:
    """Return the user of an HTTP Basic header, else None.

    A right password is remembered for a minute, so that a program's thousand requests do not cost
    a thousand slow hashes; a changed password or a locked account ends that at once.

    Parameters
    ----------
    credentials : what follows ``Basic `` in the header (RFC 7617, UTF-8)
    address : the caller's, for the limit on wrong passwords

    Raises
    ------
    TooManyAttemptsError
        As :func:`user_of_password`.
    """
    pair = _parse_basic(credentials)
    user = user_of_program(*pair, address=address) if pair is not None else None
    if user is not None and second_factor.is_required(user):
        return None  # a program sends a token instead
    return user


def user_of_program(username: str, password: str, *, address: str | None) -> User | None:
    """Return the active user whose password a program sends with everything it asks for.

    Who has a second factor is nobody here: a password alone must not do. A right password is
    remembered for a minute, as :func:`user_of_basic` says.

    Raises
    ------
    TooManyAttemptsError
        As :func:`user_of_password`.
    """
    key = (
        "accounts.basic."
        + salted_hmac(
            "accounts.auth.basic", f"{username}\0{password}", algorithm="sha256"
        ).hexdigest()
    )
    remembered = cache.get(key)
    if remembered is not None:
        user_id, session_hash = remembered
        known = second_factor.without(User.objects.filter(pk=UUID(user_id), is_active=True)).first()
        if known is not None and known.get_session_auth_hash() == session_hash:
            return known
    user = user_of_password(username, password, address=address)
    if user is not None and second_factor.is_set_up(user):
        return None
    if user is not None:
        cache.set(key, (str(user.pk), user.get_session_auth_hash()), _BASIC_REMEMBERED_S)
    return user


def _parse_basic(credentials: str) -> tuple[str, str] | None:
    if len(credentials) > _LONGEST_BASIC:
        return None
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    username, colon, password = text.partition(":")
    return (username, password) if colon else None
