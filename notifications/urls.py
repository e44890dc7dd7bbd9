"""Addresses of notifications: pages, and what scripts ask."""

from django.urls import path

from notifications import views

app_name = "notifications"

_API = "api/notifications/"

urlpatterns = [
    path("list/", views.notification_list, name="notification-list"),
    path("preferences/", views.preference_edit, name="preference-edit"),
    path("read-all/", views.notification_read_all, name="notification-read-all"),
    path("<uuid:notification_id>/open/", views.notification_open, name="notification-open"),
    path(_API, views.api_list, name="api-list"),
    path(f"{_API}unread-count/", views.api_unread_count, name="api-unread-count"),
    path(f"{_API}read-all/", views.api_read_all, name="api-read-all"),
    path(f"{_API}<uuid:notification_id>/read/", views.api_read, name="api-read"),
]
