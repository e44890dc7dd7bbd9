"""The index of events by facility goes: nothing but a facility's removal looks them up so."""

import django.db.models.deletion
from django.db import migrations, models

_TABLE = "archive_outboxevent"
_FACILITY = f"{_TABLE}_facility_id_5fbc7523"


class Migration(migrations.Migration):
    dependencies = [("archive", "0008_commitment_by_web")]

    operations = [
        migrations.SeparateDatabaseAndState(
            # Not by the schema editor: on SQLite it would write every row anew.
            database_operations=[
                migrations.RunSQL(
                    f'DROP INDEX IF EXISTS "{_FACILITY}"',
                    f'CREATE INDEX "{_FACILITY}" ON "{_TABLE}" ("facility_id")',
                )
            ],
            state_operations=[
                migrations.AlterField(
                    "outboxevent",
                    "facility",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="worklist.facility",
                    ),
                )
            ],
        )
    ]
