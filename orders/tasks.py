"""Work items that people do on the page, by the services that programs use."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import generate_uid

from archive import audit
from archive.access import Actor
from archive.errors import ForbiddenError
from imaging import ups
from imaging.ups import State, Verdict
from orders import workitems
from orders.models import Workitem
from orders.workitems import InvalidWorkitemError, StateError


def claim(actor: Actor, item_id: UUID) -> None:
    """Claim a work item for a person; see `workitems.change_state`."""
    workitems.change_state(actor, item_id, State.IN_PROGRESS, str(generate_uid(None)), is_here=True)


def set_progress(actor: Actor, item_id: UUID, percent: int) -> None:
    """Say how far a person is with an item that they claimed on the page.

    Raises
    ------
    InvalidWorkitemError, StateError, ForbiddenError, NotFoundError
    """
    if not 0 <= percent <= 100:
        raise InvalidWorkitemError("The progress is a percentage from 0 to 100.")
    with transaction.atomic():
        item = _mine(actor, item_id)
        changes = Dataset()
        known = ups.items(workitems.attributes_of(item), "ProcedureStepProgressInformationSequence")
        progress = known[0] if known else Dataset()
        progress.ProcedureStepProgress = str(percent)
        changes.ProcedureStepProgressInformationSequence = Items([progress])
        workitems.change(item, changes)
        audit.record(actor, "workitem.update", item)


def complete(actor: Actor, item_id: UUID) -> None:
    """End an item that a person claimed on the page, as done from the claim until now."""
    with transaction.atomic():
        item = _mine(actor, item_id)
        data_set = workitems.attributes_of(item)
        sequence = "UnifiedProcedureStepPerformedProcedureSequence"
        known = ups.items(data_set, sequence)
        performed = known[0] if known else Dataset()
        begun = timezone.localtime(item.claimed_at)
        defaults = {
            "PerformedStationNameCodeSequence": _codes_or(
                data_set, "ScheduledStationNameCodeSequence", ("WEB", "99NOCTIS", "Web page")
            ),
            "PerformedProcedureStepStartDateTime": begun.strftime("%Y%m%d%H%M%S.%f%z"),
            "PerformedWorkitemCodeSequence": _codes_or(
                data_set, "ScheduledWorkitemCodeSequence", ("TASK", "99NOCTIS", item.label)
            ),
            "PerformedProcedureStepEndDateTime": workitems.now(),
            "OutputInformationSequence": Items([]),
        }
        for keyword, value in defaults.items():
            if not ups.has_value(performed, keyword):
                setattr(performed, keyword, value)
        changes = Dataset()
        setattr(changes, sequence, Items([performed]))
        workitems.change(item, changes)
        workitems.require_final_state(item, State.COMPLETED)
        workitems.set_state(item, State.COMPLETED)
        audit.record(actor, "workitem.state", item, state=str(State.COMPLETED))


def cancel(actor: Actor, item_id: UUID, reason: str) -> bool:
    """Cancel an item on the page: the own one and an unclaimed one at once, another's by asking.

    Returns
    -------
    bool
        Whether it is canceled now.

    Raises
    ------
    InvalidWorkitemError
        Without a reason.
    StateError, UnreachablePerformerError, ForbiddenError, NotFoundError
    """
    reason = " ".join(reason.split())[:1024]
    if not reason or not reason.isprintable():
        raise InvalidWorkitemError("Say why: the reason is told to whoever waits for it.")
    asked = Dataset()
    asked.ReasonForCancellation = reason
    asked.ContactDisplayName = actor.name[:64]
    with transaction.atomic():
        item = workitems.locked(actor, item_id)
        if not _is_mine(actor, item):
            workitems.request_cancel(actor, item_id, asked, actor.name)
            item.refresh_from_db()
            return item.state == State.CANCELED
        data_set = Dataset.from_json(item.attributes)
        data_set.ProcedureStepProgressInformationSequence = Items(
            [workitems.cancellation(data_set, asked)]
        )
        workitems.keep(item, data_set)
        workitems.require_final_state(item, State.CANCELED)
        item.cancel_reason = reason
        workitems.set_state(item, State.CANCELED)
        audit.record(actor, "workitem.state", item, state=str(State.CANCELED))
    return True


def _mine(actor: Actor, item_id: UUID) -> Workitem:
    item = workitems.locked(actor, item_id)
    if item.state != State.IN_PROGRESS:
        verdict = (
            Verdict.NOT_IN_PROGRESS if item.state == State.SCHEDULED else Verdict.MAY_NOT_CHANGE
        )
        raise StateError(verdict, workitems.SENTENCES[verdict])
    if not _is_mine(actor, item):
        raise ForbiddenError("Somebody else has claimed this task.")
    return item


def _is_mine(actor: Actor, item: Workitem) -> bool:
    return (
        item.state == State.IN_PROGRESS
        and actor.user_id is not None
        and item.claimed_by_id == actor.user_id
    )


def _codes_or(data_set: Dataset, keyword: str, other: tuple[str, str, str]) -> Items:
    return Items(ups.items(data_set, keyword) or [workitems.code(*other)])
