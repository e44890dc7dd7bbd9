"""Users with a role and facilities, and the tokens that programs use."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7


class Role(models.TextChoices):
    """What a person is; a role never widens the facilities, except an administrator's."""

    ADMIN = "admin", gettext_noop("Administrator")
    RADIOLOGIST = "radiologist", gettext_noop("Radiologist")
    TECHNOLOGIST = "technologist", gettext_noop("Technologist")
    FACILITY = "facility", gettext_noop("Facility staff")
    REFERRER = "referrer", gettext_noop("Referring physician")
    VIEWER = "viewer", gettext_noop("Viewer")


_UPLOADERS = {Role.ADMIN, Role.RADIOLOGIST, Role.TECHNOLOGIST, Role.FACILITY}
_READERS = {Role.ADMIN, Role.RADIOLOGIST}
_SHARERS = {Role.ADMIN, Role.RADIOLOGIST, Role.TECHNOLOGIST, Role.FACILITY}
_ANNOTATORS = {Role.ADMIN, Role.RADIOLOGIST, Role.TECHNOLOGIST}


class User(AbstractUser):
    """A person (or a program with a token). Sees the studies of their facilities."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    facilities = models.ManyToManyField(
        "worklist.Facility", blank=True, related_name="users", help_text="Whose studies they see."
    )
    preferences = models.JSONField(default=dict, blank=True)
    is_demo = models.BooleanField(default=False, editable=False)

    class Meta(AbstractUser.Meta):
        """Names as Django has them."""

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    @property
    def is_administrator(self) -> bool:
        """Whether every facility is theirs."""
        return self.is_superuser or self.role == Role.ADMIN

    @property
    def can_upload(self) -> bool:
        """Whether they may bring studies in."""
        return self.is_administrator or self.role in _UPLOADERS

    @property
    def can_read(self) -> bool:
        """Whether opening a study is reading it (and marks it as no longer unread)."""
        return self.is_administrator or self.role in _READERS

    @property
    def can_share(self) -> bool:
        """Whether they may hand a study on to somebody without an account."""
        return self.is_administrator or self.role in _SHARERS

    @property
    def can_annotate(self) -> bool:
        """Whether they may draw and measure."""
        return self.is_administrator or self.role in _ANNOTATORS


class ApiToken(models.Model):
    """A program's key. Only its digest is kept; the token itself is shown once."""

    PREFIX: ClassVar[str] = "npt_"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=12, editable=False, help_text="How the token begins.")
    name = models.CharField(max_length=64, blank=True)
    is_read_only = models.BooleanField(
        default=False, help_text="Opens what its user may see, and changes nothing."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API token"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.hint}… of {self.user}"

    @classmethod
    def issue(
        cls,
        user: User,
        *,
        expires_at: datetime | None,
        name: str = "",
        is_read_only: bool = False,
    ) -> tuple[ApiToken, str]:
        """Make a token; the second value is the only copy of the token itself."""
        secret = cls.PREFIX + secrets.token_urlsafe(32)
        token = cls.objects.create(
            user=user,
            digest=cls.digest_of(secret),
            hint=secret[:8],
            name=name,
            expires_at=expires_at,
            is_read_only=is_read_only,
        )
        return token, secret

    @staticmethod
    def digest_of(secret: str) -> str:
        """Return SHA-256 in hex; the token has 256 random bits, so no slow hash is needed."""
        return hashlib.sha256(secret.encode()).hexdigest()

    @property
    def is_usable(self) -> bool:
        """Whether it opens anything now."""
        now = timezone.now()
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class RecoveryCode(models.Model):
    """A code that opens the site once, for whoever has lost the device of the second factor."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, editable=False)
    used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once")
        ]

    def __str__(self) -> str:
        return f"Recovery code of {self.user}"
