"""What was asked for, what was planned for it, and what was done.

Rows of a facility go with it (CASCADE): facilities are switched off, never removed, but for demos.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7

from worklist.models import Facility, Patient, Study, validate_ae_title


class OrderStatus(models.TextChoices):
    """How far an order is."""

    SCHEDULED = "scheduled", gettext_noop("Scheduled")
    IN_PROGRESS = "in_progress", gettext_noop("In progress")
    COMPLETED = "completed", gettext_noop("Completed")
    DISCONTINUED = "discontinued", gettext_noop("Discontinued")
    CANCELLED = "cancelled", gettext_noop("Cancelled")


OPEN_ORDERS = (OrderStatus.SCHEDULED, OrderStatus.IN_PROGRESS)


class Order(models.Model):
    """An imaging service request with one requested procedure (PS3.3 C.4.11, C.4.12)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE, related_name="orders")
    patient = models.ForeignKey(
        Patient, null=True, blank=True, on_delete=models.SET_NULL, related_name="orders"
    )
    patient_name = models.CharField(max_length=324, blank=True)
    patient_name_folded = models.CharField(max_length=324, blank=True, editable=False)
    patient_identifier = models.CharField("Patient ID", max_length=64, blank=True)
    issuer_of_patient_id = models.CharField(max_length=64, blank=True)
    patient_birth_date = models.DateField(null=True, blank=True)
    patient_sex = models.CharField(max_length=16, blank=True)
    accession_number = models.CharField(max_length=16, blank=True)
    order_type = models.CharField(max_length=32, default="IMAGING")
    order_category = models.CharField(max_length=16, blank=True, help_text="Modality, such as CT.")
    description = models.CharField(max_length=64, blank=True)
    status = models.CharField(
        max_length=16, choices=OrderStatus.choices, default=OrderStatus.SCHEDULED
    )
    priority = models.CharField(max_length=16, blank=True)
    reason = models.CharField(max_length=64, blank=True, help_text="Why it was asked for.")
    requesting_physician = models.CharField(max_length=324, blank=True)
    referring_physician_name = models.CharField(max_length=324, blank=True)
    requested_procedure_id = models.CharField(max_length=16, blank=True)
    study_instance_uid = models.CharField("Study Instance UID", max_length=64)
    # DICOM JSON of whatever else the worklist item carries; the columns win over it.
    attributes = models.JSONField(default=dict, blank=True, editable=False)
    source = models.CharField(max_length=64, blank=True, help_text="Who brought it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["facility", "study_instance_uid"], name="order_identity"
            )
        ]
        indexes = [
            models.Index(fields=["facility", "-id"], name="order_newest"),
            models.Index(fields=["facility", "accession_number"], name="order_accession"),
            models.Index(fields=["facility", "patient_identifier"], name="order_of_patient"),
        ]

    def __str__(self) -> str:
        return f"{self.accession_number or self.id} {self.description}".strip()

    @property
    def is_open(self) -> bool:
        """Whether anything is still to be done."""
        return self.status in OPEN_ORDERS


class AccessionCounter(models.Model):
    """The last accession number of a year."""

    year = models.PositiveSmallIntegerField(primary_key=True)
    last = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.year}: {self.last}"


class StepStatus(models.TextChoices):
    """Scheduled Procedure Step Status (0040,0020), PS3.3 C.4.10."""

    SCHEDULED = "SCHEDULED", gettext_noop("Scheduled")
    ARRIVED = "ARRIVED", gettext_noop("Arrived")
    READY = "READY", gettext_noop("Ready")
    STARTED = "STARTED", gettext_noop("Started")
    COMPLETED = "COMPLETED", gettext_noop("Completed")
    DISCONTINUED = "DISCONTINUED", gettext_noop("Discontinued")
    CANCELLED = "CANCELLED", gettext_noop("Cancelled")


OPEN_STEPS = (StepStatus.SCHEDULED, StepStatus.ARRIVED, StepStatus.READY, StepStatus.STARTED)


