"""Addresses of FHIR resources."""

from django.urls import path

from worklist.views import fhir

urlpatterns = [
    path("AuditEvent", fhir.search_events, name="fhir-audit"),
    path("AuditEvent/<uuid:event_id>", fhir.read_event, name="fhir-audit-event"),
]
