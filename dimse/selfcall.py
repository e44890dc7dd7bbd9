"""Calls to our own receiver through its port, for the health check: an echo and one instance."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from pydicom.dataset import Dataset
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

_TIMEOUT_S = 10.0


class SelfCallError(Exception):
    """The receiver did not do what it should; the message says what happened."""


def echo(calling_ae_title: str, host: str, port: int) -> None:
    """Send a C-ECHO to our own receiver.

    Parameters
    ----------
    calling_ae_title : one that the receiver admits
    host, port : where the receiver listens

    Raises
    ------
    SelfCallError
        Unless it answers with 0x0000.

    References
    ----------
    DICOM PS3.7 section 9.1.5.
    """
    ae = _entity(calling_ae_title)
    ae.add_requested_context(Verification)
    association = _associate(ae, host, port)
    try:
        _require_success(association.send_c_echo(), "echo")
    finally:
        association.release()


def store(calling_ae_title: str, host: str, port: int, instance: Dataset) -> None:
    """Send one instance to our own receiver by C-STORE.

    Parameters
    ----------
    calling_ae_title : one that the receiver admits
    host, port : where the receiver listens
    instance : with its file meta information

    Raises
    ------
    SelfCallError
        Unless it answers with 0x0000.

    References
    ----------
    DICOM PS3.7 section 9.1.1.
    """
    ae = _entity(calling_ae_title)
    ae.add_requested_context(instance.SOPClassUID, instance.file_meta.TransferSyntaxUID)
    association = _associate(ae, host, port)
    try:
        _require_success(association.send_c_store(instance), "instance")
    finally:
        association.release()


def _entity(calling_ae_title: str) -> ApplicationEntity:
    ae = ApplicationEntity(calling_ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = _TIMEOUT_S
    ae.connection_timeout = _TIMEOUT_S
    return ae


def _associate(ae: ApplicationEntity, host: str, port: int) -> Association:
    association = ae.associate(host, port, ae_title=settings.DICOM_SCP_AE_TITLE)
    if association.is_established:
        return association
    if association.is_rejected:
        raise SelfCallError(
            f"The receiver refused the association: {association.acceptor.primitive.reason_str}."
        )
    raise SelfCallError(f"Nothing answered as a DICOM node on {host}:{port}.")


def _require_success(answer: Any, what: str) -> None:  # noqa: ANN401 - pynetdicom's Dataset
    status = answer.get("Status")
    if status is None:
        raise SelfCallError(f"The receiver did not answer the {what} within {_TIMEOUT_S:.0f} s.")
    if status != 0:
        comment = answer.get("ErrorComment", "")
        raise SelfCallError(f"The receiver answered the {what} with 0x{status:04X} {comment}.")
