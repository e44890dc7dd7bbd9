"""Rows about what we owe other systems: answers about commitment, notices of availability."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from worklist.models import Facility, Study


class CommitmentState(models.TextChoices):
    """Where a storage commitment request stands."""

    RECEIVED = "received", "To be checked"
    CHECKED = "checked", "To be reported"
    REPORTING = "reporting", "Being reported"
    REPORTED = "reported", "Reported"
    FAILED = "failed", "Given up"


class CommitmentRequest(models.Model):
    """A caller's question whether we hold its instances for good (PS3.4 J)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.PROTECT, related_name="+")
    ae_title = models.CharField("asked by", max_length=16)
    address = models.GenericIPAddressField(null=True, blank=True)
    is_by_web = models.BooleanField("asked by web", default=False, db_default=False)
    transaction_uid = models.CharField("Transaction UID", max_length=64)
    # Pairs: SOP Class UID and SOP Instance UID.
    references = models.JSONField(default=list)
    # Of the study that it is about, where what is stored of it belongs to one alone.
    study_instance_uid = models.CharField(
        "Study Instance UID", max_length=64, blank=True, db_index=True
    )
    # Triples: such a pair and its Failure Reason (0008,1197).
    failures = models.JSONField(default=list)
    # Lists show these without reading the thousands above.
    instance_count = models.PositiveIntegerField("instances", default=0)
    failure_count = models.PositiveIntegerField("not committed", default=0)
    state = models.CharField(
        max_length=16, choices=CommitmentState.choices, default=CommitmentState.RECEIVED
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=255, blank=True)
    requested_at = models.DateTimeField(default=timezone.now)
    checked_at = models.DateTimeField(null=True, blank=True)
    reporting_since = models.DateTimeField(null=True, blank=True)
    reported_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-requested_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["facility", "ae_title", "transaction_uid"], name="commitment_identity"
            )
        ]
        indexes = [models.Index(fields=["-requested_at", "-id"], name="commitment_newest")]

    def __str__(self) -> str:
        return f"{self.ae_title} {self.transaction_uid} ({self.state})"


class NoticeState(models.TextChoices):
    """Where a notification of availability stands."""

    WAITING = "waiting", "Waiting"
    SENT = "sent", "Sent"
    FAILED = "failed", "Given up"


class AvailabilityNotice(models.Model):
    """One Instance Availability Notification to one destination (PS3.4 R)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    destination = models.ForeignKey(
        "archive.Destination", on_delete=models.CASCADE, related_name="+"
    )
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="+")
    sop_instance_uid = models.CharField("SOP Instance UID", max_length=64, unique=True)
    # Of the study when it was quiet: one that grows later is told of again.
    instance_count = models.PositiveIntegerField()
    state = models.CharField(max_length=8, choices=NoticeState.choices, default=NoticeState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["destination", "study", "instance_count"], name="notice_once"
            )
        ]
        indexes = [models.Index(fields=["-created_at", "-id"], name="notice_newest")]

    def __str__(self) -> str:
        return f"{self.destination_id} {self.study_id} ({self.state})"
