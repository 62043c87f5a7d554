from django.conf import settings
from django.db import models

from customer_data.fields import CaseInsensitiveEmailField


class CustomerProfile(models.Model):
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="profile", null=True, blank=True
    )
    contact = models.OneToOneField(
        "conversations.Contact", on_delete=models.SET_NULL, related_name="profile", null=True, blank=True
    )
    email = CaseInsensitiveEmailField(unique=True)
    birthday = models.DateField(null=True, blank=True)
    favourite_teams = models.ManyToManyField("football_data_app.Team", blank=True, related_name="fans")
    documents = models.ManyToManyField("media_manager.MediaAsset", blank=True, related_name="+")
    notes = models.TextField(blank=True)

    class Meta:
        db_table_comment = "One row a customer, registered or not"


class Wallet(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="wallet")
    balance = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    bonus = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    spendable = models.GeneratedField(
        expression=models.F("balance") + models.F("bonus"),
        output_field=models.DecimalField(max_digits=13, decimal_places=2),
        db_persist=True,
    )
    reference = models.CharField(max_length=30, unique=True, null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(balance__gte=0), name="wallet_never_negative")]


class WalletTransaction(models.Model):
    wallet = models.ForeignKey(Wallet, on_delete=models.CASCADE, related_name="transactions")
    payment = models.ForeignKey(
        "paynow_integration.Payment", on_delete=models.PROTECT, null=True, blank=True, related_name="transactions"
    )
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    kind = models.CharField(max_length=12)
    details = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~models.Q(amount=0), name="transaction_moves_money"),
        ]
        indexes = [models.Index(fields=["wallet", "created_at"], name="transaction_wallet_time")]


class PendingWithdrawal(WalletTransaction):
    class Meta:
        proxy = True


class Ticket(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tickets")
    referral = models.ForeignKey(
        "referrals.ReferralProfile", on_delete=models.SET_NULL, null=True, blank=True, related_name="tickets"
    )
    stake = models.DecimalField(max_digits=10, decimal_places=2)
    state = models.CharField(max_length=10, default="open", db_index=True)
    placed_at = models.DateTimeField()


class TicketLine(models.Model):
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="lines")
    outcome = models.ForeignKey("football_data_app.Outcome", on_delete=models.PROTECT, related_name="lines")
    odds = models.DecimalField(max_digits=8, decimal_places=3)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ticket", "outcome"], name="outcome_once_a_ticket")]
