"""Administration of the archive's own rows: looked at, hardly ever edited."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models import User
from archive import access, availability, commitment, conflicts, destinations, facilities, jobs
from archive.access import Actor
from archive.destinations import DestinationDraft
from archive.errors import ArchiveError, ForbiddenError
from archive.models import (
    AuditEvent,
    AvailabilityNotice,
    CommitmentRequest,
    Destination,
    InstanceConflict,
    Job,
    JobState,
    Knock,
    KnockState,
    OutboxEvent,
)
from worklist.models import Facility


def actor_of(request: HttpRequest) -> Actor:
    """Return the administrator who works here."""
    if not isinstance(request.user, User):
        raise ForbiddenError("Sign in first.")
    return access.actor_of(request.user, address=request.META.get("REMOTE_ADDR") or None)


class ListAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic for the checker alone
    """A list that stays quick with many rows: no second count, no row-by-row queries."""

    show_full_result_count = False
    list_per_page = 100
    list_max_show_all = 500


class ViewOnlyAdmin(ListAdmin):
    """Rows that services write and nobody edits."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: the product makes them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody: they are as they happened."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody: they stay."""
        return False


class ActionAdmin(ViewOnlyAdmin):
    """View-only rows on which an administrator may act."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whether the actions are offered; `permissions=["act"]` of an action asks this."""
        return isinstance(request.user, User) and request.user.is_administrator


def study_link(study_id: object, label: str = "Open") -> SafeString:
    """Link to a study's page of the product."""
    return format_html(
        '<a href="{}">{}</a>', reverse("worklist:study-detail", args=[study_id]), label
    )


@admin.register(AuditEvent)
class AuditEventAdmin(ViewOnlyAdmin):
    """Who did what to which patient data."""

    list_display = ("at", "actor", "verb", "target", "facility", "address", "is_success")
    list_filter = ("is_success", "at", "facility")
    search_fields = ("=verb", "=actor", "=target_id", "=address")
    search_help_text = "Verb (study.open), user or AE title, id of the target, or address: exactly."
    list_select_related = ("facility",)
    ordering = ("-at", "-id")

    @admin.display(description="target")
    def target(self, event: AuditEvent) -> SafeString | str:
        """Say what it was about; a study leads to its page."""
        if event.target_kind == "study" and event.target_id:
            return study_link(event.target_id, "study")
        return f"{event.target_kind} {event.target_id}".strip()


@admin.register(OutboxEvent)
class OutboxEventAdmin(ViewOnlyAdmin):
    """What happened, on its way to jobs and open pages."""

    list_display = ("id", "created_at", "kind", "facility", "payload", "dispatched_at")
    list_filter = ("kind", "created_at", ("dispatched_at", admin.EmptyFieldListFilter))
    search_fields = ("=kind",)
    list_select_related = ("facility",)


@admin.register(Job)
class JobAdmin(ActionAdmin):
    """Work for later; failed work can be tried again."""

    list_display = ("kind", "state", "attempts", "run_at", "finished_at", "claimed_by", "reason")
    list_filter = ("state", "kind", "run_at")
    search_fields = ("=kind", "key", "last_error")
    ordering = ("-run_at",)
    actions = ("retry",)

    @admin.display(description="last error")
    def reason(self, job: Job) -> str:
        """Show the last line of the traceback, which says what went wrong."""
        lines = job.last_error.strip().splitlines()
        return lines[-1][:160] if lines else ""

    @admin.action(description="Try failed jobs again", permissions=["act"])
    def retry(self, request: HttpRequest, chosen: QuerySet[Job]) -> None:
        """Queue the failed ones of the chosen jobs."""
        failed = chosen.filter(state=JobState.FAILED).values_list("pk", flat=True)
        count = jobs.retry_failed(failed)
        level = messages.SUCCESS if count else messages.WARNING
        text = f"{count} failed jobs are queued again." if count else "None of these has failed."
        self.message_user(request, text, level)


