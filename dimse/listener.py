"""The listening socket: every connection says who it is before anything is built for it.

Each connection gets a thread that sleeps until its association request is there. That thread admits
or refuses; only admitted callers cost an association, which the same thread then serves. With
`DICOM_FAST_PATH` off, pynetdicom's state machine gets the request's bytes and serves instead.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import ssl
import struct
import sys
import threading
import time
from dataclasses import dataclass, replace
from socketserver import BaseRequestHandler
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connections
from pynetdicom.ae import ApplicationEntity
from pynetdicom.transport import AddressInformation, ThreadedAssociationServer

from dimse import association, connection
from dimse.agreement import Agreement, agree
from dimse.association import Admissions, AssociationRequest, Refusal, RequestError
from dimse.census import Census
from dimse.clerk import Clerk
from dimse.connection import Pace, PeerGoneError, ProtocolError
from dimse.express import ExpressAssociation
from dimse.inbound import InboundAssociation
from dimse.services import Table
from dimse.upperlayer import Socket
from dimse.visit import Visit

logger = logging.getLogger(__name__)

_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class Desk:
    """What every connection of a receiver shares, whichever port it came to."""

    admissions: Admissions
    census: Census
    clerk: Clerk
    pace: Pace


class Connection(BaseRequestHandler):
    """One connection from its first byte until it is refused or served."""

    server: Listener

    def handle(self) -> None:
        """Read the association request, decide, hand on."""
        client: socket.socket = self.request
        census = self.server.desk.census
        census.wait(client, lambda: connection.break_off(client))
        try:
            connection.tune(client)
            client = self.server.secure(client)
            pdu = connection.receive_pdu(
                client,
                self.server.desk.pace.request_timeout_s,
                first=True,
                most=connection.MAX_REQUEST_BYTES,
            )
            request = replace(
                association.parse(pdu, self._address),
                encryption=connection.encryption_of(client),
            )
        except PeerGoneError:
            client.close()
            return
        except (OSError, ProtocolError, RequestError) as error:
            logger.info("%s is no DICOM caller: %s", self._address, error)
            connection.send_last(client, connection.ABORT)
            return
        finally:
            census.settle(self.request)
        close_old_connections()
        try:
            assoc = self._decide(client, pdu, request)
            if assoc is not None:
                # Many associations are idle: none of them keeps a connection to the database.
                connections.close_all()
                self._serve(assoc)
        finally:
            connections.close_all()

    @property
    def _address(self) -> str:
        return association.plain_address(self.client_address[0])

    def _decide(
        self, client: socket.socket, pdu: bytes, request: AssociationRequest
    ) -> ExpressAssociation | None:
        """Refuse, or begin; returns the association that this thread is to serve, if it is one."""
        desk = self.server.desk
        decision = desk.admissions.admit(request)
        if isinstance(decision, Refusal):
            self._refuse(client, request, decision)
            return None
        visit = Visit(
            facility=decision.facility,
            ae_title=request.calling_ae_title,
            address=request.address,
            clerk=desk.clerk,
            username=decision.username,
            certificate=request.encryption.fingerprint if request.encryption else "",
        )
        assoc: ExpressAssociation | InboundAssociation
        if settings.DICOM_FAST_PATH:
            assoc = ExpressAssociation(client, request, visit, self.server.services, desk.pace)
        else:
            assoc = self._build(
                client, pdu, visit, agree(request, self.server.services, visit.username)
            )
        full = desk.census.enter(assoc.guest)
        if full:
            visit.note_trouble(f"Put off: {full}")
            self._refuse(client, request, Refusal(2, 3, 2, "", full))
        if isinstance(assoc, ExpressAssociation):
            return None if full else assoc
        if full:
            assoc.dul.dispose()
            return None
        try:
            assoc.start()
        except RuntimeError:
            # The system gives no more threads.
            desk.census.leave(assoc.guest)
            assoc.dul.dispose()
            raise
        return None

    def _serve(self, assoc: ExpressAssociation) -> None:
        try:
            assoc.run()
        finally:
            self.server.desk.census.leave(assoc.guest)

    def _refuse(self, client: socket.socket, request: AssociationRequest, why: Refusal) -> None:
        logger.warning(
            "Refused %s at %s: %s", request.calling_ae_title, self._address, why.sentence
        )
        if why.facility is not None:
            self.server.desk.clerk.note_trouble(
                request.calling_ae_title, why.facility.pk, request.address, why.sentence
            )
        if why.code:
            self.server.desk.clerk.note_knock(association.knock_of(request, why))
        rejection = struct.pack(">BxIxBBB", 0x03, 4, why.result, why.source, why.reason)
        connection.send_last(client, rejection)

    def _build(
        self, client: socket.socket, pdu: bytes, visit: Visit, agreement: Agreement
    ) -> InboundAssociation:
        """Make the association as pynetdicom's own request handler does."""
        server = self.server
        assoc = InboundAssociation(
            server.ae,
            visit,
            server.services,
            agreement,
            on_end=lambda: server.desk.census.leave(assoc.guest),
        )
        assoc._server = server
        # pynetdicom finds its associations among the threads by this word.
        assoc.name = f"AcceptorThread {visit}"
        assoc.set_socket(Socket(assoc, client, pdu, server.desk.pace))
        acceptor = assoc.acceptor
        acceptor.maximum_length = server.ae.maximum_pdu_size
        acceptor.ae_title = server.ae_title
        acceptor.address_info = AddressInformation.from_tuple(server.server_address)
        acceptor.implementation_class_uid = server.ae.implementation_class_uid
        acceptor.implementation_version_name = server.ae.implementation_version_name
        assoc.requestor.address_info = AddressInformation.from_tuple(self.client_address)
        return assoc


class Listener(ThreadedAssociationServer):
    """One port.

    Parameters
    ----------
    ae : our application entity
    address : host and port to bind; port 0 takes a free one
    desk : shared by all ports of the receiver
    ssl_context : for a TLS port
    services : what may be asked for here; without it, everything
    """

    daemon_threads = True
    block_on_close = False
    # A whole ward may call at once; pynetdicom's default of 5 would keep it waiting.
    request_queue_size = 256

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int],
        desk: Desk,
        ssl_context: ssl.SSLContext | None = None,
        services: Table | None = None,
    ) -> None:
        self.desk = desk
        self.services = services or Table()
        super().__init__(
            ae,
            address,
            ae.ae_title,
            ae.supported_contexts,
            ssl_context,
            request_handler=Connection,
        )
        self._thread = threading.Thread(
            target=self.serve_forever, name=f"dimse-listener-{self.port}", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Accept connections from now on, until `shutdown`; associations outlive that."""
        self.ae._servers.append(self)
        self._thread.start()

    def secure(self, client: socket.socket) -> socket.socket:
        """Return the encrypted connection on a TLS port; the handshake has the request's time."""
        if self.ssl_context is None:
            return client
        client.settimeout(self.desk.pace.request_timeout_s)
        context: ssl.SSLContext = self.ssl_context
        return context.wrap_socket(client, server_side=True)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept one connection; without descriptors wait a little instead of spinning."""
        try:
            listening: socket.socket = self.socket
            return listening.accept()
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:
                logger.error("No connection can be accepted: %s", error)  # noqa: TRY400
                time.sleep(0.1)
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Log what broke a connection; the others go on."""
        logger.error("The connection from %s broke", client_address, exc_info=sys.exc_info())
        with contextlib.suppress(OSError):
            request.close()
