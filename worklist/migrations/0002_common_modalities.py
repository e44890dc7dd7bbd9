"""The modalities of PS3.3 C.7.3.1.1.1 that a radiology archive meets."""

from django.db import migrations

MODALITIES = {
    "AR": "Autorefraction",
    "AU": "Audio",
    "BDUS": "Ultrasound bone densitometry",
    "BI": "Biomagnetic imaging",
    "BMD": "Bone densitometry (X-ray)",
    "CR": "Computed radiography",
    "CT": "Computed tomography",
    "DMS": "Dermoscopy",
    "DOC": "Document",
    "DX": "Digital radiography",
    "ECG": "Electrocardiography",
    "EPS": "Cardiac electrophysiology",
    "ES": "Endoscopy",
    "GM": "General microscopy",
    "HD": "Haemodynamic waveform",
    "IO": "Intra-oral radiography",
    "IVOCT": "Intravascular optical coherence tomography",
    "IVUS": "Intravascular ultrasound",
    "KO": "Key object selection",
    "LS": "Laser surface scan",
    "M3D": "Model for 3D manufacturing",
    "MG": "Mammography",
    "MR": "Magnetic resonance",
    "NM": "Nuclear medicine",
    "OCT": "Optical coherence tomography",
    "OP": "Ophthalmic photography",
    "OPT": "Ophthalmic tomography",
    "OT": "Other",
    "PR": "Presentation state",
    "PT": "Positron emission tomography",
    "PX": "Panoramic radiography",
    "REG": "Registration",
    "RESP": "Respiratory waveform",
    "RF": "Radio fluoroscopy",
    "RG": "Radiography (film)",
    "RTDOSE": "Radiotherapy dose",
    "RTIMAGE": "Radiotherapy image",
    "RTPLAN": "Radiotherapy plan",
    "RTRECORD": "Radiotherapy treatment record",
    "RTSTRUCT": "Radiotherapy structure set",
    "SEG": "Segmentation",
    "SM": "Slide microscopy",
    "SR": "Structured report",
    "TG": "Thermography",
    "US": "Ultrasound",
    "XA": "X-ray angiography",
    "XC": "Photography",
}


def add(apps, schema_editor):
    """Add those that are not there; an administrator's own names stay."""
    modality = apps.get_model("worklist", "Modality")
    modality.objects.using(schema_editor.connection.alias).bulk_create(
        [modality(code=code, name=name) for code, name in MODALITIES.items()],
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):
    dependencies = [("worklist", "0001_initial")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
