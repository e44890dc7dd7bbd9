"""Rows about planes and pictures that the worker computes from a series."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from worklist.models import Series, Study


class ReconstructionState(models.TextChoices):
    """Life of a reconstruction."""

    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class ReconstructionOutput(models.TextChoices):
    """What a reconstruction leaves."""

    PNG = "png", "Pictures (PNG)"
    JPEG = "jpeg", "Pictures (JPEG)"
    SERIES = "series", "A series of the study"


class ReconstructionJob(models.Model):
    """One set of planes, or of pictures of a whole volume, on its way or done."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="reconstructions")
    series = models.ForeignKey(Series, on_delete=models.CASCADE, related_name="reconstructions")
    # As `archive.reconstruction_request.Request` holds it, checked.
    parameters = models.JSONField(default=dict)
    # What it makes, in words, as `Coronal planes, MIP of 10 mm`.
    description = models.CharField(max_length=255)
    output = models.CharField(max_length=8, choices=ReconstructionOutput.choices)
    state = models.CharField(
        max_length=9, choices=ReconstructionState.choices, default=ReconstructionState.WAITING
    )
    # Steps of all its stages: frames read, pictures made, images stored.
    done_steps = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    picture_count = models.PositiveIntegerField(default=0)
    # What whoever looks at the result must know, in sentences.
    notes = models.JSONField(default=list, blank=True)
    last_error = models.TextField(blank=True)
    # Slices of work that began since the last one that went well.
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    worked_s = models.FloatField(default=0.0, editable=False)
    # The machine whose disk holds the volume, and when it last worked on it.
    host = models.CharField(max_length=64, blank=True, editable=False)
    worked_at = models.DateTimeField(null=True, blank=True, editable=False)
    series_number = models.IntegerField(null=True, blank=True, editable=False)
    result_series = models.ForeignKey(
        Series, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    requested_by_name = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["study", "-created_at"], name="reconstruction_of_study"),
            models.Index(fields=["state", "finished_at"], name="reconstruction_by_state"),
        ]

    def __str__(self) -> str:
        return f"reconstruction {self.pk} ({self.state})"

    @property
    def is_open(self) -> bool:
        """Whether it is still to be worked on."""
        return self.state in (ReconstructionState.WAITING, ReconstructionState.RUNNING)

    @property
    def percent(self) -> int:
        """How far it is, 0 to 100."""
        if self.state == ReconstructionState.DONE:
            return 100
        return int(100 * self.done_steps / self.total_steps) if self.total_steps else 0
