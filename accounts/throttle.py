"""How often a wrong password may be tried.

At most `MOST_WRONG` wrong passwords fall into any `WINDOW_S` seconds for one account from one
address. Counting by the pair means that a stranger elsewhere cannot lock the owner out.

An attempt is counted before its password is checked and forgiven when it was right, so that
attempts made at the same time cannot slip through together. Each counted attempt keeps the count
for another window: it falls back to zero only after a window without wrong passwords, which makes
the limit hold for every window and not only for those that start on the minute. Refused attempts
prolong nothing: whoever waits for one window may try again.

django-axes was considered: it needs a Django request and listens to Django's signals, while the
same limit must hold for HTTP Basic and tokens' sign-in in the sidecar.
"""

from __future__ import annotations

import hashlib
import ipaddress
import unicodedata

from django.core.cache import cache

from archive.errors import TooManyAttemptsError

MOST_WRONG = 10
WINDOW_S = 60
_KEPT_IPV6_BITS = 64  # one site's share; its single addresses cost nothing


def count_attempt(username: str, address: str | None) -> None:
    """Count an attempt as wrong until :func:`forgive` says otherwise.

    Raises
    ------
    TooManyAttemptsError
        When this account was tried too often from this address.
    """
    key = _key(username, address)
    cache.add(key, 0, WINDOW_S)
    try:
        attempts = cache.incr(key)
    except ValueError:
        # The count ended between the two calls: this attempt is the first of a new one.
        cache.set(key, 1, WINDOW_S)
        attempts = 1
    if attempts > MOST_WRONG:
        raise TooManyAttemptsError(
            f"Too many wrong passwords for this account from your address. "
            f"Wait {WINDOW_S} seconds, then try again.",
            retry_after_s=WINDOW_S,
        )
    cache.touch(key, WINDOW_S)


def forgive(username: str, address: str | None) -> None:
    """Forget the wrong attempts: the right password came."""
    cache.delete(_key(username, address))


def _key(username: str, address: str | None) -> str:
    account = unicodedata.normalize("NFKC", username).casefold()
    digest = hashlib.sha256(f"{account}\n{_site_of(address)}".encode()).hexdigest()
    return f"accounts.wrong-passwords.{digest}"


def _site_of(address: str | None) -> str:
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "nowhere"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, _KEPT_IPV6_BITS), strict=False))
    return str(ip)
