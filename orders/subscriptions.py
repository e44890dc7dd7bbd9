"""Who is told what becomes of work items: of one, of all, of those that match (PS3.4 CC.2.3)."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from pydicom.dataset import Dataset

from archive import audit, jobs, runner
from archive.access import Actor, scope_of
from archive.errors import ForbiddenError, InvalidInputError, NotFoundError
from imaging import aetitle, matching, ups
from imaging.errors import ImagingError
from orders.models import (
    OPEN_WORKITEMS,
    Workitem,
    WorkitemState,
    WorkitemSubscription,
    WorklistSubscription,
)
from orders.workitem_events import tell_one

logger = logging.getLogger(__name__)

# Open items that one subscription to all takes in at once.
_MOST_ITEMS = 2000
_MOST_SUBSCRIPTIONS = 100
_PIECE = 50
_MOST_REMOVED = 1000


def subscribe(actor: Actor, item: Workitem, ae_title: str, *, wants_lock: bool) -> bool:
    """Let a subscriber hear of one work item; how it stands is told at once.

    Parameters
    ----------
    wants_lock : keep the item, also when it has ended, until the subscription ends

    Returns
    -------
    bool
        Whether the lock is as it was wanted.

    Raises
    ------
    ForbiddenError, InvalidInputError

    References
    ----------
    DICOM PS3.4 section CC.2.3.3.
    """
    title = checked_title(ae_title)
    user_id = _account(actor)
    has_lock = wants_lock and actor.can_upload
    with transaction.atomic():
        WorkitemSubscription.objects.update_or_create(
            workitem=item, user_id=user_id, ae_title=title, defaults={"has_lock": has_lock}
        )
        audit.record(actor, "workitem.subscribe", item)
        tell_one(item, [ups.state_report(Dataset.from_json(item.attributes))], user_id, title)
    return has_lock == wants_lock


def subscribe_all(
    actor: Actor, ae_title: str, *, wants_lock: bool, keys: Dataset | None = None
) -> bool:
    """Let a subscriber hear of every open work item in scope, and of those that will come.

    Parameters
    ----------
    keys : of those alone that match them; None: of all

    Returns
    -------
    bool
        Whether the lock is as it was wanted.

    Raises
    ------
    ForbiddenError
    InvalidInputError
        For a title or keys that cannot be read, or too many subscriptions.
    InvalidQueryError
        For keys that cannot be read.

    References
    ----------
    DICOM PS3.4 section CC.2.3.3, PS3.18 section 11.10.
    """
    title = checked_title(ae_title)
    user_id = _account(actor)
    if keys is not None:
        matching.check(keys)
    has_lock = wants_lock and actor.can_upload
    with transaction.atomic():
        known = WorklistSubscription.objects.filter(user_id=user_id)
        row, is_new = WorklistSubscription.objects.update_or_create(
            user_id=user_id,
            ae_title=title,
            is_filtered=keys is not None,
            defaults={
                "has_lock": has_lock,
                "filter": keys.to_json_dict() if keys is not None else {},
            },
        )
        if is_new and known.count() > _MOST_SUBSCRIPTIONS:
            raise InvalidInputError(
                f"More than {_MOST_SUBSCRIPTIONS} subscriptions of one account. End others first."
            )
        audit.record(actor, "worklist.subscribe", row, is_filtered=keys is not None)
    # From here on `follow` sees to what is new.
    open_items = actor.scope.filter(Workitem.objects.filter(state__in=OPEN_WORKITEMS))
    waiting = list(open_items.order_by("-id").values_list("pk", flat=True)[:_MOST_ITEMS])
    for start in range(0, len(waiting), _PIECE):
        _take_in(waiting[start : start + _PIECE], row)
    return has_lock == wants_lock


def _take_in(item_ids: list[UUID], row: WorklistSubscription) -> None:
    """Subscribe to those of some items that match; few at a time, so that nobody waits long."""
    keys = Dataset.from_json(row.filter)
    with transaction.atomic():
        # Locked: how an item stands is told before what becomes of it.
        items = Workitem.objects.select_for_update().filter(pk__in=item_ids).order_by("-id")
        for item in items:
            data_set = Dataset.from_json(item.attributes)
            data_set.SOPInstanceUID = item.sop_instance_uid
            if matching.matches(data_set, keys):
                WorkitemSubscription.objects.update_or_create(
                    workitem=item,
                    user_id=row.user_id,
                    ae_title=row.ae_title,
                    defaults={"has_lock": row.has_lock},
                )
                tell_one(item, [ups.state_report(data_set)], row.user_id, row.ae_title)


def unsubscribe(actor: Actor, item: Workitem, ae_title: str) -> None:
    """End the subscription of one work item, its lock included.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    with transaction.atomic():
        gone, _ = WorkitemSubscription.objects.filter(
            workitem=item, user_id=_account(actor), ae_title=checked_title(ae_title)
        ).delete()
        if not gone:
            raise NotFoundError("There is no such subscription of this account.")
        audit.record(actor, "workitem.unsubscribe", item)


