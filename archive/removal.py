"""Destroying what never was a patient's: the demo and the instances of self tests.

Nothing else can be destroyed by these functions; `archive.deletions` hides patients' studies first.
"""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from archive import audit, stores
from archive.access import Actor
from archive.errors import ForbiddenError
from archive.models import Damage, Deletion, InstanceConflict, OutboxEvent
from worklist.models import DicomImage, Facility, Patient, Study


def destroy_demo_facility(actor: Actor, facility: Facility) -> int:
    """Destroy a demo facility with its users, its studies and their files.

    The rows go first: a power cut in between leaves files without rows, which verification finds,
    never rows without files.

    Parameters
    ----------
    actor : who wants it, for the audit trail
    facility : one that was made as a demo

    Returns
    -------
    int
        How many instances it had.

    Raises
    ------
    ForbiddenError
        For a facility that is not marked as a demo.
    """
    if not facility.is_demo:
        raise ForbiddenError(f"{facility.name} is not a demo: its studies are kept.")
    with transaction.atomic():
        images = DicomImage.with_deleted.filter(facility=facility)
        conflicts = InstanceConflict.objects.filter(facility=facility)
        keys = list(images.values_list("storage_key", flat=True))
        conflict_keys = list(conflicts.values_list("storage_key", flat=True))
        audit.record(actor, "demo.destroy", facility, code=facility.code, instances=len(keys))
        OutboxEvent.objects.filter(facility=facility).delete()
        conflicts.delete()
        Deletion.objects.filter(facility=facility).delete()
        Damage.objects.filter(facility=facility).delete()
        Study.with_deleted.filter(facility=facility).delete()
        Patient.objects.filter(facility=facility).delete()
        User.objects.filter(facilities=facility, is_demo=True).delete()
        facility.delete()
    for key in keys:
        stores.instances().delete(key)
    for key in conflict_keys:
        stores.conflicts().delete(key)
    return len(keys)
