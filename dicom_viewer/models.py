"""What people leave in the viewer: drawings, presets, sessions; and what jobs found out."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from archive.models import ReconstructionJob
from worklist.models import DicomImage, Series, Study

# A row of the archive's, which does the work; people look for it among the viewer's.
__all__ = [
    "ANNOTATIONS", "Annotation", "DrawingKind", "DrawingRevision", "HangingProtocol",
    "HounsfieldCalibration", "Measurement", "ReconstructionJob", "StoredResult", "ViewerSession",
    "WindowLevelPreset",
]  # fmt: skip


class DrawingKind(models.TextChoices):
    """Everything that can be drawn on an image."""

    LENGTH = "length", "Length"
    ANGLE = "angle", "Angle"
    ELLIPSE = "ellipse", "Ellipse ROI"
    RECTANGLE = "rectangle", "Rectangle ROI"
    PROBE = "probe", "Probe"
    ARROW = "arrow", "Arrow"
    BIDIRECTIONAL = "bidirectional", "Bidirectional"
    COBB = "cobb", "Cobb angle"
    HEIGHT = "height", "Height"
    CIRCLE = "circle", "Circle ROI"
    FREEHAND = "freehand", "Freehand ROI"
    SPLINE = "spline", "Spline ROI"
    LIVEWIRE = "livewire", "Livewire ROI"
    PROFILE = "profile", "Density profile"
    CALIBRATION = "calibration", "Calibration line"
    TEXT = "text", "Text"


# Drawings that say something and measure nothing.
ANNOTATIONS = frozenset({DrawingKind.ARROW, DrawingKind.TEXT})


class Drawing(models.Model):
    """Base of what is drawn on one frame: in image pixels, and in the patient where it is known."""

    # The viewer names what it draws, so that a repeated request makes nothing twice.
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="%(class)ss")
    image = models.ForeignKey(DicomImage, on_delete=models.CASCADE, related_name="%(class)ss")
    kind = models.CharField(max_length=16, choices=DrawingKind.choices)
    series_instance_uid = models.CharField("Series Instance UID", max_length=64)
    sop_instance_uid = models.CharField("SOP Instance UID", max_length=64)
    frame_number = models.PositiveIntegerField(default=1)
    frame_of_reference_uid = models.CharField(max_length=64, blank=True)
    points = models.JSONField(help_text="[[column, row], ...]; 0,0 is the first pixel's centre.")
    points_mm = models.JSONField(null=True, blank=True, help_text="[[x, y, z], ...], patient LPS.")
    plane = models.JSONField(
        null=True,
        blank=True,
        help_text="Directions of rows and columns of the reformatted plane it was drawn in.",
    )
    label = models.CharField(max_length=1024, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="%(class)ss"
    )
    author_name = models.CharField(max_length=150, help_text="Kept when the account goes.")
    updated_by_name = models.CharField(max_length=150)
    version = models.PositiveIntegerField(default=1)
    is_deleted = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True
        ordering: ClassVar[list[str]] = ["created_at", "id"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["study", "created_at"],
                condition=models.Q(is_deleted=False),
                name="%(class)s_of_study",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} on {self.sop_instance_uid}"


class Measurement(Drawing):
    """A drawing that has a value."""

    value = models.FloatField(null=True, blank=True)
    second_value = models.FloatField(
        null=True, blank=True, help_text="The short axis of a bidirectional measurement."
    )
    unit = models.CharField(max_length=16, blank=True)
    unit_source = models.CharField(
        max_length=64, blank=True, help_text="Where the millimetres come from."
    )
    statistics = models.JSONField(null=True, blank=True)


class Annotation(Drawing):
    """A drawing that says something: an arrow with its text."""


class DrawingRevision(models.Model):
    """One state of a drawing, as it was saved; never changed, so nothing drawn ever vanishes."""

    class Action(models.TextChoices):
        """What made the state."""

        CREATED = "created", "Created"
        CHANGED = "changed", "Changed"
        DELETED = "deleted", "Deleted"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="drawing_revisions")
    drawing_id = models.UUIDField()
    version = models.PositiveIntegerField()
    action = models.CharField(max_length=8, choices=Action.choices)
    state = models.JSONField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    user_name = models.CharField(max_length=150)
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["drawing_id", "version"], name="drawing_version_once")
        ]

    def __str__(self) -> str:
        return f"{self.drawing_id} v{self.version} {self.action}"


class StoredResult(models.Model):
    """An object that was written from what is drawn on a study, and kept in it."""

    class Kind(models.TextChoices):
        """What was written."""

        REPORT = "sr", "Structured report"
        STATE = "gsps", "Presentation state"
        KEY_OBJECTS = "ko", "Key images"
        SEGMENTATION = "seg", "Segmentation"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="stored_results")
    image = models.ForeignKey(DicomImage, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    contents = models.JSONField(help_text="What it holds: version of each drawing, or key images.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    author_name = models.CharField(max_length=150, help_text="Kept when the account goes.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.study_id}"


class SegmentationDraft(models.Model):
    """Segments that somebody draws on a series and has not stored yet."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    series = models.ForeignKey(Series, on_delete=models.CASCADE, related_name="segmentation_drafts")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="segmentation_drafts"
    )
    head = models.JSONField(help_text="Its segments, and which runs belong to which frame.")
    runs = models.BinaryField(help_text="Masks as runs, compressed.")
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "user"], name="segmentation_draft_once")
        ]
        ordering = ["-updated_at"]

    def __str__(self) -> str:
        return f"Segments of {self.user} on {self.series_id}"


