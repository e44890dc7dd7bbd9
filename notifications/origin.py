"""Which pages may open a socket: browsers send cookies with sockets of any page, so we must ask."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_own_origin(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a socket's `Origin` is the site's own: the `Host` that was called, port included.

    A missing, `null`, doubled or foreign origin is none of ours. `CSRF_TRUSTED_ORIGINS` are, as for
    forms. The host itself is checked against `ALLOWED_HOSTS` before this. The scheme of a page is
    not compared with the socket's: behind a proxy that ends TLS both look like plain HTTP.
    """
    origins = [value for name, value in headers if name.lower() == b"origin"]
    hosts = [value for name, value in headers if name.lower() == b"host"]
    if len(origins) != 1 or len(hosts) != 1:
        return False
    try:
        text, host = origins[0].decode("ascii"), hosts[0].decode("ascii")
        origin, called = urlsplit(text), urlsplit(f"//{host}")
        place = (origin.hostname, _port(origin, origin.scheme))
        own = (called.hostname, _port(called, origin.scheme))
    except ValueError:
        return False
    # An origin is scheme, host and port; anything more is not what a browser sends (RFC 6454).
    if origin.scheme not in _DEFAULT_PORTS or not origin.hostname:
        return False
    if origin.path or origin.query or origin.fragment or origin.username or origin.password:
        return False
    return place == own or _is_trusted(origin, text)


def is_lawful_host(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the site goes by the name that was called; Django's rule for its pages."""
    hosts = [value.decode("latin-1") for name, value in headers if name.lower() == b"host"]
    if len(hosts) != 1:
        return False
    domain, _ = split_domain_port(hosts[0])
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def has_origin(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a page of a browser opens the socket: programs name no origin."""
    return any(name.lower() == b"origin" for name, _ in headers)


def _port(parts: SplitResult, scheme: str) -> int | None:
    return parts.port or _DEFAULT_PORTS.get(scheme)


def _is_trusted(origin: SplitResult, text: str) -> bool:
    for entry in settings.CSRF_TRUSTED_ORIGINS:
        if entry == text:
            return True
        trusted = urlsplit(entry.replace("*", "", 1))
        if (
            "://*." in entry
            and trusted.scheme == origin.scheme
            and _port(trusted, trusted.scheme) == _port(origin, origin.scheme)
            and (origin.hostname or "").endswith(trusted.hostname or "\0")
        ):
            return True
    return False
