"""What was told before notifications counted was told last when it was told first."""

from django.db import migrations
from django.db.models import F

_BATCH = 5000


def copy_times(apps, schema_editor):
    rows = apps.get_model("notifications", "Notification").objects.using(
        schema_editor.connection.alias
    )
    # What was copied is not found again: a second start goes on where the first one stopped.
    left = rows.filter(last_at__gt=F("created_at"), count=1)
    while keys := list(left.values_list("pk", flat=True)[:_BATCH]):
        rows.filter(pk__in=keys).update(last_at=F("created_at"))


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("notifications", "0002_notifications_that_count")]

    operations = [migrations.RunPython(copy_times, migrations.RunPython.noop, elidable=True)]
