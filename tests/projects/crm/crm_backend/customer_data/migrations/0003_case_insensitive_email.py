import customer_data.fields
from django.contrib.postgres.operations import CITextExtension
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('customer_data', '0002_initial'),
    ]

    operations = [
        CITextExtension(),
        migrations.AlterField(
            model_name='customerprofile',
            name='email',
            field=customer_data.fields.CaseInsensitiveEmailField(max_length=254, unique=True),
        ),
    ]
