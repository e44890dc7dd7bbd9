"""Programs that analyse studies: which run on what, the queue, and what people say of findings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from archive import (
    access,
    analysis_catalogue,
    audit,
    jobs,
    outbox,
    registrations,
    remote_programs,
    rules,
)
from archive.access import Actor
from archive.analysis_catalogue import Program
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from archive.models import (
    AnalysisRun,
    AnalysisService,
    AnalysisState,
    Job,
    JobState,
    MachineFinding,
    ReconstructionJob,
)
from archive.rules import Conditions
from worklist.models import DicomImage, Study

WORK_JOB = "analysis.work"
OVER_JOB = "analysis.over"
OPEN = (AnalysisState.WAITING, AnalysisState.RUNNING)
# What describes other images: an analysis is not run anew because of it.
COMPANIONS = ("SEG", "SR", "PR", "KO", "DOC", "OT")
SHORTEST_S, LONGEST_S = 10, 3600
_AHEAD_S = -3600
LEAST_MIB, MOST_MIB = 512, 65536


@dataclass(frozen=True, slots=True)
class ServiceDraft:
    """What an administrator says of a service."""

    program: str
    conditions: Conditions
    time_limit_s: int = 300
    memory_mib: int = 4096


# --- services


def services(actor: Actor) -> QuerySet[AnalysisService]:
    """Return every registered service."""
    return registrations.listing(actor, AnalysisService)


def service_for(actor: Actor, key: UUID) -> AnalysisService:
    """Return one service."""
    service = registrations.find(actor, AnalysisService, key)
    if service is None:
        raise NotFoundError("There is no such service; it may have been removed.")
    return service


def program_of(key: str) -> Program:
    """Return a program that is installed here, or registered as one elsewhere.

    Raises
    ------
    InvalidInputError
        When there is none of this name.
    """
    program = programs().get(key)
    if program is None:
        raise InvalidInputError("This program is not installed here. Choose one of the list.")
    return program


def programs(facility_id: UUID | None = None) -> dict[str, Program]:
    """Return what can be run: programs that are installed here, and those elsewhere.

    Parameters
    ----------
    facility_id : only those that may be given this facility's studies
    """
    return {**analysis_catalogue.installed(), **remote_programs.programs(facility_id)}


def add_service(actor: Actor, draft: ServiceDraft) -> AnalysisService:
    """Register a program for studies that fit; switched off until somebody switches it on.

    Raises
    ------
    InvalidInputError
        With a sentence that says what to change.
    """
    registrations.require_administrator(actor)
    program_of(draft.program)
    if not SHORTEST_S <= draft.time_limit_s <= LONGEST_S:
        raise InvalidInputError(f"The time limit is {SHORTEST_S} to {LONGEST_S} seconds.")
    if not LEAST_MIB <= draft.memory_mib <= MOST_MIB:
        raise InvalidInputError(f"The memory limit is {LEAST_MIB} to {MOST_MIB} MiB.")
    service = rules.apply(
        draft.conditions,
        AnalysisService(
            program=draft.program, time_limit_s=draft.time_limit_s, memory_mib=draft.memory_mib
        ),
    )
    service.created_by = actor.name
    with transaction.atomic():
        service.save()
        audit.record(actor, "analysis.add", service, sentence=sentence(service))
    return service


def sentence(service: AnalysisService) -> str:
    """Write a service as people say it."""
    program = programs().get(service.program)
    name = program.name if program else f"{service.program} (not there any more)"
    return f"{rules.studies_in_words(service)} are analysed by {name}."


def switch_service(actor: Actor, service: AnalysisService, *, is_active: bool) -> None:
    """Switch a service on from now on, or off; what waits in the queue stays there."""
    registrations.require_administrator(actor)
    with transaction.atomic():
        service.active_since = timezone.now() if is_active else None
        service.save(update_fields=["active_since"])
        said = {"sentence": sentence(service)}
        registrations.switch(actor, service, "analysis", said, is_active=is_active)


def remove_service(actor: Actor, service: AnalysisService) -> None:
    """Forget a service; what it found stays."""
    registrations.remove(actor, service, "analysis", {"sentence": sentence(service)})


# --- the queue


def images_of(study: Study) -> QuerySet[DicomImage]:
    """Return what a study holds that no program made: what an analysis is about."""
    made = ReconstructionJob.objects.filter(study=study, result_series__isnull=False)
    results = MachineFinding.objects.filter(run__study=study, image__isnull=False)
    return (
        DicomImage.objects.filter(series__study=study)
        .exclude(series__modality__in=COMPANIONS)
        .exclude(series__in=made.values("result_series"))
        .exclude(series__in=results.values("image__series"))
    )


def queue_by_rules(study: Study) -> int:
    """Queue the active services that a study fits, for what they have not seen of it.

    Returns how many were queued.
    """
    through = images_of(study).aggregate(last=Max("received_at"))["last"]
    if through is None:
        return 0
    queued = 0
    known = programs(study.facility_id)
    for service in rules.fitting(AnalysisService.objects.select_related("facility"), study):
        program = known.get(service.program)
        if program is None or (service.active_since and through < service.active_since):
            continue
        with transaction.atomic():
            run, is_new = AnalysisRun.objects.get_or_create(
                service=service,
                study=study,
                received_through=through,
                defaults={
                    **_facts(program),
                    "reason": f"Rule: {sentence(service)}"[:512],
                    "time_limit_s": service.time_limit_s,
                    "memory_mib": service.memory_mib,
                },
            )
            if is_new:
                tell(run)
                enqueue(run)
                queued += 1
    return queued


def run_by_hand(actor: Actor, study: Study, program_key: str) -> AnalysisRun:
    """Queue a program for a study, because a person wants it.

    Raises
    ------
    ForbiddenError
        When the role only looks.
    ConflictError
        When it is on its way already.
    """
    if not actor.can_annotate:
        raise ForbiddenError("Your role looks at studies and starts no analyses.")
    program = programs(study.facility_id).get(program_key)
    if program is None:
        raise InvalidInputError("This program is not there. Choose one of the list.")
    through = images_of(study).aggregate(last=Max("received_at"))["last"]
    if through is None:
        raise InvalidInputError("This study has no images that could be analysed.")
    with transaction.atomic():
        access.study_for(actor.scope, study.pk, lock=True)
        if AnalysisRun.objects.filter(study=study, program=program.key, state__in=OPEN).exists():
            raise ConflictError("This program is at work on the study already.")
        run = AnalysisRun.objects.create(
            study=study,
            received_through=through,
            reason=f"{actor.name} started it.",
            **_facts(program),
        )
        audit.record(actor, "analysis.start", study, program=program.key)
        tell(run)
        # Somebody waits for it: it begins before an import's thumbnails.
        enqueue(run, _AHEAD_S)
    return run


def _facts(program: Program) -> dict[str, str]:
    return {
        "program": program.key,
        "algorithm_name": program.name[:64],
        "algorithm_version": program.version[:32],
        "manufacturer": program.manufacturer[:64],
        "purpose": program.purpose[:255],
    }


def queue(actor: Actor, state: AnalysisState | None = None) -> QuerySet[AnalysisRun]:
    """Return the queue, newest first: an administrator's all, a member's own facilities'."""
    rows = AnalysisRun.objects.select_related("study__facility", "service")
    rows = actor.scope.filter(rows, "study__facility").filter(study__deletion_id=None)
    return rows if state is None else rows.filter(state=state)


