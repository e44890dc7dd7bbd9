"""Making and changing users, and the tokens that their programs use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import ApiToken, Role, User
from archive import audit, facilities
from archive.access import Actor
from archive.errors import InvalidInputError, NotFoundError


@dataclass(frozen=True, slots=True)
class UserDraft:
    """What an administrator says about a user; an empty password changes nothing."""

    username: str
    role: Role
    facility_codes: Sequence[str] = ()
    password: str = ""


def save_user(actor: Actor, draft: UserDraft) -> tuple[User, bool]:
    """Create a user, or update the one of this name; the second value says which.

    Raises
    ------
    InvalidInputError
        For a bad name, a weak password, or a new user without one.
    NotFoundError
        For an unknown facility code.
    """
    try:
        with transaction.atomic():
            user = User.objects.filter(username=draft.username).first()
            is_new = user is None
            user = user or User(username=draft.username)
            if draft.password:
                validate_password(draft.password, user)
                user.set_password(draft.password)
            elif is_new:
                raise InvalidInputError("A new user needs a password.")
            grant_role(user, draft.role)
            user.full_clean()
            user.save()
            if draft.facility_codes:
                user.facilities.set(map(facilities.facility_by_code, draft.facility_codes))
            audit.record(actor, "user.create" if is_new else "user.change", user, role=user.role)
    except ValidationError as error:
        raise InvalidInputError(" ".join(error.messages)) from error
    return user, is_new


def grant_role(user: User, role: str) -> None:
    """Give a role; only administrators may enter the administration pages."""
    user.role = role
    user.is_staff = user.is_superuser = role == Role.ADMIN


def issue_token(
    actor: Actor, username: str, *, days: int | None, name: str = "", is_read_only: bool = False
) -> tuple[ApiToken, str]:
    """Make a token for a user; the second value is the only copy of the token itself."""
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise NotFoundError(f"There is no active user with the name {username}.")
    if days is not None and not 1 <= days <= 36_500:
        raise InvalidInputError("A token lasts 1 to 36500 days.")
    expires_at = timezone.now() + timedelta(days=days) if days is not None else None
    with transaction.atomic():
        token, secret = ApiToken.issue(
            user, expires_at=expires_at, name=name, is_read_only=is_read_only
        )
        audit.record(actor, "token.create", token, user=user.username)
    return token, secret


def revoke_token(actor: Actor, token: ApiToken) -> None:
    """End a token; harmless when it has ended."""
    if token.revoked_at is not None:
        return
    with transaction.atomic():
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
        audit.record(actor, "token.revoke", token)
