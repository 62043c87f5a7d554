from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('flows', '0002_step_position'),
    ]

    operations = [
        migrations.AddField(
            model_name='flowstep',
            name='help_text',
            field=models.CharField(blank=True, default='', max_length=200),
        ),
    ]
