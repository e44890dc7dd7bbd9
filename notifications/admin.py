"""Notifications in the administration: to look at; what people were told is not edited."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from notifications.models import Notification, NotificationPreference


@admin.register(Notification)
class NotificationAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic for the checker alone
    """What was told to whom, and when they read it."""

    list_display = ("last_at", "user", "kind", "title", "count", "facility", "read_at")
    list_filter = ("kind", "last_at", "facility")
    search_fields = ("title", "body", "user__username")
    list_select_related = ("user", "facility")
    show_full_result_count = False
    readonly_fields = (
        "user", "kind", "title", "body", "url", "facility", "key", "count", "since", "created_at",
        "last_at", "read_at",
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Events make notifications."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Notification | None = None) -> bool:
        """They are as they were told."""
        return False


@admin.register(NotificationPreference)
class NotificationPreferenceAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic for the checker alone
    """Who wants to be told of what."""

    list_display = ("user", "kind", "is_in_app")
    list_filter = ("kind", "is_in_app")
    search_fields = ("user__username",)
    raw_id_fields = ("user",)
