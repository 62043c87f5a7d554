from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Contact',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('whatsapp_id', models.CharField(max_length=20, unique=True)),
                ('display_name', models.CharField(blank=True, max_length=120)),
                ('blocked', models.BooleanField(default=False)),
                ('attributes', models.JSONField(blank=True, default=dict)),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-last_seen'],
            },
        ),
        migrations.CreateModel(
            name='ContactSession',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token', models.UUIDField(unique=True)),
                ('opened_at', models.DateTimeField()),
                ('idle_limit', models.DurationField()),
            ],
        ),
        migrations.CreateModel(
            name='Message',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('direction', models.CharField(choices=[('in', 'incoming'), ('out', 'outgoing')], max_length=3)),
                ('wamid', models.CharField(blank=True, max_length=80, null=True, unique=True, verbose_name='WhatsApp message id')),
                ('text', models.TextField(blank=True)),
                ('payload', models.JSONField(default=dict)),
                ('error', models.JSONField(blank=True, null=True)),
                ('sent_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Tag',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=40, unique=True)),
                ('colour', models.CharField(default='#888888', max_length=7)),
            ],
        ),
    ]
