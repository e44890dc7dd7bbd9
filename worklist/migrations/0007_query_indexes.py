"""Names and Patient IDs of one facility by index: a caller's query asks for no others."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("worklist", "0006_query_attributes")]

    operations = [
        migrations.AddIndex(
            "study",
            models.Index(
                fields=["facility", "patient_name_folded"],
                opclasses=["uuid_ops", "varchar_pattern_ops"],
                name="study_name_of_facility",
            ),
        ),
        migrations.AddIndex(
            "patient",
            models.Index(fields=["facility", "patient_id"], name="patient_id_of_facility"),
        ),
        migrations.AddIndex(
            "dicomimage",
            models.Index(
                fields=["id"],
                condition=models.Q(attributes__isnull=True),
                name="instance_without_attributes",
            ),
        ),
    ]
