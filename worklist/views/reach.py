"""How equipment reaches us: what a technician types into a scanner."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

# A documentation address (RFC 5737): naming it as the peer of a datagram socket sends nothing, but
# makes the system choose the address that it would call from.
_ANYWHERE = ("192.0.2.1", 9)


@dataclass(frozen=True, slots=True)
class Reach:
    """Our side of the settings sheet; `note` says what still stands in the way."""

    ae_title: str
    host: str
    port: int
    tls_port: int | None
    note: str = ""


def reach_of(request: HttpRequest) -> Reach:
    """Return name, host and port of the receiver, as seen from the equipment."""
    bound = settings.DICOM_SCP_HOST
    note = ""
    if _is_wildcard(bound):
        host = _host_for_others(request)
    else:
        host = bound
        if _is_loopback(bound):
            note = (
                "The receiver listens on this machine alone. Set DICOM_SCP_HOST=0.0.0.0 and start "
                "it again to let equipment call."
            )
    tls = settings.DICOM_TLS
    return Reach(
        ae_title=settings.DICOM_SCP_AE_TITLE,
        host=host,
        port=settings.DICOM_SCP_PORT,
        tls_port=tls.port if tls is not None else None,
        note=note,
    )


def _host_for_others(request: HttpRequest) -> str:
    """Return the host that this page came from, or this machine's address where that is itself."""
    named = request.get_host()
    host = named.rsplit(":", 1)[0] if not named.endswith("]") else named
    host = host.strip("[]")
    return _own_address() if _is_loopback(host) else host


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)
        except OSError:
            return socket.gethostname()  # no network: the name is the best that is known
        return str(probe.getsockname()[0])


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
