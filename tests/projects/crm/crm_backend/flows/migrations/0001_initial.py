import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('conversations', '0001_initial'),
        ('meta_integration', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Flow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(max_length=60, unique=True)),
                ('description', models.TextField(blank=True)),
                ('trigger_keywords', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), blank=True, default=list, size=None)),
                ('active', models.BooleanField(default=True)),
                ('fallback', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='fallback_of', to='flows.flow')),
            ],
        ),
        migrations.CreateModel(
            name='FlowStep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=60)),
                ('kind', models.CharField(max_length=20)),
                ('config', models.JSONField(default=dict)),
                ('flow', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='flows.flow')),
            ],
        ),
        migrations.CreateModel(
            name='ContactFlowState',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('context', models.JSONField(default=dict)),
                ('updated_at', models.DateTimeField()),
                ('contact', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='flow_state', to='conversations.contact')),
                ('last_message', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='conversations.message')),
                ('flow', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='flows.flow')),
                ('step', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='contacts', to='flows.flowstep')),
            ],
        ),
        migrations.CreateModel(
            name='FlowTransition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('condition', models.JSONField(blank=True, default=dict)),
                ('priority', models.IntegerField(default=0)),
                ('next_step', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reached_by', to='flows.flowstep')),
                ('step', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='transitions', to='flows.flowstep')),
            ],
            options={
                'ordering': ['priority'],
            },
        ),
        migrations.CreateModel(
            name='WhatsAppForm',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('definition', models.JSONField(default=dict)),
                ('published', models.BooleanField(default=False)),
                ('app_config', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='forms', to='meta_integration.metaappconfig')),
                ('flow', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='form', to='flows.flow')),
            ],
        ),
        migrations.CreateModel(
            name='FormAnswer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('answers', models.JSONField()),
                ('received_at', models.DateTimeField(db_index=True)),
                ('contact', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='form_answers', to='conversations.contact')),
                ('form', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='answers', to='flows.whatsappform')),
            ],
        ),
        migrations.AddConstraint(
            model_name='flowstep',
            constraint=models.UniqueConstraint(fields=('flow', 'name'), name='step_name_once_a_flow'),
        ),
        migrations.AlterUniqueTogether(
            name='flowtransition',
            unique_together={('step', 'next_step')},
        ),
    ]
