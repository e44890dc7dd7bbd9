"""Two indexes of instances go whose columns others begin with: each costs every instance a page."""

import django.db.models.deletion
from django.db import migrations, models

_TABLE = "worklist_dicomimage"
_SERIES = f"{_TABLE}_series_id_bda8d22c"
_FACILITY = f"{_TABLE}_facility_id_e7ebc09c"


class Migration(migrations.Migration):
    dependencies = [("worklist", "0010_undated_studies_sort_last")]

    operations = [
        migrations.SeparateDatabaseAndState(
            # Not by the schema editor: on SQLite it would write every row anew.
            database_operations=[
                migrations.RunSQL(
                    f'DROP INDEX IF EXISTS "{_SERIES}"',
                    f'CREATE INDEX "{_SERIES}" ON "{_TABLE}" ("series_id")',
                ),
                migrations.RunSQL(
                    f'DROP INDEX IF EXISTS "{_FACILITY}"',
                    f'CREATE INDEX "{_FACILITY}" ON "{_TABLE}" ("facility_id")',
                ),
            ],
            state_operations=[
                migrations.AlterField(
                    "dicomimage",
                    "series",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="images",
                        to="worklist.series",
                    ),
                ),
                migrations.AlterField(
                    "dicomimage",
                    "facility",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="worklist.facility",
                    ),
                ),
            ],
        )
    ]
