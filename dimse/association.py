"""Who is let in: the policy of association requests.

Nothing here reads or writes a connection; the listener acts on what is decided.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import Error as DatabaseError
from pynetdicom.pdu import A_ASSOCIATE_RQ

from archive import callers
from archive.errors import ForbiddenError, TooManyAttemptsError
from dimse import contexts
from dimse.clerk import KnockNote
from dimse.connection import Encryption
from dimse.contexts import Offer
from worklist.models import Facility, FacilityAE, UserIdentity

logger = logging.getLogger(__name__)

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
CACHE_S = 2.0
_IDENTITIES = {
    1: "a user name",
    2: "a user name with its password",
    3: "a Kerberos ticket",
    4: "a SAML assertion",
    5: "a JSON web token",
}
# Which kinds answer what a facility asks for; tickets and tokens are not checked here.
_OFFERS_ENOUGH: dict[str, set[int]] = {UserIdentity.NAME: {1, 2}, UserIdentity.PASSWORD: {2}}
_MOST_CACHED = 1024


class RequestError(Exception):
    """The bytes are no association request; the connection ends with an abort."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who operates the caller, as it says (PS3.7 D.3.3.7).

    Attributes
    ----------
    kind : 1 user name, 2 user name and passcode, 3 Kerberos ticket, 4 SAML assertion, 5 JSON web
        token
    primary, secondary : user name and passcode in UTF-8; of other kinds the ticket or token
    wants_response : it waits for our word that we have checked it
    """

    kind: int
    primary: bytes = field(repr=False)
    secondary: bytes = field(repr=False)
    wants_response: bool


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """An A-ASSOCIATE-RQ as far as admission and people need it (PS3.8 9.3.2).

    Attributes
    ----------
    calling_ae_title, called_ae_title : without padding; bytes outside ASCII shown escaped
    address : of the caller, an IPv4 or IPv6 address
    offers : proposed presentation contexts; empty when `fault` is set
    implementation : its version name, else its class UID
    protocol_version : bit 0 is version 1
    application_context : as sent
    titles : called and calling AE title and 32 reserved bytes as sent: the answer repeats them
    roles : SCU and SCP role that the caller proposes for itself, by SOP class (PS3.7 D.3.3.4)
    extended : its service class application information, by SOP class (PS3.7 D.3.3.5)
    encryption : what TLS says about it; None: it called in plain
    identity : who operates the caller, where it says so
    maximum_length : the largest P-DATA-TF that it takes (PS3.8 D.1); 0: of any length
    fault : why the items could not be read, else empty
    """

    calling_ae_title: str
    called_ae_title: str
    address: str
    offers: tuple[Offer, ...] = ()
    implementation: str = ""
    protocol_version: int = 1
    application_context: str = APPLICATION_CONTEXT
    titles: bytes = bytes(64)
    roles: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    extended: Mapping[str, bytes] = field(default_factory=dict)
    encryption: Encryption | None = None
    identity: Identity | None = None
    maximum_length: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An A-ASSOCIATE-RJ (PS3.8 9.3.4) and what people read about it.

    Attributes
    ----------
    result : 1 for good, 2 for now
    source : 1 service user, 2 ACSE, 3 presentation
    reason : by source, PS3.8 table 9-21
    code : the knock's reason code; empty when it is not for the knock list
    sentence : why, and the way on
    facility : whose AE title it used, where it is known
    """

    result: int
    source: int
    reason: int
    code: str
    sentence: str
    facility: Facility | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """The caller is known.

    Attributes
    ----------
    username : who operates it, where the facility asks for that
    """

    facility: Facility
    username: str = ""


