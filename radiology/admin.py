"""Administration of offline images: looked at; services write them."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from archive.admin import ViewOnlyAdmin, study_link
from orders.admin import order_link
from radiology.models import Consultation, OfflineImage, Visit


@admin.register(OfflineImage)
class OfflineImageAdmin(ViewOnlyAdmin):
    """What was handed in, and how far it is."""

    list_display = (
        "image_uuid", "state", "filename", "mime_type", "file_size", "order_page", "study_page",
        "sent_by", "facility", "announced_at", "stored_at", "acknowledged_at",
    )  # fmt: skip
    list_filter = ("facility", "state", "mime_type", "announced_at")
    search_fields = ("=image_uuid", "=study_uid", "=image_uid", "^order__accession_number")
    search_help_text = "Image UUID, a whole UID, or the order's accession number."
    list_select_related = ("facility", "order", "image__series")
    ordering = ("-announced_at",)

    @admin.display(description="order")
    def order_page(self, row: OfflineImage) -> SafeString | str:
        """Lead to its order."""
        if row.order is None:
            return "-"
        return order_link(row.order.pk, row.order.accession_number or "Open")

    @admin.display(description="study")
    def study_page(self, row: OfflineImage) -> SafeString | str:
        """Lead to its study."""
        return study_link(row.image.series.study_id) if row.image is not None else "-"


@admin.register(Visit)
class VisitAdmin(ViewOnlyAdmin):
    """Visits, by the names that senders gave."""

    list_display = ("identifier", "facility", "created_at")
    list_filter = ("facility",)
    search_fields = ("^identifier",)
    list_select_related = ("facility",)
    ordering = ("-id",)


@admin.register(Consultation)
class ConsultationAdmin(ViewOnlyAdmin):
    """Consultations, with their orders."""

    list_display = ("identifier", "visit", "created_at")
    search_fields = ("^identifier", "^visit__identifier")
    list_select_related = ("visit",)
    ordering = ("-id",)
