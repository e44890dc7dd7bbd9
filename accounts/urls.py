"""Addresses of signing in and of the person's own page."""

from django.urls import path

from accounts import second_factor_views, views

app_name = "accounts"

urlpatterns = [
    path("login/", views.SignIn.as_view(), name="login"),
    path("second-factor/", second_factor_views.ask, name="second-factor"),
    path("second-factor/set-up/", second_factor_views.set_up, name="second-factor-set-up"),
    path("second-factor/codes/", second_factor_views.renew_codes, name="second-factor-codes"),
    path("second-factor/remove/", second_factor_views.remove, name="second-factor-remove"),
    path("logout/", views.sign_out, name="logout"),
    path("profile/", views.profile, name="profile"),
    path("password/", views.ChangePassword.as_view(), name="password-change"),
    path("tokens/", views.create_token, name="token-create"),
    path("tokens/<uuid:token_id>/revoke/", views.revoke_token, name="token-revoke"),
    path("language/", views.set_language, name="language"),
    path("api/here/", views.here, name="here"),
    path("api/theme/", views.set_theme, name="theme"),
]
