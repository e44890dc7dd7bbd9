"""Django application of reports."""

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """Reports of studies, and the ledger of what was shown to those who wrote them."""

    name = "reports"
    verbose_name = "Reports"
