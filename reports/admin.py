"""Reports in the administration: to look at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from reports.models import Report, ReportRevision, SeriesViewing


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic for the checker alone
    """Rows that people made in the viewer: shown, never changed here."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only the viewer makes them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ANN401
        """They stay as they were made."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ANN401
        """Their history must not vanish."""
        return False


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    """The present text about each study."""

    list_display = ("updated_at", "study", "version", "author_name", "updated_by_name")
    list_select_related = ("study",)
    search_fields = ("=study__study_instance_uid", "author_name")


@admin.register(ReportRevision)
class ReportRevisionAdmin(ReadOnlyAdmin):
    """Every state that a report ever had."""

    list_display = ("at", "report", "version", "user_name")
    list_select_related = ("report",)
    search_fields = ("=report__study__study_instance_uid", "user_name")


@admin.register(SeriesViewing)
class SeriesViewingAdmin(ReadOnlyAdmin):
    """What was shown to whom."""

    list_display = ("last_at", "user_name", "series", "first_at")
    list_select_related = ("series",)
    search_fields = ("=study__study_instance_uid", "user_name")
