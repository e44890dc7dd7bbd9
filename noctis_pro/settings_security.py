"""Settings that keep strangers out: passwords, cookies, headers, Content-Security-Policy."""

from __future__ import annotations

from csp.constants import NONE, SELF

from noctis_pro import config

_config = config.current()

SECRET_KEY = _config.secret_key or config.secret_from_file(_config.data_dir / "secret-key")
# PEM (PKCS #8) of an Ed25519 key; without one, the first process that signs makes it.
SIGNING_KEY = _config.signing_key
SECOND_FACTOR = _config.second_factor
# A session ends when nobody was at the screen for so long, or after `SESSION_COOKIE_AGE`.
IDLE_S = _config.idle_minutes * 60.0
OTP_TOTP_ISSUER = "NoctisPro"
# `accounts.throttle` counts, by account and address.
OTP_TOTP_THROTTLE_FACTOR = 0
DEBUG = _config.debug
ALLOWED_HOSTS = list(_config.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(_config.csrf_trusted_origins)
# Sites whose pages may read DICOMweb, with a token.
DICOMWEB_CORS_ORIGINS = list(_config.dicomweb_cors_origins)
SECURE_SSL_REDIRECT = _config.secure_ssl_redirect
# Supervisors and load balancers ask on the inside, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Behind TLS the cookies are for TLS alone; the embedded default is plain HTTP on loopback.
SESSION_COOKIE_SECURE = _config.secure_ssl_redirect
CSRF_COOKIE_SECURE = _config.secure_ssl_redirect
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "noctis_session"
CSRF_COOKIE_NAME = "noctis_csrf"
# Of whoever came by a link, and has no session.
LINK_COOKIE_NAME = "noctis_link"
SHARED_LINK_MOST_DAYS = 30
# Sites whose pages may frame what a shared link opens; nothing else of this site is ever framed.
EMBED_ORIGINS = list(_config.embed_origins)
SESSION_COOKIE_AGE = 12 * 3600
SESSION_SAVE_EVERY_REQUEST = False
SECURE_HSTS_SECONDS = 31_536_000 if _config.secure_ssl_redirect else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _config.secure_ssl_redirect
SECURE_HSTS_PRELOAD = _config.secure_ssl_redirect
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_SSL_REDIRECT else None
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        # The HTJ2K decoder is WebAssembly; compiling it needs this word and no more.
        "script-src": [SELF, "'wasm-unsafe-eval'"],
        "style-src": [SELF],
        # Frames and previews are drawn from object URLs and from the manifest's data URI.
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [SELF, "blob:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
CSRF_FAILURE_VIEW = "noctis_pro.middleware.csrf_failure"
