"""Administration of users and tokens."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts import people, second_factor
from accounts.guards import actor_of
from accounts.models import ApiToken, User
from archive import audit

# Roles decide here; Django's groups would be a second answer to the same question.
admin.site.unregister(Group)
# Its pages show the secret of anybody's second factor.
admin.site.unregister(TOTPDevice)


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg] # generic for the checker alone
    """People, their roles and facilities."""

    list_display = ("username", "full_name", "role", "seen", "is_active", "last_login")
    list_filter = ("role", "is_active", "facilities")
    search_fields = ("username", "first_name", "last_name", "email")
    ordering = ("username",)
    filter_horizontal = ("facilities",)
    list_select_related = False
    show_full_result_count = False
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Access", {"fields": ("role", "facilities", "is_active")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": (
                    "username",
                    "usable_password",
                    "password1",
                    "password2",
                    "role",
                    "facilities",
                ),
            },
        ),
    )

    actions = ("remove_second_factor",)

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered; `permissions=["act"]` asks this."""
        return isinstance(request.user, User) and request.user.is_administrator

    @admin.action(description="Remove the second factor", permissions=["act"])
    def remove_second_factor(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """Let people in who have lost the device and their codes."""
        actor = actor_of(request)
        count = sum(second_factor.remove(actor, user) for user in users)
        messages.success(request, f"{count} second factors are removed.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Bring the facilities along."""
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.prefetch_related("facilities")

    @admin.display(description="name", ordering="last_name")
    def full_name(self, user: User) -> str:
        """Return first and last name."""
        return user.get_full_name()

    @admin.display(description="sees the studies of")
    def seen(self, user: User) -> str:
        """Return the facilities in words."""
        if user.is_administrator:
            return "every facility"
        return ", ".join(facility.name for facility in user.facilities.all()) or "no facility yet"

    def save_model(
        self,
        request: HttpRequest,
        obj: User,
        form: ModelForm[User],
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Keep what the role means and note who changed what."""
        # A superuser made on the command line keeps its rights until somebody gives it a role.
        if not change or "role" in form.changed_data:
            people.grant_role(obj, obj.role)
        super().save_model(request, obj, form, change)
        audit.record(
            actor_of(request),
            "user.change" if change else "user.create",
            obj,
            fields=[name for name in form.changed_data if not name.startswith("password")],
        )


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic for the checker alone
    """Tokens of programs: made, shown once, revoked; never read again."""

    list_display = ("hint", "name", "user", "created_at", "expires_at", "last_used_at", "state")
    list_select_related = ("user",)
    list_filter = ("revoked_at",)
    search_fields = ("user__username", "name", "hint")
    autocomplete_fields = ("user",)
    show_full_result_count = False
    fields = ("user", "name", "expires_at", "is_read_only")
    actions = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """Nobody: a token is revoked and another one made."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """Nobody: what was used stays known."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whether the action is offered; `permissions=["revoke"]` asks this."""
        return isinstance(request.user, User) and request.user.is_administrator

    @admin.display(description="state")
    def state(self, token: ApiToken) -> str:
        """Return whether it opens anything."""
        if token.revoked_at is not None:
            return "revoked"
        if token.expires_at is not None and token.expires_at <= timezone.now():
            return "ended"
        return "in use"

    def save_model(
        self,
        request: HttpRequest,
        obj: ApiToken,
        form: ModelForm[ApiToken],
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Make the token; its secret goes to the one page that shows it."""
        made, secret = ApiToken.issue(
            obj.user, expires_at=obj.expires_at, name=obj.name, is_read_only=obj.is_read_only
        )
        audit.record(actor_of(request), "token.create", made, user=obj.user.username)
        obj.pk, obj.hint = made.pk, made.hint
        request._noctis_secret = secret  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret instead of leading on: there is no second time."""
        context: dict[str, Any] = {
            "token": obj,
            "secret": request._noctis_secret,  # type: ignore[attr-defined]
            "back": reverse("admin:accounts_apitoken_changelist"),
        }
        response = render(request, "accounts/token_created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @admin.action(description="Revoke the selected tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        """End tokens at once."""
        actor = actor_of(request)
        chosen = list(tokens.filter(revoked_at=None))
        for token in chosen:
            people.revoke_token(actor, token)
        messages.success(request, f"Revoked {len(chosen)}; they open nothing from now on.")
