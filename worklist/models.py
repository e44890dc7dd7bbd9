"""What the archive knows: facility, patient, study, series, instance.

The study row carries what the worklist shows (patient's name, counters, modalities), so that the
list needs no join. Counters are kept by `archive.catalogue` in the transaction that stores.
"""

from __future__ import annotations

import ipaddress
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_noop
from uuid_utils.compat import uuid7

from imaging import aetitle, certificate
from imaging.errors import ImagingError

T = TypeVar("T", bound=models.Model)


class PresentManager(models.Manager[T]):
    """Rows that are not deleted: what every reader gets, also by way of other rows.

    A deleted row stays until its retention period ends (`archive.deletions`); whoever keeps files
    and rows together asks `with_deleted`.
    """

    def get_queryset(self) -> models.QuerySet[T]:
        """Leave out what is deleted."""
        return super().get_queryset().filter(deletion_id=None)


class Modality(models.Model):
    """A kind of equipment by its DICOM code (PS3.3 C.7.3.1.1.1)."""

    code = models.CharField(max_length=16, unique=True)
    name = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = "modalities"
        ordering = ["code"]

    def __str__(self) -> str:
        return f"{self.code} ({self.name})"


class UserIdentity(models.TextChoices):
    """What a facility's equipment must say about the person at it (PS3.7 D.3.3.7)."""

    NOT_ASKED = "", "Not asked"
    NAME = "name", "User name"
    PASSWORD = "password", "User name and password"


class Facility(models.Model):
    """A place that sends studies. Everything it sends stays its own."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=128)
    address_ranges = models.JSONField(
        default=list,
        blank=True,
        help_text='Networks it may call from, such as ["10.1.0.0/16"]. Empty: any address.',
    )
    user_identity = models.CharField(
        "who operates its equipment",
        max_length=16,
        choices=UserIdentity.choices,
        default=UserIdentity.NOT_ASKED,
        blank=True,
        help_text="What its equipment must send with every association. Passwords travel as they "
        "are: ask for them over TLS.",
    )
    requires_tls = models.BooleanField(
        "encrypted calls alone",
        default=False,
        help_text="Its equipment is refused on the port without TLS.",
    )
    is_active = models.BooleanField(default=True)
    is_demo = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "facilities"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Check every address range."""
        if not isinstance(self.address_ranges, list):
            raise ValidationError({"address_ranges": "Write a list of networks."})
        for entry in self.address_ranges:
            try:
                ipaddress.ip_network(str(entry))
            except ValueError as error:
                raise ValidationError(
                    {"address_ranges": f"{entry!r} is no network. Write for example 10.1.0.0/16."}
                ) from error

    def allows_address(self, address: str) -> bool:
        """Whether a caller from `address` may be this facility."""
        if not self.address_ranges:
            return True
        caller = ipaddress.ip_address(address)
        if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped:
            caller = caller.ipv4_mapped
        return any(caller in ipaddress.ip_network(entry) for entry in self.address_ranges)


def validate_ae_title(value: str) -> None:
    """Refuse what PS3.5 6.2 does not allow in an AE title."""
    try:
        aetitle.validate(value)
    except ImagingError as error:
        raise ValidationError(str(error)) from error


class FacilityAE(models.Model):
    """An AE title by which a facility's equipment calls us."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE, related_name="ae_titles")
    ae_title = models.CharField(
        "AE title", max_length=16, unique=True, validators=[validate_ae_title]
    )
    description = models.CharField(max_length=64, blank=True)
    certificate = models.CharField(
        "bound to certificate",
        max_length=255,
        blank=True,
        help_text="SHA-256 fingerprint or subject. Where set, only the holder of that certificate "
        "may call by this AE title. Needs DICOM_TLS_CA.",
    )
    last_certificate = models.CharField(max_length=95, blank=True, editable=False)
    last_association_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_address = models.GenericIPAddressField(null=True, blank=True, editable=False)
    last_echo_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_store_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(max_length=255, blank=True, editable=False)
    last_error_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "AE title"
        ordering = ["ae_title"]

    def __str__(self) -> str:
        return self.ae_title

    def clean(self) -> None:
        """Bring the certificate's name into the form in which it is compared."""
        if self.certificate.strip():
            try:
                self.certificate = certificate.normalise(self.certificate)
            except ImagingError as error:
                raise ValidationError({"certificate": str(error)}) from error


