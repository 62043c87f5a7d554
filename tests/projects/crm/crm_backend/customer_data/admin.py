from django.contrib import admin

from customer_data.models import CustomerProfile, Wallet

admin.site.register([CustomerProfile, Wallet])
