from django.db import migrations, models

from .sql import NUMBER_STEPS


class Migration(migrations.Migration):

    dependencies = [
        ('flows', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='flowstep',
            name='position',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.RunSQL(NUMBER_STEPS, migrations.RunSQL.noop),
    ]
