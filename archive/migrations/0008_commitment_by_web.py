from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("archive", "0007_knock_certificate")]

    operations = [
        migrations.AddField(
            model_name="commitmentrequest",
            name="is_by_web",
            field=models.BooleanField(
                db_default=False, default=False, verbose_name="asked by web"
            ),
        ),
    ]
