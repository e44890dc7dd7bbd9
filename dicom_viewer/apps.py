"""Django application: viewer."""

from importlib import import_module

from django.apps import AppConfig


class DicomViewerConfig(AppConfig):
    """Viewer."""

    name = "dicom_viewer"
    verbose_name = "Viewer"

    def ready(self) -> None:
        """Register what follows events."""
        import_module("dicom_viewer.series")
        import_module("dicom_viewer.hounsfield")
