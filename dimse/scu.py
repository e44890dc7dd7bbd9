"""We call others: an echo that says in words what it found, and sending stored instances.

Only registered destinations are called; what came over the network names none.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from pynetdicom import _config, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification
from pynetdicom.transport import AddressInformation, AssociationSocket

from archive.errors import ForbiddenError
from archive.models import Destination
from dimse import connection, status
from imaging import header
from imaging.errors import ImagingError
from imaging.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 10.0
# A receiver may have to write gigabytes before it answers.
_STORE_TIMEOUT_S = 120.0
# PS3.8 9.3.2.2: identifiers are the odd numbers of a byte.
_MOST_CONTEXTS = 128

# Data sets are sent as they lie in the store, in pieces; without this they would be decoded.
_config.STORE_SEND_CHUNKED_DATASET = True


@dataclass(frozen=True, slots=True)
class EchoReport:
    """What a C-ECHO found.

    Attributes
    ----------
    is_success : answered with 0x0000
    message : what happened and, where it failed, what to do
    elapsed_ms : from the first packet to the answer
    """

    is_success: bool
    message: str
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class StoreFailure:
    """One file that did not arrive, and why."""

    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What became of the files that were sent.

    Attributes
    ----------
    sent : answered with success or with a warning
    warnings : sentences of those answered with a warning
    failures : the others
    """

    sent: int
    warnings: tuple[str, ...]
    failures: tuple[StoreFailure, ...]

    @property
    def is_success(self) -> bool:
        """Whether every file arrived."""
        return not self.failures


class _Socket(AssociationSocket):
    """Sends without delay, and closes what it opened, also where nothing answered."""

    def _create_socket(self, address: AddressInformation) -> socket.socket:
        client: socket.socket = super()._create_socket(address)
        connection.tune(client)
        return client

    def _shutdown_socket(self) -> None:
        client: socket.socket | None = self.socket
        if client is not None:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()


class _Caller(ApplicationEntity):
    """Our application entity when we call."""

    def _create_socket(
        self,
        assoc: Association,
        address: AddressInformation,
        tls_args: tuple[ssl.SSLContext, str] | None,
    ) -> AssociationSocket:
        client = _Socket(assoc, address=address)
        client.tls_args = tls_args
        return client


class _CallError(Exception):
    """The association does not stand; the message says why and what to do."""


def echo(destination: Destination) -> EchoReport:
    """Ask a destination whether it is there.

    Raises
    ------
    ForbiddenError
        If it is not registered.

    References
    ----------
    DICOM PS3.4 annex A, PS3.7 section 9.1.5.
    """
    began = time.monotonic()

    def report(*, is_success: bool, message: str) -> EchoReport:
        elapsed_ms = (time.monotonic() - began) * 1000
        return EchoReport(is_success=is_success, message=message, elapsed_ms=elapsed_ms)

    try:
        association = _call(destination, [build_context(Verification)], _ANSWER_TIMEOUT_S)
    except _CallError as error:
        return report(is_success=False, message=str(error))
    try:
        answer = association.send_c_echo()
    except (RuntimeError, ValueError) as error:
        logger.info("Echo to %s: %s", destination, error)
        return report(
            is_success=False,
            message=f"{destination.ae_title} took the association, but offers no C-ECHO.",
        )
    finally:
        _hang_up(association)
    code = answer.get("Status")
    if code is None:
        return report(
            is_success=False,
            message=f"{destination.ae_title} took the association, but did not answer the echo "
            f"within {_ANSWER_TIMEOUT_S:.0f} s.",
        )
    if code != status.SUCCESS:
        return report(
            is_success=False,
            message=f"{destination.ae_title} answered the echo with an error (0x{code:04X}). Its "
            "log says more.",
        )
    done = report(is_success=True, message="")
    return EchoReport(
        is_success=True,
        message=f"{destination.ae_title} answered in {max(1, round(done.elapsed_ms))} ms.",
        elapsed_ms=done.elapsed_ms,
    )


def store(destination: Destination, paths: Iterable[Path]) -> StoreReport:
    """Send Part 10 files as they are, in their own transfer syntax.

    Parameters
    ----------
    destination : a registered one
    paths : stored instances

    Raises
    ------
    ForbiddenError
        If the destination is not registered.

    References
    ----------
    DICOM PS3.4 annex B, PS3.7 section 9.1.1.
    """
    warnings: list[str] = []
    failures: list[StoreFailure] = []
    sent = 0
    for kinds, batch in _batches(paths, failures):
        contexts = [build_context(sop_class, [syntax]) for sop_class, syntax in kinds]
        try:
            association = _call(destination, contexts, _STORE_TIMEOUT_S)
        except _CallError as error:
            failures += [StoreFailure(path, str(error)) for path in batch]
            continue
        try:
            for number, path in enumerate(batch):
                problem, warning = _send(association, destination, path, number % 65535 + 1)
                if problem:
                    failures.append(StoreFailure(path, problem))
                    continue
                sent += 1
                if warning:
                    warnings.append(warning)
        finally:
            _hang_up(association)
    return StoreReport(sent=sent, warnings=tuple(warnings), failures=tuple(failures))


