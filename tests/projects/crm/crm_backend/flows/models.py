from django.contrib.postgres.fields import ArrayField
from django.db import models


class Flow(models.Model):
    name = models.SlugField(max_length=60, unique=True)
    description = models.TextField(blank=True)
    trigger_keywords = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    active = models.BooleanField(default=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    fallback = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="fallback_of")

    def __str__(self):
        return self.name


class FlowStep(models.Model):
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=20)
    position = models.PositiveSmallIntegerField(default=0)
    help_text = models.CharField(max_length=200, blank=True, default="")
    config = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flow", "name"], name="step_name_once_a_flow")]


class FlowTransition(models.Model):
    step = models.ForeignKey(FlowStep, on_delete=models.CASCADE, related_name="transitions")
    next_step = models.ForeignKey(FlowStep, on_delete=models.CASCADE, related_name="reached_by")
    condition = models.JSONField(default=dict, blank=True)
    priority = models.IntegerField(default=0)

    class Meta:
        ordering = ["priority"]
        unique_together = [("step", "next_step")]


class ContactFlowState(models.Model):
    contact = models.OneToOneField("conversations.Contact", on_delete=models.CASCADE, related_name="flow_state")
    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="+")
    step = models.ForeignKey(FlowStep, on_delete=models.CASCADE, related_name="contacts")
    last_message = models.ForeignKey(
        "conversations.Message", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    context = models.JSONField(default=dict)
    updated_at = models.DateTimeField()


class WhatsAppForm(models.Model):
    flow = models.OneToOneField(Flow, on_delete=models.CASCADE, related_name="form")
    app_config = models.ForeignKey("meta_integration.MetaAppConfig", on_delete=models.CASCADE, related_name="forms")
    definition = models.JSONField(default=dict)
    published = models.BooleanField(default=False)


class FormAnswer(models.Model):
    form = models.ForeignKey(WhatsAppForm, on_delete=models.CASCADE, related_name="answers")
    contact = models.ForeignKey("conversations.Contact", on_delete=models.CASCADE, related_name="form_answers")
    answers = models.JSONField()
    received_at = models.DateTimeField(db_index=True)
