"""Tokens that are for reading alone."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_recovery_codes'),
    ]

    operations = [
        migrations.AddField(
            model_name='apitoken',
            name='is_read_only',
            field=models.BooleanField(default=False, help_text='Opens what its user may see, and changes nothing.'),
        ),
    ]
