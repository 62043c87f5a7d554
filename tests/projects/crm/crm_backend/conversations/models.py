from django.contrib.postgres.indexes import GinIndex
from django.db import models


class Tag(models.Model):
    name = models.CharField(max_length=40, unique=True)
    colour = models.CharField(max_length=7, default="#888888")

    def __str__(self):
        return self.name


class Contact(models.Model):
    whatsapp_id = models.CharField(max_length=20, unique=True)
    display_name = models.CharField(max_length=120, blank=True)
    language = models.CharField(max_length=8, default="en")
    blocked = models.BooleanField(default=False)
    tags = models.ManyToManyField(Tag, blank=True, related_name="contacts")
    attributes = models.JSONField(default=dict, blank=True)
    app_config = models.ForeignKey(
        "meta_integration.MetaAppConfig", on_delete=models.PROTECT, null=True, blank=True, related_name="contacts"
    )
    current_flow = models.ForeignKey(
        "flows.Flow", on_delete=models.SET_NULL, null=True, blank=True, related_name="contacts_in_it"
    )
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-last_seen"]
        indexes = [
            GinIndex(fields=["display_name"], name="contact_name_trgm", opclasses=["gin_trgm_ops"]),
        ]

    def __str__(self):
        return self.display_name or self.whatsapp_id


class Message(models.Model):
    class Direction(models.TextChoices):
        IN = "in", "incoming"
        OUT = "out", "outgoing"

    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="messages")
    direction = models.CharField(max_length=3, choices=Direction)
    wamid = models.CharField("WhatsApp message id", max_length=80, unique=True, null=True, blank=True)
    text = models.TextField(blank=True)
    payload = models.JSONField(default=dict)
    error = models.JSONField(null=True, blank=True)
    triggered_by = models.ForeignKey(
        "flows.FlowStep", on_delete=models.SET_NULL, null=True, blank=True, related_name="messages"
    )
    attachment = models.ForeignKey(
        "media_manager.MediaAsset", on_delete=models.SET_NULL, null=True, blank=True, related_name="messages"
    )
    in_reply_to = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="replies")
    sent_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["contact", "-sent_at"], name="message_contact_sent")]
        constraints = [
            models.CheckConstraint(condition=models.Q(direction__in=["in", "out"]), name="message_direction_known"),
        ]


class ContactSession(models.Model):
    contact = models.OneToOneField(Contact, on_delete=models.CASCADE, related_name="session")
    token = models.UUIDField(unique=True)
    opened_at = models.DateTimeField()
    idle_limit = models.DurationField()
