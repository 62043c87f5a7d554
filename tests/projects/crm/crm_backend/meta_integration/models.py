from django.db import models


class MetaAppConfig(models.Model):
    name = models.CharField(max_length=80)
    phone_number_id = models.CharField(max_length=40, unique=True)
    app_secret = models.CharField(max_length=200, blank=True, default="")
    active = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["active"], condition=models.Q(active=True), name="only_one_active_config"),
        ]


class WebhookEvent(models.Model):
    app_config = models.ForeignKey(MetaAppConfig, on_delete=models.SET_NULL, null=True, related_name="events")
    message = models.ForeignKey(
        "conversations.Message", on_delete=models.CASCADE, null=True, blank=True, related_name="events"
    )
    kind = models.CharField(max_length=30)
    payload = models.JSONField()
    received_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["kind", "received_at"], name="event_kind_time"),
            models.Index(fields=["received_at"], condition=models.Q(message=None), name="event_unmatched"),
        ]
