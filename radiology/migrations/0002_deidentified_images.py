"""Images that were de-identified as they arrived."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("radiology", "0001_offline_images")]

    operations = [
        migrations.AddField(
            model_name="offlineimage",
            name="is_deidentified",
            field=models.BooleanField(
                default=False,
                help_text="Nothing was stored, nor is here, that says whose it is.",
            ),
        ),
    ]
