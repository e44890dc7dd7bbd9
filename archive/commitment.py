"""Storage commitment: a caller asks, every file is read again, the caller is told (PS3.4 J).

A request is answered when its row is committed. A job checks it; then whoever comes first reports:
the association that it came on, as long as that stands, or a job that calls the asker back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.module_loading import import_string

from archive import audit, completeness, jobs, retrieval, stores
from archive.access import Actor, Scope, system_actor
from archive.completeness import Expectation
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from archive.models import CommitmentRequest, CommitmentState, Destination
from blobs import BlobMissingError
from imaging.uid import is_valid_uid
from worklist.models import DicomImage, Facility, Study

# Failure Reason (0008,1197), PS3.3 table C.14-1.
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
CLASS_CONFLICT = 0x0119

CHECK_JOB = "commitment.check"
REPORT_JOB = "commitment.report"
# With pauses from ten seconds to an hour: some sixteen hours in all, so that equipment that is
# switched off for the night still hears.
MOST_ATTEMPTS = 25
_LONGEST_PAUSE_S = 3600
# A report takes seconds; one that takes longer died with its process.
_STALE_AFTER = timedelta(minutes=2)
_BATCH = 500

Reference = tuple[str, str]


class Delivery(Protocol):
    """What became of a message to another system."""

    @property
    def is_success(self) -> bool:
        """Whether it was taken."""

    @property
    def message(self) -> str:
        """What happened and, where it failed, what to do."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an asker is told (PS3.4 table J.3-2).

    Attributes
    ----------
    retrieve_ae_title : from where it can be fetched
    committed : SOP Class UID and SOP Instance UID of what is safe here
    failed : the same with the Failure Reason
    """

    transaction_uid: str
    retrieve_ae_title: str
    committed: Sequence[Reference]
    failed: Sequence[tuple[str, str, int]]

    @property
    def event_type_id(self) -> int:
        """1: everything is safe; 2: there are failures."""
        return 2 if self.failed else 1


def receive(
    actor: Actor,
    facility: Facility,
    transaction_uid: str,
    references: Sequence[Reference],
    *,
    is_by_web: bool = False,
) -> CommitmentRequest:
    """Keep a request and queue its check.

    The same request again is checked and reported again: its asker has not heard of it. By web an
    asker hears by asking for the result, so that its Transaction UID stands for one request.

    Parameters
    ----------
    actor : the calling equipment
    facility : whose instances it may ask about
    references : SOP Class UID and SOP Instance UID
    is_by_web : nobody is called back

    Raises
    ------
    InvalidInputError
        For a UID that is none, or when there is no reference.
    ConflictError
        When the Transaction UID stands for another request of this caller.

    References
    ----------
    DICOM PS3.4 section J.3.2.
    """
    if not is_valid_uid(transaction_uid):
        raise InvalidInputError("The Transaction UID is no lawful UID.")
    if not references:
        raise InvalidInputError("The Referenced SOP Sequence is empty.")
    for pair in references:
        if not all(map(is_valid_uid, pair)):
            raise InvalidInputError("A reference holds what is no lawful UID.")
    asked = [list(pair) for pair in dict.fromkeys(references)]
    with transaction.atomic():
        request, is_new = CommitmentRequest.objects.select_for_update().get_or_create(
            facility=facility,
            ae_title=actor.name[:16],
            transaction_uid=transaction_uid,
            defaults={
                "references": asked,
                "instance_count": len(asked),
                "address": actor.address,
                "is_by_web": is_by_web,
            },
        )
        if not is_new and is_by_web:
            raise ConflictError(
                "This Transaction UID is in use. Ask for its result with GET, or take another."
            )
        if not is_new:
            if request.references != asked:
                raise ConflictError("This Transaction UID stands for another request.")
            request.state = CommitmentState.RECEIVED
            request.failures, request.failure_count = [], 0
            request.attempts, request.last_error = 0, ""
            request.requested_at = timezone.now()
            request.is_by_web = False
            request.save()
        jobs.enqueue(CHECK_JOB, str(request.pk), request_id=str(request.pk))
        audit.record(
            actor,
            "commitment.request",
            request,
            transaction_uid=transaction_uid,
            instances=len(asked),
        )
    return request


@jobs.handler(CHECK_JOB)
def check(request_id: str) -> None:
    """Read every file of a request again and compare its digest."""
    request = CommitmentRequest.objects.filter(
        pk=UUID(request_id), state=CommitmentState.RECEIVED
    ).first()
    if request is None:
        return
    failures: list[tuple[str, str, int]] = []
    studies: set[str] = set()
    study_ids: set[UUID] = set()
    for start in range(0, len(request.references), _BATCH):
        some = request.references[start : start + _BATCH]
        stored = {
            image.sop_instance_uid: image
            for image in DicomImage.objects.filter(
                facility=request.facility_id, sop_instance_uid__in=[uid for _, uid in some]
            ).select_related("series__study")
        }
        studies |= {image.series.study.study_instance_uid for image in stored.values()}
        study_ids |= {image.series.study_id for image in stored.values()}
        for sop_class_uid, uid in some:
            reason = _fault_of(stored.get(uid), sop_class_uid)
            if reason:
                failures.append((sop_class_uid, uid, reason))
    # By web the result waits for its asker.
    state = CommitmentState.REPORTED if request.is_by_web else CommitmentState.CHECKED
    with transaction.atomic():
        changed = CommitmentRequest.objects.filter(
            pk=request.pk, state=CommitmentState.RECEIVED
        ).update(
            state=state,
            failures=failures,
            failure_count=len(failures),
            study_instance_uid=studies.pop() if len(studies) == 1 else "",
            checked_at=timezone.now(),
        )
        if changed:
            for study_id in study_ids:
                completeness.request_look(study_id)
            if not request.is_by_web:
                # The association of the request comes first, as long as it may.
                _queue_report(request.pk, settings.COMMITMENT_SAME_ASSOCIATION_S)


def _fault_of(image: DicomImage | None, sop_class_uid: str) -> int:
    """Return the Failure Reason of a reference; 0 where its file is whole."""
    if image is None:
        return NO_SUCH_INSTANCE
    if image.sop_class_uid != sop_class_uid:
        return CLASS_CONFLICT
    try:
        whole = stores.instances().digest(image.storage_key)[0] == image.sha256
    except (OSError, BlobMissingError):
        whole = False
    return 0 if whole else PROCESSING_FAILURE


def _queue_report(request_id: UUID, delay_s: float) -> None:
    jobs.enqueue(REPORT_JOB, str(request_id), delay_s=delay_s, request_id=str(request_id))
    # One may wait from an attempt before.
    jobs.hasten(REPORT_JOB, str(request_id), delay_s=delay_s)


def claim(request_id: UUID) -> Report | None:
    """Take over telling about a checked request; None while there is nothing to tell.

    Whoever gets the report sends it and calls `settle` with what became of it.
    """
    now = timezone.now()
    free = Q(state=CommitmentState.CHECKED) | Q(
        state=CommitmentState.REPORTING, reporting_since__lt=now - _STALE_AFTER
    )
    taken = CommitmentRequest.objects.filter(free, pk=request_id).update(
        state=CommitmentState.REPORTING, reporting_since=now, attempts=F("attempts") + 1
    )
    if not taken:
        return None
    return _report_of(CommitmentRequest.objects.get(pk=request_id))


def result_of(scope: Scope, transaction_uid: str) -> Report | None:
    """Return the result of a request by web; None while it is not there yet.

    Raises
    ------
    NotFoundError, ForbiddenError
        When nobody asked under this Transaction UID by web, or another facility did.

    References
    ----------
    DICOM PS3.18 section 13.5.
    """
    rows = CommitmentRequest.objects.filter(transaction_uid=transaction_uid, is_by_web=True)
    request = scope.filter(rows).first()
    if request is None and rows.exists():
        raise ForbiddenError("This commitment request belongs to a facility that is not yours.")
    if request is None:
        raise NotFoundError("There is no commitment request with this Transaction UID.")
    if request.state != CommitmentState.REPORTED:
        return None
    return _report_of(request)


def _report_of(request: CommitmentRequest) -> Report:
    failed = [(str(a), str(b), int(reason)) for a, b, reason in request.failures]
    lost = {(sop_class_uid, uid) for sop_class_uid, uid, _ in failed}
    return Report(
        transaction_uid=request.transaction_uid,
        retrieve_ae_title=settings.DICOM_SCP_AE_TITLE,
        committed=[(a, b) for a, b in request.references if (a, b) not in lost],
        failed=failed,
    )


def settle(request_id: UUID, *, error: str = "") -> None:
    """Write down that a claimed report was taken, or why not; then it is tried again later."""
    with transaction.atomic():
        request = (
            CommitmentRequest.objects.select_for_update()
            .filter(pk=request_id, state=CommitmentState.REPORTING)
            .first()
        )
        if request is None:
            return  # asked again meanwhile: the new check reports
        request.last_error = error[:255]
        if not error:
            request.state, request.reported_at = CommitmentState.REPORTED, timezone.now()
        elif request.attempts >= MOST_ATTEMPTS:
            request.state = CommitmentState.FAILED
        else:
            request.state = CommitmentState.CHECKED
            _queue_report(request.pk, min(5 * 2**request.attempts, _LONGEST_PAUSE_S))
        request.save()
        audit.record(
            system_actor("commitment"),
            "commitment.report",
            request,
            is_success=not error,
            to=request.ae_title,
            instances=request.instance_count,
            failed=request.failure_count,
        )


@jobs.handler(REPORT_JOB)
def report(request_id: str) -> None:
    """Tell the asker on a new association."""
    key = UUID(request_id)
    found = claim(key)
    if found is None:
        if CommitmentRequest.objects.filter(pk=key, state=CommitmentState.REPORTING).exists():
            # Somebody else tells it now; if that one dies, this comes back.
            _queue_report(key, _STALE_AFTER.total_seconds() + 5)
        return
    request = CommitmentRequest.objects.get(pk=key)
    scope = Scope(frozenset({request.facility_id}))
    destination = retrieval.destination_for(scope, request.ae_title)
    if destination is None:
        settle(
            key,
            error=f"{request.ae_title} is no destination here. Register its host and port to have "
            "it told.",
        )
        return
    send = cast(
        "Callable[[Destination, Report], Delivery]",
        import_string(settings.DICOM_SCU_COMMITMENT),
    )
    delivery = send(destination, found)
    settle(key, error="" if delivery.is_success else delivery.message)


@completeness.source
def expected(study: Study) -> Iterator[Expectation]:
    """Say what belongs to a study: what its equipment asked to be kept."""
    rows = CommitmentRequest.objects.filter(
        facility=study.facility_id, study_instance_uid=study.study_instance_uid
    )
    uids = {
        uid for references in rows.values_list("references", flat=True) for _, uid in references
    }
    if uids:
        yield Expectation("storage commitment", "", frozenset(uids))


def try_again(actor: Actor, request_ids: Sequence[UUID]) -> int:
    """Check and report the given requests once more; returns how many."""
    count = 0
    for request in CommitmentRequest.objects.filter(pk__in=request_ids):
        with transaction.atomic():
            CommitmentRequest.objects.filter(pk=request.pk).update(
                state=CommitmentState.RECEIVED,
                attempts=0,
                last_error="",
                failures=[],
                failure_count=0,
            )
            jobs.enqueue(CHECK_JOB, str(request.pk), request_id=str(request.pk))
            audit.record(actor, "commitment.again", request)
        count += 1
    return count
