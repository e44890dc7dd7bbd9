"""What programs found, and what people say of it, for the viewer: thin doors."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from pydantic import StringConstraints

from accounts.guards import actor_of, api_login_required
from archive.findings import LONGEST_COMMENT
from archive.models import FindingDecision
from dicom_viewer import machine
from dicom_viewer.bodies import Body, parse


class DecisionBody(Body):
    """What a person says of a finding; without a comment, the one that stands there stays."""

    decision: FindingDecision
    comment: Annotated[str, StringConstraints(max_length=LONGEST_COMMENT)] | None = None


@api_login_required
@require_GET
@never_cache
def findings(request: HttpRequest, study_id: UUID) -> HttpResponse:
    """Answer what programs found in a study."""
    return JsonResponse(machine.findings_on(actor_of(request), study_id))


@api_login_required
@require_POST
@never_cache
def finding(request: HttpRequest, finding_id: UUID) -> HttpResponse:
    """Accept or reject a finding, or take that back."""
    body = parse(DecisionBody, request.body)
    document = machine.decide(actor_of(request), finding_id, body.decision, body.comment)
    return JsonResponse(document)
