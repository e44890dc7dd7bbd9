"""What a person is told, and what they want to be told."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7

from worklist.models import Facility


class Kind(models.TextChoices):
    """What notifications are about."""

    STUDY_NEW = "study.new", gettext_noop("New study")
    STUDY_CONFLICT = "study.conflict", gettext_noop("Conflicting image")
    STUDY_WARNING = "study.warning", gettext_noop("Study warning")
    CALLER_REFUSED = "caller.refused", gettext_noop("Refused caller")
    SITE_ALERT = "site.alert", gettext_noop("State of the site")


class Notification(models.Model):
    """What one person is told: one thing, or several of a kind. Its text names no patient."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications"
    )
    kind = models.CharField(max_length=32, choices=Kind.choices)
    title = models.CharField(max_length=128)
    body = models.CharField(max_length=512, blank=True)
    url = models.CharField(max_length=255, blank=True, help_text="Path on this site.")
    facility = models.ForeignKey(
        Facility, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    # What it is about: told again, the same thing makes no second row.
    key = models.CharField(max_length=128, editable=False)
    count = models.PositiveIntegerField(
        default=1, editable=False, help_text="Of how many it tells."
    )
    # When the first of what it tells of began: a list of them starts there.
    since = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_at = models.DateTimeField(default=timezone.now, editable=False)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-last_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "kind", "key"], name="notification_once")
        ]
        indexes = [
            models.Index(fields=["user", "-last_at", "-id"], name="notification_latest"),
            models.Index(
                fields=["user"], condition=models.Q(read_at=None), name="notification_unread"
            ),
        ]

    def __str__(self) -> str:
        return self.title


class NotificationPart(models.Model):
    """A further thing that a notification tells of, so that it is counted once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="parts")
    # The notification's own, repeated: a person is told of a thing once, in whichever row.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=32, choices=Kind.choices)
    key = models.CharField(max_length=128)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "key", "user"], name="notification_part_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class NotificationPreference(models.Model):
    """Whether a person wants to be told of a kind; without a row they do."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notification_preferences"
    )
    kind = models.CharField(max_length=32, choices=Kind.choices)
    is_in_app = models.BooleanField("in the app", default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "kind"], name="notification_preference_once")
        ]
        ordering = ["user", "kind"]

    def __str__(self) -> str:
        return f"{self.user}: {self.kind} {'on' if self.is_in_app else 'off'}"
