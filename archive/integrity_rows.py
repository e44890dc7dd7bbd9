"""Rows about integrity: deletions, damage, sweeps, and which patients are one person."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7

from worklist.models import DicomImage, Facility, Patient


class DeletionLevel(models.TextChoices):
    """What was deleted (PS3.4 C.3.2, the levels of the Study Root model)."""

    STUDY = "study", gettext_noop("Study")
    SERIES = "series", gettext_noop("Series")
    IMAGE = "image", gettext_noop("Image")


class DeletionState(models.TextChoices):
    """Life of a deletion."""

    HELD = "held", gettext_noop("Deleted")
    RESTORED = "restored", gettext_noop("Restored")
    DESTROYED = "destroyed", gettext_noop("Destroyed")


class Deletion(models.Model):
    """A study, series or image that was deleted: hidden until it is restored or destroyed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.PROTECT, related_name="deletions")
    level = models.CharField(max_length=8, choices=DeletionLevel.choices)
    # Plain values: they outlive the rows.
    study_id = models.UUIDField(db_index=True)
    target_id = models.UUIDField()
    study_instance_uid = models.CharField("Study Instance UID", max_length=64)
    target_uid = models.CharField(max_length=64)
    instance_count = models.PositiveIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(default=0)
    reason = models.CharField(max_length=255)
    deleted_by = models.CharField(max_length=150)
    deleted_at = models.DateTimeField(default=timezone.now)
    keep_until = models.DateTimeField()
    state = models.CharField(
        max_length=9, choices=DeletionState.choices, default=DeletionState.HELD
    )
    ended_by = models.CharField(max_length=150, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-deleted_at", "-id"]
        indexes = [models.Index(fields=["state", "keep_until"], name="deletion_due")]

    def __str__(self) -> str:
        return f"{self.level} {self.target_uid} ({self.state})"


class DamageKind(models.TextChoices):
    """What is wrong with a stored file."""

    MISSING = "missing", "Missing"
    CHANGED = "changed", "Changed"
    UNREADABLE = "unreadable", "Unreadable"


class Damage(models.Model):
    """A stored file that is not what was stored; open until it is mended."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.PROTECT, related_name="+")
    image = models.ForeignKey(DicomImage, on_delete=models.CASCADE, related_name="damages")
    kind = models.CharField(max_length=10, choices=DamageKind.choices)
    words = models.CharField(max_length=255, help_text="What was found.")
    found_at = models.DateTimeField(default=timezone.now)
    mended_at = models.DateTimeField(null=True, blank=True)
    mended_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-found_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["image"], condition=models.Q(mended_at=None), name="damage_open_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.image_id}"


class Sweep(models.Model):
    """How far a pass over the whole archive has come, so that a restart goes on from there."""

    name = models.CharField(primary_key=True, max_length=32)
    phase = models.CharField(max_length=16, blank=True)
    cursor = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    checked = models.PositiveBigIntegerField(default=0)
    checked_bytes = models.PositiveBigIntegerField(default=0)
    damaged = models.PositiveBigIntegerField(default=0)
    strays = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} {self.phase or 'at rest'}"


class PatientLink(models.Model):
    """Two identities of one facility that are one person; nothing stored is changed by it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="links")
    into = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="linked")
    reason = models.CharField(max_length=255)
    made_by = models.CharField(max_length=150)
    made_at = models.DateTimeField(default=timezone.now)
    undone_by = models.CharField(max_length=150, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-made_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["patient"], condition=models.Q(undone_at=None), name="patient_linked_once"
            ),
            models.CheckConstraint(
                condition=~models.Q(patient=models.F("into")), name="patient_link_to_another"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.patient_id} is {self.into_id}"
