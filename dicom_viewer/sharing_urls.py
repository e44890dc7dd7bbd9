"""Addresses of links that are shared."""

from django.urls import path

from dicom_viewer import sharing_views

app_name = "sharing"

urlpatterns = [
    path("", sharing_views.landing, name="open"),
    path("api/open/", sharing_views.exchange, name="exchange"),
    path("api/visit/", sharing_views.visit, name="visit"),
    path("studies/<uuid:study_id>/", sharing_views.share, name="share"),
    path("links/", sharing_views.link_list, name="link-list"),
    path("links/<uuid:link_id>/", sharing_views.link_detail, name="link-detail"),
    path("links/<uuid:link_id>/revoke/", sharing_views.revoke, name="link-revoke"),
]
