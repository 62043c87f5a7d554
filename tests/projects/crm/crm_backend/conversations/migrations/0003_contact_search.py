import django.contrib.postgres.indexes
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0002_initial'),
        ('flows', '0002_step_position'),
        ('meta_integration', '0001_initial'),
    ]

    operations = [
        TrigramExtension(),
        migrations.AddIndex(
            model_name='contact',
            index=django.contrib.postgres.indexes.GinIndex(fields=['display_name'], name='contact_name_trgm', opclasses=['gin_trgm_ops']),
        ),
    ]