def parse(pdu: bytes, address: str) -> AssociationRequest:
    """Read a whole A-ASSOCIATE-RQ PDU.

    Parameters
    ----------
    pdu : with its six bytes of type and length
    address : of the caller

    Raises
    ------
    RequestError
        If the PDU is too short to name anybody.

    References
    ----------
    DICOM PS3.8 section 9.3.2.
    """
    if len(pdu) < 74:
        raise RequestError("The association request is cut off.")
    called, calling = _ae_title(pdu[10:26]), _ae_title(pdu[26:42])
    version = int.from_bytes(pdu[6:8], "big")
    try:
        decoded = A_ASSOCIATE_RQ()
        decoded.decode(pdu)
        primitive = decoded.to_primitive()
        offers = tuple(
            Offer(
                context_id=context.context_id,
                abstract_syntax=str(context.abstract_syntax),
                transfer_syntaxes=tuple(str(uid) for uid in context.transfer_syntax),
            )
            for context in primitive.presentation_context_definition_list
        )
        application_context = str(primitive.application_context_name)
        about = decoded.user_information
        implementation = str(
            about.implementation_version_name or about.implementation_class_uid or ""
        )
        roles = {
            str(uid): (bool(item.scu_role), bool(item.scp_role))
            for uid, item in about.role_selection.items()
        }
        identity = _identity(about.user_identity)
        extended = {str(item.uid): bytes(item.app_info or b"") for item in about.ext_neg}
    except Exception as error:  # noqa: BLE001 - pynetdicom's decoder raises anything on bad input
        return AssociationRequest(
            calling_ae_title=calling,
            called_ae_title=called,
            address=address,
            protocol_version=version,
            fault=f"{type(error).__name__}: {error}",
        )
    return AssociationRequest(
        calling_ae_title=calling,
        called_ae_title=called,
        address=address,
        offers=offers,
        implementation=implementation,
        protocol_version=version,
        application_context=application_context,
        titles=bytes(pdu[10:74]),
        roles=roles,
        extended=extended,
        identity=identity,
        maximum_length=about.maximum_length or 0,
    )


def _identity(item: Any) -> Identity | None:  # noqa: ANN401 - pynetdicom's item
    if item is None:
        return None
    return Identity(
        kind=int(item.user_identity_type),
        primary=bytes(item.primary_field or b""),
        secondary=bytes(item.secondary_field or b""),
        wants_response=bool(item.positive_response_requested),
    )


