"""Django application of the archive."""

from django.apps import AppConfig


class ArchiveConfig(AppConfig):
    """Audit trail, outbox, jobs, conflicts, callers."""

    name = "archive"
    verbose_name = "Archive"

    # They register handlers, subscribers and carers: see `archive.jobs.load`.
    background = (
        "analysis_work",
        "audit_shipping",
        "availability",
        "commitment",
        "completeness",
        "deletions",
        "descriptions",
        "destinations",
        "frame_cache",
        "mirror",
        "name_index",
        "object_upload",
        "query_fill",
        "reconstruction_work",
        "reconcile",
        "resumable",
        "routing",
        "seals",
        "sweep",
        "thumbnails",
        "watch",
    )
