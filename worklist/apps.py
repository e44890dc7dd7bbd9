"""Django application of the worklist."""

from django.apps import AppConfig


class WorklistConfig(AppConfig):
    """Facilities, patients, studies, series, instances."""

    name = "worklist"
    verbose_name = "Worklist"
