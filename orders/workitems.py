"""Work items (Unified Procedure Steps): planned, claimed, worked on and ended (PS3.4 annex CC).

By web and on the page alike. A claim is a lock: it is made with a Transaction UID, and only who
knows that goes on with the item.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import generate_uid

from archive import audit
from archive.access import Actor, Scope
from archive.catalogue import fold
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from imaging import ups
from imaging.uid import is_valid_uid
from imaging.ups import FINAL, State, Verdict
from orders import subscriptions
from orders.models import Workitem
from orders.workitem_events import tell
from worklist.models import Facility

_START = re.compile(r"(\d{4}(?:\d{2}){0,5}(?:\.\d{1,6})?)(?:[+-]\d{4})?")
_CHARACTER_SET = 0x00080005
# "Discontinued for unspecified reason" (PS3.16 CID 9300).
_UNSPECIFIED = ("110513", "DCM", "Discontinued for unspecified reason")


class InvalidWorkitemError(InvalidInputError):
    """An attribute is missing, or has a value that it may not have here."""


class FinishedWorkitemError(InvalidInputError):
    """It is completed or canceled: nothing changes any more (C300)."""


class TransactionError(InvalidInputError):
    """The Transaction UID is missing or another one (C301)."""

    def __init__(self, *, is_missing: bool) -> None:
        self.is_missing = is_missing
        super().__init__(
            "The work item is somebody's: send the Transaction UID it was claimed with."
            if is_missing
            else "The Transaction UID is not the one that the work item was claimed with."
        )


class UnclaimedError(ConflictError):
    """What only a performer may do was asked of an item that nobody has claimed (C310)."""


class DuplicateWorkitemError(ConflictError):
    """The UID is taken."""


class StateError(ConflictError):
    """The item does not go from its state to the wanted one."""

    def __init__(self, verdict: Verdict, sentence: str) -> None:
        self.verdict = verdict
        super().__init__(sentence)


class UnreachablePerformerError(ConflictError):
    """Nobody who performs the item would hear of a request to cancel it (C312)."""


SENTENCES = {
    Verdict.MAY_NOT_CHANGE: "The work item is completed or canceled; nothing changes any more.",
    Verdict.ALREADY_IN_PROGRESS: "The work item is in progress already: somebody has claimed it.",
    Verdict.ONLY_BY_CREATION: "A work item is SCHEDULED when it is created, and never again.",
    Verdict.NOT_IN_PROGRESS: "Nobody has claimed the work item. Set it IN PROGRESS first.",
}


def create(
    actor: Actor, facility: Facility, uid: str, data_set: Dataset
) -> tuple[Workitem, list[str]]:
    """Put a new work item on the list.

    Parameters
    ----------
    facility : whose it becomes
    uid : SOP Instance UID; empty: one is made
    data_set : attributes of table CC.2.5-3; changed to what is kept

    Returns
    -------
    tuple
        The item, and keywords of what was added to it.

    Raises
    ------
    ForbiddenError
        When the actor's role or scope does not allow it.
    InvalidWorkitemError
        For what table CC.2.5-3 does not allow.
    DuplicateWorkitemError
        When the facility has an item with this UID.

    References
    ----------
    DICOM PS3.4 section CC.2.5.
    """
    require_work(actor, facility.pk)
    if uid and not is_valid_uid(uid):
        raise InvalidWorkitemError("The UID of the work item is no lawful UID (PS3.5 9.1).")
    if complaints := ups.unfit_for_creation(data_set):
        raise InvalidWorkitemError(" ".join(complaints))
    added = ups.supplement(data_set, worklist_label=facility.name[:64])
    kept = ups.without_servers_own(data_set)
    kept.ScheduledProcedureStepModificationDateTime = now()
    item = Workitem(
        facility=facility,
        sop_instance_uid=uid or str(generate_uid(None)),
        created_by=actor.name[:150],
    )
    keep(item, kept)
    try:
        with transaction.atomic():
            item.save(force_insert=True)
            subscriptions.follow(item, attributes_of(item))
            reports = [ups.state_report(kept)]
            if any(ups.has_value(kept, keyword) for keyword in ups.ASSIGNMENT):
                reports.append(ups.assignment_report(kept))
            audit.record(actor, "workitem.create", item)
            tell(item, reports)
    except IntegrityError as error:
        raise DuplicateWorkitemError("A work item with this UID exists already.") from error
    return item, [keyword for keyword in added if keyword != "TransactionUID"]


def attributes_of(item: Workitem) -> Dataset:
    """Return the whole item but its lock (PS3.4 CC.2.7.3)."""
    found = Dataset.from_json(item.attributes)
    found.SOPClassUID = ups.PUSH
    found.SOPInstanceUID = item.sop_instance_uid
    return found


def workitem_named(scope: Scope, uid: str, code: str | None = None) -> Workitem:
    """Return a work item by its SOP Instance UID, and its facility's code where several have it.

    Raises
    ------
    NotFoundError, ForbiddenError
    ConflictError
        When several facilities in scope have it and none is named.
    """
    if not is_valid_uid(uid) or (code and not code.isprintable()):
        raise NotFoundError("There is no such work item.")
    rows = Workitem.objects.select_related("facility").filter(sop_instance_uid=uid)
    if code:
        rows = rows.filter(facility__code__iexact=code)
    mine = list(scope.filter(rows)[:2])
    if len(mine) > 1:
        raise ConflictError("Several facilities have this work item: name one in 'facility'.")
    if mine:
        return mine[0]
    if rows.exists():
        raise ForbiddenError("This work item belongs to a facility that is not yours.")
    raise NotFoundError("There is no such work item.")


def require_work(actor: Actor, facility_id: UUID) -> None:
    """Refuse an actor who may not plan or do work of a facility."""
    if not actor.can_upload:
        raise ForbiddenError("Your role does not allow to change work items.")
    if not actor.scope.includes(facility_id):
        raise ForbiddenError("This work item belongs to a facility that is not yours.")


def update(actor: Actor, item_id: UUID, changes: Dataset, transaction_uid: str) -> list[str]:
    """Change attributes of a work item.

    Parameters
    ----------
    changes : what becomes different; sequences as a whole
    transaction_uid : of the claim; empty for an item that is SCHEDULED

    Returns
    -------
    list
        Keywords of what was sent and not taken.

    Raises
    ------
    InvalidWorkitemError, FinishedWorkitemError, TransactionError, UnclaimedError
    ForbiddenError, NotFoundError

    References
    ----------
    DICOM PS3.4 section CC.2.6.
    """
    if complaints := ups.unfit_for_update(changes):
        raise InvalidWorkitemError(" ".join(complaints))
    taken = ups.without_servers_own(changes)
    with transaction.atomic():
        item = locked(actor, item_id)
        _check_lock(item, transaction_uid, is_of_performer=ups.is_of_performer(taken))
        change(item, taken)
        audit.record(actor, "workitem.update", item)
    # Whoever claims knows the lock already; that it came along is no change.
    return [e.keyword for e in changes if e.tag not in taken and e.keyword != "TransactionUID"]


def _check_lock(item: Workitem, transaction_uid: str, *, is_of_performer: bool) -> None:
    if State(item.state) in FINAL:
        raise FinishedWorkitemError(SENTENCES[Verdict.MAY_NOT_CHANGE])
    if item.state == State.IN_PROGRESS:
        if transaction_uid != item.transaction_uid:
            raise TransactionError(is_missing=not transaction_uid)
    elif is_of_performer or transaction_uid:
        raise UnclaimedError(SENTENCES[Verdict.NOT_IN_PROGRESS])


def change_state(
    actor: Actor, item_id: UUID, wanted: State, transaction_uid: str, *, is_here: bool = False
) -> Verdict:
    """Claim a work item, or end one that was claimed.

    Parameters
    ----------
    transaction_uid : of the claim that is made, or was
    is_here : made by a person on the page, who goes on there

    Returns
    -------
    Verdict
        DONE, or a warning that the item is in this state already.

    Raises
    ------
    TransactionError, StateError, InvalidWorkitemError, ForbiddenError, NotFoundError

    References
    ----------
    DICOM PS3.4 section CC.2.1.
    """
    if transaction_uid and not is_valid_uid(transaction_uid):
        raise InvalidWorkitemError("The Transaction UID is no lawful UID (PS3.5 9.1).")
    with transaction.atomic():
        item = locked(actor, item_id)
        present = State(item.state)
        verdict = ups.transition(
            present, wanted, lock=item.transaction_uid, transaction=transaction_uid
        )
        if verdict is Verdict.WRONG_TRANSACTION:
            raise TransactionError(is_missing=not transaction_uid)
        if verdict in SENTENCES:
            raise StateError(verdict, SENTENCES[verdict])
        if verdict is not Verdict.DONE:
            return verdict
        if wanted in FINAL:
            require_final_state(item, wanted)
        else:
            item.transaction_uid = transaction_uid
            item.performer = actor.name[:150]
            item.claimed_at = timezone.now()
            item.claimed_by_id = actor.user_id if is_here else None
        set_state(item, wanted)
        audit.record(actor, "workitem.state", item, state=str(wanted))
    return verdict


def require_final_state(item: Workitem, wanted: State) -> None:
    """Refuse to end an item that lacks what it must hold in the end."""
    unmet = ups.unmet_in_the_end(attributes_of(item), wanted)
    if unmet:
        raise StateError(
            Verdict.FINAL_STATE_NOT_MET,
            f"Before it is {wanted}, the work item needs: {', '.join(unmet)} (PS3.4 CC.2.5-3).",
        )


def set_state(item: Workitem, wanted: State) -> None:
    """Put a locked item into a state, and tell of it; whether it may go there was decided."""
    data_set = Dataset.from_json(item.attributes)
    data_set.ProcedureStepState = str(wanted)
    keep(item, data_set)
    if wanted in FINAL:
        item.ended_at = timezone.now()
    item.changed_at = timezone.now()
    item.save()
    tell(item, [ups.state_report(data_set)])


def change(item: Workitem, changes: Dataset) -> None:
    """Change attributes of a locked item, and tell of it; whether they may was decided."""
    before = Dataset.from_json(item.attributes)
    after = Dataset.from_json(item.attributes)
    after.update(changes)
    after.ScheduledProcedureStepModificationDateTime = now()
    keep(item, after)
    item.changed_at = timezone.now()
    item.save()
    tell(item, ups.reports_of_change(before, after))


def request_cancel(actor: Actor, item_id: UUID, asked: Dataset, requester: str) -> Verdict:
    """Ask that a work item be canceled; one that nobody has claimed is canceled at once.

    Parameters
    ----------
    asked : reason, its code, whom to talk to; may be empty
    requester : AE title, or what goes for one

    Returns
    -------
    Verdict
        DONE, or ALREADY_CANCELED.

    Raises
    ------
    StateError
        When it is completed.
    UnreachablePerformerError
        When no performer would hear of it.
    ForbiddenError, NotFoundError

    References
    ----------
    DICOM PS3.4 section CC.2.2.
    """
    _json_of(asked)
    with transaction.atomic():
        item = locked(actor, item_id)
        if item.state == State.CANCELED:
            return Verdict.ALREADY_CANCELED
        if item.state == State.COMPLETED:
            raise StateError(Verdict.MAY_NOT_CHANGE, "The work item is completed already.")
        reason = ups.text(asked, "ReasonForCancellation")
        if item.state == State.SCHEDULED:
            _cancel_unclaimed(item, asked)
        else:
            if item.claimed_by_id is None and not item.subscriptions.exists():
                raise UnreachablePerformerError(
                    "The performer of the work item listens to no events, and cannot be told."
                )
            item.cancel_requested_by = requester[:150]
            item.cancel_reason = reason[:1024]
            item.changed_at = timezone.now()
            item.save(update_fields=["cancel_requested_by", "cancel_reason", "changed_at"])
            tell(item, [ups.cancel_request(asked, requester=requester[:16])])
        audit.record(actor, "workitem.cancel_request", item)
    return Verdict.DONE


def _cancel_unclaimed(item: Workitem, asked: Dataset) -> None:
    """Cancel as the standard has it: through IN PROGRESS, with all that a canceled item has."""
    item.transaction_uid = str(generate_uid(None))
    set_state(item, State.IN_PROGRESS)
    data_set = Dataset.from_json(item.attributes)
    data_set.ProcedureStepProgressInformationSequence = Items([cancellation(data_set, asked)])
    keep(item, data_set)
    require_final_state(item, State.CANCELED)
    item.cancel_reason = ups.text(asked, "ReasonForCancellation")[:1024]
    set_state(item, State.CANCELED)


def cancellation(data_set: Dataset, asked: Dataset) -> Dataset:
    """Return the progress of an item that is being canceled."""
    known = ups.items(data_set, "ProcedureStepProgressInformationSequence")
    found = known[0] if known else Dataset()
    found.ProcedureStepCancellationDateTime = now()
    reason = ups.text(asked, "ReasonForCancellation")
    if reason:
        found.ReasonForCancellation = reason
    codes = ups.items(asked, "ProcedureStepDiscontinuationReasonCodeSequence")
    found.ProcedureStepDiscontinuationReasonCodeSequence = Items(codes or [code(*_UNSPECIFIED)])
    return found


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence (PS3.3 8.8)."""
    found = Dataset()
    found.CodeValue = value
    found.CodingSchemeDesignator = scheme
    found.CodeMeaning = meaning
    return found