def unsubscribe_all(actor: Actor, ae_title: str, *, is_filtered: bool) -> None:
    """End a subscription to all work items, and to each of them.

    Raises
    ------
    NotFoundError
        When there is neither.
    """
    title, user_id = checked_title(ae_title), _account(actor)
    with transaction.atomic():
        ended, _ = _worklist_rows(actor, title, is_filtered=is_filtered).delete()
        left, _ = WorkitemSubscription.objects.filter(user_id=user_id, ae_title=title).delete()
        if not (ended or left):
            raise NotFoundError("There is no such subscription of this account.")
        audit.record(actor, "worklist.unsubscribe", count=left)


def suspend(actor: Actor, ae_title: str, *, is_filtered: bool) -> None:
    """Take in no further work items; those that are subscribed stay so (CC.2.3.1)."""
    with transaction.atomic():
        ended, _ = _worklist_rows(actor, checked_title(ae_title), is_filtered=is_filtered).delete()
        if not ended:
            raise NotFoundError("There is no such subscription of this account.")
        audit.record(actor, "worklist.suspend")


def follow(item: Workitem, data_set: Dataset) -> None:
    """Subscribe to a new work item whoever wants to hear of such ones."""
    for row in WorklistSubscription.objects.select_related("user").filter(user__is_active=True):
        if not scope_of(row.user).includes(item.facility_id):
            continue
        if row.is_filtered and not matching.matches(data_set, Dataset.from_json(row.filter)):
            continue
        WorkitemSubscription.objects.get_or_create(
            workitem=item,
            user_id=row.user_id,
            ae_title=row.ae_title,
            defaults={"has_lock": row.has_lock},
        )


def checked_title(text: str) -> str:
    """Return an AE title, or refuse it.

    Raises
    ------
    InvalidInputError
    """
    try:
        return aetitle.validate(text)
    except ImagingError as error:
        raise InvalidInputError(str(error)) from error


@runner.carer
def forget_ended() -> None:
    """Queue the removal of work items that ended long ago."""
    if _ended_long_ago().exists():
        jobs.enqueue("orders.forget_workitems", "")


@jobs.handler("orders.forget_workitems")
def remove_ended() -> None:
    """Remove work items that ended long ago and that nobody's deletion lock keeps."""
    keys = list(_ended_long_ago().values_list("pk", flat=True)[:_MOST_REMOVED])
    for start in range(0, len(keys), _PIECE):
        Workitem.objects.filter(pk__in=keys[start : start + _PIECE]).delete()
    if keys:
        logger.info("Removed %s work items that ended long ago.", len(keys))


def _ended_long_ago() -> QuerySet[Workitem]:
    locks = WorkitemSubscription.objects.filter(workitem=OuterRef("pk"), has_lock=True)
    long_ago = timezone.now() - timedelta(days=settings.WORKITEM_RETENTION_DAYS)
    return Workitem.objects.filter(
        ~Exists(locks),
        state__in=(WorkitemState.COMPLETED, WorkitemState.CANCELED),
        ended_at__lt=long_ago,
    )


def _worklist_rows(
    actor: Actor, title: str, *, is_filtered: bool
) -> QuerySet[WorklistSubscription]:
    return WorklistSubscription.objects.filter(
        user_id=_account(actor), ae_title=title, is_filtered=is_filtered
    )


def _account(actor: Actor) -> UUID:
    if actor.user_id is None:
        raise ForbiddenError("Only an account can subscribe.")
    return actor.user_id
