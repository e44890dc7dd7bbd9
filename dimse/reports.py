"""What we tell other systems unasked: storage commitment results, availability of instances."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from archive.availability import Availability
from archive.commitment import Report
from archive.models import Destination
from dimse import commands, status
from dimse.commands import CommandError
from dimse.contexts import Offer
from dimse.handlers import normalised
from dimse.outbound import Association, CallError
from dimse.peer import Context, PeerLostError
from imaging import identifier
from imaging.part10 import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN

COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
AVAILABILITY = "1.2.840.10008.5.1.4.33"

# Warnings are answers of a peer that took the message (PS3.7 annex C: attribute list, value range).
TAKEN = frozenset({status.SUCCESS, 0x0107, 0x0116})
_TRANSFER_SYNTAXES = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
_ANSWER_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message; see `archive.commitment.Delivery`."""

    is_success: bool
    message: str


def event_report(report: Report, context: Context, message_id: int) -> tuple[bytes, bytes]:
    """Return the command and the data set of a commitment's N-EVENT-REPORT.

    References
    ----------
    DICOM PS3.4 section J.3.3, PS3.7 section 10.1.1.
    """
    told = Dataset()
    told.TransactionUID = report.transaction_uid
    told.RetrieveAETitle = report.retrieve_ae_title
    if report.committed:
        told.ReferencedSOPSequence = Sequence(_reference(*pair) for pair in report.committed)
    if report.failed:
        failed = []
        for sop_class_uid, uid, reason in report.failed:
            item = _reference(sop_class_uid, uid)
            item.FailureReason = reason
            failed.append(item)
        told.FailedSOPSequence = Sequence(failed)
    command = commands.request(
        commands.N_EVENT_REPORT_RQ,
        message_id,
        {
            commands.AFFECTED_SOP_CLASS_UID: commands.ui(COMMITMENT),
            commands.AFFECTED_SOP_INSTANCE_UID: commands.ui(COMMITMENT_INSTANCE),
            commands.EVENT_TYPE_ID: commands.us(report.event_type_id),
        },
        has_data_set=True,
    )
    return command, identifier.write(told, context.transfer_syntax)


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def tell_commitment(destination: Destination, report: Report) -> Delivery:
    """Call an asker back and tell it what is committed; we keep the SCP role.

    Raises
    ------
    ForbiddenError
        If the destination is not registered.

    References
    ----------
    DICOM PS3.4 sections J.3.3 and J.5, PS3.7 section D.3.3.4.
    """
    offer = Offer(1, COMMITMENT, _TRANSFER_SYNTAXES)
    try:
        with Association(destination, [offer], roles={COMMITMENT: (False, True)}) as association:
            context = association.contexts[1]
            command, data_set = event_report(report, context, message_id=1)
            association.send(context, command, data_set)
            code = association.response_to(1, _ANSWER_TIMEOUT_S).command.status
    except (CallError, PeerLostError, CommandError) as error:
        return Delivery(is_success=False, message=str(error))
    return _delivery(destination, code, "report on storage commitment")


def tell_availability(destination: Destination, availability: Availability) -> Delivery:
    """Tell a destination what of a study is here.

    Raises
    ------
    ForbiddenError
        If the destination is not registered.

    References
    ----------
    DICOM PS3.4 section R.3.2.
    """
    told = Dataset()
    told.ReferencedPerformedProcedureStepSequence = Sequence(
        _performed_step(*pair) for pair in availability.performed_steps
    )
    told.StudyInstanceUID = availability.study_instance_uid
    told.ReferencedSeriesSequence = Sequence(
        _series(uid, instances, availability.retrieve_ae_title)
        for uid, instances in availability.series.items()
    )
    fields = {
        commands.AFFECTED_SOP_CLASS_UID: commands.ui(AVAILABILITY),
        commands.AFFECTED_SOP_INSTANCE_UID: commands.ui(availability.sop_instance_uid),
    }
    command = commands.request(commands.N_CREATE_RQ, 1, fields, has_data_set=True)
    try:
        with Association(destination, [Offer(1, AVAILABILITY, _TRANSFER_SYNTAXES)]) as association:
            context = association.contexts[1]
            association.send(context, command, identifier.write(told, context.transfer_syntax))
            code = association.response_to(1, _ANSWER_TIMEOUT_S).command.status
    except (CallError, PeerLostError, CommandError) as error:
        return Delivery(is_success=False, message=str(error))
    # It was sent before and its answer was lost: it is there (PS3.7 C.5.7).
    if code == normalised.DUPLICATE_INSTANCE:
        code = status.SUCCESS
    return _delivery(destination, code, "notification of availability")


def _performed_step(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = _reference(sop_class_uid, sop_instance_uid)
    item.PerformedWorkitemCodeSequence = Sequence()
    return item


def _series(uid: str, instances: Iterable[tuple[str, str]], retrieve_ae_title: str) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = uid
    items = []
    for sop_class_uid, sop_instance_uid in instances:
        item = _reference(sop_class_uid, sop_instance_uid)
        item.InstanceAvailability = "ONLINE"
        item.RetrieveAETitle = retrieve_ae_title
        items.append(item)
    series.ReferencedSOPSequence = Sequence(items)
    return series


def _delivery(destination: Destination, code: int, what: str) -> Delivery:
    name = destination.ae_title
    if code in TAKEN:
        return Delivery(is_success=True, message=f"{name} took the {what}.")
    return Delivery(
        is_success=False,
        message=f"{name} answered the {what} with an error (0x{code:04X}). Its log says more.",
    )
