"""Django application of the archive."""

from django.apps import AppConfig


class ArchiveConfig(AppConfig):
    """Audit trail, outbox, jobs, conflicts, callers."""

    name = "archive"
    verbose_name = "Archive"
