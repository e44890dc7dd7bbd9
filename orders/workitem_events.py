"""What subscribers of work items are told: written with the change, sent by the relay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from pydicom.dataset import Dataset

from archive import outbox
from archive.outbox import WorkitemChanged
from imaging.ups import Report
from orders.models import Workitem

# So that one event stays a row of a sensible size.
_MOST_SUBSCRIBERS = 200


def tell(item: Workitem, reports: Sequence[Report]) -> None:
    """Record, in the present transaction, that an item changed, and what its subscribers hear."""
    listeners = list(
        item.subscriptions.order_by("created_at").values_list("user_id", "ae_title")
        if reports
        else ()
    )
    first, *others = _portions(listeners) or [[]]
    _record(item, reports, first, is_changed=True)
    for some in others:
        _record(item, reports, some, is_changed=False)


def tell_one(item: Workitem, reports: Sequence[Report], user_id: UUID, ae_title: str) -> None:
    """Record what one subscriber alone hears; nothing has changed."""
    _record(item, reports, [(user_id, ae_title)], is_changed=False)


def _portions(listeners: list[tuple[UUID, str]]) -> list[list[tuple[UUID, str]]]:
    starts = range(0, len(listeners), _MOST_SUBSCRIBERS)
    return [listeners[at : at + _MOST_SUBSCRIBERS] for at in starts]


def _record(
    item: Workitem,
    reports: Iterable[Report],
    listeners: Iterable[tuple[UUID, str]],
    *,
    is_changed: bool,
) -> None:
    outbox.record(
        WorkitemChanged(
            facility_id=item.facility_id,
            workitem_id=item.pk,
            sop_instance_uid=item.sop_instance_uid,
            reports=[(report.type, _json(report.information)) for report in reports],
            subscribers=[(str(user_id), ae_title) for user_id, ae_title in listeners],
            is_changed=is_changed,
        )
    )


def _json(information: Dataset) -> dict[str, object]:
    found: dict[str, object] = information.to_json_dict()
    return found
