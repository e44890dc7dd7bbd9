"""Rows that the archive keeps about its own work."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7

from archive.analysis_rows import (
    AnalysisRun,
    AnalysisService,
    AnalysisState,
    FindingDecision,
    FindingGraphic,
    MachineFinding,
    RemoteProgram,
)
from archive.care_rows import (
    Alert,
    AlertLevel,
    AuditShipment,
    Chore,
    ChoreKind,
    FacilityUsage,
    Volume,
    VolumeSample,
)
from archive.forwarding_rows import ForwardRule, StudyRule, Transmission, TransmissionState
from archive.integrity_rows import (
    Damage,
    DamageKind,
    Deletion,
    DeletionLevel,
    DeletionState,
    PatientLink,
    Sweep,
)
from archive.link_rows import LinkOutcome, LinkPurpose, LinkUse, SharedLink
from archive.reconstruction_rows import (
    ReconstructionJob,
    ReconstructionOutput,
    ReconstructionState,
)
from archive.report_rows import (
    AvailabilityNotice,
    CommitmentRequest,
    CommitmentState,
    NoticeState,
)
from archive.upload_rows import ResumableUpload, UploadAction, UploadLog, UploadState
from worklist.models import DicomImage, Facility, validate_ae_title

__all__ = [
    "Alert", "AlertLevel", "AnalysisRun", "AnalysisService", "AnalysisState", "AuditEvent",
    "AuditShipment", "AvailabilityNotice", "Chore", "ChoreKind", "CommitmentRequest",
    "CommitmentState", "Damage", "DamageKind", "Deletion", "DeletionLevel", "DeletionState",
    "Destination", "FacilityUsage", "FindingDecision", "FindingGraphic", "ForwardRule", "Heartbeat",
    "InstanceConflict", "Job", "JobState", "Knock", "KnockState", "LinkOutcome", "LinkPurpose",
    "LinkUse", "MachineFinding", "NoticeState", "OutboxEvent", "PatientLink", "ReconstructionJob",
    "ReconstructionOutput", "ReconstructionState", "RemoteProgram", "ResumableUpload",
    "SharedLink", "StudyRule", "Sweep", "Transmission", "TransmissionState", "UploadAction",
    "UploadLog", "UploadState", "Volume", "VolumeSample",
]  # fmt: skip


class AuditEvent(models.Model):
    """Who did what to which patient data, when, from where, and whether it was allowed.

    User and facility are names of what was there then, not references that follow: an event stays
    as it was written when they are removed, or its seal would not match any more.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    actor = models.CharField(max_length=150, help_text="User name, AE title or process.")
    address = models.GenericIPAddressField(null=True, blank=True)
    verb = models.CharField(max_length=48, db_index=True)
    target_kind = models.CharField(max_length=32, blank=True)
    target_id = models.CharField(max_length=64, blank=True, db_index=True)
    facility = models.ForeignKey(
        Facility,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    is_success = models.BooleanField(default=True)
    detail = models.JSONField(default=dict, blank=True)
    # Null until `archive.seals` has taken it into the chain, seconds later.
    seal_number = models.BigIntegerField(null=True, editable=False, db_index=True)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.verb} {self.target_id}"


