"""Administration of facilities and of what is stored; what is stored is not edited."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from archive import audit, facilities
from archive.admin import ListAdmin, ViewOnlyAdmin, actor_of, study_link
from archive.catalogue import fold
from archive.facilities import FacilityDraft
from worklist.models import DicomImage, Facility, FacilityAE, Modality, Patient, Series, Study

admin.site.site_header = "NoctisPro administration"
admin.site.site_title = "NoctisPro administration"
admin.site.index_title = "Everything the archive keeps"
admin.site.site_url = "/worklist/studies/"


@admin.register(Modality)
class ModalityAdmin(ListAdmin):
    """Kinds of equipment."""

    list_display = ("code", "name")
    search_fields = ("code", "name")


class _FacilityForm(forms.ModelForm):  # type: ignore[type-arg] # generic for the checker alone
    """A facility with its networks one a line, as people write them."""

    address_ranges = forms.CharField(
        label="Networks it may call from",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 40}),
        help_text="One a line, such as 10.1.0.0/16. Empty: from any address.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as Django has it
        super().__init__(*args, **options)
        self.initial["address_ranges"] = "\n".join(map(str, self.instance.address_ranges))

    def clean_address_ranges(self) -> list[str]:
        """Return the networks; the model checks each."""
        return str(self.cleaned_data["address_ranges"]).split()


class FacilityAEInline(admin.TabularInline):  # type: ignore[type-arg] # generic for the checker alone
    """The AE titles of a facility."""

    model = FacilityAE
    extra = 1
    fields = (
        "ae_title",
        "description",
        "certificate",
        "last_association_at",
        "last_store_at",
        "last_error",
    )
    readonly_fields = ("last_association_at", "last_store_at", "last_error")
    verbose_name = "AE title it may send from"
    verbose_name_plural = "AE titles it may send from"


@admin.register(Facility)
class FacilityAdmin(ListAdmin):
    """Places that send studies."""

    form = _FacilityForm
    fields = (
        "code",
        "name",
        "address_ranges",
        "user_identity",
        "requires_tls",
        "is_active",
        "is_demo",
        "created_at",
    )
    list_display = ("name", "code", "titles", "members", "is_active", "is_demo", "page")
    list_filter = ("is_active", "is_demo")
    search_fields = ("name", "code", "ae_titles__ae_title")
    readonly_fields = ("is_demo", "created_at")
    inlines = (FacilityAEInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Facility]:
        """Bring AE titles and the number of members along."""
        rows: QuerySet[Facility] = super().get_queryset(request)
        return rows.prefetch_related("ae_titles").annotate(
            member_count=Count("users", distinct=True)
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Facility | None = None) -> Any:  # noqa: ANN401 - as Django has it
        """Keep the code: files, commands and programs name the facility by it."""
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "code") if obj is not None else fields

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody: a facility is switched off, its studies stay its own."""
        return False

    @admin.display(description="AE titles")
    def titles(self, facility: Facility) -> str:
        """List its AE titles."""
        return ", ".join(entry.ae_title for entry in facility.ae_titles.all())

    @admin.display(description="members", ordering="member_count")
    def members(self, facility: Facility) -> int:
        """Count the people who see its studies."""
        return int(facility.member_count)  # type: ignore[attr-defined]

    @admin.display(description="page")
    def page(self, facility: Facility) -> SafeString:
        """Lead to its page of the product, with the live test."""
        url = reverse("worklist:facility-detail", args=[facility.pk])
        return format_html('<a href="{}">Open</a>', url)

    def get_view_on_site_url(self, obj: Any = None) -> str | None:  # noqa: ANN401 - as Django has it
        """Lead to its page of the product."""
        if not isinstance(obj, Facility):
            return None
        return reverse("worklist:facility-detail", args=[obj.pk])

    def save_model(
        self,
        request: HttpRequest,
        obj: Facility,
        form: forms.ModelForm[Facility],
        change: Any,  # noqa: ANN401
    ) -> None:
        """Save by the archive's own service, which checks and audits."""
        actor = actor_of(request)
        if not change:
            saved = facilities.save_facility(
                actor,
                FacilityDraft(code=obj.code, name=obj.name, address_ranges=obj.address_ranges),
            )
            obj.pk = saved.pk
            obj._state.adding = False
        facilities.change_facility(
            actor,
            obj,
            name=obj.name,
            address_ranges=obj.address_ranges,
            is_active=obj.is_active,
            user_identity=obj.user_identity,
            requires_tls=obj.requires_tls,
        )

    def save_formset(
        self,
        request: HttpRequest,
        form: forms.ModelForm[Facility],
        formset: forms.BaseModelFormSet[FacilityAE, forms.ModelForm[FacilityAE]],
        change: Any,  # noqa: ANN401
    ) -> None:
        """Add and remove AE titles by the archive's own services."""
        actor = actor_of(request)
        formset.save(commit=False)
        for entry in formset.deleted_objects:
            facilities.remove_ae_title(actor, form.instance, entry.pk)
        for entry, changed in formset.changed_objects:
            entry.save()
            audit.record(actor, "facility.ae_title.change", form.instance, changed=list(changed))
        for entry in formset.new_objects:
            facilities.add_ae_title(
                actor, form.instance, entry.ae_title, description=entry.description
            )


