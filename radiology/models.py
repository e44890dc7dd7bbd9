"""What was handed in for which order and how far it is, and the archive by the names used there.

Studies, series and images are the archive's own rows under other names: there is one copy of them.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn, TypeVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from archive.errors import ConflictError
from orders.models import Order
from worklist.models import DicomImage, Facility, Patient, PresentManager, Series, Study

T = TypeVar("T", bound=models.Model)

_LONGEST_PART = 100


class ImmutableError(ConflictError):
    """What was stored does not change."""

    def __init__(self) -> None:
        super().__init__(
            "Stored images never change. Send another image with an identity of its own."
        )


class ReadOnlyQuerySet(models.QuerySet[T]):
    """Rows that are read here and written nowhere."""

    def _refuse(self, *_args: object, **_options: object) -> NoReturn:
        raise ImmutableError

    create = get_or_create = update_or_create = _refuse
    update = delete = bulk_create = bulk_update = _refuse


class ReadOnlyManager(PresentManager[T]):
    """Rows that are not deleted, for reading alone."""

    def get_queryset(self) -> ReadOnlyQuerySet[T]:
        """Leave out what is deleted."""
        rows: ReadOnlyQuerySet[T] = ReadOnlyQuerySet(self.model, using=self._db)
        return rows.filter(deletion_id=None)


class _ReadOnly(models.Model):
    """A row of the archive under another name: `archive.ingest` alone makes them."""

    class Meta:
        abstract = True

    def save(self, *_args: object, **_options: object) -> NoReturn:
        """Refuse."""
        raise ImmutableError

    def delete(self, *_args: object, **_options: object) -> NoReturn:
        """Refuse; `archive.deletions` hides what has to go."""
        raise ImmutableError


class RadiologyStudy(_ReadOnly, Study):
    """A stored study: images grouped by what was asked for."""

    # Another manager than the row's own, of which the checker knows no way to tell.
    objects = ReadOnlyManager["RadiologyStudy"]()  # type: ignore[misc]

    class Meta:
        proxy = True
        verbose_name_plural = "radiology studies"

    def __str__(self) -> str:
        return self.study_uid

    @property
    def study_uid(self) -> str:
        """Its Study Instance UID."""
        return self.study_instance_uid


class RadiologySeries(_ReadOnly, Series):
    """A stored series."""

    # Another manager than the row's own, of which the checker knows no way to tell.
    objects = ReadOnlyManager["RadiologySeries"]()  # type: ignore[misc]

    class Meta:
        proxy = True
        verbose_name_plural = "radiology series"

    def __str__(self) -> str:
        return self.series_uid

    @property
    def series_uid(self) -> str:
        """Its Series Instance UID."""
        return self.series_instance_uid


class RadiologyImage(_ReadOnly, DicomImage):
    """A stored image. It does not change once it is there."""

    # Another manager than the row's own, of which the checker knows no way to tell.
    objects = ReadOnlyManager["RadiologyImage"]()  # type: ignore[misc]

    class Meta:
        proxy = True
        verbose_name = "radiology image"

    def __str__(self) -> str:
        return self.image_uid

    @property
    def image_uid(self) -> str:
        """Its SOP Instance UID."""
        return self.sop_instance_uid

    @property
    def file_key(self) -> str:
        """Its name for programs; where its bytes lie is `storage_key`."""
        series = self.series
        return file_key(
            series.study.study_instance_uid,
            series.series_instance_uid,
            self.sop_instance_uid,
            f"{self.sop_instance_uid}.dcm",
        )


def file_key(study_uid: str, series_uid: str, image_uid: str, filename: str) -> str:
    """Return the logical key of an image; the file's name is made harmless in it.

    Examples
    --------
    >>> file_key("1.2", "1.2.3", "1.2.3.4", "../chest PA.dcm")
    'radiology/1.2/1.2.3/1.2.3.4/chest_PA.dcm'
    """
    last = filename.replace("\\", "/").rpartition("/")[2]
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", last).strip("._")
    return f"radiology/{study_uid}/{series_uid}/{image_uid}/{safe[-_LONGEST_PART:] or 'image'}"


class Visit(models.Model):
    """A stay or an appointment, by the name that the patient's record has for it.

    The record itself is another system's: no more is kept than what orders are put together by.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE, related_name="+")
    patient = models.ForeignKey(
        Patient, null=True, blank=True, on_delete=models.SET_NULL, related_name="visits"
    )
    # Admission ID (0038,0010), PS3.3 C.3.3.
    identifier = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["facility", "identifier"], name="visit_identity")
        ]

    def __str__(self) -> str:
        return self.identifier


