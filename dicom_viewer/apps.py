"""Django application: viewer."""

from importlib import import_module

from django.apps import AppConfig


class DicomViewerConfig(AppConfig):
    """Viewer."""

    name = "dicom_viewer"
    verbose_name = "Viewer"

    def ready(self) -> None:
        """Register what follows events."""
        for name in ("series", "manifest", "hounsfield"):
            import_module(f"dicom_viewer.{name}")
