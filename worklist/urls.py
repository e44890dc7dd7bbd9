"""Addresses of the worklist; intake and administration pages are in `worklist.urls_intake`."""

from django.urls import include, path

from worklist.views import live, own, studies

app_name = "worklist"

urlpatterns = [
    path("studies/", studies.study_list, name="study-list"),
    path("studies/rows/", studies.study_rows, name="study-rows"),
    path("studies/<uuid:study_id>/", studies.study_detail, name="study-detail"),
    path("studies/<uuid:study_id>/preview/", studies.study_preview, name="study-preview"),
    path("series/<uuid:series_id>/images/", studies.series_images, name="series-images"),
    path("api/studies/status/", studies.set_status, name="study-status"),
    path("api/studies/<uuid:study_id>/beside/", studies.studies_beside, name="studies-beside"),
    path("api/views/", own.save_view, name="view-save"),
    path("api/columns/", own.save_columns, name="column-save"),
    path("api/facility/", own.switch_facility, name="facility-switch"),
    path("api/counts/", live.counts, name="count-list"),
    path("api/state/", live.site_state, name="state"),
    path("api/find/", live.find, name="find"),
    path("", include("worklist.urls_intake")),
    path("", include("worklist.urls_integrity")),
]