class Patient(models.Model):
    """A person as one facility knows them: identity is (facility, issuer, PatientID)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.PROTECT, related_name="patients")
    patient_id = models.CharField("Patient ID", max_length=64, blank=True, db_index=True)
    issuer_of_patient_id = models.CharField(max_length=64, blank=True)
    patient_name = models.CharField(max_length=324, blank=True)
    patient_birth_date = models.DateField(null=True, blank=True)
    patient_sex = models.CharField(max_length=16, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["facility", "issuer_of_patient_id", "patient_id"],
                # Two people without an ID are not one person: such rows are made per study.
                condition=~models.Q(patient_id=""),
                name="patient_identity",
            )
        ]
        indexes = [
            models.Index(fields=["facility", "patient_id"], name="patient_id_of_facility"),
        ]

    def __str__(self) -> str:
        return f"{self.patient_name or 'no name'} [{self.patient_id or 'no ID'}]"


class StudyStatus(models.TextChoices):
    """Where reading stands."""

    UNREAD = "unread", gettext_noop("Unread")
    OPENED = "opened", gettext_noop("Opened")
    READ = "read", gettext_noop("Read")


class Study(models.Model):
    """One study of one facility, with everything that a list shows."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.PROTECT, related_name="studies")
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="studies")
    study_instance_uid = models.CharField("Study Instance UID", max_length=64)
    study_id = models.CharField("Study ID", max_length=64, blank=True)
    study_date = models.DateField(null=True, blank=True)
    study_time = models.TimeField(null=True, blank=True)
    # A study without a date has `archive.catalogue.UNDATED`; keyset paging needs a value.
    sort_at = models.DateTimeField(editable=False)
    accession_number = models.CharField(max_length=64, blank=True)
    study_description = models.CharField(max_length=255, blank=True)
    referring_physician_name = models.CharField(max_length=324, blank=True)
    patient_name = models.CharField(max_length=324, blank=True)
    patient_name_folded = models.CharField(max_length=324, blank=True, editable=False)
    patient_identifier = models.CharField(max_length=64, blank=True)
    patient_birth_date = models.DateField(null=True, blank=True)
    patient_sex = models.CharField(max_length=16, blank=True)
    patient_age = models.CharField(max_length=8, blank=True)
    body_part_examined = models.CharField(max_length=64, blank=True)
    modality = models.CharField(max_length=16, blank=True, help_text="The one that stands for it.")
    modalities = models.CharField(max_length=128, blank=True, help_text=r"All of them, \CT\SR\.")
    series_count = models.PositiveIntegerField(default=0)
    instance_count = models.PositiveIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(default=0)
    status = models.CharField(
        max_length=16, choices=StudyStatus.choices, default=StudyStatus.UNREAD
    )
    is_demo = models.BooleanField(default=False, editable=False)
    warning = models.CharField(max_length=255, blank=True, help_text="What a reader must know.")
    # What is known to be missing, by `archive.completeness`; null until it has looked.
    completeness = models.JSONField(null=True, blank=True, editable=False)
    # What only queries ask for, as JSON by keyword; null: stored before this was kept.
    attributes = models.TextField(null=True, editable=False)  # noqa: DJ001
    first_received_at = models.DateTimeField(default=timezone.now, editable=False)
    last_received_at = models.DateTimeField(default=timezone.now, editable=False)
    # Names the deletion by which it is hidden; `archive.deletions` sets and clears it.
    deletion_id = models.UUIDField(null=True, editable=False)

    objects = PresentManager["Study"]()
    with_deleted = models.Manager["Study"]()

    class Meta:
        verbose_name_plural = "studies"
        constraints = [
            models.UniqueConstraint(
                fields=["facility", "study_instance_uid"], name="study_identity"
            )
        ]
        indexes = [
            models.Index(fields=["-sort_at", "-id"], name="study_newest"),
            models.Index(fields=["facility", "-sort_at", "-id"], name="study_of_facility"),
            models.Index(
                fields=["facility", "modality", "-sort_at", "-id"], name="study_by_modality"
            ),
            models.Index(
                fields=["-sort_at", "-id"],
                condition=models.Q(status="unread"),
                name="study_unread",
            ),
            models.Index(fields=["-first_received_at"], name="study_received"),
            models.Index(
                fields=["-sort_at", "-id"], condition=~models.Q(warning=""), name="study_warned"
            ),
            models.Index(fields=["study_instance_uid"], name="study_uid"),
            models.Index(fields=["accession_number"], name="study_accession"),
            models.Index(fields=["patient_identifier"], name="study_patient_identifier"),
            models.Index(fields=["patient_name_folded", "id"], name="study_patient_name"),
            models.Index(
                # So ordered that LIKE 'x%' finds its range on PostgreSQL, whatever the collation.
                fields=["facility", "patient_name_folded"],
                opclasses=["uuid_ops", "varchar_pattern_ops"],
                name="study_name_of_facility",
            ),
            models.Index(fields=["patient", "-sort_at"], name="study_of_patient"),
            models.Index(
                fields=["deletion_id"],
                condition=models.Q(deletion_id__isnull=False),
                name="study_deleted",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.modality or 'study'} {self.study_date or ''} {self.study_instance_uid}"

    @property
    def modality_codes(self) -> list[str]:
        """Every modality of the study, in the order of arrival."""
        return [code for code in self.modalities.split("\\") if code]


class Series(models.Model):
    """One series, with what the viewer's strip shows."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="series")
    series_instance_uid = models.CharField("Series Instance UID", max_length=64, db_index=True)
    series_number = models.IntegerField(null=True, blank=True)
    series_description = models.CharField(max_length=255, blank=True)
    modality = models.CharField(max_length=16, blank=True)
    body_part_examined = models.CharField(max_length=64, blank=True)
    laterality = models.CharField(max_length=16, blank=True)
    protocol_name = models.CharField(max_length=64, blank=True)
    series_date = models.DateField(null=True, blank=True)
    series_time = models.TimeField(null=True, blank=True)
    frame_of_reference_uid = models.CharField(max_length=64, blank=True)
    manufacturer = models.CharField(max_length=64, blank=True)
    station_name = models.CharField(max_length=64, blank=True)
    institution_name = models.CharField(max_length=64, blank=True)
    source_ae_title = models.CharField(max_length=16, blank=True)
    instance_count = models.PositiveIntegerField(default=0)
    frame_count = models.PositiveIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(default=0)
    warning = models.CharField(max_length=255, blank=True)
    # The images of the manifest in reading order, zlib-compressed JSON; made by a job and good only
    # while `metadata_instance_count` equals `instance_count`.
    metadata = models.BinaryField(null=True, blank=True, editable=False)
    metadata_instance_count = models.PositiveIntegerField(default=0, editable=False)
    # What only queries ask for, as JSON by keyword; null: stored before this was kept.
    attributes = models.TextField(null=True, editable=False)  # noqa: DJ001
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # Names the deletion by which it is hidden; `archive.deletions` sets and clears it.
    deletion_id = models.UUIDField(null=True, editable=False)

    objects = PresentManager["Series"]()
    with_deleted = models.Manager["Series"]()

    class Meta:
        verbose_name_plural = "series"
        ordering = ["series_number", "id"]
        constraints = [
            models.UniqueConstraint(fields=["study", "series_instance_uid"], name="series_identity")
        ]
        indexes = [
            models.Index(
                fields=["deletion_id"],
                condition=models.Q(deletion_id__isnull=False),
                name="series_deleted",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.modality} {self.series_number or ''} {self.series_description}".strip()


class DicomImage(models.Model):
    """One stored instance: where its bytes lie, and enough to serve a frame with one read."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Looked up by the indexes that begin with them: every index costs each instance a page.
    series = models.ForeignKey(
        Series, on_delete=models.CASCADE, related_name="images", db_index=False
    )
    facility = models.ForeignKey(
        Facility, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    sop_instance_uid = models.CharField("SOP Instance UID", max_length=64)
    sop_class_uid = models.CharField("SOP Class UID", max_length=64)
    transfer_syntax_uid = models.CharField(max_length=64)
    instance_number = models.IntegerField(null=True, blank=True)
    storage_key = models.CharField(max_length=128, unique=True)
    size_bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField("SHA-256", max_length=64, help_text="Of the stored file.")
    # Not written any more, see docs/adr/0019; dropped in a later release.
    data_set_sha256 = models.CharField("SHA-256 of the data set", max_length=64, blank=True)
    data_set_offset = models.PositiveIntegerField(default=0)
    pixel_data_offset = models.PositiveBigIntegerField(null=True, blank=True)
    pixel_data_length = models.PositiveBigIntegerField(null=True, blank=True)
    frame_table = models.BinaryField(null=True, blank=True, editable=False)
    rows = models.PositiveIntegerField(null=True, blank=True)
    columns = models.PositiveIntegerField(null=True, blank=True)
    number_of_frames = models.PositiveIntegerField(default=0)
    samples_per_pixel = models.PositiveSmallIntegerField(null=True, blank=True)
    photometric_interpretation = models.CharField(max_length=16, blank=True)
    planar_configuration = models.PositiveSmallIntegerField(null=True, blank=True)
    bits_allocated = models.PositiveSmallIntegerField(null=True, blank=True)
    bits_stored = models.PositiveSmallIntegerField(null=True, blank=True)
    high_bit = models.PositiveSmallIntegerField(null=True, blank=True)
    pixel_representation = models.PositiveSmallIntegerField(null=True, blank=True)
    has_pixels = models.BooleanField(default=False)
    is_lossy = models.BooleanField(default=False)
    display = models.JSONField(default=dict, blank=True)
    # What only queries ask for, as JSON by keyword; null: stored before this was kept.
    attributes = models.TextField(null=True, editable=False)  # noqa: DJ001
    problem = models.CharField(
        max_length=255, blank=True, help_text="Why it cannot be displayed, in words."
    )
    source_ae_title = models.CharField(max_length=16, blank=True)
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    # Names the deletion by which it is hidden; `archive.deletions` sets and clears it.
    deletion_id = models.UUIDField(null=True, editable=False)

    objects = PresentManager["DicomImage"]()
    with_deleted = models.Manager["DicomImage"]()

    class Meta:
        verbose_name = "DICOM instance"
        constraints = [
            models.UniqueConstraint(
                fields=["facility", "sop_instance_uid"], name="instance_identity"
            )
        ]
        indexes = [
            models.Index(fields=["series", "instance_number"], name="instance_of_series"),
            models.Index(
                fields=["id"],
                condition=models.Q(attributes__isnull=True),
                name="instance_without_attributes",
            ),
            models.Index(fields=["sop_instance_uid"], name="instance_uid"),
            models.Index(
                fields=["deletion_id"],
                condition=models.Q(deletion_id__isnull=False),
                name="instance_deleted",
            ),
        ]

    def __str__(self) -> str:
        return self.sop_instance_uid

    @property
    def digest(self) -> str:
        """The first 16 digits of the content's SHA-256: what immutable URLs carry."""
        return self.sha256[:16]

    def value(self, keyword: str) -> Any:  # noqa: ANN401 - a DICOM value has the type of its VR
        """Return a display attribute by its DICOM keyword, or None."""
        return self.display.get(keyword)
