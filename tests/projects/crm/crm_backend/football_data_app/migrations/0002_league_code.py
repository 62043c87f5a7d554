from django.contrib.postgres.operations import CreateCollation
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('football_data_app', '0001_initial'),
    ]

    operations = [
        # Codes sort by byte, whatever the server's locale says.
        CreateCollation("code_order", locale="C"),
        migrations.AddField(
            model_name='league',
            name='code',
            field=models.CharField(blank=True, db_collation='code_order', default='', max_length=10),
        ),
    ]
