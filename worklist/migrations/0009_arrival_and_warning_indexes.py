"""Lists of what came since a moment, and of what has a warning."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("worklist", "0008_callers_certificates")]

    operations = [
        migrations.AddIndex(
            "study", models.Index(fields=["-first_received_at"], name="study_received")
        ),
        migrations.AddIndex(
            "study",
            models.Index(
                fields=["-sort_at", "-id"], condition=~models.Q(warning=""), name="study_warned"
            ),
        ),
    ]
