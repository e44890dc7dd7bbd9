"""Addresses of the viewer: its page, and what it asks and writes (docs/api/viewer.md)."""

from django.urls import path

from dicom_viewer import (
    derived_views,
    document_views,
    ledger_views,
    machine_views,
    reading_views,
    reconstruction_views,
    views,
)

app_name = "dicom_viewer"

urlpatterns = [
    path("<uuid:study_id>/", views.viewer, name="viewer"),
    path("test-pattern/", reading_views.test_pattern, name="test-pattern"),
    path("<uuid:study_id>/reconstructions/", reconstruction_views.page, name="reconstruction-list"),
    path(
        "reconstructions/<uuid:reconstruction_id>/cancel/",
        reconstruction_views.change,
        {"what": "cancel"},
        name="reconstruction-cancel",
    ),
    path(
        "reconstructions/<uuid:reconstruction_id>/retry/",
        reconstruction_views.change,
        {"what": "retry"},
        name="reconstruction-retry",
    ),
    path("layouts/", views.layouts, name="layouts"),
    path("shown/", ledger_views.person_page, name="shown-list"),
    path("<uuid:study_id>/shown/", ledger_views.study_page, name="shown-study"),
    path("<uuid:study_id>/shown/images-shown.csv", ledger_views.study_csv, name="shown-csv"),
    path("documents/<uuid:image_id>/", document_views.document, name="document"),
    path("documents/<uuid:image_id>/pdf/", document_views.document_pdf, name="document-pdf"),
    path("api/studies/<uuid:study_id>/", views.study, name="study"),
    path("api/studies/<uuid:study_id>/ahead/", views.ahead, name="ahead"),
    path("api/studies/<uuid:study_id>/measurements/", views.measurements, name="measurement-list"),
    path("api/studies/<uuid:study_id>/found/", views.found_measurements, name="found"),
    path(
        "api/studies/<uuid:study_id>/presentations/",
        views.presentation_states,
        name="presentations",
    ),
    path("api/studies/<uuid:study_id>/findings/", machine_views.findings, name="findings"),
    path("api/findings/<uuid:finding_id>/", machine_views.finding, name="finding"),
    path("api/studies/<uuid:study_id>/derived/", derived_views.derived_list, name="derived"),
    path("api/images/<uuid:image_id>/derived/", derived_views.derived, name="derived-image"),
    path("api/images/<uuid:image_id>/segments/", derived_views.segments_copy, name="segments-copy"),
    path("api/series/<uuid:series_id>/segments/", derived_views.segments, name="segments"),
    path(
        "api/series/<uuid:series_id>/segments/store/",
        derived_views.segments_store,
        name="segments-store",
    ),
    path("api/studies/<uuid:study_id>/results/", views.stored_results, name="result-list"),
    path("api/studies/<uuid:study_id>/sheet/", views.sheet, name="sheet"),
    path("api/studies/<uuid:study_id>/session/", views.session, name="session"),
    path("api/studies/<uuid:study_id>/report/", reading_views.report, name="report"),
    path(
        "api/studies/<uuid:study_id>/report/revisions/",
        reading_views.report_revisions,
        name="report-revisions",
    ),
    path(
        "api/studies/<uuid:study_id>/report/revisions/<uuid:revision_id>/",
        reading_views.report_revision,
        name="report-revision",
    ),
    path("api/studies/<uuid:study_id>/shown/", reading_views.shown, name="shown"),
    path(
        "api/studies/<uuid:study_id>/shown/people/", reading_views.shown_people, name="shown-people"
    ),
    path("api/shortcuts/", reading_views.shortcuts, name="shortcuts"),
    path("api/measurements/<uuid:drawing_id>/", views.measurement, name="measurement"),
    path("api/series/<uuid:series_id>/images/", views.series_images, name="series-images"),
    path("api/series/<uuid:series_id>/uptake/", views.series_uptake, name="series-uptake"),
    path("api/images/<uuid:image_id>/voi-luts/", views.image_voi_luts, name="image-voi-luts"),
    path("api/images/<uuid:image_id>/metadata/", views.image_metadata, name="image-metadata"),
    path("api/studies/<uuid:study_id>/hanging/", views.hanging_like_this, name="hanging-like"),
    path("api/hanging/", views.hanging_protocols, name="hanging-list"),
    path("api/hanging/import/", views.hanging_import, name="hanging-import"),
    path("api/hanging/<uuid:protocol_id>/", views.hanging_protocol, name="hanging"),
    path("api/presets/", views.presets, name="preset-list"),
    path("api/presets/<uuid:preset_id>/", views.preset, name="preset"),
]