@admin.register(InstanceConflict)
class InstanceConflictAdmin(ActionAdmin):
    """The same SOP Instance UID with other content, kept aside."""

    list_display = (
        "received_at", "study", "facility", "sop_instance_uid", "source", "size_bytes",
        "resolved_at",
    )  # fmt: skip
    list_filter = (("resolved_at", admin.EmptyFieldListFilter), "facility", "received_at")
    search_fields = ("=sop_instance_uid", "=sha256", "source")
    list_select_related = ("facility", "kept__series")
    actions = ("keep_first",)

    @admin.display(description="stored in")
    def study(self, conflict: InstanceConflict) -> SafeString:
        """Lead to the study that holds the instance that stayed."""
        return study_link(conflict.kept.series.study_id, "study")

    @admin.action(description="Decide: what is stored stays", permissions=["act"])
    def keep_first(self, request: HttpRequest, chosen: QuerySet[InstanceConflict]) -> None:
        """Close the chosen conflicts."""
        count = conflicts.keep_first(actor_of(request), chosen)
        self.message_user(request, f"{count} conflicts are settled; the other files stay aside.")


class _FacilityActionForm(ActionForm):
    """The action's select, with the facility beside it."""

    facility = forms.ModelChoiceField(
        Facility.objects.filter(is_active=True), required=False, empty_label="Choose a facility"
    )


_WHY = {
    "calling-ae": "unknown caller",
    "called-ae": "wrong name for us",
    "address": "outside its networks",
    "inactive": "facility switched off",
}


@admin.register(Knock)
class KnockAdmin(ActionAdmin):
    """Callers that were refused."""

    list_display = (
        "calling_ae_title", "address", "called_ae_title", "why", "count", "last_at", "state",
        "admitted_to",
    )  # fmt: skip
    list_filter = ("state", "reason_code", "last_at")
    search_fields = ("calling_ae_title", "called_ae_title", "=address", "implementation")
    list_select_related = ("admitted_to",)
    exclude = ("proposed",)
    readonly_fields = ("offers",)
    action_form = _FacilityActionForm
    actions = ("admit", "dismiss")

    @admin.display(description="why", ordering="reason_code")
    def why(self, knock: Knock) -> str:
        """Say in two words why it was refused; its page has the whole sentence."""
        return _WHY.get(knock.reason_code, knock.reason_code)

    @admin.display(description="proposed")
    def offers(self, knock: Knock) -> SafeString:
        """List what it proposed, in plain words."""
        return format_html_join("", "{}<br>", ((str(offer),) for offer in knock.proposed))

    @admin.action(description="Admit to the facility chosen beside", permissions=["act"])
    def admit(self, request: HttpRequest, chosen: QuerySet[Knock]) -> None:
        """Make the chosen callers' AE titles the facility's."""
        try:
            facility = Facility.objects.filter(pk=UUID(request.POST.get("facility", ""))).first()
        except ValueError:
            facility = None
        if facility is None:
            self.message_user(request, "Choose the facility beside the action.", messages.ERROR)
            return
        for knock in chosen:
            self._decide(request, knock, facility)

    def _decide(self, request: HttpRequest, knock: Knock, facility: Facility) -> None:
        try:
            facilities.admit_knock(actor_of(request), knock, facility)
        except ArchiveError as error:
            text = f"{knock.calling_ae_title} was not admitted: {error}"
            self.message_user(request, text, messages.ERROR)
            return
        self.message_user(request, f"{knock.calling_ae_title} may send to {facility.name}.")

    @admin.action(description="Dismiss: stays refused, off the list", permissions=["act"])
    def dismiss(self, request: HttpRequest, chosen: QuerySet[Knock]) -> None:
        """Hide the chosen callers."""
        waiting = list(chosen.filter(state=KnockState.OPEN))
        for knock in waiting:
            facilities.dismiss_knock(actor_of(request), knock)
        self.message_user(request, f"{len(waiting)} callers are dismissed.")


