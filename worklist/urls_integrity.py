"""Addresses of what administrators decide about stored data."""

from django.urls import path

from worklist.views import health, integrity, patients, trail

urlpatterns = [
    path("conflicts/", integrity.conflict_list, name="conflict-list"),
    path("api/conflicts/rows/", integrity.conflict_rows, name="conflict-rows"),
    path("conflicts/<uuid:conflict_id>/", integrity.conflict_detail, name="conflict-detail"),
    path("conflicts/<uuid:conflict_id>/decide/", integrity.decide_conflict, name="conflict-decide"),
    path(
        "conflicts/<uuid:conflict_id>/picture/<str:side>/",
        integrity.conflict_picture,
        name="conflict-picture",
    ),
    path("deletions/", integrity.deletion_list, name="deletion-list"),
    path(
        "deletions/<uuid:deletion_id>/restore/", integrity.restore_deletion, name="deletion-restore"
    ),
    path(
        "deletions/<uuid:deletion_id>/destroy/", integrity.destroy_deletion, name="deletion-destroy"
    ),
    path("health/", health.site_health, name="site-health"),
    path("audit/", trail.trail_list, name="trail-list"),
    path("audit/audit-trail.csv", trail.trail_csv, name="trail-csv"),
    path("patients/links/", patients.link_list, name="patient-links"),
    path("patients/links/add/", patients.add_link, name="patient-link-add"),
    path("patients/links/apart/", patients.keep_apart, name="patient-apart"),
    path("patients/links/<uuid:link_id>/undo/", patients.undo_link, name="patient-link-undo"),
    path("studies/<uuid:study_id>/delete/", integrity.delete_study, name="study-delete"),
    path("series/<uuid:series_id>/delete/", integrity.delete_series, name="series-delete"),
]