class Consultation(models.Model):
    """A conversation of a visit from which orders came, by the patient record's name for it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    visit = models.ForeignKey(Visit, on_delete=models.CASCADE, related_name="consultations")
    identifier = models.CharField(max_length=64)
    orders = models.ManyToManyField(Order, blank=True, related_name="consultations")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["visit", "identifier"], name="consultation_identity")
        ]

    def __str__(self) -> str:
        return self.identifier


class OfflineState(models.TextChoices):
    """How far an image is; it only goes on."""

    METADATA_UPLOADED = "METADATA_UPLOADED", "Announced"
    BINARY_UPLOADED = "BINARY_UPLOADED", "Stored"
    ACK_RECEIVED = "ACK_RECEIVED", "Acknowledged"


class OfflineImage(models.Model):
    """An image as its sender announced it, and what became of it.

    What was announced never changes: services move the state on, and nothing else is written.
    """

    image_uuid = models.UUIDField(primary_key=True, help_text="Its sender's name for it.")
    facility = models.ForeignKey(Facility, on_delete=models.CASCADE, related_name="+")
    order = models.ForeignKey(
        Order, null=True, on_delete=models.SET_NULL, related_name="offline_images"
    )
    consultation = models.ForeignKey(
        Consultation, null=True, on_delete=models.SET_NULL, related_name="offline_images"
    )
    filename = models.CharField(max_length=255)
    file_size = models.PositiveBigIntegerField(help_text="Bytes.")
    mime_type = models.CharField(max_length=32)
    checksum = models.CharField(max_length=64, help_text="SHA-256 of the file as it was sent.")
    study_uid = models.CharField("Study Instance UID", max_length=64, db_index=True)
    series_uid = models.CharField("Series Instance UID", max_length=64)
    image_uid = models.CharField("SOP Instance UID", max_length=64)
    image_metadata = models.JSONField(default=dict)
    is_deidentified = models.BooleanField(
        default=False, help_text="Nothing was stored, nor is here, that says whose it is."
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    sent_by = models.CharField(max_length=150, help_text="Kept when the account goes.")
    state = models.CharField(
        max_length=20, choices=OfflineState.choices, default=OfflineState.METADATA_UPLOADED
    )
    image = models.ForeignKey(
        DicomImage, null=True, on_delete=models.SET_NULL, related_name="offline_images"
    )
    stored_sha256 = models.CharField(
        "SHA-256 of the stored file", max_length=64, blank=True, help_text="When it was stored."
    )
    announced_at = models.DateTimeField(default=timezone.now)
    stored_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    receipt = models.JSONField(null=True, help_text="Signed; see verify_receipt.")

    class Meta:
        ordering = ["-announced_at"]
        indexes = [
            models.Index(fields=["facility", "image_uid"], name="offline_image_uid"),
            models.Index(fields=["state", "announced_at"], name="offline_state"),
        ]

    def __str__(self) -> str:
        return f"{self.image_uuid} ({self.get_state_display()})"

    def save(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as Django has them
        """Write a new row; one that is there does not change.

        Raises
        ------
        ImmutableError
        """
        if not self._state.adding:
            raise ImmutableError
        super().save(*args, **options)

    @property
    def file_key(self) -> str:
        """Its name for programs, from what was announced."""
        return file_key(self.study_uid, self.series_uid, self.image_uid, self.filename)
