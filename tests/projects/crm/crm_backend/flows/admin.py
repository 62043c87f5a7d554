from django.contrib import admin

from flows.models import Flow, FlowStep

admin.site.register([Flow, FlowStep])
