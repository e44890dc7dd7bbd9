"""Rows about what people and programs brought by HTTP, and what became of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from worklist.models import Facility


class UploadAction(models.TextChoices):
    """What happened."""

    UPLOADED = "uploaded", "Uploaded"
    DUPLICATE = "duplicate", "Sent again"
    CONFLICT = "conflict", "Kept aside"
    FAILED = "failed", "Refused"
    SKIPPED = "skipped", "Passed over"
    DELETED = "deleted", "Deleted"
    RESTORED = "restored", "Restored"
    DESTROYED = "destroyed", "Destroyed"


class UploadLog(models.Model):
    """One file that came by HTTP, or one deletion: what became of it, and by whom."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(default=timezone.now)
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE, related_name="+")
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=16, choices=UploadAction.choices)
    filename = models.CharField(max_length=255, blank=True)
    study_instance_uid = models.CharField("Study Instance UID", max_length=64, blank=True)
    sop_instance_uid = models.CharField("SOP Instance UID", max_length=64, blank=True)
    instance_count = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=255, blank=True)

    class Meta:
        db_table = "upload_logs"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["facility", "-id"], name="upload_log_newest"),
            models.Index(fields=["study_instance_uid"], name="upload_log_study"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.study_instance_uid or self.filename}"


class UploadState(models.TextChoices):
    """How far a resumable upload is."""

    RECEIVING = "receiving", "Receiving"
    PROCESSING = "processing", "Being stored"
    STORED = "stored", "Stored"
    FAILED = "failed", "Refused"


class ResumableUpload(models.Model):
    """A file that comes in pieces; its bytes lie in a file of its own until they are stored."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(
        max_length=10, choices=UploadState.choices, default=UploadState.RECEIVING
    )
    # Bytes that are safe on disk; what lies behind them in the file does not count.
    offset = models.PositiveBigIntegerField(default=0)
    length = models.PositiveBigIntegerField()
    is_part = models.BooleanField(default=False)
    # What the sender said of the file: its name, an order, a patient.
    fields = models.JSONField(default=dict)
    # What became of it, as the answer of an upload says it.
    result = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["expires_at"], name="resumable_due"),
            models.Index(fields=["user", "state"], name="resumable_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.offset}/{self.length}"
