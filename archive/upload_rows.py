"""Rows about what people and programs brought by HTTP, and what became of it."""

from __future__ import annotations

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
