import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('conversations', '0001_initial'),
        ('flows', '0001_initial'),
        ('media_manager', '__first__'),
        ('meta_integration', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='contact',
            name='app_config',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='contacts', to='meta_integration.metaappconfig'),
        ),
        migrations.AddField(
            model_name='contact',
            name='current_flow',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='contacts_in_it', to='flows.flow'),
        ),
        migrations.AddField(
            model_name='contactsession',
            name='contact',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='session', to='conversations.contact'),
        ),
        migrations.AddField(
            model_name='message',
            name='attachment',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='messages', to='media_manager.mediaasset'),
        ),
        migrations.AddField(
            model_name='message',
            name='contact',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='messages', to='conversations.contact'),
        ),
        migrations.AddField(
            model_name='message',
            name='in_reply_to',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='replies', to='conversations.message'),
        ),
        migrations.AddField(
            model_name='message',
            name='triggered_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='messages', to='flows.flowstep'),
        ),
        migrations.AddField(
            model_name='contact',
            name='tags',
            field=models.ManyToManyField(blank=True, related_name='contacts', to='conversations.tag'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['contact', '-sent_at'], name='message_contact_sent'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.CheckConstraint(condition=models.Q(('direction__in', ['in', 'out'])), name='message_direction_known'),
        ),
    ]
