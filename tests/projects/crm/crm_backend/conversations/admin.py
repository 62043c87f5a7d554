from django.contrib import admin

from conversations.models import Contact, Message

admin.site.register([Contact, Message])
