"""The receiver: who we are, what we serve, start and stop."""

from __future__ import annotations

import gc
import logging
import resource
import signal
import ssl
import time
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.db import DatabaseError
from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity

from archive import reconcile, stores
from dimse.association import Admissions
from dimse.census import Census, Limits
from dimse.clerk import Clerk
from dimse.connection import Pace
from dimse.listener import Desk, Listener
from dimse.services import WORKLIST, Table
from imaging import aetitle
from imaging.errors import ImagingError
from imaging.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

logger = logging.getLogger(__name__)

# How long requests that are being worked on may take to end when the receiver stops.
_GRACE_S = 10.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Tls(Protocol):
    """The encrypted port, as the configuration has it."""

    @property
    def port(self) -> int:
        """To listen on."""

    @property
    def cert(self) -> Path:
        """Our certificate, with those that vouch for it."""

    @property
    def key(self) -> Path:
        """Its private key."""

    @property
    def ca(self) -> Path | None:
        """Who vouches for callers; where set, they must present a certificate."""


class WorklistPort(Protocol):
    """The port of the worklist server, as the configuration has it."""

    @property
    def ae_title(self) -> str:
        """Its own; callers of this port must use it."""

    @property
    def port(self) -> int:
        """To listen on."""


class Receiver:
    """Our application entity on its port, and on its TLS port where there is one.

    Parameters
    ----------
    host, port : to listen on; port 0 takes a free one
    ae_title : ours; callers must use it
    tls : the encrypted port; the same callers, facilities and limits
    worklist : a port for Modality Worklist and MPPS alone, under a name of its own

    Raises
    ------
    OSError
        When a port cannot be had, or the certificate and its key cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        ae_title: str,
        tls: Tls | None = None,
        worklist: WorklistPort | None = None,
    ) -> None:
        pace = Pace(
            request_timeout_s=settings.DIMSE_REQUEST_TIMEOUT_S,
            pdu_timeout_s=settings.DIMSE_PDU_TIMEOUT_S,
            idle_timeout_s=settings.DIMSE_IDLE_TIMEOUT_S,
            pdu_bytes=settings.DIMSE_PDU_BYTES,
        )
        limits = Limits(
            total=settings.DIMSE_MAX_ASSOCIATIONS,
            reserve=settings.DIMSE_RESERVED_ASSOCIATIONS,
            per_address=settings.DIMSE_MAX_ASSOCIATIONS_PER_ADDRESS,
            per_ae_title=settings.DIMSE_MAX_ASSOCIATIONS_PER_AE,
            pending=settings.DIMSE_MAX_PENDING_CONNECTIONS,
        )
        self._census = Census(limits)
        self._clerk = Clerk()
        desk = Desk(Admissions(ae_title), self._census, self._clerk, pace)
        ae = _application_entity(ae_title, pace)
        self.listeners = [Listener(ae, (host, port), desk)]
        if tls is not None:
            self.listeners.append(Listener(ae, (host, tls.port), desk, _encrypt(tls)))
        if worklist is not None:
            other = Desk(Admissions(worklist.ae_title), self._census, self._clerk, pace)
            self.listeners.append(
                Listener(
                    _application_entity(worklist.ae_title, pace),
                    (host, worklist.port),
                    other,
                    services=Table(WORKLIST, takes_storage=False),
                )
            )

    def start(self) -> None:
        """Serve from now on."""
        # What start-up made stays for good: the collections that free ended associations (they are
        # rings of references) then take a millisecond, not a hundred.
        gc.collect()
        gc.freeze()
        self._settle()
        stores.open_journal()
        self._clerk.start()
        for listener in self.listeners:
            listener.start()

    def _settle(self) -> None:
        """Take back what a receiver that died had in hand; it looks at the spool alone."""
        try:
            reconcile.settle_spool()
        except (DatabaseError, OSError):
            logger.exception("The spool cannot be settled now; the worker will do it")

    def stop(self) -> None:
        """Accept nobody any more, let what is being stored be answered, end the rest."""
        for listener in self.listeners:
            listener.shutdown()
        deadline = time.monotonic() + _GRACE_S
        while self._census.guests and time.monotonic() < deadline:
            for guest in self._census.guests:
                if not guest.is_served:
                    guest.close()
            time.sleep(0.05)
        for guest in self._census.guests:
            guest.close()
        self._clerk.stop()
        stores.close_journal()


def _encrypt(tls: Tls) -> ssl.SSLContext:
    """Return what PS3.15 B.12 (the BCP 195 profile) asks for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM")
    context.load_cert_chain(tls.cert, tls.key)
    if tls.ca is not None:
        context.load_verify_locations(tls.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _application_entity(ae_title: str, pace: Pace) -> ApplicationEntity:
    # pynetdicom describes every message at length for its log: names of patients stand in them.
    _config.LOG_HANDLER_LEVEL = "none"
    ae = ApplicationEntity(ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = pace.pdu_bytes
    ae.acse_timeout = pace.request_timeout_s
    ae.network_timeout = pace.idle_timeout_s
    return ae


def _raise_descriptor_limit() -> None:
    """Take as many descriptors as the caps may need: six an association, one a connection."""
    needed = 6 * settings.DIMSE_MAX_ASSOCIATIONS + settings.DIMSE_MAX_PENDING_CONNECTIONS + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        logger.warning(
            "Only %d open files are allowed, %d may be needed. Raise the limit of the service.",
            allowed,
            needed,
        )


def _other_ports() -> str:
    """Name the further ports that may be the ones that cannot be had."""
    names = [
        f"{variable}={port.port}"
        for variable, port in (("DICOM_TLS_PORT", settings.DICOM_TLS), ("MWL_PORT", settings.MWL))
        if port is not None
    ]
    return f" It may also be {' or '.join(names)}." if names else ""


def serve(host: str, port: int, ae_title: str) -> int:
    """Receive until SIGTERM or SIGINT; returns the exit code.

    Parameters
    ----------
    host, port : to listen on; port 0 takes a free one, and the log says which
    ae_title : ours (PS3.5 6.2)
    """
    _raise_descriptor_limit()
    try:
        receiver = Receiver(
            host, port, aetitle.validate(ae_title), settings.DICOM_TLS, settings.MWL
        )
    except ImagingError as error:
        logger.critical("%s Set DICOM_AET.", error)
        return 1
    except ssl.SSLError as error:
        logger.critical("DICOM_TLS_CERT, _KEY or _CA cannot be used: %s.", error.reason)
        return 1
    except OSError as error:
        logger.critical(
            "Cannot listen on %s port %s: %s. Stop the other program, or set DICOM_PORT.%s",
            host,
            port,
            error.strerror,
            _other_ports(),
        )
        return 1
    # Blocked in every thread and waited for here: a handler would run late or never when the kernel
    # gives the signal to another thread than the first.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    receiver.start()
    for listener in receiver.listeners:
        how = " with TLS" if listener.ssl_context is not None else ""
        name = listener.desk.admissions.ae_title
        logger.info("%s listens on %s port %d%s", name, host, listener.port, how)
    signal.sigwait(_STOP_SIGNALS)
    logger.info("%s stops", ae_title)
    receiver.stop()
    return 0
