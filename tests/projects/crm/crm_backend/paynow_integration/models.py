import uuid

from django.db import models


class Gateway(models.Model):
    name = models.CharField(max_length=40, unique=True)
    timeout_seconds = models.PositiveIntegerField(default=30)
    sandbox = models.BooleanField(default=True)


class Payment(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    gateway = models.ForeignKey(Gateway, on_delete=models.PROTECT, related_name="payments")
    wallet = models.ForeignKey("customer_data.Wallet", on_delete=models.CASCADE, related_name="payments")
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    status = models.CharField(max_length=12, default="created", db_index=True)
    polled = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
