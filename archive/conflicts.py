"""Instances kept aside because their SOP Instance UID was taken by other content.

A person sees both and decides which is shown. The other one is never thrown away: it stays aside,
and the decision can be turned round. The identity (facility, SOP Instance UID) stays as it is, and
no byte of either file changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from archive import audit, catalogue, deletions, outbox, retrieve, stores
from archive.access import Actor
from archive.catalogue import Placed
from archive.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    PermanentError,
)
from archive.models import InstanceConflict
from archive.retrieve import Rendered
from blobs import BlobError, BlobMissingError, BlobStoreUnavailableError, protocol
from imaging import difference, header
from imaging.difference import Difference
from imaging.errors import ImagingError
from imaging.header import InstanceIndex
from worklist.models import DicomImage, Study

Side = Literal["first", "new"]
SIDES: tuple[Side, ...] = ("first", "new")
LEAST_REASON = 3
_FOLDER = "conflicts"


class UnreadableError(PermanentError):
    """One of the two files is missing or cannot be read."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides of a conflict.

    Attributes
    ----------
    shown : the instance that readers get now
    aside : the other one; a row that is not saved
    differences : `first` is what is shown, `second` what is aside
    has_same_pixels : None where one has no pixels
    """

    conflict: InstanceConflict
    study: Study
    shown: DicomImage
    aside: DicomImage
    differences: list[Difference]
    has_same_pixels: bool | None


def waiting() -> QuerySet[InstanceConflict]:
    """Return the conflicts that nobody has decided."""
    return InstanceConflict.objects.filter(resolved_at=None)


def listing(actor: Actor, *, is_decided: bool) -> QuerySet[InstanceConflict]:
    """Return conflicts with what they concern, newest first; for administrators."""
    _administrators_only(actor)
    rows = InstanceConflict.objects.filter(kept__deletion_id=None)
    rows = rows.exclude(resolved_at=None) if is_decided else rows.filter(resolved_at=None)
    return rows.select_related("facility", "kept__series__study").order_by("-received_at")


def conflict_for(actor: Actor, conflict_id: UUID) -> InstanceConflict:
    """Return a conflict by its id."""
    conflict = (
        InstanceConflict.objects.select_related("facility", "kept__series__study")
        .filter(pk=conflict_id)
        .first()
    )
    _administrators_only(actor)
    if conflict is None:
        raise NotFoundError("There is no such conflict.")
    return conflict


def compare(actor: Actor, conflict_id: UUID) -> Comparison:
    """Return both sides of a conflict with what they say differently.

    Raises
    ------
    NotFoundError, ForbiddenError
    UnreadableError
        When one of the files is missing or cannot be read.
    """
    conflict = conflict_for(actor, conflict_id)
    shown, aside = conflict.kept, _aside(conflict)
    try:
        with (
            stores.instances().open(shown.storage_key) as first,
            stores.conflicts().open(conflict.storage_key) as second,
        ):
            found = difference.differences(first, second)
        same = _same_pixels(shown, aside)
    except (ImagingError, BlobMissingError) as error:
        raise UnreadableError(f"The two cannot be compared: {error}") from error
    study = shown.series.study
    audit.record(actor, "conflict.look", study, conflict=str(conflict.pk))
    return Comparison(conflict, study, shown, aside, found, same)


def picture(actor: Actor, conflict_id: UUID, side: str) -> Rendered:
    """Return a preview of what is shown (`first`) or of what is aside (`new`)."""
    if side not in SIDES:
        raise NotFoundError("A conflict has two sides: first and new.")
    conflict = conflict_for(actor, conflict_id)
    image = conflict.kept if side == "first" else _aside(conflict)
    if not image.has_pixels or retrieve.problem(image):
        return retrieve.thumbnail(image)
    return retrieve.preview(image, retrieve.middle_frame(image))


def keep_first(actor: Actor, conflicts: Iterable[InstanceConflict]) -> int:
    """Decide that what is stored stays; returns how many were still open."""
    _administrators_only(actor)
    settled = 0
    for conflict in conflicts:
        with transaction.atomic():
            changed = (
                waiting()
                .filter(pk=conflict.pk)
                .update(resolved_at=timezone.now(), decision="first", decided_by=actor.name[:150])
            )
            if changed:
                audit.record(actor, "conflict.keep_first", conflict)
            settled += changed
    return settled


def decide(actor: Actor, conflict_id: UUID, keep: str, reason: str) -> InstanceConflict:
    """Decide which of the two is shown; an earlier decision may be turned round.

    Parameters
    ----------
    keep : `first`, what arrived first, or `new`, what came later under the same UID
    reason : is kept with the decision

    Raises
    ------
    ConflictError
        When it is decided that way already.
    """
    _administrators_only(actor)
    why = " ".join(reason.split())[:255]
    if keep not in SIDES:
        raise InvalidInputError("'keep' is first or new.")
    if len(why) < LEAST_REASON:
        raise InvalidInputError("Say why: the reason is kept with the decision.")
    before = conflict_for(actor, conflict_id)
    if before.resolved_at is not None and before.decision == keep:
        raise ConflictError("This is decided that way already.")
    is_exchanged = (keep == "new") != (before.decision == "new")
    stale: tuple[str, str] | None = None
    with transaction.atomic():
        # Locked and read again: two administrators may decide at once.
        conflict = InstanceConflict.objects.select_for_update().get(pk=conflict_id)
        if (conflict.decision, conflict.storage_key) != (before.decision, before.storage_key):
            raise ConflictError("Somebody else has just decided this. Load the page again.")
        study = before.kept.series.study
        if is_exchanged:
            stale = _exchange(conflict)
        conflict.decision = keep
        conflict.decided_by = actor.name[:150]
        conflict.decision_reason = why
        conflict.resolved_at = timezone.now()
        conflict.save()
        audit.record(
            actor, f"conflict.keep_{keep}", study, uid=conflict.sop_instance_uid, reason=why
        )
        outbox.record(outbox.StudyChanged(facility_id=conflict.facility_id, study_id=study.pk))
    if stale is not None:
        # Only after the commit: until then the rows name these files.
        stores.instances().delete(stale[0])
        stores.conflicts().delete(stale[1])
    return conflict


def _exchange(conflict: InstanceConflict) -> tuple[str, str]:
    """Show what is aside and put what is shown aside; returns the keys that nothing names then."""
    image = DicomImage.with_deleted.select_for_update(of=("self",)).get(pk=conflict.kept_id)
    deletions.refuse_if_deleted(image)
    shown_key, aside_key = image.storage_key, conflict.storage_key
    key = protocol.layout_key(conflict.sop_instance_uid)
    try:
        index = header.read_index(stores.conflicts().path(aside_key))
        _same_series(image, index)
        new_shown = stores.instances().put(stores.conflicts().path(aside_key), key)
        new_aside = stores.conflicts().put(stores.instances().path(shown_key), key)
    except BlobStoreUnavailableError:
        raise
    except (ImagingError, BlobError, FileNotFoundError) as error:
        raise PermanentError(f"The two cannot change places: {error}") from error
    placed = Placed(
        storage_key=new_shown,
        size_bytes=conflict.size_bytes,
        sha256=conflict.sha256,
        source_ae_title=image.source_ae_title,
    )
    conflict.storage_key, conflict.sha256 = new_aside, image.sha256
    conflict.size_bytes = image.size_bytes
    values = catalogue.image_values(index, conflict.facility_id, image.series_id, placed)
    values |= {"data_set_sha256": "", "problem": ""}
    for name, value in values.items():
        setattr(image, name, value)
    image.save()
    deletions.count_again(image.series.study, image.series)
    _warn(image.series.study)
    return shown_key, aside_key


def _same_series(image: DicomImage, index: InstanceIndex) -> None:
    """Refuse to show an object of another study or series in the place of this one."""
    series = image.series
    ours = (series.study.study_instance_uid, series.series_instance_uid)
    if (index.study_instance_uid, index.series_instance_uid) != ours:
        raise ConflictError(
            "The one that came later says that it belongs to another study or series. Delete the "
            "first one, let it be sent again, and have the other one sent again."
        )


def _warn(study: Study) -> None:
    """Tell readers that pictures changed under what was drawn and written about them."""
    words = (
        "An image was replaced by other content under its UID; earlier measurements may not fit it."
    )
    Study.objects.filter(pk=study.pk, warning="").update(warning=words)


def _aside(conflict: InstanceConflict) -> DicomImage:
    """Return what is aside as a row that is not saved, for reading pictures from its file."""
    try:
        index = header.read_index(stores.conflicts().path(conflict.storage_key))
    except (ImagingError, OSError) as error:
        raise UnreadableError(
            "The file that was kept aside is missing or damaged. Restore it from a backup."
        ) from error
    placed = Placed(
        storage_key=f"{_FOLDER}/{conflict.storage_key}",
        size_bytes=conflict.size_bytes,
        sha256=conflict.sha256,
    )
    values = catalogue.image_values(index, conflict.facility_id, conflict.kept.series_id, placed)
    return DicomImage(**values)


def _same_pixels(one: DicomImage, other: DicomImage) -> bool | None:
    parts = []
    for image in (one, other):
        if image.pixel_data_offset is None or image.pixel_data_length is None:
            return None
        parts.append((image, image.pixel_data_offset, image.pixel_data_length))
    if parts[0][2] != parts[1][2]:
        return False
    store, step = stores.instances(), 1024 * 1024
    for start in range(0, parts[0][2], step):
        first, second = (
            store.read(image.storage_key, offset + start, min(step, length - start))
            for image, offset, length in parts
        )
        if first != second:
            return False
    return True


def _administrators_only(actor: Actor) -> None:
    if not actor.is_administrator:
        raise ForbiddenError("Only administrators decide about conflicts.")
