"""Rows about links that open one study to whoever has them, and about each use of them."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7

from worklist.models import Study


class LinkPurpose(models.TextChoices):
    """What a link is for; it opens the addresses that this takes, and no others."""

    VIEW = "view", gettext_noop("Our viewer")
    OHIF = "ohif", "OHIF"
    ANALYSIS = "analysis", gettext_noop("A program")


class SharedLink(models.Model):
    """A link to one study. Its text is signed, not kept: whoever reads this row cannot use it.

    `views` counts how often it was opened, not the pictures that were looked at.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="links")
    purpose = models.CharField(max_length=8, choices=LinkPurpose.choices)
    # Null: one of the archive's own jobs, for a program; or the account is no more.
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="shared_links",
    )
    made_by_name = models.CharField(max_length=150)
    is_of_person = models.BooleanField(help_text="Ends when its maker may not see the study.")
    audience = models.CharField(max_length=120, blank=True, help_text="For whom it was made.")
    made_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    pin_hash = models.CharField(max_length=160, blank=True)
    # Wrong PINs since the last right one.
    wrong_pins = models.PositiveSmallIntegerField(default=0)
    pin_waits_until = models.DateTimeField(null=True, blank=True)
    most_views = models.PositiveIntegerField(null=True, blank=True)
    views = models.PositiveIntegerField(default=0)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by_name = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-made_at"]
        indexes = [models.Index(fields=["made_by", "-made_at"], name="link_of_maker")]

    def __str__(self) -> str:
        return f"link {self.pk} to study {self.study_id}"

    @property
    def needs_pin(self) -> bool:
        """Whether opening it takes a PIN."""
        return bool(self.pin_hash)

    def has_ended(self, now: datetime | None = None) -> bool:
        """Whether its time is over or it was withdrawn."""
        return self.revoked_at is not None or self.expires_at <= (now or timezone.now())


class LinkOutcome(models.TextChoices):
    """What became of one attempt to use a link."""

    OPENED = "opened", gettext_noop("Opened")
    FETCHED = "fetched", gettext_noop("Fetched by a program")
    WRONG_PIN = "wrong-pin", gettext_noop("Wrong PIN")
    WAITING = "waiting", gettext_noop("Too many wrong PINs")
    EXPIRED = "expired", gettext_noop("Came too late")
    REVOKED = "revoked", gettext_noop("Was withdrawn")
    USED_UP = "used-up", gettext_noop("Was used up")
    CLOSED = "closed", gettext_noop("Its maker may not share the study any more")


class LinkUse(models.Model):
    """One attempt: who it was nobody knows, but when, from where and with what.

    One that opened the link is also the visit that followed: its cookie's digest is in `visit`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    link = models.ForeignKey(SharedLink, on_delete=models.CASCADE, related_name="uses")
    at = models.DateTimeField(default=timezone.now)
    address = models.GenericIPAddressField(null=True, blank=True)
    agent = models.CharField(max_length=200, blank=True, help_text="What its browser calls itself.")
    outcome = models.CharField(max_length=9, choices=LinkOutcome.choices)
    visit = models.CharField(max_length=64, null=True, unique=True, editable=False)  # noqa: DJ001 - unique where it is
    visit_ends_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.link_id} {self.outcome}"

    @property
    def is_success(self) -> bool:
        """Whether the study was shown or fetched."""
        return self.outcome in {LinkOutcome.OPENED, LinkOutcome.FETCHED}
