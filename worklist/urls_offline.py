"""Addresses of the page that takes files without a network; its worker's scope ends with them."""

from django.urls import path

from worklist.views import offline

app_name = "offline"

urlpatterns = [
    path("", offline.page, name="page"),
    path("session/", offline.session, name="session"),
    path("worker.js", offline.worker, name="worker"),
    path("manifest.webmanifest", offline.manifest, name="manifest"),
]
