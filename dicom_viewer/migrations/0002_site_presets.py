"""Window presets that every site starts with.

The digits and values are those that readers know from OHIF and most workstations; an administrator
changes them in the admin. Rows that are there already stay as they are.
"""

from django.db import migrations

# modality, name, centre, width, key
PRESETS = [
    ("CT", "Abdomen", 40.0, 400.0, "1"),
    ("CT", "Lung", -600.0, 1500.0, "2"),
    ("CT", "Liver", 90.0, 150.0, "3"),
    ("CT", "Bone", 480.0, 2500.0, "4"),
    ("CT", "Brain", 40.0, 80.0, "5"),
    ("CT", "Mediastinum", 50.0, 350.0, "6"),
    ("CT", "Angiography", 300.0, 600.0, "7"),
    ("CT", "Stroke", 40.0, 40.0, "8"),
    ("CT", "Subdural", 75.0, 215.0, "9"),
    ("CT", "Temporal bone", 700.0, 4000.0, ""),
]


def add(apps, schema_editor):
    preset = apps.get_model("dicom_viewer", "WindowLevelPreset")
    for modality, name, center, width, key in PRESETS:
        preset.objects.get_or_create(
            user=None,
            modality=modality,
            name=name,
            defaults={"window_center": center, "window_width": width, "key": key},
        )


def remove(apps, schema_editor):
    preset = apps.get_model("dicom_viewer", "WindowLevelPreset")
    for modality, name, center, width, key in PRESETS:
        # One that somebody changed is theirs.
        preset.objects.filter(
            user=None,
            modality=modality,
            name=name,
            window_center=center,
            window_width=width,
            key=key,
        ).delete()


class Migration(migrations.Migration):
    dependencies = [("dicom_viewer", "0001_initial")]
    operations = [migrations.RunPython(add, remove)]
