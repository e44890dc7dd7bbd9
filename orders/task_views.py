"""Tasks: the page of work items, for people who do them beside programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_POST, require_safe

from accounts import preferences
from accounts.guards import actor_of, user_of
from archive import audit
from archive.access import Actor
from archive.errors import ConflictError, InvalidInputError
from archive.query import StudyQuery, filtered
from orders import tasks, workitem_search
from orders.models import OPEN_WORKITEMS, Workitem, WorkitemState
from orders.workitem_search import TaskQuery

_IN_PLACE = (InvalidInputError, ConflictError)
_MINE = "mine"
_OPEN = "open"
_ALL = "all"


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One line of the page.

    Attributes
    ----------
    study_id : of the study that it is about, where that is here
    is_mine : claimed on the page by who looks
    """

    item: Workitem
    start: str
    study_id: UUID | None
    is_mine: bool

    @property
    def version(self) -> str:
        """Is another one when the line shows something else."""
        return f"{self.item.changed_at.timestamp()} {self.is_mine} {self.study_id or ''}"


@login_required
@require_safe
def task_list(request: HttpRequest) -> HttpResponse:
    """Show the work items in scope: what is to be done, by whom, and how far it is."""
    actor = actor_of(request)
    asked = request.GET.get("state", _OPEN)
    if asked not in (_OPEN, _MINE, _ALL, *WorkitemState.values):
        raise InvalidInputError(
            f"'state' is one of {', '.join((_OPEN, _MINE, _ALL, *WorkitemState.values))}."
        )
    typed = request.GET.get("q", "")[:200]
    words = "".join(letter for letter in typed if letter.isprintable()).strip()
    query = TaskQuery(
        state="" if asked == _ALL else asked,
        mine=actor.user_id if asked == _MINE else None,
        words=words,
        facility_id=preferences.facility_of(user_of(request)),
    )
    found = workitem_search.tasks(actor.scope, query)
    audit.record(actor, "workitem.list", count=len(found))
    context = {
        "actor": actor,
        "rows": _rows(actor, found),
        "state": asked,
        "words": words,
        "tabs": _tabs(workitem_search.counts(actor.scope, query), asked),
        "back": f"{request.path}?{urlencode({'state': asked, 'q': words})}",
        "has_more": len(found) == workitem_search.PAGE_SIZE,
        "may_work": actor.can_upload,
        "zone": preferences.zone_of(request),
    }
    is_bare = request.GET.get("part") == "list"
    return render(request, f"orders/{'_tasks' if is_bare else 'task_list'}.html", context)


def _tabs(counts: dict[str, int], asked: str) -> list[dict[str, Any]]:
    found = [
        (_OPEN, gettext_noop("Open"), sum(counts.get(str(state), 0) for state in OPEN_WORKITEMS)),
        (_MINE, gettext_noop("Mine"), None),
        *((value, name, counts.get(value, 0)) for value, name in WorkitemState.choices),
        (_ALL, gettext_noop("All"), sum(counts.values())),
    ]
    return [
        {"value": value, "name": name, "count": count, "is_current": value == asked}
        for value, name, count in found
    ]


def _rows(actor: Actor, found: list[Workitem]) -> list[TaskRow]:
    uids = {item.study_instance_uid for item in found if item.study_instance_uid}
    studies = {}
    if uids:
        here = filtered(actor.scope, StudyQuery()).filter(study_instance_uid__in=uids)
        studies = {
            (facility, uid): key
            for facility, uid, key in here.values_list("facility_id", "study_instance_uid", "pk")
        }
    return [
        TaskRow(
            item,
            _start_of(item),
            studies.get((item.facility_id, item.study_instance_uid)),
            is_mine=item.claimed_by_id is not None and item.claimed_by_id == actor.user_id,
        )
        for item in found
    ]


def _start_of(item: Workitem) -> str:
    """Return the planned start as it was written, to the minute: a wall clock at the facility."""
    digits = item.start.partition(".")[0]
    day = "-".join(filter(None, (digits[:4], digits[4:6], digits[6:8])))
    return f"{day} {digits[8:10]}:{digits[10:12] or '00'}" if digits[8:10] else day


@login_required
@require_POST
def task_claim(request: HttpRequest, item_id: UUID) -> HttpResponse:
    """Claim a task for who asks."""
    return _do(request, "The task is yours.", lambda actor: tasks.claim(actor, item_id))


@login_required
@require_POST
def task_progress(request: HttpRequest, item_id: UUID) -> HttpResponse:
    """Say how far it is."""

    def work(actor: Actor) -> None:
        text = request.POST.get("percent", "").strip()
        if not text.isdecimal() or len(text) > 3:
            raise InvalidInputError("The progress is a percentage from 0 to 100.")
        tasks.set_progress(actor, item_id, int(text))

    return _do(request, "The progress is noted.", work)


@login_required
@require_POST
def task_complete(request: HttpRequest, item_id: UUID) -> HttpResponse:
    """End it as done."""
    return _do(request, "The task is completed.", lambda actor: tasks.complete(actor, item_id))


@login_required
@require_POST
def task_cancel(request: HttpRequest, item_id: UUID) -> HttpResponse:
    """Cancel it, or ask its performer to."""

    def work(actor: Actor) -> str:
        is_canceled = tasks.cancel(actor, item_id, request.POST.get("reason", ""))
        return "The task is cancelled." if is_canceled else "The performer was asked to cancel."

    return _do(request, "", work)


def _do(request: HttpRequest, said: str, work: Callable[[Actor], str | None]) -> HttpResponse:
    """Do it; answer a script with words, lead a form back to where it was."""
    is_script = request.headers.get("Accept", "").startswith("application/json")
    try:
        said = work(actor_of(request)) or said
    except _IN_PLACE as error:
        if is_script:
            raise
        messages.error(request, str(error))
    else:
        if is_script:
            return JsonResponse({"message": said})
        messages.success(request, said)
    back = request.POST.get("next", "")
    is_own = url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure())
    return redirect(back if is_own else "tasks:task-list")
