"""Uploads that come in pieces and go on after a lost connection."""

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('archive', '0012_reconstructions'),
        ('worklist', '0011_indexes_that_others_cover'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ResumableUpload',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('state', models.CharField(choices=[('receiving', 'Receiving'), ('processing', 'Being stored'), ('stored', 'Stored'), ('failed', 'Refused')], default='receiving', max_length=10)),
                ('offset', models.PositiveBigIntegerField(default=0)),
                ('length', models.PositiveBigIntegerField()),
                ('is_part', models.BooleanField(default=False)),
                ('fields', models.JSONField(default=dict)),
                ('result', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('expires_at', models.DateTimeField()),
                ('facility', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='worklist.facility')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['expires_at'], name='resumable_due'), models.Index(fields=['user', 'state'], name='resumable_of_user')],
            },
        ),
    ]
