"""The log of uploads and deletions."""

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("archive", "0010_audit_seals"),
        ("worklist", "0011_indexes_that_others_cover"),
    ]

    operations = [
        migrations.CreateModel(
            name="UploadLog",
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
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("actor", models.CharField(max_length=150)),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("uploaded", "Uploaded"),
                            ("duplicate", "Sent again"),
                            ("conflict", "Kept aside"),
                            ("failed", "Refused"),
                            ("skipped", "Passed over"),
                            ("deleted", "Deleted"),
                            ("restored", "Restored"),
                            ("destroyed", "Destroyed"),
                        ],
                        max_length=16,
                    ),
                ),
                ("filename", models.CharField(blank=True, max_length=255)),
                (
                    "study_instance_uid",
                    models.CharField(
                        blank=True, max_length=64, verbose_name="Study Instance UID"
                    ),
                ),
                (
                    "sop_instance_uid",
                    models.CharField(blank=True, max_length=64, verbose_name="SOP Instance UID"),
                ),
                ("instance_count", models.PositiveIntegerField(default=0)),
                ("reason", models.CharField(blank=True, max_length=255)),
                (
                    "facility",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="worklist.facility",
                    ),
                ),
            ],
            options={
                "db_table": "upload_logs",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["facility", "-id"], name="upload_log_newest"),
                    models.Index(fields=["study_instance_uid"], name="upload_log_study"),
                ],
            },
        ),
    ]