class _NameSearch(ListAdmin):
    """A search that finds names whatever their accents and case."""

    folded_field = ""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search the other fields as typed, and the name as it is folded for lists."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        name = fold(search_term)
        if name and self.folded_field:
            by_name = queryset
            for word in name.split():
                by_name = by_name.filter(**{f"{self.folded_field}__contains": word})
            found = (found | by_name).distinct() if may_repeat else found | by_name
        return found, may_repeat


@admin.register(Patient)
class PatientAdmin(ViewOnlyAdmin):
    """People as each facility knows them."""

    list_display = (
        "patient_name", "patient_id", "issuer_of_patient_id", "patient_birth_date", "patient_sex",
        "facility", "studies",
    )  # fmt: skip
    list_filter = ("facility", "patient_sex", "created_at")
    search_fields = ("patient_name", "^patient_id")
    list_select_related = ("facility",)

    @admin.display(description="studies")
    def studies(self, patient: Patient) -> SafeString:
        """Lead to the patient's studies."""
        url = reverse("admin:worklist_study_changelist")
        return format_html('<a href="{}?patient__id__exact={}">Studies</a>', url, patient.pk)


@admin.register(Study)
class StudyAdmin(_NameSearch, ViewOnlyAdmin):
    """Studies with the counters that the worklist shows."""

    list_display = (
        "patient_name", "page", "patient_identifier", "study_date", "modality",
        "study_description", "accession_number", "facility", "instance_count", "status",
    )  # fmt: skip
    list_filter = ("facility", "status", "modality", "study_date", "is_demo")
    search_fields = ("=study_instance_uid", "^accession_number", "^patient_identifier")
    search_help_text = (
        "Patient name, Patient ID, accession number, or the whole Study Instance UID."
    )
    folded_field = "patient_name_folded"
    list_select_related = ("facility",)
    ordering = ("-sort_at", "-id")
    readonly_fields = ("page", "series_link")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Let the patient's list lead here."""
        return lookup == "patient__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="page")
    def page(self, study: Study) -> SafeString:
        """Lead to the study's page of the product."""
        return study_link(study.pk)

    @admin.display(description="series")
    def series_link(self, study: Study) -> SafeString:
        """Lead to its series."""
        url = reverse("admin:worklist_series_changelist")
        return format_html(
            '<a href="{}?study__id__exact={}">{} series</a>', url, study.pk, study.series_count
        )


@admin.register(Series)
class SeriesAdmin(ViewOnlyAdmin):
    """Series of studies."""

    list_display = (
        "__str__", "page", "modality", "body_part_examined", "instance_count", "facility",
        "source_ae_title", "created_at",
    )  # fmt: skip
    list_filter = ("study__facility", "modality", "created_at")
    search_fields = ("=series_instance_uid", "=study__study_instance_uid")
    search_help_text = "The whole Series or Study Instance UID."
    list_select_related = ("study__facility",)
    ordering = ("-id",)
    readonly_fields = ("page", "instances")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Let the study's page lead here."""
        return lookup == "study__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="facility", ordering="study__facility")
    def facility(self, series: Series) -> str:
        """Name the facility."""
        return series.study.facility.name

    @admin.display(description="study")
    def page(self, series: Series) -> SafeString:
        """Lead to the study's page of the product."""
        return study_link(series.study_id)

    @admin.display(description="instances")
    def instances(self, series: Series) -> SafeString:
        """Lead to its instances."""
        url = reverse("admin:worklist_dicomimage_changelist")
        return format_html(
            '<a href="{}?series__id__exact={}">{} instances</a>',
            url,
            series.pk,
            series.instance_count,
        )


@admin.register(DicomImage)
class DicomImageAdmin(ViewOnlyAdmin):
    """Stored instances: where their bytes lie, and what is known of them."""

    list_display = (
        "sop_instance_uid", "page", "instance_number", "rows", "columns", "number_of_frames",
        "size_bytes", "facility", "received_at", "problem",
    )  # fmt: skip
    list_filter = (
        "facility", "has_pixels", "is_lossy", ("problem", admin.EmptyFieldListFilter),
        "received_at",
    )  # fmt: skip
    search_fields = ("=sop_instance_uid", "=storage_key", "=sha256")
    search_help_text = "The whole SOP Instance UID, storage key or SHA-256."
    list_select_related = ("facility", "series")
    ordering = ("-id",)
    readonly_fields = ("page",)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Let the series' page lead here."""
        return lookup == "series__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="study")
    def page(self, image: DicomImage) -> SafeString:
        """Lead to the study's page of the product."""
        return study_link(image.series.study_id)
