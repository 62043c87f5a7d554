from django.apps import AppConfig


class CustomerDataConfig(AppConfig):
    name = "customer_data"
