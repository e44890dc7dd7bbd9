"""Forms for signing in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy

from accounts import auth
from accounts.guards import address_of
from archive.errors import TooManyAttemptsError


class SignInForm(AuthenticationForm):
    """User name and password, with the limit on wrong ones."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": gettext_lazy(
            "This user name and password do not belong together. "
            "Capitals matter in both; ask an administrator for a new password if you lost it."
        ),
    }

    def clean(self) -> dict[str, Any]:
        """Check the password; both fields have passed their own checks."""
        username = self.cleaned_data.get("username")
        password = self.cleaned_data.get("password")
        if username and password:
            address = address_of(self.request) if self.request else None
            try:
                self.user_cache = auth.user_of_password(username, password, address=address)
            except TooManyAttemptsError as error:
                raise ValidationError(str(error), code="throttled") from error
            if self.user_cache is None:
                raise self.get_invalid_login_error()
            self.confirm_login_allowed(self.user_cache)
        return self.cleaned_data