class ScheduledStep(models.Model):
    """A step that equipment is to perform: one item of the Modality Worklist (PS3.3 C.4.10)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="steps")
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE, related_name="+")
    scheduled_procedure_step_id = models.CharField("Step ID", max_length=16)
    modality = models.CharField(max_length=16)
    scheduled_station_ae_title = models.CharField(
        "station AE title", max_length=16, blank=True, validators=[validate_ae_title]
    )
    scheduled_station_name = models.CharField("station name", max_length=16, blank=True)
    # Wall clock of the facility, as modalities show and ask it: a DICOM date and time has no zone.
    start_date = models.DateField()
    start_time = models.TimeField(null=True, blank=True)
    scheduled_performing_physician_name = models.CharField(
        "performing physician", max_length=324, blank=True
    )
    description = models.CharField(max_length=64, blank=True)
    location = models.CharField(max_length=16, blank=True)
    status = models.CharField(
        max_length=16, choices=StepStatus.choices, default=StepStatus.SCHEDULED
    )
    # DICOM JSON of the item's other attributes, such as protocol codes.
    attributes = models.JSONField(default=dict, blank=True, editable=False)

    class Meta:
        verbose_name = "scheduled procedure step"
        ordering = ["start_date", "start_time", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["order", "scheduled_procedure_step_id"], name="scheduled_step_identity"
            )
        ]
        indexes = [
            models.Index(fields=["facility", "start_date", "modality"], name="scheduled_step_next")
        ]

    def __str__(self) -> str:
        return f"{self.modality} {self.scheduled_procedure_step_id} {self.start_date}"


class PerformedStatus(models.TextChoices):
    """Performed Procedure Step Status (0040,0252), PS3.3 C.4.14."""

    IN_PROGRESS = "IN PROGRESS", gettext_noop("In progress")
    COMPLETED = "COMPLETED", gettext_noop("Completed")
    DISCONTINUED = "DISCONTINUED", gettext_noop("Discontinued")


class PerformedStep(models.Model):
    """A Modality Performed Procedure Step: what equipment says that it does (PS3.4 annex F)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE, related_name="+")
    sop_instance_uid = models.CharField("SOP Instance UID", max_length=64)
    status = models.CharField(max_length=16, choices=PerformedStatus.choices)
    performed_procedure_step_id = models.CharField("step ID", max_length=16, blank=True)
    performed_station_ae_title = models.CharField("station AE title", max_length=16, blank=True)
    modality = models.CharField(max_length=16, blank=True)
    study_instance_uid = models.CharField("Study Instance UID", max_length=64, db_index=True)
    order = models.ForeignKey(
        Order, null=True, blank=True, on_delete=models.SET_NULL, related_name="performed"
    )
    steps = models.ManyToManyField(ScheduledStep, blank=True, related_name="performed")
    # The whole object as DICOM JSON (PS3.18 F).
    attributes = models.JSONField(default=dict, editable=False)
    # [Series Instance UID, SOP Class UID, SOP Instance UID] of each instance that it names.
    references = models.JSONField(default=list, editable=False)
    source_ae_title = models.CharField("sent by", max_length=16, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "performed procedure step"
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["facility", "sop_instance_uid"], name="performed_step_identity"
            )
        ]

    def __str__(self) -> str:
        return f"{self.modality} {self.performed_procedure_step_id} ({self.get_status_display()})"


class MatchState(models.TextChoices):
    """Whether a study belongs to an order."""

    SUGGESTED = "suggested", "Suggested"
    LINKED = "linked", "Linked"
    REJECTED = "rejected", "Rejected"


