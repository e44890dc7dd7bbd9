"""Instances kept aside because their SOP Instance UID was taken by other content."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from archive import audit
from archive.access import Actor
from archive.errors import ForbiddenError
from archive.models import InstanceConflict


def keep_first(actor: Actor, conflicts: Iterable[InstanceConflict]) -> int:
    """Decide that what is stored stays; returns how many were still open.

    The other file is not thrown away: it stays aside, so that the decision can be looked at again.
    """
    if not actor.is_administrator:
        raise ForbiddenError("Only administrators decide about conflicts.")
    settled = 0
    for conflict in conflicts:
        with transaction.atomic():
            changed = InstanceConflict.objects.filter(pk=conflict.pk, resolved_at=None).update(
                resolved_at=timezone.now()
            )
            if changed:
                audit.record(actor, "conflict.keep_first", conflict)
            settled += changed
    return settled
