"""Django application: notifications."""

from importlib import import_module

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Notifications."""

    name = "notifications"
    verbose_name = "Notifications"

    def ready(self) -> None:
        """Register what follows events."""
        import_module("notifications.subscribers")
