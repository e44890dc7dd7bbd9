"""Django application of the archive."""

from django.apps import AppConfig


class ArchiveConfig(AppConfig):
    """Audit trail, outbox, jobs, conflicts, callers."""

    name = "archive"
    verbose_name = "Archive"

    def ready(self) -> None:
        """Register the handlers and subscribers of the package's jobs."""
        from archive import (  # noqa: F401, PLC0415 - they register their handlers
            availability,
            commitment,
            completeness,
            deletions,
            descriptions,
            destinations,
            frame_cache,
            query_fill,
            reconcile,
            routing,
            sweep,
            thumbnails,
        )
