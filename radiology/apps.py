"""Django application of offline images."""

from django.apps import AppConfig


class RadiologyConfig(AppConfig):
    """Images handed in for orders, and the stored studies as those who hand them in know them."""

    name = "radiology"
    verbose_name = "Radiology images"
