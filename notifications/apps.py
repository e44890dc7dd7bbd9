"""Django application: notifications."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Notifications."""

    name = "notifications"
    verbose_name = "Notifications"

    # See `archive.jobs.load`.
    background = ("site_alerts", "subscribers")
