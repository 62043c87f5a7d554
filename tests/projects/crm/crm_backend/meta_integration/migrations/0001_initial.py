import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('conversations', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='MetaAppConfig',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80)),
                ('phone_number_id', models.CharField(max_length=40, unique=True)),
                ('active', models.BooleanField(default=False)),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('active', True)), fields=('active',), name='only_one_active_config')],
            },
        ),
        migrations.CreateModel(
            name='WebhookEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=30)),
                ('payload', models.JSONField()),
                ('received_at', models.DateTimeField()),
                ('app_config', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='events', to='meta_integration.metaappconfig')),
                ('message', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='events', to='conversations.message')),
            ],
            options={
                'indexes': [models.Index(fields=['kind', 'received_at'], name='event_kind_time'), models.Index(condition=models.Q(('message', None)), fields=['received_at'], name='event_unmatched')],
            },
        ),
    ]
