"""The page of what the worker computes of a study: ask, follow, look, fetch.

It needs neither WebGL nor much memory of a browser: what telephones cannot compute, they see.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from accounts import preferences
from accounts.guards import actor_of
from archive import access, audit, reconstructions
from archive.access import Actor
from archive.errors import (
    ArchiveError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    TooManyAttemptsError,
)
from archive.models import ReconstructionJob
from archive.reconstruction_request import MODES, MOST_VIEWS, PLANES, SIDES
from imaging.raycast import OF_CT, PRESETS
from imaging.volume import FEWEST_SLICES
from worklist.models import Series, Study

_MOST_SHOWN = 50
_MOST_PICTURES = 24
_FIELDS = (
    "plane", "mode", "thickness_mm", "step_mm", "window_center", "window_width", "preset", "views",
    "side", "output",
)  # fmt: skip
_OF_PLANES = frozenset(("mode", "thickness_mm", "step_mm", "window_center", "window_width"))
_OF_VOLUMES = frozenset(("preset", "views", "side"))
_IN_PLACE = (ConflictError, InvalidInputError, ForbiddenError, TooManyAttemptsError)


@dataclass(frozen=True, slots=True)
class Line:
    """One reconstruction as the page shows it.

    Attributes
    ----------
    pictures : addresses of some of them, evenly chosen
    count : of all
    """

    row: ReconstructionJob
    pictures: list[str]
    count: int
    zip_url: str | None
    may_change: bool

    @property
    def version(self) -> str:
        """Is another one when the line shows something else."""
        return f"{self.row.state} {self.row.done_steps}/{self.row.total_steps} {self.count}"


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Show what was computed of a study; by POST, ask for more."""
    actor = actor_of(request)
    study = access.study_for(actor.scope, study_id)
    if request.method == "POST":
        try:
            reconstructions.ask(actor, study.pk, _series(request), _said(request))
        except _IN_PLACE as error:
            return _page(request, actor, study, failure=error)
        messages.success(request, gettext("It is on its way. The page shows how far it is."))
        return redirect("dicom_viewer:reconstruction-list", study.pk)
    return _page(request, actor, study)


@login_required
@require_POST
def change(request: HttpRequest, reconstruction_id: UUID, what: str) -> HttpResponse:
    """Cancel a reconstruction, or do it again."""
    actor = actor_of(request)
    row = reconstructions.one_for(actor, reconstruction_id)
    is_script = not request.accepts("text/html")
    try:
        if what == "cancel":
            reconstructions.cancel(actor, row)
            text = "It is cancelled."
        else:
            reconstructions.retry(actor, row)
            text = "It is done again."
    except _IN_PLACE as error:
        if is_script:
            raise
        messages.error(request, str(error))
    else:
        if is_script:
            return JsonResponse({"message": text})
        messages.success(request, text)
    return redirect("dicom_viewer:reconstruction-list", row.study_id)


def _page(
    request: HttpRequest, actor: Actor, study: Study, *, failure: ArchiveError | None = None
) -> HttpResponse:
    audit.record(actor, "study.view", study, by="reconstructions")
    rows = list(reconstructions.of_study(actor, study.pk)[:_MOST_SHOWN])
    chosen = request.POST if failure else request.GET
    context: dict[str, Any] = {
        "study": study,
        "lines": [_line(actor, row) for row in rows],
        "series": list(_candidates(study)),
        "typed": chosen,
        "failure": failure,
        "planes": [
            (name, name.capitalize()) for name in PLANES if name not in ("oblique", "volume")
        ],
        "modes": [(mode, words or "thin") for mode, words in MODES.items()],
        "presets": [
            (name, preset.name, name in OF_CT)
            for name, preset in PRESETS.items()
            if name not in OF_CT or "CT" in study.modality_codes
        ],
        "sides": SIDES,
        "most_views": MOST_VIEWS,
        "fewest_slices": FEWEST_SLICES,
        "keep_days": reconstructions.KEEP.days,
        "actor": actor,
        "zone": preferences.zone_of(request),
    }
    is_bare = request.GET.get("part") == "list"
    name = "_reconstructions" if is_bare else "reconstructions"
    status = HTTPStatus.UNPROCESSABLE_ENTITY if failure else HTTPStatus.OK
    return render(request, f"dicom_viewer/{name}.html", context, status=status)


def _candidates(study: Study) -> QuerySet[Series]:
    return study.series.filter(frame_count__gte=FEWEST_SLICES).order_by("series_number", "pk")


def _line(actor: Actor, row: ReconstructionJob) -> Line:
    document = reconstructions.document(row)
    addresses: list[str] = document["picture_urls"]
    step = max(1, -(-len(addresses) // _MOST_PICTURES))
    return Line(
        row,
        addresses[step // 2 :: step],
        len(addresses),
        document["zip_url"],
        may_change=row.requested_by_id == actor.user_id or actor.can_annotate,
    )


def _series(request: HttpRequest) -> UUID:
    try:
        return UUID(request.POST.get("series", ""))
    except ValueError:
        raise InvalidInputError("Choose a series.") from None


def _said(request: HttpRequest) -> dict[str, str]:
    """Return what the form says of the kind that was chosen; the other kind's fields stand idle."""
    idle = _OF_PLANES if request.POST.get("plane") == "volume" else _OF_VOLUMES
    said = {name: request.POST.get(name, "").strip() for name in _FIELDS if name not in idle}
    if said.get("mode") == "thin":
        said.pop("thickness_mm", None)
    return {name: value for name, value in said.items() if value}
