from django.db import migrations

from ._helpers import language_of


def guess_language(apps, schema_editor):
    Contact = apps.get_model("conversations", "Contact")
    for contact in Contact.objects.all():
        contact.language = language_of(contact.whatsapp_id)
        contact.save(update_fields=["language"])


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0004_contact_language'),
    ]

    operations = [
        migrations.RunPython(guess_language, migrations.RunPython.noop),
    ]
