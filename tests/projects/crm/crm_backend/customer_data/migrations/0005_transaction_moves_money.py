from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('customer_data', '0004_wallet_reference'),
        ('paynow_integration', '0001_initial'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='wallettransaction',
            constraint=models.CheckConstraint(condition=models.Q(('amount', 0), _negated=True), name='transaction_moves_money'),
        ),
    ]
