"""Rows about programs that analyse studies, and what they found: never a person's word."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7

from archive.forwarding_rows import StudyRule
from worklist.models import DicomImage, Facility, Study


class AnalysisService(StudyRule):
    """An installed program, and the studies that it is run on by itself."""

    # Its name among those that are installed, as `archive.analysis_catalogue` lists them.
    program = models.CharField(max_length=64)
    time_limit_s = models.PositiveIntegerField(default=300)
    memory_mib = models.PositiveIntegerField(default=4096)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"{self.program} ({self.pk})"


class RemoteProgram(models.Model):
    """A program that runs elsewhere and is asked by HTTP."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=64)
    version = models.CharField(max_length=32, blank=True)
    manufacturer = models.CharField(max_length=64, blank=True)
    purpose = models.CharField(max_length=255, blank=True)
    url = models.CharField(max_length=512)
    facility = models.ForeignKey(
        Facility,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Whose studies it may be given; empty: every facility's.",
    )
    # The secret follows from it and from the site's own: no table holds one.
    secret_number = models.PositiveIntegerField(default=1, editable=False)
    is_active = models.BooleanField(default=False)
    created_by = models.CharField(max_length=150, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.url})"


class AnalysisState(models.TextChoices):
    """Life of one run."""

    WAITING = "waiting", gettext_noop("Waiting")
    RUNNING = "running", gettext_noop("Running")
    DONE = "done", gettext_noop("Done")
    FAILED = "failed", gettext_noop("Failed")
    CANCELLED = "cancelled", gettext_noop("Cancelled")


class AnalysisRun(models.Model):
    """One program on one study: who or what wanted it, how it went, what exactly ran."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="analyses")
    service = models.ForeignKey(
        AnalysisService, null=True, blank=True, on_delete=models.SET_NULL, related_name="runs"
    )
    program = models.CharField(max_length=64)
    # Of the program as it ran: kept, whatever is installed later.
    algorithm_name = models.CharField(max_length=64)
    algorithm_version = models.CharField(max_length=32)
    manufacturer = models.CharField(max_length=64)
    purpose = models.CharField(max_length=255, blank=True)
    reason = models.CharField(max_length=512, help_text="Which rule, or who asked for it.")
    received_through = models.DateTimeField()
    state = models.CharField(
        max_length=9, choices=AnalysisState.choices, default=AnalysisState.WAITING
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    time_limit_s = models.PositiveIntegerField(default=300)
    memory_mib = models.PositiveIntegerField(default=4096)
    # The worker process whose child it is: `host:pid`.
    worker = models.CharField(max_length=64, blank=True, editable=False)
    # Of a program elsewhere: until when it may answer, where it says how far it is, and its words.
    deadline = models.DateTimeField(null=True, blank=True, editable=False)
    status_url = models.CharField(max_length=512, blank=True, editable=False)
    status_text = models.CharField(max_length=255, blank=True, editable=False)
    # The link by which it fetches the study, and the digest of the body with its results.
    link_id = models.UUIDField(null=True, blank=True, editable=False)
    results_sha256 = models.CharField(max_length=64, blank=True, editable=False)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            # A rule that is evaluated twice, or by two workers, queues once.
            models.UniqueConstraint(
                fields=["service", "study", "received_through"],
                condition=models.Q(service__isnull=False),
                name="analysis_once",
            )
        ]
        indexes = [models.Index(fields=["state", "-created_at"], name="analysis_by_state")]

    def __str__(self) -> str:
        return f"analysis {self.pk} ({self.state})"

    @property
    def is_open(self) -> bool:
        """Whether it is still to be worked on."""
        return self.state in (AnalysisState.WAITING, AnalysisState.RUNNING)


class FindingDecision(models.TextChoices):
    """What a person says of a machine's finding."""

    OPEN = "open", gettext_noop("Not looked at")
    ACCEPTED = "accepted", gettext_noop("Accepted")
    REJECTED = "rejected", gettext_noop("Rejected")


class FindingGraphic(models.TextChoices):
    """What a program draws on an image, and what its points are."""

    POINT = "point", "Point"
    POLYLINE = "polyline", "Open line"
    POLYGON = "polygon", "Closed line"
    BOX = "box", "Box: two opposite corners"
    CIRCLE = "circle", "Circle: centre, and a point on it"


class MachineFinding(models.Model):
    """Something that a program found, or an object that it made; a person accepts or rejects it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(AnalysisRun, on_delete=models.CASCADE, related_name="findings")
    label = models.CharField(max_length=128)
    value = models.FloatField(null=True, blank=True)
    unit = models.CharField(max_length=16, blank=True)
    text = models.CharField(max_length=1024, blank=True)
    # Where it lies, if it lies in one image: pixel coordinates, the first pixel's centre is 0, 0.
    sop_instance_uid = models.CharField(max_length=64, blank=True)
    frame_number = models.PositiveIntegerField(default=1)
    graphic = models.CharField(max_length=8, blank=True, choices=FindingGraphic.choices)
    points = models.JSONField(default=list, blank=True)
    # The stored object, where it is one; else the finding is about the study or an image of it.
    image = models.ForeignKey(
        DicomImage, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    decision = models.CharField(
        max_length=8, choices=FindingDecision.choices, default=FindingDecision.OPEN
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_by_name = models.CharField(max_length=150, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    # What the person who decided has to say of it.
    comment = models.CharField(max_length=1024, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.label} ({self.decision})"