def run_for(actor: Actor, key: UUID) -> AnalysisRun:
    """Return one run."""
    run = queue(actor).filter(pk=key).first()
    if run is not None:
        return run
    if AnalysisRun.objects.filter(pk=key, study__deletion_id=None).exists():
        raise ForbiddenError("This study belongs to a facility that is not yours.")
    raise NotFoundError("There is no such analysis.")


def retry(actor: Actor, run: AnalysisRun) -> None:
    """Run an analysis that failed or was cancelled again, with all its tries."""
    if not actor.can_annotate:
        raise ForbiddenError("Your role looks at studies and starts no analyses.")
    with transaction.atomic():
        changed = AnalysisRun.objects.filter(
            pk=run.pk, state__in=(AnalysisState.FAILED, AnalysisState.CANCELLED)
        ).update(
            state=AnalysisState.WAITING,
            attempts=0,
            worker="",
            last_error="",
            status_text="",
            started_at=None,
            finished_at=None,
        )
        if not changed:
            raise ConflictError("It is at work, or is done.")
        audit.record(actor, "analysis.retry", run.study, program=run.program)
        tell(run)
        enqueue(run)


def cancel(actor: Actor, run: AnalysisRun) -> None:
    """End an analysis that waits or runs; what it finds later is not taken."""
    if not actor.can_annotate:
        raise ForbiddenError("Your role looks at studies and ends no analyses.")
    with transaction.atomic():
        changed = AnalysisRun.objects.filter(pk=run.pk, state__in=OPEN).update(
            state=AnalysisState.CANCELLED, finished_at=timezone.now()
        )
        if not changed:
            raise ConflictError("It is over already.")
        audit.record(actor, "analysis.cancel", run.study, program=run.program)
        tell(run)
        # Whoever works on it looks, and gives up.
        jobs.hasten(WORK_JOB, str(run.pk))
        enqueue(run)
        jobs.enqueue(OVER_JOB, str(run.pk), run_id=str(run.pk))


def postpone(run: AnalysisRun, delay_s: float) -> None:
    """Let the next look at a run wait."""
    at = timezone.now() + timedelta(seconds=delay_s)
    waiting = Job.objects.filter(kind=WORK_JOB, key=str(run.pk), state=JobState.QUEUED)
    if not waiting.update(run_at=at):
        enqueue(run, delay_s)


def enqueue(run: AnalysisRun, delay_s: float = 0) -> None:
    """Queue the next look at a run."""
    jobs.enqueue(WORK_JOB, str(run.pk), delay_s=delay_s, run_id=str(run.pk))


def tell(run: AnalysisRun) -> None:
    """Have open pages look at a run again."""
    outbox.record(
        outbox.AnalysisChanged(
            facility_id=run.study.facility_id, study_id=run.study_id, analysis_id=run.pk
        )
    )