class ViewerSession(models.Model):
    """Where a person stopped reading a study."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="viewer_sessions"
    )
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="viewer_sessions")
    state = models.JSONField(null=True, blank=True)
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "study"], name="viewer_session_once")
        ]
        ordering = ["-last_seen_at"]

    def __str__(self) -> str:
        return f"{self.user} on {self.study}"


class WindowLevelPreset(models.Model):
    """A window by name: the site's where `user` is empty, else that person's own."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="window_level_presets",
        help_text="Empty: for everybody.",
    )
    name = models.CharField(max_length=64)
    modality = models.CharField(max_length=16, blank=True, help_text="Empty: for every modality.")
    window_center = models.FloatField()
    window_width = models.FloatField()
    key = models.CharField(
        max_length=1,
        blank=True,
        validators=[RegexValidator(r"^[1-9]$", "A key is a digit from 1 to 9.")],
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["modality", "key", "name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(window_width__gt=0), name="preset_width_positive"
            ),
            models.UniqueConstraint(
                fields=["user", "modality", "name"], name="preset_once_per_user"
            ),
            models.UniqueConstraint(
                fields=["modality", "name"],
                condition=models.Q(user=None),
                name="preset_once_for_site",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.window_center:g}/{self.window_width:g}"


class HangingProtocol(models.Model):
    """How studies of a kind are laid out; the first that fits, by priority, is used."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="hanging_protocols",
        help_text="Empty: for everybody.",
    )
    name = models.CharField(max_length=64)
    priority = models.PositiveSmallIntegerField(default=100, help_text="Lower is tried earlier.")
    modality = models.CharField(max_length=16, blank=True, help_text="Empty: any.")
    body_part_examined = models.CharField(max_length=64, blank=True, help_text="Empty: any.")
    study_description = models.CharField(
        max_length=255, blank=True, help_text="A part of the description. Empty: any."
    )
    laterality = models.CharField(
        max_length=1,
        blank=True,
        choices=[("L", "Left"), ("R", "Right"), ("B", "Both")],
        help_text="Empty: any.",
    )
    view_position = models.CharField(
        max_length=16, blank=True, help_text="Of a projection, as CC, MLO, PA. Empty: any."
    )
    number_of_priors = models.PositiveSmallIntegerField(
        default=0, help_text="Only for studies with so many priors."
    )
    rows = models.PositiveSmallIntegerField(default=1)
    columns = models.PositiveSmallIntegerField(default=1)
    viewports = models.JSONField(
        default=list,
        blank=True,
        help_text="For each place which series goes there: words of its description, modality.",
    )
    first_stage = models.JSONField(
        default=dict, blank=True, help_text="What else the first layout says: name, fit, links."
    )
    more_stages = models.JSONField(
        default=list, blank=True, help_text="Layouts that follow: name, rows, columns, viewports."
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["priority", "name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(rows__range=(1, 4), columns__range=(1, 4)),
                name="hanging_protocol_grid",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.rows}×{self.columns})"


class HounsfieldCalibration(models.Model):
    """Whether a CT series' values are Hounsfield units, as far as its own images tell."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    series = models.OneToOneField(
        Series, on_delete=models.CASCADE, related_name="hounsfield_calibration"
    )
    image = models.ForeignKey(
        DicomImage,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The image that the verdict rests on.",
    )
    is_valid = models.BooleanField()
    rescale_slope = models.FloatField(null=True, blank=True)
    rescale_intercept = models.FloatField(null=True, blank=True)
    rescale_type = models.CharField(max_length=16, blank=True)
    air_value_hu = models.FloatField(null=True, blank=True)
    water_value_hu = models.FloatField(null=True, blank=True)
    issues = models.TextField(blank=True, help_text="One sentence a line.")
    checked_image_count = models.PositiveIntegerField(default=0)
    checked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-checked_at"]

    def __str__(self) -> str:
        return f"{self.series_id}: {'valid' if self.is_valid else 'not valid'}"
