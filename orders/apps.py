"""Django application of orders."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Orders, and the procedure steps that are planned and performed for them."""

    name = "orders"
    verbose_name = "Orders"

    def ready(self) -> None:
        """Register the handlers and subscribers of the package's jobs."""
        from orders import arrivals, completeness  # noqa: F401, PLC0415 - they register themselves
