"""Requests to services outside: only where the site's administrator lets them go.

The address is looked up once, checked against the allowed networks, and that very address is
connected to: a name that answers otherwise the second time leads nowhere. Redirects are not
followed, proxies of the environment not used, answers bounded in size and time.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from archive.errors import InvalidInputError, PermanentError, TransientError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_ANSWER_BYTES = 256 * 1024
_LONGEST_URL = 512
_PORTS = {"http": 80, "https": 443}


class SilentError(TransientError):
    """The service cannot be reached, or does not answer."""


class NotAllowedError(PermanentError):
    """The address lies in no network that the site may ask."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered; `headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_url(url: str) -> SplitResult:
    """Return the parts of an address that could be asked, wherever it leads.

    Raises
    ------
    InvalidInputError
        With a sentence that says what to write instead.
    """
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > _LONGEST_URL:
        raise InvalidInputError(f"Write an address of at most {_LONGEST_URL} plain characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInputError("This is no address of a service.") from error
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise InvalidInputError("Write an address such as https://ai.example.org/jobs.")
    if parts.username is not None or parts.password is not None:
        raise InvalidInputError("Leave user and password out of the address: requests are signed.")
    if parts.fragment:
        raise InvalidInputError("Leave out what follows '#' in the address.")
    return parts


def is_same_origin(one: str, other: str) -> bool:
    """Whether two addresses are of the same scheme, host and port."""
    first, second = check_url(one), check_url(other)
    return (first.scheme, first.hostname, _port(first)) == (
        second.scheme,
        second.hostname,
        _port(second),
    )


def allowed_addresses(parts: SplitResult) -> list[Address]:
    """Look up a host; return its addresses when all of them may be asked.

    Raises
    ------
    NotAllowedError
        When one of them lies in no allowed network.
    SilentError
        When the name is not known now.
    """
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, _port(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SilentError(f"The name {host} is not known to this machine.") from error
    addresses = list(dict.fromkeys(_plain(str(entry[4][0])) for entry in found))
    for address in addresses:
        if not _is_allowed(address, settings.ANALYSIS_NETWORKS):
            raise NotAllowedError(
                f"{host} is {address}, which is in none of the networks that this site may ask. "
                "An administrator sets NOCTIS_ANALYSIS_NETWORKS."
            )
    return addresses


def _plain(text: str) -> Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_allowed(address: Address, networks: tuple[Network, ...]) -> bool:
    """Whether a network holds an address; this machine and its link only where they are named."""
    return any(
        address.version == network.version
        and address in network
        and (not address.is_loopback or network.is_loopback)
        and (not address.is_link_local or network.is_link_local)
        and not (address.is_unspecified or address.is_multicast)
        for network in networks
    )


def ask(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10.0,
) -> Answer:
    """Send a request, and return whatever is answered within the time.

    Raises
    ------
    InvalidInputError, NotAllowedError
        Nothing was sent.
    SilentError
        No whole answer came.
    """
    parts = check_url(url)
    addresses = allowed_addresses(parts)
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    connection = _Pinned(parts, addresses, timeout_s)
    # A peer that sends a byte now and then would pass every limit on single reads.
    watch = threading.Timer(timeout_s, connection.cut)
    watch.daemon = True
    watch.start()
    try:
        connection.request(method, path, body, {"Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        content = answer.read(MOST_ANSWER_BYTES + 1)
        if connection.is_cut or (answer.length and len(content) <= MOST_ANSWER_BYTES):
            # Python takes the end of the connection for the end of the answer.
            raise TimeoutError if connection.is_cut else HTTPException("it broke off")
    except (OSError, HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        host = parts.hostname
        if connection.is_cut:
            raise SilentError(f"{host} does not answer in time.") from error
        raise SilentError(f"{host} does not answer ({why}).") from error
    finally:
        watch.cancel()
        connection.close()
    if len(content) > MOST_ANSWER_BYTES:
        raise SilentError(f"{parts.hostname} answers more than {MOST_ANSWER_BYTES} bytes.")
    names = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, names, content)


class _Pinned(HTTPConnection):
    """A connection to addresses that were checked, under the name that was asked for."""

    def __init__(self, parts: SplitResult, addresses: list[Address], timeout_s: float) -> None:
        super().__init__(parts.hostname or "", _port(parts), timeout=timeout_s)
        self.is_cut = False
        self._addresses = addresses
        self._until = time.monotonic() + timeout_s
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        if self._tls is not None:
            self.default_port = _PORTS["https"]

    def connect(self) -> None:
        """Connect to the first address that takes the connection, before the time is over."""
        last: OSError | None = None
        for address in self._addresses:
            try:
                raw = socket.create_connection((str(address), self.port), self._left_s())
            except OSError as error:
                last = error
                continue
            raw.settimeout(self._left_s())
            self.sock = raw
            if self._tls is not None:
                self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)
                self.sock.settimeout(self._left_s())
            # Whoever cuts while a socket is being made finds none: both look after the other.
            if self.is_cut:
                raise TimeoutError
            return
        raise last or OSError("no address")

    def _left_s(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0 or self.is_cut:
            self.is_cut = True
            raise TimeoutError
        return left

    def cut(self) -> None:
        """End what goes on."""
        self.is_cut = True
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]
