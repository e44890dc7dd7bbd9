"""Attributes that only queries ask for; prefixes of names by index on PostgreSQL too."""

from django.db import migrations, models

_INDEX = "study_name_prefix"


def add_pattern_index(apps, schema_editor):
    # Any collation but C keeps LIKE 'x%' from an ordinary index; SQLite compares bytes anyway.
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE INDEX {_INDEX} ON worklist_study (patient_name_folded varchar_pattern_ops)"
        )


def drop_pattern_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX IF EXISTS {_INDEX}")


class Migration(migrations.Migration):
    dependencies = [("worklist", "0005_user_identity")]

    operations = [
        migrations.AddField(
            "study", "attributes", models.TextField(null=True, editable=False)
        ),
        migrations.AddField(
            "series", "attributes", models.TextField(null=True, editable=False)
        ),
        migrations.AddField(
            "dicomimage", "attributes", models.TextField(null=True, editable=False)
        ),
        migrations.RunPython(add_pattern_index, drop_pattern_index),
    ]