class StudyMatch(models.Model):
    """A study that fulfils an order, surely or perhaps."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="matches")
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="order_matches")
    state = models.CharField(max_length=16, choices=MatchState.choices)
    how = models.CharField(max_length=64, help_text="What they have in common.")
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "study matches"
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["order", "study"], name="match_once"),
            # A study fulfils one order; two deciders at once cannot give it two.
            models.UniqueConstraint(
                fields=["study"], condition=models.Q(state="linked"), name="match_linked_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_id} {self.study_id} ({self.state})"


class WorkitemState(models.TextChoices):
    """Procedure Step State (0074,1000), PS3.3 C.30.1."""

    SCHEDULED = "SCHEDULED", gettext_noop("Scheduled")
    IN_PROGRESS = "IN PROGRESS", gettext_noop("In progress")
    COMPLETED = "COMPLETED", gettext_noop("Completed")
    CANCELED = "CANCELED", gettext_noop("Cancelled")


OPEN_WORKITEMS = (WorkitemState.SCHEDULED, WorkitemState.IN_PROGRESS)


class Workitem(models.Model):
    """A Unified Procedure Step: something that a person or a program is to do (PS3.4 annex CC)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE, related_name="+")
    sop_instance_uid = models.CharField("SOP Instance UID", max_length=64)
    state = models.CharField(
        max_length=16, choices=WorkitemState.choices, default=WorkitemState.SCHEDULED
    )
    # The lock: whoever knows it performs the step. Never shown.
    transaction_uid = models.CharField(max_length=64, blank=True, editable=False)
    # The whole object as DICOM JSON (PS3.18 F), without the Transaction UID; columns follow it.
    attributes = models.JSONField(default=dict, editable=False)
    label = models.CharField(max_length=64)
    worklist_label = models.CharField(max_length=64, blank=True)
    priority = models.CharField(max_length=16)
    readiness = models.CharField(max_length=16)
    # Digits of a DICOM date and time, which sort as they are: its wall clock, without an offset.
    start = models.CharField(max_length=26)
    patient_name = models.CharField(max_length=324, blank=True)
    patient_name_folded = models.CharField(max_length=324, blank=True, editable=False)
    patient_identifier = models.CharField("Patient ID", max_length=64, blank=True)
    study_instance_uid = models.CharField("Study Instance UID", max_length=64, blank=True)
    progress = models.FloatField(null=True, blank=True, help_text="Percent.")
    performer = models.CharField("performed by", max_length=150, blank=True)
    # Set where the claim was made on the page: that person goes on there.
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    claimed_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    # Who asked for an end while it was in progress, and why.
    cancel_requested_by = models.CharField(max_length=150, blank=True)
    cancel_reason = models.CharField(max_length=1024, blank=True)
    created_by = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "work item"
        ordering = ["start", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["facility", "sop_instance_uid"], name="workitem_identity"
            )
        ]
        indexes = [
            models.Index(fields=["facility", "state", "start", "id"], name="workitem_next"),
            models.Index(fields=["start", "id"], name="workitem_order"),
            models.Index(fields=["sop_instance_uid"], name="workitem_uid"),
            models.Index(fields=["state", "ended_at"], name="workitem_ended"),
            models.Index(fields=["patient_identifier"], name="workitem_patient"),
            models.Index(fields=["study_instance_uid"], name="workitem_study"),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.get_state_display()})"

    @property
    def is_open(self) -> bool:
        """Whether anything is still to be done."""
        return self.state in OPEN_WORKITEMS


class WorkitemSubscription(models.Model):
    """Somebody who is told what becomes of one work item (PS3.4 CC.2.3).

    AE titles are an account's own: two accounts with the same title hear each of their own
    subscriptions alone.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workitem = models.ForeignKey(Workitem, on_delete=models.CASCADE, related_name="subscriptions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    ae_title = models.CharField("AE title", max_length=16)
    has_lock = models.BooleanField("deletion lock", default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workitem", "user", "ae_title"], name="workitem_subscription_once"
            )
        ]
        indexes = [models.Index(fields=["user", "ae_title"], name="workitem_subscriber")]

    def __str__(self) -> str:
        return f"{self.ae_title} {self.workitem_id}"


class WorklistSubscription(models.Model):
    """Somebody who is subscribed to every new work item, or to those that match a filter."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    ae_title = models.CharField("AE title", max_length=16)
    has_lock = models.BooleanField("deletion lock", default=False)
    is_filtered = models.BooleanField(default=False)
    # DICOM JSON of the matching keys.
    filter = models.JSONField(default=dict, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "ae_title", "is_filtered"], name="worklist_subscription_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.ae_title} {'filtered' if self.is_filtered else 'all'}"
