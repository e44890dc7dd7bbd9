"""Every study also in the Orthanc beside this archive, where `ORTHANC_MIRROR` asks for it.

A job compares what both have of a study and makes up the difference, so that doing it again, late
or twice is harmless. What was deleted here goes there too and comes back when it is restored; what
Orthanc has from elsewhere stays.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.conf import settings

from archive import jobs, orthanc, runner, stores
from archive.errors import TransientError
from blobs import BlobMissingError
from worklist.models import DicomImage, Study

logger = logging.getLogger(__name__)

MIRROR_JOB = "orthanc.mirror"
# Images of a study that arrives are gathered; a silent Orthanc is asked again after this long.
_GATHER_S = 2.0
_AGAIN_S = 300.0
_SLICE = 200


@runner.subscriber("instance.stored")
@runner.subscriber("study.changed")
def _on_change(payloads: runner.Payloads) -> None:
    if not (settings.ORTHANC_MIRROR and settings.ORTHANC_URL):
        return
    for study_id in {payload["study_id"] for payload in payloads}:
        jobs.enqueue(MIRROR_JOB, study_id, delay_s=_GATHER_S, study_id=study_id)


@jobs.handler(MIRROR_JOB)
def mirror_study(study_id: str) -> None:
    """Bring a study in Orthanc to what is present here; a silent Orthanc is asked again later."""
    try:
        is_whole = _mirror(UUID(study_id))
    except TransientError as error:
        logger.warning("Study %s waits to be mirrored: %s", study_id, error)
        jobs.enqueue(MIRROR_JOB, study_id, delay_s=_AGAIN_S, study_id=study_id)
        return
    if not is_whole:
        jobs.enqueue(MIRROR_JOB, study_id, study_id=study_id)


def _mirror(study_id: UUID) -> bool:
    """Send and remove at most a slice; returns whether that was all."""
    study = Study.with_deleted.filter(pk=study_id).first()
    if study is None:
        return True  # destroyed; its deletion was mirrored when it was hidden
    there = _instances_there(study.study_instance_uid)
    rows = DicomImage.with_deleted.filter(series__study=study).order_by("pk")
    missing, surplus = [], []
    for image in rows.only("sop_instance_uid", "deletion_id", "storage_key", "size_bytes"):
        known = there.get(image.sop_instance_uid)
        if image.deletion_id is None and known is None:
            missing.append(image)
        elif image.deletion_id is not None and known is not None:
            surplus.append(known)
    for image in missing[:_SLICE]:
        _send(image)
    for name in surplus[:_SLICE]:
        orthanc.ask("DELETE", f"/instances/{name}")
    return max(len(missing), len(surplus)) <= _SLICE


def _instances_there(study_instance_uid: str) -> dict[str, str]:
    """Return Orthanc's names of the instances that it has of a study, by SOP Instance UID."""
    wanted = {
        "Level": "Instance",
        "Expand": True,
        "Query": {"StudyInstanceUID": study_instance_uid},
    }
    found = orthanc.ask("POST", "/tools/find", document=wanted) or []
    return {row["MainDicomTags"]["SOPInstanceUID"]: row["ID"] for row in found}


def _send(image: DicomImage) -> None:
    try:
        with stores.instances().open(image.storage_key) as file:
            orthanc.ask("POST", "/instances", file=(file, image.size_bytes))
    except BlobMissingError:
        logger.warning("The file of %s is missing and was not mirrored.", image.pk)
    except orthanc.OrthancRefusesError as error:
        # One image that Orthanc does not take must not keep the others from it.
        logger.warning("Orthanc does not take %s: %s", image.pk, error)
