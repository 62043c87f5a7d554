from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('customer_data', '0004_wallet_reference'),
        ('referrals', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='referralprofile',
            name='tier',
            field=models.PositiveSmallIntegerField(default=1),
        ),
    ]
