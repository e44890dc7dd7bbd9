"""Django application of orders."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Orders, and the procedure steps that are planned and performed for them."""

    name = "orders"
    verbose_name = "Orders"

    # See `archive.jobs.load`.
    background = ("arrivals", "completeness", "intake_jobs", "subscriptions")
