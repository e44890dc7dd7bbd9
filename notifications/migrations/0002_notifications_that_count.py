"""One notification may tell of several things of a kind."""

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

_KINDS = [
    ("study.new", "New study"),
    ("study.conflict", "Conflicting image"),
    ("study.warning", "Study warning"),
    ("caller.refused", "Refused caller"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("notifications", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            "notification",
            "count",
            models.PositiveIntegerField(
                default=1, editable=False, help_text="Of how many it tells."
            ),
        ),
        migrations.AddField("notification", "since", models.DateTimeField(null=True, editable=False)),
        migrations.AddField(
            "notification",
            "last_at",
            models.DateTimeField(default=django.utils.timezone.now, editable=False),
        ),
        migrations.AlterModelOptions("notification", {"ordering": ["-last_at", "-id"]}),
        migrations.RemoveIndex("notification", "notification_newest"),
        migrations.AddIndex(
            "notification",
            models.Index(fields=["user", "-last_at", "-id"], name="notification_latest"),
        ),
        migrations.CreateModel(
            "NotificationPart",
            [
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("kind", models.CharField(choices=_KINDS, max_length=32)),
                ("key", models.CharField(max_length=128)),
                (
                    "notification",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="parts",
                        to="notifications.notification",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("kind", "key", "user"), name="notification_part_once"
                    )
                ],
            },
        ),
    ]
