"""Drafts of reports with every state they had, and what was shown to whom."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from worklist.models import Series, Study


class Report(models.Model):
    """The present text about a study."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    study = models.OneToOneField(Study, on_delete=models.CASCADE, related_name="report")
    text = models.TextField(blank=True)
    references = models.JSONField(
        default=list, help_text="Measurements and images that marks in the text stand for."
    )
    version = models.PositiveIntegerField(default=1)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    author_name = models.CharField(max_length=150, help_text="Kept when the account goes.")
    updated_by_name = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-updated_at"]

    def __str__(self) -> str:
        return f"Report of {self.study_id}, version {self.version}"


class ReportRevision(models.Model):
    """One state of a report as somebody saved it; never changed, so no word is ever lost."""

    # The viewer names what it saves, so that a repeated request makes nothing twice.
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="revisions")
    version = models.PositiveIntegerField(
        null=True, help_text="Empty: put aside, because somebody else had saved before."
    )
    base_version = models.PositiveIntegerField(help_text="What the person had before them.")
    text = models.TextField(blank=True)
    references = models.JSONField(default=list)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    user_name = models.CharField(max_length=150)
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["report", "version"], name="report_version_once")
        ]
        indexes = [models.Index(fields=["report", "-at"], name="report_history")]

    def __str__(self) -> str:
        return f"{self.report_id} v{self.version or 'aside'}"


class SeriesViewing(models.Model):
    """Which frames of a series stood exactly on one person's screen in one window, how long."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    viewing_id = models.UUIDField(help_text="Of the window; chosen by the viewer.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    user_name = models.CharField(max_length=150, help_text="Kept when the account goes.")
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="viewings")
    series = models.ForeignKey(Series, on_delete=models.CASCADE, related_name="viewings")
    shown_ms = models.JSONField(
        default=dict, help_text="For each image, by frame number, how long: {id: {1: 850}}."
    )
    first_at = models.DateTimeField(default=timezone.now, editable=False)
    last_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["first_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["viewing_id", "series"], name="series_viewing_once")
        ]
        indexes = [models.Index(fields=["study", "user"], name="viewings_of_study")]

    def __str__(self) -> str:
        return f"{self.user_name} on {self.series_id}"
