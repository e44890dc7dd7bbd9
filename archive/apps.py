"""Django application of the archive."""

from django.apps import AppConfig


class ArchiveConfig(AppConfig):
    """Audit trail, outbox, jobs, conflicts, callers."""

    name = "archive"
    verbose_name = "Archive"

    def ready(self) -> None:
        """Register the handlers of the package's jobs."""
        from archive import destinations  # noqa: F401, PLC0415 - registers its handler
