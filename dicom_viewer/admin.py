"""The viewer's rows in the administration: presets and layouts to edit, the rest to look at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from archive.models import ReconstructionJob
from dicom_viewer import hanging
from dicom_viewer.models import (
    Annotation,
    DrawingRevision,
    HangingProtocol,
    HounsfieldCalibration,
    Measurement,
    ViewerSession,
    WindowLevelPreset,
)


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic for the checker alone
    """Rows that people or jobs made elsewhere: shown, never changed here."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only the viewer and its jobs make them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ANN401
        """They stay as they were made."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ANN401
        """Their history must not vanish."""
        return False


@admin.register(Measurement)
class MeasurementAdmin(ReadOnlyAdmin):
    """What was measured, by whom."""

    list_display = (
        "created_at", "kind", "value", "unit", "unit_source", "author_name", "version",
        "is_deleted",
    )  # fmt: skip
    list_filter = ("kind", "is_deleted", "created_at")
    search_fields = ("=sop_instance_uid", "=series_instance_uid", "author_name", "label")


@admin.register(Annotation)
class AnnotationAdmin(ReadOnlyAdmin):
    """What was written on images, by whom."""

    list_display = ("created_at", "kind", "label", "author_name", "version", "is_deleted")
    list_filter = ("is_deleted", "created_at")
    search_fields = ("=sop_instance_uid", "=series_instance_uid", "author_name", "label")


@admin.register(DrawingRevision)
class DrawingRevisionAdmin(ReadOnlyAdmin):
    """Every state that a drawing ever had."""

    list_display = ("at", "drawing_id", "version", "action", "user_name")
    list_filter = ("action", "at")
    search_fields = ("=drawing_id", "user_name")


@admin.register(ViewerSession)
class ViewerSessionAdmin(ReadOnlyAdmin):
    """Who looked at what, and when last."""

    list_display = ("last_seen_at", "user", "study", "opened_at")
    list_select_related = ("user", "study")
    search_fields = ("user__username", "=study__study_instance_uid")


@admin.register(HounsfieldCalibration)
class HounsfieldCalibrationAdmin(ReadOnlyAdmin):
    """What the check of CT values found."""

    list_display = (
        "checked_at", "series", "is_valid", "air_value_hu", "water_value_hu", "rescale_slope",
        "rescale_intercept", "issues",
    )  # fmt: skip
    list_filter = ("is_valid", "checked_at")
    list_select_related = ("series",)
    search_fields = ("=series__series_instance_uid",)


@admin.register(ReconstructionJob)
class ReconstructionJobAdmin(ReadOnlyAdmin):
    """Volumes computed on the server."""

    list_display = (
        "created_at", "description", "series", "output", "state", "done_steps", "total_steps",
        "requested_by_name", "last_error",
    )  # fmt: skip
    list_filter = ("output", "state")
    list_select_related = ("series",)


@admin.register(WindowLevelPreset)
class WindowLevelPresetAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # as above
    """Windows by name; without a user they are everybody's."""

    list_display = ("name", "modality", "window_center", "window_width", "key", "user")
    list_filter = ("modality", ("user", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    raw_id_fields = ("user",)


@admin.register(HangingProtocol)
class HangingProtocolAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # as above
    """How studies of a kind are laid out."""

    list_display = ("name", "priority", "in_words", "user", "is_active")
    list_filter = ("is_active", "modality", ("user", admin.EmptyFieldListFilter))
    readonly_fields = ("in_words",)
    list_select_related = ("user",)
    search_fields = ("name", "study_description", "user__username")
    raw_id_fields = ("user",)

    @admin.display(description="In words")
    def in_words(self, row: HangingProtocol) -> str:
        """Say what it is for and does."""
        return str(hanging.protocol_document(row)["sentence"])
