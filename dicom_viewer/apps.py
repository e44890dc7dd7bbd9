"""Django application: viewer."""

from django.apps import AppConfig


class DicomViewerConfig(AppConfig):
    """Viewer."""

    name = "dicom_viewer"
    verbose_name = "Viewer"

    # See `archive.jobs.load`.
    background = ("series", "manifest", "hounsfield")
