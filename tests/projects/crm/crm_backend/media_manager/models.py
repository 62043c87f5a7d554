import uuid

from django.conf import settings
from django.db import models


class MediaAsset(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=120)
    file = models.FileField(upload_to="assets/%Y/")
    mime_type = models.CharField(max_length=60)
    size = models.BigIntegerField(db_default=0)
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="assets"
    )


class MediaUse(models.Model):
    asset = models.ForeignKey(MediaAsset, on_delete=models.CASCADE, related_name="uses")
    contact = models.ForeignKey("conversations.Contact", on_delete=models.CASCADE, related_name="media_uses")
    used_at = models.DateTimeField()
