"""Studies without a date stood where they had arrived; now they stand behind the dated ones."""

from datetime import UTC, datetime

from django.db import migrations

_UNDATED = datetime(1, 1, 2, tzinfo=UTC)
_BATCH = 5000


def move(apps, schema_editor):
    studies = apps.get_model("worklist", "Study")._base_manager.using(schema_editor.connection.alias)
    # What was moved is not found again: a second start goes on where the first one stopped.
    left = studies.filter(study_date=None).exclude(sort_at=_UNDATED)
    while keys := list(left.values_list("pk", flat=True)[:_BATCH]):
        studies.filter(pk__in=keys).update(sort_at=_UNDATED)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("worklist", "0009_arrival_and_warning_indexes")]

    operations = [migrations.RunPython(move, migrations.RunPython.noop, elidable=True)]
