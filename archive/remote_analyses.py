"""Analyses by programs elsewhere: a signed request out, signed results in (ADR 0110).

The job table drives it: the request, again with growing pauses where nobody answers; then looks at
the service's own word of how far it is, until results came or the time is over.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from archive import (
    access,
    analyses,
    analysis_results,
    audit,
    links,
    outward,
    remote_programs,
    webhooks,
)
from archive.analyses import OPEN
from archive.errors import (
    ArchiveError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PermanentError,
)
from archive.link_rows import SharedLink
from archive.models import AnalysisRun, AnalysisState, RemoteProgram

logger = logging.getLogger(__name__)

_ME = access.system_actor("analysis")
_MOST_SENDS = 5
_LOOK_S = 5.0
# The link outlives the work, so that what is fetched at its end arrives.
_LINK_AFTER_S = 300
_ACCEPTED = frozenset({200, 201, 202, 204})
# Answers after which the same request may be taken.
_AGAIN = frozenset({408, 425, 429})
_GIVE_UP = "failed"


def work(run: AnalysisRun) -> None:
    """Send a run's request, or look how far it is."""
    row = remote_programs.row_of(run)
    if row is None:
        end(run, "This program is not registered any more, or is switched off.")
    elif run.state == AnalysisState.WAITING:
        _send(run, row)
    elif run.deadline is None or timezone.now() > run.deadline:
        refused = f" {run.last_error}" if run.last_error else ""
        end(run, f"No results came within {run.time_limit_s} seconds.{refused}")
        _tell_cancelled(run, row)
    else:
        _look(run, row)


# --- out


def _send(run: AnalysisRun, row: RemoteProgram) -> None:
    if run.attempts >= _MOST_SENDS:
        end(run, f"It was asked {_MOST_SENDS} times. {run.last_error}")
        return
    now = timezone.now()
    deadline = now + timedelta(seconds=run.time_limit_s)
    try:
        link = links.issue_link(
            run.study, seconds=run.time_limit_s + _LINK_AFTER_S, audience=row.name
        )
    except ArchiveError as error:
        end(run, str(error))
        return
    _revoke(run)
    with transaction.atomic():
        # Before it is sent: a service may answer before its answer to this has come.
        changed = AnalysisRun.objects.filter(pk=run.pk, state=AnalysisState.WAITING).update(
            state=AnalysisState.RUNNING,
            attempts=run.attempts + 1,
            started_at=now,
            deadline=deadline,
            link_id=link.link.pk,
            status_url="",
            status_text="",
        )
        if not changed:
            return
        run.refresh_from_db()
        audit.record(_ME, "study.analyse", run.study, program=run.program, reason=run.reason)
        analyses.tell(run)
    # A worker that dies meanwhile leaves this look behind.
    analyses.enqueue(run, _LOOK_S)
    body = json.dumps(_request_of(run, link)).encode()
    try:
        answer = _ask(row, "POST", row.url, str(run.pk), body)
        if answer.status not in _ACCEPTED:
            words = f"{row.name} answered {answer.status} to the request."
            is_over = answer.status < 500 and answer.status not in _AGAIN
            raise PermanentError(words) if is_over else outward.SilentError(words)
        status_url = _status_url(row, answer)
    except outward.SilentError as error:
        _send_later(run, str(error))
    except ArchiveError as error:
        end(run, str(error))
    else:
        AnalysisRun.objects.filter(pk=run.pk, state=AnalysisState.RUNNING).update(
            status_url=status_url, last_error=""
        )


def _send_later(run: AnalysisRun, words: str) -> None:
    """Ask again after a pause; results that came nevertheless are not undone."""
    pause_s = 5.0 * 2**run.attempts
    changed = AnalysisRun.objects.filter(pk=run.pk, state=AnalysisState.RUNNING).update(
        state=AnalysisState.WAITING, last_error=words
    )
    if changed:
        analyses.tell(run)
        analyses.postpone(run, pause_s)


def _request_of(run: AnalysisRun, link: links.IssuedLink) -> dict[str, Any]:
    """Return what a service is told: docs/api/analyses.md."""
    site = settings.SITE_URL
    study = f"{site}{link.dicomweb_path}"
    series = analyses.images_of(run.study).order_by("series__series_number", "series_id")
    rows = series.values_list("series__series_instance_uid", "series__modality").distinct()
    return {
        "id": str(run.pk),
        "reason": run.reason,
        "study": {"StudyInstanceUID": run.study.study_instance_uid},
        "series": [
            {
                "SeriesInstanceUID": uid,
                "Modality": modality,
                "url": f"{site}{link.signed(f'{link.dicomweb_path}/series/{uid}')}",
            }
            for uid, modality in dict.fromkeys(rows)
        ],
        "dicomweb": {
            "url": f"{site}/dicom-web",
            "study_url": study,
            "metadata_url": f"{site}{link.signed(f'{link.dicomweb_path}/metadata')}",
            "authorization": link.authorization,
            "expires_at": link.link.expires_at.isoformat(),
        },
        "results": {
            "url": f"{site}/api/v1/analyses/{run.pk}/results",
            "authorization": f"Bearer {token_of(run)}",
            "expires_at": run.deadline.isoformat() if run.deadline else None,
        },
    }


