from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('flows', '0002_step_position'),
    ]

    operations = [
        migrations.AddField(
            model_name='flow',
            name='archived_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
