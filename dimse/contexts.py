"""Presentation contexts: which ones we take, in which encoding, and how people read them.

Storage is open by kind, not by list: every storage SOP class of the standard, retired ones, private
ones and those of later editions, in every transfer syntax, because data sets are kept as received.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom._uid_dict import UID_dictionary
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from imaging.uid import is_valid_uid

# Results of PS3.8 table 9-18.
ACCEPTED = 0x00
USER_REJECTION = 0x01
ABSTRACT_SYNTAX_NOT_SUPPORTED = 0x03
TRANSFER_SYNTAXES_NOT_SUPPORTED = 0x04

# Called storage by PS3.6, but not a service over the network.
_NOT_STORED = {
    "1.2.840.10008.1.3.10",  # Media Storage Directory Storage: a DICOMDIR
    "1.2.840.10008.1.20.1",  # Storage Commitment Push Model
    "1.2.840.10008.1.20.2",  # Storage Commitment Pull Model
}


@dataclass(frozen=True, slots=True)
class Offer:
    """One proposed presentation context (PS3.8 9.3.2.2), in the caller's order of preference."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


def is_storage(abstract_syntax: str) -> bool:
    """Whether instances of this SOP class are stored.

    Parameters
    ----------
    abstract_syntax : a lawful UID

    Returns
    -------
    True for every storage SOP class of PS3.6, and for every UID that PS3.6 and pynetdicom do not
    know: private classes and those of later editions.
    """
    entry = UID_dictionary.get(abstract_syntax)
    if entry is None:
        # pynetdicom knows a few classes that pydicom's dictionary lacks.
        return uid_to_service_class(abstract_syntax) in (ServiceClass, StorageServiceClass)
    name, kind = entry[0], entry[1]
    return kind == "SOP Class" and "Storage" in name and abstract_syntax not in _NOT_STORED


def negotiate(
    offers: Sequence[Offer],
    services: Mapping[str, Sequence[str]],
    roles: Mapping[str, tuple[bool, bool]],
    *,
    takes_storage: bool = True,
) -> list[PresentationContext]:
    """Answer every proposed context.

    The transfer syntax is the first lawful one in the caller's order: it lists what it holds or
    likes best first, and whatever it is, it is stored as received.

    Parameters
    ----------
    offers : what the caller proposed
    services : abstract syntaxes of services other than storage, with their transfer syntaxes
    roles : SCU and SCP role that the caller proposed, by abstract syntax (PS3.7 D.3.3.4)
    takes_storage : whether instances are stored here

    Returns
    -------
    One context per offer, in its order, with result and transfer syntax.
    """
    return [_answer(offer, services, roles, takes_storage=takes_storage) for offer in offers]


def _answer(
    offer: Offer,
    services: Mapping[str, Sequence[str]],
    roles: Mapping[str, tuple[bool, bool]],
    *,
    takes_storage: bool,
) -> PresentationContext:
    context = PresentationContext()
    context.context_id = offer.context_id
    context.abstract_syntax = offer.abstract_syntax
    context._as_scu, context._as_scp = False, True
    lawful = [uid for uid in offer.transfer_syntaxes if is_valid_uid(uid)]
    spoken = services.get(offer.abstract_syntax)
    if spoken is not None:
        usable = [uid for uid in lawful if uid in spoken]
    elif (
        takes_storage and is_valid_uid(offer.abstract_syntax) and is_storage(offer.abstract_syntax)
    ):
        usable = lawful
    else:
        return _refused(context, ABSTRACT_SYNTAX_NOT_SUPPORTED)
    if not usable:
        return _refused(context, TRANSFER_SYNTAXES_NOT_SUPPORTED)
    if not any(roles.get(offer.abstract_syntax, (True, False))):
        # Nobody could send a request on it.
        return _refused(context, USER_REJECTION)
    context.transfer_syntax = [usable[0]]
    context.result = ACCEPTED
    return context


def _refused(context: PresentationContext, result: int) -> PresentationContext:
    # Not significant in a refusal (PS3.8 9.3.3.2), but pynetdicom's encoder wants one.
    context.transfer_syntax = ["1.2.840.10008.1.2"]
    context.result = result
    return context


def in_words(offers: Sequence[Offer]) -> list[str]:
    """Return what was proposed as people read it.

    Examples
    --------
    >>> ct = "1.2.840.10008.5.1.4.1.1.2"
    >>> in_words([Offer(1, ct, ("1.2.840.10008.1.2",)), Offer(3, ct, ("1.2.840.10008.1.2.1",))])
    ['CT Image Storage (2 transfer syntaxes)']
    """
    syntaxes: dict[str, set[str]] = {}
    for offer in offers:
        syntaxes.setdefault(offer.abstract_syntax, set()).update(offer.transfer_syntaxes)
    return [
        f"{_name(uid)} ({len(found)} transfer syntax{'es' if len(found) != 1 else ''})"
        for uid, found in syntaxes.items()
    ]


def _name(uid: str) -> str:
    entry = UID_dictionary.get(uid)
    return entry[0] if entry is not None else f"private or unknown class {uid}"
