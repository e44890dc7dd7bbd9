"""What a new site needs before anybody can sign in: its administrator and its own facility."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from accounts.models import Role, User
from archive import access, audit
from archive.secretfiles import write_secret

logger = logging.getLogger(__name__)

PASSWORD_FILE = "initial-admin-password"  # noqa: S105 - a file's name


def ensure_site_facility() -> None:
    """Make the facility that takes what names no other one."""
    access.site_facility()


def ensure_administrator() -> User | None:
    """Make the first administrator where there is none; returns who was made.

    Without `NOCTIS_ADMIN_PASSWORD` the password is random and lies in a file of the owner's alone,
    written before the user exists: a power cut in between leaves nobody shut out.
    """
    if User.objects.filter(Q(role=Role.ADMIN) | Q(is_superuser=True), is_active=True).exists():
        return None
    username, password = settings.FIRST_ADMIN_USER, settings.FIRST_ADMIN_PASSWORD
    if password:
        _warn_of_weakness(password)
    else:
        password = secrets.token_urlsafe(15)
        kept = Path(settings.DATA_DIR) / PASSWORD_FILE
        write_secret(kept, f"{username} / {password}\n")
    with transaction.atomic():
        user, _ = User.objects.get_or_create(username=username)
        user.role = Role.ADMIN
        user.is_active = user.is_staff = user.is_superuser = True
        user.set_password(password)
        user.save()
        audit.record(access.system_actor("first start"), "user.create", user, role=user.role)
    return user


def _warn_of_weakness(password: str) -> None:
    """Say it where a chosen password is easily guessed; the choice stays the operator's."""
    try:
        validate_password(password)
    except ValidationError as error:
        logger.warning("NOCTIS_ADMIN_PASSWORD is weak: %s", " ".join(error.messages))