def _ask(row: RemoteProgram, method: str, url: str, name: str, body: bytes = b"") -> outward.Answer:
    headers = webhooks.sign(remote_programs.secret_of(row), name, body)
    if body:
        headers["Content-Type"] = "application/json"
    return outward.ask(method, url, body=body or None, headers=headers)


def _status_url(row: RemoteProgram, answer: outward.Answer) -> str:
    """Return where the service says how far it is; empty where it says nothing of the kind."""
    said = answer.headers.get("location", "")
    if not said and answer.body:
        try:
            document = json.loads(answer.body)
        except ValueError:
            document = None
        said = str(document.get("status_url") or "") if isinstance(document, dict) else ""
    if not said:
        return ""
    url = urljoin(row.url, said)
    try:
        is_own = outward.is_same_origin(url, row.url)
    except InvalidInputError:
        is_own = False
    if not is_own:
        raise PermanentError(f"{row.name} names an address of somebody else for its state.")
    return url


def _look(run: AnalysisRun, row: RemoteProgram) -> None:
    """Ask the service how far it is, where it told where; and come again."""
    if run.status_url:
        try:
            answer = _ask(row, "GET", run.status_url, f"{run.pk}:status")
            said = json.loads(answer.body) if answer.status == 200 else {}
        except (ArchiveError, ValueError):
            said = {}  # It is busy, perhaps: the time limit ends it.
        said = said if isinstance(said, dict) else {}
        text = analysis_results.words(said.get("message") or "", 255)
        if said.get("state") == _GIVE_UP:
            end(run, text or f"{row.name} failed and says no more.")
            return
        if text != run.status_text:
            AnalysisRun.objects.filter(pk=run.pk).update(status_text=text)
            analyses.tell(run)
    analyses.enqueue(run, _LOOK_S)


def _tell_cancelled(run: AnalysisRun, row: RemoteProgram | None) -> None:
    """Tell a service that nobody waits any more; whether it hears is its own affair."""
    if row is None or not run.status_url:
        return
    try:
        _ask(row, "DELETE", run.status_url, f"{run.pk}:cancel")
    except ArchiveError as error:
        logger.info("A service did not hear that run %s is over: %s", run.pk, error)


def tell_over(run: AnalysisRun) -> None:
    """Close the study to a service whose run was cancelled, and tell it."""
    _revoke(run)
    _tell_cancelled(run, remote_programs.row_of(run))


def end(run: AnalysisRun, words: str) -> None:
    """Give up, with a sentence."""
    with transaction.atomic():
        changed = AnalysisRun.objects.filter(pk=run.pk, state__in=OPEN).update(
            state=AnalysisState.FAILED, last_error=words, finished_at=timezone.now()
        )
        if changed:
            audit.record(_ME, "study.analysed", run.study, is_success=False, program=run.program)
            analyses.tell(run)
    _revoke(run)


def _revoke(run: AnalysisRun) -> None:
    link = SharedLink.objects.filter(pk=run.link_id).first() if run.link_id else None
    if link is not None:
        links.revoke(_ME, link)


# --- in


def token_of(run: AnalysisRun) -> str:
    """Return what results of a run are sent with; good until they came. It is stored nowhere."""
    return salted_hmac("archive.remote_analyses", run.pk.hex, algorithm="sha256").hexdigest()


def awaiting(key: str, token: str) -> tuple[AnalysisRun, RemoteProgram] | None:
    """Return the run that results are for, and who may send them; None for a wrong token."""
    try:
        run = AnalysisRun.objects.select_related("study__facility").filter(pk=UUID(key)).first()
    except ValueError:
        return None
    if run is None or not run.program.startswith(remote_programs.PREFIX):
        return None
    if not constant_time_compare(token, token_of(run)):
        return None
    row = remote_programs.row_of(run)
    return None if row is None else (run, row)


def check_open(run: AnalysisRun, digest: str | None = None) -> bool:
    """Whether results of a run are still to be taken; False: these very ones were taken.

    Parameters
    ----------
    digest : SHA-256 of the body, once it came; before, what was taken may come again

    Raises
    ------
    NotFoundError
        When the study was deleted.
    ConflictError
        When it was cancelled, ran out of time, or has other results.
    """
    run.refresh_from_db()
    if run.study.deletion_id is not None:
        raise NotFoundError("The study was deleted meanwhile.")
    if run.state == AnalysisState.DONE:
        if digest is None or digest == run.results_sha256:
            return False
        raise ConflictError("This analysis has its results already; these are others.")
    if run.state not in OPEN:
        raise ConflictError(f"This analysis is over ({run.state}): nobody waits for its results.")
    return True


def take(run: AnalysisRun, folder: Path, digest: str) -> int:
    """Take results that came whole and signed; returns how many findings and objects there are.

    What is refused is said to the sender, who may send better ones while the time lasts.

    Raises
    ------
    InvalidInputError
        With the reason.
    ConflictError, NotFoundError
        See :func:`check_open`.
    """
    if not check_open(run, digest):
        return run.findings.count()
    try:
        count = analysis_results.take(run, folder, digest=digest)
    except ArchiveError as error:
        AnalysisRun.objects.filter(pk=run.pk, state__in=OPEN).update(
            last_error=f"Results were refused: {error}"
        )
        analyses.tell(run)
        raise InvalidInputError(str(error)) from error
    _revoke(run)
    return count
