"""Administration of orders: looked at; services write them."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from archive.admin import ViewOnlyAdmin, study_link
from orders.models import Order, PerformedStep, ScheduledStep, StudyMatch, Workitem


def order_link(order_id: object, label: str = "Open") -> SafeString:
    """Link to an order's page of the product."""
    return format_html(
        '<a href="{}">{}</a>', reverse("orders:order-detail", args=[order_id]), label
    )


@admin.register(Order)
class OrderAdmin(ViewOnlyAdmin):
    """What was asked for."""

    list_display = (
        "accession_number", "page", "patient_name", "patient_identifier", "order_category",
        "description", "status", "facility", "created_at",
    )  # fmt: skip
    list_filter = ("facility", "status", "order_category", "created_at")
    search_fields = ("^accession_number", "^patient_identifier", "=study_instance_uid")
    search_help_text = "Accession number, Patient ID, or the whole Study Instance UID."
    list_select_related = ("facility",)
    ordering = ("-id",)
    readonly_fields = ("page",)

    @admin.display(description="page")
    def page(self, order: Order) -> SafeString:
        """Lead to the order's page of the product."""
        return order_link(order.pk)


@admin.register(ScheduledStep)
class ScheduledStepAdmin(ViewOnlyAdmin):
    """What is planned."""

    list_display = (
        "scheduled_procedure_step_id", "page", "modality", "start_date", "start_time",
        "scheduled_station_ae_title", "status", "facility",
    )  # fmt: skip
    list_filter = ("facility", "status", "modality", "start_date")
    search_fields = ("=scheduled_procedure_step_id", "^order__accession_number")
    list_select_related = ("facility",)
    ordering = ("-start_date", "-id")

    @admin.display(description="order")
    def page(self, step: ScheduledStep) -> SafeString:
        """Lead to its order."""
        return order_link(step.order_id)


@admin.register(PerformedStep)
class PerformedStepAdmin(ViewOnlyAdmin):
    """What equipment says that it did (MPPS)."""

    list_display = (
        "created_at", "performed_procedure_step_id", "modality", "source_ae_title", "status",
        "images", "page", "facility",
    )  # fmt: skip
    list_filter = ("facility", "status", "modality", "created_at")
    search_fields = ("=sop_instance_uid", "=study_instance_uid", "=performed_procedure_step_id")
    list_select_related = ("facility",)
    ordering = ("-id",)

    @admin.display(description="instances")
    def images(self, step: PerformedStep) -> int:
        """Count the instances that it names."""
        return len(step.references)

    @admin.display(description="order")
    def page(self, step: PerformedStep) -> SafeString | str:
        """Lead to its order."""
        return order_link(step.order_id) if step.order_id else ""


@admin.register(StudyMatch)
class StudyMatchAdmin(ViewOnlyAdmin):
    """Which studies fulfil which orders."""

    list_display = ("created_at", "state", "how", "order_page", "study_page", "decided_by")
    list_filter = ("state", "created_at")
    list_select_related = ("decided_by",)
    ordering = ("-id",)

    @admin.display(description="order")
    def order_page(self, match: StudyMatch) -> SafeString:
        """Lead to the order."""
        return order_link(match.order_id)

    @admin.display(description="study")
    def study_page(self, match: StudyMatch) -> SafeString:
        """Lead to the study."""
        return study_link(match.study_id)


@admin.register(Workitem)
class WorkitemAdmin(ViewOnlyAdmin):
    """What is to be done, by whom, and what became of it; never its lock."""

    list_display = (
        "label", "state", "priority", "start", "patient_name", "patient_identifier", "performer",
        "facility",
    )  # fmt: skip
    list_filter = ("facility", "state", "priority", "created_at")
    search_fields = ("=sop_instance_uid", "^patient_identifier", "^label")
    search_help_text = "Label, Patient ID, or the whole SOP Instance UID."
    list_select_related = ("facility",)
    ordering = ("-id",)
    exclude = ("transaction_uid",)
