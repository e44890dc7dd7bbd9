from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("dicom_viewer", "0007_segmentation_drafts"),
    ]

    operations = [
        migrations.AddField(
            model_name="hangingprotocol",
            name="first_stage",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="What else the first layout says: name, fit, links.",
            ),
        ),
    ]
