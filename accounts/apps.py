"""Django application of the users."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, roles and tokens."""

    name = "accounts"
    verbose_name = "Users and access"
