"""Segments that people draw, kept until they are stored as DICOM."""

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("dicom_viewer", "0006_reconstructions_moved"),
        ("worklist", "0011_indexes_that_others_cover"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="storedresult",
            name="kind",
            field=models.CharField(
                choices=[
                    ("sr", "Structured report"),
                    ("gsps", "Presentation state"),
                    ("ko", "Key images"),
                    ("seg", "Segmentation"),
                ],
                max_length=8,
            ),
        ),
        migrations.CreateModel(
            name="SegmentationDraft",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "head",
                    models.JSONField(
                        help_text="Its segments, and which runs belong to which frame."
                    ),
                ),
                ("runs", models.BinaryField(help_text="Masks as runs, compressed.")),
                ("version", models.PositiveIntegerField(default=1)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "updated_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "series",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="segmentation_drafts",
                        to="worklist.series",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="segmentation_drafts",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-updated_at"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("series", "user"), name="segmentation_draft_once"
                    )
                ],
            },
        ),
    ]
