"""Rows about the site's own health: room on disks, alerts, and what is run by the clock."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7

from archive.sentences import spoken
from worklist.models import Facility


class Volume(models.Model):
    """A place on a disk that the site writes to, as it was when it was last looked at."""

    name = models.CharField(primary_key=True, max_length=16)
    path = models.CharField(max_length=255)
    total_bytes = models.PositiveBigIntegerField()
    free_bytes = models.PositiveBigIntegerField()
    at = models.DateTimeField(default=timezone.now)
    # `archive.forecast.Forecast` as JSON; empty until there is one.
    forecast = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} at {self.path}"


class VolumeSample(models.Model):
    """How full a volume was; one an hour."""

    id = models.BigAutoField(primary_key=True)
    volume = models.ForeignKey(Volume, on_delete=models.CASCADE, related_name="samples")
    at = models.DateTimeField(default=timezone.now)
    total_bytes = models.PositiveBigIntegerField()
    free_bytes = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["at"]
        indexes = [models.Index(fields=["volume", "at"], name="volume_sample_at")]

    def __str__(self) -> str:
        return f"{self.volume_id} at {self.at:%Y-%m-%d %H:%M}"


class FacilityUsage(models.Model):
    """What a facility had stored on a day; the last look of the day counts."""

    id = models.BigAutoField(primary_key=True)
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    study_count = models.PositiveBigIntegerField()
    size_bytes = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["day"]
        constraints = [
            models.UniqueConstraint(fields=["facility", "day"], name="facility_usage_once")
        ]

    def __str__(self) -> str:
        return f"{self.facility_id} on {self.day}"


class AlertLevel(models.TextChoices):
    """How soon somebody has to act."""

    WARN = "warn", gettext_noop("Soon")
    DANGER = "danger", gettext_noop("Now")


class Alert(models.Model):
    """Something that somebody has to do something about; open until it is over."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=32)
    key = models.CharField(max_length=64, blank=True, help_text="Which disk, facility, file.")
    level = models.CharField(max_length=8, choices=AlertLevel.choices)
    text = models.CharField(max_length=255, help_text="What was found.")
    remedy = models.CharField(max_length=255, help_text="What to do.")
    since = models.DateTimeField(default=timezone.now)
    cleared_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-since"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "key"], condition=models.Q(cleared_at=None), name="alert_open_once"
            )
        ]
        indexes = [models.Index(fields=["cleared_at", "-since"], name="alert_by_end")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}".rstrip()


class ChoreKind(models.TextChoices):
    """What is run by the clock, or by hand."""

    BACKUP = "backup", spoken("Backup")
    DRILL = "drill", spoken("Restore drill")
    AUDIT = "audit", spoken("Check of the audit trail")


class Chore(models.Model):
    """One run of a chore, and how it ended."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=8, choices=ChoreKind.choices)
    process = models.CharField(max_length=64, help_text="Host and process id.")
    folder = models.CharField(max_length=255, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    is_ok = models.BooleanField(null=True)
    text = models.CharField(max_length=1000, blank=True, help_text="What came of it.")

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind"], condition=models.Q(finished_at=None), name="chore_running_once"
            )
        ]
        indexes = [models.Index(fields=["kind", "-started_at"], name="chore_latest")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.started_at:%Y-%m-%d %H:%M}"


class AuditShipment(models.Model):
    """How far the audit trail has been sent to a receiver of audit messages.

    Events go out in the order of their seals, so that this row and the trail are the whole queue.
    """

    receiver = models.CharField(primary_key=True, max_length=255)
    # The last event that was taken: all of the seals before, and of this one up to this event.
    seal_number = models.BigIntegerField(default=0)
    event_id = models.UUIDField(null=True)
    sent_count = models.PositiveBigIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    failing_since = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=255, blank=True)
    # One worker at a time sends: order would be lost otherwise.
    sender = models.CharField(max_length=96, blank=True)
    sender_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["receiver"]

    def __str__(self) -> str:
        return f"{self.receiver}: {self.sent_count} sent"