def now() -> str:
    """Return the moment as DT, with its offset."""
    return timezone.localtime().strftime("%Y%m%d%H%M%S.%f%z")


# Rows --------------------------------------------------------------------------------------------


def locked(actor: Actor, item_id: UUID) -> Workitem:
    """Return an item that nobody else changes until the transaction ends."""
    item = Workitem.objects.select_for_update().filter(pk=item_id).first()
    if item is None:
        raise NotFoundError("There is no such work item.")
    require_work(actor, item.facility_id)
    return item


def keep(item: Workitem, data_set: Dataset) -> None:
    """Put the object, and what lists are made of, into the row."""
    if _CHARACTER_SET in data_set:
        del data_set[_CHARACTER_SET]
    if "SOPInstanceUID" in data_set:
        data_set = ups.without_servers_own(data_set)
    start = _START.fullmatch(ups.text(data_set, "ScheduledProcedureStepStartDateTime"))
    if start is None:
        raise InvalidWorkitemError(
            "ScheduledProcedureStepStartDateTime cannot be read. Write it as 20260131093000+0100."
        )
    study = ups.text(data_set, "StudyInstanceUID")
    if study and not is_valid_uid(study):
        raise InvalidWorkitemError("The Study Instance UID is no lawful UID (PS3.5 9.1).")
    texts: Sequence[tuple[str, str, int]] = (
        ("label", "ProcedureStepLabel", 64),
        ("worklist_label", "WorklistLabel", 64),
        ("priority", "ScheduledProcedureStepPriority", 16),
        ("readiness", "InputReadinessState", 16),
        ("patient_name", "PatientName", 324),
        ("patient_identifier", "PatientID", 64),
    )
    for column, keyword, longest in texts:
        value = ups.text(data_set, keyword)
        if len(value) > longest or not value.isprintable():
            raise InvalidWorkitemError(
                f"{keyword} has more than {longest} characters, or a control character."
            )
        setattr(item, column, value)
    item.state = ups.text(data_set, "ProcedureStepState")
    item.start = start[1]
    item.study_instance_uid = study
    item.patient_name_folded = fold(item.patient_name)[:324]
    item.progress = ups.progress_of(data_set)
    item.attributes = _json_of(data_set)


def _json_of(data_set: Dataset) -> dict[str, Any]:
    """Return a data set as DICOM JSON that every database takes."""
    try:
        model: dict[str, Any] = data_set.to_json_dict()
    except Exception as error:  # pydicom raises anything on values that their VR does not allow
        raise InvalidWorkitemError(
            "An attribute has a value that its VR does not allow."
        ) from error
    try:
        is_text = "\\u0000" not in json.dumps(model)
        json.dumps(model, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        is_text = False
    if not is_text:
        raise InvalidWorkitemError("An attribute holds characters that are no text.")
    return model
