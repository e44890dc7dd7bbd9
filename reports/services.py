"""Writing about a study: drafts that keep every state, and nobody overwritten unasked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from archive import access, audit
from archive.access import Actor
from archive.errors import ConflictError, ForbiddenError, NotFoundError
from reports.models import Report, ReportRevision

# What one answer lists; all of them are kept.
_MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants to keep.

    Parameters
    ----------
    revision_id : chosen by the writer's window; the same again makes nothing twice
    base_version : of the text that the writer began from; 0: there was none
    references : what marks in the text stand for, JSON-able
    """

    revision_id: UUID
    base_version: int
    text: str
    references: Sequence[dict[str, Any]] = ()


class ReportConflictError(ConflictError):
    """Somebody else saved first; `current` is their text, and what came too late is put aside."""

    def __init__(self, current: Report) -> None:
        super().__init__(
            f"{current.updated_by_name} changed the report meanwhile. Both texts are kept: put "
            "yours below theirs, or take theirs and find yours among the earlier texts."
        )
        self.current = current


def report_of(actor: Actor, study_id: UUID) -> Report | None:
    """Return the present text about a study, if there is one.

    Raises
    ------
    NotFoundError
    ForbiddenError
        When the study is another facility's, or the role does not report.
    """
    _reporter(actor)
    study = access.study_for(actor.scope, study_id)
    audit.record(actor, "report.read", study)
    return Report.objects.filter(study=study).first()


def save_draft(actor: Actor, study_id: UUID, draft: Draft) -> Report:
    """Keep a text; every state before stays among the revisions.

    Raises
    ------
    ReportConflictError
        When somebody else saved after `base_version`; this text is put aside and kept too.
    ConflictError
        When `revision_id` names something else.
    NotFoundError, ForbiddenError
    """
    author = User.objects.get(pk=_reporter(actor))
    with transaction.atomic():
        # The study's row, because the report's may not be there yet: one writer at a time.
        study = access.study_for(actor.scope, study_id, lock=True)
        report = Report.objects.filter(study=study).first()
        known = ReportRevision.objects.filter(pk=draft.revision_id).first()
        if known is not None:
            return _repeated(known, report, draft)
        if report is not None and draft.base_version != report.version:
            _remember(actor, author, report, draft, version=None)
        elif report is not None and _is_same(report, draft):
            return report
        else:
            return _write(actor, author, report or Report(study=study, version=0), draft)
    # Raised only now: what was put aside is committed.
    raise ReportConflictError(report)


def revisions_of(actor: Actor, study_id: UUID) -> list[ReportRevision]:
    """Return the states that a report had, the latest first; texts put aside among them."""
    report = report_of(actor, study_id)
    if report is None:
        return []
    rows = ReportRevision.objects.filter(report=report).defer("text", "references")
    return list(rows.order_by("-at", "-id")[:_MOST_LISTED])


def revision_of(actor: Actor, study_id: UUID, revision_id: UUID) -> ReportRevision:
    """Return one state of a report with its text."""
    report = report_of(actor, study_id)
    row = ReportRevision.objects.filter(report=report, pk=revision_id).first()
    if report is None or row is None:
        raise NotFoundError("The report has no such earlier text.")
    return row


def _reporter(actor: Actor) -> UUID:
    if not actor.can_read or actor.user_id is None:
        raise ForbiddenError(
            "Drafts of reports are for those who report: radiologists and administrators."
        )
    return actor.user_id


def _repeated(known: ReportRevision, report: Report | None, draft: Draft) -> Report:
    """Answer a repeated request as it was answered the first time."""
    if report is None or known.report_id != report.pk or known.text != draft.text:
        raise ConflictError("This 'revision_id' is taken. Choose another.")
    if known.version != report.version:
        raise ReportConflictError(report)
    return report


def _is_same(report: Report, draft: Draft) -> bool:
    return report.text == draft.text and report.references == list(draft.references)


def _write(actor: Actor, author: User, report: Report, draft: Draft) -> Report:
    name = str(author)[:150]
    if report.version == 0:
        report.author, report.author_name = author, name
    report.version += 1
    report.text = draft.text
    report.references = list(draft.references)
    report.updated_by_name = name
    report.updated_at = timezone.now()
    report.save()
    _remember(actor, author, report, draft, version=report.version)
    return report


def _remember(
    actor: Actor, author: User, report: Report, draft: Draft, *, version: int | None
) -> None:
    ReportRevision.objects.create(
        pk=draft.revision_id,
        report=report,
        version=version,
        base_version=draft.base_version,
        text=draft.text,
        references=list(draft.references),
        user=author,
        user_name=str(author)[:150],
    )
    verb = "report.save" if version is not None else "report.put-aside"
    audit.record(actor, verb, report.study, version=version, characters=len(draft.text))