def _batches(
    paths: Iterable[Path], failures: list[StoreFailure]
) -> list[tuple[list[tuple[str, str]], list[Path]]]:
    """Group files so that each group's SOP classes and syntaxes fit into one association."""
    by_kind: dict[tuple[str, str], list[Path]] = {}
    for path in paths:
        try:
            index = header.read_index(path)
        except (ImagingError, OSError) as error:
            failures.append(StoreFailure(path, str(error)))
            continue
        by_kind.setdefault((index.sop_class_uid, index.transfer_syntax_uid), []).append(path)
    kinds = list(by_kind)
    return [
        (group, [path for kind in group for path in by_kind[kind]])
        for start in range(0, len(kinds), _MOST_CONTEXTS)
        if (group := kinds[start : start + _MOST_CONTEXTS])
    ]


def _send(
    association: Association, destination: Destination, path: Path, message_id: int
) -> tuple[str, str]:
    """Send one file; returns the failure and the warning, empty where there is none."""
    name = destination.ae_title
    if not association.is_established:
        return (f"{name} ended the association before this instance.", "")
    try:
        answer = association.send_c_store(path, msg_id=message_id)
    except ValueError:
        return (f"{name} does not take this kind of instance in its encoding.", "")
    except (RuntimeError, OSError) as error:
        return (f"The instance could not be sent to {name}: {error}", "")
    code = answer.get("Status")
    if code is None:
        return (f"{name} did not answer, or ended the association.", "")
    comment = str(answer.get("ErrorComment", "") or "").strip().rstrip(".")
    said = f"{name} answered 0x{code:04X}{': ' + comment if comment else ''}."
    if code == status.SUCCESS:
        return ("", "")
    return ("", said) if code >> 12 == 0xB else (said, "")


def _call(
    destination: Destination, contexts: Sequence[PresentationContext], timeout_s: float
) -> Association:
    if destination._state.adding:
        raise ForbiddenError("Only registered destinations are called.")
    ae = _Caller(settings.DICOM_SCU_AE_TITLE)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = _CONNECT_TIMEOUT_S
    ae.acse_timeout = _ANSWER_TIMEOUT_S
    ae.dimse_timeout = timeout_s
    ae.network_timeout = timeout_s
    connected: list[bool] = []
    try:
        association = ae.associate(
            destination.host,
            destination.port,
            contexts=list(contexts),
            ae_title=destination.ae_title,
            tls_args=_tls(destination),
            evt_handlers=[(evt.EVT_CONN_OPEN, lambda _: connected.append(True))],
        )
    except (OSError, ValueError) as error:
        raise _CallError(_unreachable(destination, error)) from error
    if association.is_established:
        return association
    _hang_up(association)
    raise _CallError(_why_not(destination, association, is_connected=bool(connected)))


def _tls(destination: Destination) -> tuple[ssl.SSLContext, str] | None:
    if not destination.uses_tls:
        return None
    ours = settings.DICOM_TLS
    context = ssl.create_default_context(cafile=str(ours.ca) if ours and ours.ca else None)
    if ours:
        context.load_cert_chain(ours.cert, ours.key)
    return (context, destination.host)


def _hang_up(association: Association) -> None:
    if association.is_established:
        association.release()
    # pynetdicom leaves the socket open when the peer went first.
    association.dul.socket._shutdown_socket()


def _why_not(destination: Destination, association: Any, *, is_connected: bool) -> str:  # noqa: ANN401
    name = destination.ae_title
    if association.is_rejected:
        return _rejected(destination, association.acceptor.primitive)
    if not is_connected:
        return _unreachable(destination, _probe(destination))
    if association.acceptor.primitive is not None:
        return f"{name} took the association, but none of what we offered."
    tls = "" if destination.uses_tls else ", and whether it wants TLS"
    return (
        f"Something listens at {destination.host} port {destination.port}, but it did not answer "
        f"as a DICOM node. Check the port{tls}."
    )


def _rejected(destination: Destination, answer: Any) -> str:  # noqa: ANN401 - an A_ASSOCIATE
    name, ours = destination.ae_title, settings.DICOM_SCU_AE_TITLE
    reason = (answer.result_source, answer.diagnostic)
    if reason == (1, 3):
        return f"{name} does not know us. Have it admit the AE title {ours} from this machine."
    if reason == (1, 7):
        return (
            f"What listens at {destination.host} port {destination.port} is not called {name}. "
            "Correct the AE title of the destination."
        )
    if answer.result == 2:
        return f"{name} is too busy for another association now. Try again later."
    return f"{name} refused the association: {answer.reason_str}."


def _probe(destination: Destination) -> Exception | None:
    """Find out why a connection failed; pynetdicom keeps the reason to itself."""
    try:
        with socket.create_connection((destination.host, destination.port), _CONNECT_TIMEOUT_S):
            return None
    except OSError as error:
        return error


def _unreachable(destination: Destination, error: Exception | None) -> str:
    where = f"{destination.host} port {destination.port}"
    if isinstance(error, socket.gaierror):
        return f"There is no host named {destination.host}. Correct the destination's host."
    if isinstance(error, ConnectionRefusedError):
        return f"Nothing listens at {where}. Check the port, and that the other system runs."
    if isinstance(error, TimeoutError):
        return f"{where} does not answer. Check the address, the network and firewalls."
    if error is None and destination.uses_tls:
        return f"{where} answers, but not with TLS that we trust. Check its certificate."
    return f"{where} cannot be reached: {error or 'the connection broke'}."
