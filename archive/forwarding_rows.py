"""Rows about sending studies on: rules in words, and the queue."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7

from worklist.models import Facility, Study


class StudyRule(models.Model):
    """Which studies something is done with by itself.

    A study fits when one of its series fits every condition; an empty condition fits all.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(
        Facility, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    modality = models.CharField(max_length=16, blank=True)
    description_contains = models.CharField(max_length=64, blank=True)
    station_name = models.CharField(max_length=64, blank=True)
    source_ae_title = models.CharField(max_length=16, blank=True)
    # The study's first image came between these hours of `time_zone`, which may pass midnight.
    hours_from = models.TimeField(null=True, blank=True)
    hours_to = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    is_active = models.BooleanField(default=False)
    # What came before the rule was switched on stays where it is.
    active_since = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.CharField(max_length=150, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True


class ForwardRule(StudyRule):
    """Which studies are sent to which destination by themselves; a study is sent whole."""

    destination = models.ForeignKey(
        "archive.Destination", on_delete=models.CASCADE, related_name="rules"
    )

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"rule {self.pk} to {self.destination_id}"


class TransmissionState(models.TextChoices):
    """Life of one entry of the queue."""

    WAITING = "waiting", gettext_noop("Waiting")
    SENDING = "sending", gettext_noop("Sending")
    SENT = "sent", gettext_noop("Sent")
    FAILED = "failed", gettext_noop("Failed")
    CANCELLED = "cancelled", gettext_noop("Cancelled")


class Transmission(models.Model):
    """One study, or what was added to it, on its way to one destination."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="transmissions")
    destination = models.ForeignKey(
        "archive.Destination", on_delete=models.CASCADE, related_name="transmissions"
    )
    rule = models.ForeignKey(
        ForwardRule, null=True, blank=True, on_delete=models.SET_NULL, related_name="transmissions"
    )
    reason = models.CharField(max_length=512, help_text="Which rule, or who asked for it.")
    # Images of the study that came after the one and not after the other.
    received_after = models.DateTimeField(null=True, blank=True)
    received_through = models.DateTimeField()
    state = models.CharField(
        max_length=9, choices=TransmissionState.choices, default=TransmissionState.WAITING
    )
    image_count = models.PositiveIntegerField(default=0)
    sent_count = models.PositiveIntegerField(default=0)
    # How far it has come: images are sent in the order of their ids.
    last_image_id = models.UUIDField(null=True, blank=True, editable=False)
    unsent_ids = models.JSONField(default=list, blank=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            # A rule that is evaluated twice, or by two workers, queues once.
            models.UniqueConstraint(
                fields=["rule", "study", "received_through"],
                condition=models.Q(rule__isnull=False),
                name="transmission_once",
            )
        ]
        indexes = [models.Index(fields=["state", "-created_at"], name="transmission_by_state")]

    def __str__(self) -> str:
        return f"transmission {self.pk} ({self.state})"
