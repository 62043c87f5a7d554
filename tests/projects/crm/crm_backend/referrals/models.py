from django.conf import settings
from django.db import models


class ReferralProfile(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="referral_profile")
    code = models.CharField(max_length=12, unique=True)
    tier = models.PositiveSmallIntegerField(default=1)
    referred_by = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="referred")


class Earning(models.Model):
    profile = models.ForeignKey(ReferralProfile, on_delete=models.CASCADE, related_name="earnings")
    ticket = models.ForeignKey("customer_data.Ticket", on_delete=models.CASCADE, related_name="earnings")
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    earned_on = models.DateField()

    class Meta:
        db_table = "Referral Earnings"
        unique_together = [("profile", "ticket")]


class ReferralSettings(models.Model):
    percent = models.DecimalField(max_digits=5, decimal_places=2, default=5)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "referral settings"