def _ae_title(field: bytes) -> str:
    text = field.strip(b" \0").decode("ascii", "backslashreplace")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def plain_address(address: str) -> str:
    """Return an address as it is stored: no zone, IPv4 as IPv4.

    Examples
    --------
    >>> plain_address("::ffff:10.0.0.7")
    '10.0.0.7'
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)


class Admissions:
    """Decides about requests; asks the database at most every two seconds per AE title.

    Parameters
    ----------
    ae_title : ours
    """

    def __init__(self, ae_title: str) -> None:
        self.ae_title = ae_title
        self._lock = threading.Lock()
        self._cache: dict[str, tuple[float, FacilityAE | None]] = {}

    def admit(self, request: AssociationRequest) -> Admission | Refusal:
        """Let a caller in, or say why not.

        A caller is known by its AE title among the facilities' (and by its address where the
        facility names networks). Without any facility nobody is admitted.

        References
        ----------
        DICOM PS3.8 section 9.3.4, PS3.7 section D.3.3.
        """
        calling, called = request.calling_ae_title, request.called_ae_title
        if called != self.ae_title:
            return Refusal(
                1,
                1,
                7,
                "called-ae",
                f"{calling} called us {called}; our name is {self.ae_title}. Change the called AE "
                "title on the equipment.",
            )
        try:
            entry = self._entry_of(calling)
        except DatabaseError:
            logger.exception("Cannot look up who %s is", calling)
            return Refusal(2, 3, 1, "", f"{calling} was put off: the database does not answer.")
        if entry is None:
            return _stranger(
                "calling-ae",
                f"{calling} belongs to no facility yet. Admit it to one here, or correct the AE "
                "title on the equipment.",
            )
        facility = entry.facility
        if not facility.is_active:
            return _stranger(
                "inactive",
                f"{calling} belongs to {facility.name}, which is switched off. Switch the facility "
                "on to let it send.",
                facility,
            )
        if not facility.allows_address(request.address):
            return _stranger(
                "address",
                f"{calling} called from {request.address}, outside the networks of "
                f"{facility.name} ({', '.join(map(str, facility.address_ranges))}). Add the "
                "address to the facility, or find out whose equipment this is.",
                facility,
            )
        return _unproven(request, entry) or _misspoken(request) or self._sign_in(request, facility)

    def _sign_in(self, request: AssociationRequest, facility: Facility) -> Admission | Refusal:
        """Ask who operates the caller, where the facility wants to know.

        References
        ----------
        DICOM PS3.7 section D.3.3.7.
        """
        calling = request.calling_ae_title
        asked = facility.user_identity
        if not asked:
            return Admission(facility=facility)
        offered = request.identity
        if offered is None or offered.kind not in _OFFERS_ENOUGH[asked]:
            kind = _IDENTITIES.get(offered.kind, "something unknown") if offered else "nothing"
            wanted = UserIdentity(asked).label.lower()
            return _unidentified(
                f"{calling} sent {kind} about who operates it; {facility.name} asks for {wanted}. "
                "Set them on the equipment.",
                facility,
            )
        try:
            username = offered.primary.decode()
            password = offered.secondary.decode() if asked == UserIdentity.PASSWORD else None
            person = callers.person_at(
                facility, username, password, address=request.address, ae_title=calling
            )
        except UnicodeDecodeError:
            return _unidentified(f"{calling} sent a user name that is not UTF-8.", facility)
        except ForbiddenError as error:
            return _unidentified(f"{calling}: {error}", facility)
        except TooManyAttemptsError as error:
            return Refusal(2, 3, 1, "", f"{calling}: {error}", facility)
        except DatabaseError:
            logger.exception("Cannot look up who operates %s", calling)
            return Refusal(2, 3, 1, "", f"{calling} was put off: the database does not answer.")
        return Admission(facility=facility, username=person.username)

    def _entry_of(self, ae_title: str) -> FacilityAE | None:
        now = time.monotonic()
        with self._lock:
            until, entry = self._cache.get(ae_title, (0.0, None))
        if now < until:
            return entry
        entry = callers.entry_of(ae_title)
        with self._lock:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            self._cache[ae_title] = (now + CACHE_S, entry)
        return entry


def _unproven(request: AssociationRequest, entry: FacilityAE) -> Refusal | None:
    """Refuse who does not prove to be the equipment, where its facility wants that."""
    calling, facility = request.calling_ae_title, entry.facility
    if facility.requires_tls and request.encryption is None:
        return _stranger(
            "plain",
            f"{calling} called without encryption; {facility.name} takes encrypted calls alone. "
            "Set TLS and its port on the equipment.",
            facility,
        )
    if not entry.certificate:
        return None
    shown = request.encryption or Encryption()
    if entry.certificate in (shown.fingerprint, shown.subject):
        return None
    if not shown.fingerprint:
        sentence = (
            f"{calling} is bound to a certificate and presented none. Set TLS with its "
            "certificate on the equipment, or unbind it."
        )
    else:
        sentence = (
            f"{calling} is bound to another certificate than the one it presented, which names "
            f"{shown.subject[:80] or 'nobody'}. Find out whose equipment this is."
        )
    return _stranger("certificate", sentence, facility)


def _misspoken(request: AssociationRequest) -> Refusal | None:
    calling = request.calling_ae_title
    if not request.protocol_version & 1:
        return Refusal(1, 2, 2, "", f"{calling} speaks another version of the protocol.")
    if request.fault:
        return Refusal(1, 2, 1, "", f"The request of {calling} is damaged: {request.fault}")
    if request.application_context != APPLICATION_CONTEXT:
        return Refusal(1, 1, 2, "", f"{calling} wants another application than DICOM here.")
    return None


def _unidentified(sentence: str, facility: Facility) -> Refusal:
    # PS3.7 D.3.3.7: for good, by the ACSE related function of the service provider.
    return Refusal(1, 2, 1, "identity", sentence, facility)


def _stranger(code: str, sentence: str, facility: Facility | None = None) -> Refusal:
    # PS3.8 table 9-21: for good, by the service user, calling AE title not recognised.
    return Refusal(1, 1, 3, code, sentence, facility)


def knock_of(request: AssociationRequest, refusal: Refusal) -> KnockNote:
    """Return what the knock list keeps of a refused caller."""
    return KnockNote(
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
        address=request.address,
        reason_code=refusal.code,
        reason=refusal.sentence,
        proposed=tuple(contexts.in_words(request.offers)),
        implementation=request.implementation,
        certificate=request.encryption.fingerprint if request.encryption else "",
    )