@admin.register(Destination)
class DestinationAdmin(ListAdmin):
    """Where we may send."""

    list_display = (
        "ae_title", "host", "port", "uses_tls", "wants_availability", "facility", "last_echo_at",
        "last_echo_is_ok", "last_echo_message",
    )  # fmt: skip
    list_filter = ("uses_tls", "last_echo_is_ok", "facility")
    search_fields = ("ae_title", "host", "facility__name")
    list_select_related = ("facility",)
    autocomplete_fields = ("facility",)
    readonly_fields = ("last_echo_at", "last_echo_is_ok", "last_echo_message", "created_at")
    actions = ("send_echo",)

    def get_readonly_fields(self, request: HttpRequest, obj: Destination | None = None) -> Any:  # noqa: ANN401 - as Django has it
        """Keep the AE title: it is what the archive knows a destination by."""
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "ae_title") if obj is not None else fields

    def save_model(
        self,
        request: HttpRequest,
        obj: Destination,
        form: forms.ModelForm[Destination],
        change: Any,  # noqa: ANN401
    ) -> None:
        """Save by the archive's own service, which checks and audits."""
        saved = destinations.save_destination(
            actor_of(request),
            DestinationDraft(
                ae_title=obj.ae_title,
                host=obj.host,
                port=obj.port,
                uses_tls=obj.uses_tls,
                facility=obj.facility,
                wants_availability=obj.wants_availability,
            ),
        )
        obj.pk = saved.pk

    def delete_model(self, request: HttpRequest, obj: Destination) -> None:
        """Remove by the archive's own service."""
        destinations.remove_destination(actor_of(request), obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        """Remove each by the archive's own service."""
        for destination in queryset:
            destinations.remove_destination(actor_of(request), destination)

    @admin.action(description="Send an echo")
    def send_echo(self, request: HttpRequest, chosen: QuerySet[Destination]) -> None:
        """Have workers call the chosen destinations; the list shows what they found."""
        actor = actor_of(request)
        count = 0
        for destination in chosen:
            destinations.request_echo(actor, destination)
            count += 1
        self.message_user(request, f"{count} echoes are on their way; reload to see the answers.")


@admin.register(CommitmentRequest)
class CommitmentRequestAdmin(ActionAdmin):
    """Storage commitment: who asked, what was found, who has been told."""

    list_display = (
        "requested_at", "ae_title", "facility", "state", "instance_count", "failure_count",
        "attempts", "reported_at", "last_error",
    )  # fmt: skip
    list_filter = ("state", "facility", "requested_at")
    search_fields = ("=ae_title", "=transaction_uid", "=study_instance_uid", "last_error")
    list_select_related = ("facility",)
    exclude = ("references", "failures")
    readonly_fields = ("missing",)
    actions = ("again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CommitmentRequest]:
        """Leave the long lists in the database until a page shows them."""
        return super().get_queryset(request).defer("references", "failures")

    @admin.display(description="not committed, and why")
    def missing(self, request: CommitmentRequest) -> SafeString | str:
        """List the first of what is not safe here, in words."""
        rows = ((uid, _FAILURES.get(reason, hex(reason))) for _, uid, reason in request.failures)
        return format_html_join("", "{}: {}<br>", list(rows)[:100]) or "none"

    @admin.action(description="Check and report again", permissions=["act"])
    def again(self, request: HttpRequest, chosen: QuerySet[CommitmentRequest]) -> None:
        """Queue the chosen requests anew."""
        keys = list(chosen.values_list("pk", flat=True))
        count = commitment.try_again(actor_of(request), keys)
        self.message_user(request, f"{count} requests are checked and reported again.")


_FAILURES = {
    commitment.PROCESSING_FAILURE: "its file is not what was stored",
    commitment.NO_SUCH_INSTANCE: "never received, or deleted",
    commitment.CLASS_CONFLICT: "stored with another SOP class",
}


@admin.register(AvailabilityNotice)
class AvailabilityNoticeAdmin(ActionAdmin):
    """Which destinations have been told of which studies."""

    list_display = (
        "created_at", "destination", "shown_study", "instance_count", "state", "attempts",
        "sent_at", "last_error",
    )  # fmt: skip
    list_filter = ("state", "destination", "created_at")
    search_fields = ("=destination__ae_title", "=study__study_instance_uid", "last_error")
    list_select_related = ("destination",)
    actions = ("again",)

    @admin.display(description="study")
    def shown_study(self, notice: AvailabilityNotice) -> SafeString:
        """Lead to the study's page."""
        return study_link(notice.study_id, "study")

    @admin.action(description="Send those again that were given up", permissions=["act"])
    def again(self, request: HttpRequest, chosen: QuerySet[AvailabilityNotice]) -> None:
        """Queue the chosen notices anew."""
        keys = list(chosen.values_list("pk", flat=True))
        count = availability.try_again(actor_of(request), keys)
        self.message_user(request, f"{count} notices are sent again.")
