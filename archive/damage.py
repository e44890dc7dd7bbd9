"""Stored files that are not what was stored: found, put beside, told, mended.

A damaged file leaves the layout, so that no reader can be given it by mistake, whatever door it
comes through; it is kept in `damaged/` for whoever looks into the disk. Its row stays and says why.
A copy with the right digest mends it: from a backup, from what was set aside, or sent again.
"""

from __future__ import annotations

import logging
from pathlib import Path

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from archive import audit, outbox, stores
from archive.access import Actor
from archive.models import Damage, DamageKind
from blobs import BlobError, BlobMissingError, FileSystemStore
from worklist.models import DicomImage, Study

logger = logging.getLogger(__name__)

_WARNING = "Files of this study are damaged or missing"
_WORDS = {
    DamageKind.MISSING: "The stored file is missing.",
    DamageKind.CHANGED: "The stored file is damaged: its content is not what was stored.",
    DamageKind.UNREADABLE: "The disk cannot read the stored file.",
}
_REMEDY = "Have it sent again, or ask your administrator to restore it from a backup."


def look_at(image: DicomImage) -> DamageKind | None:
    """Compare the stored file with its row; None when it is what was stored.

    Content that differs is read a second time before it is believed.
    """
    store = stores.instances()
    try:
        for _ in range(2):
            if store.digest(image.storage_key) == (image.sha256, image.size_bytes):
                return None
    except BlobMissingError:
        return DamageKind.MISSING
    except OSError:
        return DamageKind.UNREADABLE
    return DamageKind.CHANGED


def look_again(image: DicomImage) -> str:
    """Look at a file that a reader found changed; returns why it is not given, empty when it is.

    Whoever may not write in the store still refuses; the next sweep puts the file beside.
    """
    kind = look_at(image)
    if kind is None:
        return ""
    try:
        report(image, kind)
    except (BlobError, OSError):
        logger.exception("The damaged file of instance %s stays where it is", image.pk)
    return f"{_WORDS[kind]} {_REMEDY}"


def report(image: DicomImage, kind: DamageKind) -> Damage | None:
    """Put a damaged file beside and say so on its row and study; None when it was mended instead.

    Nothing happens when the row has gone, or names another file, since it was looked at.
    """
    store = stores.instances()
    if kind is DamageKind.CHANGED:
        # Out of the layout before anything else: from now on nobody is served it.
        store.move_to(stores.damaged(), image.storage_key)
    if kind is not DamageKind.UNREADABLE and _mend_from(
        image, stores.strays(), "what was set aside"
    ):
        return None
    with transaction.atomic():
        rows = DicomImage.with_deleted.select_related("series__study").select_for_update(
            of=("self",)
        )
        row = rows.filter(pk=image.pk, storage_key=image.storage_key).first()
        if row is None:
            return None
        study = row.series.study
        words = f"{_WORDS[kind]} {_REMEDY}"
        damage, is_new = Damage.objects.get_or_create(
            image=row,
            mended_at=None,
            defaults={"facility_id": row.facility_id, "kind": kind, "words": words},
        )
        if not is_new:
            return damage
        DicomImage.with_deleted.filter(pk=row.pk).update(problem=words)
        _warn(study)
        outbox.record(outbox.StudyChanged(facility_id=row.facility_id, study_id=study.pk))
    logger.error("The file of instance %s is %s: %s", row.pk, kind.lower(), row.storage_key)
    return damage


def mend(damage: Damage, by: str) -> bool:
    """Close `damage` when its file is what was stored; returns whether it is."""
    image = damage.image
    if look_at(image) is not None:
        return False
    with transaction.atomic():
        if not Damage.objects.filter(pk=damage.pk, mended_at=None).update(
            mended_at=timezone.now(), mended_by=by[:150]
        ):
            return True
        DicomImage.with_deleted.filter(pk=image.pk, problem=damage.words).update(problem="")
        study = image.series.study
        _warn(study)
        outbox.record(outbox.StudyChanged(facility_id=image.facility_id, study_id=study.pk))
    logger.warning("The file of instance %s is whole again: %s", image.pk, image.storage_key)
    return True


def mend_all(actor: Actor, folders: list[Path]) -> tuple[int, int]:
    """Mend what is damaged from copies of the store; returns how many were mended, how many not.

    Parameters
    ----------
    folders : copies of `DICOM_ROOT`, such as `<backup>/dicom`; only a file whose digest is that of
        the row is taken
    """
    mended = 0
    open_ones = list(open_damages().select_related("image__series__study"))
    for damage in open_ones:
        sources = [FileSystemStore(folder) for folder in folders]
        for source in (stores.strays(), *sources):
            if _mend_from(damage.image, source, str(source.root)):
                break
        if mend(damage, actor.name):
            mended += 1
            audit.record(actor, "instance.mend", damage.image, sha256=damage.image.sha256)
    return mended, len(open_ones) - mended


def open_damages() -> QuerySet[Damage]:
    """Return what is damaged and not mended."""
    return Damage.objects.filter(mended_at=None)


def words_of(image: DicomImage) -> str:
    """Return why an instance cannot be given out; empty where nothing is known."""
    return open_damages().filter(image=image).values_list("words", flat=True).first() or ""


def _mend_from(image: DicomImage, source: FileSystemStore, name: str) -> bool:
    """Put back a copy with the right digest."""
    store = stores.instances()
    try:
        if source.digest(image.storage_key) != (image.sha256, image.size_bytes):
            return False
    except (BlobMissingError, IsADirectoryError):
        return False
    kind = look_at(image)
    if kind is not DamageKind.MISSING:
        return kind is None
    if store.take_copy(source.place(image.storage_key), image.storage_key) != image.storage_key:
        return False
    logger.warning("Put back the file of instance %s from %s", image.pk, name)
    return True


def _warn(study: Study) -> None:
    """Set or lift our warning; other warnings stay as they are."""
    count = open_damages().filter(image__series__study=study).count()
    words = f"{_WARNING} ({count}). {_REMEDY}" if count else ""
    row = Study.with_deleted.select_for_update(of=("self",)).get(pk=study.pk)
    if not row.warning or row.warning.startswith(_WARNING):
        Study.with_deleted.filter(pk=row.pk).update(warning=words)