class SigningKey(models.Model):
    """The public half of a key that this archive signs with, or has signed with."""

    id = models.CharField(primary_key=True, max_length=16, help_text="From the key itself.")
    public_key = models.CharField(max_length=44, help_text="32 bytes (RFC 8032) in Base64.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.id


class AuditSeal(models.Model):
    """A link of the chain over the audit trail: some events, the seal before, a signature."""

    number = models.BigIntegerField(primary_key=True, help_text="1, 2, 3 … without a gap.")
    sealed_at = models.DateTimeField(default=timezone.now)
    event_count = models.PositiveIntegerField()
    entries = models.BinaryField(help_text="For each event its id and half of its SHA-256.")
    previous_head = models.CharField(max_length=64)
    head = models.CharField(max_length=64, help_text="SHA-256 of everything above.")
    signing_key = models.ForeignKey(SigningKey, on_delete=models.PROTECT, related_name="+")
    signature = models.CharField(max_length=88, help_text="Ed25519 of the head, in Base64.")

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return f"{self.number} {self.head}"


class OutboxEvent(models.Model):
    """Something that happened, written in the transaction in which it happened."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=48)
    payload = models.JSONField(default=dict)
    # The request or association that it happened in; see `archive.correlation`.
    origin = models.JSONField(null=True, blank=True, editable=False)
    # Nobody asks for a facility's events but its removal, and none is kept for long.
    facility = models.ForeignKey(
        Facility,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    # Set by the runner when the event's jobs are queued.
    dispatched_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["id"], condition=models.Q(dispatched_at=None), name="outbox_undispatched"
            )
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.kind}"


class JobState(models.TextChoices):
    """Life of a job."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class Job(models.Model):
    """Work for later. Claimed by a conditional UPDATE, so any number of runners may share it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=48)
    # One queued job per kind and key: asking again while one waits asks for the same work.
    key = models.CharField(max_length=128)
    payload = models.JSONField(default=dict)
    # The request or association that it follows from; see `archive.correlation`.
    origin = models.JSONField(null=True, blank=True, editable=False)
    state = models.CharField(max_length=8, choices=JobState.choices, default=JobState.QUEUED)
    run_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_by = models.CharField(max_length=64, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "key"], condition=models.Q(state="queued"), name="job_queued_once"
            )
        ]
        indexes = [
            models.Index(fields=["run_at"], condition=models.Q(state="queued"), name="job_next"),
            models.Index(fields=["state", "claimed_at"], name="job_stale"),
        ]
        ordering = ["run_at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.key} ({self.state})"


class InstanceConflict(models.Model):
    """The same SOP Instance UID with other content: kept aside until a person decides."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.PROTECT, related_name="conflicts")
    kept = models.ForeignKey(DicomImage, on_delete=models.CASCADE, related_name="conflicts")
    sop_instance_uid = models.CharField(max_length=64, db_index=True)
    storage_key = models.CharField(max_length=160, unique=True)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    source = models.CharField(max_length=150, blank=True)
    reason = models.CharField(max_length=255, blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True, blank=True)
    # Which of the two was kept: "first" or "new"; after "new" this row names the first one's file.
    decision = models.CharField(
        max_length=8, blank=True, choices=[("first", "First"), ("new", "New")]
    )
    decided_by = models.CharField(max_length=150, blank=True)
    decision_reason = models.CharField(max_length=255, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["facility", "sop_instance_uid", "sha256"], name="conflict_once"
            )
        ]
        ordering = ["-received_at"]

    def __str__(self) -> str:
        return f"conflict on {self.sop_instance_uid}"


class KnockState(models.TextChoices):
    """What was decided about a caller."""

    OPEN = "open", gettext_noop("Waiting")
    ADMITTED = "admitted", gettext_noop("Admitted")
    DISMISSED = "dismissed", gettext_noop("Dismissed")


class Knock(models.Model):
    """A caller that was refused, with what it wanted: for an administrator to admit or dismiss."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    calling_ae_title = models.CharField(max_length=64)
    called_ae_title = models.CharField(max_length=64)
    address = models.GenericIPAddressField()
    reason = models.CharField(max_length=255, help_text="Why it was refused, and the way on.")
    reason_code = models.CharField(max_length=32)
    proposed = models.JSONField(default=list, help_text="What it proposed, in plain words.")
    implementation = models.CharField(max_length=64, blank=True)
    certificate = models.CharField(
        max_length=95, blank=True, help_text="SHA-256 fingerprint of what it presented."
    )
    count = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=16, choices=KnockState.choices, default=KnockState.OPEN)
    admitted_to = models.ForeignKey(
        Facility, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["calling_ae_title", "called_ae_title", "address", "reason_code"],
                name="knock_once",
            )
        ]
        ordering = ["-last_at"]

    def __str__(self) -> str:
        return f"{self.calling_ae_title} from {self.address}"


class Destination(models.Model):
    """An AE that we may send to (C-MOVE, forwarding, echo)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    ae_title = models.CharField(
        "AE title", max_length=16, unique=True, validators=[validate_ae_title]
    )
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField()
    uses_tls = models.BooleanField(default=False)
    wants_availability = models.BooleanField(
        default=False,
        help_text="Told of each study that has come whole (Instance Availability Notification).",
    )
    facility = models.ForeignKey(
        Facility, null=True, blank=True, on_delete=models.SET_NULL, related_name="destinations"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_echo_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_echo_is_ok = models.BooleanField(default=False, editable=False)
    last_echo_message = models.CharField(
        max_length=255, blank=True, editable=False, help_text="What the last echo found, in words."
    )

    class Meta:
        ordering = ["ae_title"]

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}"


class Heartbeat(models.Model):
    """When a background process last said that it works."""

    name = models.CharField(primary_key=True, max_length=96, help_text="Kind, host and process.")
    kind = models.CharField(max_length=16, db_index=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["kind", "name"]

    def __str__(self) -> str:
        return f"{self.name} at {self.at:%H:%M:%S}"
